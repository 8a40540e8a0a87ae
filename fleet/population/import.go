package population

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

const ruleExport protocol.Rule = "HST-122"

// Options say how an export is read. The zero value, with Path, is the careful default.
type Options struct {
	Path           string              // a folder, or one CSV (plain or zipped)
	AsOf           protocol.Time       // moment of the export; 0: what the export says, else its latest contact
	LicenceDefault string              // class of users that the export does not show: basic (default), intune, none
	Coexistence    *bool               // nil: what the export says
	Authority      *protocol.Authority // nil: what the export says
	BMSAgent       []string            // management agents that mean BMS; nil: Microsoft's own, and in an office365 tenant mdm and easMdm
	KeepNames      bool                // no tokens in place of names, user principal names, serial numbers
	Lenient        bool                // leave bad rows out instead of refusing the export
	APNs           APNs                // what the administrator answers about the push certificate; wins over the export
	LicenceFile    string              // the users' licences after a change, see [Population.Later]; empty: none
	Labels         map[string]string   // more labels of the console: "Managed by: Office 365" means "microsoft365ManagedMdm"
}

// maxBad is how many bad rows are told one by one.
const maxBad = 100

// Import reads an export. Without Lenient the bad rows, up to a hundred, are its error: [plan.Errors] with file, line,
// column and field. With it they are left out, counted, and told in BadRows. Rows stream: beside the population itself
// and an index of it the memory used does not grow with the file.
func Import(o Options) (*Population, error) {
	def, ok := licenceDefaults[o.LicenceDefault]
	if !ok {
		return nil, fmt.Errorf("licence default %q: want one of basic, intune, none", o.LicenceDefault)
	}
	for _, agent := range o.BMSAgent {
		if err := knownAgent(agent); err != nil {
			return nil, err
		}
	}
	fsys, only, err := folder(o.Path)
	if err != nil {
		return nil, err
	}
	return load(o, fsys, only, def)
}

// knownAgent refuses what is no management agent of Graph's, by name or number: it would match no device, without a word.
func knownAgent(agent string) error {
	words := slices.Sorted(maps.Values(agentNumbers))
	if slices.Contains(words, member(agentNumbers, agent)) {
		return nil
	}
	return &plan.Error{
		File: "--bms-agent", Field: agent, Message: "no such management agent; want one of " + strings.Join(words, ", "),
		Nearest: plan.Nearest(agent, words), Rule: ruleExport,
	}
}

// load imports from fsys: everything in it, or only one file.
func load(o Options, fsys fs.FS, only string, def Licence) (*Population, error) {
	files, err := recognise(fsys, o.Path, only)
	if err != nil {
		return nil, err
	}
	im := &importer{
		o: o, pop: new(Population), fallback: def,
		seen: map[uint64]struct{}{}, users: map[string]int32{}, models: map[Model]*Model{}, shared: map[string]string{},
		left: map[LeftOut]int{}, doubted: map[doubtKey]bool{}, cat: catalogue{unknown: map[string]int{}}, assumed: map[[2]lang.Key]*Assumption{},
	}
	if im.tokens, err = newTokens(files.all(), o.KeepNames); err != nil {
		return nil, err
	}
	if im.labels, err = newLabels(o.Labels); err != nil {
		return nil, err
	}
	if err := im.run(files); err != nil {
		return nil, err
	}
	if err := im.later(o.LicenceFile); err != nil {
		return nil, err
	}
	if len(im.bad) > 0 && !o.Lenient {
		return nil, im.bad
	}
	if im.pop.Total == im.unreadable() {
		return nil, append(noRecord(files.devices()).(plan.Errors), im.bad...)
	}
	im.finish(files)
	if im.early && o.AsOf != 0 { // what the export says of itself is doubted; what somebody has just given can be given right
		return nil, plan.Errors{{File: "--as-of", Rule: ruleExport, Message: fmt.Sprintf("%s is before the enrolment or the last contact of most devices of this export; want the moment when it was made", o.AsOf)}}
	}
	if len(im.pop.Devices) == 0 {
		return nil, append(plan.Errors{nobody(o.Path, im.pop)}, im.bad...)
	}
	return im.pop, nil
}

// nobody is that all records of an export were left out, which says more often that it was misread than that the tenant is empty.
func nobody(path string, p *Population) *plan.Error {
	var why []string
	by := p.LeftOutBy()
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		why = append(why, fmt.Sprintf("%s %d", reason, by[reason]))
	}
	return &plan.Error{
		File: path, Rule: ruleExport,
		Message: fmt.Sprintf("all %d of its records are left out (%s), and nobody is left; want devices enrolled in MDM of one of the five platforms", p.Total, strings.Join(why, ", ")),
	}
}

// An importer is one import under way.
type importer struct {
	o           Options
	pop         *Population
	row         tenantRow
	coexistence *bool
	fallback    Licence // of users that the export does not show
	tokens      *tokens
	labels      *labels
	cat         catalogue

	seen      map[uint64]struct{} // keys of the records so far
	key       uint64              // of the present one
	users     map[string]int32    // by "id " or "upn " and the value in lower case
	userIDs   []string            // of the users so far; empty: not known
	userLines []int32             // where those of the export's files are
	usersRead bool                // there is a file about users
	owners    map[ownerKey]int32  // Entra: the device of this name and owner so far
	models    map[Model]*Model
	shared    map[string]string
	strings   arena
	scratch   []byte

	more, last    int // pages of the present files that name another one, and that do not
	rows, counted int // their records, and how many there are by the highest @odata.count; 0: none is there

	bad     plan.Errors
	left    map[LeftOut]int // Records stays 0 in the keys
	doubted map[doubtKey]bool
	early   bool                        // the moment of the export is before most of it
	assumed map[[2]lang.Key]*Assumption // by what and how
}

type doubtKey struct {
	kind   DoubtKind
	device int
}

// run reads everything in the order in which later files need earlier ones.
func (im *importer) run(files *export) error {
	if err := im.tenant(files); err != nil {
		return err
	}
	if err := im.allUsers(files); err != nil {
		return err
	}
	switch {
	case len(files.managedJSON) > 0:
		return im.records(files.managedJSON, im.managedRecord)
	case len(files.entraJSON) > 0:
		im.owners = map[ownerKey]int32{}
		return im.records(files.entraJSON, im.entraRecord)
	case len(files.managedCSV) > 0:
		return im.tables(files.managedCSV, managedColumns, im.reject, im.managedLine)
	}
	im.owners = map[ownerKey]int32{}
	return im.tables(files.entraCSV, entraColumns, im.reject, im.entraLine)
}

// errEnough ends an import that has more bad rows than anybody wants to read.
var errEnough = errors.New("too many bad rows")

// reject leaves out a record that cannot be read. It returns errEnough when reading on is of no use.
func (im *importer) reject(e *plan.Error) error {
	im.leave(Unreadable, protocol.NoPlatform)
	return im.tell(e)
}

// tell notes a bad row, of whatever file.
func (im *importer) tell(e *plan.Error) error {
	if e.Rule == "" {
		e.Rule = ruleExport
	}
	im.pop.Bad++
	if len(im.bad) < maxBad {
		im.bad = append(im.bad, e)
	} else if !im.o.Lenient {
		return errEnough
	}
	return nil
}

// records reads the JSON files, each record by take.
func (im *importer) records(files []input, take func(file string, at place, raw []byte) *plan.Error) error {
	for _, f := range files {
		r, err := f.text()
		if err != nil {
			return err
		}
		pages := newElements(r)
		err = pages.read(func(raw []byte, at place) error {
			if e := take(f.path, at, raw); e != nil {
				return im.reject(e)
			}
			return nil
		}, func(at place, err error) error {
			return im.reject(&plan.Error{File: f.path, Line: at.line, Column: at.column, Message: err.Error()})
		})
		r.Close()
		im.paged(pages)
		if err != nil {
			return im.ended(err)
		}
	}
	im.unfollowed(files)
	return nil
}

// paged counts the pages of a file that was read.
func (im *importer) paged(e *elements) {
	im.more, im.last, im.rows, im.counted = im.more+e.more, im.last+e.last, im.rows+e.rows, max(im.counted, e.counted)
}

// unfollowed doubts files all of whose pages name another one (@odata.nextLink): the last page is in none of them. It doubts files
// that say of themselves that they hold another number of records (@odata.count); one page of several may count itself alone.
func (im *importer) unfollowed(files []input) {
	name := clean(filepath.Base(files[len(files)-1].path))
	about := func(kind DoubtKind, text, other lang.Text) {
		im.pop.Doubts = append(im.pop.Doubts, Doubt{Kind: kind, Device: -1, Owner: Nobody, Text: text, Other: other})
	}
	switch missing := im.counted > im.rows; {
	case im.more > 0 && im.last == 0:
		about(Unfollowed, lang.Later("%s ends with a page that names another one (@odata.nextLink), which is not here; taken as all there is", name),
			lang.Later("there are more records: export again, and follow every page"))
	case missing, im.counted > 0 && im.counted < im.rows && im.more+im.last == 1:
		about(Miscounted, lang.Later("%s says that it holds %d records (@odata.count), and it holds %d; taken as all there is", name, im.counted, im.rows),
			lang.Later("records are missing, or were put in: export again"))
	}
	im.more, im.last, im.rows, im.counted = 0, 0, 0, 0
}

func (im *importer) ended(err error) error {
	if errors.Is(err, errEnough) {
		return im.bad
	}
	return err
}

// jsonError gives an error of encoding/json its place in the file; data, which begins at start, was meant for row.
func jsonError(file string, start place, data []byte, row any, err error) *plan.Error {
	e := &plan.Error{File: file, Line: start.line, Column: start.column, Rule: ruleExport, Message: err.Error()}
	var offset int64 // of the byte where it is
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset, e.Message = syntax.Offset-1, "not JSON: "+syntax.Error()
	case errors.As(err, &kind):
		offset, e.Field, e.Message = kind.Offset-1, kind.Field, fmt.Sprintf("a %s has no place here", kind.Value)
	default:
		offset, e.Field = culprit(data, row)
	}
	before := data[:min(max(offset, 0), int64(len(data)))]
	if lines := bytes.Count(before, []byte("\n")); lines > 0 {
		e.Line += lines
		e.Column = len(before) - bytes.LastIndexByte(before, '\n')
	} else {
		e.Column += len(before)
	}
	return e
}

// culprit finds the member of the object data that row's field of that name does not take: our own types' errors do
// not say where they happened.
func culprit(data []byte, row any) (offset int64, field string) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return 0, ""
	}
	fields := reflect.VisibleFields(reflect.TypeOf(row).Elem())
	for dec.More() {
		key, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return 0, ""
		}
		for _, f := range fields {
			name := f.Tag.Get("json")
			if text, ok := key.(string); ok && name != "" && strings.EqualFold(text, name) && json.Unmarshal(value, reflect.New(f.Type).Interface()) != nil {
				return dec.InputOffset() - int64(len(value)), name
			}
		}
	}
	return 0, ""
}

// fresh notes a record's key and tells whether it is new.
func (im *importer) fresh(key string) bool {
	f := fnv.New64a()
	io.WriteString(f, strings.ToLower(key))
	h := mix(f.Sum64())
	if _, there := im.seen[h]; there {
		return false
	}
	im.seen[h] = struct{}{}
	im.key = h
	return true
}

// leave counts a record that is not taken.
func (im *importer) leave(why Reason, p protocol.Platform) {
	im.pop.Total++
	im.left[LeftOut{Reason: why, Platform: p}]++
}

// unreadable returns how many records could not be read.
func (im *importer) unreadable() int {
	return im.left[LeftOut{Reason: Unreadable}]
}

// doubt notes one for the device that is taken next or, with i, for that one; at most one of each kind.
func (im *importer) doubt(kind DoubtKind, i int, text, other lang.Text) {
	if key := (doubtKey{kind, i}); !im.doubted[key] {
		im.doubted[key] = true
		im.pop.Doubts = append(im.pop.Doubts, Doubt{Kind: kind, Device: i, Owner: Nobody, Text: text, Other: other})
	}
}

// assume counts a device for which the export leaves something open.
func (im *importer) assume(what, how lang.Key) { im.assuming(what, lang.Later(how)).Devices++ }

func (im *importer) assuming(what lang.Key, how lang.Text) *Assumption {
	key := [2]lang.Key{what, how.Key}
	a := im.assumed[key]
	if a == nil {
		a = &Assumption{What: what, Assumed: how}
		im.assumed[key] = a
	}
	return a
}

func (im *importer) share(s string) string {
	if have, ok := im.shared[s]; ok {
		return have
	}
	s = im.keep(s)
	im.shared[s] = s
	return s
}

func (im *importer) keep(s string) string {
	im.scratch = append(im.scratch[:0], s...)
	return im.strings.keep(im.scratch)
}

func (im *importer) model(m Model) *Model {
	if have, ok := im.models[m]; ok {
		return have
	}
	m = Model{im.keep(m.Name), im.keep(m.Product), im.keep(m.Manufacturer)}
	im.models[m] = &m
	return &m
}

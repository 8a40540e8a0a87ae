package plan

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"rollcall/protocol"
)

// Load reads the plan in the file path. An error about its content is [Errors].
func Load(path string) (*Plan, error) { return load(path, nil) }

// LoadFor is [Load] for a plan about an existing tenant: devices and settings of the tenant that the plan leaves out are t's.
func LoadFor(path string, t *Tenancy) (*Plan, error) { return load(path, t) }

// ParseFor is [Parse] for a plan about an existing tenant, as [LoadFor] reads one.
func ParseFor(name string, data []byte, t *Tenancy) (*Plan, error) { return parse(name, data, t) }

// Edited reads text, an edited p, in the way that p was read.
func (p *Plan) Edited(name string, text []byte) (*Plan, error) { return parse(name, text, p.there) }

// A Tenancy is what a plan may leave out about an existing tenant, a live one or an export's.
type Tenancy struct {
	Authority   protocol.Authority `json:"authority"`
	Coexistence bool               `json:"coexistence"`
	Consents    []Consent          `json:"consents"`
	Devices     ByPlatform         `json:"devices"` // with a user
	Userless    ByPlatform         `json:"userless"`
	Exported    bool               `json:"-"` // an export's: its devices play, whatever the plan says of others
}

// Add counts an enrolled device.
func (t *Tenancy) Add(p protocol.Platform, userless bool) {
	b := &t.Devices
	if userless {
		b = &t.Userless
	}
	switch p {
	case protocol.IOS:
		b.IOS++
	case protocol.IPadOS:
		b.IPadOS++
	case protocol.MacOS:
		b.MacOS++
	case protocol.Android:
		b.Android++
	case protocol.Windows:
		b.Windows++
	}
}

// take puts what t has in place of what p leaves out. An export's devices play in place of all that p says of devices.
func (p *Plan) take(t *Tenancy) {
	pop, own := &p.Population, &p.Tenant
	if p.Devices() > 0 && !t.Exported {
		return
	}
	p.there = t
	if t.Exported {
		pop.Devices, pop.Mix, pop.Silent = 0, ByPlatform{}, nil
	}
	there := &pop.Already
	there.ByPlatform, there.Userless.ByPlatform = t.Devices, t.Userless
	there.Registered, there.Userless.Registered = protocol.Unknown, protocol.Unknown
	if t.Authority == protocol.SCCM { // which manages nobody: they were enrolled before
		there.Registered, there.Userless.Registered = protocol.Intune, protocol.Intune
	}
	if t.Exported || !p.says("tenant.authority") && !p.says("tenant.coexistence") {
		own.Authority, own.Coexistence = t.Authority, t.Coexistence
	}
	if !p.says("tenant.consents") {
		own.Consents = t.Consents
	}
}

// exported tells whether p was read for an export, whose devices and certificates are as they are.
func (p *Plan) exported() bool { return p.there != nil && p.there.Exported }

// says tells whether the file has something at a path.
func (p *Plan) says(path string) bool {
	_, said := p.where[path]
	return said
}

func load(path string, t *Tenancy) (*Plan, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	return parse(path, data, t)
}

// Parse reads one plan, fills in the defaults and checks it; name is what its errors call the file. The error
// is [Errors]: every mistake, and of the contradictions those that do not hang on a part that could not be read.
func Parse(name string, data []byte) (*Plan, error) { return parse(name, data, nil) }

func parse(name string, data []byte, t *Tenancy) (*Plan, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // editors on Windows begin UTF-8 with it
	d := &decoder{file: name, where: map[string]position{}, anchors: map[string]ast.Node{}}
	p := new(Plan)
	if root := d.parse(data); root != nil {
		d.node(root, reflect.ValueOf(p).Elem(), "", 0)
	} else if len(d.errs) > 0 {
		return nil, d.errs.or()
	}
	p.where = d.where
	p.file, p.text = name, slices.Clone(data)
	p.unroll()
	if t != nil {
		p.take(t)
	}
	p.fill()
	unread := slices.DeleteFunc(slices.Clone(d.errs), func(e *Error) bool { return e.Rule == ruleContradiction }) // those were read
	for _, e := range p.contradictions() {
		if len(d.errs) < maxShown && !slices.ContainsFunc(unread, func(of *Error) bool { return hangs(e.Field, of) }) {
			d.errs = append(d.errs, e)
		}
	}
	if err := d.errs.or(); err != nil {
		return nil, err
	}
	return p, nil
}

// needed are the parts of a plan that say whether a part contradicts itself, beside that part.
var needed = map[string][]string{
	"tenant": {"population"}, "population": {"tenant", "timeline"}, "profiles": nil, "acts": {"until"},
	"timeline": {"tenant", "population", "profiles", "until", "faults"}, "faults": {"until", "timeline"},
	"arrival": {"until", "population", "timeline"}, "until": nil, "step": {"until"},
}

// hangs tells whether a contradiction at path may come from what could not be read. Moments hang on themselves and the end alone.
func hangs(path string, unread *Error) bool {
	part, of := head(unread.Field), head(path)
	switch {
	case part == "" || unread.Rule == ruleYAML: // a key that nobody knows may be any part
		return true
	case path == "population.mix", path == "population.licences", path == "population.devices_per_user": // sums
		return within(path, unread.Field) || within(unread.Field, path)
	case strings.HasSuffix(path, ".at") && of != "arrival":
		return part == "until" || within(path, unread.Field) || within(unread.Field, path)
	}
	return part == of || slices.Contains(needed[of], part)
}

// head is the part of a plan that a path is in.
func head(path string) string {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return path
}

// within tells whether path is that of whole or of something in it.
func within(path, whole string) bool {
	rest, ok := strings.CutPrefix(path, whole)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// fill puts the defaults in place of what the plan does not say.
func (p *Plan) fill() {
	or := func(d *Duration, otherwise Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	if p.Name == "" {
		p.Name = strings.TrimSuffix(strings.TrimSuffix(filepath.Base(p.file), filepath.Ext(p.file)), ".plan")
	}
	if !p.says("tenant.authority") && p.Tenant.Authority == protocol.Unknown {
		p.Tenant.Authority = protocol.Intune
	}
	if p.Tenant.APNs.Topic == "" {
		p.Tenant.APNs.Topic = "com.apple.mgmt.External." + topicOf(p.Name)
	}
	or(&p.Tenant.APNs.Expires, Duration(365*Day))
	if p.Tenant.BMS.Userless == 0 {
		p.Tenant.BMS.Userless = Accept
	}
	or(&p.Tenant.Identity.Lifetime, Duration(365*Day))
	if !p.says("tenant.identity.window") {
		p.Tenant.Identity.Window = min(Duration(42*Day), p.Tenant.Identity.Lifetime/3)
	}
	or(&p.Step, min(Duration(10*time.Minute), max(p.Until, 1)))
	pop := &p.Population
	if pop.DevicesPerUser == nil {
		pop.DevicesPerUser = map[int]int{1: 100}
	}
	if pop.Licences == (Licences{}) {
		pop.Licences.Intune = 100
		if p.Tenant.Authority == protocol.Office365 {
			pop.Licences = Licences{Basic: 100}
		}
	}
	for _, there := range []*Present{&pop.Already.Present, &pop.Already.Userless} {
		if users := there == &pop.Already.Present; there.Registered == protocol.Unknown && !(users && p.Tenant.Coexistence) {
			there.Registered = p.Tenant.Authority
		}
	}
	if !p.says("tenant.consents") && p.Tenant.Consents == nil {
		p.Tenant.Consents = Consents[:]
	}
	for i := range p.Timeline {
		a := &p.Timeline[i]
		if a.Licences != nil && a.Licences.To == (Target{}) {
			a.Licences.To = Target{Share: Whole, Whom: All}
		}
		if a.Reenrol != nil && a.Reenrol.Of == (Target{}) {
			a.Reenrol.Of = Target{Share: Whole, Whom: All}
		}
		if a.Profiles != nil && a.Profiles.Group == "" {
			a.Profiles.Group = All
		}
		if a.Command != nil && a.Command.To == (Target{}) {
			a.Command.To = Target{Share: Whole, Whom: All}
		}
	}
	if a := p.Arrival; a != nil {
		if a.Everyone != nil {
			or(&a.Everyone.Over, Duration(10*time.Second))
		}
		or(&a.Think, Duration(100*time.Millisecond))
		or(&a.Drain, Duration(30*time.Second))
		if a.Connections == 0 {
			a.Connections = Closed
		}
	}
	for i := range p.Faults {
		if !p.says(fmt.Sprintf("faults[%d].share", i)) {
			p.Faults[i].Share = Whole
		}
	}
}

// topicOf makes the changing part of a push topic of a plan's name.
func topicOf(name string) string {
	const prime, offset = 1099511628211, 14695981039346656037 // FNV-1a
	h := uint64(offset)
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * prime
	}
	return fmt.Sprintf("%016x", h)
}

package population

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"rollcall/fleet/plan"
)

// Columns are what one kind of table is made of: for each field the headers that mean it, written as [header] writes
// them, and what must be there.
type columns struct {
	headers map[string][]string // by field
	twice   []string            // fields that Microsoft's reports have twice, as a label and as a number
	needed  [][]string          // of each of these lists one field
	signs   [][]string          // headers by which the kind is recognised: all of one list
}

var managedColumns = columns{
	headers: map[string][]string{
		"id": {"deviceid"}, "deviceName": {"devicename"}, "enrolledDateTime": {"enrollmentdate", "createddate"},
		"lastSyncDateTime": {"lastcheck-in", "lastcontact"}, "osVersion": {"osversion"}, "serialNumber": {"serialnumber"},
		"manufacturer": {"manufacturer"}, "model": {"model"}, "userId": {"userid"}, "userPrincipalName": {"primaryuserupn", "upn"},
		"complianceState": {"compliance", "compliantstate"}, "managementAgent": {"managedby", "managementagent", "managementagents"},
		"managedDeviceOwnerType": {"ownership", "ownertype"}, "managementState": {"devicestate", "managementstate"},
		"deviceRegistrationState": {"intuneregistered", "deviceregistrationstate"}, "isSupervised": {"supervised", "issupervised"},
		"operatingSystem": {"os", "devicetype"}, "deviceEnrollmentType": {"enrollmenttype"},
		"managementCertificateExpirationDate": {"managementcertificateexpirationdate", "certexpirationdate"}, "udid": {"udid"},
	},
	twice:  []string{"managementAgent", "managedDeviceOwnerType", "managementState", "operatingSystem"},
	needed: [][]string{{"id"}, {"enrolledDateTime"}, {"lastSyncDateTime"}, {"managementAgent"}, {"managedDeviceOwnerType"}, {"operatingSystem"}, {"userId", "userPrincipalName"}},
	signs:  [][]string{{"managedby"}, {"managementagent"}, {"managementagents"}},
}

var entraColumns = columns{
	headers: map[string][]string{
		"deviceId": {"deviceid"}, "displayName": {"displayname"}, "profileType": {"profiletype"}, "operatingSystem": {"operatingsystem", "deviceostype"},
		"operatingSystemVersion": {"operatingsystemversion", "deviceosversion"}, "model": {"model"}, "manufacturer": {"manufacturer"},
		"isManaged": {"ismanaged"}, "managementType": {"managementtype"}, "mdmAppId": {"mdmappid"},
		"registeredOwners": {"registeredowners", "registeredownerobjectid"}, "registeredOwnerUpn": {"registeredownerupn"},
		"deviceOwnership": {"deviceownership"}, "trustType": {"trusttype", "devicetrustlevel"}, "approximateLastSignInDateTime": {"approximatelastsignindatetime", "approximatelastlogontimestamp"},
		"registrationDateTime": {"registrationdatetime"}, "isCompliant": {"iscompliant"}, "accountEnabled": {"accountenabled"},
		"enrollmentType": {"enrollmenttype"}, "enrollmentProfileName": {"enrollmentprofilename"},
	},
	needed: [][]string{{"deviceId"}, {"isManaged"}, {"operatingSystem"}},
	signs:  [][]string{{"deviceid", "displayname"}, {"deviceid", "operatingsystem"}, {"deviceid", "deviceostype"}},
}

var userColumns = columns{
	headers: map[string][]string{"upn": {"userprincipalname"}, "licences": {"licenses", "licences"}},
	needed:  [][]string{{"upn"}, {"licences"}},
	signs:   [][]string{{"userprincipalname", "licenses"}, {"userprincipalname", "licences"}},
}

// header writes a column's name as the tables above do: case and spaces differ from export to export.
func header(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), "")) }

// table puts a CSV into x by its columns; one that none of the kinds has is not ours to read.
func (x *export) table(f input) error {
	t, err := newTable(f)
	if err != nil {
		return err
	}
	defer t.close()
	has := func(kind *columns) bool {
		return slices.ContainsFunc(kind.signs, func(all []string) bool {
			return !slices.ContainsFunc(all, func(name string) bool { return !slices.Contains(t.head, name) })
		})
	}
	kind, list := (*columns)(nil), &x.unused
	switch {
	case has(&managedColumns):
		kind, list = &managedColumns, &x.managedCSV
	case has(&userColumns):
		kind, list = &userColumns, &x.usersCSV
	case has(&entraColumns):
		kind, list = &entraColumns, &x.entraCSV
	}
	*list = append(*list, f)
	if kind == nil {
		return nil
	}
	return t.columns(kind)
}

// A table reads one CSV, a row at a time. A row may span lines; it has at most [maxRow] bytes.
type table struct {
	path  string
	file  io.Closer
	bound *bounded
	csv   *csv.Reader
	lines int              // before the present csv.Reader
	begin int              // line where the next row begins, blank ones apart
	head  []string         // headers as [header] writes them
	shown []string         // as they are
	index map[string][]int // by field its columns, the likeliest first
	twice []string         // fields of more columns than one
}

// newTable opens a CSV and reads its header.
func newTable(f input) (*table, error) {
	r, err := f.text()
	if err != nil {
		return nil, err
	}
	t := &table{path: f.path, file: r, bound: &bounded{r: r}, index: map[string][]int{}}
	t.restart()
	if t.shown, err = t.csv.Read(); err == io.EOF {
		err = errors.New("the file is empty; want a line of column names")
	}
	if err != nil {
		r.Close()
		return nil, plan.Errors{t.fail(err)}
	}
	t.past(t.shown)
	t.shown = slices.Clone(t.shown)
	for _, name := range t.shown {
		t.head = append(t.head, header(name))
	}
	return t, nil
}

// columns finds kind's fields among the headers, of which the first row was read last. The error names those that are missing or there
// twice, as one header or as two that mean the same: nobody can tell which of two is meant.
func (t *table) columns(kind *columns) error {
	var twice plan.Errors
	again := func(i int, message string) {
		line, column := t.csv.FieldPos(i)
		twice = append(twice, &plan.Error{File: t.path, Line: line, Column: column, Field: strings.TrimSpace(t.shown[i]), Rule: ruleExport, Message: message})
	}
	for field, names := range kind.headers {
		for _, name := range names {
			if i := slices.Index(t.head, name); i >= 0 {
				t.index[field] = append(t.index[field], i)
			}
		}
		for i, name := range t.head {
			if first := slices.Index(t.head, name); first < i && slices.Contains(names, name) {
				again(i, fmt.Sprintf("the header is there twice: in columns %d and %d of the table", first+1, i+1))
			}
		}
		switch of := t.index[field]; {
		case len(of) < 2:
		case slices.Contains(kind.twice, field):
			t.twice = append(t.twice, field)
		default:
			first := slices.Min(of)
			for _, i := range of {
				if i != first {
					again(i, fmt.Sprintf("the header means what %q of column %d does; want one of the two", strings.TrimSpace(t.shown[first]), first+1))
				}
			}
		}
	}
	slices.Sort(t.twice)
	if twice != nil {
		slices.SortFunc(twice, func(a, b *plan.Error) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
		return twice
	}
	var missing plan.Errors
	for _, oneOf := range kind.needed {
		if !slices.ContainsFunc(oneOf, func(field string) bool { _, ok := t.index[field]; return ok }) {
			missing = append(missing, &plan.Error{
				File: t.path, Line: 1, Column: 1, Field: strings.Join(oneOf, " or "), Rule: ruleExport,
				Message: "the column is missing; want a header such as " + kind.headers[oneOf[0]][0],
			})
		}
	}
	if missing != nil {
		return missing
	}
	return nil
}

func (t *table) close() { t.file.Close() }

// restart begins to read at the next byte.
func (t *table) restart() {
	t.bound.read = 0
	t.csv = csv.NewReader(t.bound)
	t.csv.ReuseRecord = true
	t.csv.FieldsPerRecord = -1
	t.begin = t.lines + 1
}

// past notes that a row was read.
func (t *table) past(cells []string) {
	last := len(cells) - 1
	line, _ := t.csv.FieldPos(last)
	t.begin = t.lines + line + strings.Count(cells[last], "\n") + 1
}

// next returns the next row, or the error that is wrong with it; io.EOF is the end.
func (t *table) next() (*line, *plan.Error, error) {
	t.bound.read = 0
	cells, err := t.csv.Read()
	var parse *csv.ParseError
	switch {
	case err == io.EOF:
		return nil, nil, io.EOF
	case errors.Is(err, errLong):
		e := t.fail(errLong)
		e.Line = t.begin
		skipped := t.bound.skipLine()
		t.lines = t.bound.lines
		if t.lines > t.begin { // only within quotes does a row have more lines than one
			e.Message = fmt.Sprintf("a quote opens in this row and is not closed within %d bytes: lines %d to %d are left out with it", maxRow, t.begin, t.lines)
		}
		if skipped != nil {
			return nil, e, skipped
		}
		t.restart()
		return nil, e, nil
	case errors.As(err, &parse):
		e := t.fail(err)
		if i := len(cells); unclosed(parse) && i < len(t.shown) {
			e.Field = strings.TrimSpace(t.shown[i])
		}
		t.begin = t.lines + parse.Line + 1
		return nil, e, nil
	case err != nil:
		return nil, t.fail(err), io.EOF
	}
	t.past(cells)
	l := &line{table: t, cells: cells}
	if len(cells) != len(t.head) {
		return nil, l.at(0, "", fmt.Sprintf("%d fields; the header has %d", len(cells), len(t.head))), nil
	}
	return l, nil, nil
}

func (t *table) fail(err error) *plan.Error {
	e := &plan.Error{File: t.path, Line: t.lines + 1, Column: 1, Rule: ruleExport, Message: err.Error()}
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		e.Line, e.Column, e.Message = t.lines+parse.Line, parse.Column, parse.Err.Error()
		if unclosed(parse) { // it is wrong where it opens: what follows is in it as far as the next quote
			e.Line, e.Column, e.Message = t.lines+parse.StartLine, 1, "a quote opens in this row and is not closed in it"
		}
	}
	return e
}

func unclosed(e *csv.ParseError) bool { return e.Err == csv.ErrQuote && e.StartLine < e.Line }

// A line is one row, valid until the next is read.
type line struct {
	table *table
	cells []string
}

// cell returns a field, or "" where the table has no such column.
func (l *line) cell(field string) string {
	if i := l.column(field); i >= 0 {
		return plainCell(l.cells[i])
	}
	return ""
}

// column is where a field is read: of several columns the first that says something; -1: the table has no such column.
func (l *line) column(field string) int {
	of := l.table.index[field]
	for _, i := range of {
		if l.cells[i] != "" {
			return i
		}
	}
	if len(of) == 0 {
		return -1
	}
	return of[0]
}

func (l *line) error(field, message string) *plan.Error {
	i := l.column(field)
	if i < 0 {
		return l.at(0, field, message)
	}
	return l.at(i, l.shown(i), message)
}

// shown is the header of column i as it is.
func (l *line) shown(i int) string { return strings.TrimSpace(l.table.shown[i]) }

func (l *line) at(i int, field, message string) *plan.Error {
	e := &plan.Error{File: l.table.path, Field: field, Message: message, Rule: ruleExport}
	if i < len(l.cells) {
		e.Line, e.Column = l.table.csv.FieldPos(i)
		e.Line += l.table.lines
	}
	return e
}

// A bounded reader refuses to give more than maxRow bytes for one row.
type bounded struct {
	r     io.Reader
	read  int // since the row began, read-ahead included
	lines int // in all
	rest  []byte
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.read > maxRow {
		return 0, errLong
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	var err error
	if n == 0 {
		n, err = b.r.Read(p)
	}
	b.read += n
	b.lines += strings.Count(string(p[:n]), "\n")
	return n, err
}

// skipLine drops what is left of the present line.
func (b *bounded) skipLine() error {
	buf := make([]byte, 32<<10)
	for {
		b.read = 0
		n, err := b.Read(buf)
		if i := strings.IndexByte(string(buf[:n]), '\n'); i >= 0 {
			b.rest = append(slices.Clone(buf[i+1:n]), b.rest...)
			b.lines -= strings.Count(string(buf[i+1:n]), "\n")
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// tables reads CSVs of one kind, each row by take; bad takes those that cannot be read.
func (im *importer) tables(files []input, kind columns, bad func(*plan.Error) error, take func(*line) *plan.Error) error {
	for _, f := range files {
		t, err := newTable(f)
		if err != nil {
			return err
		}
		for err = t.columns(&kind); err == nil; {
			l, e, end := t.next()
			if l != nil {
				if e = im.agrees(l); e == nil {
					e = take(l)
				}
			}
			if err = end; e != nil {
				if stop := bad(e); stop != nil {
					err = stop
				}
			}
		}
		t.close()
		if err != io.EOF {
			return im.ended(err)
		}
	}
	return nil
}

// managedLine takes one row of the console's export.
func (im *importer) managedLine(l *line) *plan.Error {
	row := managedRow{
		ID: text(l.cell("id")), Name: text(l.cell("deviceName")), Version: text(l.cell("osVersion")), Model: text(l.cell("model")),
		Manufacturer: text(l.cell("manufacturer")), Serial: text(l.cell("serialNumber")), UDID: text(l.cell("udid")),
		UserID: text(l.cell("userId")), UPN: text(l.cell("userPrincipalName")),
		Owner: im.label(l, "managedDeviceOwnerType"), Agent: im.label(l, "managementAgent"), State: im.label(l, "managementState"),
		Registration: im.label(l, "deviceRegistrationState"), Compliance: im.label(l, "complianceState"), Enrolment: im.label(l, "deviceEnrollmentType"),
		inferred: true,
	}
	system := string(im.label(l, "operatingSystem"))
	row.System = text(system)
	if flavour, ok := strings.CutPrefix(system, "android "); ok {
		row.System = "Android"
		switch {
		case flavour == "androidforwork":
			row.Type = word(flavour)
		case row.Enrolment == "":
			row.Enrolment = word(flavour)
		}
	} else if _, number := typeNumbers[system]; number {
		row.System, row.Type = "", word(system)
	}
	for field, into := range map[string]*when{"enrolledDateTime": &row.Enrolled, "lastSyncDateTime": &row.Contact, "managementCertificateExpirationDate": &row.CertEnd} {
		t, err := parseTime(l.cell(field))
		if err != nil {
			return l.error(field, err.Error())
		}
		*into = when(t)
	}
	supervised, err := parseBool(l.cell("isSupervised"))
	if err != nil {
		return l.error("isSupervised", err.Error())
	}
	row.Supervised = boolean(supervised)
	return im.managedDevice(&row, l.error)
}

// entraLine takes one row of Get-MgDevice's CSV.
func (im *importer) entraLine(l *line) *plan.Error {
	row := entraRow{
		DeviceID: text(l.cell("deviceId")), Name: text(l.cell("displayName")), ProfileType: text(l.cell("profileType")), System: text(l.cell("operatingSystem")),
		Version: text(l.cell("operatingSystemVersion")), Model: text(l.cell("model")), Manufacturer: text(l.cell("manufacturer")),
		Management: text(l.cell("managementType")), App: text(l.cell("mdmAppId")), Ownership: text(l.cell("deviceOwnership")), Trust: text(l.cell("trustType")),
		Enrolment: word(l.cell("enrollmentType")), ProfileName: text(l.cell("enrollmentProfileName")),
	}
	for field, into := range map[string]*when{"approximateLastSignInDateTime": &row.SignIn, "registrationDateTime": &row.Registered} {
		t, err := parseTime(l.cell(field))
		if err != nil {
			return l.error(field, err.Error())
		}
		*into = when(t)
	}
	for field, into := range map[string]func(boolean){
		"isManaged": func(f boolean) { row.Managed = f }, "isCompliant": func(f boolean) { row.Compliant = &f }, "accountEnabled": func(f boolean) { row.Enabled = &f },
	} {
		if cell := l.cell(field); cell != "" {
			b, err := parseBool(cell)
			if err != nil {
				return l.error(field, err.Error())
			}
			into(boolean(b))
		}
	}
	upns := strings.Split(l.cell("registeredOwnerUpn"), ";")
	for i, id := range strings.Split(l.cell("registeredOwners"), ";") {
		// Export-Csv writes a collection that nobody joined as the name of its type.
		if id = strings.TrimSpace(id); strings.HasPrefix(id, "Microsoft.") || strings.HasPrefix(id, "System.") {
			return l.error("registeredOwners", "a type's name in place of the owners; export them with RegisteredOwners.Id -join ';'")
		}
		owner := ownerRow{ID: text(id)}
		if i < len(upns) {
			owner.UPN = text(strings.TrimSpace(upns[i]))
		}
		if owner != (ownerRow{}) {
			row.Owners = append(row.Owners, owner)
		}
	}
	return im.entraDevice(&row, l.error)
}

package rehearsal

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Column is one rehearsal beside others.
type Column struct {
	Name   string         // what the reader calls it, in the reader's language
	Result *report.Result // its own
	*Answers
}

// A Comparison is rehearsals side by side, device by device. Devices are the same where the wire calls them the same.
type Comparison struct {
	Columns []Column // at least two
	Lead    string   // a sentence on what is compared, in the reader's language; may be empty
	devices []int32  // of each device of the first column, its place in each further one; -1: it has none there
}

// Compare puts rehearsals side by side: two plans, or the answers to one question. The first is what the others are held against.
func Compare(first Column, others ...Column) *Comparison {
	c := &Comparison{Columns: append([]Column{first}, others...)}
	n := len(first.Lives)
	c.devices = make([]int32, n*len(others))
	for k, other := range others {
		places := c.devices[k*n : (k+1)*n]
		if other.Population == first.Population {
			for i := range places {
				places[i] = int32(i)
			}
			continue
		}
		at := make(map[string]int32, len(other.Lives))
		for i := range other.Population.Devices {
			at[other.Population.Devices[i].UDID] = int32(i)
		}
		for i := range places {
			place, ok := at[first.Population.Devices[i].UDID]
			if !ok {
				place = -1
			}
			places[i] = place
		}
	}
	return c
}

// life is what became of device i of the first column in another; nil: it is not in that one.
func (c *Comparison) life(column, i int) *Life {
	if column == 0 {
		return &c.Columns[0].Lives[i]
	}
	place := c.devices[(column-1)*len(c.Columns[0].Lives)+i]
	if place < 0 {
		return nil
	}
	return &c.Columns[column].Lives[place]
}

// A fate is how a device ends, the first that holds.
type fate uint8

const (
	absent fate = iota
	notEnrolled
	mustEnrolAgain
	isStranded
	isBlocked
	hasToCome
	hasMoved
	hasRegistered
	unconcerned
)

var fates = [...]lang.Key{
	absent: lang.Key("not there"), notEnrolled: lang.Key("not enrolled"), mustEnrolAgain: lang.Key("must enrol again"), isStranded: lang.Key("stranded"),
	isBlocked: lang.Key("blocked"), hasToCome: lang.Key("to come"), hasMoved: lang.Key("moved"), hasRegistered: lang.Key("registered anew"), unconcerned: lang.Key("as before"),
}

func (l *Life) fate() fate {
	switch {
	case l == nil:
		return absent
	case l.MustEnrol:
		return mustEnrolAgain
	case !l.Enrolled:
		return notEnrolled
	case l.Stranded:
		return isStranded
	case l.Standing.Blocked:
		return isBlocked
	case l.Pending, l.Stale:
		return hasToCome
	case l.Moved:
		return hasMoved
	case l.Reregistered:
		return hasRegistered
	}
	return unconcerned
}

// leastDifference is what a moment or a length of time must differ by to count.
const leastDifference = time.Minute

// differs tells whether device i ends otherwise in a further column than in the first, or came to it at another time.
func (c *Comparison) differs(i int) bool {
	apart := func(x, y time.Duration) bool { return (x - y).Abs() >= leastDifference }
	a := c.life(0, i)
	for k := 1; k < len(c.Columns); k++ {
		b := c.life(k, i)
		if a.fate() != b.fate() {
			return true
		}
		if b != nil && (apart(c.took(0, a), c.took(k, b)) || apart(a.held(), b.held()) || apart(a.bare(), b.bare())) {
			return true
		}
	}
	return false
}

// took is when the device moved first, from the start; 0: it did not.
func (c *Comparison) took(column int, l *Life) time.Duration {
	if l == nil || !l.Moved || l.MovedAt == 0 {
		return 0
	}
	return l.MovedAt.Sub(c.Columns[column].Start)
}

// turns counts the devices that end otherwise in the second column, by how, and those of both columns that fare differently. lost
// are those that the second has not.
func (c *Comparison) turns() (n map[[2]fate]int, differ, lost int) {
	n = map[[2]fate]int{}
	for i := range c.Columns[0].Lives {
		a, b := c.life(0, i).fate(), c.life(1, i).fate()
		if a != b {
			n[[2]fate{a, b}]++
		}
		switch {
		case b == absent:
			lost++
		case c.differs(i):
			differ++
		}
	}
	return n, differ, lost
}

// Differences calls f with a row of cells for each device that differs between the columns, after a row of headings, until f fails.
// Names are those of names. Durations are in hours.
func (c *Comparison) Differences(l lang.Language, names *population.Population, f func(cells []string) error) error {
	head := []string{l.Say("device"), l.Say("user")}
	for _, what := range [...]lang.Key{lang.Key("outcome: %s"), lang.Key("moved after hours: %s"), lang.Key("blocked hours: %s"), lang.Key("unprotected hours: %s")} {
		for _, column := range c.Columns {
			head = append(head, l.Say(what, column.Name))
		}
	}
	err := f(head)
	for i := 0; i < len(c.Columns[0].Lives) && err == nil; i++ {
		if !c.differs(i) {
			continue
		}
		lives := make([]*Life, len(c.Columns))
		for k := range lives {
			if lives[k] = c.life(k, i); lives[k] == nil {
				lives[k] = &Life{}
			}
		}
		cells := []string{names.Devices[i].Name, userName(names, i)}
		for k := range lives {
			cells = append(cells, l.Say(fates[c.life(k, i).fate()]))
		}
		for k, life := range lives {
			cells = append(cells, inHours(c.took(k, life)))
		}
		for _, life := range lives {
			cells = append(cells, inHours(life.held()))
		}
		for _, life := range lives {
			cells = append(cells, inHours(life.bare()))
		}
		err = f(cells)
	}
	return err
}

// Entries calls f with a row of cells for each device about which something is to be done, by each column, which the last cell names,
// after a row of headings, until f fails. Names are those of names, which is the population of all columns.
func (c *Comparison) Entries(l lang.Language, names *population.Population, f func(cells []string) error) error {
	err := f([]string{l.Say("device"), l.Say("user"), l.Say("reason"), l.Say("action"), l.Say("answer")})
	for _, column := range c.Columns {
		if err == nil {
			err = column.Answers.Entries(l, names, func(e Entry) error { return f([]string{e.Device, e.User, e.Reason, e.Action, column.Name}) })
		}
	}
	return err
}

// Result is what the columns come to: the figures of the first, the worst verdict, everybody's reasons, and in its sections the figures
// of each.
func (c *Comparison) Result() *report.Result {
	first, last := c.Columns[0].Result, c.Columns[len(c.Columns)-1].Result
	r := *first
	r.Sections, r.Reasons = c.Sections(), nil
	r.WallSeconds, r.CPUSeconds, r.PeakRSSBytes = last.WallSeconds, last.CPUSeconds, last.PeakRSSBytes
	for _, column := range c.Columns {
		for _, reason := range column.Result.Reasons {
			r.Reasons = append(r.Reasons, lang.English.Say("in the column %q: %s", column.Name, reason))
		}
		if r.Verdict == report.OK || column.Result.Verdict == report.Partial {
			r.Verdict = column.Result.Verdict
		}
	}
	return &r
}

func inHours(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return strconv.FormatFloat(d.Hours(), 'f', 2, 64)
}

// Story tells the comparison for people. Names are those of names, the first column's population.
func (c *Comparison) Story(l lang.Language, names *population.Population) *report.Story {
	first := c.Columns[0]
	s := &report.Story{Language: l, Headline: c.headline(l), Title: first.title(l), Start: first.Start.Time(), Charts: c.charts(l), Rules: rulesIn(l), NotShown: first.notShown(l)}
	if c.Lead != "" {
		s.Lead = append(s.Lead, c.Lead)
	}
	for i := range c.Columns {
		if p := c.Columns[i].Plan; borrowed(p, c.Columns[i].Population) {
			s.Lead = append(s.Lead, sayBorrowed(l, p))
		}
	}
	var plans []string
	for _, column := range c.Columns {
		s.Until = max(s.Until, column.End.Sub(column.Start))
		plans = append(plans, "# "+column.Name+"\n"+column.Plan.Source())
		line := l.Say("%s: %s.", column.Name, column.headline(l))
		if len(c.Columns) > 2 { // else it begins with the name of a plan
			line = upper(line)
		}
		s.Lead = append(s.Lead, line)
	}
	s.Plan = strings.Join(plans, "\n")
	s.Tables = []report.Table{c.figures(l)}
	if len(c.Columns) == 2 {
		s.Tables = append(s.Tables, c.turnTable(l))
		if _, _, lost := c.turns(); lost > 0 && !c.Columns[1].Partial {
			s.Lead = append(s.Lead, l.Say("%d of %d {device|devices} of %s are not in %s: the plans have different populations, and what is said of all devices cannot be compared. Give both the same population, or rehearse both with one --export.", lost, len(first.Lives), first.Name, c.Columns[1].Name))
		}
	}
	s.Devices = c.list(l, names)
	var counts report.Table
	s.Findings, counts = c.findings(l)
	s.Tables = append(s.Tables, counts)
	s.Tables = append(s.Tables, exportTables(l, names)...)
	return s
}

func (c *Comparison) headline(l lang.Language) string {
	if len(c.Columns) == 2 {
		_, differ, lost := c.turns()
		return l.Say("%d of %d {device|devices} fare differently: %s against %s", differ, len(c.Columns[0].Lives)-lost, c.Columns[1].Name, c.Columns[0].Name)
	}
	var held []string
	for _, column := range c.Columns {
		if column.Held.Devices == 0 {
			held = append(held, l.Say("%s: none", column.Name))
			continue
		}
		held = append(held, l.Say("%s: %d for %s at most", column.Name, column.Held.Devices, l.Span(column.Held.Longest)))
	}
	return l.Say("Devices held by the push certificate") + ". " + upper(strings.Join(held, "; "))
}

// figures is the answers in numbers, a column for each rehearsal.
func (c *Comparison) figures(l lang.Language) report.Table {
	t := report.Table{Title: l.Say("Side by side"), Heads: true, Columns: []report.Column{{Name: l.Say("What")}}}
	for _, column := range c.Columns {
		t.Columns = append(t.Columns, report.Column{Name: column.Name})
	}
	after := func(a *Answers, d time.Duration) any { // from the start, which all have in common
		if d == Never {
			return nil
		}
		return a.Began.Sub(a.Start) + d
	}
	for _, x := range []struct {
		what lang.Key
		of   func(*Answers) any
	}{
		{lang.Key("devices that could move"), func(a *Answers) any { return a.All.Movable }},
		{lang.Key("devices that moved"), func(a *Answers) any { return a.All.Moved }},
		{lang.Key("half of them had moved by, from the beginning"), func(a *Answers) any { return after(a, a.Half) }},
		{lang.Key("95 in 100 had moved by, from the beginning"), func(a *Answers) any { return after(a, a.Most) }},
		{lang.Key("all had moved by, from the beginning"), func(a *Answers) any { return after(a, a.Whole) }},
		{lang.Key("devices held by the push certificate"), func(a *Answers) any { return a.Held.Devices }},
		{lang.Key("held longest"), func(a *Answers) any { return a.Held.Longest }},
		{lang.Key("attempts to enrol that the gap refused"), func(a *Answers) any { return a.Declined }},
		{lang.Key("devices that never move by themselves"), func(a *Answers) any { return a.All.Stranded }},
		{lang.Key("devices that must enrol again"), func(a *Answers) any { return a.All.MustEnrol }},
		{lang.Key("devices of users without a licence"), func(a *Answers) any { return a.All.Unlicensed }},
		{lang.Key("device-hours without protection"), func(a *Answers) any { return a.bareTotal().hours() }},
		{lang.Key("profiles left behind"), func(a *Answers) any { return a.Redundant }},
		{lang.Key("certificates renewed"), func(a *Answers) any { return a.Renewals }},
		{lang.Key("records removed"), func(a *Answers) any { return a.Removed }},
		{lang.Key("check-ins in the busiest minute"), func(a *Answers) any { return a.CheckInPeak.Count }},
		{lang.Key("pushes in the busiest minute"), func(a *Answers) any { return a.WakePeak.Count }},
	} {
		row := []any{l.Say(x.what)}
		for _, column := range c.Columns {
			row = append(row, x.of(column.Answers))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// turnTable counts the devices that end otherwise, by how.
func (c *Comparison) turnTable(l lang.Language) report.Table {
	t := report.Table{
		Title: l.Say("Devices that end differently"), Heads: true, Caption: l.Say("How so many devices end in the first plan, and in the second."),
		Columns: []report.Column{{Name: l.Say("Devices"), Bar: true}, {Name: c.Columns[0].Name}, {Name: c.Columns[1].Name}},
	}
	n, _, _ := c.turns()
	for _, k := range slices.SortedFunc(maps.Keys(n), func(a, b [2]fate) int { return cmp.Or(n[b]-n[a], slices.Compare(a[:], b[:])) }) {
		t.Rows = append(t.Rows, []any{n[k], l.Say(fates[k[0]]), l.Say(fates[k[1]])})
	}
	return t
}

// list is the devices that differ, one by one.
func (c *Comparison) list(l lang.Language, names *population.Population) report.Table {
	two := len(c.Columns) == 2
	t := report.Table{
		Title: l.Say("The difference for each device"), Caption: l.Say("Devices that end differently, or came to the same at another time."),
		Columns: []report.Column{{Name: l.Say("Device"), Whole: true}, {Name: l.Say("User"), Whole: true}},
	}
	for _, column := range c.Columns {
		t.Columns = append(t.Columns, report.Column{Name: column.Name})
	}
	if two {
		t.Rest = l.Say("All of them are in %s beside this page.", report.ListFile)
		t.Columns = append(t.Columns, report.Column{Name: l.Say("Moved later by")}, report.Column{Name: l.Say("Held longer by")}, report.Column{Name: l.Say("Without protection longer by")})
	} else {
		for _, column := range c.Columns {
			t.Columns = append(t.Columns, report.Column{Name: l.Say("Held: %s", column.Name)})
		}
	}
	for i := range c.Columns[0].Lives {
		if !c.differs(i) {
			continue
		}
		if t.Total++; len(t.Rows) == rows {
			continue
		}
		row := []any{names.Devices[i].Name, userName(names, i)}
		for k := range c.Columns {
			row = append(row, l.Say(fates[c.life(k, i).fate()]))
		}
		if two {
			row = append(row, c.apart(i)...)
		} else {
			for k := range c.Columns {
				row = append(row, some(c.life(k, i).held()))
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// apart is by how much later device i of the first column moved in the second, and how much longer it was held and without
// protection; nothing where it is not in that one.
func (c *Comparison) apart(i int) []any {
	x, y := c.life(0, i), c.life(1, i)
	if y == nil {
		return nil
	}
	later := any(nil)
	if a, b := c.took(0, x), c.took(1, y); a != 0 && b != 0 {
		later = some(b - a)
	}
	return []any{later, some(y.held() - x.held()), some(y.bare() - x.bare())}
}

func some(d time.Duration) any {
	if d.Abs() < leastDifference {
		return nil
	}
	return d
}

// findings are those of all columns, each once, by harm and as it stands where it counts most; and how much it counts in each.
func (c *Comparison) findings(l lang.Language) (found []report.Finding, t report.Table) {
	t = report.Table{Title: l.Say("Findings, in each"), Heads: true, Columns: []report.Column{{Name: l.Say("What")}, {Name: l.Say("Rule")}}}
	type kind struct {
		title string
		rule  protocol.Rule
	}
	var order []kind
	counts, worst := map[kind][]any{}, map[kind]report.Finding{}
	for k, column := range c.Columns {
		t.Columns = append(t.Columns, report.Column{Name: column.Name})
		after := 0 // where the next that is new belongs: each column's are in the same order
		for _, f := range column.Findings(l) {
			at := kind{f.Title, f.Rule}
			if counts[at] == nil {
				order = slices.Insert(order, after, at)
				counts[at] = make([]any, len(c.Columns))
			}
			after = slices.Index(order, at) + 1
			counts[at][k] = f.Count
			if k > 0 && f.Count > worst[at].Count { // else it is said of all
				f.Consequence = upper(column.Name) + ": " + f.Consequence
			}
			if f.Count > worst[at].Count {
				worst[at] = f
			}
		}
	}
	for _, k := range order {
		t.Rows = append(t.Rows, append([]any{k.title, k.rule}, counts[k]...))
		found = append(found, worst[k])
	}
	return found, t
}

// charts show the columns over one another: who moved, who was blocked, and the storm.
func (c *Comparison) charts(l lang.Language) (charts []report.Chart) {
	for _, x := range []struct {
		title string
		of    func(*Hour) *[len(protocol.Platforms)]uint32
	}{
		{l.Say("Moved"), func(h *Hour) *[len(protocol.Platforms)]uint32 { return &h.Moved }},
		{l.Say("Blocked"), func(h *Hour) *[len(protocol.Platforms)]uint32 { return &h.Blocked }},
	} {
		chart := report.Chart{Title: x.title, Unit: l.Say("devices"), Kind: report.Lines}
		for _, column := range c.Columns {
			s := report.Series{Name: column.Name, Points: []report.Point{{}}}
			for i := range column.Hours {
				sum := 0.0
				for _, n := range x.of(&column.Hours[i]) {
					sum += float64(n)
				}
				s.Points = append(s.Points, report.Point{At: time.Duration(i+1) * time.Hour, Value: sum})
			}
			chart.Series = append(chart.Series, s)
		}
		charts = append(charts, chart)
	}
	storm := report.Chart{Title: l.Say("The storm"), Caption: l.Say("Check-ins that devices began, in each minute."), Unit: l.Say("per minute"), Kind: report.Peaks}
	for _, column := range c.Columns {
		s := report.Series{Name: column.Name, Points: make([]report.Point, len(column.Minutes))}
		for i := range column.Minutes {
			s.Points[i] = report.Point{At: time.Duration(i) * time.Minute, Value: float64(column.Minutes[i].CheckIns)}
		}
		storm.Series = append(storm.Series, s)
	}
	return append(charts, storm)
}

// Sections are what a comparison adds to its result: the answers of each column, and how many devices fare differently.
func (c *Comparison) Sections() map[string]any {
	columns := []any{}
	for _, column := range c.Columns {
		columns = append(columns, map[string]any{"name": column.Name, "plan": column.Plan.Name, "event_log_sha256": column.LogSHA256, "devices": column.Result.Devices, "checkins": column.Result.CheckIns, "limits": column.Result.Limits, "answers": column.Sections()["answers"]})
	}
	sections := map[string]any{"columns": columns, "export": exportSection(c.Columns[0].Population)}
	if len(c.Columns) == 2 {
		n, differ, lost := c.turns()
		turns := []any{}
		for _, k := range slices.SortedFunc(maps.Keys(n), func(a, b [2]fate) int { return slices.Compare(a[:], b[:]) }) {
			turns = append(turns, map[string]any{"first": lang.English.Say(fates[k[0]]), "second": lang.English.Say(fates[k[1]]), "devices": n[k]})
		}
		sections["differences"] = map[string]any{"devices": differ, "not_in_both": lost, "outcomes": turns}
	}
	return sections
}

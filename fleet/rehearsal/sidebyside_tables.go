package rehearsal

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// figures is the answers in numbers, a column for each rehearsal.
func (c *Comparison) figures(l lang.Language) report.Table {
	t := report.Table{Title: l.Say("Side by side"), Heads: true, Columns: []report.Column{{Name: l.Say("What")}}}
	for _, column := range c.Columns {
		t.Columns = append(t.Columns, report.Column{Name: column.Name})
	}
	after := func(a *Answers, d time.Duration) any { // from the start, which all have in common
		if d == Never || a.Began == 0 {
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
		{lang.Key("from the beginning until the first could move"), func(a *Answers) any { return after(a, 0) }},
		{lang.Key("from the beginning until half of them had moved"), func(a *Answers) any { return after(a, a.Half) }},
		{lang.Key("from the beginning until 95 in 100 had moved"), func(a *Answers) any { return after(a, a.Most) }},
		{lang.Key("from the beginning until all had moved"), func(a *Answers) any { return after(a, a.Whole) }},
		{lang.Key("devices held by the push certificate"), func(a *Answers) any { return a.Held.Devices }},
		{lang.Key("held longest"), func(a *Answers) any {
			if a.Held.Devices == 0 {
				return nil // nobody was
			}
			return a.Held.Longest
		}},
		{lang.Key("attempts to enrol that the gap refused"), func(a *Answers) any { return a.Declined }},
		{lang.Key("devices that never move by themselves"), func(a *Answers) any { return a.All.Stranded }},
		{lang.Key("devices that must enrol again"), func(a *Answers) any { return a.All.MustEnrol }},
		{lang.Key("devices of users without a licence"), func(a *Answers) any { return a.All.Unlicensed }},
		{lang.Key("device-hours without protection"), func(a *Answers) any { return a.bareHours() }},
		{lang.Key("profiles left behind"), func(a *Answers) any { return a.Redundant }},
		{lang.Key("certificates renewed"), func(a *Answers) any { return a.Renewals }},
		{lang.Key("records removed"), func(a *Answers) any { return a.Removed }},
		{lang.Key("check-ins in the busiest minute"), func(a *Answers) any { return a.CheckInPeak.Count }},
		{lang.Key("pushes in the busiest minute"), func(a *Answers) any { return a.WakePeak.Count }},
		{lang.Key("minutes over the server's capacity"), func(a *Answers) any { return a.Over }},
	} {
		if x.what == lang.Key("minutes over the server's capacity") && c.Columns[0].Capacity == 0 {
			continue // nobody measured it
		}
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
	for _, x := range c.differ.turns {
		t.Rows = append(t.Rows, []any{x.devices, l.Say(fates[x.ends[0]]), l.Say(fates[x.ends[1]])})
	}
	return t
}

// bareTable is for how long devices were without protection in each column, by family: bars of one scale.
func (c *Comparison) bareTable(l lang.Language) report.Table {
	t := report.Table{
		Title: l.Say("Without protection, by family"), Caption: l.Say("Device-hours without a profile of a family that the device had had. Two devices for an hour are two device-hours."),
		Heads: true, Scale: true, Columns: []report.Column{{Name: l.Say("Family")}},
	}
	for _, column := range c.Columns {
		t.Columns = append(t.Columns, report.Column{Name: column.Name, Bar: true})
	}
	for _, f := range protocol.Families {
		row, some := []any{f}, false
		for _, column := range c.Columns {
			row = append(row, column.Bare[f].Total.hours())
			some = some || column.Bare[f].Devices > 0
		}
		if some {
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// lists are the devices to act on, a list for each concern, and in which columns each is: for how long, if it is without protection.
func (c *Comparison) lists(l lang.Language, names *population.Population) []report.Table {
	first := c.Columns[0]
	assignable := slices.ContainsFunc(c.Columns, func(column Column) bool { return column.assignable() })
	tables := make([]report.Table, concerns)
	for k := range tables {
		tables[k] = concernTable(l, concern(k), assignable)
		tables[k].Detail = true
		for _, column := range c.Columns {
			tables[k].Columns = append(tables[k].Columns, report.Column{Name: column.Name})
		}
	}
	row := func(of concern, i int) {
		cells := []any{names.Devices[i].Name, names.Devices[i].Platform, userName(names, i)}
		for k, column := range c.Columns {
			cell := any(nil)
			if at := c.place(k, i); at >= 0 && column.has(at, of) {
				cell = true
				if of == isBare {
					cell = column.Lives[at].bare()
				}
			}
			cells = append(cells, cell)
		}
		tables[of].Rows = append(tables[of].Rows, cells)
	}
	for i := range first.Lives {
		all := uint16(0)
		for k := range c.Columns {
			if at := c.place(k, i); at >= 0 {
				all |= c.Columns[k].concerns[at]
			}
		}
		for of := concern(0); all>>of != 0; of++ {
			if all&(1<<of) == 0 {
				continue
			}
			if tables[of].Total++; of != isBare && len(tables[of].Rows) < rows {
				row(of, i)
			}
		}
	}
	for _, i := range slowest(rows, len(first.Lives), func(i int) (most time.Duration) {
		for k := range c.Columns {
			if at := c.place(k, i); at >= 0 {
				most = max(most, c.Columns[k].Lives[at].bare())
			}
		}
		return most
	}) {
		row(isBare, i)
	}
	return tables
}

// list is the devices that differ, one by one.
func (c *Comparison) list(l lang.Language, names *population.Population) report.Table {
	two := len(c.Columns) == 2
	t := report.Table{
		Title: l.Say("The difference for each device"), Detail: true, Rest: l.Say("All of them are in %s beside this page.", report.DifferencesFile), Caption: l.Say("Devices that end differently, or came to the same at another time."),
		Columns: []report.Column{{Name: l.Say("Device"), Whole: true}, {Name: l.Say("User"), Whole: true}},
	}
	for _, column := range c.Columns {
		t.Columns = append(t.Columns, report.Column{Name: column.Name})
	}
	if two {
		t.Columns = append(t.Columns, report.Column{Name: l.Say("Moved later by")}, report.Column{Name: l.Say("Waited longer by")}, report.Column{Name: l.Say("Held longer by")}, report.Column{Name: l.Say("Without protection longer by")})
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
	if later := 2 + len(c.Columns); two && !slices.ContainsFunc(t.Rows, func(row []any) bool { return len(row) > later+1 && row[later+1] != row[later] }) {
		t = without(t, later+1) // it says the same
	}
	return t
}

// without returns t without one of its columns.
func without(t report.Table, column int) report.Table {
	t.Columns = slices.Delete(t.Columns, column, column+1)
	for i, row := range t.Rows {
		if len(row) > column {
			t.Rows[i] = slices.Delete(row, column, column+1)
		}
	}
	return t
}

// apart is by how much later device i of the first column moved in the second, and how much longer it waited for a move, was held and
// was without protection; nothing where it is not in that one.
func (c *Comparison) apart(i int) []any {
	x, y := c.life(0, i), c.life(1, i)
	if y == nil {
		return nil
	}
	later := any(nil)
	if a, b := c.took(0, x), c.took(1, y); a != 0 && b != 0 {
		later = some(b - a)
	}
	return []any{later, some(c.waited(1, y) - c.waited(0, x)), some(y.held() - x.held()), some(y.bare() - x.bare())}
}

func some(d time.Duration) any {
	if d.Abs() < leastDifference {
		return nil
	}
	return d
}

// findings are those of all columns, each once, by harm and as it stands where it counts most; and how much it counts in each.
func (c *Comparison) findings(l lang.Language) (found []report.Finding, t report.Table) {
	t = report.Table{Title: l.Say("Findings by column"), Heads: true, Columns: []report.Column{{Name: l.Say("What")}, {Name: l.Say("Rule")}}}
	type kind struct {
		title string
		rule  protocol.Rule
	}
	var order []kind
	all := map[kind][]report.Finding{} // by column
	for k, column := range c.Columns {
		t.Columns = append(t.Columns, report.Column{Name: column.Name})
		after := 0 // where the next that is new belongs: each column's are in the same order
		for _, f := range column.Findings(l) {
			at := kind{f.Title, f.Rule}
			if all[at] == nil {
				order = slices.Insert(order, after, at)
				all[at] = make([]report.Finding, len(c.Columns))
			}
			after = slices.Index(order, at) + 1
			all[at][k] = f
		}
	}
	for _, k := range order {
		row := []any{k.title, k.rule}
		for _, f := range all[k] {
			count := any(nil)
			if f.Count > 0 {
				count = f.Count
			}
			row = append(row, count)
		}
		t.Rows = append(t.Rows, row)
		found = append(found, c.worst(all[k]))
	}
	return found, t
}

// worst is a finding as it stands in the columns where it counts most, which it names unless that is all of them; and where as many
// fare otherwise, such as for longer, as it stands in each of these. Of has it by column.
func (c *Comparison) worst(of []report.Finding) report.Finding {
	worst := slices.MaxFunc(of, func(a, b report.Finding) int { return cmp.Compare(a.Count, b.Count) }) // the first of them
	var texts []string
	in := map[string][]string{} // by text, the columns
	total := 0
	for k, f := range of {
		if f.Count < worst.Count {
			continue
		}
		name := c.Columns[k].Name
		if in[f.Consequence] == nil {
			texts = append(texts, f.Consequence)
			name = c.called(k)
		}
		in[f.Consequence] = append(in[f.Consequence], name)
		total++
	}
	if total == len(c.Columns) && len(texts) == 1 {
		return worst
	}
	for i, text := range texts {
		texts[i] = strings.Join(in[text], ", ") + ": " + text
	}
	worst.Consequence = strings.Join(texts, " ")
	return worst
}

package rehearsal

import (
	"slices"
	"strings"
	"time"

	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// A Column is one rehearsal beside others.
type Column struct {
	ID     string         // what scripts call it: the same in every language, and other than those of the columns beside it
	Name   string         // what the reader calls it, in the reader's language
	Result *report.Result // its own
	*Answers
}

// A Comparison is rehearsals side by side, device by device. Devices are the same where the wire calls them the same.
type Comparison struct {
	Columns []Column   // at least two
	Lead    string     // a sentence on what is compared, in the reader's language; may be empty
	devices []int32    // of each device of the first column, its place in each further one; -1: it has none there
	differ  difference // of two columns
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
	if len(others) == 1 {
		c.differ = c.difference()
	}
	return c
}

// place is where device i of the first column is in another; -1: it is not in that one.
func (c *Comparison) place(column, i int) int {
	if column == 0 {
		return i
	}
	return int(c.devices[(column-1)*len(c.Columns[0].Lives)+i])
}

// life is what became of device i of the first column in another; nil: it is not in that one.
func (c *Comparison) life(column, i int) *Life {
	place := c.place(column, i)
	if place < 0 {
		return nil
	}
	return &c.Columns[column].Lives[place]
}

// lasted is the length of the column's story.
func (c *Column) lasted() time.Duration { return c.End.Sub(c.Start) }

// reason is one of the column's own, in English, with the column that it is of: its name, and where that is not its id, its id.
func (c *Column) reason(own string) string {
	if c.ID == c.Name {
		return lang.English.Say("in the column %q: %s", c.Name, own)
	}
	return lang.English.Say("in the column %q (%s): %s", c.Name, c.ID, own)
}

// called is a column's name as a sentence begins with it: the name of a plan stays as it is.
func (c *Comparison) called(column int) string {
	if name := c.Columns[column].Name; len(c.Columns) > 2 {
		return upper(name)
	}
	return c.Columns[column].Name
}

// Result is what the columns come to: the figures of the first, the worst verdict, everybody's limits, checks and reasons, and in its
// sections the figures of each.
func (c *Comparison) Result() *report.Result {
	first, last := c.Columns[0].Result, c.Columns[len(c.Columns)-1].Result
	r := *first
	r.Sections, r.Reasons, r.Limits, r.Invariants = c.Sections(), nil, nil, report.Invariants{}
	r.WallSeconds, r.CPUSeconds, r.PeakRSSBytes = last.WallSeconds, last.CPUSeconds, last.PeakRSSBytes
	for _, column := range c.Columns {
		for _, reason := range column.Result.Reasons {
			r.Reasons = append(r.Reasons, column.reason(reason))
		}
		for _, limit := range column.Result.Limits {
			limit.Column, limit.Limit = column.ID, column.Name+": "+limit.Limit
			r.Limits = append(r.Limits, limit)
		}
		r.Invariants.Checked += column.Result.Invariants.Checked
		r.Invariants.Violated += column.Result.Invariants.Violated
		if r.Verdict == report.OK || column.Result.Verdict == report.Partial {
			r.Verdict = column.Result.Verdict
		}
	}
	return &r
}

// Story tells the comparison for people. Names are those of names, the first column's population.
func (c *Comparison) Story(l lang.Language, names *population.Population) *report.Story {
	first := c.Columns[0]
	s := &report.Story{
		Language: l, Headline: c.headline(l), Start: first.Start.Time(), Beside: c.figures(l), Column: c.called(0),
		Charts: c.charts(l), Spans: c.spans(l), Acts: c.acts(l), Rules: rulesIn(l), NotShown: first.notShown(l),
	}
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
		s.Until = max(s.Until, column.lasted())
		plans = append(plans, "# "+column.Name+"\n"+column.Plan.Source())
	}
	s.Lead = append(s.Lead, c.headlines(l)...)
	s.Title = l.Say("%s with %d {device|devices}", l.Span(s.Until), len(first.Lives))
	s.Plan = strings.Join(plans, "\n")
	s.Lead = append(s.Lead, c.others(l)...)
	var counts report.Table
	s.Findings, counts = c.findings(l)
	if len(c.Columns) == 2 {
		s.Tables = append(s.Tables, c.turnTable(l))
	}
	s.Tables = append(s.Tables, c.bareTable(l), counts, c.list(l, names))
	s.Tables = append(s.Tables, c.lists(l, names)...)
	s.Tables = append(s.Tables, exportTables(l, names)...)
	for k, column := range c.Columns {
		if column.Wire == nil {
			continue
		}
		for _, t := range column.wireTables(l) {
			t.Title = c.called(k) + ": " + t.Title
			s.Tables = append(s.Tables, t)
		}
	}
	return s
}

// others says what cannot be compared, where columns have different lengths or populations.
func (c *Comparison) others(l lang.Language) (said []string) {
	d, first := &c.differ, &c.Columns[0]
	for k := range c.Columns {
		other := &c.Columns[k]
		if first.lasted() == other.lasted() {
			continue
		}
		parts := []string{l.Say("%s ends after %s, and %s after %s: what grows with time, such as hours without protection, cannot be compared.", first.Name, l.Span(first.lasted()), other.Name, l.Span(other.lasted()))}
		if !other.Partial {
			parts = append(parts, l.Say("Give both plans the same until."))
		}
		if d.byLength > 0 {
			parts = append(parts, l.Say("Of the devices that fare differently %d may do so for this reason alone.", d.byLength))
		}
		said = append(said, strings.Join(parts, " "))
	}
	if len(c.Columns) > 2 || c.Columns[1].Partial {
		return said
	}
	second := &c.Columns[1]
	var parts []string
	if d.lost > 0 {
		parts = append(parts, l.Say("%d of %d {device|devices} of %s are not in %s.", d.lost, len(first.Lives), first.Name, second.Name))
	}
	if d.added > 0 {
		parts = append(parts, l.Say("%d of %d {device|devices} of %s are not in %s.", d.added, len(second.Lives), second.Name, first.Name), l.Say("The lists do not name them."))
	}
	if parts != nil {
		parts = append(parts, l.Say("The plans have different populations, and what is said of all devices cannot be compared. Give both the same population, or rehearse both with one --export."))
		said = append(said, strings.Join(parts, " "))
	}
	return said
}

func (c *Comparison) headline(l lang.Language) string {
	if len(c.Columns) == 2 {
		return l.Say("%d of %d {device|devices} fare differently: %s against %s", c.differ.devices, len(c.Columns[0].Lives)-c.differ.lost, c.Columns[1].Name, c.Columns[0].Name)
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

// headlines are what the columns come to, a sentence for each that differs, with the columns that it is of.
func (c *Comparison) headlines(l lang.Language) (said []string) {
	var of [][]string // by sentence, the columns
	for k, column := range c.Columns {
		text := column.headline(l) + "."
		if column.Wire != nil {
			text += " " + column.Wire.says(l)
		}
		i := slices.Index(said, text)
		if i < 0 {
			said, of = append(said, text), append(of, []string{c.called(k)})
			continue
		}
		of[i] = append(of[i], column.Name)
	}
	switch {
	case len(said) > 1:
		for i := range said {
			said[i] = strings.Join(of[i], ", ") + ": " + said[i]
		}
	case len(c.Columns) == 2:
		said[0] = l.Say("In both cases: %s", lower(said[0]))
	default:
		said[0] = l.Say("In all %d cases: %s", len(c.Columns), lower(said[0]))
	}
	return said
}

// Sections are what a comparison adds to its result: the answers of each column, and how many devices fare differently.
func (c *Comparison) Sections() map[string]any {
	columns := []any{}
	for _, column := range c.Columns {
		of := map[string]any{"id": column.ID, "name": column.Name, "plan": column.Plan.Name, "event_log_sha256": column.LogSHA256, "virtual_seconds": column.Result.VirtualSeconds, "devices": column.Result.Devices, "checkins": column.Result.CheckIns, "limits": append([]report.Limit{}, column.Result.Limits...), "answers": column.Sections()["answers"]}
		if column.Wire != nil {
			of["wire"] = column.Wire.section()
		}
		columns = append(columns, of)
	}
	sections := map[string]any{"columns": columns, "export": exportSection(c.Columns[0].Population)}
	if len(c.Columns) == 2 {
		turns := []any{}
		for _, x := range c.differ.turns {
			turns = append(turns, map[string]any{"first": lang.English.Say(fates[x.ends[0]]), "second": lang.English.Say(fates[x.ends[1]]), "devices": x.devices})
		}
		sections["differences"] = map[string]any{"devices": c.differ.devices, "perhaps_by_length": c.differ.byLength, "not_in_both": c.differ.lost + c.differ.added, "outcomes": turns}
	}
	return sections
}

package rehearsal

import (
	"cmp"
	"slices"
	"time"

	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// charts show the columns over one another: who moved, who is to come and who was blocked, and the storm; and in detail the timeline
// of each platform, with the columns beside one another.
func (c *Comparison) charts(l lang.Language) (charts []report.Chart) {
	for _, x := range []struct {
		title, caption string
		state          func(*Hour) byPlatform
	}{
		{l.Say("Moved"), "", timeline[0].of},
		{l.Say("Pending"), l.Say("Devices that have still to move or to register anew; those that are blocked or stranded or must enrol again are among them."), timeline[1].of},
		{l.Say("Blocked"), "", timeline[2].of},
	} {
		chart := report.Chart{Title: x.title, Caption: x.caption, Unit: l.Say("devices"), Kind: report.Lines}
		some := false
		for _, column := range c.Columns {
			s, any := column.hourly(column.Name, x.state, everywhere)
			s.End = column.lasted()
			chart.Series, some = append(chart.Series, s), some || any
		}
		if some {
			charts = append(charts, chart)
		}
	}
	storm := report.Chart{Title: l.Say("The storm"), Caption: l.Say("Check-ins that devices began, in each minute."), Unit: l.Say("per minute"), Kind: report.Peaks}
	for _, column := range c.Columns {
		s := column.minutely(column.Name, func(m *Minute) uint32 { return m.CheckIns })
		s.End = column.lasted()
		storm.Series = append(storm.Series, s)
	}
	c.Columns[0].bounded(l, &storm)
	return append(append(charts, storm), c.byPlatform(l)...)
}

// byPlatform is the timeline of each platform: small plots of one scale, one for each column.
func (c *Comparison) byPlatform(l lang.Language) (charts []report.Chart) {
	for _, p := range protocol.Platforms {
		chart := report.Chart{Title: lang.Platform(p), Unit: l.Say("devices"), Kind: report.Lines, Detail: true, Platform: p}
		some := false
		for k := range c.Columns {
			series, any := c.Columns[k].states(l, on(p))
			for i := range series {
				series[i].End = c.Columns[k].lasted()
			}
			chart.Panels, some = append(chart.Panels, report.Panel{Name: c.called(k), Series: series}), some || any
		}
		if !some {
			continue
		}
		if len(charts) == 0 {
			chart.Caption = l.Say("Devices at the end of each hour; the plots of a platform have one scale. Pending are those that have still to move or to register anew; those that are blocked or stranded or must enrol again are among them.")
		}
		charts = append(charts, chart)
	}
	return charts
}

// acts are what the plans did: once what all did at the same time, and of the rest whose it is.
func (c *Comparison) acts(l lang.Language) (acts []report.Act) {
	type what struct {
		at          time.Duration
		title, text string
	}
	at := map[what]int{}
	for k, column := range c.Columns {
		for _, x := range column.acts(l) {
			w := what{x.At, x.Title, x.Text}
			i, ok := at[w]
			if !ok {
				i, at[w] = len(acts), len(acts)
				acts = append(acts, x)
			}
			if name := c.called(k); !slices.Contains(acts[i].Of, name) {
				acts[i].Of = append(acts[i].Of, name)
			}
		}
	}
	for i := range acts {
		if len(acts[i].Of) == len(c.Columns) {
			acts[i].Of = nil
		}
	}
	slices.SortStableFunc(acts, func(a, b report.Act) int { return cmp.Compare(a.At, b.At) })
	return acts
}

// spans are the times of trouble: once what all columns had, and of the rest whose it is.
func (c *Comparison) spans(l lang.Language) (spans []report.Span) {
	type what struct {
		from, to time.Duration
		name     string
	}
	had := map[what]int{} // by so many columns
	for _, column := range c.Columns {
		for _, x := range column.spans(l) {
			had[what{x.From, x.To, x.Name}]++
		}
	}
	for k, column := range c.Columns {
		for _, x := range column.spans(l) {
			all := had[what{x.From, x.To, x.Name}] == len(c.Columns)
			if all && k > 0 {
				continue
			}
			if !all {
				x.Of = c.called(k)
			}
			spans = append(spans, x)
		}
	}
	return spans
}

package rehearsal

import (
	"time"

	"rollcall/fleet"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// byPlatform counts devices by platform ([protocol.Platform] minus one).
type byPlatform = [len(protocol.Platforms)]uint32

// timeline is the states that charts show over time.
var timeline = [...]struct {
	name lang.Key
	of   func(*Hour) byPlatform
}{
	{lang.Key("moved"), func(h *Hour) byPlatform { return h.Moved }},
	{lang.Key("pending"), func(h *Hour) (n byPlatform) {
		for p := range n {
			n[p] = h.Pending[p] + h.Stale[p]
		}
		return n
	}},
	{lang.Key("blocked"), func(h *Hour) byPlatform { return h.Blocked }},
	{lang.Key("stranded"), func(h *Hour) byPlatform { return h.Stranded }},
}

// everywhere byPlatform the devices of all platforms.
func everywhere(n byPlatform) (sum float64) {
	for _, v := range n {
		sum += float64(v)
	}
	return sum
}

// on byPlatform those of one platform.
func on(p protocol.Platform) func(byPlatform) float64 {
	return func(n byPlatform) float64 { return float64(n[p-1]) }
}

// hourly is how many devices were in a state at the end of each hour; some: there were any.
func (p *Played) hourly(name string, state func(*Hour) byPlatform, count func(byPlatform) float64) (s report.Series, some bool) {
	s = report.Series{Name: name, Points: make([]report.Point, 0, len(p.Hours)+1)}
	s.Points = append(s.Points, report.Point{})
	for i := range p.Hours {
		v := count(state(&p.Hours[i]))
		some = some || v > 0
		s.Points = append(s.Points, report.Point{At: min(time.Duration(i+1)*time.Hour, p.End.Sub(p.Start)), Value: v})
	}
	return s, some
}

// states are the series of all states of the timeline; some: there were devices in any.
func (p *Played) states(l lang.Language, count func(byPlatform) float64) (all []report.Series, some bool) {
	for _, state := range timeline {
		s, any := p.hourly(l.Say(state.name), state.of, count)
		all, some = append(all, s), some || any
	}
	return all, some
}

// minutely is what the server met in each minute.
func (p *Played) minutely(name string, of func(*Minute) uint32) report.Series {
	s := report.Series{Name: name, Points: make([]report.Point, len(p.Minutes))}
	for i := range p.Minutes {
		s.Points[i] = report.Point{At: time.Duration(i) * time.Minute, Value: float64(of(&p.Minutes[i]))}
	}
	return s
}

// bounded draws what the server takes into a chart of check-ins a minute, where somebody measured it.
func (a *Answers) bounded(l lang.Language, storm *report.Chart) {
	if a.Capacity > 0 {
		storm.Caption += " " + l.Say("The broken line is what the server takes, %s check-ins a minute.", l.Number(a.Capacity*60))
		storm.Series = append(storm.Series, report.Series{Name: l.Say("capacity"), Points: []report.Point{{Value: a.Capacity * 60}}, Limit: true})
	}
}

// charts are the timeline, of all and by platform, and the storm.
func (a *Answers) charts(l lang.Language) (charts []report.Chart) {
	chart := func(title, caption string, of protocol.Platform, count func(byPlatform) float64) {
		if series, some := a.states(l, count); some {
			charts = append(charts, report.Chart{Title: title, Caption: caption, Unit: l.Say("devices"), Kind: report.Lines, Detail: of != 0, Platform: of, Series: series})
		}
	}
	chart(l.Say("Moved, pending and blocked"), l.Say("Devices of all platforms at the end of each hour. Pending are those that have still to move or to register anew; those that are blocked or stranded or must enrol again are among them."), 0, everywhere)
	some := len(charts) > 0
	storm := report.Chart{
		Title: l.Say("The storm"), Caption: l.Say("Check-ins that devices began and pushes that the server sent, in each minute."), Unit: l.Say("per minute"), Kind: report.Peaks,
		Series: []report.Series{
			a.minutely(l.Say("pushes"), func(m *Minute) uint32 { return m.Wakes }),
			a.minutely(l.Say("check-ins"), func(m *Minute) uint32 { return m.CheckIns }),
		},
	}
	a.bounded(l, &storm)
	charts = append(charts, storm)
	if some {
		for _, p := range protocol.Platforms {
			chart(lang.Platform(p), "", p, on(p))
		}
	}
	return charts
}

// acts are what the plan did.
func (a *Answers) acts(l lang.Language) (acts []report.Act) {
	for _, x := range a.Acts {
		act := report.Act{At: x.At.Sub(a.Start), Title: l.Retell(x.Name), Text: l.Retell(x.Text), Mark: !x.Fault, Main: x.Main}
		if x.Rule != "" {
			act.Rules = []string{string(x.Rule)}
		}
		acts = append(acts, act)
	}
	return acts
}

// apples are the platforms that Apple's push certificate is about.
var apples = []protocol.Platform{protocol.IOS, protocol.IPadOS, protocol.MacOS}

// spans are the times when the push gap was open, or the push certificate had ended.
func (a *Answers) spans(l lang.Language) (spans []report.Span) {
	add := func(name string, all []fleet.Gap) {
		for _, g := range all {
			to := g.Closed
			if to == 0 {
				to = a.End
			}
			spans = append(spans, report.Span{From: g.Opened.Sub(a.Start), To: to.Sub(a.Start), Name: name, Platforms: apples})
		}
	}
	add(l.Say("gap in Apple's push certificates"), a.Gaps)
	add(l.Say("Apple's push certificate has ended"), a.Silences)
	return spans
}

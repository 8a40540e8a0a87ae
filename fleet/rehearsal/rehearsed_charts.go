package rehearsal

import (
	"time"

	"rollcall/fleet"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// charts are the timeline, of all and by platform, and the storm.
func (a *Answers) charts(l lang.Language) (charts []report.Chart) {
	type counts = [len(protocol.Platforms)]uint32
	states := []struct {
		name lang.Key
		of   func(*Hour) counts
	}{
		{lang.Key("moved"), func(h *Hour) counts { return h.Moved }},
		{lang.Key("to come"), func(h *Hour) (n counts) {
			for p := range n {
				n[p] = h.Pending[p] + h.Stale[p]
			}
			return n
		}},
		{lang.Key("blocked"), func(h *Hour) counts { return h.Blocked }},
		{lang.Key("stranded"), func(h *Hour) counts { return h.Stranded }},
	}
	chart := func(title, caption string, detail bool, count func(counts) float64) {
		c := report.Chart{Title: title, Caption: caption, Unit: l.Say("devices"), Kind: report.Lines, Detail: detail}
		some := false
		for _, state := range states {
			s := report.Series{Name: l.Say(state.name), Points: make([]report.Point, 0, len(a.Hours)+1)}
			s.Points = append(s.Points, report.Point{})
			for i := range a.Hours {
				v := count(state.of(&a.Hours[i]))
				some = some || v > 0
				s.Points = append(s.Points, report.Point{At: min(time.Duration(i+1)*time.Hour, a.End.Sub(a.Start)), Value: v})
			}
			c.Series = append(c.Series, s)
		}
		if some {
			charts = append(charts, c)
		}
	}
	chart(l.Say("Moved, to come and blocked"), l.Say("Devices of all platforms at the end of each hour. To come are those that have still to move or to register anew; the blocked are among them."), false, func(n counts) (sum float64) {
		for _, v := range n {
			sum += float64(v)
		}
		return sum
	})
	timeline := len(charts)
	storm := report.Chart{Title: l.Say("The storm"), Caption: l.Say("Check-ins that devices began and pushes that the server sent, in each minute."), Unit: l.Say("per minute"), Kind: report.Peaks}
	for _, x := range []struct {
		name string
		of   func(*Minute) uint32
	}{
		{l.Say("pushes"), func(m *Minute) uint32 { return m.Wakes }},
		{l.Say("check-ins"), func(m *Minute) uint32 { return m.CheckIns }},
	} {
		s := report.Series{Name: x.name, Points: make([]report.Point, len(a.Minutes))}
		for i := range a.Minutes {
			s.Points[i] = report.Point{At: time.Duration(i) * time.Minute, Value: float64(x.of(&a.Minutes[i]))}
		}
		storm.Series = append(storm.Series, s)
	}
	if a.Capacity > 0 {
		storm.Caption += " " + l.Say("The broken line is what the server takes, %s check-ins a minute.", l.Number(a.Capacity*60))
		storm.Series = append(storm.Series, report.Series{Name: l.Say("capacity"), Points: []report.Point{{Value: a.Capacity * 60}}, Limit: true})
	}
	charts = append(charts, storm)
	if timeline > 0 {
		for _, p := range protocol.Platforms {
			chart(lang.Platform(p), "", true, func(n counts) float64 { return float64(n[p-1]) })
		}
	}
	return charts
}

// acts are what the plan did.
func (a *Answers) acts(l lang.Language) (acts []report.Act) {
	for _, x := range a.Acts {
		act := report.Act{At: x.At.Sub(a.Start), Title: l.Retell(x.Name), Text: l.Retell(x.Text), Mark: !x.Fault}
		if x.Rule != "" {
			act.Rules = []string{string(x.Rule)}
		}
		acts = append(acts, act)
	}
	return acts
}

// spans are the times when the push gap was open, or the push certificate had ended.
func (a *Answers) spans(l lang.Language) (spans []report.Span) {
	add := func(name string, all []fleet.Gap) {
		for _, g := range all {
			to := g.Closed
			if to == 0 {
				to = a.End
			}
			spans = append(spans, report.Span{From: g.Opened.Sub(a.Start), To: to.Sub(a.Start), Name: name})
		}
	}
	add(l.Say("gap in Apple's push certificates"), a.Gaps)
	add(l.Say("Apple's push certificate has ended"), a.Silences)
	return spans
}

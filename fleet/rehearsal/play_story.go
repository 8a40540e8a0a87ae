package rehearsal

import (
	"time"

	"rollcall/fleet/report"
	"rollcall/protocol"
)

// Story tells the rehearsal for people.
func (p *Played) Story() *report.Story {
	s := &report.Story{
		Title: length(p.End.Sub(p.Start)) + " with " + plural(len(p.Lives), "device"), Start: p.Start.Time(), Until: p.End.Sub(p.Start), PlanName: p.Plan.Name, Rules: ruleWords,
		NotShown: []string{"Every platform is played by rule: no protocol was spoken, and no real service was asked."},
	}
	series := func(name string, of func(h *Hour) *[len(protocol.Platforms)]uint32) report.Series {
		line := report.Series{Name: name}
		for i := range p.Hours {
			sum := uint32(0)
			for _, n := range of(&p.Hours[i]) {
				sum += n
			}
			line.Points = append(line.Points, report.Point{At: time.Duration(i+1) * time.Hour, Value: float64(sum)})
		}
		return line
	}
	s.Charts = []report.Chart{{Title: "Devices between the authorities", Caption: "How the devices stand, hour by hour.", Unit: "devices", Kind: report.Lines, Series: []report.Series{
		series("enrolled", func(h *Hour) *[len(protocol.Platforms)]uint32 { return &h.Enrolled }),
		series("moved", func(h *Hour) *[len(protocol.Platforms)]uint32 { return &h.Moved }),
		series("pending", func(h *Hour) *[len(protocol.Platforms)]uint32 { return &h.Pending }),
		series("blocked", func(h *Hour) *[len(protocol.Platforms)]uint32 { return &h.Blocked }),
	}}}
	for _, a := range p.Acts {
		act := report.Act{At: a.At.Sub(p.Start), Title: a.Name, Text: a.Text, Mark: !a.Fault}
		if a.Rule != "" {
			act.Rules = []string{string(a.Rule)}
		}
		s.Acts = append(s.Acts, act)
	}
	return s
}

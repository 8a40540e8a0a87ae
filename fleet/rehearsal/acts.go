package rehearsal

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/delivery"
)

// acts are what the plan did, under the acts of the story that it names.
func (t *telling) acts() (acts []report.Act) {
	var done []report.Act
	for _, a := range t.Fleet.Acts() {
		act := report.Act{At: a.At.Sub(t.Start), Title: t.Retell(a.Name), Text: t.Retell(a.Text), Mark: !a.Fault && len(t.Plan.Acts) == 0, Main: a.Main}
		if a.Rule != "" {
			act.Rules = []string{string(a.Rule)}
		}
		done = append(done, act)
	}
	end := t.Now.Sub(t.Start) + 1
	for i := range t.Plan.Acts {
		from, to := time.Duration(t.Plan.Acts[i].At), end
		if i+1 < len(t.Plan.Acts) {
			to = min(to, time.Duration(t.Plan.Acts[i+1].At))
		}
		if from >= end { // the run ended before
			break
		}
		text, rules := t.happened(t.Start.Add(from), t.Start.Add(to))
		acts = append(acts, report.Act{At: from, Title: t.Say("Act %d: %s", i+1, t.known(t.Plan.Acts[i].Name)), Text: text, Rules: rules, Mark: true})
		for len(done) > 0 && done[0].At < to {
			acts = append(acts, done[0])
			done = done[1:]
		}
	}
	return append(acts, done...)
}

// happenings are what an act counts, in the order of its sentence.
var happenings = []struct {
	side Side
	what string
	name lang.Key
}{
	{OfDevice, string(fleet.Joined), lang.Key("%d {enrolment|enrolments}")},
	{OfDevice, string(fleet.NotJoined), lang.Key("%d {failed enrolment|failed enrolments}")},
	{OfServer, string(delivery.WhatBlocked), lang.Key("%d {device|devices} turned away by the gap")},
	{OfServer, string(delivery.WhatMoved), lang.Key("%d {device|devices} moved")},
	{OfServer, string(delivery.WhatReregistered), lang.Key("%d {device|devices} registered anew")},
	{OfServer, string(delivery.WhatProfileInstalled), lang.Key("%d {profile|profiles} installed")},
	{OfServer, string(delivery.WhatOverwritten), lang.Key("%d {profile|profiles} overwritten by a namesake")},
	{OfServer, string(delivery.WhatProfileRemoved), lang.Key("%d {profile|profiles} removed")},
	{OfDevice, string(fleet.Outlived), lang.Key("%d {device|devices} dropped what was left of the authority before")},
	{OfServer, string(delivery.WhatEnded), lang.Key("%d {enrolment|enrolments} ended")},
	{OfServer, string(delivery.WhatRenewed), lang.Key("%d {certificate|certificates} renewed")},
}

// happened says what the log counts from a moment on to another, and by which rules of authority.
func (t *telling) happened(from, to protocol.Time) (text string, rules []string) {
	counts := map[sight]int{}
	seen := map[protocol.Rule]bool{}
	for i := range t.lines {
		l := &t.lines[i]
		if l.At < from || l.At >= to {
			continue
		}
		counts[sight{l.Side, l.What}]++
		if strings.HasPrefix(string(l.Rule), "AUTH-") {
			seen[l.Rule] = true
		}
	}
	var parts []string
	for _, h := range happenings {
		if n := counts[sight{h.side, h.what}]; n > 0 {
			parts = append(parts, t.Say(h.name, n))
		}
	}
	for r := range seen {
		rules = append(rules, string(r))
	}
	slices.Sort(rules)
	if len(parts) == 0 {
		return t.Say("Nothing that changes where a device stands."), rules
	}
	return t.Say("Counted: %s.", strings.Join(parts, ", ")), rules
}

// changes tells whether the plan changes who manages devices, or who should.
func (t *telling) changes() bool {
	return slices.ContainsFunc(t.Plan.Timeline, func(a plan.Action) bool { return a.Authority != nil || a.Licences != nil || a.SupportMove != nil })
}

// standings is the sentence on where the devices stand between the authorities; empty: nothing changed that.
func (t *telling) standings() string {
	d := &t.result.Devices
	if !t.changes() {
		return ""
	}
	s := t.Say("%d {device|devices} moved to another authority and %d registered anew", d.Moved, d.Reregistered)
	if d.NeedsSupport > 0 {
		s += "; " + t.Say("%d {device is|devices are} without a user and stay where they are until support moves them", d.NeedsSupport)
	}
	if n := t.cut(); n > 0 {
		s += "; " + t.Say("a push certificate with another topic stranded %d {device|devices}, until they enrol again (AUTH-32)", n)
	}
	if n := d.Pending + d.Stale; n > 0 {
		s += "; " + t.Say("%d {is|are} still to come", n)
	}
	return s + "."
}

func (t *telling) cut() int {
	if t.Watch == nil {
		return 0
	}
	return t.Watch.Cut()
}

// authorities counts what the changes did, by rule.
func (t *telling) authorities() report.Table {
	what := map[string]string{
		string(delivery.WhatMoved): t.Say("devices moved"), string(delivery.WhatReregistered): t.Say("devices registered anew"), string(delivery.WhatBlocked): t.Say("devices turned away by the gap"),
		string(delivery.WhatSupportMove): t.Say("support moves asked for"), string(delivery.WhatOverwritten): t.Say("profiles overwritten by their namesakes"),
		string(delivery.WhatRedundant): t.Say("profiles left behind for a while"), string(delivery.WhatProfileRemoved): t.Say("profiles removed"),
	}
	type key struct {
		what string
		rule protocol.Rule
	}
	counts := map[key]int{}
	for i := range t.lines {
		if l := &t.lines[i]; l.Side == OfServer && what[l.What] != "" && l.Rule != protocol.RuleUnassigned {
			counts[key{what[l.What], l.Rule}]++
		}
	}
	table := t.counted(t.Say("Between the authorities"), t.Say("What the changes of authority and of licences did, and by which rule."))
	for _, k := range sortedKeys(counts, func(a, b key) int { return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.rule, b.rule)) }) {
		table.Rows = append(table.Rows, []any{k.what, counts[k], k.rule, ""})
	}
	moved, again := t.byEnrolment()
	for _, x := range []struct {
		what string
		n    int
	}{{t.Say("devices that came to another authority by a new enrolment"), moved}, {t.Say("devices that took the newer epoch by a new enrolment"), again}} {
		if x.n > 0 {
			table.Rows = append(table.Rows, []any{x.what, x.n, protocol.RuleAgain, ""})
		}
	}
	if n := t.cut(); n > 0 {
		table.Rows = append(table.Rows, []any{t.Say("devices stranded by another topic"), n, string(protocol.RuleOtherTopic), t.Say("renew under the same Apple ID instead")})
	}
	if n := t.Fleet.Counts().Expired; n > 0 {
		table.Rows = append(table.Rows, []any{t.Say("profiles that devices dropped by themselves"), n, protocol.RuleSevenDays, t.Say("seven days were over")})
	}
	return table
}

// byEnrolment counts the devices that moved, or took a newer epoch, by nothing else than a new enrolment.
func (t *telling) byEnrolment() (moved, again int) {
	if t.Watch == nil {
		return 0, 0
	}
	seen := map[string]map[string]bool{string(delivery.WhatMoved): {}, string(delivery.WhatReregistered): {}}
	for i := range t.lines {
		if of := seen[t.lines[i].What]; of != nil && t.lines[i].Side == OfServer {
			of[t.lines[i].Device] = true
		}
	}
	for i := range t.Population.Devices {
		name := t.Population.Devices[i].UDID
		s := t.Watch.Standing(t.Now, t.Fleet.Name(i))
		if s.Moved && !seen[string(delivery.WhatMoved)][name] {
			moved++
		}
		if s.Reregistered && !seen[string(delivery.WhatReregistered)][name] {
			again++
		}
	}
	return moved, again
}

// left lists by name the devices that the changes left behind, and what would help.
func (t *telling) left() report.Table {
	table := report.Table{
		Title: t.Say("Left behind"), Caption: t.Say("Devices that are not where the authority would have them, and what moves them."),
		Columns: []report.Column{{Name: t.Say("Name"), Whole: true}, {Name: t.Say("Serial number"), Whole: true}, {Name: t.Say("Managed by")}, {Name: t.Say("Why")}, {Name: t.Say("What helps")}},
	}
	if t.Watch == nil {
		return table
	}
	for i := range t.Population.Devices {
		p := &t.Population.Devices[i]
		s := t.Watch.Standing(t.Now, t.Fleet.Name(i))
		why, help := "", ""
		switch {
		case s.NeedsSupport:
			why, help = t.Say("it has no user (AUTH-18)"), "rollcall devices support-move"
		case s.Stranded:
			why, help = t.Say("nobody can reach it any more (AUTH-32, AUTH-42)"), t.Say("it enrols again (AUTH-44)")
		case s.Blocked:
			why, help = t.Say("Apple's push certificate holds it (AUTH-30)"), t.Say("a renewed certificate is uploaded")
		case s.Pending || s.Stale:
			why, help = t.Say("it has not completed a check-in since"), t.Say("it comes by itself (AUTH-21)")
		case s.Unlicensed:
			why, help = t.Say("its user holds no licence for the authority that manages it (AUTH-17, AUTH-24)"), t.Say("a licence is assigned")
		default:
			continue
		}
		if table.Total++; len(table.Rows) < rows {
			table.Rows = append(table.Rows, []any{p.Name, p.Serial, t.view.devices[t.Fleet.Name(i)].Registered.String(), why, help})
		}
	}
	return table
}

// moves is the chart of devices that changed hands.
func (t *telling) moves() report.Chart {
	_, width := t.Fleet.Bins()
	bins := int(t.Now.Sub(t.Start)/width) + 1
	series := func(name string, what delivery.What) report.Series {
		n := make([]int, bins)
		for i := range t.lines {
			if l := &t.lines[i]; l.Side == OfServer && l.What == string(what) && l.At >= t.Start {
				n[min(int(l.At.Sub(t.Start)/width), bins-1)]++
			}
		}
		s := report.Series{Name: name}
		for i, v := range n {
			s.Points = append(s.Points, report.Point{At: time.Duration(i) * width, Value: float64(v)})
		}
		return s
	}
	return report.Chart{
		Title: t.Say("Moves"), Caption: t.Say("Devices that registered with another authority, and those that took a newer epoch of the same."), Unit: per(t.Language, width), Kind: report.Bars,
		Series: []report.Series{series(t.Say("moved"), delivery.WhatMoved), series(t.Say("registered anew"), delivery.WhatReregistered)},
	}
}

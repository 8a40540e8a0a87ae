package rehearsal

import (
	"time"

	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

// moveTables count the devices by platform, by whom they are registered with, and by how they came.
func (a *Answers) moveTables(l lang.Language) []report.Table {
	tables := make([]report.Table, 3)
	for i, x := range []struct {
		title, first string
		groups       []Group
	}{
		{l.Say("Who moved, by platform"), l.Say("Platform"), a.ByPlatform},
		{l.Say("Who moved, by authority at the end"), l.Say("Managed by"), a.ByAuthority},
		{l.Say("Who moved, by enrolment"), l.Say("Enrolled"), a.Ways},
	} {
		t := report.Table{Title: x.title, Columns: []report.Column{
			{Name: x.first},
			{Name: l.Say("Devices")},
			{Name: l.Say("Movable")},
			{Name: l.Say("Moved"), Bar: true},
			{Name: l.Say("Registered anew")},
			{Name: l.Say("Pending")},
			{Name: l.Say("Blocked")},
			{Name: l.Say("Stranded")},
			{Name: l.Say("Must enrol again")},
			{Name: l.Say("Unlicensed")},
		}}
		for j := range x.groups {
			g := &x.groups[j]
			t.Rows = append(t.Rows, []any{g.Name(l), g.Devices, g.Movable, g.Moved, g.Reregistered, g.Pending + g.Stale, g.Blocked, g.Stranded, g.MustEnrol, g.Unlicensed})
		}
		tables[i] = t
	}
	return tables
}

func (a *Answers) bareTable(l lang.Language) report.Table {
	t := report.Table{
		Title: l.Say("Without protection, by family"), Caption: l.Say("Device-hours without a profile of a family that the device had had. Two devices for an hour are two device-hours."),
		Columns: []report.Column{{Name: l.Say("Family")}, {Name: l.Say("Device-hours"), Bar: true}, {Name: l.Say("Devices")}, {Name: l.Say("Half for")}, {Name: l.Say("Longest")}},
	}
	for f := range a.Bare {
		if b := &a.Bare[f]; b.Devices > 0 {
			t.Rows = append(t.Rows, []any{protocol.Family(f), b.Total.hours(), b.Devices, b.Half, b.Longest})
		}
	}
	return t
}

var strandedBy = map[authority.Reason]struct {
	rule protocol.Rule
	text lang.Key
}{
	authority.Expired:      {protocol.RuleNotRenewed, lang.Key("the identity certificate has ended")},
	authority.Revoked:      {protocol.RuleNotRenewed, lang.Key("the identity certificate was revoked")},
	authority.TopicChanged: {protocol.RuleOtherTopic, lang.Key("the push certificate has another topic")},
	authority.Userless:     {protocol.RuleUserless, lang.Key("no user whose licence could decide")},
	authority.Offline:      {protocol.RuleRegistered, lang.Key("off the network to the end")},
}

func (a *Answers) strandedTable(l lang.Language) report.Table {
	t := report.Table{
		Title: l.Say("Stranded, by reason"), Caption: l.Say("Devices that will never move by themselves; the first reason that holds counts."),
		Columns: []report.Column{{Name: l.Say("Reason")}, {Name: l.Say("Devices"), Bar: true}, {Name: l.Say("Rule")}},
	}
	for _, r := range authority.Reasons {
		if n := a.Stranded[r]; n > 0 {
			t.Rows = append(t.Rows, []any{l.Say(strandedBy[r].text), n, strandedBy[r].rule})
		}
	}
	return t
}

// concernTable is the list of the devices of a concern, without columns and rows.
func concernTable(l lang.Language, c concern, assignable bool) report.Table {
	w := &concernWords[c]
	action := w.action
	if c == isBare && !assignable {
		action = waitsForIt
	}
	caption := l.Say(w.caption) + " " + upper(l.Say(action)) + "."
	if c == isBare {
		caption += " " + l.Say("The times are sums over the families of profiles.")
	}
	return report.Table{
		Title: l.Say(w.title), Caption: caption, Rest: l.Say("All of them are in %s beside this page.", report.ListFile),
		Columns: []report.Column{{Name: l.Say("Device"), Whole: true}, {Name: l.Say("Platform")}, {Name: l.Say("User"), Whole: true}},
	}
}

// lists are the devices to act on, a list for each concern; the CSV has them all.
func (a *Answers) lists(l lang.Language, names *population.Population) []report.Table {
	tables := make([]report.Table, concerns)
	for c := range tables {
		tables[c] = concernTable(l, concern(c), a.assignable())
		tables[c].Columns = append(tables[c].Columns, report.Column{Name: l.Say("Last seen"), Whole: true}, report.Column{Name: l.Say("Without protection")})
	}
	row := func(c concern, i int) {
		life := &a.Lives[i]
		last, bare := any(nil), any(nil)
		if life.LastSeen != 0 {
			last = life.LastSeen.Time()
		}
		if b := life.bare(); c == isBare && b > 0 {
			bare = b
		}
		tables[c].Rows = append(tables[c].Rows, []any{names.Devices[i].Name, names.Devices[i].Platform, userName(names, i), last, bare})
	}
	for i := range a.Lives {
		if a.concerns[i] == 0 {
			continue
		}
		for c := range concerns {
			if !a.has(i, c) {
				continue
			}
			if tables[c].Total++; c != isBare && len(tables[c].Rows) < rows {
				row(c, i)
			}
		}
	}
	for _, i := range slowest(rows, len(a.Lives), func(i int) time.Duration { return a.Lives[i].bare() }) {
		row(isBare, i)
	}
	return tables
}

func (a *Answers) upkeep(l lang.Language) report.Table {
	t := report.Table{Title: l.Say("Certificates and records"), Columns: []report.Column{{Name: l.Say("What")}, {Name: l.Say("Number")}, {Name: l.Say("Rule")}}}
	for _, x := range []struct {
		what lang.Key
		n    uint64
		rule protocol.Rule
	}{
		{lang.Key("enrolments"), a.Enrolments, ""},
		{lang.Key("of them of devices that had one before"), uint64(a.Again), protocol.RuleAgain},
		{lang.Key("attempts to enrol that the gap refused"), a.Declined, protocol.RulePushGap},
		{lang.Key("devices that made them"), uint64(a.Turned), protocol.RulePushGap},
		{lang.Key("devices that another push topic stranded"), uint64(a.Cut), protocol.RuleOtherTopic},
		{lang.Key("certificates renewed"), a.Renewals, protocol.RuleRenewal},
		{lang.Key("devices that must enrol again"), uint64(a.All.MustEnrol), protocol.RuleNotRenewed},
		{lang.Key("records removed"), a.Removed, protocol.RuleRecordKept},
		{lang.Key("profiles left behind"), uint64(a.Redundant), "AUTH-36"},
	} {
		t.Rows = append(t.Rows, []any{l.Say(x.what), x.n, x.rule})
	}
	return t
}

func (a *Answers) stormTable(l lang.Language) report.Table {
	t := report.Table{
		Title: l.Say("The busiest minutes"), Caption: l.Say("Nobody measured the server: --capacity says what it takes."),
		Columns: []report.Column{{Name: l.Say("What")}, {Name: l.Say("In a minute")}, {Name: l.Say("When")}, {Name: l.Say("Of the capacity")}},
	}
	share := any(nil)
	if a.Capacity > 0 {
		t.Caption = l.Say("The server takes %s check-ins a minute; in %d {minute|minutes} devices began more.", l.Number(a.Capacity*60), a.Over)
		share = report.Share(float64(a.CheckInPeak.Count) / (a.Capacity * 60))
	}
	t.Rows = [][]any{
		{l.Say("check-ins"), a.CheckInPeak.Count, a.moment(l, a.CheckInPeak), share},
		{l.Say("pushes"), a.WakePeak.Count, a.moment(l, a.WakePeak), nil},
		{l.Say("certificates issued"), a.IssuePeak.Count, a.moment(l, a.IssuePeak), nil},
	}
	return t
}

// weekTable is the forecast of HST-116: when the identities end that there are at the end of the story.
func (a *Answers) weekTable(l lang.Language) report.Table {
	t := report.Table{
		Title: l.Say("Certificates that end"), Caption: l.Say("When the identity certificates end that devices have at the end of the story. They are renewed in the weeks before, while the devices check in (AUTH-41)."),
		Columns: []report.Column{{Name: l.Say("Week from"), Whole: true}, {Name: l.Say("Certificates"), Bar: true}},
	}
	for i, n := range a.Weeks {
		if n > 0 {
			t.Rows = append(t.Rows, []any{a.End.Add(time.Duration(i) * week).Time().Format("2006-01-02"), n})
		}
	}
	return t
}

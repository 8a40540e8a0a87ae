package rehearsal

import (
	"maps"
	"strings"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

// Story tells the rehearsal for people, in a language. Names are those of names, the same population with or without tokens.
func (a *Answers) Story(l lang.Language, names *population.Population) *report.Story {
	s := &report.Story{
		Language: l, Headline: a.headline(l), Title: a.title(l), Start: a.Start.Time(), Until: a.End.Sub(a.Start),
		Lead: a.lead(l, names), Findings: a.Findings(l), Figures: a.figures(l), Charts: a.charts(l), Spans: a.spans(l), Acts: a.acts(l),
		PlanName: a.Plan.Name, Plan: a.Plan.Source(), NotShown: a.notShown(l), Rules: rulesIn(l),
	}
	s.Tables = a.moveTables(l)
	s.Tables = append(s.Tables, a.bareTable(l), a.strandedTable(l))
	s.Tables = append(s.Tables, a.lists(l, names)...)
	s.Tables = append(s.Tables, a.upkeep(l), a.stormTable(l), a.weekTable(l))
	s.Tables = append(s.Tables, exportTables(l, names)...)
	if a.Wire != nil {
		var d report.Devices
		a.countDevices(&d)
		s.Tables = append(s.Tables, a.Wire.tables(l, d.ByPlatform)...)
	}
	return s
}

func (a *Answers) title(l lang.Language) string {
	return l.Say("%s with %d {device|devices}", l.Span(a.End.Sub(a.Start)), len(a.Lives))
}

func (a *Answers) headline(l lang.Language) string {
	text := l.Say("No device was to move")
	switch n := a.All.Stranded; {
	case a.All.Movable == 0 && a.All.Reregistered > 0:
		text = l.Say("No device was to move; %d registered anew", a.All.Reregistered)
	case a.All.Movable == 1 && a.All.Moved == 1:
		text = l.Say("The one device that could move did")
	case a.All.Movable > 0 && a.All.Moved == a.All.Movable:
		text = l.Say("All %d {device|devices} that could move did", a.All.Movable)
	case a.All.Movable > 0:
		text = l.Say("%d of the %d {device|devices} that could move did", a.All.Moved, a.All.Movable)
	case n > 0:
		text = l.Say("No device could move by itself")
	}
	if n := a.All.Stranded; n > 0 {
		text += "; " + l.Say("%d never will by themselves", n)
	}
	if n := a.Forced; n > 0 {
		text += "; " + l.Say("%d had to enrol again", n)
	}
	if n := a.All.MustEnrol; n > 0 {
		text += "; " + l.Say("%d must enrol again", n)
	}
	switch {
	case a.Partial && a.Devices != nil:
		text = l.Say("Interrupted: %d of %d {device|devices} were played, for %s; of these: %s", len(a.Lives), len(a.Lives)+a.Population.LeftOutBy()[string(population.NotPlayed)], l.Span(a.End.Sub(a.Start)), text)
	case a.Partial:
		text = l.Say("Interrupted after %s; until then: %s", l.Span(a.End.Sub(a.Start)), text)
	}
	return text
}

func (a *Answers) lead(l lang.Language, names *population.Population) (lead []string) {
	if a.Lead != "" {
		lead = append(lead, a.Lead)
	}
	if borrowed(a.Plan, a.Population) {
		lead = append(lead, sayBorrowed(l, a.Plan))
	}
	switch {
	case a.All.Movable > 0 && a.Began == 0:
		lead = append(lead, l.Say("Those that moved did so before the beginning, at their first check-in."))
	case a.All.Movable > 0:
		var parts []string
		for _, x := range []struct {
			after    time.Duration
			yes, not lang.Key
		}{
			{a.Half, lang.Key("half had moved after %s"), lang.Key("not half have moved at the end")},
			{a.Most, lang.Key("95 in 100 after %s"), lang.Key("not 95 in 100 at the end")},
			{a.Whole, lang.Key("all after %s"), lang.Key("not all at the end")},
		} {
			if x.after == Never {
				parts = append(parts, l.Say(x.not))
				break
			}
			parts = append(parts, l.Say(x.yes, l.Span(x.after)))
		}
		lead = append(lead, l.Say("Counted from the first device that could move: %s.", strings.Join(parts, ", ")))
	}
	if a.Last >= 0 {
		lead = append(lead, l.Say("The last, %s, moved on %s: %s.", names.Devices[a.Last].Name, l.Moment(a.Lives[a.Last].MovedAt.Sub(a.Start), a.End.Sub(a.Start)), a.whyLast(l)))
	}
	if a.Held.Devices > 0 {
		lead = append(lead, l.Say("Apple's push certificate held %d {device|devices}, the last of them for %s.", a.Held.Devices, l.Span(a.Held.Longest)))
	}
	if a.Declined > 0 {
		lead = append(lead, l.Say("%d {enrolment was|enrolments were} refused in the gap.", a.Declined))
	}
	if a.Wire != nil {
		lead = append(lead, a.Wire.says(l))
	}
	if a.Violated > 0 {
		lead = append(lead, l.Say("Invariants of the model were violated %d {time|times}: this result is not to be relied on.", a.Violated))
	}
	return lead
}

// whyLast says why the device that moved last was last: what took most of its time.
func (a *Answers) whyLast(l lang.Language) string {
	life := &a.Lives[a.Last]
	if life.FirstPending == 0 {
		return l.Say("support moved it (AUTH-18)")
	}
	late, wait := life.FirstPending.Sub(a.Began), life.MovedAt.Sub(life.FirstPending)
	switch {
	case life.Cut && life.Again > 0:
		return l.Say("a push certificate with another topic had stranded it until it enrolled again (AUTH-32)")
	case life.Lapsed && life.Again > 0:
		return l.Say("its identity had ended, and it had to enrol again (AUTH-42)")
	case 2*life.held() > max(wait, late) && life.Silenced > life.Blocked:
		return l.Say("the push certificate held it for %s (%s)", l.Span(life.held()), protocol.RulePushExpired)
	case 2*life.held() > max(wait, late):
		return l.Say("the push certificate held it for %s (%s)", l.Span(life.held()), protocol.RulePushGap)
	case late > wait:
		return l.Say("it could move only %s after the first, when its turn came (AUTH-23)", l.Span(late))
	}
	return l.Say("it did not complete a check-in for %s after it could move (AUTH-21)", l.Span(wait))
}

func (a *Answers) figures(l lang.Language) []report.Figure {
	share := any(nil)
	if a.All.Movable > 0 {
		share = report.Share(float64(a.All.Moved) / float64(a.All.Movable))
	}
	peak := report.Figure{
		Name: l.Say("check-ins in the busiest minute"), Value: a.CheckInPeak.Count, Note: a.moment(l, a.CheckInPeak), Bad: a.Over > 0,
	}
	if a.Capacity > 0 {
		peak.Note = l.Say("the server takes %s", l.Number(a.Capacity*60))
	}
	held := report.Figure{Name: l.Say("held by the push certificate"), Value: a.Held.Devices, Bad: a.Held.Devices > 0}
	if a.Held.Devices > 0 {
		held.Note = l.Say("for %s at most", l.Span(a.Held.Longest))
	}
	return []report.Figure{
		{Name: l.Say("of the movable devices moved"), Value: share, Note: l.Say("%d registered anew", a.All.Reregistered), Bad: a.All.Moved < a.All.Movable},
		held,
		{Name: l.Say("never move by themselves"), Value: a.All.Stranded, Note: l.Say("%d need support", a.All.NeedsSupport), Bad: a.All.Stranded > 0},
		{Name: l.Say("must enrol again"), Value: a.All.MustEnrol, Note: l.Say("%d had to and did", a.Forced), Bad: a.All.MustEnrol > 0},
		{Name: l.Say("device-hours without protection"), Value: a.bareTotal().hours(), Note: l.Say("on %d {device|devices}", a.BareAny), Bad: a.BareAny > 0},
		peak,
	}
}

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
			{Name: l.Say("To come")},
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

// lists are the devices to act on, a list for each concern; the CSV has them all.
func (a *Answers) lists(l lang.Language, names *population.Population) []report.Table {
	tables := make([]report.Table, concerns)
	for c := range tables {
		w := &concernWords[c]
		action := w.action
		if concern(c) == isBare && !a.assignable() {
			action = waitsForIt
		}
		tables[c] = report.Table{
			Title: l.Say(w.title), Caption: l.Say(w.caption) + " " + upper(l.Say(action)) + ".", Rest: l.Say("All of them are in %s beside this page.", report.ListFile),
			Columns: []report.Column{{Name: l.Say("Device"), Whole: true}, {Name: l.Say("Platform")}, {Name: l.Say("User"), Whole: true}, {Name: l.Say("Last seen"), Whole: true}, {Name: l.Say("Without protection")}},
		}
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
	for _, i := range a.slowest(rows, (*Life).bare) {
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
		{lang.Key("enrolments that the gap refused"), a.Declined, protocol.RulePushGap},
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

func (a *Answers) notShown(l lang.Language) []string {
	wire := l.Say("No wire: device and server cores met without network, TLS and latency; the storm counts check-ins, not what a server can take.")
	if a.Wire != nil {
		wire = l.Say("No network: nothing went over TLS or with latency; the share that spoke met the server in real messages, all others by rule alone; the storm counts check-ins, not what a server can take.")
	}
	not := []string{
		wire,
		l.Say("Habits are drawn by chance from the plan or the export: another seed tells another story of the same kind."),
		l.Say("Where Microsoft's guidance is silent the model has made a choice, marked (m) in its rules."),
	}
	if h := &a.Plan.Population.Habits; h.Dozes > 0 && h.Demoted > 0 {
		not = append(not, l.Say("Nobody dozes here: a wake-up that Google takes down to normal priority waits for a window of doze in a lab alone."))
	}
	stale := 0
	for i := range a.Population.Devices {
		stale += one(a.Population.Tenant.AsOf != 0 && a.Population.Devices[i].Joins == population.Already && !a.Population.Devices[i].Current)
	}
	if stale > 0 {
		not = append(not, l.Say("%d {device has|devices have} not registered since the latest change of authority, says the export; here all have.", stale))
	}
	return not
}

// rulesIn says in l what each rule is about.
func rulesIn(l lang.Language) map[string]string {
	all := make(map[string]string, len(ruleWords))
	for rule, key := range ruleWords {
		all[rule] = l.Say(key)
	}
	return all
}

// upper begins a sentence with a capital.
func upper(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Sections are what a rehearsal adds to its result: the answers in numbers, and the findings in English.
func (a *Answers) Sections() map[string]any {
	unprotected := map[string]any{}
	for f := range a.Bare {
		if b := &a.Bare[f]; b.Devices > 0 {
			unprotected[protocol.Family(f).String()] = map[string]any{"devices": b.Devices, "hours": float64(b.Total) / float64(time.Hour/time.Millisecond), "longest_seconds": b.Longest.Seconds()}
		}
	}
	stranded := map[string]int{}
	for r, n := range a.Stranded {
		stranded[r.String()] = n
	}
	barred := map[protocol.Rule]uint64{}
	maps.Copy(barred, a.Barred)
	seconds := func(d time.Duration) any {
		if d == Never {
			return nil
		}
		return d.Seconds()
	}
	peak := func(p Peak) map[string]any { return map[string]any{"count": p.Count, "at_seconds": p.At.Seconds()} }
	answers := map[string]any{
		"movable": a.All.Movable, "moved_50_seconds": seconds(a.Half), "moved_95_seconds": seconds(a.Most), "moved_100_seconds": seconds(a.Whole),
		"held":     map[string]any{"devices": a.Held.Devices, "half_seconds": a.Held.Half.Seconds(), "longest_seconds": a.Held.Longest.Seconds(), "enrolments_refused": a.Declined},
		"silenced": map[string]any{"devices": a.Silenced.Devices, "half_seconds": a.Silenced.Half.Seconds(), "longest_seconds": a.Silenced.Longest.Seconds()},
		"barred":   barred, "had_to_enrol_again": a.Forced, "stranded_by_topic": a.Cut,
		"stranded": stranded, "unprotected": unprotected, "redundant_profiles": a.Redundant,
		"records_removed": a.Removed, "certificates_renewed": a.Renewals, "enrolments_again": a.Again,
		"peak": map[string]any{"checkins": peak(a.CheckInPeak), "pushes": peak(a.WakePeak), "certificates": peak(a.IssuePeak), "capacity_per_second": a.Capacity, "minutes_over": a.Over},
	}
	if a.Last >= 0 {
		answers["last"] = map[string]any{"device": a.Population.Devices[a.Last].Name, "why": a.whyLast(lang.English)}
	}
	return map[string]any{"answers": answers, "export": exportSection(a.Population), "findings": append([]report.Finding{}, a.Findings(lang.English)...)}
}

package rehearsal

import (
	"strings"
	"time"

	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
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
		s.Tables = append(s.Tables, a.wireTables(l)...)
	}
	return s
}

// wireTables are what a share of the devices said over the wire too, and what differed.
func (a *Answers) wireTables(l lang.Language) []report.Table {
	var d report.Devices
	a.countDevices(&d)
	return a.Wire.tables(l, d.ByPlatform)
}

func (a *Answers) title(l lang.Language) string {
	return l.Say("%s with %d {device|devices}", l.Span(a.End.Sub(a.Start)), len(a.Lives))
}

func (a *Answers) headline(l lang.Language) string {
	never := lang.Key("%d never will by {itself|themselves}")
	if a.Partial {
		never = lang.Key("%d could not by {itself|themselves}") // who is off the network now may come back
	}
	blocked, more := a.All.Blocked, 0
	if a.All.Held > 0 && a.All.Held == a.All.Movable && a.All.Returning == 0 { // they are the subject
		blocked, more = 0, a.All.Blocked-a.All.Held
	}
	parts := []string{a.moves(l)}
	for _, x := range []struct {
		n    int
		what lang.Key
	}{
		{a.All.Repeated, lang.Key("%d {has|have} moved more than once")},
		{a.All.Returning, lang.Key("%d {is|are} to move again")},
		{blocked, lang.Key("%d {is|are} blocked")},
		{more, lang.Key("%d more {is|are} blocked")},
		{a.All.Stranded, never},
		{a.Forced, lang.Key("%d had to enrol again")},
		{a.All.MustEnrol, lang.Key("%d must enrol again")},
	} {
		if x.n > 0 {
			parts = append(parts, l.Say(x.what, x.n))
		}
	}
	text := strings.Join(parts, "; ")
	switch {
	case a.Partial && a.Devices != nil:
		return l.Say("Interrupted: %d of %d {device|devices} were played, for %s; of these: %s", len(a.Lives), len(a.Lives)+a.Population.LeftOutBy()[string(population.NotPlayed)], l.Span(a.End.Sub(a.Start)), lower(text))
	case a.Partial:
		return l.Say("Interrupted after %s; until then: %s", l.Span(a.End.Sub(a.Start)), lower(text))
	}
	return text
}

// moves says how many devices moved, of those that could.
func (a *Answers) moves(l lang.Language) string {
	g := &a.All
	switch moved := g.Moved + g.Returning; {
	case g.Movable == 0 && g.Stranded > 0:
		return l.Say("No device could move by itself")
	case g.Movable == 0 && g.Reregistered > 0:
		return l.Say("No device was to move; %d {device|devices} registered anew", g.Reregistered)
	case g.Movable == 0:
		return l.Say("No device was to move")
	case moved == 0 && g.Held == g.Movable && g.Movable == 1:
		return l.Say("The one device that is to move is blocked")
	case moved == 0 && g.Held == g.Movable:
		return l.Say("All %d {device|devices} that are to move are blocked", g.Movable)
	case moved == 0 && g.Movable == 1:
		return l.Say("The one device that could move did not")
	case moved == 0:
		return l.Say("None of the %d {device|devices} that could move did", g.Movable)
	case moved == g.Movable && g.Movable == 1:
		return l.Say("The one device that could move did")
	case moved == g.Movable:
		return l.Say("All %d {device|devices} that could move did", g.Movable)
	default:
		return l.Say("%d of the %d {device|devices} that could move {1:has|have}", moved, g.Movable)
	}
}

func (a *Answers) lead(l lang.Language, names *population.Population) (lead []string) {
	if a.Lead != "" {
		lead = append(lead, a.Lead)
	}
	if borrowed(a.Plan, a.Population) {
		lead = append(lead, sayBorrowed(l, a.Plan))
	}
	if n := a.All.Returning; n > 0 {
		lead = append(lead, l.Say("Devices that moved and are to move again do not count as moved in what follows: %d.", n))
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
	if a.Last >= 0 && !a.atOnce() {
		lead = append(lead, l.Say("The last, %s, moved on %s: %s.", names.Devices[a.Last].Name, l.Moment(a.Lives[a.Last].MovedAt.Sub(a.Start), a.End.Sub(a.Start)), a.whyLast(l)))
	}
	if a.Held.Devices > 0 {
		lead = append(lead, l.Say("Apple's push certificate held %d {device|devices}, for %s at most.", a.Held.Devices, l.Span(a.Held.Longest)))
	}
	if a.Declined > 0 {
		lead = append(lead, l.Say("%d {attempt|attempts} to enrol {1:was|were} refused in the gap, of %d {device|devices}.", a.Declined, a.Turned))
	}
	if a.Wire != nil {
		lead = append(lead, a.Wire.says(l))
	}
	if a.Violated > 0 {
		lead = append(lead, l.Say("Invariants of the model were violated %d {time|times}: this result is not to be relied on.", a.Violated))
	}
	return lead
}

// atOnce tells whether all that moved did so within moments, so that being the last of them says nothing.
func (a *Answers) atOnce() bool {
	return a.Began != 0 && a.Lives[a.Last].MovedAt.Sub(a.Began) < changeover
}

// whyLast says why the device whose first move was last was last: what took most of its time.
func (a *Answers) whyLast(l lang.Language) string {
	life := &a.Lives[a.Last]
	if life.FirstPending == 0 {
		return l.Say("support moved it (AUTH-18)")
	}
	late, wait := life.FirstPending.Sub(a.Began), max(0, life.MovedAt.Sub(life.FirstPending))
	switch {
	case life.Cut && life.Again > 0:
		return l.Say("a push certificate with another topic had stranded it until it enrolled again (AUTH-32)")
	case life.Lapsed && life.Again > 0:
		return l.Say("its identity had ended, and it had to enrol again (AUTH-42)")
	case 2*life.held() > max(wait, late) && life.Silenced > life.Blocked:
		return l.Say("the push certificate held it for %s (%s)", l.Span(life.held()), protocol.RulePushExpired)
	case 2*life.held() > max(wait, late):
		return l.Say("the push certificate held it for %s (%s)", l.Span(life.held()), protocol.RulePushGap)
	case late > wait && life.Back:
		return l.Say("it was to move back only %s after the first could move (AUTH-24)", l.Span(late))
	case late > 0 && wait == 0 && life.Again > 0:
		return l.Say("it moved by enrolling again, %s after the first could move (AUTH-44)", l.Span(late))
	case late > wait && a.Population.Devices[a.Last].Userless():
		return l.Say("support moved it only %s after the first could move (AUTH-18)", l.Span(late))
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
		{Name: l.Say("device-hours without protection"), Value: a.bareHours(), Note: l.Say("on %d {device|devices}", a.BareAny), Bad: a.BareAny > 0},
		peak,
	}
}

func (a *Answers) notShown(l lang.Language) []string {
	wire := l.Say("No network: nothing went over TLS or with latency, and devices met the server by rule alone; the storm counts check-ins, not what a server can take.")
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

// lower begins a part of a sentence without a capital.
func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

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
	barred, barredDevices := map[protocol.Rule]uint64{}, map[protocol.Rule]int{}
	for rule, r := range a.Barred {
		barred[rule], barredDevices[rule] = r.Attempts, r.Devices
	}
	seconds := func(d time.Duration) any {
		if d == Never {
			return nil
		}
		return d.Seconds()
	}
	peak := func(p Peak) map[string]any { return map[string]any{"count": p.Count, "at_seconds": p.At.Seconds()} }
	first := any(nil)
	if a.Began != 0 {
		first = a.Began.Sub(a.Start).Seconds()
	}
	answers := map[string]any{
		"movable": a.All.Movable, "first_could_move_seconds": first, "moved_50_seconds": seconds(a.Half), "moved_95_seconds": seconds(a.Most), "moved_100_seconds": seconds(a.Whole),
		"held":     map[string]any{"devices": a.Held.Devices, "half_seconds": a.Held.Half.Seconds(), "longest_seconds": a.Held.Longest.Seconds(), "enrolments_refused": a.Declined, "devices_refused": a.Turned},
		"silenced": map[string]any{"devices": a.Silenced.Devices, "half_seconds": a.Silenced.Half.Seconds(), "longest_seconds": a.Silenced.Longest.Seconds()},
		"barred":   barred, "barred_devices": barredDevices, "had_to_enrol_again": a.Forced, "stranded_by_topic": a.Cut,
		"assigned_late": map[string]any{"users": a.Lateness.Devices, "half_seconds": a.Lateness.Half.Seconds(), "longest_seconds": a.Lateness.Longest.Seconds(), "users_never": a.Unassigned},
		"stranded":      stranded, "unprotected": unprotected, "redundant_profiles": a.Redundant,
		"records_removed": a.Removed, "certificates_renewed": a.Renewals, "enrolments_again": a.Again,
		"peak": map[string]any{"checkins": peak(a.CheckInPeak), "pushes": peak(a.WakePeak), "certificates": peak(a.IssuePeak), "capacity_per_second": a.Capacity, "minutes_over": a.Over},
	}
	if a.Last >= 0 && !a.atOnce() {
		answers["last"] = map[string]any{"device": a.Population.Devices[a.Last].Name, "why": a.whyLast(lang.English)}
	}
	return map[string]any{"answers": answers, "export": exportSection(a.Population), "findings": append([]report.Finding{}, a.Findings(lang.English)...)}
}

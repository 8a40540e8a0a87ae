package rehearsal

import (
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

// Result is the preview in numbers: the moment right after the change, before any check-in. Names are those of names, the
// same export read with or without tokens.
func (p *Preview) Result(names *population.Population) *report.Result {
	pop := p.Population
	r := &report.Result{Version: 1, Command: "preview", Verdict: report.OK}
	r.Devices = report.Devices{
		Total: pop.Total, Enrolled: p.Enrolled, Enrolling: len(pop.Devices) - p.Enrolled, LeftOutBy: pop.LeftOutBy(),
		Pending: p.Pending, Stale: p.Stale, Blocked: p.Blocked, Stranded: p.Stranded, NeedsSupport: p.NeedsSupport,
		MustEnrol: p.MustEnrol, Unlicensed: p.Unlicensed, ByPlatform: map[protocol.Platform]report.PlatformSize{},
	}
	for _, n := range r.Devices.LeftOutBy {
		r.Devices.LeftOut += n
	}
	for i := range pop.Devices {
		size := r.Devices.ByPlatform[pop.Devices[i].Platform]
		size.Total++
		r.Devices.ByPlatform[pop.Devices[i].Platform] = size
	}
	if p.Refused != nil {
		r.Verdict, r.Reasons = report.Failed, []string{lang.English.Say("refused as things are: %s", p.Refused)}
	}
	r.Sections = map[string]any{
		"preview": section{p.WouldMove, p.WouldMoveReachable, p.WouldMoveBlocked, p.WouldStay, p.Leaving, len(pop.Doubts), p.Need.Short},
		"change":  p.change(names),
	}
	return r
}

// A section is the result's section that every preview has (architecture.md, section 1).
type section struct {
	WouldMove          int `json:"would_move"`
	WouldMoveReachable int `json:"would_move_reachable"`
	WouldMoveBlocked   int `json:"would_move_blocked"`
	WouldStay          int `json:"would_stay"`
	Leaving            int `json:"leaving"`
	Doubts             int `json:"doubts"`
	UnitsShort         int `json:"intune_units_short"`
}

// change is the result's section of its own: what is previewed, by group.
func (p *Preview) change(names *population.Population) map[string]any {
	stranded, groups, profiles := map[string]int{}, []any{}, []any{}
	for _, r := range authority.Reasons {
		if p.By[r] > 0 {
			stranded[r.String()] = p.By[r]
		}
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		by := map[protocol.Platform]int{}
		for _, platform := range protocol.Platforms {
			if g.Platforms[platform] > 0 {
				by[platform] = g.Platforms[platform]
			}
		}
		groups = append(groups, map[string]any{
			"fate": g.Fate.String(), "registered": g.From, "resolved": g.To, "rule": g.Rule, "rule_before": g.Before, "stranded": g.Stranded.String(),
			"devices": g.Devices, "reachable": g.Reachable, "blocked": g.Blocked, "stale": g.Stale, "must_enrol_again": g.MustEnrol, "unlicensed": g.Unlicensed,
			"licences_assumed": g.Unsure, "by_platform": by,
		})
	}
	for i := range p.Profiles {
		g := &p.Profiles[i]
		profiles = append(profiles, map[string]any{"family": g.Family, "effect": g.Effect.String(), "rule": g.Rule, "until": g.Until, "devices": g.Count})
	}
	dates, doubts, findings := []any{}, []any{}, []any{}
	for _, d := range p.dates(names) {
		dates = append(dates, map[string]any{"at": d.At, "days": days(d.At, p.Scene.Now), "rule": d.Rule, "what": d.What.String()})
	}
	for i := range names.Doubts {
		d := &names.Doubts[i]
		doubts = append(doubts, map[string]any{"kind": d.Kind, "device": d.Name, "text": d.Text.String(), "other": p.other(lang.English, &p.Population.Doubts[i], d)})
	}
	for _, f := range names.Findings {
		findings = append(findings, map[string]any{"rule": f.Rule, "text": f.Text.String(), "devices": f.Devices})
	}
	out := map[string]any{
		"id": p.ID, "from": p.Scene.Before.Name(), "to": p.Scene.After.Name(), "as_of": p.Scene.Now, "opens_gap": p.OpensGap, "gap_open": p.Scene.Push.Gap,
		"unsupported": authority.Unsupported(p.Scene.Before, p.Scene.After), "stranded_by": stranded, "groups": groups, "profiles": profiles,
		"mail_prompts": p.Prompts, "would_move_reachable_blocked": p.ReachableBlocked, "dates": dates, "doubts": doubts, "findings": findings,
		"units": map[string]any{"known": p.Need.Units.Known, "owned": p.Need.Units.Owned, "free": p.Need.Units.Free, "users": p.Need.Users, "plans_off": p.Need.PlansOff, "short": p.Need.Short},
	}
	if p.Refused != nil {
		out["refused"] = map[string]any{"rule": p.Refused.Rule, "reason": p.Refused.Reason}
	}
	return out
}

// days is how far off at is, by the calendar, so that it fits the date beside it; negative: it is past.
func days(at, now protocol.Time) int {
	return int(at.Time().UTC().Truncate(oneDay).Sub(now.Time().UTC().Truncate(oneDay)) / oneDay)
}

// other is what the other reading of a doubt would change, counted where it can be. Named is the doubt as it is shown.
func (p *Preview) other(l lang.Language, d, named *population.Doubt) string {
	r, ok := p.otherwise(d)
	if !ok {
		return named.Other.In(l)
	}
	return l.Say("%s (%d enrolled, %d move, %d stay)", named.Other.In(l), r.enrolled, r.move, r.stay)
}

// Story is the preview for people, in a language, with lists of at most 200 devices. Names are those of names.
func (p *Preview) Story(l lang.Language, names *population.Population) *report.Story {
	s := &report.Story{Language: l, Headline: p.headline(l), Title: p.title(l, names), Lead: p.lead(l), Start: p.Scene.Now.Time(), Figures: p.figures(l)}
	s.Tables = append(s.Tables, p.groups(l))
	s.Tables = append(s.Tables, p.lists(l, names)...)
	s.Tables = append(s.Tables, p.lost(l), p.licences(l), p.dateTable(l, names), p.doubtTable(l, names), findingTable(l, names), assumedTable(l, names))
	s.Rules = rulesIn(l)
	s.NotShown = []string{
		l.Say("Nothing was changed and no server was asked: this is what the rules of authority.md make of the export."),
		l.Say("It models Microsoft's published guidance and is not Intune; where the guidance is silent the choice is the model's, such as the gap when coexistence begins."),
	}
	return s
}

func (p *Preview) headline(l lang.Language) string {
	b, a := &p.Scene.Before, &p.Scene.After
	switch {
	case b.Same(a) && p.Population.Later != nil:
		return l.Say("%d of %d enrolled {device|devices} would move with these licences", p.WouldMove, p.Enrolled)
	case b.Same(a):
		return l.Say("%d of %d enrolled {device|devices} move at the next check-ins", p.WouldMove, p.Enrolled)
	case !b.Coexistence && a.Coexistence:
		return l.Say("%d of %d enrolled {device|devices} would move if Intune is added now", p.WouldMove, p.Enrolled)
	}
	return l.Say("%d of %d enrolled {device|devices} would move if the authority changes from %s to %s now", p.WouldMove, p.Enrolled, b.Name(), a.Name())
}

func (p *Preview) title(l lang.Language, names *population.Population) string {
	name := names.Tenant.Name
	if name == "" {
		name = l.Say("A tenant's export")
	}
	now := p.Scene.Now.Time()
	return l.Say("%s: authority %s, on %s", name, p.Scene.Before.Name(), l.Date(now)+", "+now.Format("15:04"))
}

func (p *Preview) lead(l lang.Language) []string {
	first := l.Say("%d {record was|records were} read and %d left out%s. Of %d enrolled {device|devices} %d {moves|move}, %d {stays|stay} and %d {leaves|leave}.",
		p.Population.Total, p.Population.Total-len(p.Population.Devices), p.leftOut(l), p.Enrolled, p.WouldMove, p.WouldStay, p.Leaving)
	if n := len(p.Population.Devices) - p.Enrolled; n > 0 {
		first += " " + l.Say("%d are not enrolled yet.", n)
	}
	if silent := p.WouldMove - p.WouldMoveReachable; silent > 0 {
		first += " " + l.Say("%d of those that move are reachable; %d silent for more than 90 days.", p.WouldMoveReachable, silent)
	}
	lead := []string{first}
	if p.Blocked > 0 {
		lead = append(lead, l.Say("%d Apple {device is|devices are} held until a renewed push certificate is uploaded: %d that would move, %d of them reachable, and %d others (AUTH-30, AUTH-33). Windows and Android are untouched.",
			p.Blocked, p.WouldMoveBlocked, p.ReachableBlocked, p.Blocked-p.WouldMoveBlocked))
	}
	if p.Scene.Before.Authority == protocol.Office365 && !p.Scene.Before.Coexistence && p.Scene.After.Coexistence && p.WouldMove > 0 {
		lead = append(lead, l.Say("Users who hold an Intune licence already move at once, and lose what Basic Mobility and Security set. Assign them Intune policies before, or assign no Intune licence until coexistence is on (AUTH-35)."))
	}
	return lead
}

// whyLeftOut says why a record was left out, by [population.Reason].
var whyLeftOut = map[string]lang.Key{
	string(population.Unreadable): lang.Key("unreadable"), string(population.Discovered): lang.Key("discovered"), string(population.Agent): lang.Key("agent"),
	string(population.ProfileType): lang.Key("profile type"), string(population.ManagementType): lang.Key("management type"), string(population.NotManaged): lang.Key("not managed"),
	string(population.OtherMDM): lang.Key("other MDM"), string(population.MacUnderBMS): lang.Key("Mac under BMS"), string(population.NoSuchPlatform): lang.Key("platform"),
}

// leftOut tells why records were left out.
func (p *Preview) leftOut(l lang.Language) string {
	by := p.Population.LeftOutBy()
	var all []string
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		all = append(all, l.Say(whyLeftOut[reason])+" "+l.Number(float64(by[reason])))
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

func (p *Preview) figures(l lang.Language) []report.Figure {
	return []report.Figure{
		{Name: l.Say("would move"), Value: p.WouldMove, Note: l.Say("%d reachable", p.WouldMoveReachable)},
		{Name: l.Say("would stay"), Value: p.WouldStay, Note: l.Say("%d of them register again", p.Stale)},
		{Name: l.Say("held by the push certificate"), Value: p.Blocked, Note: l.Say("%d that would move", p.WouldMoveBlocked), Bad: p.Blocked > 0},
		{Name: l.Say("never move by themselves"), Value: p.Stranded, Note: l.Say("%d need support", p.NeedsSupport), Bad: p.Stranded > 0},
		{Name: l.Say("must enrol again"), Value: p.MustEnrol, Bad: p.MustEnrol > 0},
		{Name: l.Say("licence units short"), Value: p.Need.Short, Bad: p.Need.Short > 0},
	}
}

func (p *Preview) groups(l lang.Language) report.Table {
	t := report.Table{
		Title: l.Say("What the devices do"), Caption: l.Say("Each line is the devices that one rule treats alike, with who registered them and who should manage them."),
		Columns: []report.Column{{Name: l.Say("Devices"), Bar: true}, {Name: l.Say("Authority"), Whole: true}, {Name: l.Say("Rule")}, {Name: l.Say("What and why")}},
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		change, text := Tell(l, g)
		t.Rows = append(t.Rows, []any{g.Devices, change, g.Rule, text})
	}
	return t
}

// lists are the devices to act on: those that move, that never will, that must enrol again, that nobody licenses.
func (p *Preview) lists(l lang.Language, names *population.Population) []report.Table {
	columns := []report.Column{{Name: l.Say("Device"), Whole: true}, {Name: l.Say("Platform")}, {Name: l.Say("User"), Whole: true}, {Name: l.Say("What to do")}}
	moves := report.Table{Title: l.Say("Devices that move"), Columns: columns}
	never := report.Table{Title: l.Say("Devices that never move by themselves"), Columns: columns}
	again := report.Table{Title: l.Say("Devices that must enrol again"), Columns: columns}
	bare := report.Table{Title: l.Say("Devices of users without the licence"), Columns: columns}
	leave := report.Table{Title: l.Say("Devices that leave"), Columns: columns}
	p.each(func(i int, c *authority.Subject, j *authority.Judgement) {
		add := func(t *report.Table, what string) {
			if t.Total++; len(t.Rows) < rows {
				t.Rows = append(t.Rows, []any{names.Devices[i].Name, c.Platform, userName(names, i), what})
			}
		}
		what := p.action(l, c, j)
		if j.Fate == authority.Moves {
			add(&moves, what)
		}
		if j.Stranded != authority.NotStranded {
			add(&never, l.Say(whyStranded[j.Stranded])+": "+what)
		}
		if j.MustEnrol {
			why := l.Say("its identity certificate was revoked")
			if !c.Revoked {
				why = l.Say("its identity certificate ended on %s", day(c.CertEnd))
			}
			add(&again, why+": "+what)
		}
		if j.After.Unlicensed {
			add(&bare, l.Say("assign a licence to the user, or retire the device"))
		}
		if j.Leaving {
			add(&leave, l.Say("a retire, wipe or delete is pending"))
		}
	})
	return []report.Table{moves, never, again, bare, leave}
}

func (p *Preview) lost(l lang.Language) report.Table {
	t := report.Table{
		Title: l.Say("Mail and settings"), Caption: l.Say("What becomes of profiles on the devices. The export does not say which there are: these are the families that the authority can have put there."),
		Columns: []report.Column{{Name: l.Say("Devices"), Bar: true}, {Name: l.Say("Family")}, {Name: l.Say("Rule")}, {Name: l.Say("What becomes of them")}},
	}
	for i := range p.Profiles {
		g := &p.Profiles[i]
		t.Rows = append(t.Rows, []any{g.Count, g.Family, g.Rule, TellProfiles(l, g)})
	}
	if p.Prompts > 0 {
		t.Rows = append(t.Rows, []any{p.Prompts, protocol.Email, protocol.Rule("AUTH-37"), l.Say("may ask their users to sign in to mail again, even when an Intune profile replaces the old one")})
	}
	return t
}

func (p *Preview) licences(l lang.Language) report.Table {
	n := &p.Need
	t := report.Table{
		Title: l.Say("Intune licences"), Caption: l.Say("What it takes to move every user whose devices stay with Basic Mobility and Security (AUTH-09)."),
		Columns: []report.Column{{Name: l.Say("Number")}, {Name: l.Say("Of")}, {Name: l.Say("Note")}},
	}
	if !n.Units.Known && n.Users == 0 {
		return t
	}
	t.Rows = append(t.Rows, []any{n.Users + n.PlansOff, l.Say("users whose devices stay"), l.Say("%d {needs|need} a unit, %d only {needs|need} a plan switched on", n.Users, n.PlansOff)})
	if n.Units.Known {
		t.Rows = append(t.Rows, []any{n.Units.Owned, l.Say("units owned that entitle Intune"), l.Say("%d free", n.Units.Free)})
	} else {
		t.Rows = append(t.Rows, []any{nil, l.Say("units owned"), l.Say("the export has no subscribedSkus.json, so none is counted as free")})
	}
	t.Rows = append(t.Rows, []any{n.Short, l.Say("units short"), l.Say("to buy, so that all of them can move")})
	return t
}

func (p *Preview) dateTable(l lang.Language, names *population.Population) report.Table {
	t := report.Table{
		Title: l.Say("Dates that matter"), Caption: l.Say("Counted from the moment of the export."),
		Columns: []report.Column{{Name: l.Say("Date"), Whole: true}, {Name: l.Say("Away"), Whole: true}, {Name: l.Say("Rule")}, {Name: l.Say("What happens then")}},
	}
	for _, d := range p.dates(names) {
		var away any = time.Duration(days(d.At, p.Scene.Now)) * oneDay
		if away == time.Duration(0) {
			away = l.Say("now")
		}
		t.Rows = append(t.Rows, []any{day(d.At), away, d.Rule, d.What.In(l)})
	}
	return t
}

func (p *Preview) doubtTable(l lang.Language, names *population.Population) report.Table {
	t := report.Table{
		Title: l.Say("Doubts about the export") + " (" + l.Number(float64(len(names.Doubts))) + ")", Caption: l.Say("Records that can be read in two ways, and what the other reading would change."),
		Columns: []report.Column{{Name: l.Say("Device"), Whole: true}, {Name: l.Say("Read as, and the other reading")}}, Total: len(names.Doubts),
	}
	for i := range names.Doubts[:min(rows, len(names.Doubts))] {
		d := &names.Doubts[i]
		t.Rows = append(t.Rows, []any{d.Name, l.Say("%s. Otherwise: %s", d.Text.In(l), p.other(l, &p.Population.Doubts[i], d))})
	}
	return t
}

func findingTable(l lang.Language, names *population.Population) report.Table {
	t := report.Table{
		Title: l.Say("To see to first"), Caption: l.Say("Contradictions and warnings in the export."),
		Columns: []report.Column{{Name: l.Say("Devices")}, {Name: l.Say("Rule")}, {Name: l.Say("Finding")}},
	}
	for _, f := range names.Findings {
		t.Rows = append(t.Rows, []any{f.Devices, f.Rule, f.Text.In(l)})
	}
	for _, e := range names.BadRows {
		t.Rows = append(t.Rows, []any{nil, e.Rule, l.Say("left out: %s", e.Error())})
	}
	return t
}

func assumedTable(l lang.Language, names *population.Population) report.Table {
	t := report.Table{
		Title: l.Say("What the export cannot say"), Columns: []report.Column{{Name: l.Say("Devices")}, {Name: l.Say("What")}, {Name: l.Say("Assumed")}},
	}
	for _, a := range names.Assumed {
		t.Rows = append(t.Rows, []any{a.Devices, l.Say(a.What), a.Assumed.In(l)})
	}
	return t
}

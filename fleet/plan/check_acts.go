package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/protocol"
)

func (c *checker) acts() {
	before := Duration(0)
	for i, a := range c.plan.Acts {
		path := fmt.Sprintf("acts[%d]", i)
		switch {
		case a.Name == "":
			c.fail(path, ruleContradiction, "an act without a name")
		case a.At < before || a.At == before && i > 0:
			c.fail(path+".at", ruleContradiction, "an act at %s begins no later than the one before, at %s", a.At, before)
		case a.At >= c.plan.Until:
			c.fail(path+".at", ruleContradiction, "%s is no earlier than the end of the story (until: %s)", a.At, c.plan.Until)
		}
		before = max(before, a.At)
	}
}

func (c *checker) timeline() {
	c.assigned = map[assigned]bool{}
	for i := range c.plan.Profiles {
		if p := &c.plan.Profiles[i]; p.Assigned != "" {
			c.assignment(fmt.Sprintf("profiles[%d]", i), ".assigned", &Assignment{Assign: p.Name, Group: p.Assigned}, p.Of)
		}
	}
	before := Duration(0)
	for i := range c.plan.Timeline {
		a := &c.plan.Timeline[i]
		path := c.plan.place(i)
		switch kinds := a.kinds(); {
		case len(kinds) == 0:
			c.fail(path, ruleContradiction, "nothing happens here; want one of enrol, authority, consent, licences, support_move, profiles, command, apns, ask_users_to_sync, absence, unenrol, reenrol, waves, restart_server")
		case len(kinds) > 1:
			c.fail(path, ruleContradiction, "%s at once; want one of them on a line", strings.Join(kinds, " and "))
		}
		if a.At < before {
			c.fail(path+".at", ruleContradiction, "time goes back from %s to %s", before, a.At)
		}
		if a.At > c.plan.Until {
			c.fail(path+".at", ruleContradiction, "%s is after the end of the story (until: %s)", a.At, c.plan.Until)
		}
		before = max(before, a.At)
		c.action(path, a)
	}
}

func (c *checker) action(path string, a *Action) {
	if a.Enrol != nil {
		c.enrol(path+".enrol", a)
	}
	if a.Authority != nil {
		c.setting(path+".authority", a.Authority)
	}
	if a.Consent != 0 {
		c.consent(path+".consent", a.Consent)
	}
	if a.Waves != nil {
		c.waves(path+".waves", a.Waves)
	}
	if a.Licences != nil {
		c.licensing(path, a)
	}
	if a.SupportMove != nil {
		c.supportMove(path+".support_move", *a.SupportMove)
	}
	if a.Profiles != nil {
		c.assignment(path+".profiles", ".group", a.Profiles, protocol.Unknown)
	}
	if a.Command != nil {
		if a.Command.Kind == protocol.NoCommand {
			c.fail(path+".command", ruleContradiction, "a command without a kind; want one of %s", strings.Join(list(commands[:]), ", "))
		}
		c.target(path+".command.to", a.Command.To)
	}
	if a.APNs != nil {
		c.upload(path+".apns", a)
	}
	if a.AskUsersToSync != nil {
		c.target(path+".ask_users_to_sync", *a.AskUsersToSync)
	}
	if a.Absence != nil {
		if a.Absence.Lasts.Longest() == 0 {
			c.fail(path+".absence", ruleContradiction, "an absence of no time; want lasts: 3d or so")
		}
		if a.Absence.Of == (Target{}) {
			c.fail(path+".absence", ruleContradiction, "an absence of nobody; want of: 5%% or so")
		} else {
			c.target(path+".absence.of", a.Absence.Of)
		}
	}
	if a.Unenrol != nil {
		c.target(path+".unenrol", *a.Unenrol)
	}
	if a.Reenrol != nil {
		c.reenrol(path+".reenrol", a)
	}
}

// reenrol is an enrolment too: who may not enrol now cannot come back.
func (c *checker) reenrol(path string, a *Action) {
	c.target(path+".of", a.Reenrol.Of)
	if a.At+a.Reenrol.Over > c.plan.Until {
		c.fail(path+".over", ruleContradiction, "the last of them come after the story (until: %s)", c.plan.Until)
	}
}

func (c *checker) enrol(path string, a *Action) {
	e, alone := a.Enrol, c.now == office365
	switch {
	case c.now == unset:
		c.fail(path, protocol.RuleUnset, "nobody can enrol while the authority is unknown")
	case e.Again && e.New() > 0:
		c.fail(path+".again", ruleContradiction, "again is about devices that were enrolled, not about new ones")
	case e.Again && !c.enrolled:
		c.fail(path+".again", ruleContradiction, "nobody has been enrolled before this")
	case e.All() && c.plan.Population.Devices == 0 && !c.plan.exported(): // an export's are those whose enrolment is not complete, if any
		c.fail(path, ruleContradiction, "nobody is left to enrol: population.devices is 0 and no number is given")
	case alone && e.All() && c.plan.Population.Mix.MacOS > 0:
		c.fail("population.mix.macos", protocol.RuleUnsupportedBMS, "a Mac is never under office365, which is in force when they enrol")
	case alone && e.MacOS+e.Userless.MacOS > 0:
		c.fail(path, protocol.RuleUnsupportedBMS, "a Mac is never under office365")
	case alone && e.Userless.Total() > 0 && c.plan.Tenant.BMS.Userless == Refuse:
		c.fail(path+".userless", protocol.RuleUserlessEnrol, "bms.userless is refuse: no userless device enrols under office365")
	case alone && e.CoManaged > 0:
		c.fail(path+".co_managed", "AUTH-51", "Configuration Manager enrols its clients with Intune, and the authority is office365 alone at this time")
	}
	if apple(&e.ByPlatform)+apple(&e.Userless) > 0 || e.All() && apple(&c.plan.Population.Mix) > 0 {
		c.needs(path, ApplePush, "Apple devices enrol")
	}
	if apple(&e.Userless) > 0 {
		c.needs(path+".userless", AutomatedEnrolment, "userless Apple devices enrol by Apple's automated enrolment")
	}
	if e.Userless.Android > 0 {
		c.needs(path+".userless", AndroidEnterprise, "userless Android devices enrol under Android Enterprise")
	}
	if a.At+e.Over > c.plan.Until {
		c.fail(path+".over", ruleContradiction, "the enrolments end after the story (until: %s)", c.plan.Until)
	}
	c.enrolled = true
}

// assignment checks who gets a profile, or loses it; group is the key below path that names the group.
// of is whose profile it is; Unknown: of who assigns profiles now.
func (c *checker) assignment(path, group string, a *Assignment, of protocol.Authority) {
	verb, name := "assign", a.Assign
	if a.Assign == "" {
		verb, name = "unassign", a.Unassign
	}
	if (a.Assign == "") == (a.Unassign == "") {
		c.fail(path, ruleContradiction, "want either assign or unassign with the name of a profile")
		return
	}
	if _, ok := c.offered[name]; !ok {
		c.fail(path+"."+verb, ruleContradiction, "no profile %q", name).Nearest = Nearest(name, slices.Sorted(maps.Keys(c.offered)))
		return
	}
	if a.Group != All {
		if _, ok := c.plan.Population.Groups[a.Group]; !ok {
			c.fail(path+group, ruleContradiction, "no group %q", a.Group).Nearest = Nearest(a.Group, append(slices.Sorted(maps.Keys(c.plan.Population.Groups)), All))
			return
		}
	}
	of = cmp.Or(of, c.now.slot())
	if f := c.offered[name]; of == protocol.Office365 && f != protocol.Email && f != protocol.Configuration {
		c.fail(path, protocol.RuleUnsupportedBMS, "profile %q is of family %s; office365 delivers email and configuration only", name, f)
	}
	key := assigned{name, a.Group, of}
	if verb == "unassign" && !c.assigned[key] {
		c.fail(path+".unassign", ruleContradiction, "profile %q is not assigned to %s at this time", name, a.Group)
	}
	c.assigned[key] = verb == "assign"
}

// target checks that t can mean somebody at this point of the story.
func (c *checker) target(path string, t Target) {
	if !c.enrolled {
		c.fail(path, ruleContradiction, "nobody has been enrolled before this")
		return
	}
	if t.Share == 0 {
		c.fail(path, ruleContradiction, "%s is nobody", t)
		return
	}
	valid := []string{All, Userless}
	if _, group := c.plan.Population.Groups[t.Whom]; group {
		return
	}
	var platform protocol.Platform
	switch {
	case t.Whom == All:
	case t.Whom == Userless:
		if c.count(func(b *ByPlatform) int { return b.Total() }, true) == 0 {
			c.fail(path, ruleContradiction, "the plan has no userless device")
		}
	case platform.UnmarshalText([]byte(t.Whom)) == nil:
		if c.count(func(b *ByPlatform) int { return b.Of(platform) }, false) == 0 {
			c.fail(path, ruleContradiction, "the plan has no %s device", t.Whom)
		}
	default:
		valid = append(append(valid, list(protocol.Platforms[:])...), slices.Sorted(maps.Keys(c.plan.Population.Groups))...)
		c.fail(path, ruleContradiction, "no devices are called %q; want one of %s", t.Whom, strings.Join(valid, ", ")).Nearest = Nearest(t.Whom, valid)
	}
}

// count adds up of over all numbers of devices in the plan, or over those of userless devices alone.
func (c *checker) count(of func(*ByPlatform) int, userless bool) int {
	p := &c.plan.Population
	n := of(&p.Already.Userless.ByPlatform)
	if !userless {
		n += of(&p.Already.ByPlatform) + of(&p.Mix)
	}
	for i := range c.plan.Timeline {
		if e := c.plan.Timeline[i].Enrol; e != nil {
			n += of(&e.Userless)
			if !userless {
				n += of(&e.ByPlatform) + of(&ByPlatform{Windows: e.CoManaged})
			}
		}
	}
	return n
}

// reserved tells whether a target's word has a meaning of its own.
func reserved(name string) bool {
	var p protocol.Platform
	return name == All || name == Userless || name == NoLicence || name == OnlyBasic || name == WithIntune || p.UnmarshalText([]byte(name)) == nil
}

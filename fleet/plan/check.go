package plan

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"rollcall/protocol"
)

const (
	ruleContradiction protocol.Rule = "HST-123"
	ruleAuthorities   protocol.Rule = "AUTH-04"
)

// Check reports what contradicts itself in p: a time that goes back, an action that concerns nobody, shares that do
// not add up, what a rule forbids from the start (HST-123). [Parse] has called it; call it again after changing a
// plan. The error is [Errors], each with the rule.
func (p *Plan) Check() error { return p.contradictions().or() }

func (p *Plan) contradictions() Errors {
	c := &checker{plan: p}
	c.tenant()
	c.population()
	c.profiles()
	c.acts()
	c.timeline()
	c.faults()
	c.arrival()
	return c.errs
}

type checker struct {
	plan *Plan
	errs Errors

	offered map[string]protocol.Family

	// what the timeline has done so far
	enrolled  bool
	now       Regime // of the tenant
	changes   int    // of it
	granted   map[Consent]bool
	assigned  map[assigned]bool
	firstPush time.Duration // end of the push certificate of the beginning
	pushEnd   time.Duration // of the one in use
}

// An assigned is a profile of an authority in the hands of a group.
type assigned struct {
	profile, group string
	of             protocol.Authority
}

func (c *checker) fail(path string, rule protocol.Rule, format string, args ...any) *Error {
	e := c.plan.Mistake(path, rule, format, args...)
	c.errs = append(c.errs, e)
	return e
}

// Mistake makes the error that the part of p at a path, such as timeline[2].licences, is refused by a rule.
func (p *Plan) Mistake(path string, rule protocol.Rule, format string, args ...any) *Error {
	e := &Error{File: p.file, Field: path, Rule: rule, Message: fmt.Sprintf(format, args...)}
	for at := path; ; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		if w, ok := p.where[at]; ok || at == "" {
			e.Line, e.Column = w.line, w.column
			return e
		}
	}
}

func (c *checker) tenant() {
	t := &c.plan.Tenant
	switch {
	case t.Coexistence && t.Authority != protocol.Office365:
		c.fail("tenant.coexistence", ruleAuthorities, "coexistence is a flag beside authority office365, not %s", t.Authority)
	case t.Authority == protocol.Unknown && t.Release >= 1911:
		c.fail("tenant.release", protocol.RuleRelease, "a tenant of release 1911 or later starts as intune, never as unknown")
	}
	if t.Release != 0 && (t.Release < 1000 || t.Release%100 == 0 || t.Release%100 > 12 || t.Release > 9912) {
		c.fail("tenant.release", ruleContradiction, "%d is no release; want year and month such as 1910", t.Release)
	}
	c.now = regimeOf(t.Authority, t.Coexistence)
	c.consents()
	if t.Identity.Window >= t.Identity.Lifetime {
		c.fail("tenant.identity.window", protocol.RuleRenewal, "the renewal window (%s) must be shorter than the lifetime (%s)", t.Identity.Window, t.Identity.Lifetime)
	}
	if t.Identity.Lifetime < Duration(time.Hour) {
		c.fail("tenant.identity.lifetime", protocol.RuleLifetime, "an identity must live at least 1h, X.509 and clocks being what they are")
	}
	if c.plan.Until == 0 {
		c.fail("until", ruleContradiction, "the story has no length; want until: 14d or so")
		c.plan.Until = Duration(365 * Day) // refused as it is: nothing in it shall seem too late besides
	}
	if c.plan.Step > c.plan.Until && c.plan.Until > 0 {
		c.fail("step", ruleContradiction, "a step (%s) is longer than the story (%s)", c.plan.Step, c.plan.Until)
	}
	if t.CleanUp != 0 && (t.CleanUp < Duration(30*Day) || t.CleanUp > Duration(270*Day)) || t.CleanUp%Duration(Day) != 0 {
		c.fail("tenant.clean_up", protocol.RuleCleanUp, "%s; want 30d to 270d, in whole days", t.CleanUp)
	}
	c.days("tenant.old_profiles", protocol.RuleSevenDays, t.OldProfiles, 90)
	c.days("tenant.device_contact", protocol.RuleGates, t.Counted, 365)
	if t.Cadence != 0 && (t.Cadence < Duration(time.Hour) || t.Cadence > Duration(Day)) {
		c.fail("tenant.cadence", protocol.RuleRegistered, "%s; want 1h to 24h", t.Cadence)
	}
	if t.Reach != 0 && (t.Reach < Duration(time.Minute) || t.Reach > Duration(time.Hour)) {
		c.fail("tenant.reach", protocol.RuleRetire, "%s; want 1m to 1h", t.Reach)
	}
	if r := t.Identity.Retry; r < 0 || r > Duration(90*Day) {
		c.fail("tenant.identity.retry", protocol.RuleRenewal, "%s; want 90d at most", r)
	}
	c.days("tenant.records", protocol.RuleRecordKept, t.Records, 3650)
	c.days("tenant.apns.grace", protocol.RulePushExpired, t.APNs.Grace, 365)
	for i, w := range t.APNs.Warnings {
		path := fmt.Sprintf("tenant.apns.warnings[%d]", i)
		switch {
		case i == mostWarnings:
			c.fail(path, protocol.RulePushExpired, "want at most %d warnings", mostWarnings)
		case w == 0 || i > 0 && w >= t.APNs.Warnings[i-1]:
			c.fail(path, protocol.RulePushExpired, "%s; want the longest first, and none twice or 0", w)
		}
		c.days(path, protocol.RulePushExpired, w, 365)
	}
	if t.DeviceLimit > 15 {
		c.fail("tenant.device_limit", protocol.RuleGates, "%d devices; want 1 to 15", t.DeviceLimit)
	}
	for i, p := range t.Gap.Platforms {
		if !p.Apple() {
			c.fail(fmt.Sprintf("tenant.gap.platforms[%d]", i), protocol.RulePushGap, "%s needs no Apple push certificate; want some of ios, ipados, macos", p)
		}
	}
	c.firstPush = time.Duration(t.APNs.Expires)
	c.pushEnd = c.firstPush
}

// mostWarnings bounds how often a server warns of the end of a push certificate.
const mostWarnings = 8

// days refuses a setting that is no number of whole days up to most. None is the default.
func (c *checker) days(path string, rule protocol.Rule, d Duration, most int) {
	if d < 0 || d > Duration(most)*Duration(Day) || d%Duration(Day) != 0 {
		c.fail(path, rule, "%s; want 1d to %dd, in whole days", d, most)
	}
}

func (c *checker) population() {
	p := &c.plan.Population
	if c.plan.Devices() == 0 {
		c.fail("population", ruleContradiction, "the plan makes no device; want devices: 1000 or so")
	}
	if c.plan.Devices() > maxCount {
		c.fail("population", ruleContradiction, "the plan makes %d devices; at most %d", c.plan.Devices(), maxCount)
	}
	if p.Devices > 0 && p.Mix == (ByPlatform{}) {
		c.fail("population.devices", ruleContradiction, "devices without a mix; want mix: {ios: 60, macos: 40} or so")
	}
	if p.Mix != (ByPlatform{}) {
		c.hundred("population.mix", p.Mix.Total())
	}
	c.hundred("population.licences", p.Licences.None+p.Licences.Basic+p.Licences.Intune)
	sum := 0
	for n, parts := range p.DevicesPerUser {
		sum += parts
		if n < 1 || n > 100 {
			c.fail("population.devices_per_user", ruleContradiction, "%d devices for one user; want 1 to 100", n)
		}
	}
	c.hundred("population.devices_per_user", sum)
	sum = 0
	for _, name := range slices.Sorted(maps.Keys(p.Groups)) {
		sum += p.Groups[name]
		if reserved(name) || strings.Contains(name, " of ") || strings.Contains(name, "%") {
			c.fail("population.groups."+name, ruleContradiction, "%q already means other devices; choose another name for the group", name)
		}
	}
	if sum > 100 {
		c.fail("population.groups", ruleContradiction, "the groups add up to %d parts of 100", sum)
	}
	if len(p.Groups) > math.MaxInt16 {
		c.fail("population.groups", ruleContradiction, "%d groups; at most %d", len(p.Groups), math.MaxInt16)
	}
	c.silent()
	if off := p.Clocks.Off.Longest(); p.Clocks.Share > 0 && (off == 0 || off > 10*365*Day) {
		c.fail("population.clocks", ruleContradiction, `clocks that are off by nothing, or by more than ten years; want off: "uniform(1m, 3d)" or so`)
	}
	if p.Offline.Share > 0 && p.Offline.Lasts.Longest() == 0 {
		c.fail("population.offline", ruleContradiction, `devices off line for no time; want lasts: "lognormal(4h, 2)" or so`)
	}
	if sum := p.Ways.total(); sum > 100 {
		c.fail("population.ways", ruleContradiction, "the ways add up to %d parts of 100", sum)
	}
	if n := p.Ways.SelfDeploying + p.Ways.Bootstrap; n > 100 {
		c.fail("population.ways.self_deploying", ruleContradiction, "%d parts of 100", n)
	}
	if n := p.Ways.FullyManaged + p.Ways.AOSP; n > 100 {
		c.fail("population.ways.aosp", ruleContradiction, "with fully_managed %d parts of 100", n)
	}
	if m := &c.plan.Tenant.CoManaged; m.Pilot != "" && p.Groups[m.Pilot] == 0 {
		c.fail("tenant.co_management.pilot", ruleContradiction, "no group is called %q", m.Pilot).Nearest = Nearest(m.Pilot, slices.Sorted(maps.Keys(p.Groups)))
	} else if m.Pilot == "" && slices.Contains(list(deciders(m)), ByPilot.String()) {
		c.fail("tenant.co_management", "AUTH-51", "a workload is the pilot's, and no pilot group is named")
	}
	c.present("population.already", &p.Already.Present)
	c.present("population.already.userless", &p.Already.Userless)
}

func deciders(m *CoManagement) []Decider {
	d := m.Deciders()
	return d[:]
}

// silent is about devices that are there before the story.
func (c *checker) silent() {
	p := &c.plan.Population
	sum := Share(0)
	for i := range p.Silent {
		s := &p.Silent[i]
		path := fmt.Sprintf("population.silent[%d]", i)
		switch {
		case s.Share == 0:
			c.fail(path, ruleContradiction, "a silence of nobody; want share: 3%% or so")
		case s.For.Longest() == 0:
			c.fail(path, ruleContradiction, "a silence of no time; want for: 40d or so")
		}
		if i > 0 && s.For.Longest() > 0 && s.For.Shortest() < p.Silent[i-1].For.Longest() {
			c.fail(path+".for", ruleContradiction, "%s begins before %s ends: want silences apart, the shortest first", s.For, p.Silent[i-1].For)
		}
		sum += min(s.Share, 2*Whole)
	}
	switch {
	case sum > Whole:
		c.fail("population.silent", ruleContradiction, "the shares add up to %s", sum)
	case sum > 0 && p.Already.Total()+p.Already.Userless.Total() == 0:
		c.fail("population.silent", ruleContradiction, "nobody is there before the story (population.already), so nobody has been silent")
	}
}

func (c *checker) hundred(path string, sum int) {
	if sum != 100 {
		c.fail(path, ruleContradiction, "the parts add up to %d, not 100", sum)
	}
}

func (c *checker) present(path string, there *Present) {
	t := &c.plan.Tenant
	if there.Total() == 0 {
		return
	}
	switch {
	case t.Authority == protocol.Unknown:
		c.fail(path, protocol.RuleUnset, "nobody is enrolled while the authority is unknown")
	case there.Registered == protocol.SCCM, there.Registered == protocol.Unknown && !t.Coexistence:
		c.fail(path+".registered", ruleContradiction, "a device is registered with intune or office365")
	case there.Registered == protocol.Office365 && there.MacOS > 0:
		c.fail(path+".macos", protocol.RuleUnsupportedBMS, "a Mac is never under office365")
	case there.Registered == protocol.Intune && t.Authority == protocol.Office365 && !t.Coexistence:
		c.fail(path+".registered", ruleAuthorities, "nobody is registered with intune in a tenant that has only office365")
	}
	c.enrolled = true
}

func (c *checker) profiles() {
	c.offered = map[string]protocol.Family{}
	for i := range c.plan.Profiles {
		f := &c.plan.Profiles[i]
		path := fmt.Sprintf("profiles[%d]", i)
		switch _, twice := c.offered[f.Name]; {
		case f.Name == "":
			c.fail(path, ruleContradiction, "a profile without a name")
		case twice:
			c.fail(path+".name", ruleContradiction, "profile %q is there twice", f.Name)
		case f.Family == protocol.NoFamily:
			c.fail(path, ruleContradiction, "profile %q has no family; want one of %s", f.Name, strings.Join(list(protocol.Families[:]), ", "))
		}
		t := &c.plan.Tenant
		switch owns := f.Of == t.Authority || f.Of == protocol.Intune && t.Coexistence; {
		case f.Of == protocol.Unknown:
		case f.Assigned == "":
			c.fail(path+".of", ruleContradiction, "only what is assigned before the story (assigned) can be another authority's than who assigns it")
		case !owns:
			c.fail(path+".of", ruleAuthorities, "%s has no profiles in this tenant", f.Of)
		}
		c.offered[f.Name] = f.Family
	}
}

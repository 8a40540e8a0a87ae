package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/protocol"
)

// Rules of the tenant that only plans name.
const (
	ruleNoReturn protocol.Rule = "AUTH-03"
	ruleUnits    protocol.Rule = "AUTH-09"
)

// maxTurns bounds in how many turns users get a licence.
const maxTurns = 100_000

// Suits checks p, a checked plan, against an existing tenant in place of its own, such as an export's: changes that cannot be made from
// there, what is done under an authority that does not offer it, and what would concern nobody. The error is [Errors], all of them.
func (p *Plan) Suits(t *Tenancy) error {
	q := *p
	q.take(t)
	q.fill()
	var errs Errors
	for _, e := range q.contradictions() {
		if part := head(e.Field); part == "timeline" || part == "profiles" {
			errs = append(errs, e)
		}
	}
	return errs.or()
}

// setting follows the tenant's authority: only the changes of AUTH-04 are possible.
func (c *checker) setting(path string, s *Setting) {
	from, to := c.now, s.Set
	units := c.plan.Tenant.Units
	fail := func(rule protocol.Rule, format string, args ...any) {
		if from == intune && c.changes == 0 && c.plan.there == nil && !c.plan.says("tenant.authority") { // which whoever meant a tenant that is there does not know
			format += "; without tenant.authority a plan with devices of its own means intune"
		}
		c.fail(path+".set", rule, format, args...)
	}
	adds := from == office365 && (to == coexistence || to == intune)
	unsupported := from == office365 && to == intune || from == intune && to == office365
	switch {
	case to == 0:
		c.fail(path, ruleContradiction, "a change to nothing; want set: with one of %s", strings.Join(regimeNames[2:], ", "))
		return
	case to == from:
		fail(ruleContradiction, "the authority is %s already at this time", from)
	case to == unset:
		c.fail(path+".set", ruleNoReturn, "no authority returns to unknown")
	case from == unset && to == coexistence:
		c.fail(path+".set", ruleAuthorities, "coexistence adds Intune to office365, and the authority is unknown at this time; set office365 first")
	case from == unset:
	case unsupported && !s.Force:
		fail(ruleAuthorities, "from %s to %s in one step is unsupported; want force: true where that is meant", from, to)
	case !unsupported && !slices.Contains(changes[from], to):
		fail(ruleAuthorities, "there is no change from %s to %s; want one of %s", from, to, strings.Join(list(changes[from]), ", "))
	case adds && units != nil && *units == 0:
		c.fail(path+".set", ruleUnits, "the tenant owns no licence that entitles Intune (units: 0)")
	}
	c.now = to
	c.changes++
}

// changes are the supported ones between authorities that are set (AUTH-04).
var changes = map[Regime][]Regime{
	intune: {sccm}, sccm: {intune}, office365: {coexistence}, coexistence: {intune},
}

// consents notes what is granted at the beginning, and what the plan does without having asked.
func (c *checker) consents() {
	c.granted = map[Consent]bool{}
	for i, consent := range c.plan.Tenant.Consents {
		if c.granted[consent] {
			c.fail(fmt.Sprintf("tenant.consents[%d]", i), ruleContradiction, "%s is there twice", consent)
		}
		c.granted[consent] = true
	}
	if a := &c.plan.Population.Already; apple(&a.ByPlatform)+apple(&a.Userless.ByPlatform) > 0 {
		c.needs("population.already", ApplePush, "Apple devices are enrolled")
	}
	if apple(&c.plan.Population.Already.Userless.ByPlatform) > 0 {
		c.needs("population.already.userless", AutomatedEnrolment, "userless Apple devices are enrolled by Apple's automated enrolment")
	}
	if c.plan.Population.Already.Userless.Android > 0 {
		c.needs("population.already.userless", AndroidEnterprise, "userless Android devices are enrolled under Android Enterprise")
	}
}

func apple(b *ByPlatform) int { return b.IOS + b.IPadOS + b.MacOS }

// consent grants one; none is ever revoked.
func (c *checker) consent(path string, consent Consent) {
	if c.granted[consent] {
		c.fail(path, ruleContradiction, "%s is granted already at this time; without tenant.consents all are", consent)
	}
	c.granted[consent] = true
}

func (c *checker) needs(path string, consent Consent, what string) {
	if !c.granted[consent] {
		c.fail(path, protocol.RuleConsent, "%s, and the consent %s is not granted at this time", what, consent)
	}
}

// licensing checks who gets a licence, or loses it.
func (c *checker) licensing(path string, a *Action) {
	l := a.Licences
	of := func(key string) string {
		if a.wave {
			return path
		}
		return path + ".licences" + key
	}
	if _, ok := c.plan.Population.Groups[l.In]; l.In != "" && !ok {
		c.fail(of(".in"), ruleContradiction, "no group %q", l.In).Nearest = Nearest(l.In, slices.Sorted(maps.Keys(c.plan.Population.Groups)))
	}
	if (l.Assign == 0) == (l.Remove == 0) {
		c.fail(of(""), ruleContradiction, "want either assign or remove, with one of %s", strings.Join(licenceNames[1:], ", "))
	}
	if n := l.Turns(); n > maxTurns {
		c.fail(of(".every"), ruleContradiction, "they get it in %d turns; at most %d", n, maxTurns)
	}
	if l.Every > l.Over {
		c.fail(of(".every"), ruleContradiction, "every %s, and all have theirs within %s; want over: 10h or so", l.Every, l.Over)
	}
	if a.At+l.Over > c.plan.Until {
		c.fail(of(".over"), ruleContradiction, "the last users get theirs after the story (until: %s)", c.plan.Until)
	}
	valid := append([]string{All, NoLicence, OnlyBasic, WithIntune}, list(protocol.Platforms[:])...)
	valid = append(valid, slices.Sorted(maps.Keys(c.plan.Population.Groups))...)
	var platform protocol.Platform
	switch {
	case !slices.Contains(valid, l.To.Whom):
		c.fail(of(".to"), ruleContradiction, "no users are called %q; want one of %s", l.To.Whom, strings.Join(valid, ", ")).Nearest = Nearest(l.To.Whom, valid)
	case platform.UnmarshalText([]byte(l.To.Whom)) == nil && c.count(func(b *ByPlatform) int { return b.Of(platform) }, false) == 0:
		c.fail(of(".to"), ruleContradiction, "no user has a device of %s", l.To.Whom)
	case l.In != "" && c.plan.Population.Groups[l.To.Whom] > 0:
		c.fail(of(".in"), ruleContradiction, "to names a group itself: %s; want one of the two", l.To.Whom)
	case l.To.Share == 0:
		c.fail(of(".to"), ruleContradiction, "%s is nobody", l.To)
	case l.Assign == IntuneLicence && l.To.Whom == WithIntune, l.Assign == BasicLicence && l.To.Whom == OnlyBasic:
		c.fail(of(".to"), ruleContradiction, "those of %s have that licence already", l.To)
	case l.Remove == IntuneLicence && (l.To.Whom == OnlyBasic || l.To.Whom == NoLicence), l.Remove == BasicLicence && l.To.Whom == NoLicence:
		c.fail(of(".to"), ruleContradiction, "those of %s have no such licence", l.To)
	}
}

// supportMove is for devices without a user, in a tenant that has changed since they enrolled.
func (c *checker) supportMove(path string, t Target) {
	c.target(path, t)
	switch _, group := c.plan.Population.Groups[t.Whom]; {
	case group:
		c.fail(path, protocol.RuleUserless, "the devices of %s have users and move by themselves; support moves userless ones", t.Whom)
	case t.Whom != Userless && c.count(func(b *ByPlatform) int { return b.Total() }, true) == 0:
		c.fail(path, protocol.RuleUserless, "the plan has no userless device for support to move")
	case c.changes == 0 && c.now != coexistence:
		c.fail(path, protocol.RuleUserless, "nobody is to be moved: the authority has not changed before this")
	}
}

// upload follows the push certificate: after its end there are 30 days of grace, or what the tenant has (AUTH-33).
func (c *checker) upload(path string, a *Action) {
	const year = 365 * Day
	grace := cmp.Or(time.Duration(c.plan.Tenant.APNs.Grace), 30*Day)
	at := time.Duration(a.At)
	c.needs(path, ApplePush, "an Apple push certificate is uploaded")
	if slot := a.APNs.Slot; slot != protocol.Unknown && slot != c.now.slot() {
		c.fail(path+".slot", protocol.RulePushGap, "the authority is %s at this time, so a certificate goes into the slot of %s, not of %s", c.now, c.now.slot(), slot)
	}
	renewed := a.APNs.Upload == Renewed
	switch {
	case a.APNs.Upload == 0:
		c.fail(path, ruleContradiction, "an upload of nothing; want upload: with one of %s", strings.Join(certificateNames[1:], ", "))
	case c.now == unset:
		c.fail(path, protocol.RuleUnset, "the authority is unknown at this time: there is no slot for a certificate")
	case c.plan.exported(): // how old its certificate is the story says, and what comes of an upload
	case renewed && at > c.pushEnd+grace:
		c.fail(path, protocol.RulePushExpired, "the push certificate ended at %s: after %s of grace only one with another topic can be had", Duration(c.pushEnd), Duration(grace))
	case renewed && at+year <= c.pushEnd:
		c.fail(path, protocol.RuleUpload, "a certificate renewed at %s ends no later than the present one, so it is not newer", a.At)
	}
	if u := a.APNs.Upload; u.Refused() {
		if u == Expired && at < c.firstPush && !c.plan.exported() {
			c.fail(path+".upload", ruleContradiction, "the certificate of the beginning ends at %s, so it is not expired yet; want not-newer", Duration(c.firstPush))
		}
		return
	}
	c.pushEnd = at + year
}

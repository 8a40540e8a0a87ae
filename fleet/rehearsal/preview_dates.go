package rehearsal

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
	"rollcall/server/renewal"
)

// A date is a moment that matters to who decides.
type date struct {
	At   protocol.Time
	Rule protocol.Rule
	What lang.Text
}

// Times of the rules that a date is counted from.
const (
	oneDay       = 24 * time.Hour
	renewWindow  = 42 * oneDay // before the end of an identity (AUTH-41); how far ahead dates are looked for
	pushWarnings = 30 * oneDay // the first of AUTH-33, and the grace after the end
)

// dates are the moments that matter, in their order.
func (p *Preview) dates(names *population.Population) []date {
	all := p.pushDates(names)
	for _, g := range p.Profiles {
		if g.Until != 0 {
			all = append(all, date{g.Until, g.Rule, lang.Later("profiles of the old authority that nothing has overwritten leave the devices")})
			break
		}
	}
	all = append(all, p.identityDates()...)
	slices.SortStableFunc(all, func(a, b date) int { return cmp.Compare(a.At, b.At) })
	return all
}

// pushDates are those of the Apple push certificate.
func (p *Preview) pushDates(names *population.Population) (all []date) {
	apple := 0
	for i := range p.Population.Devices {
		if p.Population.Devices[i].Platform.Apple() {
			apple++
		}
	}
	now, cert := p.Scene.Now, &names.Tenant.APNs
	if apple == 0 {
		return nil
	}
	if p.Scene.Push.Gap {
		at, why := p.Scene.Before.ChangedAt, lang.Key("the gap is open since the last change")
		if p.OpensGap {
			at, why = now, lang.Key("the change opens the gap")
		}
		all = append(all, date{at, protocol.RulePushGap, lang.Later("%s: no check-in and no enrolment of Apple devices (%d) until a renewed push certificate is uploaded to the new authority's slot", why, apple)})
	}
	if cert.Expires == 0 {
		return all
	}
	who := lang.Later("the Apple ID that it was made with")
	if cert.AppleID != "" {
		who = lang.Later("Apple ID %s", cert.AppleID)
	}
	if p.appleIDDisabled() {
		who = lang.Later("%s, whose account is DISABLED", who)
	}
	switch left := cert.Expires.Sub(now); {
	case left > pushWarnings:
		all = append(all, date{cert.Expires.Add(-pushWarnings), protocol.RulePushExpired, lang.Later("first warning: the Apple push certificate ends 30 days later")})
		fallthrough
	case left > 0:
		all = append(all, date{cert.Expires, protocol.RulePushExpired, lang.Later("the Apple push certificate ends: renew it before, with %s, or no Apple device (%d) checks in", who, apple)})
	case left >= -pushWarnings:
		all = append(all, date{cert.Expires.Add(pushWarnings), protocol.RulePushExpired, lang.Later("the Apple push certificate has ended; until then it can still be renewed with %s, afterwards every Apple device (%d) must enrol again", who, apple)})
	default:
		all = append(all, date{cert.Expires, protocol.RulePushExpired, lang.Later("the Apple push certificate ended: only another topic can be had, and every Apple device (%d) must enrol again (AUTH-32)", apple)})
	}
	return all
}

// appleIDDisabled tells whether the push certificate hangs on an account that is disabled.
func (p *Preview) appleIDDisabled() bool {
	id := p.Population.Tenant.APNs.AppleID
	return id != "" && slices.ContainsFunc(p.Population.Users, func(u population.User) bool { return u.Disabled && strings.EqualFold(u.UPN, id) })
}

// identityDates are those of the devices' own certificates.
func (p *Preview) identityDates() (all []date) {
	var due, gone int
	var first, removed protocol.Time
	assumed := false
	p.each(func(i int, c *authority.Subject, _ *authority.Judgement) {
		switch end := c.CertEnd; {
		case end == 0:
		case end < p.Scene.Now && renewal.RemovedAt(end, 0) > p.Scene.Now:
			gone++
			removed = removed.Sooner(renewal.RemovedAt(end, 0))
		case end >= p.Scene.Now && end.Sub(p.Scene.Now) <= renewWindow:
			due++
			first = first.Sooner(end)
			if p.Population.Devices[i].Has(population.AssumedCertEnd) {
				assumed = true
			}
		}
	})
	what := lang.Later("the first identity certificate ends: %d {device is|devices are} to renew within 42 days, and must check in before that or enrol again", due)
	if assumed {
		what = lang.Later("the first identity certificate ends (assumed from the day of enrolment): %d {device is|devices are} to renew within 42 days, and must check in before that or enrol again", due)
	}
	if due > 0 {
		all = append(all, date{first, protocol.RuleRenewal, what})
	}
	if gone > 0 {
		all = append(all, date{removed, protocol.RuleRecordKept, lang.Later("the first record is removed: the identity certificate of %d {device|devices} has ended", gone)})
	}
	return all
}

package authority

import (
	"fmt"
	"time"

	"rollcall/protocol"
)

// Rules of changes.
const (
	ruleNoReturn protocol.Rule = "AUTH-03"
	ruleChanges  protocol.Rule = "AUTH-04"
	ruleUnits    protocol.Rule = "AUTH-09"

	ruleWorkloads protocol.Rule = "AUTH-51"
)

// A Change is an authority that somebody wants for the tenant. Coexistence stands beside Office365.
type Change struct {
	Authority   protocol.Authority
	Coexistence bool
	Force       bool
	At          protocol.Time
	Kept        time.Duration // see [Tenant]
}

// Facts are what a change depends on besides the tenant. The zero value is no objection.
type Facts struct {
	Unowned bool // no licence that entitles Intune is owned, nor held where nobody says how many are (AUTH-09)
	OnBMS   int  // users whose devices resolve to office365 now
}

// Transition returns the tenant after want, in a new epoch, or why it cannot be (AUTH-02 to 04, AUTH-09). The authority
// that is in force already changes nothing and is no refusal.
func Transition(t Tenant, want Change, f Facts) (Tenant, *protocol.Refusal) {
	next := t
	next.Authority, next.Coexistence = want.Authority, want.Coexistence
	if no := refused(&t, &next, want.Force, f); no != nil {
		return t, no
	}
	if t.Same(&next) {
		return t, nil
	}
	next.Epoch, next.ChangedAt, next.Kept = t.Epoch+1, want.At, want.Kept
	if next.Kept == kept {
		next.Kept = 0
	}
	return next, nil
}

// Unsupported tells whether the change from before to after is one that the service does not offer and only force makes,
// so that a rehearsal can ask.
func Unsupported(before, after Tenant) bool {
	return before.alone() && after.Authority == protocol.Intune || before.Authority == protocol.Intune && after.alone()
}

func refused(t, next *Tenant, force bool, f Facts) *protocol.Refusal {
	no := func(r protocol.Rule, format string, args ...any) *protocol.Refusal {
		return &protocol.Refusal{Rule: r, Reason: fmt.Sprintf(format, args...)}
	}
	adds := t.alone() && (next.coexists() || next.Authority == protocol.Intune)
	switch {
	case next.Coexistence && next.Authority != protocol.Office365:
		return no(ruleChanges, "coexistence stands beside office365 only")
	case t.Same(next):
		return nil
	case next.Authority == protocol.Unknown:
		return no(ruleNoReturn, "the authority is %s and cannot return to unknown", t.Name())
	case t.Authority == protocol.Unknown && Initial(t.Release) != protocol.Unknown && next.Authority != Initial(t.Release):
		return no(protocol.RuleRelease, "a tenant of release %d starts as %s by itself", t.Release, Initial(t.Release))
	case t.Authority == protocol.Unknown && next.coexists():
		return no(ruleChanges, "coexistence is Intune added to office365; the authority is unknown: set office365 first")
	case Unsupported(*t, *next) && !force:
		return no(ruleChanges, "from %s to %s in one step is unsupported: only force does it", t.Name(), next.Name())
	case !allowed(t, next):
		return no(ruleChanges, "from %s to %s is no change that there is", t.Name(), next.Name())
	case adds && f.Unowned:
		return no(ruleUnits, "the tenant owns no licence that entitles Intune, so Intune cannot be added: say how many it owns (rollcall authority settings --intune-units N), or assign one")
	case t.coexists() && f.OnBMS > 0 && !force:
		return no(ruleChanges, "the devices of %d users still resolve to office365; move them first, or force it", f.OnBMS)
	}
	return nil
}

// allowed are the changes of AUTH-04.
func allowed(t, next *Tenant) bool {
	switch {
	case t.Authority == protocol.Unknown:
		return !next.coexists()
	case t.alone():
		return next.coexists() || next.Authority == protocol.Intune
	case t.coexists():
		return next.Authority == protocol.Intune
	case t.Authority == protocol.Intune:
		return next.Authority == protocol.SCCM || next.alone()
	}
	return next.Authority == protocol.Intune // from sccm
}

// firstAutomatic is the release since which a tenant starts as intune (AUTH-02).
const firstAutomatic = 1911

// Initial is the authority of a new tenant: one created at service release 1911 or later starts as intune, an older one
// as unknown (AUTH-02). A release is year and month, as in 1910.
func Initial(release uint16) protocol.Authority {
	if release >= firstAutomatic {
		return protocol.Intune
	}
	return protocol.Unknown
}

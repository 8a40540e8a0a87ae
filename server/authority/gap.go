package authority

import (
	"cmp"
	"slices"
	"time"

	"rollcall/protocol"
)

// GapSettings are the settings of the gap in Apple's push certificates (authority.md, Open points 1 and 2).
type GapSettings struct {
	NotOnCoexistence bool                // gap.onCoexistence: off
	Platforms        []protocol.Platform // gap.platforms; nil: iOS, iPadOS, macOS
}

// Covers tells whether the gap holds devices of p.
func (s *GapSettings) Covers(p protocol.Platform) bool {
	if s.Platforms == nil {
		return p.Apple()
	}
	return slices.Contains(s.Platforms, p)
}

// OpensGap tells whether the change from before to after opens the gap of AUTH-30: the push certificate of the new
// authority's slot must be renewed before Apple devices check in again. The first authority of a tenant opens none, for
// there is nothing to renew, and neither does one whose slot is in use already: under coexistence it is Intune's, so that
// BMS may go without it.
func OpensGap(before, after Tenant, s GapSettings) bool {
	switch {
	case before.Slot() == after.Slot(), before.Authority == protocol.Unknown:
		return false
	case before.alone() && after.coexists():
		return !s.NotOnCoexistence
	}
	return true
}

// grace is how long after its end a push certificate can still be renewed under the same topic, where no setting says otherwise
// (AUTH-33).
const grace = 30 * 24 * time.Hour

// A Push is the Apple push certificate of the authority in force after a change.
type Push struct {
	Gap      bool          // the gap is open (AUTH-30): see OpensGap
	Settings GapSettings   // whom it holds
	Ends     protocol.Time // of the certificate; 0: not known
	Grace    time.Duration // after that, in which it can be renewed; 0: 30 days
}

// held returns the rule that keeps devices of p from checking in at now; empty: none.
func (s *Push) held(now protocol.Time, p protocol.Platform) protocol.Rule {
	switch {
	case s.Gap && s.Settings.Covers(p):
		return protocol.RulePushGap
	case p.Apple() && s.Ends != 0 && s.Ends <= now:
		return protocol.RulePushExpired
	}
	return ""
}

// Lost tells whether only a certificate with another topic can be had, which reaches no enrolled device (AUTH-33, AUTH-32).
func (s *Push) Lost(now protocol.Time) bool {
	return s.Ends != 0 && s.Ends.Add(cmp.Or(s.Grace, grace)) < now
}

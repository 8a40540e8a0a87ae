package server

import (
	"rollcall/protocol"
	"rollcall/server/authority"
)

// A Preview is what a change would do, or did: the same code answers both (AUTH-35, I10). Its ID stands for all of it:
// the state of the tenant and what becomes of each device. A change that is given another ID is refused and the
// difference named (HST-070).
type Preview struct {
	authority.Preview // its ID is this one's
	Before            authority.Tenant
	After             authority.Tenant // of a change that is no change of authority: Before
	Unsupported       bool             // only force does it (AUTH-04)
	Confirm           bool             // the change needs the ID: it enables coexistence, or strands devices
	OpensGap          bool             // Apple devices wait for a renewed push certificate afterwards (AUTH-30)

	Warnings []Warning
}

// A Warning is advice that goes with a preview, by rule: one sentence.
type Warning struct {
	Rule protocol.Rule
	Text string
}

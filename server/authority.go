package server

import (
	"context"
	"errors"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// PreviewAuthority says what change would do now, without changing anything (AUTH-35). A refused change comes back as
// its refusal. Change.At is not looked at.
func (s *Server) PreviewAuthority(ctx context.Context, now protocol.Time, change authority.Change) (*Preview, error) {
	return nil, errors.ErrUnsupported
}

// SetAuthority changes the tenant's authority (AUTH-02 to 04, AUTH-08, AUTH-09): one commit of epoch, time and campaign of wake-ups.
// Devices move later, each at its own completed check-in. Confirm is the ID of a preview of the same change, or empty;
// needed where Preview.Confirm says so. A refusal changes nothing and is in the journal; by HST-070 when what was previewed
// is not what would happen now: its reason names the difference. The preview comes back with HST-070 and RuleConfirm
// refusals too, so that the caller can show it.
func (s *Server) SetAuthority(ctx context.Context, now protocol.Time, who Actor, change authority.Change, confirm string) (*Preview, error) {
	return nil, errors.ErrUnsupported
}

// A GapState is the gap in Apple's push certificates (AUTH-30, AUTH-33).
type GapState struct {
	Open      bool
	Since     protocol.Time
	Platforms []protocol.Platform // whose check-ins and enrolments are refused
	Slot      protocol.Authority  // whose certificate is waited for, or in use
	Topic     string              // that the upload should have: the one that enrolled devices know; empty: none yet
	AppleID   string              // whose certificate that is (AUTH-33)
	Ended     bool                // the certificate in use has ended or is refused by the push service (AUTH-33)
	Held      int                 // devices whose wake-up waits for the upload
	Blocked   int                 // of these pending or stale
}

// Gap says how the gap stands at now. It looks at all devices.
func (s *Server) Gap(ctx context.Context, now protocol.Time) (GapState, error) {
	return GapState{}, errors.ErrUnsupported
}

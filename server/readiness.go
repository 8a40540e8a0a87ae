package server

import (
	"context"
	"errors"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// A Finding of the readiness check is one user with enrolled devices to whom nothing of a family is assigned (AUTH-38).
type Finding struct {
	User     delivery.UserID
	UPN      string
	Devices  int
	Families []protocol.Family // of which nothing is assigned in the authority that the user's devices have or will have
	Late     protocol.Time     // since when it is late: the change; 0: before the change, "assign before"
}

// Readiness lists the users with enrolled devices who lack assignments under the authority that their devices would have
// after change; a zero change: under the present one (AUTH-38). By UserID.
func (s *Server) Readiness(ctx context.Context, now protocol.Time, after protocol.Authority) ([]Finding, error) {
	return nil, errors.ErrUnsupported
}

// A Mismatch is a device that is not where it is expected (AUTH-39).
type Mismatch struct {
	Device     protocol.Device
	Expected   protocol.Authority
	Registered protocol.Authority
	Epoch      uint32 // in which it registered
	Rule       protocol.Rule
}

// A Verification compares expected and listed devices (AUTH-39).
type Verification struct {
	Epoch       uint32
	Expected    map[protocol.Authority]int // devices by the authority that resolves
	Listed      map[protocol.Authority]int // devices by portal (AUTH-45)
	ThisEpoch   int                        // listed devices that registered in the present epoch
	Outstanding []Mismatch                 // pending and stale devices by number; at most 1000
	Pending     int
	Stale       int
}

// Verify compares what resolves with what the portals list (AUTH-39).
func (s *Server) Verify(ctx context.Context, now protocol.Time) (*Verification, error) {
	return nil, errors.ErrUnsupported
}

package server

import (
	"context"
	"errors"

	"rollcall/protocol"
)

// A Licence is what one user holds after a change of licences.
type Licence struct {
	UPN       string // without case
	Intune    bool   // a licence that entitles Intune
	Basic     bool   // a licence that BMS serves
	CoManaged bool   // under co-management (AUTH-15)
}

// PreviewLicences says what SetLicences with the same list would do now (AUTH-23, AUTH-24, AUTH-35).
func (s *Server) PreviewLicences(ctx context.Context, now protocol.Time, licences []Licence) (*Preview, error) {
	return nil, errors.ErrUnsupported
}

// SetLicences gives users these licences and takes others away (AUTH-09, AUTH-23, AUTH-24). More Intune licences than the units owned are
// refused. Under coexistence the devices of these users re-resolve at once, are woken, and move at their next check-in; elsewhere
// nothing moves (I9). Confirm as with SetAuthority; it is never needed. An unknown user is store.ErrNotFound.
func (s *Server) SetLicences(ctx context.Context, now protocol.Time, who Actor, licences []Licence, confirm string) (*Preview, error) {
	return nil, errors.ErrUnsupported
}

// SetUnits says how many licences that entitle Intune the tenant owns; negative: not known (AUTH-09).
func (s *Server) SetUnits(ctx context.Context, now protocol.Time, who Actor, units int) error {
	return errors.ErrUnsupported
}

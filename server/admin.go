package server

import (
	"context"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// SetUp sets the tenant up, once: its release, its settings and, unless the release decides (AUTH-02), its authority.
// Epoch and ChangedAt of t are not looked at. Setting up again with the same authority changes the settings; another
// authority is refused.
func (s *Server) SetUp(ctx context.Context, now protocol.Time, t authority.Tenant, set delivery.Settings) error {
	return nil
}

// PutUsers adds users or changes those that exist, by UPN without case; ID is not looked at. It returns their IDs in the
// same order. Devices whose profiles change are woken (AUTH-52).
func (s *Server) PutUsers(ctx context.Context, now protocol.Time, users []store.User) ([]delivery.UserID, error) {
	return nil, nil
}

// UserByUPN finds a user; false: there is none.
func (s *Server) UserByUPN(upn string) (store.User, bool) { return store.User{}, false }

// ApplyProfile makes payload the newest version of the profile called name, unless it is already, and assigns it to
// groups besides those that have it. A nil payload changes assignments only. Family and identifier belong to the name
// and are those of payload; one identifier belongs to one name.
func (s *Server) ApplyProfile(ctx context.Context, now protocol.Time, name string, family protocol.Family, identifier string, payload []byte, groups []string) error {
	return nil
}

// Unassign takes a profile from a group; RemoveProfile takes it from all and forgets it. The devices of the users drop
// it (AUTH-55). The error wraps store.ErrNotFound when there is no such profile or assignment.
func (s *Server) Unassign(ctx context.Context, now protocol.Time, name, group string) error {
	return nil
}

// RemoveProfile is described at [Server.Unassign].
func (s *Server) RemoveProfile(ctx context.Context, now protocol.Time, name string) error { return nil }

// Order queues a command for a device and wakes it; of c only Kind, PIN and Text count. Kind NoCommand only wakes it (a
// sync). The id of the command comes back.
func (s *Server) Order(ctx context.Context, now protocol.Time, d protocol.Device, c protocol.Command) (protocol.CommandID, error) {
	return protocol.CommandID{}, nil
}

// PutSerials assigns devices to the tenant for automated enrolment.
func (s *Server) PutSerials(ctx context.Context, now protocol.Time, serials []store.Serial) error {
	return nil
}

// Serial finds a device that is assigned to the tenant; false: there is none.
func (s *Server) Serial(serial string) (store.Serial, bool) { return store.Serial{}, false }

// PutToken keeps a token of the admin API, or changes the one with its name.
func (s *Server) PutToken(ctx context.Context, now protocol.Time, t store.Token) error { return nil }

// Secret returns the server's own secret of this name, made by make and kept at the first call.
func (s *Server) Secret(ctx context.Context, now protocol.Time, name string, make func() ([]byte, error)) ([]byte, error) {
	return nil, nil
}

// A PushUpload is what an upload of a push certificate did or would do.
type PushUpload struct {
	OtherTopic bool // than the present one: AUTH-32
	Stranded   int  // enrolled Apple devices that the new topic cannot reach
}

// UploadPush takes data (see certs.ReadPush) as the push certificate of the tenant's slot (AUTH-34). One with another
// topic is refused without confirm (AUTH-32); the result says how many devices it strands, also when it is refused. Held
// wake-ups go out at once (AUTH-31).
func (s *Server) UploadPush(ctx context.Context, now protocol.Time, data []byte, password, appleID string, confirm bool) (PushUpload, error) {
	return PushUpload{}, nil
}

// PushStatus returns the push certificate in use, nil: none, and the warning of renewal.Warning.
func (s *Server) PushStatus(now protocol.Time) (cert *store.PushCertificate, warning int) {
	return nil, 0
}

// Portal returns up to n enrolled devices that a manages, with numbers above after, ascending (AUTH-45).
func (s *Server) Portal(ctx context.Context, a protocol.Authority, after protocol.Device, n int) ([]store.Record, error) {
	return nil, nil
}

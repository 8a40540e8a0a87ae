package server

import (
	"context"
	"errors"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Why a certificate is not issued. Who asks over the wire hears one answer for all of them (APL-007).
var (
	ErrChallenge = errors.New("challenge is unknown")           // HST-037
	ErrSpent     = errors.New("challenge was used")             // HST-037, APL-008
	ErrExpired   = errors.New("challenge expired")              // HST-037
	ErrKeyReused = errors.New("key belongs to another device")  // HST-040
	ErrPresent   = errors.New("present identity is not usable") // APL-011
)

// Grant keeps g as the right to one identity certificate and returns its challenge, 128 bits of chance as text. Hash is
// filled in; g.Expires zero means one hour after now.
func (s *Server) Grant(ctx context.Context, now protocol.Time, g store.Grant) (challenge string, err error) {
	return "", nil
}

// A Claim asks for the certificate that a challenge stands for.
type Claim struct {
	Challenge   string
	Transaction string   // SCEP transactionID
	Request     [32]byte // SHA-256 of the CSR
	Key         [32]byte // SHA-256 of its public key's PKIX form

	// Make makes the certificate. It is called at most once, with the grant's use already decided on; what it returns is
	// handed out only after it is committed.
	Make func(g *store.Grant) (der []byte, notBefore, notAfter protocol.Time, err error)
}

// Issue redeems c's challenge: one use, in one transaction with the certificate. The same claim again within 24 hours
// gets the same certificate again; a device enrolling by ADE also for another request with the same key, since it may
// try again with the profile it has. The errors are the ones above, Make's and the store's.
func (s *Server) Issue(ctx context.Context, now protocol.Time, c Claim) (der []byte, err error) {
	return nil, nil
}

// Reissue renews the identity that present is, without a challenge (SCEP RenewalReq, APL-011): it must be the one that
// its device uses, neither expired nor revoked. c.Challenge is not looked at.
func (s *Server) Reissue(ctx context.Context, now protocol.Time, present delivery.Fingerprint, c Claim) (der []byte, err error) {
	return nil, nil
}

// Credential returns what is known of a certificate; store.ErrNotFound: it is not ours.
func (s *Server) Credential(ctx context.Context, f delivery.Fingerprint) (delivery.Credential, error) {
	return s.store.Credential(ctx, f)
}

// Invite makes a single-use enrolment link for a user (0: userless) and returns its token, which is kept nowhere.
func (s *Server) Invite(ctx context.Context, now protocol.Time, user delivery.UserID, lifetime time.Duration) (token string, err error) {
	return "", nil
}

// TakeTicket uses up an enrolment link; store.ErrNotFound when it is unknown, used or expired.
func (s *Server) TakeTicket(ctx context.Context, now protocol.Time, token string) (*store.Ticket, error) {
	return nil, nil
}

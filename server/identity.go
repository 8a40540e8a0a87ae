package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Why a certificate is not issued. Who asks over the wire hears one answer for all of them (APL-007).
var (
	ErrChallenge = errors.New("challenge is unknown")                                                     // HST-037
	ErrSpent     = errors.New("challenge was used")                                                       // HST-037, APL-008
	ErrExpired   = errors.New("challenge expired")                                                        // HST-037
	ErrKeyReused = errors.New("key has a certificate already")                                            // HST-040
	ErrPresent   = errors.New("present identity is not usable")                                           // APL-011
	ErrAttested  = errors.New("key is not the one that was attested")                                     // AND-084
	ErrUnused    = errors.New("the device was given its next identity just now, and has not used it yet") // HST-045
)

// A Claimed is the refusal of a claim of somebody who is known.
type Claimed struct {
	Grant store.Grant
	Err   error
}

func (c *Claimed) Error() string { return c.Err.Error() }
func (c *Claimed) Unwrap() error { return c.Err }

const (
	grantLife  = time.Hour      // of the challenge in an enrolment profile
	repeatable = 24 * time.Hour // in which a claim gets the same answer again
	unusedFor  = time.Hour      // from the beginning of a renewed identity, in which a device gets no other one unless it uses it
)

// secretText makes a secret of 128 bits and its hash. Only the hash is ever kept.
func secretText() (text string, hash [32]byte) {
	var b [16]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	text = base64.RawURLEncoding.EncodeToString(b[:])
	return text, sha256.Sum256([]byte(text))
}

// Grant keeps g as the right to one identity certificate and returns its challenge, 128 bits of chance as text. Hash is
// filled in, and Device where g.ID is known already; g.Expires zero means one hour after now.
func (s *Server) Grant(ctx context.Context, now protocol.Time, g store.Grant) (challenge string, err error) {
	challenge, g.Hash = secretText()
	if g.Expires == 0 {
		g.Expires = now.Add(grantLife)
	}
	if g.ID != "" && g.Device == 0 {
		if g.Device, err = s.store.Device(ctx, g.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return "", fmt.Errorf("grant: %w", err)
		}
	}
	if err := s.store.AddGrant(ctx, &g); err != nil {
		return "", fmt.Errorf("grant: %w", err)
	}
	return challenge, nil
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
	return s.redeem(ctx, now, sha256.Sum256([]byte(c.Challenge)), c)
}

// Reissue renews the identity that present is, without a challenge (SCEP RenewalReq, APL-011): it must be the one that
// its device uses, neither expired nor revoked. A device that asks again and again without using what it was given has one an hour
// (HST-045). c.Challenge is not looked at.
func (s *Server) Reissue(ctx context.Context, now protocol.Time, present delivery.Fingerprint, c Claim) (der []byte, err error) {
	cred, err := s.store.Credential(ctx, present)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("renewal: %w", ErrPresent)
	case err != nil:
		return nil, fmt.Errorf("renewal: %w", err)
	case cred.Device == 0, cred.Revoked, now < cred.NotBefore, now >= cred.NotAfter:
		return nil, fmt.Errorf("renewal: %w", ErrPresent)
	}
	lock := &s.reissue[int(cred.Device)%len(s.reissue)]
	lock.Lock()
	defer lock.Unlock()
	r, err := s.store.Record(ctx, cred.Device)
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("renewal: %w", err)
	case err != nil, r.State.Life != delivery.Enrolled, r.State.Identity.Fingerprint != present:
		return nil, fmt.Errorf("renewal: device %d: %w", cred.Device, &Claimed{store.Grant{ID: r.ID, User: cred.User}, ErrPresent})
	}
	// The request itself is the challenge: the same one again gets the same answer.
	h := sha256.New()
	fmt.Fprintf(h, "reissue\x00%s\x00%s\x00%s", present[:], c.Request[:], c.Transaction)
	g := store.Grant{
		Hash: [32]byte(h.Sum(nil)), Purpose: delivery.ForRenewal, Device: cred.Device, ID: r.ID, User: r.State.User, Automated: r.State.Automated,
		Expires: now.Add(repeatable),
	}
	if r.State.Platform == protocol.Android { // its certificate says the enrolment
		g.Platform = protocol.Android
		g.Serial, _, _ = AndroidEnrolment(&r.Facts)
	}
	next := r.State.Rare.Read().Next
	soon := next.NotBefore <= now && now < next.NotBefore.Add(unusedFor)
	if !soon {
		if err := s.store.AddGrant(ctx, &g); err != nil {
			return nil, fmt.Errorf("renewal: %w", err)
		}
	}
	der, err = s.redeem(ctx, now, g.Hash, c) // a repeat finds its grant
	if soon && errors.Is(err, ErrChallenge) {
		return nil, fmt.Errorf("renewal: device %d: %w", cred.Device, ErrUnused)
	}
	return der, err
}

// redeem issues the certificate that a grant stands for.
func (s *Server) redeem(ctx context.Context, now protocol.Time, hash [32]byte, c Claim) (der []byte, err error) {
	lock := &s.keys[c.Key[0]%byte(len(s.keys))] // of two claims for one key, the second sees the first's certificate
	lock.Lock()
	defer lock.Unlock()
	used, err := s.store.KeyUsed(ctx, c.Key)
	if err != nil {
		return nil, fmt.Errorf("issue: %w", err)
	}
	var made delivery.Credential
	err = s.store.Redeem(ctx, hash, func(g *store.Grant) (*store.Issued, error) {
		switch {
		case g == nil:
			return nil, ErrChallenge
		case g.UsedAt != 0 && now < g.UsedAt.Add(repeatable) && g.Key == c.Key &&
			(g.Automated || g.Transaction == c.Transaction && g.Request == c.Request):
			der = g.Certificate
			return nil, nil
		case g.UsedAt != 0:
			return nil, &Claimed{*g, ErrSpent}
		case now >= g.Expires:
			return nil, &Claimed{*g, ErrExpired}
		case used:
			return nil, &Claimed{*g, ErrKeyReused}
		case g.Key != ([32]byte{}) && g.Key != c.Key:
			return nil, &Claimed{*g, ErrAttested}
		}
		var id delivery.Identity
		if der, id.NotBefore, id.NotAfter, err = c.Make(g); err != nil {
			return nil, err
		}
		id.Fingerprint = sha256.Sum256(der)
		issued := &store.Issued{Grant: *g, Credential: delivery.Credential{
			Identity: id, Purpose: g.Purpose, Device: g.Device, User: g.User, Automated: g.Automated, ID: g.ID, Serial: g.Serial, Platform: g.Platform,
		}}
		issued.Grant.UsedAt, issued.Grant.Transaction, issued.Grant.Request = now, c.Transaction, c.Request
		issued.Grant.Key, issued.Grant.Certificate = c.Key, der
		made = issued.Credential
		return issued, nil
	})
	if err != nil {
		return nil, fmt.Errorf("issue: %w", err)
	}
	if made.Purpose == delivery.ForRenewal {
		s.issued(ctx, now, made)
	}
	return der, nil
}

// Adopt keeps a certificate that another authority issued for the device that the wire calls id, as one with which that device,
// and no other, may enrol, without a user and while it is not enrolled (HST-033, HST-051). Whoever calls it trusts that authority with
// every device that is not: it is for labs. Adopting it again changes nothing. key is the SHA-256 of its public key's PKIX form.
func (s *Server) Adopt(ctx context.Context, now protocol.Time, i delivery.Identity, der []byte, key [32]byte, id string) (delivery.Credential, error) {
	g := store.Grant{Hash: sha256.Sum256(append([]byte("adopted "), i.Fingerprint[:]...)), Purpose: delivery.Adopted, ID: id, Expires: now.Add(repeatable)}
	err := s.store.AddGrant(ctx, &g)
	if err == nil {
		_, err = s.redeem(ctx, now, g.Hash, Claim{Key: key, Make: func(*store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			return der, i.NotBefore, i.NotAfter, nil
		}})
	}
	if err != nil {
		return delivery.Credential{}, fmt.Errorf("adopt: %w", err)
	}
	return s.Credential(ctx, i.Fingerprint)
}

// issued tells a device's record of its next identity. The certificate is bound to the device already, so that nothing but
// the display depends on this (HST-034).
func (s *Server) issued(ctx context.Context, now protocol.Time, c delivery.Credential) {
	ev := delivery.Event{Kind: delivery.IdentityIssued, Device: c.Device, Message: delivery.Message{Credential: c}}
	if err := s.Handle(ctx, now, &ev, new(delivery.Outcome)); err != nil {
		s.log.WithError(err).WithField("device", c.Device).Warn("renewed identity is not shown yet")
	}
}

// Credential returns what is known of a certificate; store.ErrNotFound: it is not ours.
func (s *Server) Credential(ctx context.Context, f delivery.Fingerprint) (delivery.Credential, error) {
	return s.store.Credential(ctx, f)
}

// Invite makes a single-use enrolment link for a user (0: userless) and a kind of device (zero: any), and returns its token, which is
// kept nowhere.
func (s *Server) Invite(ctx context.Context, now protocol.Time, user delivery.UserID, kind protocol.Platform, lifetime time.Duration) (token string, err error) {
	token, hash := secretText()
	if err := s.store.AddTicket(ctx, &store.Ticket{Hash: hash, User: user, Platform: kind, Expires: now.Add(lifetime)}); err != nil {
		return "", fmt.Errorf("invitation: %w", err)
	}
	return token, nil
}

// Ticket looks at an enrolment link; store.ErrNotFound when it is unknown, used or expired.
func (s *Server) Ticket(ctx context.Context, now protocol.Time, token string) (*store.Ticket, error) {
	return s.store.Ticket(ctx, sha256.Sum256([]byte(token)), now)
}

// Repeats returns whose enrolment link has already answered this very request, as long as its device may not have heard the answer
// (HST-041); store.ErrNotFound: there was none, or the device has come with its certificate since. A zero request stands for any: the
// device asks something else on its way to it.
func (s *Server) Repeats(ctx context.Context, now protocol.Time, token string, request [32]byte, transaction string) (*store.Ticket, error) {
	hash := sha256.Sum256([]byte(token))
	var used store.Grant
	err := s.store.Redeem(ctx, hash, func(g *store.Grant) (*store.Issued, error) { // nothing is redeemed
		if g == nil || g.UsedAt == 0 || now >= g.UsedAt.Add(repeatable) || request != [32]byte{} && (g.Request != request || g.Transaction != transaction) {
			return nil, store.ErrNotFound
		}
		used = *g
		used.ID = g.Transaction
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	if done, err := s.checkedIn(ctx, &used); err != nil || done {
		return nil, errors.Join(err, store.ErrNotFound)
	}
	return &store.Ticket{Hash: hash, User: used.User, Platform: used.Platform, Expires: used.Expires}, nil
}

// OpenTicket makes the token of an enrolment link the challenge of the profile behind it, for one hour. Scanners, previews and a
// browser's second try open a link too: all get the same challenge, with which one device enrols (HST-037). store.ErrNotFound when
// the link is unknown, used or expired.
func (s *Server) OpenTicket(ctx context.Context, now protocol.Time, token string) error {
	t, err := s.Ticket(ctx, now, token)
	if err != nil {
		return err
	}
	return s.store.AddGrant(ctx, &store.Grant{Hash: t.Hash, Purpose: delivery.ForEnrolment, User: t.User, Platform: t.Platform, Expires: now.Add(grantLife)})
}

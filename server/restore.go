package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// skippedEpochs is more than the changes of authority in the time that a backup does not know of: devices heard of those, and
// take only a higher epoch (HST-057).
const skippedEpochs = 1000

// takeUpBackup begins a new epoch where the store was restored from a backup (HST-101): every device is woken, registers
// anew and gets its profiles again, and says what is on it.
func (s *Server) takeUpBackup(ctx context.Context, now protocol.Time) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	content := s.Content()
	r := content.Restored
	if r.Since == 0 || r.At != 0 {
		return nil
	}
	r.At = max(now, r.Since)
	c := store.Change{Restored: &r}
	if t := content.Tenant; t.Epoch != 0 {
		t.Epoch += skippedEpochs
		r.Epoch, c.Tenant = t.Epoch, &t
		c.Campaign = &store.Campaign{Gap: content.Campaign.Gap, Wakes: s.wakes(now)}
	}
	c.Lines = line(delivery.WhatTenant, protocol.RuleRestored, fmt.Sprintf("restored from a backup of %s: epoch %d; every device is brought up to date at its next check-in; "+
		"unused enrolment links have ended; what was revoked since (tokens, identities, roles) has to be revoked again", r.Since, r.Epoch))
	if err := s.change(As(ctx, System.Name), now, &c); err != nil {
		return fmt.Errorf("restoration: %w", err)
	}
	s.log.WithField("rule", protocol.RuleRestored).Warn(c.Lines[0].Detail)
	return nil
}

// Subject returns the common name of the certificate that a grant stands for. It says nothing to anybody but this server,
// which knows by it, even if it has forgotten the certificate, which device it was issued for, where the grant says so.
func (s *Server) Subject(g *store.Grant) string {
	switch {
	case g.ID == "":
		return uuid.NewString()
	case g.Platform == protocol.Android: // whose protocol has it so (AND-070); its unit says the rest
		return g.ID
	}
	return s.subjectOf(g.ID, g.User)
}

// AndroidUnit returns the organizational unit of the certificate that a grant stands for: of an Android device the enrolment, so that a
// certificate is not taken for that of another enrolment of the device; empty: none.
func AndroidUnit(g *store.Grant) string {
	if g.Platform != protocol.Android {
		return ""
	}
	enrollment, _, _ := strings.Cut(g.Serial, " ")
	return enrollment
}

// subjectOf is for one device in the hands of one user, who may have been another when the backup was made.
func (s *Server) subjectOf(id string, user delivery.UserID) string {
	mac := hmac.New(sha256.New, s.renewals)
	mac.Write([]byte("subject of " + id + " of " + strconv.FormatUint(uint64(user), 10)))
	b := uuid.UUID(mac.Sum(nil)[:16])
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // RFC 9562, section 5.8
	return b.String()
}

// A Forgotten is a living certificate of this server's authority that the store does not know.
type Forgotten struct {
	delivery.Identity
	Subject     string   // its common name
	Unit        string   // its organizational unit; empty: none
	Key         [32]byte // SHA-256 of its public key's PKIX form
	Certificate []byte   // DER
}

// Forgets tells whether a certificate that is valid from notBefore, by this server's authority and not in the store, may have
// been issued in a time that a restoration lost.
func (s *Server) Forgets(notBefore protocol.Time) bool {
	r := s.World().Restored
	return r.Covers(notBefore)
}

// Recall keeps a certificate that was issued after the backup, and returns it bound to the device that the wire calls id
// (HST-101, HST-034): its subject proves that it was issued for that device, and for the user or the enrolment that the server knows:
// a device that changed hands after the backup does not come back as the one before (HST-042). Any other is refused by rule, which tells
// the device nothing but to come again, and the operator what to do.
func (s *Server) Recall(ctx context.Context, now protocol.Time, f *Forgotten, id string) (cred delivery.Credential, err error) {
	device, err := s.store.Device(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return cred, s.unknownDevice(ctx, now, f, id)
	}
	if err != nil {
		return cred, fmt.Errorf("restoration: %w", err)
	}
	record, err := s.store.Record(ctx, device)
	if err != nil {
		return cred, fmt.Errorf("restoration: %w", err)
	}
	st := &record.State
	living := st.Life == delivery.Enrolled || st.Life == delivery.Deleted // else nothing is there to go on with
	if !living || f.NotBefore < st.Identity.NotBefore || !s.issuedFor(f, &record) {
		return cred, s.unknownDevice(ctx, now, f, id)
	}
	cred = delivery.Credential{
		Identity: f.Identity, Purpose: delivery.ForRenewal, Device: device, User: st.User, Automated: st.Automated, ID: id,
	}
	g := store.Grant{
		Hash: sha256.Sum256(append([]byte("recalled "), f.Fingerprint[:]...)), Purpose: cred.Purpose, Device: device, ID: id, User: st.User,
		Automated: st.Automated, Expires: now.Add(repeatable),
	}
	err = s.store.AddGrant(ctx, &g)
	if err == nil {
		err = s.store.Redeem(ctx, g.Hash, func(kept *store.Grant) (*store.Issued, error) {
			if kept == nil || kept.UsedAt != 0 {
				return nil, nil // on another connection at the same moment
			}
			g.UsedAt, g.Key, g.Certificate = now, f.Key, f.Certificate
			return &store.Issued{Grant: g, Credential: cred}, nil
		})
	}
	if err == nil {
		err = s.apply(ctx, now, &store.Change{Lines: []delivery.Effect{{
			Kind: delivery.Journal, Device: device, Rule: protocol.RuleRestored, What: delivery.WhatRecalled, Detail: "issued after the backup, valid until " + f.NotAfter.String(),
		}}})
	}
	if err != nil {
		return cred, fmt.Errorf("restoration: %w", err)
	}
	return cred, nil
}

// issuedFor tells whether a certificate of this server's was issued for the device of a record, as the record has it.
func (s *Server) issuedFor(f *Forgotten, r *store.Record) bool {
	if r.State.Platform == protocol.Android {
		enrollment, _, _ := AndroidEnrolment(&r.Facts)
		return f.Subject == r.ID && f.Unit == enrollment
	}
	return hmac.Equal([]byte(f.Subject), []byte(s.subjectOf(r.ID, r.State.User)))
}

// mostUnknown bounds the devices whose journal line is remembered.
const mostUnknown = 10_000

// unknowns are the certificates of devices that enrolled after the backup and were heard of.
type unknowns struct {
	mu   sync.Mutex
	told map[delivery.Fingerprint]struct{}
}

// first tells whether this is the first time that f is heard of, as far as is remembered.
func (u *unknowns) first(f delivery.Fingerprint) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.told[f]; ok || len(u.told) >= mostUnknown {
		return false
	}
	if u.told == nil {
		u.told = make(map[delivery.Fingerprint]struct{})
	}
	u.told[f] = struct{}{}
	return true
}

// unknownDevice refuses a device that enrolled after the backup. The journal says so once.
func (s *Server) unknownDevice(ctx context.Context, now protocol.Time, f *Forgotten, id string) error {
	no := &protocol.Refusal{
		Rule: protocol.RuleRestored, Reason: "this server was restored from a backup older than this enrolment; the device stays as it is and has to enrol again",
	}
	if !s.unknown.first(f.Fingerprint) {
		return no
	}
	detail := fmt.Sprintf("device %s enrolled after the backup: have it enrol again, with a new link (rollcall users invite) or, by ADE, from its setup assistant", id)
	if err := s.apply(ctx, now, &store.Change{Lines: line(delivery.WhatForgotten, protocol.RuleRestored, detail)}); err != nil {
		return fmt.Errorf("restoration: %w", err)
	}
	s.log.WithFields(logrus.Fields{"rule": protocol.RuleRestored, "device": id}).Warn(detail)
	return no
}

package storetest

import (
	"errors"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func grant(n byte) *store.Grant {
	return &store.Grant{
		Hash: [32]byte{n}, Purpose: delivery.ForEnrolment, User: 3, ID: "UDID", Serial: "C02", Platform: protocol.IPadOS, Automated: true, Expires: at + 1000,
	}
}

// issue is what a decision makes of a grant.
func issue(g *store.Grant, n byte) *store.Issued {
	used := *g
	used.UsedAt, used.Transaction, used.Request, used.Key, used.Certificate = at+1, "transaction", [32]byte{n, 1}, [32]byte{n, 2}, []byte{n, 0, 3}
	return &store.Issued{Grant: used, Credential: delivery.Credential{
		Identity: delivery.Identity{Fingerprint: delivery.Fingerprint{n, 4}, NotBefore: at, NotAfter: at + 100},
		Purpose:  g.Purpose, Device: g.Device, User: g.User, Automated: g.Automated, ID: g.ID, Serial: g.Serial, Platform: g.Platform,
	}}
}

// look returns a grant as Redeem shows it.
func (s *suite) look(hash [32]byte) (found *store.Grant) {
	s.Helper()
	s.must(s.Redeem(s.ctx, hash, func(g *store.Grant) (*store.Issued, error) {
		if g != nil {
			kept := *g
			found = &kept
		}
		return nil, nil
	}))
	return found
}

func grants(s *suite) {
	if g := s.look([32]byte{1}); g != nil {
		s.Errorf("an unknown grant is %+v", g)
	}
	g := grant(1)
	g.Device = s.make("A", nil)
	s.must(s.AddGrant(s.ctx, g))
	s.each(func(when string) { s.equal(when+"grant", s.look(g.Hash), g) })

	no := errors.New("no")
	err := s.Redeem(s.ctx, g.Hash, func(*store.Grant) (*store.Issued, error) { return issue(g, 1), no })
	s.wantErr("Redeem that is refused", err, no)
	s.each(func(when string) {
		s.equal(when+"grant after a refusal", s.look(g.Hash), g)
		_, err := s.Credential(s.ctx, delivery.Fingerprint{1, 4})
		s.wantErr(when+"Credential after a refusal", err, store.ErrNotFound)
	})

	want := issue(g, 1)
	s.must(s.Redeem(s.ctx, g.Hash, func(got *store.Grant) (*store.Issued, error) { return issue(got, 1), nil }))
	s.must(s.AddGrant(s.ctx, g)) // again: its use is not forgotten
	s.each(func(when string) {
		s.equal(when+"used grant", s.look(g.Hash), &want.Grant)
		c, err := s.Credential(s.ctx, delivery.Fingerprint{1, 4})
		s.must(err)
		s.equal(when+"credential", c, want.Credential)
		for key, want := range map[[32]byte]bool{{1, 2}: true, {1, 3}: false} {
			if used, err := s.KeyUsed(s.ctx, key); err != nil || used != want {
				s.Errorf("%sKeyUsed = %v, %v, want %v", when, used, err, want)
			}
		}
	})
}

func redeemOnce(s *suite) {
	g := grant(1)
	s.must(s.AddGrant(s.ctx, g))
	spent := errors.New("spent")
	const tries = 16
	done := make(chan error)
	for i := range byte(tries) {
		go func() {
			done <- s.Redeem(s.ctx, g.Hash, func(g *store.Grant) (*store.Issued, error) {
				if g.UsedAt != 0 {
					return nil, spent
				}
				return issue(g, i+1), nil
			})
		}()
	}
	won := 0
	for range tries {
		if err := <-done; err == nil {
			won++
		} else if !errors.Is(err, spent) {
			s.Error(err)
		}
	}
	made := 0
	for i := range byte(tries) {
		if _, err := s.Credential(s.ctx, delivery.Fingerprint{i + 1, 4}); err == nil {
			made++
		}
	}
	if won != 1 || made != 1 {
		s.Errorf("%d of %d won and %d certificates were made, want one (HST-037)", won, tries, made)
	}
}

func credentials(s *suite) {
	for n := range byte(3) {
		g := grant(n + 1)
		s.must(s.AddGrant(s.ctx, g))
		s.must(s.Redeem(s.ctx, g.Hash, func(g *store.Grant) (*store.Issued, error) { return issue(g, n+1), nil }))
	}
	of := func(n byte) delivery.Credential {
		c, err := s.Credential(s.ctx, delivery.Fingerprint{n, 4})
		s.must(err)
		return c
	}
	bind := func(n byte) func(out *delivery.Outcome) {
		return func(out *delivery.Outcome) {
			out.Effects = []delivery.Effect{{Kind: delivery.Bind, Device: out.State.Device, Fingerprint: delivery.Fingerprint{n, 4}}}
		}
	}
	d := s.make("A", bind(1))
	s.change(d, bind(1)) // says it again
	s.change(d, func(out *delivery.Outcome) {
		out.Effects = []delivery.Effect{
			{Kind: delivery.Revoke, Device: d, Fingerprint: delivery.Fingerprint{2, 4}, Farewell: at + 5},
			{Kind: delivery.Supersede, Device: d, Fingerprint: delivery.Fingerprint{3, 4}},
		}
	})
	s.each(func(when string) {
		if c := of(1); c.Device != d || c.Revoked {
			s.Errorf("%sbound: %+v", when, c)
		}
		if c := of(2); !c.Revoked || c.Farewell != at+5 {
			s.Errorf("%srevoked: %+v", when, c)
		}
		if c := of(3); c.Revoked { // Decide refuses it by name (HST-032)
			s.Errorf("%ssuperseded: %+v", when, c)
		}
		_, err := s.Credential(s.ctx, delivery.Fingerprint{4, 4})
		s.wantErr(when+"an unknown one", err, store.ErrNotFound)
	})
	tx, err := s.Create(s.ctx, "B") // another device with the same certificate: one of the two comes too late
	s.must(err)
	defer tx.End()
	out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
	bind(1)(&out)
	if err := tx.Commit(at, &out); err == nil {
		s.Error("one certificate was bound to two devices")
	}
	if c := of(1); c.Device != d {
		s.Errorf("bound: %+v, want device %d", c, d)
	}
}

func tickets(s *suite) {
	ticket := store.Ticket{Hash: [32]byte{1}, User: 5, Platform: protocol.MacOS, Expires: at + 100}
	s.must(s.AddTicket(s.ctx, &ticket))
	s.must(s.AddTicket(s.ctx, &store.Ticket{Hash: [32]byte{2}, Expires: at}))
	_, err := s.Ticket(s.ctx, [32]byte{3}, at)
	s.wantErr("an unknown link", err, store.ErrNotFound)
	_, err = s.Ticket(s.ctx, [32]byte{2}, at)
	s.wantErr("an expired link", err, store.ErrNotFound)

	other, own := grant(3), grant(1) // the second is that of the link
	for _, g := range []*store.Grant{other, own} {
		s.must(s.AddGrant(s.ctx, g))
	}
	later := *own
	later.Expires++
	s.must(s.AddGrant(s.ctx, &later))
	s.must(s.AddGrant(s.ctx, own)) // never sooner
	redeem := func(g *store.Grant, n byte, err error) error {
		return s.Redeem(s.ctx, g.Hash, func(kept *store.Grant) (*store.Issued, error) { return issue(kept, n), err })
	}
	s.must(redeem(other, 3, nil))
	no := errors.New("no")
	s.wantErr("Redeem that is refused", redeem(own, 1, no), no)
	s.each(func(when string) {
		seen, err := s.Ticket(s.ctx, ticket.Hash, at)
		s.must(err)
		s.equal(when+"a link whose grant is not used", seen, &ticket)
		s.equal(when+"the grant of a link that was opened again", s.look(own.Hash), &later)
	})
	s.must(redeem(own, 1, nil))
	later.Expires++
	s.must(s.AddGrant(s.ctx, &later)) // whoever opened it a moment before
	s.each(func(when string) {
		_, err := s.Ticket(s.ctx, ticket.Hash, at)
		s.wantErr(when+"a link whose grant is used", err, store.ErrNotFound)
		if g := s.look(own.Hash); g.UsedAt == 0 || g.Expires == later.Expires {
			s.Errorf("%sthe used grant of a link is %+v", when, g)
		}
	})
}

package sqlstore

import (
	"context"
	"database/sql/driver"
	"fmt"
	"sync"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// credentials are all certificates, by fingerprint: every handshake asks.
type credentials struct {
	mu    sync.RWMutex
	known map[delivery.Fingerprint]delivery.Credential
}

// apply does in memory what effects of device d did on disk.
func (c *credentials) apply(d protocol.Device, effects []delivery.Effect) {
	for i := range effects {
		e := &effects[i]
		if e.Kind != delivery.Bind && e.Kind != delivery.Revoke {
			continue
		}
		c.mu.Lock()
		if k, ok := c.known[e.Fingerprint]; ok {
			if e.Kind == delivery.Bind {
				k.Device = d
			} else {
				k.Revoked, k.Farewell = true, e.Farewell
			}
			c.known[e.Fingerprint] = k
		}
		c.mu.Unlock()
	}
}

func (s *Store) loadCredentials(ctx context.Context) error {
	return s.query(ctx, s.lists, selectFrom("credentials", "fingerprint", "not_before", "not_after", "purpose", "device", "user_id", "automated",
		"id", "serial", "platform", "revoked", "farewell"), func(r *row) {
		c := delivery.Credential{
			Identity: scanIdentity(r), Purpose: num[delivery.Purpose](r), Device: num[protocol.Device](r),
			User: num[delivery.UserID](r), Automated: r.flag(), ID: r.text(), Serial: r.text(), Platform: num[protocol.Platform](r), Revoked: r.flag(),
			Farewell: r.time(),
		}
		s.certs.known[c.Fingerprint] = c
	})
}

// Credential returns the certificate with this fingerprint.
func (s *Store) Credential(_ context.Context, f delivery.Fingerprint) (delivery.Credential, error) {
	if s.over.Load() {
		return delivery.Credential{}, s.err()
	}
	s.certs.mu.RLock()
	c, ok := s.certs.known[f]
	s.certs.mu.RUnlock()
	if !ok {
		return c, fmt.Errorf("certificate %x: %w", f[:8], store.ErrNotFound)
	}
	return c, nil
}

// KeyUsed tells whether a certificate for this key was issued before.
func (s *Store) KeyUsed(ctx context.Context, key [32]byte) (bool, error) {
	used := false
	err := s.query(ctx, s.read, "SELECT 1 FROM credentials WHERE key=? LIMIT 1", func(*row) { used = true }, key[:])
	return used, err
}

// A changeFunc is a change in one function.
type changeFunc func(w *writer) error

func (f changeFunc) write(w *writer) error { return f(w) }

// AddGrant keeps a grant; where there is an unused one with its hash, that one lives as long.
func (s *Store) AddGrant(_ context.Context, g *store.Grant) error {
	return s.commit(changeFunc(func(w *writer) error {
		_, err := w.exec(addGrant, grantValues(g)...)
		return err
	}))
}

// Redeem decides on a grant, alone on it.
func (s *Store) Redeem(ctx context.Context, hash [32]byte, decide func(*store.Grant) (*store.Issued, error)) error {
	end, err := s.hashes.hold(ctx, hash)
	if err != nil {
		return err
	}
	defer end()
	var g *store.Grant
	err = s.query(ctx, s.read, selectFrom("grants", grantColumns...)+"WHERE hash=?", func(r *row) {
		g = &store.Grant{
			Purpose: num[delivery.Purpose](r), User: num[delivery.UserID](r), Device: num[protocol.Device](r), ID: r.text(),
			Serial: r.text(), Platform: num[protocol.Platform](r), Automated: r.flag(), Expires: r.time(), UsedAt: r.time(), Transaction: r.text(), Request: r.hash(), Key: r.hash(),
			Certificate: r.blob(), Hash: r.hash(),
		}
	}, hash[:])
	if err != nil {
		return err
	}
	issued, err := decide(g)
	if err != nil || issued == nil {
		return err
	}
	s.tick(issued.Grant.UsedAt)
	c := &issued.Credential
	err = s.commit(changeFunc(func(w *writer) error {
		b := batch{w: w}
		b.do(addCredential, c.Fingerprint[:], issued.Grant.Key[:], int64(c.NotBefore), int64(c.NotAfter), int64(c.Purpose), int64(c.Device),
			int64(c.User), flag(c.Automated), c.ID, c.Serial, int64(c.Platform), flag(c.Revoked), int64(0))
		b.do(useGrant, grantValues(&issued.Grant)...)
		b.do(useTicket, int64(issued.Grant.UsedAt), hash[:])
		return b.err
	}))
	if err != nil {
		return err
	}
	s.certs.mu.Lock()
	s.certs.known[c.Fingerprint] = *c
	s.certs.mu.Unlock()
	return nil
}

// grantValues are grantColumns.
func grantValues(g *store.Grant) []driver.Value {
	return []driver.Value{
		int64(g.Purpose), int64(g.User), int64(g.Device), g.ID, g.Serial, int64(g.Platform), flag(g.Automated), int64(g.Expires), int64(g.UsedAt),
		g.Transaction, known(g.Request[:]), known(g.Key[:]), g.Certificate, g.Hash[:],
	}
}

// AddTicket keeps an enrolment link.
func (s *Store) AddTicket(_ context.Context, t *store.Ticket) error {
	return s.commit(changeFunc(func(w *writer) error {
		_, err := w.exec(addTicket, t.Hash[:], int64(t.User), int64(t.Platform), int64(t.Expires), int64(t.UsedAt))
		return err
	}))
}

// Ticket looks at an enrolment link.
func (s *Store) Ticket(ctx context.Context, hash [32]byte, now protocol.Time) (*store.Ticket, error) {
	var t *store.Ticket
	err := s.query(ctx, s.read, selectFrom("tickets", "user_id", "platform", "expires", "used_at")+"WHERE hash=?", func(r *row) {
		t = &store.Ticket{Hash: hash, User: num[delivery.UserID](r), Platform: num[protocol.Platform](r), Expires: r.time(), UsedAt: r.time()}
	}, hash[:])
	if err != nil {
		return nil, err
	}
	if t == nil || t.UsedAt != 0 || now >= t.Expires {
		return nil, fmt.Errorf("enrolment link: %w", store.ErrNotFound)
	}
	return t, nil
}

// holds gives each hash to one caller at a time.
type holds struct {
	mu   sync.Mutex
	held map[[32]byte]chan struct{} // closed when it is free again
}

// hold waits for hash until ctx ends; end gives it back.
func (h *holds) hold(ctx context.Context, hash [32]byte) (end func(), err error) {
	for {
		h.mu.Lock()
		busy, ok := h.held[hash]
		if !ok {
			free := make(chan struct{})
			if h.held == nil {
				h.held = make(map[[32]byte]chan struct{})
			}
			h.held[hash] = free
			h.mu.Unlock()
			return func() {
				h.mu.Lock()
				delete(h.held, hash)
				h.mu.Unlock()
				close(free)
			}, nil
		}
		h.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

package store

import (
	"context"
	"encoding/binary"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// identities are Memory's grants, certificates and enrolment links.
type identities struct {
	grants  map[[32]byte]*Grant
	busy    map[[32]byte]chan struct{} // grants that somebody decides on; closed when they are free again
	certs   [][]delivery.Credential    // in pieces that stay where they are
	issued  index                      // of certs, from 1 on, by the beginning of their fingerprints
	keys    map[[32]byte]bool
	tickets map[[32]byte]*Ticket
}

func newIdentities() identities {
	return identities{
		grants: make(map[[32]byte]*Grant), busy: make(map[[32]byte]chan struct{}),
		keys: make(map[[32]byte]bool), tickets: make(map[[32]byte]*Ticket),
	}
}

// piece is how many certificates are kept in one piece.
const piece = 64

// cert returns the n-th certificate.
func (i *identities) cert(n uint32) *delivery.Credential { return &i.certs[(n-1)/piece][(n-1)%piece] }

func (i *identities) hashOfIssued(n uint32) uint64 { return beginning(i.cert(n).Fingerprint) }

func beginning(f delivery.Fingerprint) uint64 { return binary.LittleEndian.Uint64(f[:]) }

// credential returns a certificate; nil: it is unknown. The caller has the lock, as in all that has no context.
func (i *identities) credential(f delivery.Fingerprint) *delivery.Credential {
	if n := i.issued.find(beginning(f), func(n uint32) bool { return i.cert(n).Fingerprint == f }); n != 0 {
		return i.cert(n)
	}
	return nil
}

// issue keeps a certificate.
func (i *identities) issue(c *delivery.Credential) *delivery.Credential {
	if known := i.credential(c.Fingerprint); known != nil {
		*known = *c
		return known
	}
	last := len(i.certs) - 1
	if last < 0 || len(i.certs[last]) == piece {
		i.certs = append(i.certs, make([]delivery.Credential, 0, piece))
		last++
	}
	i.certs[last] = append(i.certs[last], *c)
	n := uint32(last*piece + len(i.certs[last]))
	i.issued.add(n, i.hashOfIssued)
	return i.cert(n)
}

// mayBind tells whether a certificate is free for device d.
func (i *identities) mayBind(f delivery.Fingerprint, d protocol.Device) bool {
	c := i.credential(f)
	return c != nil && (c.Device == 0 || c.Device == d)
}

func (i *identities) bind(f delivery.Fingerprint, d protocol.Device) { i.credential(f).Device = d }

func (i *identities) revoke(e *delivery.Effect) {
	if c := i.credential(e.Fingerprint); c != nil {
		c.Revoked, c.Farewell = true, e.Farewell
	}
}

// AddGrant keeps a grant.
func (m *Memory) AddGrant(_ context.Context, g *Grant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	switch kept := m.grants[g.Hash]; {
	case kept == nil:
		added := *g
		m.grants[g.Hash] = &added
	case kept.UsedAt == 0:
		kept.Expires = max(kept.Expires, g.Expires)
	}
	return nil
}

// Redeem decides on a grant.
func (m *Memory) Redeem(ctx context.Context, hash [32]byte, decide func(g *Grant) (*Issued, error)) error {
	m.mu.Lock()
	for m.busy[hash] != nil {
		free := m.busy[hash]
		m.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		m.mu.Lock()
	}
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	free := make(chan struct{})
	m.busy[hash] = free
	var g *Grant
	if kept := m.grants[hash]; kept != nil {
		copied := *kept
		g = &copied
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.busy, hash)
		m.mu.Unlock()
		close(free)
	}()

	issued, err := decide(g)
	if err != nil || issued == nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	used := issued.Grant
	m.grants[hash] = &used
	m.issue(&issued.Credential)
	m.keys[used.Key] = true
	if t := m.tickets[hash]; t != nil {
		t.UsedAt = used.UsedAt
	}
	return nil
}

// Credential returns a certificate.
func (m *Memory) Credential(_ context.Context, f delivery.Fingerprint) (delivery.Credential, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return delivery.Credential{}, ErrClosed
	}
	c := m.credential(f)
	if c == nil {
		first := [8]byte(f[:8]) // f itself stays where it is, for all that are found
		return delivery.Credential{}, fmt.Errorf("certificate %x: %w", first, ErrNotFound)
	}
	return *c, nil
}

// KeyUsed tells whether a key has a certificate.
func (m *Memory) KeyUsed(_ context.Context, key [32]byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[key], nil
}

// AddTicket keeps an enrolment link.
func (m *Memory) AddTicket(_ context.Context, t *Ticket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	kept := *t
	m.tickets[t.Hash] = &kept
	return nil
}

// Ticket looks at an enrolment link.
func (m *Memory) Ticket(_ context.Context, hash [32]byte, now protocol.Time) (*Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	t := m.tickets[hash]
	if t == nil || t.UsedAt != 0 || now >= t.Expires {
		return nil, fmt.Errorf("enrolment link: %w", ErrNotFound)
	}
	seen := *t
	return &seen, nil
}

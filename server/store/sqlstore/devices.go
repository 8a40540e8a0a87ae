package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// An entry is one device in memory.
type entry struct {
	id     string
	number protocol.Device

	mu      sync.Mutex // guards the lines below and every change of state
	held    bool
	waiting []chan struct{} // in order; a closed one has been given the device
	gone    bool            // it was removed, or never committed; whoever waited looks again
	kept    bool            // it is in the database, or will be when the commit that made it returns

	state     delivery.State // its holder may read it without mu
	facts     delivery.Facts
	exchanges *exchanges    // the holder's; nil: not looked for yet
	seen      protocol.Time // last_seen on disk
	late      bool          // it is in devices.late

	due   protocol.Time // guarded by dues.mu, as are
	apple bool          // in whose order it is
	place int           // in that order
}

// hold waits for the device until ctx ends.
func (e *entry) hold(ctx context.Context) error {
	e.mu.Lock()
	if !e.held {
		e.held = true
		e.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	e.waiting = append(e.waiting, turn)
	e.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	e.mu.Lock()
	i := slices.Index(e.waiting, turn)
	if i >= 0 {
		e.waiting = slices.Delete(e.waiting, i, i+1)
	}
	e.mu.Unlock()
	if i < 0 { // it came at the same moment
		e.release()
	}
	return ctx.Err()
}

// release gives the device to the next who waits.
func (e *entry) release() {
	e.mu.Lock()
	if len(e.waiting) > 0 {
		close(e.waiting[0])
		e.waiting = slices.Delete(e.waiting, 0, 1)
	} else {
		e.held = false
	}
	e.mu.Unlock()
}

// record returns what everybody may see, and whether there is such a device yet.
func (e *entry) record() (store.Record, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return store.Record{ID: e.id, State: e.state, Facts: e.facts}, e.kept
}

// devices are all devices of the store.
type devices struct {
	mu       sync.RWMutex
	byID     map[string]*entry
	byNumber []*entry // [0] is unused; nil: no such device

	lateMu sync.Mutex
	late   []*entry // last_seen on disk lags by seenLag or more
}

func (d *devices) find(n protocol.Device) (*entry, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if int64(n) < int64(len(d.byNumber)) && d.byNumber[n] != nil {
		return d.byNumber[n], nil
	}
	return nil, fmt.Errorf("device %d: %w", n, store.ErrNotFound)
}

// after returns up to n entries with numbers above k, ascending.
func (d *devices) after(k protocol.Device, n int) []*entry {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]*entry, 0, min(n, len(d.byNumber)))
	for i := int64(k) + 1; i < int64(len(d.byNumber)) && len(out) < n; i++ {
		if d.byNumber[i] != nil {
			out = append(out, d.byNumber[i])
		}
	}
	return out
}

// findOrMake returns the entry of id. A new one is held by the caller already.
func (d *devices) findOrMake(id string) (e *entry, made bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, ok := d.byID[id]; ok {
		return e, false
	}
	e = &entry{id: strings.Clone(id), number: protocol.Device(len(d.byNumber)), held: true}
	e.state.Device, e.state.Place = e.number, delivery.PlaceOf(id)
	d.byID[e.id] = e
	d.byNumber = append(d.byNumber, e)
	return e, true
}

// forget takes out an entry. The number of one that was never kept is free again, so that who is refused for ever takes up
// nothing (HST-045).
func (d *devices) forget(e *entry, kept bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byID, e.id)
	d.byNumber[e.number] = nil
	if last := len(d.byNumber) - 1; !kept && int(e.number) == last {
		d.byNumber = d.byNumber[:last]
	}
}

// Device returns the number of the device that the wire calls id.
func (s *Store) Device(_ context.Context, id string) (protocol.Device, error) {
	if s.over.Load() {
		return 0, s.err()
	}
	s.devs.mu.RLock()
	e := s.devs.byID[id]
	s.devs.mu.RUnlock()
	if e != nil {
		e.mu.Lock()
		kept := e.kept
		e.mu.Unlock()
		if kept {
			return e.number, nil
		}
	}
	return 0, fmt.Errorf("device %q: %w", id, store.ErrNotFound)
}

// Begin gives the caller the device alone.
func (s *Store) Begin(ctx context.Context, d protocol.Device) (store.Tx, error) {
	if s.over.Load() {
		return nil, s.err()
	}
	e, err := s.devs.find(d)
	if err != nil {
		return nil, err
	}
	if err := e.hold(ctx); err != nil {
		return nil, fmt.Errorf("device %d: %w", d, err)
	}
	if e.gone || !e.kept {
		e.release()
		return nil, fmt.Errorf("device %d: %w", d, store.ErrNotFound)
	}
	return &tx{s: s, e: e}, nil
}

// Create is Begin for a device that may be new.
func (s *Store) Create(ctx context.Context, id string) (store.Tx, error) {
	for {
		if s.over.Load() {
			return nil, s.err()
		}
		e, made := s.devs.findOrMake(id)
		if !made {
			if err := e.hold(ctx); err != nil {
				return nil, fmt.Errorf("device %q: %w", id, err)
			}
			if e.gone {
				e.release()
				continue
			}
		}
		return &tx{s: s, e: e}, nil
	}
}

package store

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// Memory is a Store that lives as long as the process: for rehearsals and tests. Of each device it keeps the answers of the
// latest exchanges, and all commands.
type Memory struct {
	applying sync.Mutex // held by Apply

	mu           guard // guards everything below
	closed       bool
	byID         index                               // by what the wire calls them
	records      []*record                           // by number; [0] and those that are gone are nil
	blank        []record                            // for those to come
	spare        *record                             // one that came to nothing, where one goroutine has the store alone
	due          Calendar                            // by number
	withoutApple bool                                // of those that are due Apple's are left out, see WithoutApple
	taken        []Due                               // of the latest Due
	journal      []Line                              // by Seq
	lines        uint64                              // written so far
	removed      map[protocol.Device]string          // what the wire called those that are gone
	facts        map[protocol.Device]*delivery.Facts // of those that have said some
	content      *Content
	previews     []Preview // newest first
	identities
}

// A guard is a mutex that is left alone where only one goroutine comes.
type guard struct {
	mutex sync.Mutex
	alone bool
}

func (g *guard) Lock() {
	if !g.alone {
		g.mutex.Lock()
	}
}

func (g *guard) Unlock() {
	if !g.alone {
		g.mutex.Unlock()
	}
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		records: make([]*record, 1), removed: make(map[protocol.Device]string), facts: make(map[protocol.Device]*delivery.Facts), content: new(Content).With(new(Change)), identities: newIdentities(),
	}
}

// NewAlone returns an empty store for a rehearsal: one goroutine has it alone, so that nothing is locked, and what a server only
// shows is not kept, neither the history of commands nor what the journal says of single devices, but for its newest line; nor
// answers for messages that are repeated.
// Only of such a store may states be borrowed ([Memory.Lend]), and the queue and the profiles of a state that it returned are
// good until the device's next event. There is room for so many devices at once.
func NewAlone(devices int) *Memory {
	m := NewMemory()
	m.mu.alone = true
	m.byID.grow(devices, m.hashOf)
	m.records = make([]*record, 1, 1+devices)
	m.due.Grow(1 + devices)
	m.issued.grow(devices, m.hashOfIssued)
	return m
}

// Alone tells whether one goroutine has the store alone.
func (m *Memory) Alone() bool { return m.mu.alone }

// blanks is how many records are made at once: almost 32 KiB, as the allocator likes it.
const blanks = int(32 << 10 / unsafe.Sizeof(record{}))

// A record is one device. It is the Tx of whoever holds it, so that a round costs no memory.
type record struct {
	number protocol.Device
	kept   bool // a Tx has committed
	gone   bool // who waits for it looks again
	held   bool
	state  delivery.State // its holder may read it without the lock
	m      *Memory
	id     string
	*past  // nil where one goroutine has the store alone
}

// A past is what happened to a record, and who waits for it.
type past struct {
	waiting   []chan struct{}          // in order; a closed one has been given the device
	history   []delivery.CommandChange // by Seq
	exchanges []delivery.Exchange      // oldest first
}

// Close ends the store; what is held may still be given back.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// Device returns the number of the device that the wire calls id.
func (m *Memory) Device(_ context.Context, id string) (protocol.Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, ErrClosed
	}
	if r := m.called(id); r != nil && r.kept {
		return r.number, nil
	}
	return 0, fmt.Errorf("device %q: %w", id, ErrNotFound)
}

func (m *Memory) hashOf(number uint32) uint64 { return maphash.String(seed, m.records[number].id) }

// called returns the record of the device that the wire calls id, kept or not; nil: there is none. The caller has the lock.
func (m *Memory) called(id string) *record {
	if n := m.byID.find(maphash.String(seed, id), func(n uint32) bool { return m.records[n].id == id }); n != 0 {
		return m.records[n]
	}
	return nil
}

// find returns the kept record of d, nil: there is none. The caller has the lock.
func (m *Memory) find(d protocol.Device) *record {
	if int(d) < len(m.records) && m.records[d] != nil && m.records[d].kept {
		return m.records[d]
	}
	return nil
}

// Begin gives the caller the device alone.
func (m *Memory) Begin(ctx context.Context, d protocol.Device) (Tx, error) {
	m.mu.Lock()
	r := m.find(d)
	switch {
	case m.closed:
		m.mu.Unlock()
		return nil, ErrClosed
	case r == nil:
		m.mu.Unlock()
		return nil, fmt.Errorf("device %d: %w", d, ErrNotFound)
	}
	if err := r.hold(ctx); err != nil { // gives up the lock
		return nil, fmt.Errorf("device %d: %w", d, err)
	}
	if r.gone {
		r.End()
		return nil, fmt.Errorf("device %d: %w", d, ErrNotFound)
	}
	return r, nil
}

// Create is Begin for a device that may be new.
func (m *Memory) Create(ctx context.Context, id string) (Tx, error) {
	for {
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			return nil, ErrClosed
		}
		r := m.called(id)
		if r == nil {
			r = m.unused()
			r.m, r.id, r.number = m, id, protocol.Device(len(m.records))
			if !m.mu.alone { // else whoever calls keeps it as well
				r.id, r.past = strings.Clone(id), new(past)
			}
			r.state.Device, r.state.Place = r.number, delivery.PlaceOf(id)
			m.records = append(m.records, r)
			m.byID.add(uint32(r.number), m.hashOf)
			m.due.Grow(len(m.records))
		}
		if err := r.hold(ctx); err != nil {
			return nil, fmt.Errorf("device %q: %w", id, err)
		}
		if !r.gone {
			return r, nil
		}
		r.End()
	}
}

// unused returns an empty record. The caller has the lock.
func (m *Memory) unused() (r *record) {
	if r = m.spare; r != nil {
		*r, m.spare = record{}, nil
		return r
	}
	if len(m.blank) == 0 {
		m.blank = make([]record, blanks)
	}
	r, m.blank = &m.blank[0], m.blank[1:]
	return r
}

// hold waits for the record until ctx ends. The caller has the lock, and has it no more afterwards.
func (r *record) hold(ctx context.Context) error {
	if !r.held || r.past == nil {
		r.held = true
		r.m.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	r.waiting = append(r.waiting, turn)
	r.m.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	r.m.mu.Lock()
	i := slices.Index(r.waiting, turn)
	if i < 0 { // it came at the same moment
		r.release()
	} else {
		r.waiting = slices.Delete(r.waiting, i, i+1)
	}
	r.m.mu.Unlock()
	return ctx.Err()
}

// release gives the record to the next who waits. The caller has the lock.
func (r *record) release() {
	if r.past == nil || len(r.waiting) == 0 {
		r.held = false
		return
	}
	close(r.waiting[0])
	r.waiting = slices.Delete(r.waiting, 0, 1)
}

// State is the state of the device.
func (r *record) State() *delivery.State { return &r.state }

// Answered finds the answer of a message that was answered before.
func (r *record) Answered(key delivery.Key, out *delivery.Outcome) bool {
	if key == (delivery.Key{}) || r.past == nil {
		return false
	}
	for i := range r.exchanges {
		if x := &r.exchanges[i]; x.Key == key {
			out.Exchange.Key = key
			out.Exchange.Answer = append(out.Exchange.Answer[:0], x.Answer...)
			return true
		}
	}
	return false
}

// Said is Said of the device's facts.
func (r *record) Said() string {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if facts := r.m.facts[r.number]; facts != nil {
		return facts.Said
	}
	return ""
}

// End gives the device back.
func (r *record) End() {
	r.m.mu.Lock()
	if !r.kept && !r.gone {
		r.forget()
	}
	r.release()
	r.m.mu.Unlock()
}

// forget takes the record out of the store. The number of one that was never kept is free again. The caller has the lock.
func (r *record) forget() {
	r.m.byID.remove(uint32(r.number), r.m.hashOf)
	r.m.records[r.number] = nil
	delete(r.m.facts, r.number)
	r.m.due.Set(uint32(r.number), 0)
	if !r.kept && int(r.number) == len(r.m.records)-1 {
		r.m.records = r.m.records[:r.number]
	}
	if !r.kept && r.m.mu.alone {
		r.m.spare = r
	}
	r.gone, r.kept = true, false
}

// Commit keeps an outcome.
func (r *record) Commit(now protocol.Time, out *delivery.Outcome) error {
	m := r.m
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return fmt.Errorf("device %d: %w", r.number, ErrClosed)
	case r.gone:
		return fmt.Errorf("device %d: %w", r.number, ErrNotFound)
	}
	if r.kept && out.Changed == 0 && len(out.Commands) == 0 && len(out.Effects) == 0 && out.Exchange.Key == (delivery.Key{}) {
		s := &out.State // all that may change without a word
		r.state.LastSeen, r.state.Queue, r.state.Pace, r.state.Push.Since = s.LastSeen, s.Queue, s.Pace, s.Push.Since
		return nil
	}
	for i := range out.Effects {
		if e := &out.Effects[i]; e.Kind == delivery.Bind && !m.mayBind(e.Fingerprint, r.number) {
			return fmt.Errorf("device %d: certificate %x is unknown or belongs to another device", r.number, e.Fingerprint[:8])
		}
	}
	if out.Changed&delivery.FactsToo != 0 && out.Facts != nil {
		m.facts[r.number] = out.Facts
	}
	if r.past != nil {
		for i := range out.Commands {
			r.command(&out.Commands[i])
		}
	}
	for i := range out.Effects {
		m.effect(now, r.number, &out.Effects[i])
	}
	if out.Exchange.Key != (delivery.Key{}) && r.past != nil {
		if len(r.exchanges) == ExchangesKept {
			r.exchanges = slices.Delete(r.exchanges, 0, 1)
		}
		r.exchanges = append(r.exchanges, delivery.Exchange{Key: out.Exchange.Key, Answer: bytes.Clone(out.Exchange.Answer)})
	}
	if out.Changed&delivery.Gone != 0 {
		if r.kept {
			m.removed[r.number] = r.id
		}
		r.forget()
		return nil
	}
	r.kept = true
	place := r.state.Place
	r.state = out.State
	r.state.Device, r.state.Place = r.number, place
	m.schedule(r)
	return nil
}

// command keeps the newest answer of a command.
func (r *record) command(c *delivery.CommandChange) {
	kept := *c
	kept.Result, kept.Errors = bytes.Clone(c.Result), strings.Clone(c.Errors)
	i, found := slices.BinarySearchFunc(r.history, c.Seq, func(h delivery.CommandChange, seq uint64) int { return int(int64(h.Seq - seq)) })
	if found {
		r.history[i] = kept
	} else {
		r.history = slices.Insert(r.history, i, kept)
	}
}

// effect does what an effect of device d says. The caller has the lock.
func (m *Memory) effect(now protocol.Time, d protocol.Device, e *delivery.Effect) {
	switch e.Kind {
	case delivery.Journal:
		detail := e.Detail
		if n := len(m.journal); !m.mu.alone {
			detail = strings.Clone(detail)
		} else if n > 0 && m.journal[n-1].Device != 0 {
			m.journal = m.journal[:n-1]
		}
		m.lines++
		m.journal = append(m.journal, Line{Seq: m.lines, At: now, Device: e.Device, Actor: e.Actor, Rule: e.Rule, What: e.What, Detail: detail})
	case delivery.Bind:
		m.bind(e.Fingerprint, d)
	case delivery.Revoke:
		m.revoke(e)
	}
}

// dueOf returns when a device is due by Devices.Due; 0: not at all.
func dueOf(s *delivery.State) protocol.Time {
	if s.Life != delivery.Enrolled || s.Push.Unreachable {
		return 0
	}
	return s.Wake.Due
}

// schedule has the calendar know when r is due. The caller has the lock.
func (m *Memory) schedule(r *record) {
	due := dueOf(&r.state)
	if m.withoutApple && r.state.Platform.Apple() {
		due = 0
	}
	m.due.Set(uint32(r.number), due)
}

// Due returns the devices whose wake-up is due.
func (m *Memory) Due(_ context.Context, now protocol.Time, n int, apple bool) ([]protocol.Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	most := n
	if !apple {
		most = len(m.records) // those of Apple may be before them
	}
	m.taken = m.due.take(m.taken[:0], now, most)
	var out []protocol.Device
	for _, d := range m.taken {
		if len(out) < n && (apple || !m.apples(d.Device)) {
			out = append(out, protocol.Device(d.Device))
		}
	}
	return out, nil
}

// apples tells whether a device is one of Apple.
func (m *Memory) apples(d uint32) bool { return m.records[d].state.Platform.Apple() }

// NextDue returns when the first wake-up is due.
func (m *Memory) NextDue(_ context.Context, apple bool) (protocol.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, ErrClosed
	}
	if !apple && !m.withoutApple {
		m.taken = m.due.take(m.taken[:0], math.MaxInt64, len(m.records))
		for _, d := range m.taken {
			if !m.apples(d.Device) {
				return d.At, nil
			}
		}
		return 0, nil
	}
	next, _ := m.due.First()
	return next.At, nil
}

// Load returns the catalogue.
func (m *Memory) Load(context.Context) (*Content, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	return m.content, nil
}

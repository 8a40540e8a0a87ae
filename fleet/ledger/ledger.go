package ledger

import (
	"crypto/sha256"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/protocol"
)

// How much a ledger remembers.
const (
	Kept       = 1000    // findings; the rest is counted
	Remembered = 5       // confirmed commands of each device
	Strays     = 1 << 16 // deliveries that nobody ordered
)

// DefaultBound is how long a command may take that says nothing else.
const DefaultBound = 10 * time.Minute

// A Config says what a ledger is to watch. Zero values mean the default that is named.
type Config struct {
	Devices int           // numbered from 1 to this; more are taken in as they come
	Bound   time.Duration // from the administration's word, or the device's NotNow, to the confirmed report; 0: DefaultBound
	// Name gives what the wire calls a device, for findings; nil: its number.
	Name func(protocol.Device) string
}

// A Ledger holds what was intended for each device against what the device saw. Safe for concurrent use. A device costs 64
// bytes, each of its profiles 32, each open order about a hundred; once it has seen as many open orders as there will
// be at a time, writing into it allocates nothing.
type Ledger struct {
	bound time.Duration
	name  func(protocol.Device) string

	mu       sync.Mutex
	devices  []account // by number
	orders   arena[order]
	profiles arena[profile]
	byID     map[protocol.CommandID]uint32          // open orders; of a shared id the latest
	texts    map[protocol.CommandID]string          // of open orders whose id is no UUID
	passed   map[uint32]protocol.CommandID          // open orders that a later one has overtaken, and which
	strays   map[protocol.CommandID]protocol.Device // who got them
	latest   []protocol.CommandID                   // of strays, a ring
	oldest   int                                    // in latest
	kinds    names
	ids      names // of profiles
	since    protocol.Time
	held     bool
	closed   bool
	counts   Counts
	findings []Finding
}

// An account is one device.
type account struct {
	recent   [Remembered]uint64 // commands confirmed last, hashed; a ring
	since    protocol.Time      // enrolled and on the network since then
	orders   uint32             // open, oldest first
	profiles uint32
	at       uint8 // in recent
	enrolled bool
	away     bool
}

// An order is one command that was asked for and is not yet confirmed. With device 0 it is free.
type order struct {
	id     protocol.CommandID
	asked  protocol.Time // when the administration was asked
	from   protocol.Time // since when it is owed: taken, or put off by the device
	device protocol.Device
	next   uint32
	kind   uint16
	lane   uint8
	is     mark
}

// A profile is one profile that is, or was, to be on one device. With name 0 it is free.
type profile struct {
	from       protocol.Time // since when it is owed
	want, have uint32        // version; 0: not there
	name       uint32
	next       uint32
	is         mark
}

// A mark is something known of an order or a profile.
type mark uint8

const (
	taken     mark = 1 << iota // the administration said yes
	delivered                  // the device has seen it
	denied                     // the server told the device afterwards that there was no work
	named                      // it is among the findings
	lower                      // its UUID is written in lower case
	text                       // its id is no UUID
	refused                    // the device could not install it
)

// New makes an empty ledger.
func New(c Config) *Ledger {
	l := &Ledger{
		bound: c.Bound, name: c.Name, devices: make([]account, c.Devices+1),
		byID: map[protocol.CommandID]uint32{}, texts: map[protocol.CommandID]string{}, passed: map[uint32]protocol.CommandID{},
		strays: map[protocol.CommandID]protocol.Device{}, kinds: newNames(), ids: newNames(),
	}
	if l.bound <= 0 {
		l.bound = DefaultBound
	}
	if l.name == nil {
		l.name = func(d protocol.Device) string { return strconv.Itoa(int(d)) }
	}
	return l
}

// Ordered notes that the administration is asked now for a command. Among orders of one lane that were asked for one after
// another, the device must see the earlier one first; lanes are what the server calls priorities, 0 where it has none.
func (l *Ledger) Ordered(now protocol.Time, d protocol.Device, id, kind string, lane uint8) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	key, is := keyOf(id)
	if l.order(a, key) != nil {
		return // asked for once more, since the first answer was lost
	}
	l.counts.Ordered++
	if a.remembers(key) { // all over before its id was known here
		l.counts.Delivered++
		l.counts.Confirmed++
		l.counts.Taken++
		return
	}
	if got, ok := l.strays[key]; ok && got == d {
		is |= delivered
		l.counts.Delivered++
		l.counts.Unordered--
		delete(l.strays, key)
	} else if ok {
		l.find(Finding{Fault: Misdelivered, Command: id, Kind: kind, At: now, Detail: "meant for " + l.name(d)}, got)
		is |= named
	}
	if is&text != 0 {
		l.texts[key] = strings.Clone(id)
	}
	at := l.orders.take()
	l.orders.list[at] = order{id: key, asked: now, device: d, kind: uint16(l.kinds.of(kind)), lane: lane, is: is}
	last := &a.orders
	for *last != 0 {
		last = &l.orders.list[*last].next
	}
	*last = at
	l.byID[key] = at
}

// Taken notes that the administration has taken an order: from now on the device has to get it.
func (l *Ledger) Taken(now protocol.Time, d protocol.Device, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, _ := keyOf(id)
	if o := l.order(l.account(d), key); o != nil && o.is&taken == 0 {
		o.from = now
		o.is |= taken
		l.counts.Taken++
	}
}

// NotTaken notes that the administration has refused an order. One of which nobody knows is left as it is: it need not
// arrive, and may.
func (l *Ledger) NotTaken(d protocol.Device, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, _ := keyOf(id)
	l.drop(l.account(d), key)
}

// Delivered notes that the server handed a command out to d.
func (l *Ledger) Delivered(now protocol.Time, d protocol.Device, id, kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	key, _ := keyOf(id)
	if a.remembers(key) {
		l.find(Finding{Fault: Doubled, Command: id, Kind: kind, At: now, Detail: "delivered again after its report was confirmed"}, d)
		return
	}
	o := l.order(a, key)
	switch {
	case o == nil:
		l.unordered(now, d, key, id, kind)
	case o.is&delivered != 0:
		l.counts.Retries++
	default:
		o.is |= delivered
		l.counts.Delivered++
		l.inOrder(now, a, o)
	}
}

// unordered takes a delivery that d was not meant to have, as far as is known.
func (l *Ledger) unordered(now protocol.Time, d protocol.Device, key protocol.CommandID, id, kind string) {
	if at, open := l.byID[key]; open {
		if o := &l.orders.list[at]; o.is&named == 0 {
			o.is |= named
			l.find(Finding{Fault: Misdelivered, Command: id, Kind: kind, At: now, Detail: "meant for " + l.name(o.device)}, d)
		}
		return
	}
	if got, known := l.strays[key]; known && got == d {
		l.counts.Retries++
		return
	}
	l.counts.Unordered++
	if len(l.latest) < Strays {
		l.latest = append(l.latest, key)
	} else {
		delete(l.strays, l.latest[l.oldest])
		l.latest[l.oldest] = key
		l.oldest = (l.oldest + 1) % Strays
	}
	l.strays[key] = d
}

// inOrder holds the delivery of o against the orders before it.
func (l *Ledger) inOrder(now protocol.Time, a *account, o *order) {
	at := a.orders
	for ; &l.orders.list[at] != o; at = l.orders.list[at].next {
		if e := &l.orders.list[at]; e.lane == o.lane && e.is&(taken|delivered) == taken && e.from <= o.asked {
			if _, already := l.passed[at]; !already {
				l.passed[at] = o.id
			}
		}
	}
	if by, late := l.passed[at]; late {
		delete(l.passed, at)
		o.is |= named
		l.find(Finding{Fault: Reordered, Command: l.text(o), Kind: l.kinds.list[o.kind], At: now, Detail: "after " + by.String() + ", which was asked for later"}, o.device)
	}
}

// Answered notes that d reported on a command. heard: with a 2xx the server confirmed the report.
func (l *Ledger) Answered(now protocol.Time, d protocol.Device, id string, s protocol.Status, heard bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	key, _ := keyOf(id)
	if s == protocol.NotNow {
		if o := l.order(a, key); o != nil {
			o.from = now
		}
		return
	}
	if !heard || a.remembers(key) {
		return
	}
	a.remember(key)
	if l.drop(a, key) {
		l.counts.Confirmed++
	}
}

// NoWork notes that the server told d that there was no work, in answer to a request that began at a time.
func (l *Ledger) NoWork(begun protocol.Time, d protocol.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	for at := a.orders; at != 0; at = l.orders.list[at].next {
		if o := &l.orders.list[at]; o.is&taken != 0 && o.from <= begun {
			o.is |= denied
		}
	}
	for at := a.profiles; at != 0; at = l.profiles.list[at].next {
		if p := &l.profiles.list[at]; p.from <= begun && !p.settled() {
			p.is |= denied
		}
	}
}

// Wanted notes that the administration is asked now to have a profile on d, in a version, or in any where that is empty.
// A version is whatever the device can tell documents of one identifier apart by.
func (l *Ledger) Wanted(now protocol.Time, d protocol.Device, identifier, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.profile(l.account(d), identifier)
	if p == nil {
		p = l.addProfile(d, identifier)
	}
	p.want, p.from, p.is = versionOf(version), now, 0
}

// Unwanted notes that the administration is asked now to have a profile off d.
func (l *Ledger) Unwanted(now protocol.Time, d protocol.Device, identifier string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.profile(l.account(d), identifier); p != nil {
		p.want, p.from, p.is = 0, now, 0
	}
}

// Installed notes that a profile is on d now. Version as with Wanted, and not empty unless that is always.
func (l *Ledger) Installed(now protocol.Time, d protocol.Device, identifier, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids.byName[identifier] == 0 {
		return // nobody ever wanted it anywhere: the server's own
	}
	p := l.profile(l.account(d), identifier)
	if p == nil {
		l.find(Finding{Fault: Misdelivered, Profile: identifier, At: now, Detail: "installed, and never meant for this device"}, d)
		p = l.addProfile(d, identifier)
		p.is = named
	}
	p.have = versionOf(version)
	p.is &^= refused
}

// NotInstalled notes that d could not install a profile: from here on its absence is the device's own doing.
func (l *Ledger) NotInstalled(d protocol.Device, identifier string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.profile(l.account(d), identifier); p != nil {
		p.is |= refused
	}
}

// Removed notes that a profile has gone from d.
func (l *Ledger) Removed(d protocol.Device, identifier string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.profile(l.account(d), identifier); p != nil {
		p.have = 0
	}
}

// Enrolled notes a new enrolment of d, which is on the network then. What was ordered before it is void.
func (l *Ledger) Enrolled(now protocol.Time, d protocol.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	l.void(a, now)
	a.enrolled, a.away, a.since = true, false, now
	for at := a.profiles; at != 0; at = l.profiles.list[at].next {
		p := &l.profiles.list[at]
		p.have, p.from = 0, max(p.from, now)
		p.is &= named
	}
}

// Ended notes that d's enrolment has ended, and with it all that was ordered for it.
func (l *Ledger) Ended(now protocol.Time, d protocol.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	l.void(a, now+1)
	a.enrolled = false
}

// Left notes that d cannot be reached, Returned that it can: bounds count from there.
func (l *Ledger) Left(d protocol.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(d).away = true
}

// Returned notes that d can be reached again.
func (l *Ledger) Returned(now protocol.Time, d protocol.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	a.away, a.since = false, now
}

// Held notes that the server is down on purpose, or holds everybody off by rule; Resumed ends that. Bounds count from
// there.
func (l *Ledger) Held() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// Resumed notes that the server is back.
func (l *Ledger) Resumed(now protocol.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.since = false, now
}

// account returns the account of d. It is good until the next call.
func (l *Ledger) account(d protocol.Device) *account {
	for int(d) >= len(l.devices) {
		l.devices = append(l.devices, account{})
	}
	return &l.devices[d]
}

// order returns a's open order; nil: there is none.
func (l *Ledger) order(a *account, key protocol.CommandID) *order {
	for at := a.orders; at != 0; at = l.orders.list[at].next {
		if o := &l.orders.list[at]; o.id == key {
			return o
		}
	}
	return nil
}

// drop forgets a's open order, and tells whether there was one.
func (l *Ledger) drop(a *account, key protocol.CommandID) bool {
	for last := &a.orders; *last != 0; last = &l.orders.list[*last].next {
		if l.orders.list[*last].id == key {
			l.free(last)
			return true
		}
	}
	return false
}

// free takes an order out of its list: last points to it.
func (l *Ledger) free(last *uint32) {
	at := *last
	o := &l.orders.list[at]
	*last = o.next
	if l.byID[o.id] == at {
		delete(l.byID, o.id)
		if o.is&text != 0 {
			delete(l.texts, o.id)
		}
	}
	if len(l.passed) > 0 {
		delete(l.passed, at)
	}
	*o = order{}
	l.orders.give(at)
}

// void forgets the orders of a that were asked for before a time.
func (l *Ledger) void(a *account, before protocol.Time) {
	for last := &a.orders; *last != 0; {
		if o := &l.orders.list[*last]; o.asked >= before {
			last = &o.next
			continue
		}
		l.free(last)
		l.counts.Void++
	}
}

func (l *Ledger) profile(a *account, identifier string) *profile {
	name := l.ids.byName[identifier]
	if name == 0 {
		return nil
	}
	for at := a.profiles; at != 0; at = l.profiles.list[at].next {
		if p := &l.profiles.list[at]; p.name == name {
			return p
		}
	}
	return nil
}

func (l *Ledger) addProfile(d protocol.Device, identifier string) *profile {
	a := l.account(d)
	at := l.profiles.take()
	p := &l.profiles.list[at]
	*p = profile{name: l.ids.of(identifier), next: a.profiles}
	a.profiles = at
	l.counts.Profiles++
	return p
}

// settled tells whether the device is as it should be.
func (p *profile) settled() bool {
	if p.want == anyVersion {
		return p.have != 0
	}
	return p.want == p.have
}

func (a *account) remembers(key protocol.CommandID) bool {
	h := hashOf(key)
	for _, r := range a.recent {
		if r == h {
			return true
		}
	}
	return false
}

func (a *account) remember(key protocol.CommandID) {
	a.recent[a.at] = hashOf(key)
	a.at = (a.at + 1) % Remembered
}

// hashOf stands for an id; never 0. UUIDs that count up differ in their last bytes, random ones in all.
func hashOf(id protocol.CommandID) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range id {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h | 1
}

// keyOf returns a command's id as it is kept, and how it was written.
func keyOf(id string) (key protocol.CommandID, is mark) {
	key, err := protocol.ParseCommandID(id)
	if err == nil {
		upper, small := false, false
		for i := range len(id) {
			upper = upper || 'A' <= id[i] && id[i] <= 'F'
			small = small || 'a' <= id[i] && id[i] <= 'f'
		}
		switch {
		case !small:
			return key, 0
		case !upper:
			return key, lower
		}
	}
	sum := sha256.Sum256([]byte(id))
	return protocol.CommandID(sum[:16]), text
}

// text returns an order's id as the server writes it.
func (l *Ledger) text(o *order) string {
	switch {
	case o.is&text != 0:
		return l.texts[o.id]
	case o.is&lower != 0:
		return strings.ToLower(o.id.String())
	}
	return o.id.String()
}

const anyVersion = 1

// versionOf returns a number for a version; 0 is none.
func versionOf(s string) uint32 {
	if s == "" {
		return anyVersion
	}
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return max(h, anyVersion+1)
}

// An arena is records of one kind by number, from 1; those given back are used again.
type arena[T any] struct {
	list []T
	gone []uint32
}

func (a *arena[T]) take() uint32 {
	if n := len(a.gone); n > 0 {
		at := a.gone[n-1]
		a.gone = a.gone[:n-1]
		return at
	}
	var none T
	if len(a.list) == 0 {
		a.list = append(a.list, none)
	}
	a.list = append(a.list, none)
	return uint32(len(a.list) - 1)
}

func (a *arena[T]) give(at uint32) { a.gone = append(a.gone, at) }

// names are texts by number; 0 is the empty one.
type names struct {
	list   []string
	byName map[string]uint32
}

func newNames() names { return names{[]string{""}, map[string]uint32{}} }

func (n *names) of(s string) uint32 {
	if s == "" {
		return 0
	}
	at, known := n.byName[s]
	if !known {
		s = strings.Clone(s)
		at = uint32(len(n.list))
		n.list = append(n.list, s)
		n.byName[s] = at
	}
	return at
}

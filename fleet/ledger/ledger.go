package ledger

import (
	"strconv"
	"sync"
	"time"

	"rollcall/protocol"
)

// How much a ledger remembers.
const (
	Kept       = 1000    // findings; the rest is counted
	Remembered = 4       // confirmed commands for each device of Config, whosever they are: the latest, and up to as many again
	Few        = 1 << 16 // of these at least, however few devices there are
	Strays     = 1 << 16 // deliveries that nobody ordered
)

// DefaultBound is how long a command may take that says nothing else.
const DefaultBound = 10 * time.Minute

// A Config says what a ledger is to watch. Zero values mean the default that is named.
type Config struct {
	Devices int           // numbered from 1 to this; more are taken in as they come
	Bound   time.Duration // from the administration's word, or the device's NotNow, to the confirmed report; 0: DefaultBound
	// Asked: devices come when the runner has them come and not when the server calls, so what is owed to one is late only when
	// the server has answered it since.
	Asked bool
	// Name gives what the wire calls a device, for findings; nil: its number.
	Name func(protocol.Device) string
}

// A Ledger holds what was intended for each device against what the device saw. Safe for concurrent use. A device costs 32
// bytes, what is remembered of its confirmed commands some 300 at most, one of Android about forty more, one of Windows about a hundred for each kind of commands that it got, each of its profiles 32,
// each open order about a hundred; once it has seen as many open orders as there will be at a time, only that memory grows.
type Ledger struct {
	bound time.Duration
	asked bool
	name  func(protocol.Device) string

	mu       sync.Mutex
	devices  []account // by number
	orders   arena[order]
	profiles arena[profile]
	byID     map[protocol.CommandID]uint32          // open orders; of a shared id the latest
	texts    map[protocol.CommandID]string          // of open orders whose id is no UUID
	passed   map[uint32]string                      // open orders that a later one has overtaken, and which
	strays   map[protocol.CommandID]protocol.Device // who got them
	latest   []protocol.CommandID                   // of strays, a ring
	knows    map[protocol.Device]protocol.Time      // when a device last told the server all that it could be asked
	done     memory                                 // confirmed commands
	unnamed  map[unnamedKey]unnamed                 // of Windows devices
	loose    []unnamedKey                           // of these, what came that nobody ordered
	oldest   int                                    // in latest
	kinds    names
	ids      names // of profiles
	since    protocol.Time
	held     bool
	counts   Counts
	findings []Finding
}

// An account is one device.
type account struct {
	since    protocol.Time // enrolled and on the network since then
	answered protocol.Time // when the latest request began that the server answered in any way
	orders   uint32        // open, oldest first
	profiles uint32
	enrolled bool
	away     bool
	unnamed  bool // its commands have no names
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
	strayed                    // it reached another device
)

// New makes an empty ledger.
func New(c Config) *Ledger {
	l := &Ledger{
		bound: c.Bound, asked: c.Asked, name: c.Name, devices: make([]account, c.Devices+1),
		byID: map[protocol.CommandID]uint32{}, texts: map[protocol.CommandID]string{}, passed: map[uint32]string{},
		strays: map[protocol.CommandID]protocol.Device{}, knows: map[protocol.Device]protocol.Time{},
		done: newMemory(max(Few, Remembered*c.Devices)), unnamed: map[unnamedKey]unnamed{}, kinds: newNames(), ids: newNames(),
	}
	if l.bound <= 0 {
		l.bound = DefaultBound
	}
	if l.name == nil {
		l.name = func(d protocol.Device) string { return strconv.Itoa(int(d)) }
	}
	return l
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

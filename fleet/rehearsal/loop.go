package rehearsal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/push"
	"rollcall/server/store"
)

// A LoopConfig says what a [Loop] is made of.
type LoopConfig struct {
	Start    protocol.Time
	Seed     uint64        // of all chance: the same seed and the same calls tell the same story
	Lifetime time.Duration // of an identity; 365 days (AUTH-40)
	Devices  int           // for how many there is room at once; more may be added

	// What is called back must not call the loop or its server.

	Observe     observer                                // of the server; nil: nobody
	ChangesOnly bool                                    // Observe is not told what is steady ([delivery.Outcome.Steady])
	Contact     func(c *Contact)                        // told the end of each conversation, and when profiles leave; nil: nobody
	Pushed      func(device int, r delivery.PushResult) // told each wake-up that is sent; nil: nobody

	// Calm says until when nobody but the loop does anything to a device, though Run may be given an earlier moment: so long its steady
	// contacts may be played before their turn, told before it, and not be told in the order of time. Nil: not so.
	Calm func(device int) protocol.Time

	// Fetch reads what the caller keeps of a device whose turn comes soon (see Loop.fetch); what it returns means nothing. Nil: nothing.
	Fetch func(device uint32) uint64

	// Arrives tells what becomes of a round on its way; nil: nothing.
	Arrives func(device int, c *protocol.CheckIn) Passage

	// Loses tells whether a push that has come for a device vanishes; nil: none does.
	Loses func(device int) bool

	// Obeys says how a device answers a command, before its habits do: what it does not acknowledge it does not carry out; nil:
	// it obeys.
	Obeys func(device int, c *protocol.Command) protocol.Status

	Unseen bool // changes of licences and profiles are made without a preview (server.Config)

	Part, Others int // the server has one part of a tenant: see [server.Config]

	Wire *Wire // what the devices speak over that have a voice (see [Handset]); nil: none has

	plain bool // the store is one that many could use, and all rounds go through Server.Handle: the same, slowly
}

// An observer hears of a server's decisions.
type observer = func(now protocol.Time, w *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome)

// A Handset is who a device is. All five platforms take part by rule: Apple's come when they are woken, the others by themselves too.
type Handset struct {
	ID         string // what the wire calls it
	Platform   protocol.Platform
	User       delivery.UserID      // 0: userless
	AndroidAPI bool                 // managed through Android Management API: it drops nothing by itself (AUTH-27)
	CoManaged  bool                 // Windows with Configuration Manager's client
	Automated  bool                 // Apple's automated enrolment: held in the setup assistant until it is configured
	Way        authority.Way        // how it enrols (AUTH-47)
	OtherMDM   bool                 // it is managed elsewhere when it wants to enrol (AUTH-47)
	Workloads  *authority.Workloads // of a co-managed client that Intune decides (AUTH-51); nil: it does not say

	Number protocol.Device // of its core, for chance; 0: the index plus 1
	Seed   uint64          // of its chance; 0: the loop's
	Habits *dialect.Habits // nil: none
	Clock  time.Duration   // how far its clock is ahead, or behind (HST-058)

	// Voice is the same device as it speaks its protocol (a [dialect.Apple], [dialect.Android] or [dialect.Windows]): all that it says and hears by rule goes over the wire too, and must
	// come out the same. Nil: it is played by rule alone.
	Voice any
}

// A Contact is one conversation of a device, whole or not.
type Contact struct {
	Device   int // as [Loop.Add] counted it
	At       protocol.Time
	Began    protocol.Verb      // the first word; NoVerb: none was said, only profiles have left
	Done     bool               // the server said that there is nothing more to do
	Refusal  protocol.Rule      // by which the server ended it; empty: it did not
	Steady   bool               // nothing came of it: one round, with which the device was seen
	Executed []protocol.Command // what the device was told to do, but for those put off by habit; valid during the call only
	Deferred int                // commands that it put off
	Dropped  int                // profiles that have just left by themselves (AUTH-27)
}

// A Loop is devices and their server in virtual time: device cores and the server's core over a store in memory, with
// time, chance and pushes as arguments. Nothing waits and nothing runs beside it. Not safe for concurrent use.
type Loop struct {
	cfg    LoopConfig
	ctx    context.Context
	server *server.Server
	store  *store.Memory

	now  protocol.Time // of the devices
	off  time.Duration // how far the server's clock is set ahead
	down bool          // nobody reaches the server
	mute bool          // the push service reaches nobody

	devices []agent.Device // by index; with them places and the calendar
	places  []place
	due     store.Calendar
	index   []uint32  // by the server's number
	fetched [2]uint64 // turns of the two calendars whose devices were fetched
	sink    uint64    // what was fetched, so that it is not left out
	chance  rand.PCG
	issued  uint64   // identities so far
	topics  []string // that devices enrolled with; the first is none

	renewed map[int]*delivery.Credential // identities that the server has issued, and of which it has not taken the first word yet

	workloads map[int]authority.Workloads   // of those who say which Intune decides
	settings  map[protocol.Profile][]string // LocURIs of what a profile is on a PC, of those that might have failed there

	voices *voices // nil: nobody speaks

	mu    sync.Mutex
	woken []uint32 // whom the push service has reached

	next    protocol.Time  // when the server has something to do; 0: never
	stale   bool           // next may be another by now
	ev      delivery.Event // of the round under way, used again and again
	dressed bool           // ev has what only some rounds have
	out     delivery.Outcome
	step    agent.Event
	actions agent.Actions
	contact Contact
}

// A place is what the loop keeps of one device beside its core: of its Handset what is needed again.
type place struct {
	cert      *delivery.Credential // as the store has it; plain: no more of it than the fingerprint
	mail      protocol.Time        // until when the push service keeps a wake-up for it; 0: it has none
	busy      protocol.Time        // locked until then, by its own clock
	number    protocol.Device      // at the server
	user      delivery.UserID
	platform  protocol.Platform
	way       authority.Way
	topic     uint16 // that it enrolled with: which of the loop's
	settled   bool   // the server knows cert as the device's identity: a device that is enrolled has none that is revoked
	away      bool
	awaits    bool // in the setup assistant
	missing   bool // the profile that it was to remove was not there, as it reports until that is confirmed
	api       bool
	coManaged bool
	automated bool
	otherMDM  bool
	skew      int32  // seconds that its clock is ahead
	id        string // what the server calls it
	named     string // what the population does, where that is another
	habits    *dialect.Habits
}

// NewLoop makes a loop with an empty store and a tenant that was never set up.
func NewLoop(ctx context.Context, cfg LoopConfig) (*Loop, error) {
	if cfg.Lifetime == 0 {
		cfg.Lifetime = 365 * 24 * time.Hour
	}
	l := &Loop{cfg: cfg, ctx: ctx, store: store.NewAlone(cfg.Devices), now: cfg.Start}
	if cfg.plain {
		l.store = store.NewMemory()
	}
	l.devices, l.places = make([]agent.Device, 0, cfg.Devices), make([]place, 0, cfg.Devices)
	l.due.Grow(cfg.Devices)
	l.topics = []string{""}
	l.renewed, l.workloads, l.settings = map[int]*delivery.Credential{}, map[int]authority.Workloads{}, map[protocol.Profile][]string{}
	l.chance.Seed(cfg.Seed, 0)
	if cfg.Wire != nil {
		l.voices = newVoices(l, cfg.Wire)
		l.cfg.Observe = l.voices.observer(cfg.Observe)
	}
	return l, l.Restart()
}

// Restart ends the server and opens it again over what it has kept.
func (l *Loop) Restart() (err error) {
	l.server, err = server.Open(l.ctx, l.Clock(), server.Config{
		Store: l.store, Push: push.Services{Apple: l, Windows: others{l}, Android: others{l}}, Observe: l.cfg.Observe, ChangesOnly: l.cfg.ChangesOnly, Unseen: l.cfg.Unseen, Rand: l.chance.Uint64, Part: l.cfg.Part, Others: l.cfg.Others,
		Renewal: func(_ context.Context, _ protocol.Time, _ *delivery.State, challenge string) ([]byte, error) {
			return []byte(challenge), nil
		},
	})
	return err
}

// Server is the server, until the next restart.
func (l *Loop) Server() *server.Server { return l.server }

// Now is the moment of the devices.
func (l *Loop) Now() protocol.Time { return l.now }

// Clock is what the server's clock says.
func (l *Loop) Clock() protocol.Time { return l.now.Add(l.off) }

// SetClock sets the server's clock ahead of time as it passes (HST-110).
func (l *Loop) SetClock(off time.Duration) {
	l.server.WatchClock(l.ctx, l.Clock(), l.now.Sub(l.cfg.Start))
	l.off = off
	l.server.WatchClock(l.ctx, l.Clock(), l.now.Sub(l.cfg.Start))
}

// Down has nobody reach the server, or everybody again.
func (l *Loop) Down(is bool) { l.down = is }

// Device is the core of a device. Read only.
func (l *Loop) Device(i int) *agent.Device { return &l.devices[i] }

// clockOf is what a device's own clock says.
func (l *Loop) clockOf(i int) protocol.Time {
	return l.now.Add(time.Duration(l.places[i].skew) * time.Second)
}

// trueTime is the moment at which a device's clock shows t; 0: never.
func (l *Loop) trueTime(i int, t protocol.Time) protocol.Time {
	if t == 0 {
		return 0
	}
	return max(1, t.Add(-time.Duration(l.places[i].skew)*time.Second))
}

// dueOf is when a device wants to act by itself; 0: never.
func (l *Loop) dueOf(i int) protocol.Time { return l.trueTime(i, l.devices[i].Due()) }

// topic is the push topic that a device enrolled with; empty: it has none.
func (l *Loop) topic(i int) string { return l.topics[l.places[i].topic] }

// Number is what the server calls a device; 0: it has not heard of it.
func (l *Loop) Number(i int) protocol.Device { return l.places[i].number }

// Add makes a device that has never been managed, and returns its index.
func (l *Loop) Add(h Handset) int {
	i := len(l.devices)
	if h.Number == 0 {
		h.Number = protocol.Device(i + 1)
	}
	if h.Seed == 0 {
		h.Seed = l.cfg.Seed
	}
	if h.Habits == nil {
		h.Habits = &noHabits
	}
	l.devices = append(l.devices, agent.NewDevice(h.Number, h.Platform, h.Seed))
	l.places = append(l.places, place{
		id: h.ID, user: h.User, platform: h.Platform, way: h.Way, api: h.AndroidAPI, coManaged: h.CoManaged, automated: h.Automated, otherMDM: h.OtherMDM,
		habits: h.Habits, skew: int32(h.Clock / time.Second),
	})
	l.due.Grow(len(l.devices))
	if h.Workloads != nil {
		l.workloads[i] = *h.Workloads
	}
	if h.Voice != nil {
		l.voices.add(i, h.Voice)
	}
	return i
}

var noHabits dialect.Habits

// Enrol has a device obtain an identity and enrol with it.
func (l *Loop) Enrol(i int) error {
	p := &l.places[i]
	if l.reaches(p) && !managed(&l.devices[i]) {
		if err := l.invite(i); err != nil {
			return fmt.Errorf("device %s: %w", p.id, err)
		}
		p.topic, p.awaits = 0, p.automated
		if p.platform.Apple() {
			p.topic = l.topicOf(l.server.World().Push.Topic)
		}
	}
	return l.tell(i, agent.Enrol)
}

// Unenrol has the user of a device take the enrolment off.
func (l *Loop) Unenrol(i int) error {
	return l.tell(i, agent.Unenrol)
}

// Sync has the user of a device start a check-in by hand (AUTH-22).
func (l *Loop) Sync(i int) error {
	if at := l.dueOf(i); at != 0 && at <= l.now { // what is due at the same moment comes first
		if err := l.tell(i, agent.Tick); err != nil {
			return err
		}
	}
	return l.tell(i, agent.Woken)
}

// Reach takes a device off the network, or brings it back: it then finds the wake-up that the push service kept, and makes up for what it
// missed.
func (l *Loop) Reach(i int, there bool) error {
	l.places[i].away = !there
	if !there {
		return nil
	}
	l.due.Set(uint32(i), l.dueOf(i)) // away, only profiles that leave had a moment
	return l.collect(i, agent.Returned, agent.Missed)
}

func managed(d *agent.Device) bool {
	return d.Phase() == agent.Enrolling || d.Phase() == agent.Enrolled
}

func (l *Loop) reaches(p *place) bool { return !p.away && !l.down }

// mostIdle is how often in a row the server may be due for something that it then leaves undone.
const mostIdle = 1000

// Run lets time pass until a moment, and does all that is due up to then.
func (l *Loop) Run(until protocol.Time) error {
	again, idle := protocol.Time(0), 0
	moment, here := protocol.Time(0), 0
	l.stale = true
	if err := l.hear(); err != nil {
		return err
	}
	for {
		at, tick := protocol.Time(0), false
		if !l.down {
			if err := l.ask(&idle); err != nil {
				return err
			}
			if l.next != 0 {
				at, tick = l.next.Add(-l.off), true
				if at <= l.now { // what could not be done before is tried later
					at = max(l.now, again)
				}
			}
		}
		d, any := l.due.First()
		if any && (!tick || d.At < at) {
			at, tick = d.At, false
		}
		if at == 0 || at > until {
			break
		}
		l.fetch()
		if l.now = max(l.now, at); l.now > moment {
			moment, here = l.now, 0
		}
		if here++; here > mostIdle*(1+len(l.devices)) {
			return fmt.Errorf("time stands still at %s: device %s is due again and again", l.now, l.places[d.Device].id)
		}
		if tick {
			if i, ok := l.first(at); ok && l.ahead(i) {
				again, idle = 0, 0
				continue
			}
			if err := l.tick(); err != nil {
				return err
			}
			again = l.now.Add(time.Second)
			continue
		}
		if l.places[d.Device].away { // it acts when it is back
			l.expire(int(d.Device))
			continue
		}
		if l.ahead(d.Device) {
			continue
		}
		l.due.Set(d.Device, 0)
		if err := l.tell(int(d.Device), agent.Tick); err != nil {
			return err
		}
	}
	l.now = max(l.now, until)
	return nil
}

// expire is all that a device does by itself while it is off the network: it drops what its seven days end (AUTH-27).
func (l *Loop) expire(i int) {
	d := &l.devices[i]
	d.Expire(l.clockOf(i), &l.actions)
	l.voices.of(i).expires()
	l.voices.double(i).expires()
	l.due.Set(uint32(i), l.trueTime(i, d.Drops()))
	if dropped := len(l.actions.List); dropped > 0 && l.cfg.Contact != nil {
		l.contact = Contact{Device: i, At: l.now, Executed: l.contact.Executed[:0], Dropped: dropped}
		l.cfg.Contact(&l.contact)
	}
}

// ask has next be when the server has something to do. Idle counts how often in a row that was now.
func (l *Loop) ask(idle *int) (err error) {
	if !l.stale {
		return nil
	}
	if l.next, err = l.server.Next(l.ctx); err != nil {
		return err
	}
	l.stale = false
	if *idle++; l.next > l.Clock() || l.next == 0 {
		*idle = 0
	}
	if *idle > mostIdle {
		return fmt.Errorf("the server is due since %s, and at %s it has still not done it", l.next, l.Clock())
	}
	return nil
}

// tick has the server do what is due, and those who are woken by it check in.
func (l *Loop) tick() error {
	l.stale = true
	if err := l.server.Tick(l.ctx, l.Clock()); err != nil {
		return err
	}
	return l.hear()
}

// stand lets time pass until a moment that Run has come up to. The server does what is due then, and whoever is woken by it
// hears of it when Run goes on: what an administrator does first comes first.
func (l *Loop) stand(at protocol.Time) error {
	l.now = max(l.now, at)
	if l.down {
		return nil
	}
	next, err := l.server.Next(l.ctx)
	if err != nil || next == 0 || next > l.Clock() {
		return err
	}
	return l.server.Tick(l.ctx, l.Clock())
}

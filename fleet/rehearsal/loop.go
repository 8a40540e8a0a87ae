package rehearsal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
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

	Observe     func(now protocol.Time, w *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome) // of the server; nil: nobody
	ChangesOnly bool                                                                                                                 // Observe is not told what is steady ([delivery.Outcome.Steady])
	Contact     func(c *Contact)                                                                                                     // told the end of each conversation, and when profiles leave; nil: nobody
	Pushed      func(device int, r delivery.PushResult)                                                                              // told each wake-up that is sent; nil: nobody

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

// A Passage is what becomes of a message and its answer on their way.
type Passage uint8

// The passages.
const (
	Whole      Passage = iota
	CutOff             // it does not reach the server
	Unanswered         // it does, and the answer is lost
	Busy               // somebody before the server answers 503
)

// busyAgain is when a device may come again that was answered 503 before the server.
const busyAgain = 15 * time.Minute

// A Handset is who a device is. All five platforms take part by rule: Apple's are woken by pushes, the others poll.
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

	// Voice is the same device as it speaks Apple's protocol: all that it says and hears by rule goes over the wire too, and must
	// come out the same. Nil: it is played by rule alone.
	Voice *dialect.Apple
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
	skew      int32 // seconds that its clock is ahead
	id        string
	habits    *dialect.Habits
	workloads *authority.Workloads
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
	l.renewed = map[int]*delivery.Credential{}
	l.chance.Seed(cfg.Seed, 0)
	if cfg.Wire != nil {
		l.voices = newVoices(l, cfg.Wire)
	}
	return l, l.Restart()
}

// Restart ends the server and opens it again over what it has kept.
func (l *Loop) Restart() (err error) {
	l.server, err = server.Open(l.ctx, l.Clock(), server.Config{
		Store: l.store, Push: l, Observe: l.cfg.Observe, ChangesOnly: l.cfg.ChangesOnly, Unseen: l.cfg.Unseen, Rand: l.chance.Uint64, Part: l.cfg.Part, Others: l.cfg.Others,
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

// Mute has the push service reach nobody, or everybody again: then each has the latest wake-up that it missed.
func (l *Loop) Mute(is bool) error {
	l.mute = is
	for i := range l.places {
		if p := &l.places[i]; !is && !p.away && p.mail != 0 {
			if err := l.collect(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// collect has a device that is there hear of the wake-up that the push service has kept for it, or else do what is due.
func (l *Loop) collect(i int) error {
	kept := protocol.Time(0)
	if p := &l.places[i]; !l.mute {
		kept, p.mail = p.mail, 0
	}
	due := l.dueOf(i)
	switch {
	case kept > l.now && !l.loses(i):
		return l.Sync(i)
	case due != 0 && due <= l.now:
		return l.tell(i, agent.Tick)
	}
	return nil
}

func (l *Loop) loses(i int) bool { return l.cfg.Loses != nil && l.cfg.Loses(i) }

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

// Topic is the push topic that a device enrolled with; empty: it has none.
func (l *Loop) Topic(i int) string { return l.topics[l.places[i].topic] }

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
		habits: h.Habits, workloads: h.Workloads, skew: int32(h.Clock / time.Second),
	})
	l.due.Grow(len(l.devices))
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

// Reach takes a device off the network, or brings it back: it then finds the wake-up that the push service kept.
func (l *Loop) Reach(i int, there bool) error {
	l.places[i].away = !there
	if !there {
		return nil
	}
	return l.collect(i)
}

func managed(d *agent.Device) bool {
	return d.Phase() == agent.Enrolling || d.Phase() == agent.Enrolled
}

func (l *Loop) reaches(p *place) bool { return !p.away && !l.down }

// invite gets the device an identity to enrol with.
func (l *Loop) invite(i int) error {
	p := &l.places[i]
	delete(l.renewed, i)
	v := l.voices.of(i)
	if l.cfg.plain || v != nil {
		challenge, err := l.server.Grant(l.ctx, l.Clock(), store.Grant{Purpose: delivery.ForEnrolment, User: p.user, ID: p.id, Automated: p.automated})
		if err != nil {
			return err
		}
		if v != nil {
			v.fetches(challenge)
		}
		return l.certify(i, challenge)
	}
	key, id := l.identity()
	c := delivery.Credential{Identity: id, Purpose: delivery.ForEnrolment, User: p.user, ID: p.id, Automated: p.automated}
	if l.store.Lend(p.number) != nil {
		c.Device = p.number
	}
	c.Fingerprint = sha256.Sum256(key[:])
	l.install(i, l.store.Admit(&c))
	return nil
}

// identity is the next identity, and its key.
func (l *Loop) identity() (key [32]byte, id delivery.Identity) {
	l.issued++
	binary.BigEndian.PutUint64(key[:], l.issued)
	now := l.Clock()
	now -= now % perSecond // as X.509 keeps it
	id.NotBefore, id.NotAfter = now.Add(-certs.Backdate), now.Add(l.cfg.Lifetime)
	return key, id
}

// topicOf is which of the loop's topics one is.
func (l *Loop) topicOf(topic string) uint16 {
	i := slices.Index(l.topics, topic)
	if i < 0 {
		i = len(l.topics)
		l.topics = append(l.topics, topic)
	}
	return uint16(i)
}

// certify gets the device the identity that a challenge stands for.
func (l *Loop) certify(i int, challenge string) error {
	key, id := l.identity()
	if v := l.voices.of(i); v != nil {
		if cert := v.identifies(challenge, &id); cert != nil {
			l.identified(i, cert.Raw)
			return nil
		}
	}
	der, err := l.server.Issue(l.ctx, l.Clock(), server.Claim{
		Challenge: challenge, Request: key, Key: key,
		Make: func(*store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			return key[:], id.NotBefore, id.NotAfter, nil
		},
	})
	if err != nil {
		return err
	}
	l.identified(i, der)
	return nil
}

// identified gives the device the certificate that the server has issued. In a renewal the old one stands until the server has
// taken the first word of the new.
func (l *Loop) identified(i int, der []byte) {
	l.stale = true
	cert := l.store.LendCredential(sha256.Sum256(der))
	if l.devices[i].Phase() == agent.Enrolled {
		l.renewed[i] = cert
		return
	}
	l.install(i, cert)
}

// install has the device use an identity from now on.
func (l *Loop) install(i int, cert *delivery.Credential) {
	l.places[i].cert, l.places[i].settled = cert, false
	l.devices[i].SetIdentity(agent.Identity{NotBefore: cert.NotBefore, NotAfter: cert.NotAfter})
}

// ruleBusy stands for a 503 that did not come from the server.
const ruleBusy protocol.Rule = "HST-111"

// mostIdle is how often in a row the server may be due for something that it then leaves undone.
const mostIdle = 1000

// Run lets time pass until a moment, and does all that is due up to then.
func (l *Loop) Run(until protocol.Time) error {
	again, idle := protocol.Time(0), 0
	moment, here := protocol.Time(0), 0
	l.stale, l.fetched = true, [2]uint64{}
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
			if err := l.Tick(); err != nil {
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

// Tick has the server do what is due, and those who are woken by it check in.
func (l *Loop) Tick() error {
	l.stale = true
	if err := l.server.Tick(l.ctx, l.Clock()); err != nil {
		return err
	}
	return l.hear()
}

// Stand lets time pass until a moment that Run has come up to. The server does what is due then, and whoever is woken by it
// hears of it when Run goes on: what an administrator does first comes first.
func (l *Loop) Stand(at protocol.Time) error {
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

// hear has those check in whom the push service has reached.
func (l *Loop) hear() error {
	slices.Sort(l.woken)
	for _, i := range l.woken {
		if err := l.Sync(int(i)); err != nil {
			return err
		}
	}
	l.woken = l.woken[:0]
	return nil
}

// Push is the push service: it reaches Apple's devices at once and keeps the latest wake-up for one that is away. The
// other platforms have none yet.
func (l *Loop) Push(_ context.Context, n push.Notification) push.Answer {
	i := binary.BigEndian.Uint32(n.Token)
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.push(i, &n)
	if l.cfg.Pushed != nil {
		l.cfg.Pushed(int(i), a.Result)
	}
	return a
}

func (l *Loop) push(i uint32, n *push.Notification) push.Answer {
	d, p := &l.devices[i], &l.places[i]
	switch {
	case n.Topic != l.server.World().Push.Topic && d.Platform().Apple():
		return push.Answer{Result: delivery.TryLater, RetryAfter: time.Hour, Reason: "DeviceTokenNotForTopic"}
	case d.Phase() != agent.Enrolled || !l.addressed(n.Token, i):
		return push.Answer{Result: delivery.Inactive, InactiveSince: l.Clock().Time(), Reason: "Unregistered"}
	case !d.Platform().Apple():
	case !p.away && !l.mute:
		if !l.loses(int(i)) {
			l.woken = append(l.woken, i)
		}
	case !n.Expires.IsZero():
		p.mail = protocol.At(n.Expires).Add(-l.off)
	}
	return push.Answer{Result: delivery.Accepted}
}

// tell has something happen to a device, and carries out what it then wants done until it rests.
func (l *Loop) tell(i int, what agent.EventKind) error {
	d := &l.devices[i]
	l.step = agent.Event{Kind: what, CheckOut: what == agent.Enrol || what == agent.Unenrol}
	l.contact = Contact{Device: i, At: l.now, Steady: true, Executed: l.contact.Executed[:0]}
	v := l.voices.of(i)
	v.begins(what)
	for {
		d.Step(l.clockOf(i), &l.step, &l.actions)
		l.step.Kind = 0
		for k := range l.actions.List {
			a := &l.actions.List[k]
			var err error
			switch a.Kind {
			case agent.Send:
				err = l.send(i, &a.CheckIn)
			case agent.Execute:
				err = l.execute(i, &a.Command)
			case agent.Drop:
				l.contact.Dropped++
			}
			if err != nil {
				return fmt.Errorf("device %s: %w", l.places[i].id, err)
			}
		}
		if l.step.Kind == 0 {
			break
		}
	}
	v.rests()
	l.due.Set(uint32(i), l.dueOf(i))
	if (l.contact.Began != protocol.NoVerb || l.contact.Dropped > 0) && l.cfg.Contact != nil {
		l.cfg.Contact(&l.contact)
	}
	return nil
}

// send takes one round to the server, and its answer back.
func (l *Loop) send(i int, c *protocol.CheckIn) error {
	v := l.voices.of(i)
	if v == nil {
		return l.deliver(i, c, nil)
	}
	v.says(c)
	err := l.deliver(i, c, v)
	v.hears()
	return err
}

// deliver is send; v is the device's voice, nil: it has none.
func (l *Loop) deliver(i int, c *protocol.CheckIn, v *voice) error {
	p := &l.places[i]
	if l.contact.Began == protocol.NoVerb {
		l.contact.Began = c.Verb
	}
	l.contact.Done = false
	if !l.reaches(p) {
		l.fails()
		return nil
	}
	passage := Whole
	if l.cfg.Arrives != nil {
		passage = l.cfg.Arrives(i, c)
	}
	switch passage {
	case Busy:
		l.fails()
		l.contact.Refusal, l.step.RetryAfter = ruleBusy, busyAgain
		return nil
	case CutOff:
		l.fails()
		return nil
	}
	if c.Verb == protocol.Ask && !l.cfg.plain && v == nil {
		cert := p.cert
		if p.settled {
			cert = nil // it need not be looked at
		}
		if told, ok := l.server.Rest(l.Clock(), p.number, cert); ok {
			if passage == Unanswered {
				l.fails()
				return nil
			}
			l.contact.Done = true
			l.step.Kind, l.step.Reply.Kind, l.step.Reply.Notice = agent.Answered, protocol.Done, p.heard(told)
			return nil
		}
	}
	if err := l.dress(i, c); err != nil {
		return err
	}
	var err error
	if v == nil {
		err = l.round()
	} else {
		err = v.carries()
	}
	no := &l.out.Refusal
	switch {
	case errors.Is(err, store.ErrNotFound):
		no = &protocol.Refusal{Rule: protocol.RuleRecordKept}
	case err != nil:
		return err
	default:
		l.contact.Steady = l.contact.Steady && l.out.Steady()
		l.stale = l.stale || l.out.Changed != 0
		p.settled = l.out.State.Life == delivery.Enrolled && l.out.State.Identity.Fingerprint == p.cert.Fingerprint
	}
	switch {
	case passage == Unanswered:
		l.fails()
		v.loses()
	case no.Rule != "":
		l.contact.Refusal, l.contact.Steady = no.Rule, false
		l.step = agent.Event{Kind: agent.Refused, Notice: p.heard(no.Notice)}
		if no.RetryAfter > 0 {
			l.step.Kind, l.step.RetryAfter = agent.Failed, no.RetryAfter
		} else if c.Verb == protocol.Enrol {
			delete(l.renewed, i) // the old one still stands
		}
	default:
		if next := l.renewed[i]; c.Verb == protocol.Enrol && next != nil {
			l.install(i, next)
			delete(l.renewed, i)
		}
		l.numbered(i, l.out.State.Device)
		l.contact.Done = l.out.Reply.Kind != protocol.Work
		l.step.Kind, l.step.Reply = agent.Answered, l.out.Reply
		l.step.Reply.Notice = p.heard(l.out.Reply.Notice)
	}
	return nil
}

// numbered notes what the server calls a device.
func (l *Loop) numbered(i int, d protocol.Device) {
	p := &l.places[i]
	if p.number == d {
		return
	}
	p.number = d
	for int(d) >= len(l.index) {
		l.index = append(l.index, 0)
	}
	l.index[d] = uint32(i)
}

// fetch reads what the next rounds and wake-ups look at, of many devices at once: in a rehearsal of many partitions nothing of
// them is in the processor's caches any more when their turn comes, and one after the other each would wait for memory
// again and again.
func (l *Loop) fetch() {
	if l.cfg.plain {
		return
	}
	if coming, turn := l.store.Coming(); turn != l.fetched[0] {
		l.fetched[0] = turn
		for _, d := range coming {
			l.sink += l.store.Touch(protocol.Device(d.Device))
			if int(d.Device) < len(l.index) {
				l.touch(l.index[d.Device])
			}
		}
	}
	if coming, turn := l.due.Coming(); turn != l.fetched[1] {
		l.fetched[1] = turn
		for _, d := range coming {
			l.touch(d.Device)
		}
		for _, d := range coming {
			l.sink += l.store.Touch(l.places[d.Device].number)
		}
	}
}

func (l *Loop) touch(i uint32) {
	d, p := &l.devices[i], &l.places[i]
	l.sink += uint64(d.Due()) + uint64(d.Phase()) + uint64(p.number) + uint64(len(p.id))
	if u := l.server.World().User(p.user); u != nil && u.IntuneLicence {
		l.sink++
	}
	if l.cfg.Fetch != nil {
		l.sink += l.cfg.Fetch(i)
	}
}

// fails is that a round got no answer.
func (l *Loop) fails() {
	l.contact.Steady = false
	l.step = agent.Event{Kind: agent.Failed}
}

// dress makes ev the round that a device sends. The certificate decides which device it is.
func (l *Loop) dress(i int, c *protocol.CheckIn) error {
	p, m := &l.places[i], &l.ev.Message
	cert := p.cert
	if c.Verb == protocol.Enrol && l.renewed[i] != nil {
		cert = l.renewed[i]
	}
	if l.dressed {
		l.ev, l.dressed = delivery.Event{}, false
	}
	switch {
	case cert == nil:
		m.Credential = delivery.Credential{}
	case l.cfg.plain:
		cred, err := l.server.Credential(l.ctx, cert.Fingerprint)
		if err != nil {
			return err
		}
		m.Credential = cred
	default:
		m.Credential = *cert
	}
	l.ev.Kind, l.ev.ID, l.ev.Device = delivery.CheckInRound, p.id, p.number
	m.CheckIn, m.Missing = *c, p.missing && c.Verb == protocol.Report
	m.Device = p.number
	m.Seed = [2]uint64{l.cfg.Seed, uint64(l.now)} // with the device and its count of commands
	switch c.Verb {
	case protocol.Enrol:
		m.Platform, m.AndroidAPI, m.CoManaged, m.Topic, m.Way, m.OtherMDM = p.platform, p.api, p.coManaged, l.topics[p.topic], p.way, p.otherMDM
		if p.workloads != nil {
			m.Workloads, m.WorkloadsKnown = *p.workloads, true
		}
		l.ev.Device, l.dressed = 0, true
	case protocol.Ready:
		m.Topic, m.Token, m.Awaiting = l.topics[p.topic], l.token(i), p.awaits
		l.dressed = true
	}
	return nil
}

// round has the server decide on ev. What it refuses is in out, and is no error.
func (l *Loop) round() error {
	if !l.cfg.plain {
		return l.server.Round(l.ctx, l.Clock(), &l.ev, &l.out)
	}
	err := l.server.Handle(l.ctx, l.Clock(), &l.ev, &l.out)
	if no := new(protocol.Refusal); errors.As(err, &no) {
		return nil
	}
	return err
}

// heard is what a device makes of a notice: nothing, where the vendor's cloud manages it.
func (p *place) heard(n protocol.Notice) protocol.Notice {
	if p.api {
		return protocol.Notice{}
	}
	return n
}

// token is the address of a device: its place, and its enrolment.
func (l *Loop) token(i int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(nil, uint32(i)), l.devices[i].Enrolments())
}

// addressed tells whether a token is the address of device i in its present enrolment.
func (l *Loop) addressed(token []byte, i uint32) bool {
	return len(token) == 6 && binary.BigEndian.Uint32(token) == i && binary.BigEndian.Uint16(token[4:]) == l.devices[i].Enrolments()
}

// execute carries out a command, by rule.
func (l *Loop) execute(i int, c *protocol.Command) error {
	d, at := &l.devices[i], &l.places[i]
	at.missing = false
	l.voices.of(i).executes(c)
	l.contact.Executed = append(l.contact.Executed, *c)
	l.step = agent.Event{Kind: agent.Executed, Status: protocol.Acknowledged}
	if l.cfg.Obeys != nil {
		if l.step.Status = l.cfg.Obeys(i, c); l.step.Status != protocol.Acknowledged {
			return nil
		}
	}
	if at.platform.Apple() && dialect.Waits(at.platform, requestOf(c.Kind)) && at.habits.HeldUp(d, &at.busy, l.clockOf(i)) {
		l.contact.Executed = l.contact.Executed[:len(l.contact.Executed)-1]
		l.contact.Deferred++
		l.step.Status, l.step.Until = protocol.NotNow, at.busy
		return nil
	}
	switch c.Kind {
	case protocol.InstallProfile:
		p := &l.server.World().Profiles[c.Profile]
		if at.habits.Fails(d, p.Identifier, l.clockOf(i)) {
			l.step.Status = protocol.Failed
			break
		}
		d.Install(agent.Profile{Name: nameOf(p.Identifier), Content: uint64(c.Profile), Family: p.Family})
	case protocol.RemoveProfile:
		if k := d.Find(nameOf(c.Text)); k >= 0 {
			d.Uninstall(k)
		} else {
			l.step.Status, at.missing = protocol.Failed, true
		}
	case protocol.RenewIdentity:
		err := l.certify(i, string(c.Payload))
		switch {
		case errors.Is(err, server.ErrChallenge), errors.Is(err, server.ErrSpent), errors.Is(err, server.ErrExpired):
			l.step.Status = protocol.Failed
		case err != nil:
			return err
		default:
			l.step = agent.Event{Kind: agent.Enrol, CheckOut: true}
		}
	case protocol.Configured:
		at.awaits = false
	case protocol.Erase:
		l.step.Then = agent.Wipe
	case protocol.Retire:
		l.step.Then = agent.Leave
	case protocol.Restart:
		l.step.Then = agent.Reboot
	}
	return nil
}

// requestOf is what Apple's protocol calls a command.
func requestOf(k protocol.CommandKind) string {
	switch k {
	case protocol.RenewIdentity:
		return protocol.InstallProfile.String()
	case protocol.Retire:
		return protocol.RemoveProfile.String()
	}
	return k.String()
}

// nameOf is the number by which a device core knows a profile of this identifier.
func nameOf(identifier string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(identifier))
	return h.Sum64()
}

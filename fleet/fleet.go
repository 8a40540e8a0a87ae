package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// Push is the device side of a push service: store and forward by token.
type Push interface {
	RegisterToken(topic string, token []byte)
	Unregister(token []byte)
	Connect(token []byte, deliver func(payload []byte)) // what was kept is delivered before it returns
	Disconnect(token []byte)
}

// A Config is what a fleet is made of.
type Config struct {
	Plan       *plan.Plan
	Population *population.Population
	Target     target.Target
	URL        string      // of the target, which is loopback or named by the plan (HST-127)
	Link       link.Config // Now, Faults and Watcher are the fleet's own
	Push       Push
	FCM        Registrations                // nil: Android devices come by their schedules alone
	WNS        Channels                     // nil: Windows devices do
	Directory  Directory                    // nil: Windows devices enrol by links alone
	Package    *Package                     // nil: so do those that a package with a bootstrap certificate enrols
	Plays      func(protocol.Platform) bool // whose devices take part; nil: Apple's
	Server     Server                       // nil: its power switch is not ours
	Clock      *Clock                       // a driven one begins [Cast.Foreword] before the story
	Stepper    Stepper                      // the server's clock; needed with a driven Clock
	ADE        string                       // where devices of Apple's automated enrolment get their profile; empty: nowhere
	Parallel   int                          // conversations at a time; 0: 32
	Together   time.Duration                // a driven clock takes together what is due within this; 0: the plan's step
	Progress   func(Progress)               // called now and then by Run; nil: nobody
	// Changed is called after a change of authority or licences with the preview that was confirmed for it; nil: nobody.
	Changed func(now protocol.Time, p *target.Preview)
	Notes   func(Note) // called for each Note, by several goroutines; nil: nobody
	// Ledger is told what was asked for and what the devices saw, each by its index in the population plus 1; nil: nobody.
	Ledger *ledger.Ledger
}

// A Fleet is many devices and their story. Make one with [New]; Run it once.
type Fleet struct {
	plan       *plan.Plan
	population *population.Population
	target     target.Target
	link       *link.Link
	push       Push
	fcm        Registrations
	wns        Channels
	directory  Directory
	pack       *Package
	url        string
	server     Server
	clock      *Clock
	stepper    Stepper
	adeURL     string
	together   time.Duration
	progress   func(Progress)
	changed    func(now protocol.Time, p *target.Preview)
	notes      func(Note)
	intent     intent
	seed       uint64
	draws      Draws
	cast       Cast
	begin      protocol.Time // of the clock
	start, end protocol.Time // of the story
	founding   bool          // before its beginning
	acts       []act
	tally      *tally
	slots      chan struct{} // one for each conversation at a time
	talking    sync.WaitGroup
	down       bool                // the server is stopped
	drop       atomic.Uint32       // share of the answers that are lost now, as a plan.Share
	reset      atomic.Uint32       // share of the connections that are reset now
	busyShare  atomic.Uint32       // share of the requests that are answered 503 now
	lose       atomic.Uint32       // share of the pushes that vanish now
	pushDown   atomic.Bool         // the push service delivers nothing now
	made       map[ownProfile]bool // profiles whose document the target has
	owner      protocol.Authority  // whose profiles are assigned now
	outcome    string              // of the act that was played last; empty: nothing to be said

	mu      sync.Mutex
	devices []device
	queue   queue
	busy    int           // devices that talk now
	wired   int           // devices with a wire
	managed int           // devices that are enrolled now
	topic   string        // of the push certificate in use
	pushEnd protocol.Time // of that certificate
	first   []byte        // the push certificate of the beginning, with its key
	gaps    []Gap
	away    int // devices that are off the network now
	done    []Act

	mailbox sync.Mutex // taken after mu, never before it
	woken   []wake
	back    int           // who is just returning: the index plus 1
	nudge   chan struct{} // a conversation ended or a push came
}

// A device is what the fleet keeps of one device beside the device itself.
type device struct {
	Device                // nil: it does not take part
	name    string        // what the server calls it, as it said; empty: as the population does, or not said yet
	due     protocol.Time // of the acts moment in the queue
	spells  uint32        // how many spells off the network were planned
	request Request       // the latest, for chance; only the device's own goroutine counts them
	pushes  Request       // pushes that came, for chance; under mailbox
	tries   uint8         // enrolments that failed in a row, up to 5
	away    reach         // why it is off the network; 0: it is on it
	busy    bool          // talking
	managed bool          // counted as enrolled
	locked  bool          // its identity's end was noted
	refused atomic.Bool   // its present request is to be answered 503
}

// A wake is a push that reached a device.
type wake struct {
	device int
	magic  string // or the address that was woken, of a device that has none
	kept   bool   // until the device returned
}

// Begin is the moment at which stories made from a plan begin.
var Begin = population.Begin

// New makes the fleet of c. The error names what the plan asks for and this target or run cannot give, or is ctx's.
func New(ctx context.Context, c Config) (*Fleet, error) {
	if err := Own(c.URL, c.Plan.IOwn); err != nil {
		return nil, err
	}
	f := &Fleet{
		plan: c.Plan, population: c.Population, target: c.Target, push: c.Push, fcm: c.FCM, wns: c.WNS, directory: c.Directory, pack: c.Package, url: c.URL, server: c.Server, clock: c.Clock, stepper: c.Stepper,
		adeURL: c.ADE, together: c.Together, progress: c.Progress, changed: c.Changed, notes: c.Notes, seed: c.Plan.Seed, draws: DrawsOf(c.Plan), made: map[ownProfile]bool{}, owner: SlotOf(c.Population),
		nudge: make(chan struct{}, 1),
	}
	if f.plan.Population.Clocks.Share > 0 {
		return nil, f.plan.Mistake("population.clocks", "", "all devices of a live run have one clock; only a rehearsal plays clocks that are wrong")
	}
	if f.clock.driven && f.stepper == nil {
		return nil, errors.New("a driven clock needs a server whose clock can be stepped")
	}
	if f.together == 0 {
		f.together = time.Duration(c.Plan.Step)
	}
	if c.Parallel == 0 {
		c.Parallel = 32
	}
	f.slots = make(chan struct{}, c.Parallel)
	f.begin = f.clock.Now()
	f.start = f.begin
	if c.Plays == nil {
		c.Plays = protocol.Platform.Apple
	}
	f.cast = Cast{Plan: c.Plan, Population: c.Population, Start: f.start, Plays: c.Plays}
	if f.clock.driven {
		f.start = f.begin.Add(f.cast.Foreword())
		f.cast.Start = f.start
	}
	f.end = f.start.Add(time.Duration(c.Plan.Until))
	f.tally = newTally(f.start, time.Duration(c.Plan.Until))
	f.intent = newIntent(&c)
	var err error
	if f.acts, err = f.script(); err != nil {
		return nil, err
	}
	c.Link.Now, c.Link.Faults, c.Link.Watcher = f.clock.Time, f, f
	if f.link, err = link.New(c.Link); err != nil {
		return nil, err
	}
	return f, f.populate(ctx)
}

// populate makes the devices, asleep and never managed, and queues when each of them enrols.
func (f *Fleet) populate(ctx context.Context) error {
	maker := newMaker(f.population, f.seed, f.directory)
	f.devices = make([]device, len(f.population.Devices))
	for i := range f.devices {
		if i%often == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !f.cast.Plays(f.population.Devices[i].Platform) {
			continue
		}
		f.wired++
		f.devices[i].Device = maker.device(i)
		if joins := f.population.Devices[i].Joins; joins >= 0 {
			f.at(i, f.start.Add(joins), enrols, 0)
		}
		f.beginHabits(i, f.start)
	}
	return nil
}

// often is after how many devices it is looked whether they are still wanted.
const often = 4096

// Devices makes those of p's devices that are of a platform that plays, never managed, each with its number in p from 1 on. Where ctx
// ends first, there are none and its error.
func Devices(ctx context.Context, p *population.Population, seed uint64, plays func(protocol.Platform) bool) ([]Device, error) {
	maker := newMaker(p, seed, nil)
	devices := make([]Device, 0, len(p.Devices))
	for i := range p.Devices {
		if i%often == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if plays(p.Devices[i].Platform) {
			devices = append(devices, maker.device(i))
		}
	}
	return devices, nil
}

// Apple makes device i of p, an Apple device, as [Devices] does.
func Apple(p *population.Population, i int, seed uint64) *dialect.Apple {
	return appleOf(map[modelKey]*dialect.Model{}, p, i, seed)
}

// Phone makes device i of p, an Android device of the agent protocol, which is known by its enterprise-specific id alone.
func Phone(p *population.Population, i int, seed uint64) *dialect.Android {
	m := newMaker(p, seed, nil)
	return m.androidAs(i, strings.ReplaceAll(p.Devices[i].UDID, "-", ""))
}

// PC makes device i of p, a Windows device, as [Devices] does.
func PC(p *population.Population, i int, seed uint64) *dialect.Windows {
	return newMaker(p, seed, nil).pc(i)
}

func appleOf(models map[modelKey]*dialect.Model, p *population.Population, i int, seed uint64) *dialect.Apple {
	d := &p.Devices[i]
	return dialect.NewApple(dialect.Who{
		Number: protocol.Device(i + 1), Seed: draw(seed, i, forDevice, 0).Uint64(), UDID: d.UDID, Serial: d.Serial, Name: d.Name,
	}, modelOf(models, d), HabitsOf(d.Habits))
}

type modelKey struct {
	model     *population.Model
	platform  protocol.Platform
	osVersion string
}

// modelOf returns the one Model of all devices of p's kind.
func modelOf(models map[modelKey]*dialect.Model, p *population.Device) *dialect.Model {
	key := modelKey{p.Model, p.Platform, p.OSVersion}
	m := models[key]
	if m == nil {
		m = &dialect.Model{Platform: p.Platform, OSVersion: p.OSVersion, Build: build(p.Platform, p.OSVersion), Capacity: 128}
		if p.Model != nil {
			m.Name, m.Product = p.Model.Name, p.Model.Product
		}
		models[key] = m
	}
	return m
}

// build returns a build number of the form that Apple gives this version: 17.6 is of the 21st line, macOS 14.6 of the 23rd.
func build(p protocol.Platform, version string) string {
	major, minor := 17, 0
	fmt.Sscanf(version, "%d.%d", &major, &minor) // what cannot be read stays
	line := major + 4
	if p == protocol.MacOS {
		line = major + 9
	}
	return fmt.Sprintf("%d%c%d", line, 'A'+minor%26, 60+minor)
}

// HabitsOf returns how a device with these habits behaves: the same for all of them.
func HabitsOf(h population.Habits) *dialect.Habits {
	return &habits[h&(population.NotNow|population.ProfileFails)]
}

var habits = [...]dialect.Habits{
	population.NotNow:                           {NotNow: notNowChance},
	population.ProfileFails:                     {ProfileFails: profileFailsChance},
	population.NotNow | population.ProfileFails: {NotNow: notNowChance, ProfileFails: profileFailsChance},
}

// How often a device with a habit shows it, in millionths.
const (
	notNowChance       = 500_000
	profileFailsChance = 500_000
)

// at puts a moment into the queue.
func (f *Fleet) at(i int, at protocol.Time, k kind, why reach) {
	f.queue.push(moment{at, uint32(i), k, why})
}

// enrolled tells whether device i is enrolled and was not told otherwise.
func (f *Fleet) enrolled(i int) bool {
	d := &f.devices[i]
	return d.Device != nil && d.Phase() == agent.Enrolled
}

// Start returns the moment at which the story begins.
func (f *Fleet) Start() protocol.Time { return f.start }

// Silent tells whether device i was out of reach before the story and stays so to its end.
func (f *Fleet) Silent(i int) bool { return f.cast.Silent(i) }

// Counts returns what happened so far.
func (f *Fleet) Counts() Counts { return f.tally.snapshot() }

// Bins returns what each stretch of the story saw, and how long one is. Only while Run is not running.
func (f *Fleet) Bins() (bins []Bin, width time.Duration) { return f.tally.bins, f.tally.width }

// Latency returns how long the answered requests of a step took, in microseconds on the real clock; nil: there were none.
// Only while Run is not running.
func (f *Fleet) Latency(s dialect.Step) *hdrhistogram.Histogram { return f.tally.latency[s] }

// Gaps returns the gaps in Apple's push certificates that the plan has opened so far.
func (f *Fleet) Gaps() []Gap {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.gaps)
}

// Acts returns what the plan has done so far.
func (f *Fleet) Acts() []Act {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// Plays tells whether devices of a platform take part.
func (f *Fleet) Plays(p protocol.Platform) bool { return f.cast.Plays(p) }

// Name returns what the server calls device i; empty: it has not said yet. Only while Run is not running, or of who is in a [Note].
func (f *Fleet) Name(i int) string {
	d, p := &f.devices[i], &f.population.Devices[i]
	switch w := d.Device.(type) {
	case *dialect.Android:
		return d.name
	case *dialect.Windows:
		return w.DeviceID()
	}
	return p.UDID
}

// Device returns device i; nil: it does not take part. Only while Run is not running.
func (f *Fleet) Device(i int) Device { return f.devices[i].Device }

// fatal says what ended a run that should have gone on.
func fatal(now protocol.Time, err error) error { return fmt.Errorf("at %s: %w", now, err) }

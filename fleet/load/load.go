package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/protocol"
)

// A Config is one load.
type Config struct {
	Devices []fleet.Device
	Link    link.Config // Before and Watcher are the load's own

	// Enrolments makes each arrival the enrolment of a device that is not enrolled yet; otherwise it is a check-in of one
	// that is.
	Enrolments bool
	// Start says where devices enrol, in the order given; nil: nobody can.
	Start func(ctx context.Context, devices []fleet.Device) ([]Start, error)

	Pace   Pace          // arrivals: the open loop
	Closed int           // in place of Pace: so many devices talk at a time, each again as soon as one has done; 0: open loop
	For    time.Duration // length of a closed loop; with Push alone, when it is over at the latest

	// Think is the time that is planned from a step of a conversation to the next: what a device takes for a command, and the
	// answer to the step before. 0: DefaultThink.
	Think time.Duration
	// Retry has devices that were turned away come again when they themselves would; otherwise they come when it is their turn.
	Retry bool
	Drain time.Duration // how long what is under way at the end may take; 0: the link's timeout

	// Wake asks the server to push to a device, in place of a device's coming by itself; what it pushes comes by Push to Apple's devices,
	// by FCM to Android's and by WNS to Windows'. These alone, without Pace and Closed: nobody comes but whom the server pushes to because
	// of Acts, and it is over when all whom the last of these called have come.
	Wake func(ctx context.Context, udid string) error
	Push fleet.Push
	FCM  fleet.Registrations
	WNS  fleet.Channels

	Parallel int // enrolments at a time before the load; 0: 32

	Acts   []Act          // what is done to the server meanwhile
	Ledger *ledger.Ledger // hears what was asked for and what the devices saw; nil: nobody does

	CPU      func() time.Duration // processor time that this process has used; nil: nobody measures it
	Progress func(Progress)       // called every second by Run; nil: nobody
}

// DefaultThink is the planned time between two steps of a conversation.
const DefaultThink = 100 * time.Millisecond

// Progress is how far a load has come.
type Progress struct {
	Enrolling     bool // before the load
	At, Length    time.Duration
	Devices       int
	Enrolled      int
	GaveUp        int // their enrolment before the load
	Offered       uint64
	Started, Done uint64
	Failed        uint64 // refused ones included
	Busy          int
	Faults        uint64 // that the ledger has named
}

// A Load is a load on one server. Make one with [New]; call Enrol and then Run, once each.
type Load struct {
	config Config
	link   *link.Link
	number indices

	books []*book
	early struct { // of what was before the load: books were begun anew for that
		sync.Mutex
		*book
	}
	all     atomic.Pointer[book] // of the load, once it is over
	members []fleet.Device       // enrolled as the load begins
	played  played
	called  called
	begin   time.Time
	paced   bool          // an open loop runs
	width   time.Duration // of a window

	mu    sync.Mutex
	turns               // a bed's moments are its conversation's while that lasts
	wakes []wake        // pushes that came
	lost  int           // devices whose enrolment ended
	news  chan struct{} // something above has changed

	unheard unheard // at the end

	pending int     // offered, and no device had time yet; the dispatcher's
	take    *cursor // to the first of these

	offered  atomic.Uint64
	enrolled atomic.Int64
	joined   joined
	jobs     chan job
	working  sync.WaitGroup
	stopping atomic.Bool
	ended    time.Duration          // when all was over
	spent    time.Duration          // processor time until then; 0: not measured
	trouble  atomic.Pointer[string] // the first one
}

// A job is one conversation, meant to begin at a moment.
type job struct {
	device int32
	at     time.Duration // intended
	could  time.Duration // from then on nothing but the generator held it up
	why    dialect.Why
	order  bool          // ask the server to push, in place of a conversation
	asked  time.Duration // Pushed: when the push was meant to be ordered; below 0: nobody here did
	retry  bool
}

// New checks c. The error names what is wrong with it.
func New(c Config) (*Load, error) {
	switch {
	case len(c.Devices) == 0:
		return nil, errors.New("load: no devices")
	case c.Closed < 0 || c.Think < 0 || c.Drain < 0 || c.Parallel < 0:
		return nil, errors.New("load: a number below 0")
	case c.Closed == 0 && !c.calls() && c.Pace.Length() <= 0:
		return nil, errors.New("load: without an end: say how long it lasts")
	case c.Closed == 0 && !c.calls() && c.Pace.Total() == 0:
		return nil, errors.New("load: a rate of 0 asks for nothing")
	case c.Closed > 0 && c.For <= 0:
		return nil, errors.New("load: without an end: say how long the closed loop lasts")
	case c.calls() && c.For <= 0:
		return nil, errors.New("load: without an end: say how long it lasts at most")
	case !c.calls() && (c.Wake != nil) != c.pushes():
		return nil, errors.New("load: wake-ups need a push service, and the other way round")
	}
	if c.CPU == nil {
		c.CPU = func() time.Duration { return 0 }
	}
	if c.Think == 0 {
		c.Think = DefaultThink
	}
	if c.Parallel == 0 {
		c.Parallel = 32
	}
	if c.Link.Timeout <= 0 {
		c.Link.Timeout = 30 * time.Second
	}
	if c.Drain == 0 {
		c.Drain = c.Link.Timeout
	}
	l := &Load{config: c, news: make(chan struct{}, 1), jobs: make(chan job)}
	l.beds, l.rest = make([]bed, len(c.Devices)), make([]turn, 0, len(c.Devices))
	l.count[out] = len(c.Devices)
	var err error
	if l.number, err = indicesOf(c.Devices); err != nil {
		return nil, err
	}
	l.width = max(time.Second, (l.length()+mostWindows-1)/mostWindows)
	l.books = make([]*book, max(runtime.GOMAXPROCS(0), 1))
	for i := range l.books {
		l.books[i] = new(book)
	}
	c.Link.Before, c.Link.Watcher = l.before, l
	l.link, err = link.New(c.Link)
	return l, err
}

// mostWindows is into how many windows a run is divided at most.
const mostWindows = 600

// calls tells whether devices come because of acts alone.
func (c *Config) calls() bool {
	return c.Closed == 0 && len(c.Pace.pieces) == 0 && c.pushes() && c.Wake == nil
}

// length is how long the load lasts, without what is under way at its end.
func (l *Load) length() time.Duration {
	if l.config.Closed > 0 || l.config.calls() {
		return l.config.For
	}
	return l.config.Pace.Length()
}

// Enrolled returns the devices that are enrolled. Only while neither Enrol nor Run is running.
func (l *Load) Enrolled() []fleet.Device {
	var list []fleet.Device
	for _, d := range l.config.Devices {
		if d.Phase() == agent.Enrolled {
			list = append(list, d)
		}
	}
	return list
}

// Close ends the devices' connections.
func (l *Load) Close() { l.link.Close() }

// rise begins a conversation in a bed.
func (l *Load) rise(i int32, intended time.Duration) {
	b := &l.beds[i]
	b.intended, b.steps = intended, 0
}

// before holds a step back until the moment that was planned for it.
func (l *Load) before(ctx context.Context, d protocol.Device, s dialect.Step) {
	b := &l.beds[l.number.of(d)]
	if s == dialect.Authenticate {
		l.announce(l.number.of(d))
	}
	if first := b.steps == 0; first || !l.paced {
		b.steps = 1
		return
	}
	// What was planned counts, not when the answer before came: a server that stalls does not make the next step's wait vanish.
	b.intended += l.config.Think
	wait := b.intended - time.Since(l.begin)
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		l.late(l.number.of(d), time.Since(l.begin)-b.intended)
	case <-ctx.Done():
	}
}

// late notes what the generator itself added to a step.
func (l *Load) late(device int32, d time.Duration) {
	b := l.book(device)
	b.mu.Lock()
	put(&b.late, d)
	b.mu.Unlock()
}

// short notes how long an arrival waited for a device.
func (l *Load) short(device int32, d time.Duration) {
	b := l.book(device)
	b.mu.Lock()
	put(&b.short, d)
	b.mu.Unlock()
}

func (l *Load) book(device int32) *book { return l.books[int(device)%len(l.books)] }

// Exchanged implements [link.Watcher].
func (l *Load) Exchanged(d protocol.Device, x *link.Exchange) {
	i := l.number.of(d)
	bed := &l.beds[i]
	from := bed.intended
	if !l.paced {
		from = x.Begun.Sub(l.begin)
	}
	took := time.Since(l.begin) - from
	o := outcomeOf(x)
	if o != Good && x.Status == 0 && l.stopping.Load() {
		o = Stopped
	}
	if o != Stopped && x.Err != nil {
		l.tell(x.Step.String(), x.Err)
	}
	if l.config.Ledger != nil {
		l.config.Ledger.Exchanged(protocol.At(x.Begun), protocol.At(l.now()), d, x)
		if x.Step == dialect.TokenUpdate && o == Good {
			l.config.Ledger.Enrolled(protocol.At(l.now()), d)
		}
	}
	if o == Good && (x.Step != dialect.Identify || l.config.Link.Identity == nil) { // an identity that is minted says nothing
		l.joined.answered.Store(true)
	}
	b := l.book(i)
	b.mu.Lock()
	defer b.mu.Unlock()
	put(&b.steps[x.Step][o], took)
	if o == Good {
		b.at(from, l.width).put(took)
		put(&b.bare, time.Since(x.Begun))
	}
	if x.Connected && x.Resumed {
		b.resumed++
	} else if x.Connected {
		b.full++
	}
	if x.Curve != 0 {
		b.exchanged(x.Curve, 1)
	}
	b.sent += int64(x.Sent)
	b.received += int64(x.Received)
}

// tell keeps the first trouble that there was.
func (l *Load) tell(what string, err error) {
	if l.trouble.Load() == nil {
		text := fmt.Sprintf("%s: %v", what, err)
		if _, ok := errors.AsType[*dialect.Failure](err); ok { // which names its step
			text = err.Error()
		}
		text = clipped(text)
		l.trouble.CompareAndSwap(nil, &text)
	}
}

// clipped is a text that can hold what a server sent, short enough to be a sentence.
func clipped(text string) string {
	const most = 300
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// ever merges what was noted of the load and of the enrolment before it.
func (l *Load) ever() *book {
	l.early.Lock()
	defer l.early.Unlock()
	all := new(book)
	if l.early.book != nil {
		all.merge(l.early.book)
	}
	all.merge(l.total())
	return all
}

// turnOver begins the books anew.
func (l *Load) turnOver() {
	all := l.ever()
	l.early.Lock()
	defer l.early.Unlock()
	l.early.book = all
	for _, b := range l.books {
		b.clear()
	}
}

// total merges the books.
func (l *Load) total() *book {
	if all := l.all.Load(); all != nil {
		return all
	}
	all := new(book)
	for _, b := range l.books {
		all.merge(b)
	}
	return all
}

func (l *Load) nudge() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

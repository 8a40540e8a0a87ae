package load

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/agent/link"
	"rollcall/fleet/ledger"
	"rollcall/fleet/report"
	"rollcall/protocol/apple"
)

// A weather is what a network does to what goes through it. Nothing comes through where it is cut off; all the time it is slow, loses,
// and breaks connections off.
type weather struct {
	there, back bool // cut off: to the server, and from it
	from, until time.Time

	latency time.Duration // one way
	rate    int           // bytes a second, one way and for each connection; 0: any
	loss    float64       // of packets
	resets  int           // each so manyth answer; 0: none

	mu      sync.Mutex
	chance  *rand.Rand // with loss
	answers int
}

const (
	packet  = 1400                   // bytes
	resends = 200 * time.Millisecond // TCP's first wait for a packet that was lost; doubles
)

// delay is how long so many bytes are on their way.
func (w *weather) delay(bytes int) time.Duration {
	d := w.latency
	if w.rate > 0 {
		d += time.Duration(bytes) * time.Second / time.Duration(w.rate)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for at := 0; w.loss > 0 && at < bytes; at += packet {
		for again := resends; w.chance.Float64() < w.loss; again *= 2 {
			d += again
		}
	}
	return d
}

// hold waits until bytes have come through, at most until a deadline; zero: none.
func (w *weather) hold(cut bool, bytes int, deadline time.Time) error {
	now := time.Now()
	come := now.Add(w.delay(bytes))
	if cut && !now.Before(w.from) && now.Before(w.until) {
		come = w.until
	}
	if !deadline.IsZero() && deadline.Before(come) {
		time.Sleep(time.Until(deadline))
		return os.ErrDeadlineExceeded
	}
	time.Sleep(time.Until(come))
	return nil
}

// breaks tells whether this answer is lost with its connection.
func (w *weather) breaks() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers++
	return w.resets > 0 && w.answers%w.resets == 0
}

// A far connection is one through the weather. Like TCP it loses nothing that it does not tell of, and is late.
type far struct {
	net.Conn
	w        *weather
	mu       sync.Mutex
	deadline time.Time
}

func (f *far) SetDeadline(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deadline = t
	return f.Conn.SetDeadline(t)
}

func (f *far) due() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.deadline
}

func (f *far) Write(p []byte) (int, error) {
	if err := f.w.hold(f.w.there, len(p), f.due()); err != nil {
		return 0, err
	}
	return f.Conn.Write(p)
}

func (f *far) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if err != nil {
		return n, err
	}
	if f.w.breaks() {
		f.Close()
		return 0, syscall.ECONNRESET
	}
	if err := f.w.hold(f.w.back, n, f.due()); err != nil {
		return 0, err
	}
	return n, nil
}

// An orderly is a server with one command for each device, if it was ordered.
type orderly struct {
	forgets bool // what it has handed out once: a fault

	mu      sync.Mutex
	queue   map[string]string // by UDID
	reports map[string]int    // by UDID, of the command in the queue
	n       int
}

func (o *orderly) serve(w http.ResponseWriter, r *http.Request) {
	var m apple.Message
	body, err := io.ReadAll(r.Body)
	if err != nil || apple.DecodeMessage(body, &m) != nil || m.MessageType != apple.NoMessageType {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if id := o.queue[m.UDID]; id != "" && m.CommandUUID == id {
		o.reports[m.UDID]++
		delete(o.queue, m.UDID)
	}
	if id := o.queue[m.UDID]; id != "" {
		w.Write(apple.EncodeCommand(nil, id, apple.SecurityInfo{}))
		if o.forgets {
			delete(o.queue, m.UDID)
		}
	}
}

func (o *orderly) order(_ context.Context, udid string) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n++
	o.queue[udid] = fmt.Sprintf("00000000-0000-4000-8000-%012d", o.n)
	return o.queue[udid], nil
}

// bear has six devices come through a weather that is bad from 1.25 s to 5 s, with an order for each at 1.05 s, and returns what the load
// and the ledger say and how many requests had no answer.
func bear(t *testing.T, w *weather, o *orderly, pace Pace, timeout time.Duration) (got *report.Result, found *ledger.Result, silent int64) {
	r := newRig(t, o.serve)
	defer r.close()
	o.queue, o.reports = map[string]string{}, map[string]int{}
	r.weather = w
	w.from, w.until = time.Now().Add(time.Hour), time.Now().Add(time.Hour) // devices enrol before
	w.chance = rand.New(rand.NewPCG(1, 1))
	resets := w.resets
	w.resets = 0
	book := ledger.New(ledger.Config{Devices: 6})
	var l *Load
	l = r.load(6, Config{
		Link: link.Config{KeepOpen: true, Timeout: timeout}, Pace: pace, Retry: true, Drain: 5 * time.Minute, Ledger: book,
		Acts: []Act{{At: 1050 * time.Millisecond, Name: "an order", Do: func(ctx context.Context) (string, error) {
			return l.Order(ctx, "SecurityInfo", o.order)
		}}},
	})
	defer l.Close()
	e, err := l.Enrol(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.from, w.until = time.Now().Add(1250*time.Millisecond), time.Now().Add(5*time.Second)
	w.resets = resets
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _, err = l.Tell(Setting{Limits: limits(t, "checkins.failed <= 100", "checkins.refused == 0")}, e, Generator{}); err != nil {
		t.Fatal(err)
	}
	for _, s := range got.Sections["load"].(*Section).Steps {
		if s.Outcome == Silent.String() || s.Outcome == Cut.String() {
			silent += s.Count
		}
	}
	f := book.Result()
	return got, &f, silent
}

// Devices and server are cut off from one another for some seconds, in both directions or in one; or the network between them loses, is
// late, is narrow, breaks connections off. The load says what it did not hear and how long it took, and by itself everything heals:
// each device has carried out its command once, and no report is missing.
func TestHST113Partition(t *testing.T) {
	seldom := Constant(1, 20*time.Second)
	for _, tt := range []struct {
		name    string
		weather *weather
		pace    Pace
		timeout time.Duration
		silent  bool          // some requests have no answer
		median  time.Duration // of check-ins at least
		p99     time.Duration // at least
	}{
		{"cut off", &weather{there: true, back: true}, Constant(10, 8*time.Second), 2 * time.Second, true, 0, 1900 * time.Millisecond},
		{"cut off to the server", &weather{there: true}, Constant(10, 8*time.Second), 2 * time.Second, true, 0, 1900 * time.Millisecond},
		{"cut off from the server", &weather{back: true}, Constant(10, 8*time.Second), 2 * time.Second, true, 0, 1900 * time.Millisecond},
		{"30 % loss", &weather{latency: 20 * time.Millisecond, loss: 0.3}, seldom, 30 * time.Second, false, 40 * time.Millisecond, 200 * time.Millisecond},
		{"2 s latency", &weather{latency: 2 * time.Second}, seldom, 30 * time.Second, false, 4 * time.Second, 4 * time.Second},
		{"8 kbit/s", &weather{rate: 1000}, seldom, 30 * time.Second, false, 500 * time.Millisecond, 500 * time.Millisecond},
		{"each fourth answer breaks off", &weather{resets: 4}, seldom, 30 * time.Second, true, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o orderly
				got, found, silent := bear(t, tt.weather, &o, tt.pace, tt.timeout)
				if tt.silent != (silent > 0) {
					t.Errorf("%d requests without an answer, want some %v", silent, tt.silent)
				}
				if got.CheckIns.P50 < float64(tt.median.Milliseconds()) || got.CheckIns.P99 < float64(tt.p99.Milliseconds()) {
					t.Errorf("p50 %v ms, p99 %v ms: it does not say how long it took", got.CheckIns.P50, got.CheckIns.P99)
				}
				if found.Confirmed != 6 || found.Faults() != 0 || got.Verdict != report.OK {
					t.Errorf("%s %q, %+v %v", got.Verdict, got.Reasons, found.Counts, found.Findings)
				}
				if len(o.queue) != 0 || len(o.reports) != 6 {
					t.Errorf("%v are queued, %v were reported", o.queue, o.reports)
				}
			})
		})
	}
}

// names tells whether all that a ledger found is one fault, of a command and a device each.
func names(found *ledger.Result, fault ledger.Fault) bool {
	commands, devices := map[string]bool{}, map[string]bool{}
	for _, f := range found.Findings {
		if f.Fault != fault {
			return false
		}
		commands[f.Command], devices[f.Device] = true, true
	}
	n := int(found.Faults())
	return len(commands) == n && len(devices) == n && !commands[""] && !devices[""]
}

// TestHST113Planted: a server that takes what it has sent for what has arrived does not heal, and the ledger names each command; of what
// nobody can hear any more it names what they are owed.
func TestHST113Planted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := orderly{forgets: true}
		got, found, _ := bear(t, &weather{back: true}, &o, Constant(10, 8*time.Second), 2*time.Second)
		if found.Confirmed == 6 || found.Lost+found.Confirmed != 6 || !names(found, ledger.Lost) || got.Verdict == report.OK {
			t.Errorf("%s %q, %+v %v: the ledger has not seen what was lost", got.Verdict, got.Reasons, found.Counts, found.Findings)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		got, found, _ := bear(t, &weather{resets: 1}, new(orderly), Constant(10, 8*time.Second), 2*time.Second)
		const reason = "what became of 6 orders is not known: 6 devices could not ask for work once more at the end"
		if found.Stuck != 6 || found.Open != 0 || !names(found, ledger.Stuck) || got.Sections["load"].(*Section).Unheard != 6 || got.Verdict != report.Failed || !slices.Contains(got.Reasons, reason) {
			t.Errorf("%s %q, %+v", got.Verdict, got.Reasons, found.Counts)
		}
	})
}

package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/agent/link"
	"rollcall/fleet/ledger"
	"rollcall/fleet/report"
	"rollcall/protocol/apple"
)

// A weather is when nothing comes through.
type weather struct {
	there, back bool // to the server, and from it
	from, until time.Time
}

// hold waits until something comes through again, at most until a deadline; zero: none.
func (w *weather) hold(bad bool, deadline time.Time) error {
	if now := time.Now(); !bad || now.Before(w.from) || !now.Before(w.until) {
		return nil
	}
	if !deadline.IsZero() && deadline.Before(w.until) {
		time.Sleep(time.Until(deadline))
		return os.ErrDeadlineExceeded
	}
	time.Sleep(time.Until(w.until))
	return nil
}

// A far connection is one through the weather. Like TCP it loses nothing, and is late.
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
	if err := f.w.hold(f.w.there, f.due()); err != nil {
		return 0, err
	}
	return f.Conn.Write(p)
}

func (f *far) Read(p []byte) (int, error) {
	if err := f.w.hold(f.w.back, f.due()); err != nil {
		return 0, err
	}
	return f.Conn.Read(p)
}

// Devices and server are cut off from one another for some seconds, in both directions or in one. The load says what it did not hear,
// and by itself everything heals: each device has carried out its command once, and no report is missing.
func TestHST113Partition(t *testing.T) {
	for _, w := range []weather{{there: true, back: true}, {there: true}, {back: true}} {
		t.Run(fmt.Sprintf("there %v, back %v", w.there, w.back), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				queue, reports := map[string]string{}, map[string]int{}
				r := newRig(t, func(rw http.ResponseWriter, r *http.Request) {
					var m apple.Message
					body, err := io.ReadAll(r.Body)
					if err != nil || apple.DecodeMessage(body, &m) != nil || m.MessageType != apple.NoMessageType {
						return
					}
					mu.Lock()
					defer mu.Unlock()
					if id := queue[m.UDID]; id != "" && m.CommandUUID == id {
						reports[m.UDID]++
						delete(queue, m.UDID)
					}
					if id := queue[m.UDID]; id != "" {
						rw.Write(apple.EncodeCommand(nil, id, apple.SecurityInfo{}))
					}
				})
				defer r.close()
				r.weather = &w
				book := ledger.New(ledger.Config{Devices: 6})
				var l *Load
				n := 0
				l = r.load(6, Config{
					Link: link.Config{KeepOpen: true, Timeout: 2 * time.Second}, Pace: Constant(10, 8*time.Second), Retry: true, Drain: time.Minute, Ledger: book,
					Acts: []Act{{At: 1050 * time.Millisecond, Name: "an order", Do: func(ctx context.Context) (string, error) {
						return l.Order(ctx, "SecurityInfo", func(_ context.Context, udid string) (string, error) {
							mu.Lock()
							defer mu.Unlock()
							n++
							queue[udid] = fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
							return queue[udid], nil
						})
					}}},
				})
				defer l.Close()
				e, err := l.Enrol(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				w.from, w.until = time.Now().Add(1250*time.Millisecond), time.Now().Add(5*time.Second)
				if err := l.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				got, _, err := l.Tell(Setting{}, e, Generator{})
				if err != nil {
					t.Fatal(err)
				}
				silent := int64(0)
				for _, s := range got.Sections["load"].(*Section).Steps {
					if s.Outcome == Silent.String() {
						silent += s.Count
					}
				}
				if silent == 0 || got.CheckIns.P99 < 1900 {
					t.Errorf("%d requests without an answer, p99 %v ms: it does not say what it did not hear", silent, got.CheckIns.P99)
				}
				if found := book.Result(); found.Confirmed != 6 || found.Faults() != 0 || got.Verdict != report.OK {
					t.Errorf("%s %q, %+v %v", got.Verdict, got.Reasons, found.Counts, found.Findings)
				}
				if len(queue) != 0 || len(reports) != 6 {
					t.Errorf("%v are queued, %v were reported", queue, reports)
				}
			})
		})
	}
}

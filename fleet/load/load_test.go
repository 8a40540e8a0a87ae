package load

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/fleet"
	"rollcall/fleet/report"
	"rollcall/protocol/apple"
)

// A server that stalls for two seconds shows it in the percentiles of an open loop; a closed loop, which stops asking
// while nobody answers, hides it (HST-126). There are fewer devices than arrivals in that time: a fifth of all arrivals are late,
// though most of their requests are sent when it is over, so that a latency from the moment of sending would show a twentieth.
func TestHST126StallShows(t *testing.T) {
	for _, tt := range []struct {
		name     string
		config   Config
		p90, p99 [2]time.Duration // between
	}{
		{"open loop", Config{Pace: Constant(20, 10*time.Second)}, [...]time.Duration{900 * time.Millisecond, 1100 * time.Millisecond}, [...]time.Duration{1900 * time.Millisecond, 2100 * time.Millisecond}},
		{"by chance", Config{Pace: Constant(20, 10*time.Second).Poisson(1)}, [...]time.Duration{700 * time.Millisecond, 1300 * time.Millisecond}, [...]time.Duration{1700 * time.Millisecond, 2100 * time.Millisecond}},
		{"closed loop", Config{Closed: 2, For: 10 * time.Second}, [...]time.Duration{5 * time.Millisecond, 10 * time.Millisecond}, [...]time.Duration{5 * time.Millisecond, 10 * time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var begin time.Time
				r := newRig(t, func(http.ResponseWriter, *http.Request) {
					time.Sleep(5 * time.Millisecond)
					if stall := 5*time.Second - time.Since(begin); !begin.IsZero() && stall > 0 && stall < 2*time.Second {
						time.Sleep(stall)
					}
				})
				defer r.close()
				tt.config.Link = kept
				l := r.load(10, tt.config)
				defer l.Close()
				if _, err := l.Enrol(t.Context()); err != nil {
					t.Fatal(err)
				}
				begin = time.Now()
				if err := l.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				all := l.total()
				for q, want := range map[float64][2]time.Duration{90: tt.p90, 99: tt.p99} {
					if got := time.Duration(all.answers(true).ValueAtQuantile(q)) * time.Microsecond; got < want[0] || got > want[1] {
						t.Errorf("p%v is %v, want between %v and %v", q, got, want[0], want[1])
					}
				}
				if s := all.sessions; s.started != l.offered.Load() || s.done != s.started {
					t.Errorf("%d offered, %+v", l.offered.Load(), s)
				}
			})
		})
	}
}

// With fewer devices than arrivals during a stall, those that had to wait for a device are offered all the same, and count
// from the moment at which they were meant to begin.
func TestArrivalsWaitForDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begin time.Time
		r := newRig(t, func(http.ResponseWriter, *http.Request) {
			if stall := time.Second - time.Since(begin); !begin.IsZero() && stall > 0 {
				time.Sleep(stall)
			}
		})
		defer r.close()
		l := r.load(2, Config{Link: kept, Pace: Constant(10, time.Second)})
		defer l.Close()
		if _, err := l.Enrol(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin = time.Now()
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := l.total()
		if s := all.sessions; l.offered.Load() != 10 || s.started != 10 || s.done != 10 {
			t.Errorf("%d offered, %+v, want 10 each", l.offered.Load(), s)
		}
		h := all.steps[dialect.Idle][Good]
		if got, want := time.Duration(h.Mean())*time.Microsecond, 550*time.Millisecond; (got - want).Abs() > 5*time.Millisecond { // 1 s, 0.9 s, ...
			t.Errorf("mean %v, want %v", got, want)
		}
		if late := all.late.Max(); late > 1000 { // it was the server that held them up
			t.Errorf("start delay of %d µs put on the generator", late)
		}
	})
}

// A step of a conversation counts from the moment that was planned for it, however late the answer before it came: what a
// stall in the first step does to the second is part of the second's latency too.
func TestDependentSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var loaded time.Time
		asked := map[string]int{}
		r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
			var m apple.Message
			body, err := io.ReadAll(r.Body)
			if err == nil {
				err = apple.DecodeMessage(body, &m)
			}
			if err != nil {
				t.Error(err)
			}
			if loaded.IsZero() || m.MessageType != apple.NoMessageType {
				return
			}
			asked[m.UDID]++
			switch asked[m.UDID] {
			case 1:
				time.Sleep(time.Second)
				w.Write(apple.EncodeCommand(nil, "one", apple.SecurityInfo{}))
			case 2:
				time.Sleep(30 * time.Millisecond)
				w.Write(apple.EncodeCommand(nil, "two", apple.SecurityInfo{}))
			}
		})
		defer r.close()
		l := r.load(1, Config{Link: kept, Pace: Constant(1, time.Second), Think: 400 * time.Millisecond})
		defer l.Close()
		if _, err := l.Enrol(t.Context()); err != nil {
			t.Fatal(err)
		}
		loaded = time.Now()
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := l.total()
		// Planned: Idle at 0, the first report at 0.4 s, the second at 0.8 s. Happened: answers at 1 s, 1.03 s and 1.03 s.
		idle, reports := all.steps[dialect.Idle][Good], all.steps[dialect.Report][Good]
		near := func(us int64, want time.Duration) bool {
			return (time.Duration(us)*time.Microsecond - want).Abs() < 2*time.Millisecond
		}
		if !near(idle.Max(), time.Second) || reports.TotalCount() != 2 || !near(reports.Max(), 630*time.Millisecond) || !near(reports.Min(), 230*time.Millisecond) {
			t.Errorf("Idle %d µs; reports %d, %d to %d µs", idle.Max(), reports.TotalCount(), reports.Min(), reports.Max())
		}
		if all.commands != 2 || all.sessions.done != 1 {
			t.Errorf("%d commands, %+v", all.commands, all.sessions)
		}
	})
}

// What a server does to a request is told apart (HST-126), and one that is turned away comes again by itself where that is
// wanted.
func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   http.HandlerFunc
		want Outcome
	}{
		{"503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, Shed},
		{"429", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, Shed},
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, Broken},
		{"400", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }, Refused},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://other.example/", http.StatusFound)
		}, Elsewhere},
		{"in circles", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/mdm", http.StatusFound) }, Elsewhere},
		{"redirect to nowhere", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }, Elsewhere},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "<!doctype html><html><body>Sign in</body></html>")
		}, Foreign},
		{"text", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }, Foreign},
		{"a property list that is no command", func(w http.ResponseWriter, _ *http.Request) { w.Write(somePlist) }, Nonsense},
		{"no HTTP", raw("\x00\x01garbage\r\n\r\n"), Nonsense},
		{"nothing", raw(""), Cut},
		{"half a header", raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"), Cut},
		{"half a body", raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Cut},
		{"never", func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // only then does the server see that the device has gone
			<-r.Context().Done()
		}, Silent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				on := false
				r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
					if on {
						tt.do(w, r)
					}
				})
				defer r.close()
				l := r.load(1, Config{Link: link.Config{Timeout: 5 * time.Second}, Pace: Constant(1, time.Second), Drain: time.Minute})
				defer l.Close()
				if _, err := l.Enrol(t.Context()); err != nil {
					t.Fatal(err)
				}
				on = true
				if err := l.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				got := stepsOf(l.total())
				if len(got) != 1 || got[0].Outcome != tt.want.String() {
					t.Errorf("%+v (%v), want one that is %s", got, l.trouble.Load(), tt.want)
				}
				refused := uint64(0) // by an answer; a 2xx that no MDM server gives refuses nothing
				if w := tt.want; w == Shed || w == Broken || w == Refused || tt.name == "redirect to nowhere" {
					refused = 1
				}
				if got, want := l.total().sessions, (sessions{started: 1, refused: refused, failed: 1 - refused}); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
				if text := l.trouble.Load(); text != nil && (strings.Contains(*text, "Idle: Idle") || tt.name == "HTML" && !strings.Contains(*text, "answered something that is no property list but a web page")) {
					t.Errorf("it says %q", *text)
				}
			})
		})
	}
}

// raw answers with bytes and hangs up.
func raw(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(c, s)
		c.Close()
	}
}

// A post is a push service without a network: what is pushed to a token reaches the device that connected with it, the last of it also
// one that connects later.
type post struct {
	mu      sync.Mutex
	devices map[string]func([]byte)
	kept    map[string][]byte
}

func (p *post) RegisterToken(string, []byte) {}
func (p *post) Unregister([]byte)            {}
func (p *post) Disconnect(token []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.devices, string(token))
}

func (p *post) Connect(token []byte, deliver func([]byte)) {
	p.mu.Lock()
	p.devices[string(token)] = deliver
	kept := p.kept[string(token)]
	delete(p.kept, string(token))
	p.mu.Unlock()
	if kept != nil {
		deliver(kept)
	}
}

func (p *post) push(d fleet.Device) {
	_, token, magic := d.(*dialect.Apple).Push()
	payload := apple.EncodePush(nil, magic)
	p.mu.Lock()
	deliver := p.devices[string(token)]
	if deliver == nil {
		p.kept[string(token)] = payload
	}
	p.mu.Unlock()
	if deliver != nil {
		deliver(payload)
	}
}

// What a server pushed while devices enrolled is answered before the load, and is no arrival of it; one push more, in answer to that,
// neither.
func TestPushedBeforeTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &post{devices: map[string]func([]byte){}, kept: map[string][]byte{}}
		var l *Load
		var asked atomic.Int32 // since they are enrolled
		asked.Store(1)
		r := newRig(t, func(http.ResponseWriter, *http.Request) {
			if asked.Add(1) == 1 {
				service.push(l.config.Devices[0])
			}
			time.Sleep(10 * time.Millisecond)
		})
		defer r.close()
		l = r.load(5, Config{
			Link: kept, Pace: Constant(10, time.Second), Push: service,
			Wake: func(_ context.Context, udid string) error {
				i := slices.IndexFunc(l.config.Devices, func(d fleet.Device) bool { return Name(d) == udid })
				service.push(l.config.Devices[i])
				return nil
			},
		})
		defer l.Close()
		e, err := l.Enrol(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range l.config.Devices[:3] {
			service.push(d)
			service.push(d)
		}
		asked.Store(0)
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, _, err := l.Tell(plain, e, Generator{})
		if err != nil {
			t.Fatal(err)
		}
		if c := got.CheckIns; c.Offered != 10 || c.Started != 10 || c.Done != 10 {
			t.Errorf("%+v, want the 10 of the plan", c)
		}
		if n := got.Sections["load"].(*Section).Woken.Count; n != 10 || asked.Load() != 13 {
			t.Errorf("%d pushes of the load and %d requests, want 10 and 13", n, asked.Load())
		}
	})
}

// Devices that are pushed come when the push does; how long the server took to push is told apart, and a push that nobody
// asked for is an arrival of its own.
func TestPushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Millisecond) })
		defer r.close()
		service := &post{devices: map[string]func([]byte){}, kept: map[string][]byte{}}
		var l *Load
		var asked atomic.Int32
		l = r.load(5, Config{
			Link: kept, Pace: Constant(10, time.Second), Drain: 2 * time.Second, Push: service,
			Wake: func(_ context.Context, udid string) error {
				switch asked.Add(1) {
				case 3:
					return errors.New("no")
				case 7:
					return nil // and forgets it
				case 8:
					service.push(l.config.Devices[4])
				}
				time.Sleep(30 * time.Millisecond)
				i := slices.IndexFunc(l.config.Devices, func(d fleet.Device) bool { return Name(d) == udid })
				service.push(l.config.Devices[i])
				return nil
			},
		})
		defer l.Close()
		if _, err := l.Enrol(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := l.total()
		if asked.Load() != 10 || all.woken.TotalCount() != 8 || time.Duration(all.woken.Max())*time.Microsecond > 31*time.Millisecond {
			t.Errorf("%d orders, %d pushes, the longest took %d µs", asked.Load(), all.woken.TotalCount(), all.woken.Max())
		}
		if s := all.sessions; l.offered.Load() != 11 || s.done != 9 || s.failed != 1 || l.count[ordered] != 1 {
			t.Errorf("%d offered, %+v, %d not woken; want 11, 9 done, 1 failed and 1 not woken", l.offered.Load(), s, l.count[ordered])
		}
		if h := all.steps[dialect.Idle][Good]; h.Max() > 12_000 {
			t.Errorf("a check-in took %d µs: it counts from the push", h.Max())
		}
	})
}

// Devices that were turned away come again when they were told to, until all have been served.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begin time.Time
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			if !begin.IsZero() && time.Since(begin) < 10*time.Second {
				w.Header().Set("Retry-After", "15")
				w.WriteHeader(503)
			}
		})
		defer r.close()
		l := r.load(20, Config{Link: kept, Pace: Constant(20, time.Second), Retry: true, Drain: time.Minute})
		defer l.Close()
		if _, err := l.Enrol(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin = time.Now()
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := l.total().sessions; s.refused != 20 || s.retries != 20 || s.done != 20 || l.offered.Load() != 20 {
			t.Errorf("%+v, want 20 refused, who came again and were served", s)
		}
		if l.ended < 15*time.Second || l.ended > 20*time.Second {
			t.Errorf("over after %v", l.ended)
		}
	})
}

// An interrupted load ends at once and keeps what it noted (HST-126).
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			time.Sleep(700 * time.Millisecond)
		})
		defer r.close()
		l := r.load(20, Config{Link: kept, Pace: Constant(10, time.Hour)})
		defer l.Close()
		e, err := l.Enrol(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context()) // as Ctrl-C does; a deadline's end is another error
		defer stop()
		time.AfterFunc(5*time.Second, stop)
		if err := l.Run(ctx); err == nil {
			t.Error("it was not told that it was interrupted")
		}
		all := l.total()
		if l.ended > 6*time.Second || all.sessions.done < 40 || all.steps[dialect.Idle][Stopped] == nil {
			t.Errorf("over after %v, %+v", l.ended, all.sessions)
		}
		setting := plain
		setting.Interrupted, setting.Baseline = true, new(Section)
		got, story, err := l.Tell(setting, e, Generator{})
		if err != nil {
			t.Fatal(err)
		}
		conforms(t, got)
		if lead := strings.Join(story.Lead, " "); !strings.Contains(lead, "; the verdict of this run is partial.") {
			t.Errorf("the story begins with %q", lead)
		}
	})
}

// somePlist is a property list that says nothing to a device.
var somePlist = []byte(`<plist version="1.0"><dict/></plist>`)

// A server that answers a check-in with what is no property list enrols nobody, whatever its status says (apple.md section 5): before the
// load that ends the run, and within one its arrivals fail, and the verdict says why even where others were done (HST-126).
func TestHST126Foreign(t *testing.T) {
	for _, tt := range []struct {
		name string
		step apple.MessageType
		body string
		want string // empty: it is taken
	}{
		{"HTML to Authenticate", apple.Authenticate, "<!doctype html><title>Sign in</title>", "Authenticate: status 200: answered something that is no property list but a web page"},
		{"HTML to TokenUpdate", apple.TokenUpdate, "<!doctype html><title>Sign in</title>", "TokenUpdate: status 200: answered something that is no property list but a web page"},
		{"bytes that are called HTML", apple.Authenticate, "\x00\x01\xff", "Authenticate: status 200: answered something that is no property list: "},
		{"garbage to Authenticate", apple.Authenticate, "\x00\x01\xff", "Authenticate: status 200: answered something that is no property list"},
		{"garbage to TokenUpdate", apple.TokenUpdate, "OK", "TokenUpdate: status 200: answered something that is no property list"},
		{"half a property list", apple.Authenticate, string(somePlist[:len(somePlist)-3]), "Authenticate: status 200: answered something that is no property list"},
		{"property list to Authenticate", apple.Authenticate, string(somePlist), ""},
		{"property list to TokenUpdate", apple.TokenUpdate, string(somePlist), ""},
		{"binary property list", apple.Authenticate, "bplist00\xd0", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var only atomic.Pointer[string] // the device that is answered so; nil: every one
				r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
					var m apple.Message
					body, err := io.ReadAll(q.Body)
					if err == nil && apple.DecodeMessage(body, &m) == nil && m.MessageType == tt.step && (only.Load() == nil || m.UDID == *only.Load()) {
						if tt.name == "bytes that are called HTML" {
							w.Header().Set("Content-Type", "text/html")
						}
						io.WriteString(w, tt.body)
					}
				})
				defer r.close()
				before := r.load(2, Config{Link: kept, Pace: Constant(1, time.Second)})
				defer before.Close()
				_, err := before.Enrol(t.Context())
				if tt.want == "" {
					if err != nil || len(before.Enrolled()) != 2 {
						t.Errorf("%d enrolled, %v", len(before.Enrolled()), err)
					}
					return
				}
				if !errors.Is(err, dialect.ErrNoPropertyList) || !strings.Contains(err.Error(), tt.want) || len(before.Enrolled()) != 0 {
					t.Errorf("%d enrolled, %v; want %q", len(before.Enrolled()), err, tt.want)
				}
				only.Store(new(newPhone(0).UDID()))
				l, all := r.run(4, Config{Link: kept, Enrolments: true, Pace: Constant(4, time.Second)})
				got, _, err := l.Tell(Setting{}, Enrolled{}, Generator{})
				if err != nil {
					t.Fatal(err)
				}
				if len(l.Enrolled()) != 3 || all.sessions.done != 3 || all.sessions.failed == 0 || all.sessions.refused != 0 {
					t.Errorf("%d enrolled, %+v", len(l.Enrolled()), all.sessions)
				}
				if why := strings.Join(got.Reasons, "; "); got.Verdict != report.Failed || !strings.Contains(why, "with something that is no property list") {
					t.Errorf("%s %q", got.Verdict, why)
				}
				if x := got.Sections["load"].(*Section); !strings.HasPrefix(x.Trouble, tt.want) {
					t.Errorf("it says %q, want %q", x.Trouble, tt.want)
				}
			})
		})
	}
}

// Where each arrival is an enrolment, all of it is part of the load.
func TestEnrolments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Millisecond) })
		defer r.close()
		l, all := r.run(20, Config{Enrolments: true, Pace: Constant(10, time.Second)})
		if all.sessions.done != 10 || l.enrolled.Load() != 10 || all.steps[dialect.Authenticate][Good].TotalCount() != 10 || all.steps[dialect.Idle][Good] != nil {
			t.Errorf("%+v, %d enrolled", all.sessions, l.enrolled.Load())
		}
	})
}

func TestNewRefuses(t *testing.T) {
	one := []fleet.Device{newPhone(1)}
	for _, tt := range []struct {
		config Config
		want   string
	}{
		{Config{Pace: Constant(1, time.Second)}, "no devices"},
		{Config{Devices: one}, "without an end"},
		{Config{Devices: one, Closed: 2}, "without an end"},
		{Config{Devices: one, Pace: Constant(0, time.Second)}, "rate of 0"},
		{Config{Devices: one, Pace: Constant(1, time.Second), Push: &post{}}, "push service"},
		{Config{Devices: one, Push: &post{}}, "without an end"},
		{Config{Devices: []fleet.Device{newPhone(1), newPhone(1)}, Pace: Constant(1, time.Second)}, "two devices have the number 2"},
	} {
		if _, err := New(tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

// Devices that a server turns away while they enrol, before the load, come again when it said; any other no ends the run.
func TestEnrolIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		status := 429
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			if time.Since(begin) < 50*time.Second {
				w.Header().Set("Retry-After", "20")
				w.WriteHeader(status)
			}
		})
		defer r.close()
		l := r.load(3, Config{Link: kept, Pace: Constant(1, time.Second)})
		defer l.Close()
		e, err := l.Enrol(t.Context())
		if err != nil || len(l.Enrolled()) != 3 || e.Seconds < 50 || e.Seconds > 70 {
			t.Errorf("%v, %d enrolled in %v s", err, len(l.Enrolled()), e.Seconds)
		}
		begin, status = time.Now(), 403
		other := r.load(1, Config{Link: kept, Pace: Constant(1, time.Second)})
		defer other.Close()
		if _, err := other.Enrol(t.Context()); err == nil || !strings.Contains(err.Error(), "403") || time.Since(begin) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// What our own system could not give is told apart from what the server did not (HST-126).
func TestHST126Exhausted(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Outcome
	}{
		{syscall.EMFILE, Exhausted},
		{syscall.ENFILE, Exhausted},
		{syscall.EADDRNOTAVAIL, Exhausted},
		{syscall.ECONNREFUSED, Unreachable},
		{syscall.ECONNRESET, Cut},
		{context.Canceled, Stopped},
		{context.DeadlineExceeded, Silent},
	} {
		err := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", tt.err)}
		if got := outcomeOf(&link.Exchange{Err: fmt.Errorf("dial: %w", err)}); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(http.ResponseWriter, *http.Request) {})
		defer r.close()
		l := r.load(2, Config{Pace: Constant(10, time.Second)})
		defer l.Close()
		e, err := l.Enrol(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.wire.Close()
		r.wire.refusal.Store(new(error(&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)})))
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, _, err := l.Tell(Setting{}, e, Generator{})
		if err != nil || got.Verdict != report.Invalid || !strings.Contains(got.Reasons[0], "no more sockets, ports or files for 10 requests") {
			t.Errorf("%s %q (%v)", got.Verdict, got.Reasons, err)
		}
	})
}

// A connection that breaks under a device's last message of its enrolment does not end the wave (HST-113).
func TestHST113Enrolment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		broken := map[string]bool{} // by UDID
		r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
			var m apple.Message
			body, err := io.ReadAll(q.Body)
			if err != nil || apple.DecodeMessage(body, &m) != nil || m.MessageType != apple.TokenUpdate {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if !broken[m.UDID] {
				broken[m.UDID] = true
				panic(http.ErrAbortHandler)
			}
		})
		defer r.close()
		l := r.load(4, Config{Link: kept, Pace: Constant(1, time.Second)})
		defer l.Close()
		if _, err := l.Enrol(t.Context()); err != nil || len(l.Enrolled()) != 4 || len(broken) != 4 {
			t.Errorf("%d enrolled, %d were broken off: %v", len(l.Enrolled()), len(broken), err)
		}
	})
}

// A device whose enrolment has no answer, at any of its messages, comes again and is counted; one that is never answered gives up, and
// the others are loaded without it.
func TestHST113UnansweredEnrolment(t *testing.T) {
	silent := func(q *http.Request) { <-q.Context().Done() }
	cut := func(*http.Request) { panic(http.ErrAbortHandler) }
	lost := newPhone(5).UDID() // is never answered
	for name, tt := range map[string]struct {
		no   func(*http.Request)
		at   apple.MessageType // where; none: SCEP, where nobody sees which device it is
		want Enrolled
	}{
		"SCEP silent":          {silent, 0, Enrolled{Devices: 6, Again: 5}},
		"SCEP cut off":         {cut, 0, Enrolled{Devices: 6, Again: 5}},
		"Authenticate silent":  {silent, apple.Authenticate, Enrolled{Devices: 6, Again: 4 + mostVain, GaveUp: 1}},
		"Authenticate cut off": {cut, apple.Authenticate, Enrolled{Devices: 6, Again: 4 + mostVain, GaveUp: 1}},
		"TokenUpdate silent":   {silent, apple.TokenUpdate, Enrolled{Devices: 6, Again: 4 + mostVain, GaveUp: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				asked := map[string]int{} // how often, by UDID
				authority := new(scep.Server)
				r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
					var m apple.Message
					body, err := io.ReadAll(q.Body)
					isSCEP := q.URL.Path == "/mdm/scep"
					switch {
					case isSCEP && q.Method == http.MethodPost: // a request for a certificate
						m.UDID = "anybody"
					case isSCEP:
						authority.ServeHTTP(w, q)
						return
					case err != nil || apple.DecodeMessage(body, &m) != nil:
						t.Errorf("%s: %v", body, err)
					case m.MessageType != tt.at || tt.at == 0:
						return
					}
					mu.Lock()
					asked[m.UDID]++
					n := asked[m.UDID]
					mu.Unlock()
					switch {
					case isSCEP && (tt.at != 0 || n%2 == 1 || n > 10):
						q.Body = io.NopCloser(bytes.NewReader(body))
						authority.ServeHTTP(w, q)
					case isSCEP, m.UDID == lost, n == 1 && m.UDID != newPhone(0).UDID():
						tt.no(q)
					}
				})
				defer r.close()
				authority.CA = scepAuthority()
				authority.Issue = func(_ context.Context, q *scep.Request) (*x509.Certificate, error) {
					return authority.CA.Issue(certs.IssueRequest{Public: q.CSR.PublicKey, Handle: "device", Now: time.Now()})
				}
				c := Config{Parallel: 2, Pace: Constant(10, time.Second)}
				if tt.at == 0 {
					c.Link.TransportKeys = []*rsa.PrivateKey{transportKey()}
				}
				l := r.load(6, c)
				defer l.Close()
				var invited atomic.Int64 // an invitation may be used up by a try that came to nothing
				invite := l.config.Start
				l.config.Start = func(ctx context.Context, devices []fleet.Device) ([]Start, error) {
					invited.Add(int64(len(devices)))
					return invite(ctx, devices)
				}
				e, err := l.Enrol(t.Context())
				if anew := invited.Load() - 6; anew != int64(e.Again) && (tt.at != apple.TokenUpdate || anew != 0) {
					t.Errorf("%d were invited once more, %d tries", anew, e.Again)
				}
				if e.Seconds, e.Steps = 0, nil; err != nil || !reflect.DeepEqual(e, tt.want) || len(l.Enrolled()) != tt.want.Devices-tt.want.GaveUp {
					t.Fatalf("%+v and %d enrolled: %v, want %+v", e, len(l.Enrolled()), err, tt.want)
				}
				if err := l.Run(t.Context()); err != nil || l.total().sessions.done != 10 {
					t.Errorf("%d conversations: %v", l.total().sessions.done, err)
				}
				got, story, err := l.Tell(Setting{}, e, Generator{})
				if gave := tt.want.GaveUp > 0; err != nil || (got.Verdict == report.Failed) != gave || strings.Contains(fmt.Sprint(got.Reasons), "of 6 devices that were to enrol, 1 gave up") != gave {
					t.Errorf("%s %q: %v", got.Verdict, got.Reasons, err)
				}
				if text := fmt.Sprintf("%d times one came again because it had no answer", e.Again); !strings.Contains(fmt.Sprint(story.Tables), text) {
					t.Errorf("the story lacks: %s", text)
				}
			})
		})
	}
}

// Nobody waits long for a server that is not there, answers nobody, or is gone in the middle.
func TestHST113NoServer(t *testing.T) {
	refused := error(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})
	for name, tt := range map[string]struct {
		answered int // devices, the first ones
		refused  bool
		most     time.Duration
		want     string
	}{
		"nobody listens":     {refused: true, want: "connection refused"},
		"nobody is answered": {most: 31 * time.Second, want: "no answer in time"},
		"gone after two":     {answered: 2, most: 3 * time.Minute, want: "2 devices in turn gave up, this one at last: Authenticate: no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(_ http.ResponseWriter, q *http.Request) {
					var m apple.Message
					if body, err := io.ReadAll(q.Body); err != nil || apple.DecodeMessage(body, &m) != nil {
						t.Error("what a device said could not be read")
					}
					for i := range tt.answered {
						if m.UDID == newPhone(i).UDID() {
							return
						}
					}
					<-q.Context().Done()
				})
				defer r.close()
				if tt.refused {
					r.wire.refusal.Store(&refused)
				}
				l := r.load(50, Config{Parallel: 2, Pace: Constant(10, time.Second)})
				defer l.Close()
				begin := time.Now()
				_, err := l.Enrol(t.Context())
				if err == nil || !strings.Contains(err.Error(), tt.want) || len(l.Enrolled()) != tt.answered || time.Since(begin) > tt.most {
					t.Errorf("%d enrolled in %v: %v", len(l.Enrolled()), time.Since(begin), err)
				}
			})
		})
	}
}

// scepAuthority is made once, at the time at which every bubble begins.
var scepAuthority = sync.OnceValue(func() *certs.Authority {
	ca, err := certs.NewAuthority(certs.P256, "SCEP CA", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		panic(err)
	}
	return ca
})

var transportKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

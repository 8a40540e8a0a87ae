package apns

import (
	"context"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"rollcall/fleet/cloud"
)

// HST-081: what a provider's clients must survive, as this one serves it.
func TestHST081EachFault(t *testing.T) {
	for _, tt := range []struct {
		fault  Fault
		status int // 0: no answer
		reason Reason
	}{
		{Fault(TooManyRequests), 429, TooManyRequests},
		{Fault(ServiceUnavailable), 503, ServiceUnavailable},
		{Fault(InternalServerError), 500, InternalServerError},
		{Fault(Unregistered), 410, Unregistered},
		{Fault(BadDeviceToken), 400, BadDeviceToken},
		{Fault(ExpiredProviderToken), 403, ExpiredProviderToken},
		{Fault(Forbidden), 403, Forbidden},
		{GoAway, 503, Shutdown},
		{HTML, 502, ""},
		{Drop, 200, ""},
		{Half, 0, InternalServerError},
		{Reset, 0, ""},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			seen := make(chan Push, 2)
			b := start(t, Config{Faults: Faults{Script: []Fault{tt.fault}}, Observe: func(p Push) { seen <- p }})
			tok := b.Register(topic)
			var in inbox
			b.Connect(tok, in.deliver)
			c := b.client(identity(t, nil))
			r := b.request(tok, nil)
			r.GetBody = nil // net/http shall not try again by itself
			resp, err := c.Do(r)
			var page []byte
			if err == nil {
				page, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			switch {
			case tt.status == 0 && err == nil:
				t.Fatalf("answered %d %q, want a broken answer", resp.StatusCode, page)
			case tt.status != 0 && err != nil:
				t.Fatalf("push: %v", err)
			case tt.status != 0 && (resp.StatusCode != tt.status || !strings.Contains(string(page), string(tt.reason))):
				t.Errorf("answered %d %q, want %d %s", resp.StatusCode, page, tt.status, tt.reason)
			}
			if tt.fault == HTML && !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
				t.Errorf("content type %q", resp.Header.Get("Content-Type"))
			}
			if tt.status == 429 || tt.reason == ServiceUnavailable {
				if resp.Header.Get("Retry-After") != "60" {
					t.Errorf("Retry-After %q, want 60", resp.Header.Get("Retry-After"))
				}
			}
			if tt.status == 410 && !strings.Contains(string(page), `"timestamp":1795608000000`) {
				t.Errorf("410 without the moment: %q", page)
			}
			if p := <-seen; p.Fault != tt.fault || p.Reason != tt.reason {
				t.Errorf("observed %+v", p)
			}
			if len(in.got) != 0 {
				t.Error("the notification arrived all the same")
			}
			n := b.Counters()
			if n.Faults[tt.fault] != 1 || tt.reason != "" && n.Refused[tt.reason] != 1 || (n.Dropped == 1) != (tt.fault == Drop) {
				t.Errorf("counters %+v", n)
			}
			balance(t, n)

			if got := b.do(c, b.request(tok, nil)); got.status != 200 { // the script is used up
				t.Errorf("next push: %+v", got)
			}
			if len(in.got) != 1 {
				t.Error("the next notification did not arrive")
			}
		})
	}
}

// hanging waits until so many pushes hang.
func hanging(b *bench, want uint64) {
	for b.Counters().Hanging != want {
		runtime.Gosched()
	}
}

func TestHangUntilReleased(t *testing.T) {
	b := start(t, Config{Faults: Faults{Share: map[Fault]float64{Hang: 1}}})
	tok, left := b.Register(topic), b.Register(topic)
	var in inbox
	b.Connect(tok, in.deliver)
	c := b.client(identity(t, nil))
	statuses := make(chan int, 2)
	for _, tok := range [][]byte{tok, left} {
		go func() { statuses <- b.do(c, b.request(tok, nil)).status }()
	}
	hanging(b, 2)
	if len(in.got) != 0 {
		t.Error("delivered while it hung")
	}
	b.Unregister(left)
	b.Release()
	if sum := <-statuses + <-statuses; sum != 200+410 {
		t.Errorf("statuses add up to %d, want one 200 and one 410", sum)
	}
	if len(in.got) != 1 {
		t.Errorf("delivered %d, want 1", len(in.got))
	}

	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	go func() {
		_, err := c.Do(b.request(tok, nil).WithContext(ctx))
		failed <- err
	}()
	hanging(b, 1)
	cancel()
	if err := <-failed; err == nil {
		t.Error("a push that was given up was answered")
	}
	hanging(b, 0)
	if n := b.Counters(); n.Accepted != 1 {
		t.Errorf("%d accepted, want 1: %+v", n.Accepted, n)
	}
}

func TestShareFollowsSeedAndToken(t *testing.T) {
	story := func(seed uint64, names ...string) map[string]string {
		s, err := New(Config{Seed: seed, Faults: Faults{Share: map[Fault]float64{Fault(ServiceUnavailable): 0.25, Drop: 0.25}}, PerToken: cloud.Rate{Messages: -1}})
		if err != nil {
			t.Fatal(err)
		}
		lives := map[string]string{}
		for _, name := range names {
			d := s.find(s.RegisterAs(topic, name))
			for range 400 {
				f := s.dials.Next(func() uint32 { return uint32(d.chance.Uint64() >> 32) })
				lives[name] += string("-" + f)[:min(2, len(f)+1)]
			}
		}
		return lives
	}
	a, b := story(7, "x", "y"), story(7, "y", "x")
	if a["x"] != b["x"] || a["y"] != b["y"] {
		t.Error("the order of devices changed their faults")
	}
	if a["x"] == a["y"] || a["x"] == story(8, "x")["x"] {
		t.Error("other device or other seed, same faults")
	}
	for _, letter := range []string{"S", "D"} {
		if n := strings.Count(a["x"], letter); n < 70 || n > 130 {
			t.Errorf("%s: %d of 400, want about 100", letter, n)
		}
	}
}

func TestSetFaultsRefusesNonsense(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []Faults{
		{Script: []Fault{"Earthquake"}},
		{Share: map[Fault]float64{"Earthquake": 0.1}},
		{Share: map[Fault]float64{Drop: 1.1}},
		{Share: map[Fault]float64{Drop: -0.1}},
		{Share: map[Fault]float64{Drop: math.NaN()}},
		{Share: map[Fault]float64{Drop: 0.6, Hang: 0.6}},
		{Share: map[Fault]float64{NoFault: 0.6}},
	} {
		if err := s.SetFaults(f); err == nil {
			t.Errorf("SetFaults(%+v): no error", f)
		}
		if _, err := New(Config{Faults: f}); err == nil {
			t.Errorf("New with %+v: no error", f)
		}
	}
	if err := s.SetFaults(Faults{Script: []Fault{NoFault, Drop}, Share: map[Fault]float64{Drop: 1.0 / 3, Hang: 1.0 / 3, Reset: 1.0 / 3}}); err != nil {
		t.Errorf("good faults: %v", err)
	}
	if _, err := New(Config{PerToken: cloud.Rate{Messages: 5}}); err == nil {
		t.Error("rate without a span: no error")
	}
}

func TestScriptLetsOnePass(t *testing.T) {
	b := start(t, Config{})
	tok := b.Register(topic)
	c := b.client(identity(t, nil))
	if err := b.SetFaults(Faults{Script: []Fault{NoFault, Fault(InternalServerError)}}); err != nil {
		t.Fatal(err)
	}
	refused := b.request(tok, func(r *http.Request) { r.Method = "GET" }) // uses no line of the script
	for i, want := range []int{200, 405, 500, 200} {
		r := b.request(tok, nil)
		if want == 405 {
			r = refused
		}
		if got := b.do(c, r); got.status != want {
			t.Errorf("request %d: %+v, want %d", i+1, got, want)
		}
	}
}

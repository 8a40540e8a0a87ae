package apns

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// balance checks what Counters promises of its sums.
func balance(t *testing.T, c Counters) {
	t.Helper()
	if sum := c.Delivered + c.Replaced + c.Expired + c.Discarded + c.Dropped + c.Waiting; sum != c.Accepted {
		t.Errorf("accepted %d, but accounted for %d: %+v", c.Accepted, sum, c)
	}
}

func until(d time.Duration) func(*http.Request) {
	return header("apns-expiration", strconv.FormatInt(noon.Add(d).Unix(), 10))
}

func TestAPL107OnlyTheLastIsKept(t *testing.T) {
	b := start(t, Config{})
	tok := b.Register(topic)
	c := b.client(identity(t, nil))
	for i := range 10 {
		b.do(c, b.request(tok, body(fmt.Sprint(i))))
	}
	var in inbox
	b.Connect(tok, in.deliver)
	if got := in.payloads(); got != "9" {
		t.Errorf("after an absence the device got %q, want %q", got, "9")
	}
	b.do(c, b.request(tok, body("10")))
	if got := in.payloads(); got != "9 10" { // delivered before the answer
		t.Errorf("online the device got %q, want %q", got, "9 10")
	}
	b.Disconnect(tok)
	b.do(c, b.request(tok, body("11")))
	if got := in.payloads(); got != "9 10" {
		t.Errorf("offline the device got %q, want %q", got, "9 10")
	}
	got := b.Counters()
	if got.Accepted != 12 || got.Delivered != 2 || got.Stored != 11 || got.Replaced != 9 || got.Waiting != 1 {
		t.Errorf("counters %+v", got)
	}
	balance(t, got)
}

func TestAPL107ExpirationHonoured(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*http.Request)
		absence time.Duration
		arrives bool
	}{
		{"0 is tried once", header("apns-expiration", "0"), 0, false},
		{"the past is tried once", until(-time.Hour), 0, false},
		{"in time", until(time.Hour), 59 * time.Minute, true},
		{"too late", until(time.Hour), time.Hour, false},
		{"none said, 29 days", nil, 29 * 24 * time.Hour, true},
		{"none said, 30 days", nil, MaxKept, false},
		{"a year is 30 days", until(365 * 24 * time.Hour), MaxKept, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t, Config{})
			tok := b.Register(topic)
			if got := b.do(b.client(identity(t, nil)), b.request(tok, tt.change)); got.status != 200 {
				t.Fatalf("push: %+v", got)
			}
			b.advance(tt.absence)
			var in inbox
			b.Connect(tok, in.deliver)
			if arrived := len(in.got) == 1; arrived != tt.arrives {
				t.Errorf("arrived %v after %s, want %v", arrived, tt.absence, tt.arrives)
			}
			got := b.Counters()
			if (got.Expired == 1) == tt.arrives {
				t.Errorf("counters %+v", got)
			}
			balance(t, got)
		})
	}
	t.Run("0 reaches a device online", func(t *testing.T) {
		b := start(t, Config{})
		tok := b.Register(topic)
		var in inbox
		b.Connect(tok, in.deliver)
		b.do(b.client(identity(t, nil)), b.request(tok, header("apns-expiration", "0")))
		if len(in.got) != 1 {
			t.Errorf("got %d notifications, want 1", len(in.got))
		}
	})
}

func TestAPL107UnregisteredTokenIsGone(t *testing.T) {
	b := start(t, Config{})
	tok := b.Register(topic)
	c := b.client(identity(t, nil))
	b.do(c, b.request(tok, nil)) // kept, and lost with its token
	b.advance(time.Minute)
	b.Unregister(tok)
	b.advance(time.Hour)
	b.Unregister(tok) // too late to change the moment
	got := b.do(c, b.request(tok, nil))
	if want := noon.Add(time.Minute).UnixMilli(); got.status != 410 || got.reason != Unregistered || got.timestamp != want {
		t.Errorf("answer %+v, want 410 Unregistered %d", got, want)
	}
	var in inbox
	b.Connect(tok, in.deliver)
	if len(in.got) != 0 {
		t.Errorf("an unregistered device got %q", in.payloads())
	}
	n := b.Counters()
	if n.Discarded != 1 || n.Waiting != 0 {
		t.Errorf("counters %+v", n)
	}
	balance(t, n)
}

func TestUnknownTokensAreIgnored(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tok := range [][]byte{nil, {1}, make([]byte, TokenSize), make([]byte, 100)} {
		s.Connect(tok, func(Notification) { t.Error("delivered") })
		s.Disconnect(tok)
		s.Unregister(tok)
	}
}

func TestTokensFollowTheSeed(t *testing.T) {
	make2 := func(seed uint64) *Service {
		s, err := New(Config{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b, other := make2(7), make2(7), make2(8)
	a.RegisterAs(topic, "first") // the order of the others changes nothing
	tok := a.RegisterAs(topic, "second")
	if !bytes.Equal(tok, b.RegisterAs(topic, "second")) {
		t.Error("one seed, two tokens")
	}
	if bytes.Equal(tok, other.RegisterAs(topic, "second")) {
		t.Error("two seeds, one token")
	}
	if bytes.Equal(tok, a.RegisterAs(topic+".x", "second")) {
		t.Error("two topics, one token")
	}
	if !bytes.Equal(tok, a.RegisterAs(topic, "second")) {
		t.Error("registered twice, two tokens")
	}
	a.Unregister(tok)
	anew := a.RegisterAs(topic, "second")
	if bytes.Equal(tok, anew) {
		t.Error("an ended token was given out again")
	}
	if !bytes.Equal(anew, a.RegisterAs(topic, "second")) {
		t.Error("registered anew twice, two tokens")
	}
	if bytes.Equal(a.Register(topic), a.Register(topic)) {
		t.Error("two devices, one token")
	}
	if n := a.Counters().Registered; n != 6 {
		t.Errorf("%d tokens counted, want 6", n)
	}
}

// A device that acts on what it gets may call the service from inside.
func TestDeliverMayCallTheService(t *testing.T) {
	b := start(t, Config{})
	tok := b.Register(topic)
	b.Connect(tok, func(Notification) {
		b.Disconnect(tok)
		b.Unregister(tok)
	})
	c := b.client(identity(t, nil))
	b.do(c, b.request(tok, nil))
	if got := b.do(c, b.request(tok, nil)); got.status != 410 {
		t.Errorf("after it had left: %+v", got)
	}
}

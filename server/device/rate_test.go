package device

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// limited has the lab's handler bound enrolments on a clock of the test's.
func (l *lab) limited(perSecond float64) (now *time.Time) {
	l.t.Helper()
	now = new(time.Time)
	*now = l.now()
	var err error
	if l.h.rates, err = newRates(perSecond, func() time.Time { return *now }); err != nil {
		l.t.Fatal(err)
	}
	return now
}

// from has the handler serve a request from a socket's address.
func (l *lab) from(remote, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = remote
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	l.h.ServeHTTP(w, r)
	return w
}

// TestHST045Flood: ten thousand enrolments a minute with made-up identities, from one network, forging headers. Most are
// refused before they are looked at, with a time to come again; what they leave behind is bounded; the check-ins of other
// devices and enrolments from elsewhere are as before.
func TestHST045Flood(t *testing.T) {
	l := newLab(t)
	other := l.phone(udid(1)).enrol()
	before := len(l.records())
	clock := l.limited(DefaultEnrolRate)
	const minute, floods = 60, 10_000
	answers := map[string]map[int]int{}
	for i := range floods {
		*clock = l.now().Add(time.Duration(i) * minute * time.Second / floods)
		for name, w := range map[string]*httptest.ResponseRecorder{
			"link": l.from("192.0.2.7:1000", "GET", fmt.Sprintf("/e/made-up-%d", i), "", "X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i%250)),
			"scep": l.from("192.0.2.7:1000", "POST", "/scep?operation=PKIOperation", "made up", "X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i%250)),
		} {
			if answers[name] == nil {
				answers[name] = map[int]int{}
			}
			answers[name][w.Code]++
			if w.Code != http.StatusServiceUnavailable {
				continue
			}
			after, err := strconv.Atoi(w.Header().Get("Retry-After"))
			if err != nil || after < 1 || after > 60 || !strings.Contains(w.Body.String(), "HST-045") {
				t.Fatalf("%s: %d %q, Retry-After %q", name, w.Code, w.Body, w.Header().Get("Retry-After"))
			}
		}
	}
	most := DefaultEnrolRate * (burstSeconds + minute)
	for name, n := range answers {
		looked := floods - n[http.StatusServiceUnavailable]
		if looked > most || looked < most-DefaultEnrolRate {
			t.Errorf("%s: %d of %d were looked at, want %d: %v", name, looked, floods, most, n)
		}
	}
	if n := len(l.records()); n != before {
		t.Errorf("%d records were left behind", n-before)
	}
	if a := other.send(other.idle()); a.status != http.StatusOK {
		t.Errorf("another device's check-in is answered %d", a.status)
	}
	link, err := l.core.Invite(context.Background(), l.pnow(), l.user, protocol.NoPlatform, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if w := l.from("192.0.2.7:1000", "GET", "/e/"+link, ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("the flood's network is answered %d", w.Code)
	}
	if w := l.from("192.0.2.8:1000", "GET", "/e/"+link, ""); w.Code != http.StatusOK { // nor was it used up
		t.Errorf("an enrolment from elsewhere is answered %d %s", w.Code, w.Body)
	}
	lines, err := l.core.Store().Journal(context.Background(), store.LineFilter{What: delivery.WhatRefused}, 100)
	var rules []string
	for _, line := range lines {
		rules = append(rules, string(line.Rule))
	}
	if got := strings.Join(rules, " "); err != nil || got != "HST-037 HST-002 HST-045 HST-045" {
		t.Errorf("the journal has %+v, %v: want one line for each rule and for profiles and certificates apart", lines, err)
	}
	if n := l.h.rates.tokens.Len(); n > mostCallers {
		t.Errorf("%d links are remembered", n)
	}
}

// TestHST045Fleet: a thousand devices behind one address enrol within ten seconds.
func TestHST045Fleet(t *testing.T) {
	l := newLab(t)
	clock := l.limited(DefaultEnrolRate)
	for i := range 1000 {
		*clock = l.now().Add(time.Duration(i) * 10 * time.Millisecond)
		for _, p := range []pass{passProfile, passCertificate} {
			if wait := l.h.rates.network(p, "127.0.0.1:1"); wait > 0 {
				t.Fatalf("device %d has to wait %s", i, wait)
			}
		}
	}
}

// TestHST045Token: one link, serial number or challenge is not tried without end, wherever from.
func TestHST045Token(t *testing.T) {
	l := newLab(t)
	clock := l.limited(DefaultEnrolRate)
	codes := map[int]int{}
	for i := range 3 * tokenBurst {
		codes[l.from(fmt.Sprintf("192.0.2.%d:1", i), "GET", "/apple/enrol?ticket=leaked", "").Code]++
	}
	if codes[http.StatusServiceUnavailable] != 2*tokenBurst {
		t.Errorf("a link that many try: %v", codes)
	}
	*clock = clock.Add(time.Second / tokenRate)
	if w := l.from("192.0.2.200:1", "GET", "/apple/enrol?ticket=leaked", ""); w.Code != http.StatusNotFound {
		t.Errorf("a second later it is answered %d", w.Code)
	}
	for range tokenBurst {
		l.h.rates.token("challenge")
	}
	if l.h.rates.token("challenge") == 0 || l.h.rates.token("another") != 0 || l.h.rates.token("") != 0 {
		t.Error("a challenge is bounded with others, or not at all")
	}
}

// TestHST045Networks: a network is what one customer has, and what is remembered of them is bounded.
func TestHST045Networks(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1000": "192.0.2.7/32", "[::ffff:192.0.2.7]:1": "192.0.2.7/32", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5": "fe80::/64", "": "invalid Prefix", "192.0.2.7": "invalid Prefix",
	} {
		if got := networkOf(remote).String(); got != want {
			t.Errorf("networkOf(%q) = %s, want %s", remote, got, want)
		}
	}
	r, err := newRates(1, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * mostCallers {
		r.network(passProfile, fmt.Sprintf("[2001:db8:%x:%x::1]:1", i>>16, i&0xffff))
		r.token(strconv.Itoa(i))
	}
	if n, m := r.networks[passProfile].Len(), r.tokens.Len(); n != mostCallers || m != mostCallers {
		t.Errorf("%d networks and %d tokens are remembered, want %d each", n, m, mostCallers)
	}
	if _, err := newRates(-1, time.Now); err == nil {
		t.Error("a negative rate is taken")
	}
	if none, err := newRates(0, time.Now); none != nil || err != nil || none.network(passProfile, "192.0.2.7:1") != 0 {
		t.Error("no rate is a bound")
	}
}

func (l *lab) records() []store.Record {
	l.t.Helper()
	records, err := l.store.Records(context.Background(), protocol.Device(0), 100_000)
	if err != nil {
		l.t.Fatal(err)
	}
	return records
}

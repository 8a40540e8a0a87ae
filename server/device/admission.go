package device

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// MaxConnections is how many connections a server keeps, unless told otherwise.
const MaxConnections = 25_000

const (
	requestsAtOnce = 1024                   // enough for the store to make large groups of
	tooLong        = 8 * requestsAtOnce     // a line that nobody joins
	tooOld         = 2 * time.Second        // a line whose first has waited so long takes nobody in
	strain         = 250 * time.Millisecond // a line whose first has waited so long is none to call more devices into
	calm           = 10 * time.Second       // overload is over when nobody was turned away for so long
)

var (
	errBusy    = errors.New("HST-111: too many handshakes wait")
	errDevices = errors.New("HST-111: too many devices at once")
)

// An Admission keeps a server alive when more devices come than it can serve (HST-111). It bounds connections, lets
// handshakes and requests through in the order in which they came, and turns away at once, as cheaply as it can, whom it
// could only serve late: a connection is closed before anything is computed for it; a request is answered 503 with a
// Retry-After that gives each device a moment of its own, at the rate at which the server gets through its work, so that they
// do not come back together. What is on its way is not disturbed: a handshake takes a turn only while it computes, and
// requests on connections that are kept do not stand in line behind it; a request takes one only with its whole body.
// Administrators pass.
type Admission struct {
	conns      connections
	handshakes turnstile
	requests   turnstile
	known      bodies // of those who have an identity
	strangers  bodies
	moments    moments
	log        *logrus.Logger

	turned   [2]atomic.Uint64 // away: handshakes, requests
	latest   atomic.Int64     // when that was last, in nanoseconds since 1970
	overload atomic.Bool      // it has begun, and its end was not seen yet
}

// NewAdmission makes an admission that keeps most connections at once; 0: [MaxConnections].
func NewAdmission(most int, log *logrus.Logger) *Admission {
	if most == 0 {
		most = MaxConnections
	}
	a := &Admission{log: log}
	a.conns.most = most
	a.conns.changed.L = &a.conns.mu
	a.handshakes = turnstile{width: runtime.GOMAXPROCS(0), most: tooLong, age: tooOld, wait: patience}
	a.requests = turnstile{width: requestsAtOnce, most: tooLong, age: tooOld, wait: patience}
	a.known = bodies{ripe: suspect, left: knownRoom}
	a.strangers = bodies{ripe: suspect, left: strangerRoom}
	return a
}

// admit puts h behind the turnstile of requests, which they reach with their bodies: whoever is slow to bring one holds up nobody (HST-020).
// A nil Admission admits all.
func (a *Admission) admit(h http.Handler) http.Handler {
	if a == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			b := spareBodies.Get().(*body)
			defer b.release()
			known, of := certified(r), connOf(r)
			of.reads(known)
			switch {
			case known:
				b.gather(&a.known, w, r)
			case r.Method == http.MethodPut && r.Header["Mdm-Signature"] == nil: // it will be refused: nobody makes us hold it (HST-001)
				b.err = errNoIdentity
			default:
				b.gather(&a.strangers, w, r)
			}
			if b.err != errNoIdentity && !of.whole() { // of that one, net/http still reads what comes
				b.err = errCut
			}
			if b.err == errCut || b.err == errRoom {
				a.turned[request].Add(1) // slow clients are no overload: devices are called as ever
				w.Header().Set("Connection", "close")
				a.refuse(w, b.err)
				return
			}
			r.Body = b
		}
		if !a.requests.enter(false) {
			a.turnedAway(request)
			a.refuse(w, errDevices)
			return
		}
		defer a.requests.leave()
		h.ServeHTTP(w, r)
	})
}

// refuse tells a device when to come again.
func (a *Admission) refuse(w http.ResponseWriter, why error) {
	w.Header().Set("Retry-After", seconds(a.moments.take(time.Now(), a.requests.passed(), rand.Float64()).Seconds()))
	http.Error(w, why.Error(), http.StatusServiceUnavailable)
}

// turnedAway takes note that somebody was. The log has one line when overload begins and one when it is over.
func (a *Admission) turnedAway(what int) {
	a.latest.Store(time.Now().UnixNano())
	before := a.total()
	a.turned[what].Add(1)
	if a.overload.Swap(true) {
		return
	}
	a.log.WithField("rule", "HST-111").Warn("overload: more devices come than can be served, some are turned away")
	a.until(before)
}

const (
	handshake = iota
	request
)

func (a *Admission) total() uint64 { return a.turned[handshake].Load() + a.turned[request].Load() }

// until looks again for the end of an overload that began when before had been turned away.
func (a *Admission) until(before uint64) {
	time.AfterFunc(calm, func() {
		if a.Shedding() {
			a.until(before)
			return
		}
		a.overload.Store(false)
		a.log.WithFields(logrus.Fields{"rule": "HST-111", "turned_away": a.total() - before}).Warn("overload is over")
	})
}

// Shedding tells whether somebody was turned away in the last ten seconds.
func (a *Admission) Shedding() bool {
	return time.Since(time.Unix(0, a.latest.Load())) < calm
}

// Strained tells whether those who come have to wait: it is no time to call more devices.
func (a *Admission) Strained() bool {
	_, first := a.handshakes.queue()
	_, second := a.requests.queue()
	return max(first, second) >= strain
}

// An AdmissionState is how an Admission stands; counters are since its start.
type AdmissionState struct {
	Connections, Idle            int           // kept; of these between two requests
	Handshakes, Requests         int           // that wait in line
	HandshakeAge, RequestAge     time.Duration // how long the first of each line has waited
	HandshakesAway, RequestsAway uint64        // turned away
	Evicted                      uint64        // connections that were closed for room
}

// State returns how things stand.
func (a *Admission) State() (s AdmissionState) {
	s.Handshakes, s.HandshakeAge = a.handshakes.queue()
	s.Requests, s.RequestAge = a.requests.queue()
	s.HandshakesAway, s.RequestsAway = a.turned[handshake].Load(), a.turned[request].Load()
	a.conns.mu.Lock()
	defer a.conns.mu.Unlock()
	s.Connections, s.Idle, s.Evicted = a.conns.kept, a.conns.idle.Len(), a.conns.evicted
	return s
}

// Moments are at a rate below the one measured, so that the line that is there gets shorter too.
const (
	spareRate = 0.8
	firstRate = 5000.0 // requests a second that are believed until overload has shown better
	leastRate = 10.0
	soonest   = time.Second
	latest    = 2 * time.Minute // those who do not keep to their moment must not push it away for all others
)

// moments are when those who were turned away come again, one after the other.
type moments struct {
	mu     sync.Mutex
	next   time.Time // the first that nobody has
	since  time.Time // when the rate was last measured
	passed uint64    // requests that had passed then
	rate   float64   // a second
}

// take gives away the next moment and returns how long it is until then, a quarter more or less by chance (0 to 1).
// Passed are the requests that were served so far.
func (m *moments) take(now time.Time, passed uint64, chance float64) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch past := now.Sub(m.since); {
	case past > calm: // the server was not busy all that time
		m.since, m.passed = now, passed
		if m.rate == 0 {
			m.rate = firstRate
		}
	case past >= time.Second:
		m.rate = max(leastRate, float64(passed-m.passed)/past.Seconds())
		m.since, m.passed = now, passed
	}
	if soon := now.Add(soonest); m.next.Before(soon) {
		m.next = soon
	}
	m.next = m.next.Add(time.Duration(float64(time.Second) / (m.rate * spareRate)))
	if last := now.Add(latest); m.next.After(last) {
		m.next = last
	}
	return time.Duration(float64(m.next.Sub(now)) * (0.75 + chance/2))
}

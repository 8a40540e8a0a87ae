package fleet

import (
	"errors"
	"maps"
	"sync"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// Counts are what happened to a fleet so far. A check-in is one conversation of a device with its server.
type Counts struct {
	Offered uint64 // check-ins that were due to a device on the network
	Started uint64
	Done    uint64 // to the empty answer
	Failed  uint64 // ended by the network, or by nonsense
	Refused uint64 // ended by the server's no

	Enrolments uint64 // completed, first and repeated ones
	Wakes      uint64 // pushes that reached a device
	Stale      uint64 // of those, ignored for their wrong magic
	ByHand     uint64 // check-ins that a user started (AUTH-22)
	Commands   uint64 // executed
	NotNow     uint64 // answers of NotNow
	Renewals   uint64 // identities replaced
	Expired    uint64 // profiles that left devices by themselves, seven days after a change of authority (AUTH-27)
	Nights     uint64 // devices switched off for a night
	Spells     uint64 // spells off the network
	Absences   uint64 // departures that the timeline brought
	Dropped    uint64 // answers lost on purpose
	Resets     uint64 // requests cut off on purpose
	Busied     uint64 // requests answered 503 on purpose
	Unreached  uint64 // requests that found no server
	Barred     uint64 // TLS handshakes refused for the device's certificate
	Resumed    uint64 // TLS sessions resumed
	Handshakes uint64 // full TLS handshakes

	Status map[int]uint64 // answers other than 200, by HTTP status
}

// left counts a departure from the network.
func (c *Counts) left(why reach) {
	switch why {
	case night:
		c.Nights++
	case spell:
		c.Spells++
	case absence:
		c.Absences++
	}
}

// A tally counts for many goroutines.
type tally struct {
	mu      sync.Mutex
	counts  Counts
	latency [dialect.Steps]*hdrhistogram.Histogram // of answers of 200, in microseconds; nil: none
	hours   []Hour
	start   protocol.Time
}

// An Hour is what one hour of the story saw.
type Hour struct {
	CheckIns, Enrolments, Wakes, Refused, Failed uint32
	Enrolled, Away                               int // at its end; Away: off the network
}

func newTally(start protocol.Time) *tally {
	return &tally{start: start, counts: Counts{Status: map[int]uint64{}}}
}

func (t *tally) add(now protocol.Time, f func(*Counts, *Hour)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now < t.start { // no hour of the story
		f(&t.counts, new(Hour))
		return
	}
	h := int(now.Sub(t.start) / time.Hour)
	for len(t.hours) <= h {
		next := Hour{}
		if n := len(t.hours); n > 0 {
			next.Enrolled, next.Away = t.hours[n-1].Enrolled, t.hours[n-1].Away // nothing changed in between
		}
		t.hours = append(t.hours, next)
	}
	f(&t.counts, &t.hours[h])
}

// took counts one request and how long it took.
func (t *tally) took(x *link.Exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case x.Connected && x.Resumed:
		t.counts.Resumed++
	case x.Connected:
		t.counts.Handshakes++
	}
	switch {
	case x.Status != 0 && x.Status != 200:
		t.counts.Status[x.Status]++
	case errors.Is(x.Err, syscall.ECONNREFUSED):
		t.counts.Unreached++
	case link.Barred(x.Err):
		t.counts.Barred++
	}
	if x.Status != 200 {
		return
	}
	h := t.latency[x.Step]
	if h == nil {
		h = hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3)
		t.latency[x.Step] = h
	}
	h.RecordValue(min(x.Took, time.Hour).Microseconds())
}

func (t *tally) snapshot() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts
	c.Status = maps.Clone(c.Status)
	return c
}

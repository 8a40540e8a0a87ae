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
	Offered uint64 // due to a device on the network
	Started uint64 // of these, begun; the others wait for their turn
	Done    uint64 // of these, carried on to the empty answer
	Failed  uint64 // ended by the network, or by nonsense
	Refused uint64 // ended by the server's no

	Enrolments uint64 // completed, first and repeated ones
	BrokeOff   uint64 // tries to enrol that ended in none
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
	Lost       uint64 // pushes lost on purpose
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
	bins    []Bin
	start   protocol.Time
	width   time.Duration // of a bin
}

// A Bin is what one stretch of the story saw; all are equally long, see [Fleet.Bins].
type Bin struct {
	Done, Failed, Refused, Enrolments, Wakes uint32
	Enrolled, Away                           int // at its end; Away: off the network
}

// mostBins is how many stretches a story is counted in at most: as many as a chart can show apart.
const mostBins = 200

// binWidths are the lengths that a person reads easily, the shortest first.
var binWidths = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// binWidth returns how long the bins of a story of this length are. One over mostBins days has bins of a day all the same.
func binWidth(story time.Duration) time.Duration {
	for _, w := range binWidths {
		if story <= mostBins*w {
			return w
		}
	}
	return binWidths[len(binWidths)-1]
}

func newTally(start protocol.Time, story time.Duration) *tally {
	return &tally{start: start, width: binWidth(story), counts: Counts{Status: map[int]uint64{}}}
}

func (t *tally) add(now protocol.Time, f func(*Counts, *Bin)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now < t.start { // no part of the story
		f(&t.counts, new(Bin))
		return
	}
	i := int(now.Sub(t.start) / t.width)
	for len(t.bins) <= i {
		next := Bin{}
		if n := len(t.bins); n > 0 {
			next.Enrolled, next.Away = t.bins[n-1].Enrolled, t.bins[n-1].Away // nothing changed in between
		}
		t.bins = append(t.bins, next)
	}
	f(&t.counts, &t.bins[i])
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

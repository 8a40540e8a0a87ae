package load

import (
	"cmp"
	"crypto/tls"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"rollcall/agent/dialect"
	"rollcall/protocol"
)

// Latencies are kept in microseconds to three digits, up to an hour.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3)
}

func put(h **hdrhistogram.Histogram, d time.Duration) {
	if *h == nil {
		*h = newHistogram()
	}
	(*h).RecordValue(max(min(d, time.Hour), 0).Microseconds()) // within its bounds: no error
}

// A window's latencies are kept to two digits, up to a minute: there are hundreds of windows.
func (w *window) put(d time.Duration) {
	if w.latency == nil {
		w.latency = hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 2)
	}
	w.latency.RecordValue(max(min(d, time.Minute), 0).Microseconds())
}

// A book is what one worker noted. Books merge into one without loss.
type book struct {
	mu sync.Mutex
	notes
}

// notes are what is in a book.
type notes struct {
	steps   [dialect.Steps][outcomes]*hdrhistogram.Histogram // from the intended moment to the end of the answer
	woken   *hdrhistogram.Histogram                          // from the intended wake-up to its push
	late    *hdrhistogram.Histogram                          // start delay: what the generator itself added
	short   *hdrhistogram.Histogram                          // how long arrivals waited for a device
	bare    *hdrhistogram.Histogram                          // good answers from the moment their requests were sent
	windows []window

	sessions sessions
	doneOn   [len(protocol.Platforms) + 1]uint64 // of sessions, by platform
	busy     time.Duration                       // that the sessions that went well took
	commands uint64
	full     uint64 // handshakes
	resumed  uint64
	curves   map[tls.CurveID]uint64 // handshakes by their key exchange
	sent     int64
	received int64
}

// sessions count conversations.
type sessions struct{ started, done, failed, refused, retries uint64 }

// A window is a part of the run of a fixed length, by the intended moments of what happened in it.
type window struct {
	offered, done, failed uint64
	latency               *hdrhistogram.Histogram // of good answers; nil: there were none
}

// exchanged counts handshakes with a key exchange. b.mu is held.
func (b *book) exchanged(curve tls.CurveID, n uint64) {
	if b.curves == nil {
		b.curves = make(map[tls.CurveID]uint64)
	}
	b.curves[curve] += n
}

// keyExchange names what the handshakes used, the commonest first; empty: there was none.
func (b *book) keyExchange() string {
	used := slices.Collect(maps.Keys(b.curves))
	slices.SortFunc(used, func(x, y tls.CurveID) int {
		return cmp.Or(cmp.Compare(b.curves[y], b.curves[x]), cmp.Compare(x, y))
	})
	var names []string
	for _, curve := range used {
		names = append(names, strings.Replace(curve.String(), "Curve", "", 1))
	}
	return strings.Join(names, " and ")
}

// doneBy are the conversations that went well, by platform.
func (n *notes) doneBy() map[protocol.Platform]uint64 {
	by := map[protocol.Platform]uint64{}
	for p, done := range n.doneOn {
		if done > 0 {
			by[protocol.Platform(p)] = done
		}
	}
	return by
}

// clear begins the book anew.
func (b *book) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = notes{}
}

// at returns the window of a moment since the beginning. b.mu is held.
func (b *book) at(since, length time.Duration) *window {
	i := max(int(since/length), 0)
	for len(b.windows) <= i {
		b.windows = append(b.windows, window{})
	}
	return &b.windows[i]
}

// merge adds what o noted.
func (b *book) merge(o *book) {
	o.mu.Lock()
	defer o.mu.Unlock()
	join := func(to **hdrhistogram.Histogram, from *hdrhistogram.Histogram) {
		switch {
		case from == nil:
		case *to == nil:
			*to = hdrhistogram.Import(from.Export()) // a copy
		default:
			(*to).Merge(from) // the same bounds: nothing is dropped
		}
	}
	for p, n := range o.doneOn {
		b.doneOn[p] += n
	}
	for s := range b.steps {
		for k := range b.steps[s] {
			join(&b.steps[s][k], o.steps[s][k])
		}
	}
	join(&b.woken, o.woken)
	join(&b.late, o.late)
	join(&b.short, o.short)
	join(&b.bare, o.bare)
	for i := range o.windows {
		from, to := &o.windows[i], b.at(time.Duration(i), 1)
		to.offered += from.offered
		to.done += from.done
		to.failed += from.failed
		join(&to.latency, from.latency)
	}
	b.sessions.started += o.sessions.started
	b.sessions.done += o.sessions.done
	b.sessions.failed += o.sessions.failed
	b.sessions.refused += o.sessions.refused
	b.sessions.retries += o.sessions.retries
	b.busy += o.busy
	b.commands += o.commands
	b.full += o.full
	b.resumed += o.resumed
	for curve, n := range o.curves {
		b.exchanged(curve, n)
	}
	b.sent += o.sent
	b.received += o.received
}

// answers merges what all good answers took and how long at least those took that never came whole: leaving them out would make a
// server look the better the less it answers. Those that the end of the run cut short count where unfinished says so.
func (b *book) answers(unfinished bool) *hdrhistogram.Histogram {
	all := newHistogram()
	for s := range b.steps {
		for o, h := range b.steps[s] {
			counts := Outcome(o) == Good || Outcome(o) == Silent || Outcome(o) == Cut || unfinished && Outcome(o) == Stopped
			if h != nil && counts {
				all.Merge(h)
			}
		}
	}
	return all
}

// every merges what all requests took, whatever became of them.
func (b *book) every() *hdrhistogram.Histogram {
	all := newHistogram()
	for s := range b.steps {
		for _, h := range b.steps[s] {
			if h != nil {
				all.Merge(h)
			}
		}
	}
	return all
}

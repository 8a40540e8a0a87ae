package sqlstore

import (
	"container/heap"
	"sync"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// dues orders the devices whose wake-up is pending by when it is due, then by number. It is in memory because an index on disk
// would cost every round as much as the row itself. Apple's devices have an order of their own, so that as many as may be held do
// not stand before the others.
type dues struct {
	mu     sync.Mutex
	apple  dueHeap
	others dueHeap
}

// dueOf returns when a device is due by Devices.Due; 0: not at all.
func dueOf(s *delivery.State) protocol.Time {
	if s.Life != delivery.Enrolled || s.Push.Unreachable {
		return 0
	}
	return s.Wake.Due
}

// order is the one that e is in, or will be.
func (d *dues) order(e *entry) *dueHeap {
	if e.apple {
		return &d.apple
	}
	return &d.others
}

// set makes e due at t; 0 takes it out.
func (d *dues) set(e *entry, t protocol.Time) {
	apple := e.state.Platform.Apple()
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.apple != apple {
		if e.due != 0 {
			heap.Remove(d.order(e), e.place)
		}
		e.apple, e.due = apple, 0
	}
	was := e.due
	e.due = t
	switch {
	case was == t:
	case was == 0:
		heap.Push(d.order(e), e)
	case t == 0:
		heap.Remove(d.order(e), e.place)
	default:
		heap.Fix(d.order(e), e.place)
	}
}

// next returns when the first one is due; 0: there is none.
func (d *dues) next(apple bool) (next protocol.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.others) > 0 {
		next = d.others[0].due
	}
	if apple && len(d.apple) > 0 {
		next = next.Sooner(d.apple[0].due)
	}
	return next
}

// until returns up to n of those due at now or before, in order.
func (d *dues) until(now protocol.Time, n int, apple bool) []protocol.Device {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []protocol.Device
	// In a heap the next one is always a child of one that was taken.
	var reach frontier
	reach.add(d.others, 0)
	if apple {
		reach.add(d.apple, 0)
	}
	for len(out) < n && len(reach) > 0 {
		p := heap.Pop(&reach).(spot)
		e := p.of[p.at]
		if e.due > now {
			break
		}
		out = append(out, e.number)
		reach.add(p.of, 2*p.at+1)
		reach.add(p.of, 2*p.at+2)
	}
	return out
}

func sooner(a, b *entry) bool { return a.due < b.due || a.due == b.due && a.number < b.number }

type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return sooner(h[i], h[j]) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *dueHeap) Push(x any) {
	e := x.(*entry)
	e.place = len(*h)
	*h = append(*h, e)
}

func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}

// A frontier is a heap of spots in other heaps.
type frontier []spot

type spot struct {
	of dueHeap
	at int
}

func (f *frontier) add(of dueHeap, at int) {
	if at < len(of) {
		heap.Push(f, spot{of, at})
	}
}

func (f frontier) Len() int           { return len(f) }
func (f frontier) Less(i, j int) bool { return sooner(f[i].of[f[i].at], f[j].of[f[j].at]) }
func (f frontier) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *frontier) Push(x any)        { *f = append(*f, x.(spot)) }

func (f *frontier) Pop() any {
	last := len(*f) - 1
	p := (*f)[last]
	*f = (*f)[:last]
	return p
}

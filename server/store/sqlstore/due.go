package sqlstore

import (
	"container/heap"
	"sync"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// dues orders the devices whose wake-up is pending by when it is due, then by number. It is in memory because an index on disk
// would cost every round as much as the row itself.
type dues struct {
	mu    sync.Mutex
	order dueHeap
}

// dueOf returns when a device is due by Devices.Due; 0: not at all.
func dueOf(s *delivery.State) protocol.Time {
	if s.Life != delivery.Enrolled || s.Push.Unreachable {
		return 0
	}
	return s.Wake.Due
}

// set makes e due at t; 0 takes it out.
func (d *dues) set(e *entry, t protocol.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := e.due
	e.due = t
	switch {
	case was == t:
	case was == 0:
		heap.Push(&d.order, e)
	case t == 0:
		heap.Remove(&d.order, e.place)
	default:
		heap.Fix(&d.order, e.place)
	}
}

// next returns when the first one is due; 0: there is none.
func (d *dues) next() protocol.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.order) == 0 {
		return 0
	}
	return d.order[0].due
}

// until returns up to n of those due at now or before, in order.
func (d *dues) until(now protocol.Time, n int) []protocol.Device {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []protocol.Device
	// In a heap the next one is always a child of one that was taken.
	reach := frontier{of: d.order}
	reach.add(0)
	for len(out) < n && len(reach.at) > 0 {
		i := heap.Pop(&reach).(int)
		if d.order[i].due > now {
			break
		}
		out = append(out, d.order[i].number)
		reach.add(2*i + 1)
		reach.add(2*i + 2)
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

// A frontier is a heap of places in another heap.
type frontier struct {
	of dueHeap
	at []int
}

func (f *frontier) add(i int) {
	if i < len(f.of) {
		heap.Push(f, i)
	}
}

func (f *frontier) Len() int           { return len(f.at) }
func (f *frontier) Less(i, j int) bool { return sooner(f.of[f.at[i]], f.of[f.at[j]]) }
func (f *frontier) Swap(i, j int)      { f.at[i], f.at[j] = f.at[j], f.at[i] }
func (f *frontier) Push(x any)         { f.at = append(f.at, x.(int)) }

func (f *frontier) Pop() any {
	i := f.at[len(f.at)-1]
	f.at = f.at[:len(f.at)-1]
	return i
}

package load

import (
	"container/heap"
	"fmt"
	"time"

	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/protocol"
)

// A place is where a device is.
type place uint8

const (
	out     place = iota // of the load: not enrolled, or enrolled already where arrivals are enrolments
	resting              // ready for an arrival
	waiting              // comes by itself at a moment
	ordered              // the server was asked to push to it
	talking
)

// turns are whose turn it is, and when: the devices that rest, in the order in which they began to, and those that wait. Entries
// of devices that have left meanwhile stay and do not count: leaving costs nothing.
type turns struct {
	beds  []bed
	count [talking + 1]int
	rest  []turn
	wait  waits
}

// A bed is what the load keeps of one device; moments count from the beginning.
type bed struct {
	intended time.Duration // moment of the present step
	freed    time.Duration // when it last had nothing to do
	ordered  time.Duration // when its wake-up was meant to be ordered
	turn     uint32        // grows with each change of place
	steps    uint8         // 0: the conversation has not begun
	place    place
	again    bool // pushed while it talked
	call     callMark
}

// A callMark is what an act that calls everybody means for a device; bits, for a bed is small.
type callMark uint8

const (
	owes  callMark = 1 << iota // called, and did not come since
	heeds                      // can know a notice of a change of authority for its server's
)

// A turn is an entry that holds while its device has not changed its place.
type turn struct {
	device int32
	turn   uint32
}

// A visit is a device that comes by itself at a moment since the beginning.
type visit struct {
	turn
	at  time.Duration
	why dialect.Why
}

func (t *turns) move(i int32, to place) {
	b := &t.beds[i]
	t.count[b.place]--
	t.count[to]++
	b.place = to
	b.turn++
}

// sleep has a device take its turn among those that rest.
func (t *turns) sleep(i int32) {
	t.move(i, resting)
	t.rest = append(t.rest, turn{i, t.beds[i].turn})
}

// next takes the device that has rested longest; call it only when count says that there is one.
func (t *turns) next(to place) int32 {
	for {
		first := t.rest[0]
		t.rest = t.rest[1:]
		if t.holds(first) {
			t.move(first.device, to)
			return first.device
		}
	}
}

func (t *turns) holds(x turn) bool { return t.beds[x.device].turn == x.turn }

// come has a device come by itself at a moment.
func (t *turns) come(i int32, at time.Duration, why dialect.Why) {
	t.move(i, waiting)
	heap.Push(&t.wait, visit{turn{i, t.beds[i].turn}, at, why})
}

// visits returns the first moment at which a device comes by itself; false: none does.
func (t *turns) visits() (at time.Duration, ok bool) {
	for len(t.wait) > 0 && !t.holds(t.wait[0].turn) {
		heap.Pop(&t.wait)
	}
	if len(t.wait) == 0 {
		return 0, false
	}
	return t.wait[0].at, true
}

// visitor takes the device that visits told of.
func (t *turns) visitor() visit {
	v := heap.Pop(&t.wait).(visit)
	t.move(v.device, talking)
	return v
}

// waits is a heap of visits.
type waits []visit

func (w waits) Len() int           { return len(w) }
func (w waits) Less(i, j int) bool { return w[i].at < w[j].at }
func (w waits) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waits) Push(x any)        { *w = append(*w, x.(visit)) }
func (w *waits) Pop() any {
	old := *w
	last := old[len(old)-1]
	*w = old[:len(old)-1]
	return last
}

// indices finds a device's place among a load's by its number. Numbers mostly are those from 1 on, so it is a list.
type indices []int32 // of place and one; 0: nobody

func indicesOf(devices []fleet.Device) (indices, error) {
	all := make(indices, 0, len(devices)+1)
	for i, d := range devices {
		n := int(d.Number())
		if n >= 4*(len(devices)+1000) {
			return nil, fmt.Errorf("load: a device has the number %d, and there are %d", n, len(devices))
		}
		for len(all) <= n {
			all = append(all, 0)
		}
		if all[n] != 0 {
			return nil, fmt.Errorf("load: two devices have the number %d", n)
		}
		all[n] = int32(i + 1)
	}
	return all, nil
}

func (x indices) of(d protocol.Device) int32 { return x[d] - 1 }

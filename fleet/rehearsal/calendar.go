package rehearsal

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"rollcall/protocol"
)

// lap is the time that a calendar's buckets cover before they begin again: a little more than the steady cadence, so that a
// device's next contact mostly has its place within one lap.
const lap = 9 * time.Hour

// A calendar is a queue of due times, one for each device: buckets of equal width, each a list threaded through arrays by
// device. Setting and taking cost the same however many devices there are, and allocate nothing.
type calendar struct {
	at         []protocol.Time // by device; 0: none
	next, prev []uint32        // by device, within its bucket; device+1, 0: none
	head       []uint32        // by bucket; device+1
	used       []uint64        // bit set: the bucket is not empty
	width      protocol.Time
	ends       protocol.Time // end of the bucket that was taken last: what is due before is in ready
	ready      []due         // latest first
	waiting    int           // in the buckets
}

// A due is that a device is due.
type due struct {
	at     protocol.Time
	device uint32
}

// compare puts the latest first.
func (d due) compare(e due) int {
	return cmp.Or(cmp.Compare(e.at, d.at), cmp.Compare(e.device, d.device))
}

// newCalendar makes a calendar for n devices from a moment on.
func newCalendar(n int, from protocol.Time) *calendar {
	buckets := 64
	for buckets < n/16 {
		buckets *= 2
	}
	c := &calendar{head: make([]uint32, buckets), used: make([]uint64, buckets/64), width: protocol.Time(lap/time.Microsecond) / protocol.Time(buckets)}
	c.ends = from - from%c.width
	c.grow(n)
	return c
}

// grow makes room for n devices.
func (c *calendar) grow(n int) {
	if n <= len(c.at) {
		return
	}
	c.at = append(c.at, make([]protocol.Time, n-len(c.at))...)
	c.next = append(c.next, make([]uint32, n-len(c.next))...)
	c.prev = append(c.prev, make([]uint32, n-len(c.prev))...)
}

func (c *calendar) bucket(at protocol.Time) int { return int(at/c.width) & (len(c.head) - 1) }

// set has the device due at a moment, and at no other; 0: never.
func (c *calendar) set(device uint32, at protocol.Time) {
	if c.at[device] == at {
		return
	}
	c.out(device)
	if c.at[device] = at; at == 0 {
		return
	}
	if at < c.ends {
		d := due{at, device}
		i, _ := slices.BinarySearchFunc(c.ready, d, due.compare)
		c.ready = slices.Insert(c.ready, i, d)
		return
	}
	b := c.bucket(at)
	first := c.head[b]
	c.head[b], c.next[device], c.prev[device] = device+1, first, 0
	if first != 0 {
		c.prev[first-1] = device + 1
	}
	c.used[b/64] |= 1 << (b % 64)
	c.waiting++
}

// out takes the device out of where it stands.
func (c *calendar) out(device uint32) {
	switch at := c.at[device]; {
	case at == 0:
	case at >= c.ends:
		c.unlink(device)
	default:
		if i, ok := slices.BinarySearchFunc(c.ready, due{at, device}, due.compare); ok {
			c.ready = slices.Delete(c.ready, i, i+1)
		}
	}
}

// unlink takes the device out of its bucket.
func (c *calendar) unlink(device uint32) {
	b, next, prev := c.bucket(c.at[device]), c.next[device], c.prev[device]
	if next != 0 {
		c.prev[next-1] = prev
	}
	if prev != 0 {
		c.next[prev-1] = next
	} else if c.head[b] = next; next == 0 {
		c.used[b/64] &^= 1 << (b % 64)
	}
	c.waiting--
}

// first returns what is due first, of two at the same moment the device with the lower number; false: nothing is.
func (c *calendar) first() (due, bool) {
	for len(c.ready) == 0 {
		if c.waiting == 0 {
			return due{}, false
		}
		c.turn()
	}
	return c.ready[len(c.ready)-1], true
}

// turn takes the next bucket that has anything: what is due there within this lap is ready, the rest waits for another lap.
func (c *calendar) turn() {
	b, step := c.bucket(c.ends), 0
	for word := c.used[b/64] >> (b % 64); word == 0; word = c.used[b/64] {
		step += 64 - b%64
		b = (b - b%64 + 64) & (len(c.head) - 1)
	}
	skip := bits.TrailingZeros64(c.used[b/64] >> (b % 64))
	b += skip
	c.ends += protocol.Time(step+skip+1) * c.width
	for d := c.head[b]; d != 0; {
		device := d - 1
		d = c.next[device]
		if at := c.at[device]; at < c.ends {
			c.unlink(device)
			c.ready = append(c.ready, due{at, device})
		}
	}
	slices.SortFunc(c.ready, due.compare)
}

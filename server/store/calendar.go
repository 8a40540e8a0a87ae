package store

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

// A Calendar is a queue of due times, one for each device: buckets of equal width, each a list threaded through arrays by
// device. Setting and taking cost the same however many devices there are, and allocate nothing. The zero value is empty and
// has room for nobody: see [Calendar.Grow].
type Calendar struct {
	days    []day    // by device
	head    []uint32 // by bucket; device+1
	used    []uint64 // bit set: the bucket is not empty
	width   protocol.Time
	ends    protocol.Time // end of the bucket that was taken last: what is due before is in ready
	ready   []Due         // latest first
	waiting int           // in the buckets
	turned  uint64        // buckets taken so far
}

// A day is where a device stands in a calendar.
type day struct {
	at         protocol.Time // 0: nowhere
	next, prev uint32        // within its bucket; device+1, 0: none
}

// A Due is that a device is due.
type Due struct {
	At     protocol.Time
	Device uint32
}

// compare puts the latest first.
func (d Due) compare(e Due) int {
	if d.At != e.At {
		return cmp.Compare(e.At, d.At)
	}
	return cmp.Compare(e.Device, d.Device)
}

// Grow makes room for the devices 0 to n-1.
func (c *Calendar) Grow(n int) {
	if n <= len(c.days) {
		return
	}
	c.days = append(c.days, make([]day, n-len(c.days))...)
	buckets := max(64, len(c.head))
	for n > 16*buckets {
		buckets *= 2
	}
	if buckets > len(c.head) {
		c.deal(buckets)
	}
}

// deal deals everything out into other buckets.
func (c *Calendar) deal(buckets int) {
	c.head, c.used, c.width = make([]uint32, buckets), make([]uint64, buckets/64), protocol.Time(lap/time.Microsecond)/protocol.Time(buckets)
	first := protocol.Time(0)
	for i := range c.days {
		first = first.Sooner(c.days[i].at)
	}
	c.ready, c.waiting, c.ends = c.ready[:0], 0, first-first%c.width
	for device := range c.days {
		if at := c.days[device].at; at != 0 {
			c.put(uint32(device), at)
		}
	}
}

func (c *Calendar) bucket(at protocol.Time) int { return int(at/c.width) & (len(c.head) - 1) }

// At returns when a device is due; 0: it is not.
func (c *Calendar) At(device uint32) protocol.Time {
	if int(device) >= len(c.days) {
		return 0
	}
	return c.days[device].at
}

// Set has the device due at a moment, and at no other; 0: never.
func (c *Calendar) Set(device uint32, at protocol.Time) {
	if c.days[device].at == at {
		return
	}
	c.out(device)
	if c.days[device].at = at; at != 0 {
		c.put(device, at)
	}
}

// put puts the device where it belongs.
func (c *Calendar) put(device uint32, at protocol.Time) {
	if c.waiting == 0 && len(c.ready) == 0 && at > c.ends { // what lies between is empty
		c.ends = at - at%c.width
	}
	if at < c.ends {
		d := Due{at, device}
		i, _ := slices.BinarySearchFunc(c.ready, d, Due.compare)
		c.ready = slices.Insert(c.ready, i, d)
		return
	}
	b := c.bucket(at)
	first := c.head[b]
	c.head[b], c.days[device].next, c.days[device].prev = device+1, first, 0
	if first != 0 {
		c.days[first-1].prev = device + 1
	}
	c.used[b/64] |= 1 << (b % 64)
	c.waiting++
}

// out takes the device out of where it stands.
func (c *Calendar) out(device uint32) {
	switch at := c.days[device].at; {
	case at == 0:
	case at >= c.ends:
		c.unlink(device)
	case c.ready[len(c.ready)-1].Device == device: // mostly the first
		c.ready = c.ready[:len(c.ready)-1]
	default:
		if i, ok := slices.BinarySearchFunc(c.ready, Due{at, device}, Due.compare); ok {
			c.ready = slices.Delete(c.ready, i, i+1)
		}
	}
}

// unlink takes the device out of its bucket.
func (c *Calendar) unlink(device uint32) {
	b, next, prev := c.bucket(c.days[device].at), c.days[device].next, c.days[device].prev
	if next != 0 {
		c.days[next-1].prev = prev
	}
	if prev != 0 {
		c.days[prev-1].next = next
	} else if c.head[b] = next; next == 0 {
		c.used[b/64] &^= 1 << (b % 64)
	}
	c.waiting--
}

// First returns what is due first, of two at the same moment the device with the lower number; false: nothing is.
func (c *Calendar) First() (Due, bool) {
	for len(c.ready) == 0 {
		if c.waiting == 0 {
			return Due{}, false
		}
		c.turn()
	}
	return c.ready[len(c.ready)-1], true
}

// take appends to dst up to n of those due at now or before, first things first, and leaves them due.
func (c *Calendar) take(dst []Due, now protocol.Time, n int) []Due {
	from := len(dst)
	for len(dst)-from < n {
		d, ok := c.First()
		if !ok || d.At > now {
			break
		}
		dst = append(dst, d)
		c.Set(d.Device, 0)
	}
	for i := len(dst) - 1; i >= from; i-- { // the latest first: each has its place at the end
		c.Set(dst[i].Device, dst[i].At)
	}
	return dst
}

// turn takes the next bucket that has anything: what is due there within this lap is ready, the rest waits for another lap.
func (c *Calendar) turn() {
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
		d = c.days[device].next
		if at := c.days[device].at; at < c.ends {
			c.unlink(device)
			c.ready = append(c.ready, Due{at, device})
		}
	}
	slices.SortFunc(c.ready, Due.compare)
	c.turned++
}

// Coming is what First will return in the near future, latest first, and a number that changes when there is more of it: whoever
// wants to have it at hand can fetch it all at once.
func (c *Calendar) Coming() ([]Due, uint64) { return c.ready, c.turned }

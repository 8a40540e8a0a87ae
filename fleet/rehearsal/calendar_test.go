package rehearsal

import (
	"math/rand/v2"
	"testing"
	"time"

	"rollcall/protocol"
)

// The calendar gives back what a plain search for the least gives, whatever is set, moved and taken in between.
func TestCalendar(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		n := 1 + r.IntN(3000)
		c, plain := newCalendar(n, now), make([]protocol.Time, n)
		at := now
		for range 4000 {
			d := r.IntN(n)
			switch r.IntN(10) {
			case 0:
				plain[d] = 0
			case 1:
				plain[d] = at.Add(time.Duration(r.Int64N(int64(400 * 24 * time.Hour))))
			case 2, 3:
				plain[d] = at
			default:
				plain[d] = at.Add(time.Duration(r.Int64N(int64(9 * time.Hour))))
			}
			c.set(uint32(d), plain[d])
			if r.IntN(2) == 0 {
				continue
			}
			least := -1
			for i, x := range plain {
				if x != 0 && (least < 0 || x < plain[least]) {
					least = i
				}
			}
			got, ok := c.first()
			if ok != (least >= 0) || ok && (int(got.device) != least || got.at != plain[least]) {
				t.Fatalf("seed %d: first is %v %v, want device %d at %s", seed, got, ok, least, plain[max(least, 0)])
			}
			if ok {
				at = got.at
				plain[least] = 0
				c.set(got.device, 0)
			}
		}
	}
}

package store

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rollcall/protocol"
)

// The calendar gives back what a plain search for the least gives, whatever is set, moved and taken in between.
func TestCalendar(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		n := 1 + r.IntN(3000)
		c, plain := new(Calendar), make([]protocol.Time, n)
		c.Grow(1 + n/2)
		now := protocol.At(time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC))
		at := now
		for k := range 4000 {
			if k == 500 {
				c.Grow(n)
			}
			d := r.IntN(len(c.days))
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
			c.Set(uint32(d), plain[d])
			if r.IntN(2) == 0 {
				continue
			}
			if r.IntN(8) == 0 {
				until := at.Add(time.Duration(r.Int64N(int64(time.Hour))))
				taken := c.take(nil, until, 1+r.IntN(50))
				if !slices.IsSortedFunc(taken, func(a, b Due) int { return b.compare(a) }) {
					t.Fatalf("seed %d: taken out of order: %v", seed, taken)
				}
				for _, d := range taken {
					if plain[d.Device] != d.At || d.At > until || c.At(d.Device) != d.At {
						t.Fatalf("seed %d: took %v until %s, want %s", seed, d, until, plain[d.Device])
					}
				}
			}
			least := -1
			for i, x := range plain {
				if x != 0 && (least < 0 || x < plain[least]) {
					least = i
				}
			}
			got, ok := c.First()
			if ok != (least >= 0) || ok && (int(got.Device) != least || got.At != plain[least]) {
				t.Fatalf("seed %d: first is %v %v, want device %d at %s", seed, got, ok, least, plain[max(least, 0)])
			}
			if ok {
				at = got.At
				plain[least] = 0
				c.Set(got.Device, 0)
			}
		}
	}
}

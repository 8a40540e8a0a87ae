package store

import (
	"math/rand/v2"
	"testing"
)

// An index finds what a map finds, whatever is added and removed in between, where many hashes are alike too.
func TestIndex(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		some := uint64(1) << r.IntN(12)
		hashOf := func(n uint32) uint64 { return uint64(n) % some * 0x9e3779b97f4a7c15 }
		x, want := new(index), map[uint32]bool{}
		for range 3000 {
			n := 1 + r.Uint32N(400)
			switch {
			case !want[n]:
				x.add(n, hashOf)
				want[n] = true
			case r.IntN(2) == 0:
				x.remove(n, hashOf)
				delete(want, n)
			}
			n = 1 + r.Uint32N(400)
			if got := x.find(hashOf(n), func(m uint32) bool { return m == n }); got == n != want[n] {
				t.Fatalf("seed %d: find %d = %d, want it found: %t", seed, n, got, want[n])
			}
		}
	}
}

package population

import (
	"math/bits"
	"math/rand/v2"
	"strings"

	"rollcall/fleet/plan"
)

// source mixes the three numbers so that neighbours have nothing in common. use tells apart what the numbers
// are for: what a device is must not change with what it does.
func source(seed, use, i uint64) *rand.PCG {
	h := mix(seed ^ mix(use))
	return rand.NewPCG(mix(h^i), mix(h+i))
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below draws a number from 0 to n-1. The standard library's draws differ between 32 and 64 bits (HST-124).
func below(r *rand.PCG, n int) int {
	hi, _ := bits.Mul64(r.Uint64(), uint64(n))
	return int(hi)
}

func happens(r *rand.PCG, s plan.Share) bool { return below(r, int(plan.Whole)) < int(s) }

// weighted draws an index of parts in proportion to them, or -1 for what is missing to whole.
func weighted(r *rand.PCG, whole int, parts ...int) int {
	u := below(r, whole)
	for i, p := range parts {
		if u -= p; u < 0 {
			return i
		}
	}
	return -1
}

func shuffle[T any](r *rand.PCG, s []T) {
	for i := len(s) - 1; i > 0; i-- {
		j := below(r, i+1)
		s[i], s[j] = s[j], s[i]
	}
}

// An arena holds many short strings in few pieces of memory.
type arena struct{ chunk *strings.Builder }

const arenaChunk = 64 << 10

func (a *arena) keep(b []byte) string {
	if a.chunk == nil || a.chunk.Cap()-a.chunk.Len() < len(b) {
		a.chunk = new(strings.Builder)
		a.chunk.Grow(max(arenaChunk, len(b)))
	}
	start := a.chunk.Len()
	a.chunk.Write(b)
	return a.chunk.String()[start:]
}

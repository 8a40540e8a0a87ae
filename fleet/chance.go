package fleet

import (
	"math/bits"
	"math/rand/v2"

	"rollcall/fleet/plan"
)

// A purpose keeps the draws of one kind apart from all others.
type purpose uint64

const (
	forDevice purpose = iota + 1
	forSpell
	forSync
	forAbsence
	forAsk
	forAgain
	forPIN
	forDrop
	forReset
	forBusy
	forNight
	forLicence
)

// draw returns the random numbers of device i for one purpose and key; the same arguments, the same numbers.
func (f *Fleet) draw(i int, p purpose, key uint64) *rand.PCG { return draw(f.seed, i, p, key) }

func draw(seed uint64, i int, p purpose, key uint64) *rand.PCG {
	return rand.NewPCG(mix(seed, uint64(i)), mix(uint64(p), key))
}

// meets tells whether device i is one of share's, for this purpose and key.
func (f *Fleet) meets(share plan.Share, i int, p purpose, key uint64) bool {
	return f.draw(i, p, key).Uint64()%uint64(plan.Whole) < uint64(share)
}

// within returns a number below n.
func within(r *rand.PCG, n uint64) uint64 {
	hi, _ := bits.Mul64(r.Uint64(), n)
	return hi
}

// mix spreads two numbers over 64 bits (the finisher of SplitMix64).
func mix(a, b uint64) uint64 {
	z := a*0x9e3779b97f4a7c15 + b
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

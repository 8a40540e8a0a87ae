package agent

import (
	"math/rand/v2"
	"time"

	"rollcall/protocol"
)

// A Chance is what a device draws numbers for.
type Chance uint8

// The core's own, and the first that is free for a dialect.
const (
	chanceRetry Chance = iota
	chancePlace
	ChanceOfDialect

	chanceReturn Chance = 1<<8 - 1 // counted from the end: what dialects draw stays what it was
)

// Draw returns a number from 0 up to n-1: a pure function of the device's seed and number, what the draw is for, and a key
// such as the moment. So whatever the device drew before, for a retry that another run did not need, changes nothing about
// the rest of its life.
func (d *Device) Draw(n uint64, what Chance, key uint64) uint64 {
	if n == 0 {
		return 0
	}
	var r rand.PCG
	r.Seed(mix(d.seed, uint64(d.id)), mix(uint64(what), key))
	limit := -n % n // 2^64 mod n: what would favour small numbers is thrown away
	for {
		if v := r.Uint64(); v >= limit {
			return v % n
		}
	}
}

// someOf draws a part of the time until the next try.
func (d *Device) someOf(all time.Duration, now protocol.Time) time.Duration {
	hour := uint64(now) / uint64(time.Hour/time.Microsecond)
	return time.Duration(d.Draw(uint64(all/time.Microsecond), chanceRetry, hour<<8|uint64(d.tries))) * time.Microsecond
}

// late draws how long after its return the device makes up for what it missed: for an hour, as a retry is.
func (d *Device) late(most time.Duration, now protocol.Time) time.Duration {
	hour := uint64(now) / uint64(time.Hour/time.Microsecond)
	return time.Duration(d.Draw(uint64(most/time.Microsecond), chanceReturn, hour)) * time.Microsecond
}

// place is where in the steady cadence the device has its contacts, as a share of 2^64.
func (d *Device) place() uint64 { return mix(mix(d.seed, uint64(d.id)), uint64(chancePlace)) }

// mix spreads two numbers over 64 bits (the finisher of SplitMix64).
func mix(a, b uint64) uint64 {
	z := a*0x9e3779b97f4a7c15 + b
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

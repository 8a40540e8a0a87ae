package fleet

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
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
	forReenrol
	forPush
	forClock
	forWire
)

// Draws are what the devices of a story do by chance, each a function of the plan, its seed and the device alone: one plan and
// seed tell the same story live and rehearsed. Devices and users are named by their index in the population.
type Draws struct{ plan *plan.Plan }

// DrawsOf returns the draws of p's story.
func DrawsOf(p *plan.Plan) Draws { return Draws{p} }

// draw returns the random numbers of device i for one purpose and key; the same arguments, the same numbers.
func (d Draws) draw(i int, p purpose, key uint64) *rand.PCG { return draw(d.plan.Seed, i, p, key) }

func draw(seed uint64, i int, p purpose, key uint64) *rand.PCG {
	return rand.NewPCG(mix(seed, uint64(i)), mix(uint64(p), key))
}

// meets tells whether device i is one of share's, for this purpose and key.
func (d Draws) meets(share plan.Share, i int, p purpose, key uint64) bool {
	return d.draw(i, p, key).Uint64()%uint64(plan.Whole) < uint64(share)
}

// Device returns the seed of device i's own chance.
func (d Draws) Device(i int) uint64 { return d.draw(i, forDevice, 0).Uint64() }

// Clock returns how far the clock of device i is ahead, or behind: as many clocks are the one as the other.
func (d Draws) Clock(i int) time.Duration {
	c := &d.plan.Population.Clocks
	if c.Share == 0 || !d.meets(c.Share, i, forClock, 0) {
		return 0
	}
	r := d.draw(i, forClock, 1)
	off := c.Off.Draw(r)
	if within(r, 2) == 0 {
		off = -off
	}
	return off
}

// Speaks tells whether device i is one of a share that speaks over the wire in a rehearsal.
func (d Draws) Speaks(i int, share plan.Share) bool { return d.meets(share, i, forWire, 0) }

// Asked returns how long after it was asked for the user of device i starts a check-in; salt is the action's index.
func (d Draws) Asked(i int, salt uint64) time.Duration {
	return time.Duration(within(d.draw(i, forAsk, salt), uint64(time.Hour)))
}

// Absence returns how long device i stays away.
func (d Draws) Absence(i int, salt uint64, a *plan.Absence) time.Duration {
	return a.Lasts.Draw(d.draw(i, forAbsence, salt))
}

// Again returns when, within a time, device i enrols again.
func (d Draws) Again(i int, salt uint64, over time.Duration) time.Duration {
	return time.Duration(within(d.draw(i, forAgain, salt), max(uint64(over), 1)))
}

// Reenrol returns when, within a time, the user of device i unenrols it and enrols it again.
func (d Draws) Reenrol(i int, salt uint64, over time.Duration) time.Duration {
	return time.Duration(within(d.draw(i, forReenrol, salt), max(uint64(over), 1)))
}

// TryLater returns how long after an enrolment that failed at now the user of device i tries again: within the hour, and
// after each further failure within twice as long, up to a day. tries is how many in a row failed before.
func (d Draws) TryLater(i int, now protocol.Time, tries uint8) time.Duration {
	wait := 10*time.Minute + time.Duration(within(d.draw(i, forAgain, uint64(now)), uint64(50*time.Minute)))
	return min(wait<<min(tries, 5), 24*time.Hour)
}

// turn returns in which of n waves user i gets a licence.
func (d Draws) turn(i int, salt uint64, n int) int {
	return int(within(d.draw(i, forLicence, salt), uint64(n)))
}

// PIN returns the PIN that locks device i.
func (d Draws) PIN(i int, salt uint64) string {
	return fmt.Sprintf("%06d", within(d.draw(i, forPIN, salt), 1_000_000))
}

// A Request counts what a device sends in an hour, or the pushes that come for it: the n-th request of an hour has the same luck in every run, whatever came
// before that hour. The zero Request sent nothing.
type Request struct{ hour, sends uint32 }

// Next is the request after r, at a time from the beginning of the story.
func (r Request) Next(at time.Duration) Request {
	if hour := uint32(at / time.Hour); hour != r.hour {
		r = Request{hour: hour}
	}
	r.sends++
	return r
}

func (r Request) key() uint64 { return uint64(r.hour)<<32 | uint64(r.sends) }

// Reset, Busy and Dropped tell whether request r of device i meets that fault, which strikes share of them.
func (d Draws) Reset(i int, r Request, share plan.Share) bool { return d.struck(i, forReset, r, share) }

func (d Draws) Busy(i int, r Request, share plan.Share) bool { return d.struck(i, forBusy, r, share) }

func (d Draws) Dropped(i int, r Request, share plan.Share) bool {
	return d.struck(i, forDrop, r, share)
}

// PushLost tells whether push r to device i vanishes where share of them do.
func (d Draws) PushLost(i int, r Request, share plan.Share) bool {
	return d.struck(i, forPush, r, share)
}

func (d Draws) struck(i int, p purpose, r Request, share plan.Share) bool {
	return share > 0 && d.meets(share, i, p, r.key())
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

package apns

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// A Fault is one way to misbehave: the name of any [Reason], with which the push is then refused, or one of
// the words below. A fault strikes a push that would otherwise have been accepted; of all faults only [Drop]
// answers 200.
type Fault string

// The faults that are no refusals.
const (
	NoFault Fault = ""
	Drop    Fault = "Drop"   // 200, and the notification is gone
	GoAway  Fault = "GoAway" // 503 Shutdown and GOAWAY with the same JSON: later streams of this connection are not looked at
	Half    Fault = "Half"   // the answer breaks off in the middle and the stream is reset
	Hang    Fault = "Hang"   // no answer until Service.Release, then an ordinary one
	HTML    Fault = "HTML"   // 502 with a page that some middlebox might write
	Reset   Fault = "Reset"  // the whole connection is cut, with every stream on it
)

var special = []Fault{Drop, GoAway, Half, Hang, HTML, Reset}

// Faults are the dials. The zero value is a service in good health.
type Faults struct {
	// Script is used up first: the next pushes that would be accepted meet these, one each, in order of
	// arrival. NoFault lets one pass.
	Script []Fault
	// Share is, for each fault, the share of pushes that meet it, from 0 to 1 and together at most 1. Chance
	// is drawn for each device token by itself, from seed and token, so that the order in which different
	// devices are pushed to changes nothing.
	Share map[Fault]float64
}

// dials are Faults made ready: a fault strikes when a draw from 0 to 2^32-1 is below its cut and not below
// the cut before it.
type dials struct {
	script []Fault
	faults []Fault
	cuts   []uint64
}

func (f Faults) dials() (dials, error) {
	d := dials{script: slices.Clone(f.Script)}
	for _, name := range f.Script {
		if name != NoFault && !name.known() {
			return dials{}, fmt.Errorf("fault %q: want %s or a reason such as %s", name, join(special), TooManyRequests)
		}
	}
	var sum uint64
	for _, name := range slices.Sorted(maps.Keys(f.Share)) {
		share := f.Share[name]
		if !name.known() {
			return dials{}, fmt.Errorf("fault %q: want %s or a reason such as %s", name, join(special), TooManyRequests)
		}
		if !(share >= 0 && share <= 1) { // NaN too
			return dials{}, fmt.Errorf("fault %s: share %v: want 0 to 1", name, share)
		}
		sum += uint64(math.Round(share * (1 << 32)))
		d.faults = append(d.faults, name)
		d.cuts = append(d.cuts, sum)
	}
	if sum > 1<<32+uint64(len(d.cuts)) { // each may have been rounded up
		return dials{}, fmt.Errorf("faults: the shares add up to %.3g, more than 1", float64(sum)/(1<<32))
	}
	return d, nil
}

// next picks the fault for one push; draw is called only if chance has a say.
func (d *dials) next(draw func() uint32) Fault {
	if len(d.script) > 0 {
		f := d.script[0]
		d.script = d.script[1:]
		return f
	}
	if len(d.cuts) == 0 {
		return NoFault
	}
	n := uint64(draw())
	for i, cut := range d.cuts {
		if n < cut {
			return d.faults[i]
		}
	}
	return NoFault
}

func (f Fault) known() bool { return slices.Contains(special, f) || Reason(f).Status() != 0 }

func join(faults []Fault) string {
	words := make([]string, len(faults))
	for i, f := range faults {
		words[i] = string(f)
	}
	return strings.Join(words, ", ")
}

package cloud

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Dials decide which fault strikes next. A fault strikes when a draw from 0 to 2^32-1 is below its cut and not below the cut before
// it. The zero Dials have no faults.
type Dials[Fault ~string] struct {
	script []Fault
	faults []Fault
	cuts   []uint64
}

// NewDials makes dials of a script, which is used up first, and of shares, from 0 to 1 and together at most 1. Check says what is
// wrong with a fault's name; the empty name, which only a script may have, lets one pass.
func NewDials[Fault ~string](script []Fault, share map[Fault]float64, check func(Fault) error) (d Dials[Fault], err error) {
	d.script = slices.Clone(script)
	for _, name := range script {
		if name == "" {
			continue
		}
		if err := check(name); err != nil {
			return d, err
		}
	}
	var sum uint64
	for _, name := range slices.Sorted(maps.Keys(share)) {
		x := share[name]
		if err := check(name); err != nil {
			return d, err
		}
		if !(x >= 0 && x <= 1) { // NaN too
			return d, fmt.Errorf("fault %s: share %v: want 0 to 1", name, x)
		}
		sum += uint64(math.Round(x * (1 << 32)))
		d.faults = append(d.faults, name)
		d.cuts = append(d.cuts, sum)
	}
	if sum > 1<<32+uint64(len(d.cuts)) { // each may have been rounded up
		return d, fmt.Errorf("faults: the shares add up to %.3g, more than 1", float64(sum)/(1<<32))
	}
	return d, nil
}

// Next picks the fault for one message, empty: none; draw is called only if chance has a say.
func (d *Dials[Fault]) Next(draw func() uint32) Fault {
	if len(d.script) > 0 {
		f := d.script[0]
		d.script = d.script[1:]
		return f
	}
	if len(d.cuts) == 0 {
		return ""
	}
	n := uint64(draw())
	for i, cut := range d.cuts {
		if n < cut {
			return d.faults[i]
		}
	}
	return ""
}

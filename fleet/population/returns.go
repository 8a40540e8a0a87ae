package population

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// Returns are how devices that had been silent came back between two exports of one tenant, by how long they had been silent.
// The zero Returns knows nothing.
type Returns struct {
	Between time.Duration // from the older export to the newer
	Bands   []Return      // the shortest silence first
}

// A Return is one length of silence.
type Return struct {
	From, To time.Duration // at the older export: at least From and less than To; To 0: any longer
	Silent   int           // devices that are in both exports
	Back     int           // of these, in contact again before the newer
}

// bands are the lengths of silence that are told apart; a device that was silent for less than a day is there.
var bands = [...]time.Duration{oneDay, 7 * oneDay, 30 * oneDay, 90 * oneDay}

const oneDay = 24 * time.Hour

// Since takes from an older export of the same tenant how silent devices come back, into p.Returns. The error tells that old
// is not older, or that no device is in both.
func (p *Population) Since(old *Population) error {
	between := p.Tenant.AsOf.Sub(old.Tenant.AsOf)
	if between <= 0 {
		return fmt.Errorf("it describes %s, which is not before %s", old.Tenant.AsOf, p.Tenant.AsOf)
	}
	at := make(map[uint64]int, len(p.keys))
	for i, key := range p.keys {
		at[key] = i
	}
	r := Returns{Between: between}
	for b, from := range bands {
		to := time.Duration(0)
		if b+1 < len(bands) {
			to = bands[b+1]
		}
		r.Bands = append(r.Bands, Return{From: from, To: to})
	}
	both := 0
	for n, key := range old.keys {
		i, there := at[key]
		if !there {
			continue
		}
		both++
		before, now := old.Devices[n].Contact, p.Devices[i].Contact
		silent, _, known := before.Silent(old.Tenant.AsOf)
		band := r.band(silent)
		if !known || band == nil || over(&old.Devices[n], old.Tenant.AsOf) { // what has ended comes back by no network
			continue
		}
		if band.Silent++; now.Earliest > before.Latest {
			band.Back++
		}
	}
	if both == 0 {
		return errors.New("no device is in both exports: are they of the same tenant?")
	}
	p.Returns = r
	return nil
}

// over tells whether d must enrol again at a moment (AUTH-42).
func over(d *Device, at protocol.Time) bool {
	return d.Has(Revoked) || d.CertEnd != 0 && d.CertEnd <= at
}

// band returns the band of devices that have been silent for so long; nil: there is none, for they are on line.
func (r *Returns) band(silent time.Duration) *Return {
	for b := range r.Bands {
		if band := &r.Bands[b]; silent >= band.From && (band.To == 0 || silent < band.To) {
			return band
		}
	}
	return nil
}

// Comeback draws when device i, silent as the story begins, is back: 0 if it is there, [Never] if none like it ever came back.
// known is false where neither an older export nor the plan says anything of devices like it.
func (p *Population) Comeback(i int, seed uint64) (after time.Duration, known bool) {
	if p.Tenant.AsOf == 0 {
		return p.planned(i, seed)
	}
	silent, _, ok := p.Devices[i].Contact.Silent(p.Tenant.AsOf)
	if !ok || p.Returns.Between == 0 {
		return 0, false
	}
	band := p.Returns.band(silent)
	switch {
	case band == nil:
		return 0, true
	case band.Silent == 0:
		return 0, false
	case band.Back == 0:
		return Never, true
	}
	// In each span as long as that between the exports, a device comes back with the share of those that did.
	return back(source(seed, useReturn, uint64(i)), p.Returns.Between, band.Back, band.Silent), true
}

// planned is the Comeback of a device that a plan made.
func (p *Population) planned(i int, seed uint64) (after time.Duration, known bool) {
	silent, _, ok := p.Devices[i].Contact.Silent(Begin)
	if !ok {
		return 0, false
	}
	for n := range p.silences {
		if s := &p.silences[n]; silent <= s.For.Longest() {
			if s.Back.Share == 0 {
				return Never, true
			}
			return back(source(seed, useReturn, uint64(i)), s.Back.Per, int(s.Back.Share), int(plan.Whole)), true
		}
	}
	return 0, false
}

// back draws when a device is back of which so many of a whole come back in each span.
func back(r *rand.PCG, span time.Duration, share, whole int) (after time.Duration) {
	for below(r, whole) >= share {
		after += span
		if after > 100*365*oneDay {
			return Never
		}
	}
	return after + time.Duration(below(r, max(1, int(span/time.Second))))*time.Second
}

// Length says in words how long the devices had been silent.
func (r *Return) Length() lang.Text {
	if r.To == 0 {
		return lang.Later("over %d {day|days}", int(r.From/oneDay))
	}
	return lang.Later("%d to %d {day|days}", int(r.From/oneDay), int(r.To/oneDay))
}

package plan

import (
	"fmt"
	"slices"
)

// WithDevices returns p with n devices in all: every number of devices is scaled alike, none that was there
// becomes zero. The error says how many devices the plan needs at least.
func (p *Plan) WithDevices(n int) (*Plan, error) {
	scaled := *p
	scaled.Timeline = make([]Action, len(p.Timeline))
	for i, a := range p.Timeline {
		if a.Enrol != nil {
			enrol := *a.Enrol
			a.Enrol = &enrol
		}
		scaled.Timeline[i] = a
	}
	counts := scaled.counts()
	total := p.Devices()
	if n < len(counts) || n > maxCount {
		return nil, Errors{{File: p.file, Field: "devices", Message: fmt.Sprintf("%d devices; this plan needs %d to %d", n, len(counts), maxCount)}}
	}
	if units := p.Tenant.Units; units != nil { // as many for each user as before
		u := int((int64(*units)*int64(n) + int64(total) - 1) / int64(total))
		scaled.Tenant.Units = &u
	}
	before, given := 0, 0
	for _, c := range counts {
		before += *c
		upTo := int(int64(n) * int64(before) / int64(total))
		*c, given = upTo-given, upTo
	}
	for _, c := range counts {
		if *c == 0 {
			*slices.MaxFunc(counts, func(a, b *int) int { return *a - *b })--
			*c = 1
		}
	}
	return &scaled, nil
}

// counts returns all numbers of devices in p that are not zero.
func (p *Plan) counts() []*int {
	var counts []*int
	add := func(c *int) {
		if *c > 0 {
			counts = append(counts, c)
		}
	}
	all := func(b *ByPlatform) {
		for _, c := range []*int{&b.IOS, &b.IPadOS, &b.MacOS, &b.Android, &b.Windows} {
			add(c)
		}
	}
	add(&p.Population.Devices)
	all(&p.Population.Already.ByPlatform)
	all(&p.Population.Already.Userless.ByPlatform)
	for i := range p.Timeline {
		if e := p.Timeline[i].Enrol; e != nil {
			all(&e.ByPlatform)
			all(&e.Userless)
			add(&e.CoManaged)
		}
	}
	return counts
}

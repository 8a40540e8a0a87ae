package population

import (
	"fmt"
	"math"
)

// Resample returns a population of n devices like p's. It copies users with all their devices, and userless devices,
// again and again in a drawn order, until there are n; each copy has its own name, serial number, UDID and user. So
// proportions stay, the units owned too, and what belongs together stays together. Doubts are about the original and are not copied. Same
// n and seed, same result; an empty p gives an empty result.
func (p *Population) Resample(n int, seed uint64) *Population {
	out := &Population{Tenant: p.Tenant, Groups: p.Groups, Total: n, Assumed: p.Assumed, Findings: p.Findings, Returns: p.Returns}
	units := p.units()
	if len(units) == 0 {
		out.Total = 0
		return out
	}
	s := sampler{from: p, to: out, seed: seed}
	r := source(seed, useSample, uint64(n))
	out.Devices = make([]Device, 0, n)
	for len(out.Devices) < n {
		shuffle(r, units)
		for _, unit := range units {
			s.copy(unit[:min(len(unit), n-len(out.Devices))])
		}
	}
	out.Tenant.Units = p.unitsFor(out)
	return out
}

// unitsFor returns how many units a sample of p owns: to spare as many for each user who holds none as p, so that what sufficed
// suffices. Who owned one owns one.
func (p *Population) unitsFor(sample *Population) Units {
	u, users, now := p.Tenant.Units, len(p.Users), len(sample.Users)
	if u.Owned == 0 || users == 0 {
		return u
	}
	held, heldNow := p.Holders().entitled(), sample.Holders().entitled()
	of, ofNow := users-held, now-heldNow
	if of == 0 || u.Owned < held {
		of, ofNow = users, now
	}
	scaled := func(n int) int { return int(math.Ceil(float64(n) * float64(ofNow) / float64(of))) }
	owned := max(1, heldNow+scaled(u.Owned-held))
	return Units{Known: u.Known, Owned: owned, Free: min(owned, scaled(u.Free))}
}

// units returns the devices of p in groups that share a user.
func (p *Population) units() [][]int32 {
	var units [][]int32
	of := make([]int32, len(p.Users)) // a user's unit, from 1
	for i := range p.Devices {
		u := p.Devices[i].User
		switch {
		case u == Nobody:
			units = append(units, []int32{int32(i)})
		case of[u] == 0:
			units = append(units, []int32{int32(i)})
			of[u] = int32(len(units))
		default:
			units[of[u]-1] = append(units[of[u]-1], int32(i))
		}
	}
	return units
}

type sampler struct {
	from, to *Population
	seed     uint64
	strings  arena
	scratch  []byte
}

// copy appends one unit's devices, and their user if they have one.
func (s *sampler) copy(unit []int32) {
	if len(unit) == 0 {
		return
	}
	user := Nobody
	if of := s.from.Devices[unit[0]].User; of != Nobody {
		user = int32(len(s.to.Users))
		u := s.from.Users[of]
		u.UPN = s.keep(fmt.Appendf(s.scratch[:0], "user%06d@example.com", user+1))
		s.to.Users = append(s.to.Users, u)
	}
	for _, i := range unit {
		d := s.from.Devices[i]
		n := len(s.to.Devices)
		r := source(s.seed, useDevice, uint64(n))
		d.User = user
		d.Name = s.keep(fmt.Appendf(s.scratch[:0], "%s-%06d", d.Platform, n+1))
		d.Serial = s.keep(fmt.Appendf(s.scratch[:0], "ROLLCALL%06d", n+1))
		d.UDID = s.keep(appendUDID(s.scratch[:0], d.Platform, 0, r.Uint64(), r.Uint64()))
		s.to.Devices = append(s.to.Devices, d)
	}
}

func (s *sampler) keep(b []byte) string {
	s.scratch = b
	return s.strings.keep(b)
}

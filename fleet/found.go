package fleet

import (
	"context"
	"time"

	"rollcall/fleet/population"
	"rollcall/protocol"
)

// foreword is one steady interval: the devices that are there when the story begins enrol within it, so that their contacts
// are spread as those of a tenant are that has been there for years.
const foreword = 8 * time.Hour

// Foreword returns how long before the story a driven clock begins: 0 unless p has devices that are enrolled already.
func Foreword(p *population.Population) time.Duration {
	for i := range p.Devices {
		if here(&p.Devices[i]) {
			return foreword
		}
	}
	return 0
}

// here tells whether d is enrolled when the story begins, and has a wire.
func here(d *population.Device) bool { return d.Joins == population.Already && d.Platform.Apple() }

// Silent tells whether device i was out of reach before the story and stays so to its end: its identity is over or
// revoked, or none like it ever came back. Where no older export says how they come back it is over 30 days of silence: a
// snapshot cannot tell when it returns.
func (f *Fleet) Silent(i int) bool {
	d := &f.population.Devices[i]
	if !here(d) {
		return false
	}
	asOf := f.population.Tenant.AsOf
	if asOf == 0 {
		asOf = f.start
	}
	if d.Has(population.Revoked) || d.CertEnd != 0 && d.CertEnd <= asOf {
		return true
	}
	if after, known := f.population.Comeback(i, f.seed); known {
		return after == population.Never
	}
	least, _, ok := d.Contact.Silent(asOf)
	return ok && least > 30*24*time.Hour
}

// found gives the target its users and enrols the devices that are there when the story begins, registered as the
// population says. Beside BMS with Intune added it follows from the user's licences at the enrolment who manages a device:
// those under BMS come first, while their users have no claim to Intune, then the rest, whose users have one; and then
// everybody holds what is true.
func (f *Fleet) found(ctx context.Context) error {
	phases := map[protocol.Authority][]int{}
	n := 0
	for i := range f.population.Devices {
		d := &f.population.Devices[i]
		if !here(d) {
			continue
		}
		n++
		as := protocol.Unknown
		if f.population.Tenant.Coexistence {
			as = d.Registered
		}
		phases[as] = append(phases[as], i)
	}
	if n > 0 { // licences may have gone since they enrolled
		if err := f.gate(ctx, "never"); err != nil {
			return err
		}
	}
	f.founding = true
	from, done := f.clock.Now(), 0
	added, was := false, protocol.Unknown
	for _, as := range []protocol.Authority{protocol.Office365, protocol.Intune, protocol.Unknown} {
		devices := phases[as]
		if len(devices) == 0 && as != protocol.Unknown {
			continue
		}
		var err error
		if added {
			err = f.relicense(ctx, was, as)
		} else {
			err = f.addUsers(ctx, as)
		}
		if err != nil {
			return err
		}
		added, was = true, as
		if len(devices) == 0 {
			continue
		}
		done += len(devices)
		until := f.begin.Add(f.start.Sub(f.begin) * time.Duration(done) / time.Duration(n))
		for k, i := range devices {
			f.at(i, from.Add(until.Sub(from)*time.Duration(k)/time.Duration(len(devices))), enrols, 0)
		}
		if err := f.gather(ctx, until); err != nil {
			return err
		}
		from = until
	}
	f.founding = false
	if n > 0 {
		if err := f.gate(ctx, "where-known"); err != nil {
			return err
		}
		f.mu.Lock()
		for i := range f.devices {
			after, known := time.Duration(0), false
			if here(&f.population.Devices[i]) {
				after, known = f.population.Comeback(i, f.seed)
			}
			switch {
			case f.Silent(i):
				f.at(i, f.start, leaves, absence)
			case known && after > 0:
				f.at(i, f.start, leaves, absence)
				f.at(i, f.start.Add(after), returns, absence)
			}
		}
		text := "They enrolled in the eight hours before, each registered with the authority that manages it."
		if !f.clock.driven {
			text = "They enrolled as the run began, each registered with the authority that manages it."
		}
		f.done = append(f.done, Act{At: f.start, Name: "Enrolled already: " + devices(n, "device"), Text: text})
		f.mu.Unlock()
	}
	return nil
}

// gather carries out what is queued until a moment; on the real clock, what is due now.
func (f *Fleet) gather(ctx context.Context, until protocol.Time) error {
	if f.clock.driven {
		return f.drive(ctx, until)
	}
	f.dispatch(ctx, f.clock.Now())
	f.talking.Wait()
	return ctx.Err()
}

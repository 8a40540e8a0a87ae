package fleet

import (
	"context"
	"slices"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A Cast is who plays a story: the devices of a population that take part, and their users.
type Cast struct {
	Plan       *plan.Plan
	Population *population.Population
	Start      protocol.Time                // of the story
	Plays      func(protocol.Platform) bool // whether devices of a platform take part
}

// Here tells whether device i is enrolled when the story begins, and takes part.
func (c *Cast) Here(i int) bool {
	d := &c.Population.Devices[i]
	return d.Joins == population.Already && c.Plays(d.Platform)
}

// foreword is one steady interval: the devices that are there when the story begins enrol within it, so that their contacts
// are spread as those of a tenant are that has been there for years.
const foreword = 8 * time.Hour

// Foreword returns how long before the story a driven clock begins: 0 unless devices are enrolled already.
func (c *Cast) Foreword() time.Duration {
	for i := range c.Population.Devices {
		if c.Here(i) {
			return foreword
		}
	}
	return 0
}

// Silent tells whether device i was out of reach before the story and stays so to its end: its identity is over or
// revoked, or none like it ever came back. Where no older export says how they come back it is over 30 days of silence: a
// snapshot cannot tell when it returns.
func (c *Cast) Silent(i int) bool {
	d := &c.Population.Devices[i]
	if !c.Here(i) {
		return false
	}
	asOf := c.Population.Tenant.AsOf
	if asOf == 0 {
		asOf = c.Start
	}
	if d.Has(population.Revoked) || d.CertEnd != 0 && d.CertEnd <= asOf {
		return true
	}
	if after, known := c.Population.Comeback(i, c.Plan.Seed); known {
		return after == population.Never
	}
	least, _, ok := d.Contact.Silent(asOf)
	return ok && least > 30*24*time.Hour
}

// Gone tells whether device i, which is there when the story begins, is off the network then, and how long it stays so;
// negative: to the end.
func (c *Cast) Gone(i int) (stays time.Duration, away bool) {
	if !c.Here(i) {
		return 0, false
	}
	if c.Silent(i) {
		return -1, true
	}
	after, known := c.Population.Comeback(i, c.Plan.Seed)
	return after, known && after > 0
}

// A Founding is devices that are there when the story begins, enrolled while their users have the licences of UsersAs(As).
type Founding struct {
	As      protocol.Authority
	Devices []int
	Joins   []time.Duration // of each, from the beginning of the foreword
	Ends    time.Duration   // when all of them are enrolled
	Pending []int           // of Devices, those that belong elsewhere once their users hold what others need, or what is true: they come by in the story
}

// Foundings returns how the devices that are there when the story begins are enrolled, registered as the population says.
// Beside BMS with Intune added it follows from the user's licences at the enrolment who manages a device: those under BMS come
// first, while their users have no claim to Intune, then the rest, whose users have one; and then everybody holds what is
// true: the last founding is As Unknown, and may have no devices.
func (c *Cast) Foundings(length time.Duration) (list []Founding) {
	phases := map[protocol.Authority][]int{}
	n, done, from := 0, 0, time.Duration(0)
	for i := range c.Population.Devices {
		if !c.Here(i) {
			continue
		}
		n++
		as := protocol.Unknown
		if c.Population.Tenant.Coexistence {
			as = c.Population.Devices[i].Registered
		}
		phases[as] = append(phases[as], i)
	}
	for _, as := range []protocol.Authority{protocol.Office365, protocol.Intune, protocol.Unknown} {
		f := Founding{As: as, Devices: phases[as], Ends: from}
		if len(f.Devices) == 0 && as != protocol.Unknown {
			continue
		}
		if len(f.Devices) > 0 {
			done += len(f.Devices)
			f.Ends = part(length, done, n)
		}
		for k := range f.Devices {
			f.Joins = append(f.Joins, from+part(f.Ends-from, k, len(f.Devices)))
		}
		list, from = append(list, f), f.Ends
	}
	c.pending(list)
	return list
}

// pending notes the devices of each founding that a later one would move.
func (c *Cast) pending(list []Founding) {
	if len(list) < 2 {
		return
	}
	var later [][]target.User // of the foundings after f
	for k := len(list) - 1; k >= 0; k-- {
		f, users := &list[k], c.UsersAs(list[k].As)
		for _, i := range f.Devices {
			d := &c.Population.Devices[i]
			if !d.Userless() && slices.ContainsFunc(later, func(then []target.User) bool { return claims(&then[d.User]) != claims(&users[d.User]) }) {
				f.Pending = append(f.Pending, i)
			}
		}
		later = append(later, users)
	}
}

func claims(u *target.User) bool { return u.IntuneLicence || u.CoManaged }

// Waits returns when a device that is pending as the story begins comes by, and until when it is off the network: at its next check-in, as its
// latest contact says.
func (c *Cast) Waits(i int) protocol.Time {
	last := c.Population.Devices[i].Contact.Latest
	if last == 0 {
		return c.Start
	}
	return max(c.Start, last.Add(foreword))
}

// part is k n-ths of a time, however many n are.
func part(d time.Duration, k, n int) time.Duration {
	return d/time.Duration(n)*time.Duration(k) + d%time.Duration(n)*time.Duration(k)/time.Duration(n)
}

// UsersAs are the users, with the licences that they have in truth: as Unknown. As Office365, those who
// have a device there have no claim to Intune; as Intune, those who have a device there have one. Whoever has a device by an enrolment
// manager is one.
func (c *Cast) UsersAs(as protocol.Authority) []target.User {
	theirs, managers := map[int32]bool{}, map[int32]*bool{}
	for i := range c.Population.Devices {
		d := &c.Population.Devices[i]
		if d.Enrolment == population.ByManager {
			managers[d.User] = new(true)
		}
		if as != protocol.Unknown && c.Here(i) && d.Registered == as && !d.Userless() {
			theirs[d.User] = true
		}
	}
	users := make([]target.User, 0, len(c.Population.Users))
	groups := make([][]string, 1+len(c.Population.Groups)) // of who is in none, and in each
	for i := range groups {
		if groups[i] = []string{plan.All}; i > 0 {
			groups[i] = append(groups[i], c.Population.Groups[i-1])
		}
	}
	for i := range c.Population.Users {
		u := &c.Population.Users[i]
		user := target.User{
			UPN: u.UPN, Groups: groups[u.Group+1], CoManaged: u.CoManaged, Premium: u.CoManaged, // without it nobody is co-managed (AUTH-51)
			IntuneLicence: u.Licence&population.IntuneLicence != 0, BasicLicence: u.Licence&population.BMSLicence != 0,
			Manager: managers[int32(i)],
		}
		if theirs[int32(i)] {
			user.IntuneLicence = as == protocol.Intune
			user.CoManaged = user.CoManaged && as == protocol.Intune // a PC that its client enrols is known by it
		}
		users = append(users, user)
	}
	return users
}

// found gives the target its users and enrols the devices that are there when the story begins.
func (f *Fleet) found(ctx context.Context) error {
	foundings := f.cast.Foundings(f.start.Sub(f.begin))
	n := 0
	for i := range foundings {
		n += len(foundings[i].Devices)
	}
	if n > 0 { // licences may have gone since they enrolled
		if err := f.gate(ctx, "never"); err != nil {
			return err
		}
	}
	f.founding = true
	began := f.clock.Now() // the real clock has gone on since
	for k := range foundings {
		of := &foundings[k]
		var err error
		if k > 0 {
			err = f.relicense(ctx, foundings[k-1].As, of.As)
		} else if err = f.addUsers(ctx, of.As); err == nil {
			err = f.assignFirst(ctx)
		}
		if err != nil {
			return err
		}
		if len(of.Devices) == 0 {
			continue
		}
		for at, i := range of.Devices {
			f.at(i, began.Add(of.Joins[at]), enrols, 0)
		}
		for _, i := range of.Pending {
			if f.clock.driven {
				f.at(i, f.begin.Add(of.Ends-time.Second), leaves, absence)
				if _, gone := f.cast.Gone(i); !gone {
					f.at(i, f.cast.Waits(i), returns, absence)
				}
			}
		}
		if err := f.gather(ctx, f.begin.Add(of.Ends)); err != nil {
			return err
		}
	}
	f.founding = false
	if n > 0 {
		if err := f.gate(ctx, "where-known"); err != nil {
			return err
		}
		f.mu.Lock()
		for i := range f.devices {
			stays, away := f.cast.Gone(i)
			if !away {
				continue
			}
			f.at(i, f.start, leaves, absence)
			if stays > 0 {
				f.at(i, f.start.Add(stays), returns, absence)
			}
		}
		text := SayBefore(f.population)
		if !f.clock.driven {
			text = "They enrolled as the run began, each registered with the authority that manages it."
		}
		f.done = append(f.done, Act{At: f.start, Name: SayAlready(n), Text: text})
		f.mu.Unlock()
	}
	return f.leave(ctx)
}

// leave has those leave whose retirement, wipe or removal an export shows as pending: at their next check-in (AUTH-53). Who is away has left
// the network before, so that nobody wakes it.
func (f *Fleet) leave(ctx context.Context) error {
	var leaving []int
	f.mu.Lock()
	for i := range f.devices {
		if f.devices[i].managed && f.population.Devices[i].Has(population.Leaving) {
			leaving = append(leaving, i)
		}
	}
	f.mu.Unlock()
	if len(leaving) == 0 {
		return nil
	}
	if err := f.gather(ctx, f.start); err != nil {
		return err
	}
	for _, i := range leaving {
		if err := f.orderOf(ctx, i, protocol.Retire, 0); err != nil {
			return err
		}
	}
	w := SayLeaving(len(leaving))
	f.mu.Lock()
	f.done = append(f.done, Act{At: f.start, Name: w.Name, Text: w.Text, Rule: w.Rule})
	f.mu.Unlock()
	return nil
}

// assignFirst assigns the profiles that are there before the story.
func (f *Fleet) assignFirst(ctx context.Context) error {
	for i := range f.plan.Profiles {
		p := &f.plan.Profiles[i]
		if p.Assigned == "" {
			continue
		}
		if err := f.assign(ctx, &plan.Assignment{Assign: p.Name, Group: p.Assigned}, p.Of); err != nil {
			return err
		}
		f.mu.Lock()
		f.done = append(f.done, Act{At: f.start, Name: SayAssigned(p)})
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

package rehearsal

import (
	"time"

	"rollcall/agent"
	"rollcall/fleet/report"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// A Standing is where a device stands between the authorities, in the Words of the authority specification.
type Standing struct {
	Moved, Reregistered    bool // in this run
	Pending, Stale         bool
	Blocked                bool
	Stranded, NeedsSupport bool
	Unlicensed             bool
}

// Standing returns where the enrolled device of this name stands at now; zero: it was never heard of, or is not enrolled.
func (w *Watch) Standing(now protocol.Time, name string) Standing {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.names[name]
	if d == nil || d.state.Life != delivery.Enrolled || w.world == nil {
		return Standing{}
	}
	return d.standing(now, w.world)
}

// count adds a device that stands so.
func (s *Standing) count(d *report.Devices) {
	for _, x := range [...]struct {
		is bool
		n  *int
	}{
		{s.Moved, &d.Moved},
		{s.Reregistered, &d.Reregistered},
		{s.Pending, &d.Pending},
		{s.Stale, &d.Stale},
		{s.Blocked, &d.Blocked},
		{s.Stranded, &d.Stranded},
		{s.NeedsSupport, &d.NeedsSupport},
		{s.Unlicensed, &d.Unlicensed},
	} {
		if x.is {
			*x.n++
		}
	}
}

func (d *watched) standing(now protocol.Time, world *delivery.World) Standing {
	s := &d.state
	to, pending, stale := world.Target(s)
	v := Standing{Moved: d.moved, Reregistered: d.again, Pending: pending, Stale: stale, Unlicensed: unlicensed(world, s, to)}
	v.Blocked = (pending || stale) && held(now, world, s)
	other := s.Platform.Apple() && otherTopic(world, s)
	if s.User == 0 && !s.Support {
		v.NeedsSupport = authority.Resolve(world.Tenant, &authority.User{IntuneLicence: true, BasicLicence: true}, s.Subject()).Authority != s.Registered && s.Epoch < world.Tenant.Epoch
	}
	v.Stranded = other || v.NeedsSupport || pending && mustEnrol(now, s)
	if mustEnrol(now, s) || other { // the first reason counts
		v.NeedsSupport = false
	}
	return v
}

// unlicensed tells whether the device's user holds no licence for who manages it (AUTH-17, AUTH-24).
func unlicensed(world *delivery.World, s *delivery.State, to authority.Resolution) bool {
	u := world.User(s.User)
	switch {
	case u == nil:
		return false
	case to.Authority == protocol.Office365:
		return !u.BasicLicence && !u.IntuneLicence
	}
	return !u.IntuneLicence && !u.CoManaged && !s.CoManaged
}

func mustEnrol(now protocol.Time, s *delivery.State) bool {
	return s.Identity.NotAfter != 0 && s.Identity.NotAfter <= now
}

func otherTopic(world *delivery.World, s *delivery.State) bool {
	return world.Push.Topic != "" && s.Push.Topic != world.Push.Topic
}

// held tells whether the push certificate keeps the device from checking in (AUTH-30, AUTH-33).
func held(now protocol.Time, world *delivery.World, s *delivery.State) bool {
	return world.InGap(s.Platform) || s.Platform.Apple() && !world.Push.Usable(now)
}

// bound is how long a device that could move may take (I8): one scheduled interval, the longest back-off after an answer
// that was lost, and a step of a driven clock.
const bound = 8*time.Hour + agent.LastRetry + 10*time.Minute

// settle notes since when the device should have moved, and could.
func (d *watched) settle(now protocol.Time, world *delivery.World, away bool) {
	s := &d.state
	could := s.Life == delivery.Enrolled && !away && s.Push.Token != nil && !s.Push.Unreachable && !mustEnrol(now, s)
	if could {
		v := d.standing(now, world)
		could = (v.Pending || v.Stale) && !v.Blocked && !v.Stranded
	}
	switch {
	case !could:
		d.since = 0
	case d.since == 0:
		d.since = now
	}
}

// Turn tells that the tenant is now as world says.
func (w *Watch) Turn(now protocol.Time, world *delivery.World) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn(now, world)
}

func (w *Watch) turn(now protocol.Time, world *delivery.World) {
	if w.world == world {
		return
	}
	w.world = world
	for _, d := range w.devices {
		d.settle(now, world, w.away[d.id])
	}
}

// Reach tells that a device went off the network or came back.
func (w *Watch) Reach(now protocol.Time, name string, there bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away[name] = !there
	if d := w.names[name]; d != nil && w.world != nil {
		d.settle(now, w.world, !there)
	}
}

// Up tells that the server has started again: nobody could reach it before.
func (w *Watch) Up(now protocol.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.devices {
		if d.since != 0 {
			d.since = now
		}
	}
}

// Close holds those that should have moved by now against I8.
func (w *Watch) Close(now protocol.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.devices {
		if d.since != 0 && now.Sub(d.since) > bound {
			w.fail(now, d, "I8", "reachable and free to move since %s, and it has not", d.since)
		}
	}
}

// Previewed holds what a change was said to do against the devices as they stand right after it (I10).
func (w *Watch) Previewed(now protocol.Time, p *target.Preview) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.world == nil {
		return
	}
	w.checked++
	var n target.Preview
	for _, d := range w.devices {
		if d.state.Life != delivery.Enrolled {
			continue
		}
		n.Enrolled++
		s := d.standing(now, w.world)
		for _, x := range [...]struct {
			is bool
			n  *int
		}{{s.Pending, &n.Pending}, {s.Stale, &n.Stale}, {s.Blocked, &n.Blocked}} {
			if x.is {
				*x.n++
			}
		}
	}
	if n.Enrolled != p.Enrolled || n.Pending != p.Pending || n.Stale != p.Stale || n.Blocked != p.Blocked {
		w.fail(now, &watched{}, "I10", "the preview named %d devices, %d pending, %d stale, %d blocked; after the change there are %d, %d, %d, %d",
			p.Enrolled, p.Pending, p.Stale, p.Blocked, n.Enrolled, n.Pending, n.Stale, n.Blocked)
	}
}

// checkMove holds I8: a completed check-in leaves no device pending or stale, and no device that could come takes longer
// than it may.
func (d *watched) checkMove(now protocol.Time, world *delivery.World, before, after *delivery.State, out *delivery.Outcome, fail failer) {
	if out.Completed && after.Life == delivery.Enrolled {
		if _, pending, stale := world.Target(after); pending || stale {
			fail("I8", "a completed check-in left it registered with %s in epoch %d", after.Registered, after.Epoch)
		}
	}
	known := before.Registered != protocol.Unknown
	switch {
	case known && before.Registered != after.Registered:
		d.moved = true
	case known && before.Epoch != 0 && before.Epoch < after.Epoch:
		d.again = true
	default:
		return
	}
	if late := now.Sub(d.since); d.since != 0 && late > bound {
		fail("I8", "it took %s to register though it could be reached", late)
	}
}

// checkGap holds I5: inside the gap no check-in and no enrolment of a device that it holds succeeds, and of no other is one
// refused for it.
func checkGap(world *delivery.World, ev *delivery.Event, before *delivery.State, out *delivery.Outcome, fail failer) {
	if ev.Kind != delivery.CheckInRound || ev.Verb == protocol.Leave || before.Life == delivery.Ended && ev.Verb != protocol.Enrol {
		return
	}
	platform := before.Platform
	if ev.Verb == protocol.Enrol {
		platform = ev.Platform
	}
	switch gap := world.InGap(platform); {
	case gap && out.Refusal.Rule == "":
		fail("I5", "%s was answered inside the gap", ev.Verb)
	case !gap && out.Refusal.Rule == protocol.RulePushGap:
		fail("I5", "%s was refused for a gap that is not open for %s", ev.Verb, platform)
	}
}

// checkLicences holds I9: where the tenant has one authority alone, no device moves within an epoch, whatever licences come
// and go.
func checkLicences(world *delivery.World, before, after *delivery.State, fail failer) {
	t := &world.Tenant
	if before.Life == delivery.Enrolled && after.Life == delivery.Enrolled && before.Registered != after.Registered && before.Epoch == after.Epoch &&
		!before.Support && !(t.Authority == protocol.Office365 && t.Coexistence) {
		fail("I9", "moved from %s to %s within epoch %d of a tenant that is %s", before.Registered, after.Registered, after.Epoch, t.Authority)
	}
}

// checkOld holds the server's word of a device that knows of the change against I4: a check-in that completes later than
// seven days after it leaves no profile of the authority before.
func checkOld(now protocol.Time, world *delivery.World, after *delivery.State, out *delivery.Outcome, fail failer) {
	t := &world.Tenant
	if !out.Completed || after.Life != delivery.Enrolled || after.Heard != t.Epoch || now < t.ChangedAt.Add(authority.Kept) {
		return
	}
	for _, p := range after.Profiles {
		if p.State == delivery.Installed && old(world, after, p.Profile) {
			fail("I4", "profile %s is still there %s after the change", world.Profiles[p.Profile].Name, now.Sub(t.ChangedAt))
		}
	}
}

// old tells whether a profile is of an authority that no longer manages the device.
func old(world *delivery.World, s *delivery.State, p protocol.Profile) bool {
	t := &world.Tenant
	owner := s.Registered
	switch {
	case t.Authority == protocol.Office365 && t.Coexistence:
	case s.User == 0, t.Authority == protocol.SCCM: // AUTH-28, AUTH-21
		owner = t.Authority
	}
	return int(p) < len(world.Profiles) && world.Profiles[p].Authority != owner && world.Profiles[p].Family != protocol.NoFamily
}

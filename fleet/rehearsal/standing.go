package rehearsal

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"rollcall/agent"
	"rollcall/fleet/report"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// A Standing is where a device stands between the authorities, in the Words of the authority specification.
type Standing struct {
	Moved, Reregistered    bool // in this run; one that is pending again has not moved
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
	return w.standing(now, d)
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

// standing returns how the enrolled device d stands.
func (w *Watch) standing(now protocol.Time, d *watched) (v Standing) {
	w.stand(now, d, &v)
	return v
}

// stand is standing that writes where it is to be kept: each field once, for who reads them one by one.
func (w *Watch) stand(now protocol.Time, d *watched, v *Standing) {
	s, world := d.state, w.world
	u := world.User(s.User)
	var pending, stale, unlicensedUser bool
	if u != nil { // a userless device is neither, for nothing moves it by itself
		owner := belongs(world, s, u)
		pending = owner != s.Registered
		stale = !pending && s.Epoch < world.Tenant.Epoch
		unlicensedUser = unlicensed(s, u, owner)
	}
	other := s.Platform.Apple() && (otherTopic(world, s) || w.lost != 0 && now > w.lost)
	userless := u == nil && !s.Support && belongs(world, s, &anybody) != s.Registered
	over := (pending || userless) && mustEnrol(now, s)
	v.Moved, v.Reregistered, v.Pending, v.Stale, v.Unlicensed = d.moved && !pending, d.again, pending, stale, unlicensedUser
	v.Blocked = (pending || stale) && held(now, world, s)
	v.NeedsSupport = userless && !over && !other // the first reason counts
	v.Stranded = over || other || userless || pending && w.over && gone(now, d.away)
}

// anybody is a user whose devices are Intune's wherever the tenant lets them.
var anybody = authority.User{IntuneLicence: true, BasicLicence: true}

// belongs says who should manage an enrolled device of u. It is the specification's tables once more, so that the server's
// own reading of them is held against another one (AUTH-10 to 17, AUTH-24, AUTH-46).
func belongs(world *delivery.World, s *delivery.State, u *authority.User) protocol.Authority {
	switch t := &world.Tenant; {
	case t.Authority == protocol.Unknown:
		return s.Registered
	case t.Authority != protocol.Office365:
		return protocol.Intune
	case t.Coexistence && (u.IntuneLicence || u.CoManaged):
		return protocol.Intune
	case s.Platform == protocol.MacOS || s.AndroidAPI: // never under BMS
		return s.Registered
	}
	return protocol.Office365
}

// unlicensed tells whether the device's user holds no licence for its owner, who should manage it (AUTH-17, AUTH-24).
func unlicensed(s *delivery.State, u *authority.User, owner protocol.Authority) bool {
	if owner == protocol.Office365 {
		return !u.BasicLicence && !u.IntuneLicence
	}
	return !u.IntuneLicence && !u.CoManaged && !(s.CoManaged && s.Platform == protocol.Windows)
}

// nightLong is how long a device may have been off the network at the end of the story and not count as offline beyond the
// horizon, which is that end: the next morning finds it there.
const nightLong = 24 * time.Hour

func gone(now, since protocol.Time) bool { return since != 0 && now.Sub(since) >= nightLong }

func mustEnrol(now protocol.Time, s *delivery.State) bool {
	return s.Identity.NotAfter != 0 && s.Identity.NotAfter <= now
}

func otherTopic(world *delivery.World, s *delivery.State) bool {
	return world.Push.Topic != "" && s.Push.Topic != world.Push.Topic
}

// pushGrace is how long after its end a push certificate can be renewed, where the tenant has set nothing else (AUTH-33).
const pushGrace = 30 * 24 * time.Hour

// lostAfter is after when only a push certificate with another topic can be had, so long ago has the present one ended (AUTH-33); 0: there is
// none.
func lostAfter(world *delivery.World) protocol.Time {
	if world.Push.Topic == "" {
		return 0
	}
	return world.Push.NotAfter.Add(cmp.Or(world.Settings.PushGrace, pushGrace))
}

// held tells whether the push certificate keeps the device from checking in (AUTH-30, AUTH-33).
func held(now protocol.Time, world *delivery.World, s *delivery.State) bool {
	return world.InGap(s.Platform) || s.Platform.Apple() && !world.Push.Usable(now)
}

// silent tells whether nobody can reach a device because the push certificate in use has ended (AUTH-33).
func silent(now protocol.Time, world *delivery.World, s *delivery.State) bool {
	return s.Platform.Apple() && !world.InGap(s.Platform) && world.Push.Topic != "" && now >= world.Push.NotAfter
}

// bound is how long a device that could move may take (I8): one scheduled interval, the longest back-off after an answer
// that was lost, and a step of a driven clock.
const bound = 8*time.Hour + spare

const spare = agent.LastRetry + 10*time.Minute

// bound is that of a device in state s: the tenant sets the interval of Apple's devices (AUTH-21).
func (w *Watch) bound(s *delivery.State) time.Duration {
	if s.Platform.Apple() && w.cadence != 0 {
		return w.cadence + spare
	}
	return bound
}

// settle notes how the device stands, and since when it should have moved, and could.
func (w *Watch) settle(now protocol.Time, d *watched) {
	s, v := d.state, &d.stands
	if s.Life == delivery.Enrolled {
		w.stand(now, d, v)
	} else {
		*v = Standing{}
	}
	could := s.Life == delivery.Enrolled && d.away == 0 && s.Push.Token != nil && !s.Push.Unreachable && !mustEnrol(now, s) &&
		(v.Pending || v.Stale || s.Support && !held(now, w.world, s)) && !v.Blocked && !v.Stranded
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
	was := w.world
	w.adopt(world)
	if was != nil && standsAlike(was, world) {
		return
	}
	for d := range w.all() {
		w.settle(now, d)
	}
}

// standsAlike tells whether devices stand in b as in a: only their wake-ups go on.
func standsAlike(a, b *delivery.World) bool {
	same := func(x, y []delivery.User) bool { return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0]) }
	return a.Tenant == b.Tenant && a.Gap == b.Gap && a.Push == b.Push && same(a.Users, b.Users) && reflect.DeepEqual(a.Settings.Gap, b.Settings.Gap)
}

// adopt takes world for that of the tenant, and notes whom it strands.
func (w *Watch) adopt(world *delivery.World) {
	cuts := w.world != nil && w.world.Push.Topic != "" && world.Push.Topic != w.world.Push.Topic
	w.world, w.lost, w.oldEnd = world, lostAfter(world), world.Tenant.OldEnd()
	w.cadence = max(w.cadence, cmp.Or(world.Settings.Cadence, protocol.ScheduleOf(protocol.IOS).Steady))
	if !cuts {
		return
	}
	for d := range w.all() {
		if s := d.state; s.Life == delivery.Enrolled && s.Platform.Apple() && otherTopic(world, s) {
			d.cut = true
		}
	}
}

// Cut returns how many devices a push certificate with another topic has stranded, whatever became of them since (AUTH-32).
func (w *Watch) Cut() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for d := range w.all() {
		if d.cut {
			n++
		}
	}
	return n
}

// Reach tells that a device went off the network or came back.
func (w *Watch) Reach(now protocol.Time, name string, there bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch d := w.names[name]; {
	case d != nil:
		w.reach(now, d, there)
	case there:
		delete(w.away, name)
	case w.away[name] == 0:
		w.away[name] = now
	}
}

func (w *Watch) reach(now protocol.Time, d *watched, there bool) {
	switch {
	case there:
		d.away = 0
	case d.away == 0:
		d.away = now
	}
	if w.world != nil {
		w.settle(now, d)
	}
}

// Up tells that the server has started again: nobody could reach it before.
func (w *Watch) Up(now protocol.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for d := range w.all() {
		if d.since != 0 {
			d.since = now
		}
	}
}

// Close ends the story: those that should have moved by now are held against I8, and who is off the network then is so beyond
// the horizon.
func (w *Watch) Close(now protocol.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	for d := range w.all() {
		if d.since != 0 && now.Sub(d.since) > w.bound(d.state) {
			w.fail(now, d, "I8", lang.Key("reachable and free to move since %s, and it has not"), d.since)
		}
	}
}

// Previewed holds what a change was said to do against the devices as they stand right after it: as many, and the same ones
// (I10). A preview names the devices that it concerns, but no more than named.
func (w *Watch) Previewed(now protocol.Time, p *target.Preview) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.world == nil {
		return
	}
	w.checked++
	var n target.Preview
	said := make(map[string]*target.Named, len(p.Devices))
	for i := range p.Devices {
		said[p.Devices[i].Device] = &p.Devices[i]
	}
	for d := range w.all() {
		if d.state.Life != delivery.Enrolled {
			continue
		}
		n.Enrolled++
		s := w.standing(now, d)
		for _, x := range [...]struct {
			is bool
			n  *int
		}{{s.Pending, &n.Pending}, {s.Stale, &n.Stale}, {s.Blocked, &n.Blocked}} {
			if x.is {
				*x.n++
			}
		}
		one := said[w.idOf(d)]
		switch {
		case one == nil && len(p.Devices) < named && (s.Pending || s.Stale || s.Stranded):
			w.fail(now, d, "I10", lang.Key("the preview did not name it, and after the change it stands so: %s"), stands(s.Pending, s.Stale, s.Blocked, s.Stranded))
		case one != nil && (one.Pending != s.Pending || one.Stale != s.Stale || (one.Blocked != "") != s.Blocked || (one.Stranded != "") != s.Stranded):
			w.fail(now, d, "I10", lang.Key("the preview said %s, and after the change it stands so: %s"),
				stands(one.Pending, one.Stale, one.Blocked != "", one.Stranded != ""), stands(s.Pending, s.Stale, s.Blocked, s.Stranded))
		}
		delete(said, w.idOf(d))
	}
	for _, id := range slices.Sorted(maps.Keys(said)) {
		w.failOf(now, id, "I10", lang.Key("the preview named it, and it is not enrolled"))
	}
	if n.Enrolled != p.Enrolled || n.Pending != p.Pending || n.Stale != p.Stale || n.Blocked != p.Blocked {
		w.failOf(now, "", "I10", lang.Key("the preview named %d devices, %d pending, %d stale, %d blocked; after the change there are %d, %d, %d, %d"),
			p.Enrolled, p.Pending, p.Stale, p.Blocked, n.Enrolled, n.Pending, n.Stale, n.Blocked)
	}
}

// stands writes where a device stands in the words of a result's JSON, which are the same in every language.
func stands(pending, stale, blocked, stranded bool) string {
	return fmt.Sprintf("pending=%t stale=%t blocked=%t stranded=%t", pending, stale, blocked, stranded)
}

// named is how many devices a preview names at most.
const named = 1000

// checkMove holds I8: no device that could come takes longer than bound.
func (w *Watch) checkMove(now protocol.Time, d *watched, before, after *delivery.State, fail failer) {
	known := before.Registered != protocol.Unknown
	switch {
	case known && before.Registered != after.Registered:
		d.moved = true
	case known && before.Epoch != 0 && before.Epoch < after.Epoch:
		d.again = true
	default:
		return
	}
	if late := now.Sub(d.since); d.since != 0 && late > w.bound(after) {
		fail("I8", lang.Key("it took %s to register though it could be reached"), late)
	}
}

// checkCompleted holds I8: a completed check-in leaves no device pending or stale, as d stands now, and none whose support action waits.
func (d *watched) checkCompleted(after *delivery.State, out *delivery.Outcome, fail failer) {
	if out.Completed && after.Life == delivery.Enrolled && (d.stands.Pending || d.stands.Stale || after.Support) {
		fail("I8", lang.Key("a completed check-in left it registered with %s in epoch %d"), after.Registered, after.Epoch)
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
		fail("I5", lang.Key("%s was answered inside the gap"), ev.Verb)
	case !gap && out.Refusal.Rule == protocol.RulePushGap:
		fail("I5", lang.Key("%s was refused for a gap that is not open for %s"), ev.Verb, platform)
	}
}

// checkLicences holds I9: where the tenant has one authority alone, no device moves within an epoch, whatever licences come
// and go.
func checkLicences(world *delivery.World, before, after *delivery.State, fail failer) {
	t := &world.Tenant
	if before.Life == delivery.Enrolled && after.Life == delivery.Enrolled && before.Registered != after.Registered && before.Epoch == after.Epoch &&
		!before.Support && !(t.Authority == protocol.Office365 && t.Coexistence) {
		fail("I9", lang.Key("moved from %s to %s within epoch %d of a tenant that is %s"), before.Registered, after.Registered, after.Epoch, t.Authority)
	}
}

// checkOld holds the server's word of a device that knows of the change against I4: a check-in that completes later than
// seven days after it leaves no profile of the authority before, unless the device has put off what takes its place: it drops by
// itself what it was told to, and a licence alone tells it nothing (AUTH-23).
func (w *Watch) checkOld(now protocol.Time, after *delivery.State, out *delivery.Outcome, fail failer) {
	world := w.world
	t := &world.Tenant
	if !out.Completed || after.Life != delivery.Enrolled || after.Heard != t.Epoch || now < w.oldEnd {
		return
	}
	for _, p := range after.Profiles {
		if p.State == delivery.Installed && old(world, after, p.Profile) && !putOff(world, after, p.Profile) {
			fail("I4", lang.Key("profile %s is still there %s after the change"), world.Profiles[p.Profile].Name, now.Sub(t.ChangedAt))
		}
	}
}

// putOff tells whether a command about the profile's identifier waits.
func putOff(world *delivery.World, s *delivery.State, p protocol.Profile) bool {
	return slices.ContainsFunc(s.Queue, func(q delivery.Queued) bool {
		return q.NotNow && int(q.Profile) < len(world.Profiles) && world.Profiles[q.Profile].Identifier == world.Profiles[p].Identifier
	})
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

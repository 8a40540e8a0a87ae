package rehearsal

import (
	"math"
	"strconv"
	"time"

	"rollcall/agent"
	"rollcall/fleet"
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// families is a set of profile families, a bit for each.
type families uint8

func (f families) has(x protocol.Family) bool { return f&(1<<x) != 0 }

// A census counts how the devices of a partition stand.
type census Hour

func (c *census) add(p protocol.Platform, s *Standing, enrolled bool, by uint32) {
	for _, x := range [...]struct {
		is bool
		of *[len(protocol.Platforms)]uint32
	}{{enrolled, &c.Enrolled}, {s.Moved, &c.Moved}, {s.Pending, &c.Pending}, {s.Stale, &c.Stale}, {s.Blocked, &c.Blocked}, {s.Stranded, &c.Stranded}} {
		if x.is {
			x.of[p-1] += by
		}
	}
}

// away counts a device that has left the network, or is back.
func (c *census) away(p protocol.Platform, is bool) {
	if is {
		c.Away[p-1]++
		return
	}
	c.Away[p-1]--
}

func (c *census) enrolled() (n int) {
	for _, x := range c.Enrolled {
		n += int(x)
	}
	return n
}

// into adds c to h.
func (c *census) into(h *Hour) {
	for p := range protocol.Platforms {
		h.Enrolled[p] += c.Enrolled[p]
		h.Moved[p] += c.Moved[p]
		h.Pending[p] += c.Pending[p]
		h.Stale[p] += c.Stale[p]
		h.Blocked[p] += c.Blocked[p]
		h.Stranded[p] += c.Stranded[p]
		h.Away[p] += c.Away[p]
	}
}

// observe sees what the server commits: it holds it against the invariants and notes how the device stands afterwards.
func (k *part) observe(now protocol.Time, w *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome) {
	for int(after.Device) >= len(k.known) {
		k.known = append(k.known, 0)
	}
	if ev.Kind == delivery.CheckInRound {
		k.known[after.Device] = uint32(k.loop.contact.Device) + 1
	}
	i := int(k.known[after.Device]) - 1
	k.about = i
	k.watch.Observe(now, w, ev, before, after, out)
	for j := range out.Effects {
		switch e := &out.Effects[j]; {
		case e.What == delivery.WhatProfileRemoved && e.Rule == protocol.RuleUnassigned:
			k.waived = true
		case e.What == delivery.WhatRecordRemoved:
			k.counts.removed++
		}
	}
	life := &k.lives[k.units[i].device]
	if now >= k.start {
		k.registers(i, life, now, before, after)
		if before.Registered == protocol.Office365 && after.Registered == protocol.Intune && k.mails(i) {
			life.Prompted = true
		}
	}
	if out.Changed&^delivery.Wakes != 0 {
		k.settle(i, k.watch.device(after.Device), now)
	}
}

// registers notes when device i moves or, unless it did, takes a newer epoch.
func (k *part) registers(i int, l *Life, now protocol.Time, before, after *delivery.State) {
	switch {
	case before.Registered == protocol.Unknown || after.Registered == protocol.Unknown:
	case before.Registered != after.Registered:
		if l.Moves < math.MaxUint8 {
			l.Moves++
		}
		if l.moved() {
			k.movesAgain(i, l, now)
			return
		}
		if l.FirstPending == 0 { // by a new enrolment
			l.FirstPending = now
		}
		l.MovedAt, l.Back = now, after.Registered == protocol.Office365
	case before.Epoch != 0 && before.Epoch != after.Epoch && !l.Moved && !l.moved():
		l.MovedAt = now
	}
}

// waits notes that device i is to move, and that nothing but itself keeps it.
func (k *part) waits(i int, l *Life, now protocol.Time) {
	switch {
	case l.FirstPending == 0:
		l.FirstPending = now
	case l.moved() && k.again[i] == 0:
		if k.again == nil {
			k.again = map[int]protocol.Time{}
		}
		k.again[i] = now
	}
}

// movesAgain ends the wait of device i for a move after its first.
func (k *part) movesAgain(i int, l *Life, now protocol.Time) {
	if since, ok := k.again[i]; ok { // else it moves by a new enrolment
		l.waited(now.Sub(since))
		delete(k.again, i)
	}
}

// mails tells whether device i, as it was seen last, has a user whose mail is set up. What was on an export's devices before the story
// nobody knows: mail may have been.
func (k *part) mails(i int) bool {
	u := &k.units[i]
	unknown := k.pop.Tenant.AsOf != 0 && k.lives[u.device].Enrolments == 0
	return !k.pop.Devices[u.device].Userless() && (unknown || u.had.has(protocol.Email))
}

// turn notes that the tenant, or the time, has changed how devices stand.
func (k *part) turn(now protocol.Time) {
	k.watch.adopt(k.loop.Server().World())
	k.ends = now.Add(k.loop.cfg.Lifetime - time.Second) // of what is issued from now on
	for i := range k.units {
		k.resettle(i, now)
		k.watchEnd(k.loop.Device(i).Identity().NotAfter, now)
		if d := k.watch.device(k.loop.Number(i)); d != nil {
			k.watchEnd(d.state.Identity.NotAfter, now)
		}
	}
}

// watchEnd has the devices looked at when an identity ends.
func (k *part) watchEnd(end, now protocol.Time) {
	if end > now {
		k.ends = min(k.ends, end)
	}
}

// turnUsers notes that these users of the partition, ascending, have other licences, and nobody else.
func (k *part) turnUsers(now protocol.Time, users []int) {
	k.watch.adopt(k.loop.Server().World())
	for _, u := range users {
		for _, i := range k.devicesOf(u) {
			k.resettle(int(i), now)
		}
	}
}

func (k *part) resettle(i int, now protocol.Time) {
	d := k.watch.device(k.loop.Number(i))
	if d != nil {
		k.watch.settle(now, d)
	}
	k.settle(i, d, now)
}

// settle notes how device i stands from now on, as the watch has it; d nil: the server never heard of it.
func (k *part) settle(i int, d *watched, now protocol.Time) {
	u := &k.units[i]
	life := &k.lives[u.device]
	k.accrue(u, life, now)
	var s Standing
	held := life.Standing.Blocked || u.silenced
	enrolled := d != nil && d.state.Life == delivery.Enrolled
	if enrolled {
		s = d.stands
	}
	if s != life.Standing || enrolled != life.Enrolled {
		p := k.pop.Devices[u.device].Platform
		k.census.add(p, &life.Standing, life.Enrolled, ^uint32(0))
		k.census.add(p, &s, enrolled, 1)
		life.Standing, life.Enrolled = s, enrolled
	}
	switch {
	case s.Pending && !s.Blocked && now >= k.start:
		k.waits(i, life, now)
	case enrolled && !s.Pending:
		delete(k.again, i)
	}
	u.lacks, u.late = 0, 0
	u.silenced = enrolled && silent(now, k.watch.world, d.state)
	if !enrolled {
		return
	}
	if is := s.Blocked || u.silenced; is != held && k.holding != nil {
		k.holding(i, now, k.heldBy(k.pop.Devices[u.device].Platform, is))
	}
	life.Registered = d.state.Registered
	k.clock(i, d, life, now)
	has := k.has(i, d.state, now)
	if k.over(now) { // what is left of the old authority's protects no more
		u.lost |= u.had &^ has
	}
	u.lacks = u.lost &^ has
	u.late = u.lacks & k.due(d.state)
}

// heldBy is the rule by which the push certificate keeps a device of p, as it stands, from its server; empty: it does not.
func (k *part) heldBy(p protocol.Platform, is bool) protocol.Rule {
	switch {
	case !is:
		return ""
	case k.watch.world.InGap(p):
		return protocol.RulePushGap
	}
	return protocol.RulePushExpired
}

// accrue adds the time since device i was looked at last to what it stood and lacked then.
func (k *part) accrue(u *unit, life *Life, now protocol.Time) {
	since := max(u.since, k.start)
	u.since = now
	d := now.Sub(since)
	if d <= 0 {
		return
	}
	switch {
	case u.silenced:
		life.Silenced += d
	case life.Standing.Blocked:
		life.Blocked += d
	}
	if u.lacks == 0 {
		return
	}
	lack := life.lacks()
	for f := range lack.Unprotected {
		if u.lacks.has(protocol.Family(f)) {
			lack.Unprotected[f] += d
			if !u.late.has(protocol.Family(f)) {
				lack.Unassigned += d
			}
		}
	}
}

// due is the families of the profiles that a device in state s is assigned.
func (k *part) due(s *delivery.State) families {
	if w := k.watch.world; w != k.world {
		k.world, k.brings = w, k.brings[:0]
		for i := range w.Sets {
			f := families(0)
			for _, p := range w.Sets[i].Profiles {
				f |= 1 << w.Profiles[p].Family
			}
			k.brings = append(k.brings, f&^1)
		}
	}
	return k.brings[k.world.SetOf(s)]
}

// has is the families of the profiles on device i. What an authority before has left on it protects for seven days, or what the tenant has set (AUTH-27).
func (k *part) has(i int, s *delivery.State, now protocol.Time) (f families) {
	over, w := k.over(now), k.watch.world
	behind := s.Epoch < w.Tenant.Epoch // it has not registered since: what its next owner does not own is over too
	for _, p := range k.loop.Device(i).Profiles() {
		if x := protocol.Profile(p.Content); !over || !old(w, s, x) && !(behind && w.Old(x, w.OwnerOf(s))) {
			f |= 1 << p.Family
		}
	}
	return f &^ 1
}

// over tells whether the seven days since the latest change of authority are.
func (k *part) over(now protocol.Time) bool {
	return now >= k.watch.oldEnd
}

// contact sees the end of a conversation. Of a steady one it touches no more than the unit.
func (k *part) contact(c *Contact) {
	i, now := c.Device, c.At
	u := &k.units[i]
	story := now >= k.start
	if c.Done {
		u.seen = now
	}
	if k.witness != nil {
		k.witness(c)
	}
	if story && c.Began != protocol.NoVerb {
		k.minuteOf(now).CheckIns++
		k.count(c, u)
	}
	if c.Steady {
		return
	}
	if story {
		k.minuteOf(now).Issued += uint32(k.loop.issued - k.issued)
	}
	k.issued = k.loop.issued
	if c.Refusal != "" {
		k.failedBy = c.Refusal
		if c.Began != protocol.Enrol {
			k.note(now, i, fleet.Refused, c.Refusal, "")
		}
	}
	if c.Dropped > 0 {
		k.note(now, i, fleet.Outlived, protocol.RuleSevenDays, strconv.Itoa(c.Dropped))
	}
	k.after(i, now)
	if len(c.Executed) > 0 || c.Dropped > 0 {
		k.changed(i, now)
	}
	k.waived = false
}

// woke counts a push.
func (k *part) woke(int, delivery.PushResult) {
	if now := k.loop.Now(); now >= k.start {
		k.minuteOf(now).Wakes++
		k.wakes++
	}
}

// count counts a conversation.
func (k *part) count(c *Contact, u *unit) {
	switch {
	case c.Began == protocol.Enrol:
	case c.Done:
		k.done++
		u.checkIns++
	case c.Refusal != "":
		k.refused++
	default:
		k.failed++
	}
}

// after sees what a conversation has changed.
func (k *part) after(i int, now protocol.Time) {
	u, d := &k.units[i], k.loop.Device(i)
	life := &k.lives[u.device]
	switch d.Phase() {
	case agent.Enrolled:
		id := d.Identity()
		switch {
		case !u.managed:
			if now >= k.start {
				k.enrolments++
				life.Enrolments++
				if u.once {
					life.Again = min(life.Again, 254) + 1
				}
			}
			u.dated = now >= k.start
			u.managed, u.once, u.locked, u.tries, u.lost, life.why = true, true, false, 0, 0, 0
			k.note(now, i, fleet.Joined, "", "")
		case id.NotBefore != u.began && !d.Renewing():
			if now >= k.start {
				k.renewals++
				u.dated = true
			}
			k.note(now, i, fleet.Renewed, "", "")
		}
		if !d.Renewing() {
			u.began = id.NotBefore
		}
		if id.NotAfter != 0 && id.NotAfter <= now && !u.locked {
			u.locked = true
			k.note(now, i, fleet.Locked, "", "")
		}
	case agent.Wiped:
		k.gone(i, now, fleet.Wiped)
	case agent.Removed, agent.New:
		k.gone(i, now, fleet.Removed)
	}
}

func (k *part) gone(i int, now protocol.Time, what fleet.What) {
	if u := &k.units[i]; u.managed {
		u.managed, u.lost = false, 0
		k.note(now, i, what, "", "")
	}
}

// changed sees that other profiles are on device i than before.
func (k *part) changed(i int, now protocol.Time) {
	u := &k.units[i]
	w := k.watch.device(k.loop.Number(i))
	if w == nil || k.watch.world == nil {
		return
	}
	has := k.has(i, w.state, now)
	if !k.waived {
		u.lost |= u.had &^ has
	}
	u.lost &^= has
	u.had = has
	k.settle(i, w, now)
}

// minuteOf is the minute of the story that now is in.
func (k *part) minuteOf(now protocol.Time) *Minute {
	const perMinute = protocol.Time(time.Minute / time.Microsecond)
	if since := now - k.minuteFrom; since < 0 || since >= perMinute { // else it is the one of before
		n := (now - k.start) / perMinute
		k.minuteFrom = k.start + n*perMinute
		k.minuteNow = &k.minutes[n]
	}
	return k.minuteNow
}

// note logs what a device saw.
func (k *part) note(at protocol.Time, i int, what fleet.What, rule protocol.Rule, detail string) {
	k.about = i
	k.line(Line{At: at, Side: OfDevice, Device: k.pop.Devices[k.units[i].device].UDID, What: string(what), Rule: rule, Detail: detail})
}

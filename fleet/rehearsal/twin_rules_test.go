package rehearsal_test

import (
	"slices"
	"strings"
	"time"

	"rollcall/protocol"
)

// mayChange is the answer to a change of authority: empty, or the rule that refuses it.
func (w *twin) mayChange(to string, force bool) string {
	if to == w.tenant && to != "unknown" {
		return ""
	}
	for _, f := range changes {
		if !fits(f[0], w.tenant) || !fits(f[1], to) {
			continue
		}
		for _, need := range f[2] {
			switch {
			case need == "units" && (w.units == 0 || w.units < 0 && !slices.ContainsFunc(w.people, func(p person) bool { return p.class() == "entitled" })):
				if slices.Contains(f[2], "force") && !force {
					return "AUTH-04"
				}
				return "AUTH-09"
			case need == "force" && !force:
				return "AUTH-04"
			case need == "settled" && !force:
				for _, u := range w.devices {
					if who, _ := w.target(u); u.life == "enrolled" && u.owner >= 0 && who == "office365" {
						return "AUTH-04"
					}
				}
			case strings.HasPrefix(need, "AUTH"):
				return need
			}
		}
		return ""
	}
	return "no row"
}

// change is the tenant's authority from now on (AUTH-20, AUTH-21, AUTH-30).
func (w *twin) change(to string) {
	if to == w.tenant {
		return
	}
	w.gap = w.gap || w.tenant != "unknown"
	w.tenant, w.changed = to, w.clock
	w.epoch++
}

// mayUpload is the answer to an upload (AUTH-32, AUTH-34).
func (w *twin) mayUpload(topic string, begins, ends protocol.Time, confirm bool) string {
	switch {
	case w.tenant == "unknown":
		return "AUTH-01"
	case w.clock < begins, w.clock >= ends, topic == w.topic && ends <= w.ends:
		return "AUTH-34"
	case w.topic != "" && topic != w.topic && !confirm:
		return "AUTH-32"
	}
	return ""
}

func (w *twin) upload(topic string, ends protocol.Time) { w.topic, w.ends, w.gap = topic, ends, false }

// mayEnrol is the answer to a device that enrols: the gates of AUTH-47 in their order.
func (w *twin) mayEnrol(u *unit) string {
	to, rule := manages(w.tenant, w.class(u), "new", u.apart())
	switch {
	case u.life != "" && u.life != "removed" && w.clock < u.from: // the clock was set back: its new identity looks older than the one before
		return "HST-032"
	case w.tenant == "unknown":
		return "AUTH-01"
	case to == "nobody":
		return rule
	case u.apple() && w.gap:
		return "AUTH-30"
	case u.apple() && (w.topic == "" || w.clock >= w.ends):
		return "AUTH-33"
	}
	asked := w.units >= 0 // licences are asked for where they are known
	for i := range w.people {
		asked = asked || strings.ContainsAny(w.people[i].plans, "IM")
	}
	switch {
	case !asked:
	case u.owner < 0:
		if to == "intune" && w.units >= 0 { // a device licence; there are none
			return "AUTH-47"
		}
	case to == "intune" && u.kind == "client":
	case to == "intune" && w.class(u) != "entitled", to == "office365" && !strings.Contains(w.people[u.owner].plans, "M"):
		return "AUTH-47"
	}
	if u.owner < 0 || to != "intune" || u.kind == "client" {
		return ""
	}
	count := 0
	for _, v := range w.devices {
		if v != u && v.owner == u.owner && v.life == "enrolled" && v.registered == "intune" && w.clock.Sub(v.seen) <= 90*day {
			count++
		}
	}
	if count >= w.limit {
		return "AUTH-47"
	}
	return ""
}

// enrolled is the end of an enrolment (AUTH-44).
func (w *twin) enrolled(u *unit) {
	u.registered, _ = manages(w.tenant, w.class(u), "new", u.apart())
	u.life, u.managed, u.epoch, u.heard, u.seen = "enrolled", true, w.epoch, w.epoch, w.clock
	u.topic, u.joined = "", w.now
	if u.apple() {
		u.topic = w.topic
	}
	second := protocol.Time(time.Second / time.Microsecond)
	u.from = w.clock - w.clock%second
	u.ends = u.from.Add(w.life)
	u.support, u.revoked, u.unsure, u.going = false, false, false, ""
	u.queue = []string{"DeviceInformation", "SecurityInfo"}
	u.on, u.kept = map[string]*setting{}, map[string]bool{}
	u.ordered = w.wanted(u)
}

// mayCheckIn is the answer to a device that checks in.
func (w *twin) mayCheckIn(u *unit) string {
	switch {
	case u.life == "removed":
		return "AUTH-43"
	case u.revoked, w.clock >= u.ends:
		return "AUTH-42"
	case w.clock < u.from:
		return "HST-031"
	case u.apple() && w.gap:
		return "AUTH-30"
	}
	return ""
}

// hear is a device that hears of the newest change: the profiles of the authority before have seven days (AUTH-27). What
// the present authority wants to have on it stays. A licence that comes later, while the gap holds the device, makes its
// profiles the authority before's too.
func (w *twin) hear(u *unit) {
	whose, old, newer := w.profilesOf(u), false, u.heard != w.epoch
	for _, s := range u.on {
		old = old || s.whose != whose
	}
	if w.epoch <= 1 || u.kind == "api" || !newer && (u.ending || !old) {
		return
	}
	u.heard, u.ending = w.epoch, old
	for _, s := range u.on {
		switch {
		case s.whose != whose && w.changed < u.joined: // the server's clock was wrong: to the device all that is here came later
		case s.whose != whose && s.dies == 0:
			s.dies = min(w.changed, w.now).Add(7 * day)
		case s.whose == whose && old: // the device is told of the change, not of each profile: until it checks in it takes them for old
			s.maybe = true
		case s.whose == whose:
			s.dies = 0
		}
	}
	w.expire(u)
}

// expire takes from a device what has to go by now.
func (w *twin) expire(u *unit) {
	for id, s := range u.on {
		if s.dies != 0 && s.dies <= w.now && u.kind != "api" {
			delete(u.on, id)
		}
	}
}

// renews tells whether a check-in renews the identity (AUTH-41): in the last 42 days, of a short life in its last third.
func (w *twin) renews(u *unit) bool {
	window := min(42*day, u.ends.Sub(u.from)/3)
	due := u.ends.Add(-window)
	return w.clock >= due-due%protocol.Time(time.Second/time.Microsecond)
}

// checkIn is a completed check-in: who manages the device, and what is on it (AUTH-21, 23 to 27, 55).
func (w *twin) checkIn(u *unit) {
	if u.life == "deleted" {
		u.life = "enrolled" // AUTH-48
	}
	w.hear(u)
	wanted := w.wanted(u)
	whose := w.profilesOf(u)
	namesake := func(s *setting) bool {
		for _, x := range wanted {
			if x.name == s.name && x.family == s.family {
				return true
			}
		}
		return false
	}
	for id, s := range u.on {
		switch {
		case wanted[id] != nil: // replaced or kept below
		case s.whose == whose && s.family == "configuration" && (u.kind == "android" || u.kind == "api"): // AUTH-55
			u.kept[id] = true
			delete(u.on, id)
		case s.whose == whose, w.tenant == "both": // AUTH-55; AUTH-23, AUTH-24
			delete(u.on, id)
		case namesake(s): // AUTH-26
			delete(u.on, id)
		case !w.doubt && w.clock >= w.changed.Add(7*day): // AUTH-27
			delete(u.on, id)
		}
	}
	for id, s := range wanted {
		u.on[id] = s
		delete(u.kept, id)
	}
	for id, s := range u.ordered { // it was on its way when it was unassigned, and is there to stay now
		if wanted[id] == nil && s.family == "configuration" && (u.kind == "android" || u.kind == "api") && s.whose == whose {
			u.kept[id] = true
		}
	}
	u.ordered, u.was = nil, u.registered
	if to := w.next(u); to != u.registered || u.owner >= 0 {
		u.registered, u.epoch = to, w.epoch
	}
	u.support = false
	if w.renews(u) {
		second := protocol.Time(time.Second / time.Microsecond)
		u.from = w.clock - w.clock%second
		u.ends = u.from.Add(w.life)
	}
	u.seen, u.waits, u.unsure = w.clock, 0, false
}

// isLeaving tells whether an order ends the enrolment (AUTH-53).
func isLeaving(order string) bool { return order == "retire" || order == "delete" || order == "wipe" }

// mayLeave tells whether a farewell is taken.
func (w *twin) mayLeave(u *unit) bool {
	rule := w.mayCheckIn(u)
	return rule == "" || rule == "AUTH-30"
}

// leaves is the end of an enrolment that the server knows of.
func (w *twin) leaves(u *unit, revoked bool) {
	u.life, u.managed, u.revoked = "ended", false, revoked
	u.on, u.queue, u.support, u.unsure, u.going = map[string]*setting{}, nil, false, false, ""
}

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
	w.gap = w.gapAfter(to)
	w.tenant, w.changed, w.kept = to, w.clock, w.days.old
	w.epoch++
}

// gapAfter tells whether the gap is open after a change to another tenant. Under coexistence the certificate of Intune's slot is
// in use already; adding Intune may keep the one that BMS has.
func (w *twin) gapAfter(to string) bool { return w.gap || w.opens(to) }

func (w *twin) opens(to string) bool {
	return to != w.tenant && w.tenant != "unknown" && !(w.tenant == "both" && to == "intune") && !(w.tenant == "bms" && to == "both" && w.noGap)
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
	case u.life != "" && u.life != "removed" && w.identified() < u.from: // the clock was set back: its new identity looks older than the one before
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
	case to == "intune" && u.client():
	case to == "intune" && w.class(u) != "entitled", to == "office365" && !strings.Contains(w.people[u.owner].plans, "M"):
		return "AUTH-47"
	}
	if asked && u.owner >= 0 && u.kind == "auto" && !strings.Contains(w.people[u.owner].plans, "A") {
		return "AUTH-51"
	}
	if u.owner >= 0 && to == "intune" && u.limited() && !w.people[u.owner].helps && w.full(u) || u.kind == "taken" {
		return "AUTH-47"
	}
	return ""
}

// full tells whether a device's user has as many as are allowed.
func (w *twin) full(u *unit) bool {
	count := 0
	for _, v := range w.devices {
		if v != u && v.owner == u.owner && v.life == "enrolled" && v.registered == "intune" && w.clock.Sub(v.seen) <= time.Duration(w.days.counted)*day {
			count++
		}
	}
	return count >= w.limit
}

// enrolled is the end of an enrolment (AUTH-44).
func (w *twin) enrolled(u *unit) {
	u.registered, _ = manages(w.tenant, w.class(u), "new", u.apart())
	u.life, u.managed, u.epoch, u.heard, u.seen = "enrolled", true, w.epoch, w.epoch, w.clock
	u.topic, u.joined = "", w.now
	if u.apple() {
		u.topic = w.topic
	}
	w.identifies(u)
	u.support, u.revoked, u.owes = false, false, nil
	u.on, u.listed, u.tries, u.stuck, u.waiting = map[string]*setting{}, map[string]*setting{}, map[string]int{}, map[string]int{}, nil
	u.order("DeviceInformation")
	u.order("SecurityInfo")
	w.plan(u, true)
}

// identified is from when an identity is valid that is issued now: devices' clocks run behind (apple.md section 3.6).
func (w *twin) identified() protocol.Time {
	return (w.clock - w.clock%protocol.Time(time.Second/time.Microsecond)).Add(-10 * time.Minute)
}

// identifies gives the device an identity.
func (w *twin) identifies(u *unit) {
	u.from = w.identified()
	u.ends = u.from.Add(10*time.Minute + w.life)
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

// mayLeave tells whether a farewell is taken.
func (w *twin) mayLeave(u *unit) bool {
	rule := w.mayCheckIn(u)
	return rule == "" || rule == "AUTH-30"
}

// leaves is the end of an enrolment that the server knows of, by an order or by the device's farewell. An order to delete the
// record waits for any end.
func (w *twin) leaves(u *unit, how string, revoked bool) {
	deleted := how == "delete" || u.awaits("delete")
	u.life, u.revoked, u.support = "ended", revoked, false
	u.waiting, u.listed, u.tries, u.stuck = nil, map[string]*setting{}, map[string]int{}, map[string]int{}
	if deleted {
		u.life = "removed"
	}
}

// farewell is a device's word that it leaves. A PC says only that it tries: its silence of two intervals shows that it did
// (windows.md section 7), unless it was told to.
func (w *twin) farewell(u *unit) {
	switch {
	case !u.pc():
		w.leaves(u, "", false)
	case u.awaits("retire"), u.awaits("delete"):
		w.leaves(u, "", true)
	case !u.awaits("farewell"):
		u.order("farewell")
	}
}

// gone is that the server takes a PC's silence for its leaving.
func (w *twin) gone(i int) {
	u := w.devices[i]
	if !u.awaits("farewell") || w.clock < u.seen.Add(2*interval) {
		w.breaks("AUTH-53", "device %d is taken for gone, and was heard of at %s", i, u.seen)
	}
	w.leaves(u, "", false)
}

// forgets is a device whose enrolment has ended.
func (u *unit) forgets() { u.managed, u.on, u.owes = false, map[string]*setting{}, nil }

package rehearsal_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/protocol"
)

// The twin: the rules of authority.md once more, typed from its tables as words, slow and obvious. It shares no code with
// the server and the device. It is told what happened (an administrator's act, a device that came) and says what must be
// true then.

const day = 24 * time.Hour

// A person is a user.
type person struct {
	plans   string // letters: I INTUNE_A, i the same but disabled, O INTUNE_O365, M EXCHANGE_S_STANDARD, A AAD_PREMIUM
	managed bool   // under co-management
	helps   bool   // is an enrolment manager, who may have more devices than any of these stories has
	groups  string
}

func (p *person) class() string {
	switch {
	case strings.Contains(p.plans, "I"):
		return "entitled"
	case p.managed:
		return "comanaged"
	case strings.Contains(p.plans, "M"):
		return "basic"
	}
	return "none"
}

// A setting is a profile on a device.
type setting struct {
	whose, name, family string
	version             string        // "3.2": the second version of the third on the shelf
	dies                protocol.Time // on the device; 0: it does not
	late                bool          // nobody wanted it any more when it came
	part                bool          // it failed to come, and there may be some of it
}

// A unit is a device.
type unit struct {
	kind    string // see kinds
	owner   int    // -1: userless
	life    string // of its record: "", enrolled, ended, deleted, removed
	managed bool   // the device itself thinks so
	away    bool

	registered string
	was        string // registered before its latest check-in
	epoch      int
	topic      string
	from, ends protocol.Time // its identity
	joined     protocol.Time // by its own clock
	revoked    bool
	seen       protocol.Time // by the server's clock
	heard      int           // the epoch of which it was told
	ending     bool          // and that what it had has seven days
	support    bool
	waiting    []*command          // at the server, in order
	on         map[string]*setting // the device, by identifier
	listed     map[string]*setting // the same as far as the server knows, without what was unassigned and stays (AUTH-55)
	tries      map[string]int      // installations that failed, by version
	stuck      map[string]int      // removals that failed, by identifier
	fresh      int                 // epoch for which all came again
	owes       *deed               // whose report the server has not confirmed

	movable protocol.Time // since when it should move and could; 0: it need not or cannot
	soon    bool          // it has been woken for it
}

func (u *unit) apart() bool { return u.kind == "mac" || u.kind == "api" }

func (u *unit) pc() bool { return u.client() || u.kind == "pc" || u.kind == "grouped" }

func (u *unit) apple() bool {
	return u.kind == "mac" || u.kind == "phone" || u.kind == "pad"
}

func (u *unit) android() bool { return u.kind == "android" || u.kind == "api" }

// client tells whether Configuration Manager's client is on it.
func (u *unit) client() bool { return u.kind == "client" || u.kind == "told" || u.kind == "auto" }

// limited tells whether a device limit holds for it (AUTH-47).
func (u *unit) limited() bool { return !u.client() && u.kind != "grouped" }

// A twin is the model of a tenant.
type twin struct {
	now, clock protocol.Time // of the devices; of the server
	down       bool
	doubt      bool
	trusted    time.Duration // how far the clock was ahead when it was last taken for right
	right      protocol.Time // what it should have said when it was set
	behind     bool          // the server started so: set to that or later it is right
	calm       protocol.Time // since when nothing kept the server from its housekeeping, by its clock
	stepped    time.Duration // how far the clock was set lately

	tenant  string
	epoch   int
	changed protocol.Time
	gap     bool
	noGap   bool // gap.onCoexistence is off
	topic   string
	ends    protocol.Time
	units   int // -1: not known
	limit   int
	silent  time.Duration
	every   time.Duration // between wake-ups of Apple devices, the longest that was set (AUTH-21)
	life    time.Duration
	kept    int                                        // days that old profiles have after the newest change
	days    struct{ old, records, grace, counted int } // that the tenant has set (AUTH-27, AUTH-43, AUTH-33, AUTH-47)

	workloads map[string]string // who decides them
	people    []person
	devices   []*unit
	versions  map[string]int    // by place on the shelf
	assigned  map[string]string // by place on the shelf: groups

	broken []string
}

// breaks notes what does not hold, by the name of the invariant or rule.
func (w *twin) breaks(name, format string, args ...any) {
	w.broken = append(w.broken, name+": "+fmt.Sprintf(format, args...))
}

func (w *twin) class(u *unit) string {
	if u.owner < 0 {
		return "userless"
	}
	return w.people[u.owner].class()
}

// target is who should manage an enrolled device.
func (w *twin) target(u *unit) (who, rule string) { return w.resolve(u, w.class(u)) }

// next is who manages it after its next completed check-in: support has a userless device move (AUTH-18).
func (w *twin) next(u *unit) string {
	class := w.class(u)
	if u.support {
		class = "entitled"
	}
	who, _ := w.resolve(u, class)
	return who
}

func (w *twin) resolve(u *unit, class string) (who, rule string) {
	who, rule = manages(w.tenant, class, u.registered, u.apart())
	if who == "nobody" {
		who = u.registered
	}
	return who, rule
}

// held tells whether the push certificate keeps a device away (AUTH-30, AUTH-33).
func (w *twin) held(u *unit) bool {
	return u.apple() && (w.gap || w.topic == "" || w.clock >= w.ends)
}

// unheard tells whether no push reaches a device any more (AUTH-32; AUTH-33: after the grace only another topic can be had).
func (w *twin) unheard(u *unit) bool {
	return u.apple() && w.topic != "" && (u.topic != w.topic || w.clock > w.ends.Add(time.Duration(w.days.grace)*day))
}

// profilesOf is whose profiles a device should have.
func (w *twin) profilesOf(u *unit) string {
	who := w.next(u)
	if who == "intune" && w.tenant == "sccm" {
		return "sccm"
	}
	return who
}

// brings tells whether Intune, not Configuration Manager, decides a family on a client (AUTH-12, AUTH-51): device
// configuration includes access to resources. What a client tells counts before the tenant's deciders.
func (w *twin) brings(u *unit, family string) bool {
	decides := func(workload string) bool {
		switch w.workloads[workload] {
		case "intune":
			return true
		case "pilot":
			return strings.Contains(w.people[u.owner].groups, "sales")
		}
		return false
	}
	if u.kind == "told" {
		decides = func(workload string) bool { return workload == "resource_access" }
	}
	return decides("device_configuration") || family != "configuration" && decides("resource_access")
}

// wanted are the profiles that a device should have, by identifier.
func (w *twin) wanted(u *unit) map[string]*setting {
	all := map[string]*setting{}
	if u.owner < 0 {
		return all // profiles go to groups of users
	}
	whose := w.profilesOf(u)
	for _, f := range shelf {
		groups := w.assigned[f[0]]
		if u.client() && whose != "office365" && !w.brings(u, f[3]) {
			continue
		}
		if f[1] != whose || w.versions[f[0]] == 0 {
			continue
		}
		for _, g := range strings.Fields(w.people[u.owner].groups) {
			if slices.Contains(strings.Fields(groups), g) {
				all[f[4]] = &setting{whose: f[1], name: f[2], family: f[3], version: fmt.Sprintf("%s.%d", f[0], w.versions[f[0]])}
			}
		}
	}
	return all
}

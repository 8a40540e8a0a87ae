package rehearsal_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Words are what is true of one device, as authority.md names it.
type words uint16

const (
	enrolled words = 1 << iota
	pending
	stale
	blocked
	stranded
	needsSupport
	mustEnrol
	unlicensed
	leaving
	moves
	movesBlocked
)

var wordNames = [...]string{
	"enrolled", "pending", "stale", "blocked", "stranded", "needs support", "must enrol again", "unlicensed", "leaving", "would move", "would move, blocked",
}

// words says what is true of an enrolled device. Changed: the tenant's authority is about to.
func (w *twin) words(u *unit, changed bool) words {
	is := enrolled
	say := func(x words, holds bool) {
		if holds {
			is |= x
		}
	}
	to, _ := w.target(u)
	user := u.owner >= 0
	expired := u.ends <= w.clock
	say(pending, user && to != u.registered)
	say(stale, user && to == u.registered && (changed || u.epoch < w.epoch))
	ordered := !user && u.support && w.next(u) != u.registered // by support: it moves, though no userless device is pending
	say(blocked, (is&(pending|stale) != 0 || ordered) && w.held(u))
	say(mustEnrol, expired || u.revoked)
	would := is&pending != 0
	if !user { // had it an entitled user
		elsewhere, _ := manages(w.tenant, "entitled", u.registered, u.apart())
		would = elsewhere != "nobody" && elsewhere != u.registered
	}
	say(stranded, w.unheard(u) || would && (expired || u.revoked || !user && !u.support))
	say(needsSupport, would && !user && !u.support && !expired && !u.revoked && !w.unheard(u))
	if user {
		mail, class := strings.Contains(w.people[u.owner].plans, "M"), w.class(u)
		say(unlicensed, to == "office365" && !mail && class != "entitled" || to == "intune" && (class == "basic" || class == "none") && !u.client())
	}
	say(leaving, u.isLeaving())
	say(moves, (is&pending != 0 || ordered) && is&(stranded|leaving) == 0)
	say(movesBlocked, is&(moves|blocked) == moves|blocked)
	return is
}

// whatFalls is what becomes of a profile on a device by a change, when that comes there (AUTH-23 to 28, AUTH-55). The first
// row that fits decides. Ending is a profile of another authority than the one whose profiles the device should have: what is of the
// one that is in force again stays unless nobody assigns it.
const whatFalls = `
ends      any        any             | keeps       -
ending    both       namesake,newer  | replaced    AUTH-23
ending    both       any             | removed     AUTH-23
ending    any        namesake,newer  | overwritten AUTH-26
ending    any        any             | redundant   AUTH-27
pending   both       namesake,newer  | replaced    AUTH-23
pending   both       any             | removed     AUTH-23
pending   any        namesake,newer  | overwritten AUTH-26
pending   any        any             | redundant   AUTH-27
settled,stale any    newer           | updated     AUTH-52
settled,stale any    leaves          | unassigned  AUTH-55
settled,stale any    any             | keeps       -
`

// whatComes is the same of a profile that a device is to have, and whose name and family no other on it has.
const whatComes = `
ends      any   | nothing    -
pending   both  | installed  AUTH-23
pending   any   | installed  AUTH-21
stale     any   | installed  AUTH-21
settled   any   | installed  AUTH-52
`

var falls, comes = rows(whatFalls), rows(whatComes)

// stateOf is the state that the tables name, of a device of which is is true.
func (w *twin) stateOf(u *unit, is words) string {
	switch {
	case is&(leaving|mustEnrol) != 0 || w.unheard(u):
		return "ends"
	case is&pending != 0:
		return "pending"
	case is&stale != 0:
		return "stale"
	}
	return "settled"
}

// byLicence is the rule where a licence decides: of the move to BMS another one.
func (w *twin) byLicence(u *unit, rule string) string {
	if who, _ := w.target(u); rule == "AUTH-23" && who == "office365" {
		return "AUTH-24"
	}
	return rule
}

// fall says what becomes of a profile of a device of which is is true, after a change to w's tenant. Ending is one that
// is not the authority's whose profiles the device should have, though that manages it already.
func (w *twin) fall(u *unit, is words, s *setting) (effect, rule string) {
	state, change, place := w.stateOf(u, is), "other", "other"
	if s.whose != w.profilesOf(u) && (state == "settled" || state == "stale") {
		state = "ending"
	}
	if w.tenant == "both" {
		change = "both"
	}
	for _, x := range w.wanted(u) {
		switch {
		case x.name != s.name || x.family != s.family:
		case x.version == s.version || u.tries[x.version] >= mostTries:
			place = "namesake"
		default:
			place = "newer"
		}
	}
	if place == "other" && !u.stays(s.family) {
		place = "leaves"
	}
	for _, f := range falls {
		if fits(f[0], state) && fits(f[1], change) && fits(f[2], place) {
			return f[4][0], w.byLicence(u, f[5][0])
		}
	}
	return "no row", ""
}

// comes says what becomes of a profile that a device of which is is true is to have.
func (w *twin) comes(u *unit, is words, s *setting) (effect, rule string) {
	for _, x := range u.listed {
		if x.name == s.name && x.family == s.family {
			return "nothing", "" // what becomes of that one says it
		}
	}
	if u.tries[s.version] >= mostTries {
		return "nothing", ""
	}
	state, tenant := w.stateOf(u, is), w.tenant
	for _, f := range comes {
		if fits(f[0], state) && fits(f[1], tenant) {
			return f[3][0], w.byLicence(u, f[4][0])
		}
	}
	return "no row", ""
}

// foretell says in one text, and in counts, what is true of all enrolled devices right after a change to a tenant, and what
// becomes of their profiles.
func (w *twin) foretell(to string) (text string, counts map[string]int) {
	before, gap, opens := w.tenant, w.gap, w.opens(to)
	changes := to != before
	if changes {
		w.gap = w.gapAfter(to)
	}
	w.tenant = to
	counts = map[string]int{}
	b := fmt.Appendf(nil, "%s to %s, epoch %d, gap %t, opens it %t", before, to, w.epoch, w.gap, opens)
	if changes {
		b = fmt.Appendf(b, ", old profiles have %d days", w.days.old)
	}
	if w.units >= 0 {
		held := 0
		for i := range w.people {
			if w.people[i].class() == "entitled" {
				held++
			}
		}
		b = fmt.Appendf(b, ", %d of %d units", held, w.units)
	}
	for i, u := range w.devices {
		if u.life != "enrolled" {
			continue
		}
		w.tenant = before
		_, by := w.target(u)
		w.tenant = to
		is := w.words(u, changes)
		for k := range wordNames {
			if is>>k&1 != 0 {
				counts[wordNames[k]]++
			}
		}
		_, rule := w.target(u)
		who := w.next(u)
		lately := w.clock.Sub(u.seen) <= 90*day
		if is&moves != 0 && lately {
			counts["would move, reachable"]++
		}
		b = fmt.Appendf(b, "\n%d %s by %s to %s by %s, %b, seen lately %t, gets", i, u.registered, by, who, rule, is, lately)
		wanted := w.wanted(u)
		for _, id := range slices.Sorted(maps.Keys(wanted)) {
			s := wanted[id]
			effect, rule := w.comes(u, is, s)
			b = fmt.Appendf(b, " %s/%s: %s by %s", s.family, s.name, effect, rule)
			if effect != "nothing" {
				counts[s.family+" "+effect+" by "+rule]++
			}
		}
		loses, mail := false, false
		for _, id := range slices.Sorted(maps.Keys(u.listed)) {
			s := u.listed[id]
			effect, rule := w.fall(u, is, s)
			if effect != "keeps" {
				b = fmt.Appendf(b, ", %s/%s of %s %s by %s", s.family, s.name, strings.Replace(s.whose, "sccm", "intune", 1), effect, rule)
				counts[s.family+" "+effect+" by "+rule]++
			}
			loses = loses || effect == "removed"
			mail = mail || s.family == "email" && s.whose == "office365"
		}
		if is&moves != 0 && mail && who == "intune" { // AUTH-37
			counts["asked to sign in"]++
		}
		if is&moves != 0 && loses && len(wanted) == 0 { // AUTH-23
			counts["unprotected"]++
		}
	}
	w.tenant, w.gap = before, gap
	return string(b), counts
}

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
	say(blocked, is&(pending|stale) != 0 && w.held(u))
	say(mustEnrol, expired || u.revoked)
	would := is&pending != 0
	if !user { // had it an entitled user
		elsewhere, _ := manages(w.tenant, "entitled", u.registered, u.apart())
		would = elsewhere != "nobody" && elsewhere != u.registered
	}
	say(stranded, w.unheard(u) || would && (expired || u.revoked || !user))
	say(needsSupport, would && !user && !expired && !u.revoked && !w.unheard(u))
	if user {
		mail, class := strings.Contains(w.people[u.owner].plans, "M"), w.class(u)
		say(unlicensed, to == "office365" && !mail && class != "entitled" || to == "intune" && (class == "basic" || class == "none") && u.kind != "client")
	}
	say(leaving, slices.ContainsFunc(u.queue, isLeaving))
	say(moves, is&pending != 0 && is&(stranded|leaving) == 0)
	say(movesBlocked, is&(moves|blocked) == moves|blocked)
	return is
}

// foretell says in one text, and in counts, what is true of all enrolled devices right after a change to a tenant. Has is
// what they have then and are to get: the same words and other profiles may or may not come to the same.
func (w *twin) foretell(to string) (text, has string, counts [len(wordNames)]int) {
	before, gap := w.tenant, w.gap
	changes := to != before
	w.tenant, w.gap = to, gap || changes && before != "unknown"
	b, h := fmt.Appendf(nil, "%s %d, gap %t", to, w.epoch, w.gap), []byte(nil)
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
				counts[k]++
			}
		}
		who, rule := w.target(u)
		b = fmt.Appendf(b, "\n%d %s by %s to %s by %s, %b, held %v, gets %q", i, u.registered, by, who, rule, is, w.held(u), slices.Sorted(maps.Keys(w.wanted(u))))
		h = fmt.Appendf(h, "%d has %q, seen lately %t\n", i, slices.Sorted(maps.Keys(u.on)), w.clock.Sub(u.seen) <= 90*day)
	}
	w.tenant, w.gap = before, gap
	return string(b), string(h), counts
}

// vague tells whether nobody can say how a device stands.
func (w *twin) vague() bool {
	return slices.ContainsFunc(w.devices, func(u *unit) bool { return u.unsure })
}

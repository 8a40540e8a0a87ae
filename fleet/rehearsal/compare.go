package rehearsal

import (
	"maps"
	"slices"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A disagreement is a device of which the server believes what is not so.
type disagreement struct{ device, what string }

// A word is what a device says of itself.
type word struct {
	phase agent.Phase
	end   protocol.Time            // of its identity; 0: it has none
	on    map[string]bool          // identifiers of the profiles that the server gave it; false: it may stay when it is unassigned (AUTH-55)
	of    map[protocol.Family]bool // their families, in place of identifiers, which Windows does not know; nil: it has said on
}

func wordOf(d fleet.Device) word {
	w := word{phase: d.Phase(), end: d.Identity().NotAfter, on: map[string]bool{}}
	switch d := d.(type) {
	case *dialect.Apple:
		for _, p := range d.Profiles() {
			if !p.MDM {
				w.on[p.Identifier] = true
			}
		}
	case *dialect.Android:
		for _, p := range d.Profiles() {
			w.on[p.Identifier] = p.Family != protocol.Configuration && p.Family != protocol.NoFamily
		}
	case *dialect.Windows:
		w.of = map[protocol.Family]bool{}
		for _, p := range d.Profiles() {
			w.of[p.Family] = true
		}
	}
	return w
}

// forgotten tells whether the device believes at now that it is enrolled while its record is gone since its identity ended
// (AUTH-43): nobody can tell it.
func (w *word) forgotten(now protocol.Time, known bool) bool {
	return !known && w.phase == agent.Enrolled && w.end != 0 && w.end <= now
}

// compare holds the server's word of one device, which it lists in so many portals, against the device's own: whether it is
// enrolled, which profiles are there (I3), and that an enrolled device is in exactly one portal (I7). known: the server has
// a record of it.
func compare(now protocol.Time, id string, d *word, of *target.Device, known bool, portals int) (found []disagreement) {
	say := func(what string) { found = append(found, disagreement{id, what}) }
	switch {
	case d.forgotten(now, known):
		return nil
	case d.phase == agent.Enrolled && !known:
		say(lang.English.Say("I3: enrolled, and the server does not list it"))
		return found
	case d.phase == agent.Enrolled && of.Life != enrolled:
		say(lang.English.Say("I3: enrolled, and the server lists it as %s", of.Life))
		return found
	}
	if of.Life == enrolled && portals != 1 {
		say(lang.English.Say("I7: listed in %d {portal|portals}", portals))
	}
	if d.phase != agent.Enrolled {
		return found // silent or gone: the server cannot know yet
	}
	there, families := map[string]bool{}, map[protocol.Family]bool{}
	for _, p := range of.Profiles {
		_, here := d.on[p.Identifier]
		if p.State == "installed" && !here && !d.of[p.Family] {
			say(lang.English.Say("I3: the server holds %s for installed, and it is not there", p.Name))
		}
		there[p.Identifier], families[p.Family] = true, true
	}
	for _, f := range protocol.Families {
		if d.of[f] && !families[f] {
			say(lang.English.Say("I3: a profile of the family %s is there, and the server does not know", f))
		}
	}
	for _, identifier := range slices.Sorted(maps.Keys(d.on)) {
		if d.on[identifier] && !there[identifier] {
			say(lang.English.Say("I3: %s is there, and the server does not know", identifier))
		}
	}
	return found
}

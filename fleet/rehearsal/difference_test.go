package rehearsal_test

import (
	"fmt"
	"maps"
	"slices"

	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
)

// contact is a conversation that has ended.
func (p *player) contact(c *rehearsal.Contact) {
	if c.Began == protocol.NoVerb {
		return
	}
	w := p.twin
	p.time()
	d := c.Device
	u := w.devices[d]
	if n := p.loop.Number(d); n != 0 {
		p.units[n] = d
	}
	if p.cut[d] && !p.lost[d] {
		delete(p.cut, d)
		w.restarted()
		if err := p.loop.Restart(); err != nil && p.err == nil {
			p.err = err
		}
	}
	if u.away || w.down {
		if c.Done {
			w.breaks("AUTH-22", "device %d is off the network and its conversation succeeded", d)
		}
		if c.Began == protocol.Leave || !p.managed(d) {
			u.managed, u.on = false, map[string]*setting{}
		}
		return
	}
	switch c.Began {
	case protocol.Enrol:
		p.enrolment(d, u, c)
	case protocol.Leave:
		if u.life == "enrolled" && w.mayLeave(u) {
			deleted := slices.Contains(u.queue, "delete") // which waited for any end
			w.leaves(u, false)
			if deleted {
				u.life = "removed"
			}
		}
		u.managed, u.on = false, map[string]*setting{}
	default:
		p.checkIn(d, u, c)
	}
	w.settleOne(u, false)
	if len(w.broken) == 0 {
		p.compareOne(d, u, true)
	}
}

func (p *player) managed(d int) bool { return p.loop.Device(d).Phase().String() == "enrolled" }

// gapName is what a wrong answer to a device breaks.
func gapName(got, want string) string {
	if got == "AUTH-30" || want == "AUTH-30" {
		return "I5"
	}
	return "AUTH-47"
}

func (p *player) enrolment(d int, u *unit, c *rehearsal.Contact) {
	w := p.twin
	want := w.mayEnrol(u)
	if got := string(c.Refusal); got != want {
		w.breaks(gapName(got, want), "enrolment of device %d (%s, %s) in %s: %s, want %s", d, u.kind, w.class(u), w.tenant, orTaken(got), orTaken(want))
		return
	}
	if want == "" {
		w.enrolled(u)
	}
}

func (p *player) checkIn(d int, u *unit, c *rehearsal.Contact) {
	w := p.twin
	// What it has carried out counts, whatever became of the conversation.
	ran := p.ran[d]
	if ran == nil {
		ran = map[protocol.CommandID]bool{}
		p.ran[d] = ran
	}
	gone := ""
	for i := range c.Executed {
		cmd := &c.Executed[i]
		if ran[cmd.ID] {
			w.breaks("I3", "device %d carried out %s %s twice", d, cmd.Kind, cmd.ID)
		}
		ran[cmd.ID] = true
		said := cmd.Kind.String()
		switch cmd.Kind {
		case protocol.InstallProfile, protocol.RemoveProfile, protocol.RenewIdentity:
			continue
		case protocol.Retire:
			said = "retire"
			if cmd.Text == delivery.AndDelete {
				said = "delete"
			}
			gone = said
		case protocol.Erase:
			said, gone = "wipe", "wipe"
		}
		if len(u.queue) == 0 || u.queue[0] != said {
			w.breaks("I3", "device %d carried out %s; the orders are %q", d, said, u.queue)
			return
		}
		u.queue = u.queue[1:]
	}
	want := w.mayCheckIn(u)
	got := string(c.Refusal)
	if gone == "" && u.unsure && c.Done && !p.managed(d) {
		gone = u.going // its last word, which was lost before, has arrived now
	}
	if gone != "" && slices.Contains(u.queue, "delete") {
		gone = "delete" // which waited for that
	}
	switch {
	case gone != "" && (c.Done || got != ""): // it has left
		w.leaves(u, true)
		if gone == "delete" {
			u.life = "removed"
		}
	case got != want:
		if u.unsure && (u.going == "delete" && got == "AUTH-43" || u.going != "" && got == "AUTH-42") {
			going := u.going
			w.leaves(u, true) // its last word had arrived
			u.managed = p.managed(d)
			if going == "delete" {
				u.life = "removed"
			}
			return
		}
		w.breaks(gapName(got, want), "check-in of device %d (%s) in %s: %s, want %s", d, u.kind, w.tenant, orTaken(got), orTaken(want))
	case got == "AUTH-30":
		w.hear(u)
	case got != "":
	case !c.Done: // an answer was lost
		if id := p.loop.Device(d).Identity(); id.NotAfter != 0 { // it has renewed it before that
			u.from, u.ends = id.NotBefore, id.NotAfter
		}
		u.unsure, u.going, u.managed = true, gone, p.managed(d)
		if u.ordered == nil {
			u.ordered = map[string]*setting{}
		}
		maps.Copy(u.ordered, w.wanted(u))
	default:
		if len(u.queue) > 0 {
			w.breaks("I3", "device %d was not asked for %q", d, u.queue)
		}
		w.checkIn(u)
	}
}

// compare holds the real devices and records against the twin.
func (p *player) compare() {
	w := p.twin
	if len(w.broken) > 0 {
		return
	}
	p.time()
	portals := map[protocol.Device]string{}
	for _, a := range []protocol.Authority{protocol.Intune, protocol.Office365, protocol.SCCM, protocol.Unknown} {
		list, err := p.loop.Server().Portal(p.ctx, a, 0, 100)
		if err != nil && p.err == nil {
			p.err = err
		}
		for i := range list {
			portals[list[i].State.Device] += a.String()
		}
	}
	for d, u := range w.devices {
		if u.unsure {
			continue
		}
		p.compareOne(d, u, false)
		want := ""
		if u.life == "enrolled" {
			want = u.registered
		}
		if in := portals[p.loop.Number(d)]; in != want && p.loop.Number(d) != 0 {
			w.breaks("I7", "device %d is %q, and listed in %q, want %q", d, u.life, in, want)
		}
	}
}

// compareOne holds one device and its record against the twin; contact: after a contact of it.
func (p *player) compareOne(d int, u *unit, contact bool) {
	w := p.twin
	if u.unsure {
		return
	}
	when := ""
	if contact {
		when = fmt.Sprintf(" after a contact at %s", w.now)
	}
	n := p.loop.Number(d)
	life, registered, epoch := "", "unknown", 0
	if r, err := p.loop.Server().Store().Record(p.ctx, n); err == nil {
		life, registered, epoch = r.State.Life.String(), r.State.Registered.String(), int(r.State.Epoch)
	} else if n != 0 {
		life = "removed"
	}
	if want := u.life; life != want && !(life == "none" && want == "") {
		w.breaks("AUTH-43", "the record of device %d is %q, want %q%s", d, life, want, when)
		return
	}
	if u.life != "enrolled" {
		return
	}
	if registered != u.registered || epoch != u.epoch {
		name := "I2"
		switch {
		case registered == "unknown":
			name = "I1"
		case contact && (epoch < u.epoch || registered == u.was && registered != u.registered):
			name = "I8"
		case registered != u.registered && epoch == u.epoch:
			name = "I9"
		}
		w.breaks(name, "device %d (%s of %s) is registered with %s in epoch %d, want %s in %d%s", d, u.kind, w.class(u), registered, epoch, u.registered, u.epoch, when)
	}
	p.standing(d, u, when)
	if got, want := p.settings(d, u); !slices.Equal(got, want) {
		name := "AUTH-23 to 27"
		if slices.ContainsFunc(got, func(s string) bool { return !slices.Contains(want, s) }) && u.managed && w.clock >= w.changed.Add(7*day) {
			name = "I4"
		}
		w.breaks(name, "device %d (%s) of %s has %q, want %q%s", d, u.kind, w.tenant, got, want, when)
	}
}

// standing holds what a rehearsal says of a device against the words.
func (p *player) standing(d int, u *unit, when string) {
	w := p.twin
	if u.support {
		return // the words are about those that nobody helps
	}
	s := p.watch.Standing(w.clock, id(d))
	is := w.words(u, false)
	for i, got := range [...]bool{s.Pending, s.Stale, s.Blocked, s.Stranded, s.NeedsSupport} {
		if want := is>>(i+1)&1 != 0; got != want {
			w.breaks("AUTH Words", "device %d (%s of %s) in %s, registered with %s: %s is %v, want %v%s", d, u.kind, w.class(u), w.tenant, u.registered, wordNames[i+1], got, want, when)
		}
	}
	if want := is&unlicensed != 0; s.Unlicensed != want {
		w.breaks("AUTH Words", "device %d (%s of %s) in %s: unlicensed is %v, want %v%s", d, u.kind, w.class(u), w.tenant, s.Unlicensed, want, when)
	}
}

// settings are the versions of the profiles on a device, and those that should be.
func (p *player) settings(d int, u *unit) (have, should []string) {
	world := p.loop.Server().World()
	for _, a := range p.loop.Device(d).Profiles() {
		x := &world.Profiles[a.Content]
		if s := u.on[x.Identifier]; s == nil && !u.kept[x.Identifier] || s != nil && !s.maybe {
			have = append(have, string(x.Payload))
		}
	}
	for _, s := range u.on {
		if !s.maybe {
			should = append(should, s.version)
		}
	}
	slices.Sort(have)
	slices.Sort(should)
	return have, should
}

// counts holds a preview's numbers against the twin's (I10).
func (p *player) counts(what string, pre *server.Preview, want [len(wordNames)]int) {
	if p.twin.vague() {
		return
	}
	got := [len(wordNames)]int{
		pre.Enrolled, pre.Pending, pre.Stale, pre.Blocked, pre.Stranded, pre.NeedsSupport, pre.MustEnrol, pre.Unlicensed, pre.Leaving, pre.WouldMove, pre.WouldMoveBlocked,
	}
	for i, name := range wordNames {
		if got[i] != want[i] {
			p.twin.breaks("I10", "%s: %s: %d devices, want %d", what, name, got[i], want[i])
		}
	}
}

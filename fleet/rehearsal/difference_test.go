package rehearsal_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

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
	t := talk{asked: c.Began == protocol.Ask, lost: p.lost[d] == losing, cut: p.lost[d] == losing && p.cut[d]}
	if t.lost {
		delete(p.lost, d)
	}
	t.deeds = p.deeds(d, c)
	if t.cut {
		delete(p.cut, d)
		w.restarted()
		if err := p.loop.Restart(); err != nil && p.err == nil {
			p.err = err
		}
	}
	switch {
	case u.away || w.down:
		if c.Done {
			w.breaks("AUTH-22", "device %d is off the network and its conversation succeeded", d)
		}
		if c.Began == protocol.Leave || c.Began == protocol.Enrol {
			u.forgets()
		}
		return
	case c.Began == protocol.Enrol:
		p.enrolment(d, u, c)
	case c.Began == protocol.Leave:
		if u.life == "enrolled" && w.mayLeave(u) {
			w.farewell(u)
			u.seen = w.clock
		}
		u.forgets()
	default:
		p.checkIn(d, u, c, &t)
	}
	w.settleOne(u, false)
	if len(w.broken) == 0 {
		p.compareOne(d, u, true)
	}
}

// deeds are what a device was told to do in a conversation, and did: nothing that it has done once is asked of it again.
func (p *player) deeds(d int, c *rehearsal.Contact) (all []deed) {
	ran := p.ran[d]
	if ran == nil {
		ran = map[protocol.CommandID]bool{}
		p.ran[d] = ran
	}
	world := p.loop.Server().World()
	for i := range c.Executed {
		cmd := &c.Executed[i]
		if ran[cmd.ID] {
			p.twin.breaks("I3", "device %d was told %s %s again, when it had answered it for good", d, cmd.Kind, cmd.ID)
		}
		ran[cmd.ID] = p.said[i] != protocol.NotNow
		all = append(all, deed{cmd.ID, said(world, cmd), p.said[i]})
	}
	p.said = p.said[:0]
	return all
}

// said is a command in the twin's words.
func said(world *delivery.World, c *protocol.Command) string {
	switch c.Kind {
	case protocol.InstallProfile:
		return "install " + string(world.Profiles[c.Profile].Payload)
	case protocol.RemoveProfile:
		return "remove " + c.Text
	case protocol.Erase:
		return "wipe"
	case protocol.Retire:
		switch c.Text {
		case delivery.AndDelete:
			return "delete"
		case delivery.Farewell:
			return "farewell"
		}
		return "retire"
	}
	return c.Kind.String()
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

func (p *player) checkIn(d int, u *unit, c *rehearsal.Contact, t *talk) {
	w := p.twin
	want, got := w.mayCheckIn(u), string(c.Refusal)
	switch want {
	case "":
		if w.talks(u, t); got != "" && !u.managed {
			got = "" // that was its farewell, to a record that has ended
		}
	case "AUTH-30":
		w.hear(u)
	}
	if got != want {
		w.breaks(gapName(got, want), "check-in of device %d (%s) in %s: %s, want %s", d, u.kind, w.tenant, orTaken(got), orTaken(want))
	}
	u.movable = 0
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
	when := ""
	if contact {
		when = fmt.Sprintf(" after a contact at %s", w.now)
	}
	n := p.loop.Number(d)
	life, registered, epoch := "", "unknown", 0
	r, err := p.loop.Server().Store().Record(p.ctx, n)
	if err == nil {
		life, registered, epoch = r.State.Life.String(), r.State.Registered.String(), int(r.State.Epoch)
	} else if n != 0 {
		life = "removed"
	}
	if want := u.life; life != want && !(life == "none" && want == "") {
		w.breaks("AUTH-43", "the record of device %d is %q, want %q%s", d, life, want, when)
		return
	}
	p.holds(d, u, when)
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
	listed, waiting := p.serverHas(&r.State)
	if want := versions(u.listed); !slices.Equal(listed, want) {
		w.breaks("I3", "the server lists on device %d (%s) of %s %q, want %q%s", d, u.kind, w.tenant, listed, want, when)
	}
	if want := u.waitingFor(); !slices.Equal(waiting, want) {
		w.breaks("I3", "for device %d (%s) of %s waits %q, want %q%s", d, u.kind, w.tenant, waiting, want, when)
	}
}

// holds holds what is on a device against the twin's.
func (p *player) holds(d int, u *unit, when string) {
	w := p.twin
	if managed := p.managed(d); managed != u.managed {
		w.breaks("AUTH-53", "device %d is managed, as it thinks itself: %v, want %v%s", d, managed, u.managed, when)
	}
	var got []string
	world := p.loop.Server().World()
	for _, a := range p.loop.Device(d).Profiles() {
		got = append(got, string(world.Profiles[a.Content].Payload))
	}
	slices.Sort(got)
	want := versions(u.on)
	if slices.Equal(got, want) {
		return
	}
	name := "AUTH-23 to 27"
	if slices.ContainsFunc(got, func(s string) bool { return !slices.Contains(want, s) }) && u.managed && w.clock >= w.changed.Add(time.Duration(w.kept)*day) {
		name = "I4"
	}
	w.breaks(name, "device %d (%s) of %s has %q, want %q%s", d, u.kind, w.tenant, got, want, when)
}

func versions(of map[string]*setting) (all []string) {
	for _, s := range of {
		all = append(all, s.version)
	}
	slices.Sort(all)
	return all
}

// serverHas is what the server knows to be on a device, and what waits for it, in the twin's words.
func (p *player) serverHas(s *delivery.State) (listed, waiting []string) {
	world := p.loop.Server().World()
	for _, a := range s.Profiles {
		if a.State != delivery.Installing && a.State != delivery.InstallFailed {
			listed = append(listed, string(world.Profiles[a.Profile].Payload))
		}
	}
	for i := range s.Queue {
		waiting = append(waiting, said(world, &s.Queue[i].Command))
	}
	slices.Sort(listed)
	slices.Sort(waiting)
	return listed, waiting
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

// counts holds a preview's numbers against the twin's (I10).
func (p *player) counts(what string, pre *server.Preview, want map[string]int) {
	got := map[string]int{}
	for i, n := range [...]int{
		pre.Enrolled, pre.Pending, pre.Stale, pre.Blocked, pre.Stranded, pre.NeedsSupport, pre.MustEnrol, pre.Unlicensed, pre.Leaving, pre.WouldMove, pre.WouldMoveBlocked,
		pre.WouldMoveReachable, pre.Prompts, pre.Unprotected,
	} {
		if n != 0 {
			got[counted[i]] = n
		}
	}
	for _, g := range pre.Profiles {
		got[fmt.Sprintf("%s %s by %s", g.Family, g.Effect, g.Rule)] += g.Count
	}
	if !maps.Equal(got, want) {
		p.twin.breaks("I10", "%s says %v, want %v", what, got, want)
	}
}

var counted = append(wordNames[:], "would move, reachable", "asked to sign in", "unprotected")

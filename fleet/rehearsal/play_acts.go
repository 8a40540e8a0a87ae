package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/store"
)

// planner does what the plan does.
var planner = server.Actor{Name: "plan", Role: store.GlobalAdministrator}

// An act is one thing that the plan does at a moment, on each partition.
type act struct {
	at protocol.Time
	fleet.Words
	fault  bool
	main   bool  // see [fleet.Act]
	renews bool  // the push certificate
	turns  bool  // the devices stand otherwise afterwards
	daily  bool  // only where an identity has ended
	do     doing // nil: the population knows who and when
	wave   *wave // of licences
}

// doing does something on the partition that p plays.
type doing func(ctx context.Context, p *player, now protocol.Time) (outcome, error)

// quiet is doing of which there is nothing to say.
func quiet(do func(ctx context.Context, p *player, now protocol.Time) error) doing {
	return func(ctx context.Context, p *player, now protocol.Time) (outcome, error) {
		return outcome{}, do(ctx, p, now)
	}
}

// write makes the acts of the plan, in order of time; at the same time in the plan's order.
func (s *stage) write() error {
	holders := s.pop.Holders()
	for i := range s.plan.Timeline {
		a := &s.plan.Timeline[i]
		at := s.start.Add(time.Duration(a.At))
		if a.Licences != nil {
			s.script = append(s.script, s.licensing(a, uint64(i), holders)...)
			continue
		}
		do, turns, err := s.action(a, uint64(i))
		if err != nil {
			return err
		}
		if w := s.cast.Say(a); w.Name != "" {
			s.script = append(s.script, act{at: at, Words: w, turns: turns, main: fleet.IsMain(a), renews: a.APNs != nil && a.APNs.Upload == plan.Renewed, do: do})
		}
	}
	for i := range s.plan.Faults {
		f := &s.plan.Faults[i]
		at := s.start.Add(time.Duration(f.At))
		begins, ends := fleet.SayFault(f)
		turn := faulty(f)
		s.script = append(s.script, act{at: at, Words: begins, fault: true, do: quiet(func(ctx context.Context, p *player, now protocol.Time) error { return turn(p, ctx, now, true) })})
		if f.For > 0 {
			s.script = append(s.script, act{at: at.Add(time.Duration(f.For)), Words: ends, fault: true, do: quiet(func(ctx context.Context, p *player, now protocol.Time) error { return turn(p, ctx, now, false) })})
		}
	}
	for at := s.start.Add(24 * time.Hour); at < s.end; at = at.Add(24 * time.Hour) { // identities end, and certificates, without anybody doing anything
		s.script = append(s.script, act{at: at, turns: true, daily: true})
	}
	slices.SortStableFunc(s.script, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	said := map[string]bool{}
	for i := range s.script {
		if text := s.script[i].Text; said[text] {
			s.script[i].Text = ""
		} else {
			said[text] = true
		}
	}
	return nil
}

// follow has p do what the script says, after what is to come of what was before.
func (p *player) follow() {
	p.acts = append(p.acts, p.script...)
	slices.SortStableFunc(p.acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
}

// later has the devices looked at again at a moment.
func (p *player) later(at protocol.Time) {
	if at < p.end {
		p.insert(act{at: at, turns: true})
	}
}

// insert has a done before whatever else is to be done at the same moment.
func (p *player) insert(a act) {
	i, _ := slices.BinarySearchFunc(p.acts, a.at, func(a act, at protocol.Time) int { return cmp.Compare(a.at, at) })
	p.acts = slices.Insert(p.acts, i, a)
}

// action returns how a is done; salt tells the draws of one action apart from those of another.
func (s *stage) action(a *plan.Action, salt uint64) (do doing, turns bool, err error) {
	switch {
	case a.Enrol != nil && a.Enrol.Again:
		return quiet(func(_ context.Context, p *player, now protocol.Time) error {
			p.part.enrolAgain(now, time.Duration(a.Enrol.Over), salt)
			return nil
		}), false, nil
	case a.Enrol != nil:
		return nil, false, nil
	case a.Authority != nil:
		return func(ctx context.Context, p *player, now protocol.Time) (outcome, error) {
			return p.setAuthority(ctx, now, a.Authority)
		}, true, nil
	case a.Consent != 0:
		return quiet(func(ctx context.Context, p *player, now protocol.Time) error {
			return p.part.loop.Server().Consent(ctx, now, planner, a.Consent.String())
		}), true, nil
	case a.SupportMove != nil:
		whom := s.pick(*a.SupportMove, salt)
		return func(ctx context.Context, p *player, now protocol.Time) (outcome, error) {
			return p.part.supportMove(ctx, now, whom())
		}, true, nil
	case a.Profiles != nil && a.Profiles.Assign != "":
		return quiet(func(ctx context.Context, p *player, now protocol.Time) error {
			return p.assign(ctx, now, a.Profiles, protocol.Unknown)
		}), true, nil
	case a.Profiles != nil:
		return quiet(func(ctx context.Context, p *player, now protocol.Time) error {
			return p.part.unassign(ctx, now, a.Profiles)
		}), true, nil
	case a.Command != nil:
		whom := s.pick(a.Command.To, salt)
		return quiet(func(ctx context.Context, p *player, now protocol.Time) error {
			return p.part.order(ctx, now, a.Command, whom(), salt)
		}), false, nil
	case a.APNs != nil && a.APNs.Upload.Refused():
		return func(ctx context.Context, p *player, now protocol.Time) (outcome, error) {
			return p.failUpload(ctx, now, a.APNs.Upload)
		}, false, nil
	case a.APNs != nil:
		return func(ctx context.Context, p *player, now protocol.Time) (outcome, error) {
			return p.changePush(ctx, now, a.APNs.Upload)
		}, true, nil
	case a.AskUsersToSync != nil:
		return s.queue(*a.AskUsersToSync, salt, func(d int, now protocol.Time) []moment {
			return []moment{{at: now.Add(s.draws.Asked(d, salt)), kind: asked}}
		}), false, nil
	case a.Absence != nil:
		return s.queue(a.Absence.Of, salt, func(d int, now protocol.Time) []moment {
			return []moment{{at: now, kind: leaves, why: absence}, {at: now.Add(s.draws.Absence(d, salt, a.Absence)), kind: returns, why: absence}}
		}), false, nil
	case a.Unenrol != nil:
		return s.queue(*a.Unenrol, salt, func(_ int, now protocol.Time) []moment { return []moment{{at: now, kind: unenrols}} }), false, nil
	case a.Reenrol != nil:
		return s.queue(a.Reenrol.Of, salt, func(d int, now protocol.Time) []moment {
			return []moment{{at: now.Add(s.draws.Reenrol(d, salt, time.Duration(a.Reenrol.Over))), kind: reenrols}}
		}), false, nil
	case a.RestartServer:
		return quiet(func(_ context.Context, p *player, _ protocol.Time) error { return p.part.loop.Restart() }), false, nil
	}
	return nil, false, fmt.Errorf("a rehearsal does not know the action %q", a.Kind())
}

// pick returns whom of each partition t means, by index there. They are looked for once, and not before somebody asks.
func (s *stage) pick(t plan.Target, salt uint64) func() [][]uint32 {
	return sync.OnceValue(func() [][]uint32 {
		chosen := make([][]uint32, len(s.shares))
		for _, d := range s.pop.Pick(t, s.plan.Seed, salt) {
			at := s.at[d]
			chosen[at.part] = append(chosen[at.part], at.index)
		}
		return chosen
	})
}

// queue queues moments for each device that t means.
func (s *stage) queue(t plan.Target, salt uint64, of func(d int, now protocol.Time) []moment) doing {
	whom := s.pick(t, salt)
	return quiet(func(_ context.Context, p *player, now protocol.Time) error {
		k := p.part
		for _, i := range whom()[k.number] {
			for _, m := range of(int(k.units[i].device), now) {
				m.device = i
				k.moments.add(m)
			}
		}
		return nil
	})
}

// faulty returns how a fault is turned on and off.
func faulty(f *plan.Fault) func(p *player, ctx context.Context, now protocol.Time, on bool) error {
	share := f.Share
	if share == 0 {
		share = plan.Whole
	}
	of := func(p *player) *plan.Share { return &p.reset }
	switch {
	case f.Push == plan.PushDown:
		return (*player).mute
	case f.Push == plan.PushLost:
		of = func(p *player) *plan.Share { return &p.lose }
	case f.Server == plan.Down:
		return (*player).power
	case f.Server == plan.Busy:
		of = func(p *player) *plan.Share { return &p.busy }
	case f.DropResponse:
		of = func(p *player) *plan.Share { return &p.drop }
	}
	return func(p *player, _ context.Context, _ protocol.Time, on bool) error {
		*of(p) = 0
		if on {
			*of(p) = share
		}
		return nil
	}
}

// power stops the server, or starts it on the same data.
func (p *player) power(_ context.Context, now protocol.Time, off bool) error {
	k := p.part
	p.down = off
	k.loop.Down(off)
	if off {
		return nil
	}
	k.watch.Up(now)
	return k.loop.Restart()
}

// mute takes the push service away, or gives it back.
func (p *player) mute(_ context.Context, now protocol.Time, off bool) error {
	if !off {
		p.part.watch.Up(now) // who could not be woken could not move
	}
	return p.part.loop.Mute(off)
}

// enrolAgain has those enrol whose enrolment has ended, or whose identity has (AUTH-42, AUTH-44).
func (k *part) enrolAgain(now protocol.Time, over time.Duration, salt uint64) {
	for i := range k.units {
		n := int(k.units[i].device)
		if k.pop.Devices[n].Joins != population.Never && k.mustEnrol(i, now) {
			k.moments.add(moment{at: now.Add(k.draws.Again(n, salt, over)), device: uint32(i), kind: enrols})
		}
	}
}

// order sends a command to those of whom that are enrolled; the others could not take it.
func (k *part) order(ctx context.Context, now protocol.Time, c *plan.Command, whom [][]uint32, salt uint64) error {
	for _, i := range whom[k.number] {
		u := &k.units[i]
		if !u.managed {
			continue
		}
		command := protocol.Command{Kind: c.Kind}
		if k.pop.Devices[u.device].Platform == protocol.MacOS && (c.Kind == protocol.Lock || c.Kind == protocol.Erase) {
			command.PIN = k.draws.PIN(int(u.device), salt)
		}
		_, err := k.loop.Server().Order(server.As(ctx, planner.Name), now, k.loop.Number(int(i)), command)
		if err := k.told(now, int(i), c.Kind.String(), err); err != nil {
			return err
		}
	}
	return nil
}

// told logs what the server refused of an order for device i, such as a second lock; another error comes back.
func (k *part) told(now protocol.Time, i int, what string, err error) error {
	no := new(protocol.Refusal)
	if errors.As(err, &no) {
		k.note(now, i, fleet.Refused, no.Rule, what+": "+no.Reason)
		return nil
	}
	if errors.Is(err, store.ErrNotFound) {
		k.note(now, i, fleet.Refused, protocol.RuleRecordKept, what+": there is no record of it")
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s for %s: %w", what, k.pop.Devices[k.units[i].device].UDID, err)
	}
	return nil
}

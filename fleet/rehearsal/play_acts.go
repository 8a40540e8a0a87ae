package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

// An act is one thing that the plan does at a moment, on all partitions.
type act struct {
	at protocol.Time
	fleet.Words
	fault  bool
	renews bool                                                                     // the push certificate
	turns  bool                                                                     // the devices stand otherwise afterwards
	daily  bool                                                                     // only where an identity has ended
	do     func(ctx context.Context, now protocol.Time) (outcome string, err error) // nil: the population knows who and when
	wave   *wave                                                                    // of licences
}

// script makes the acts of the plan, in order of time; at the same time in the plan's order.
func (p *player) script() error {
	holders := p.pop.Holders()
	for i := range p.plan.Timeline {
		a := &p.plan.Timeline[i]
		at := p.start.Add(time.Duration(a.At))
		if a.Licences != nil {
			p.acts = append(p.acts, p.licensing(a, uint64(i), holders)...)
			continue
		}
		do, turns, err := p.action(a, uint64(i))
		if err != nil {
			return err
		}
		if w := p.cast.Say(a); w.Name != "" {
			p.acts = append(p.acts, act{at: at, Words: w, turns: turns, renews: a.APNs != nil && a.APNs.Upload == plan.Renewed, do: do})
		}
	}
	for i := range p.plan.Faults {
		f := &p.plan.Faults[i]
		at := p.start.Add(time.Duration(f.At))
		begins, ends := fleet.SayFault(f)
		turn := p.fault(f)
		p.acts = append(p.acts, act{at: at, Words: begins, fault: true, do: func(ctx context.Context, now protocol.Time) (string, error) { return "", turn(ctx, now, true) }})
		if f.For > 0 {
			p.acts = append(p.acts, act{at: at.Add(time.Duration(f.For)), Words: ends, fault: true, do: func(ctx context.Context, now protocol.Time) (string, error) { return "", turn(ctx, now, false) }})
		}
	}
	for at := p.start.Add(24 * time.Hour); at < p.end; at = at.Add(24 * time.Hour) { // identities end, and certificates, without anybody doing anything
		p.acts = append(p.acts, act{at: at, turns: true, daily: true})
	}
	slices.SortStableFunc(p.acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	said := map[string]bool{}
	for i := range p.acts {
		if text := p.acts[i].Text; said[text] {
			p.acts[i].Text = ""
		} else {
			said[text] = true
		}
	}
	return nil
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
func (p *player) action(a *plan.Action, salt uint64) (do func(context.Context, protocol.Time) (string, error), turns bool, err error) {
	quiet := func(do func(ctx context.Context, now protocol.Time) error) func(context.Context, protocol.Time) (string, error) {
		return func(ctx context.Context, now protocol.Time) (string, error) { return "", do(ctx, now) }
	}
	switch {
	case a.Enrol != nil && a.Enrol.Again:
		return quiet(func(ctx context.Context, now protocol.Time) error {
			return p.each(ctx, func(k *part, _ context.Context) error {
				k.enrolAgain(now, time.Duration(a.Enrol.Over), salt)
				return nil
			})
		}), false, nil
	case a.Enrol != nil:
		return nil, false, nil
	case a.Authority != nil:
		return func(ctx context.Context, now protocol.Time) (string, error) {
			return p.setAuthority(ctx, now, a.Authority)
		}, true, nil
	case a.Consent != 0:
		return quiet(func(ctx context.Context, now protocol.Time) error {
			return p.each(ctx, func(k *part, ctx context.Context) error {
				return k.loop.Server().Consent(ctx, now, planner, a.Consent.String())
			})
		}), true, nil
	case a.SupportMove != nil:
		return func(ctx context.Context, now protocol.Time) (string, error) {
			return p.supportMove(ctx, now, *a.SupportMove, salt)
		}, true, nil
	case a.Profiles != nil && a.Profiles.Assign != "":
		return quiet(func(ctx context.Context, now protocol.Time) error { return p.assign(ctx, now, a.Profiles) }), true, nil
	case a.Profiles != nil:
		return quiet(func(ctx context.Context, now protocol.Time) error {
			return p.unassign(ctx, now, a.Profiles)
		}), true, nil
	case a.Command != nil:
		return quiet(func(ctx context.Context, now protocol.Time) error { return p.order(ctx, now, a.Command, salt) }), false, nil
	case a.APNs != nil && a.APNs.Upload.Refused():
		return func(ctx context.Context, now protocol.Time) (string, error) {
			return p.failUpload(ctx, now, a.APNs.Upload)
		}, false, nil
	case a.APNs != nil:
		return func(ctx context.Context, now protocol.Time) (string, error) {
			return p.changePush(ctx, now, a.APNs.Upload)
		}, true, nil
	case a.AskUsersToSync != nil:
		return p.queue(*a.AskUsersToSync, salt, func(d int, now protocol.Time) []moment {
			return []moment{{at: now.Add(p.draws.Asked(d, salt)), kind: asked}}
		}), false, nil
	case a.Absence != nil:
		return p.queue(a.Absence.Of, salt, func(d int, now protocol.Time) []moment {
			return []moment{{at: now, kind: leaves, why: absence}, {at: now.Add(p.draws.Absence(d, salt, a.Absence)), kind: returns, why: absence}}
		}), false, nil
	case a.Unenrol != nil:
		return p.queue(*a.Unenrol, salt, func(_ int, now protocol.Time) []moment { return []moment{{at: now, kind: unenrols}} }), false, nil
	case a.Reenrol != nil:
		return p.queue(a.Reenrol.Of, salt, func(d int, now protocol.Time) []moment {
			return []moment{{at: now.Add(p.draws.Reenrol(d, salt, time.Duration(a.Reenrol.Over))), kind: reenrols}}
		}), false, nil
	case a.RestartServer:
		return quiet(func(ctx context.Context, _ protocol.Time) error {
			return p.each(ctx, func(k *part, _ context.Context) error { return k.loop.Restart() })
		}), false, nil
	}
	return nil, false, fmt.Errorf("a rehearsal does not know the action %q", a.Kind())
}

// await has something happen to a device of the population, where its partition is played.
func (p *player) await(d int, m moment) {
	k := p.parts[p.at[d].part]
	if m.device = p.at[d].index; p.only == nil || p.only == k {
		k.moments.add(m)
	}
}

// queue queues moments for each device that t means.
func (p *player) queue(t plan.Target, salt uint64, of func(d int, now protocol.Time) []moment) func(context.Context, protocol.Time) (string, error) {
	return func(_ context.Context, now protocol.Time) (string, error) {
		for _, d := range p.pop.Pick(t, p.plan.Seed, salt) {
			for _, m := range of(d, now) {
				p.await(d, m)
			}
		}
		return "", nil
	}
}

// fault returns how a fault is turned on and off.
func (p *player) fault(f *plan.Fault) func(ctx context.Context, now protocol.Time, on bool) error {
	share := f.Share
	if share == 0 {
		share = plan.Whole
	}
	of := &p.reset
	switch {
	case f.Push == plan.PushDown:
		return p.mute
	case f.Push == plan.PushLost:
		of = &p.lose
	case f.Server == plan.Down:
		return p.power
	case f.Server == plan.Busy:
		of = &p.busy
	case f.DropResponse:
		of = &p.drop
	}
	return func(_ context.Context, _ protocol.Time, on bool) error {
		*of = 0
		if on {
			*of = share
		}
		return nil
	}
}

// power stops the servers, or starts them on the same data.
func (p *player) power(ctx context.Context, now protocol.Time, off bool) error {
	p.down = off
	return p.each(ctx, func(k *part, _ context.Context) error {
		k.loop.Down(off)
		if off {
			return nil
		}
		k.watch.Up(now)
		return k.loop.Restart()
	})
}

// mute takes the push service away, or gives it back.
func (p *player) mute(ctx context.Context, now protocol.Time, off bool) error {
	return p.each(ctx, func(k *part, _ context.Context) error {
		if !off {
			k.watch.Up(now) // who could not be woken could not move
		}
		return k.loop.Mute(off)
	})
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

// order sends a command to the devices that are enrolled; the others could not take it.
func (p *player) order(ctx context.Context, now protocol.Time, c *plan.Command, salt uint64) error {
	return p.pick(ctx, c.To, salt, func(k *part, i int) error {
		u := &k.units[i]
		if !u.managed {
			return nil
		}
		command := protocol.Command{Kind: c.Kind}
		if k.pop.Devices[u.device].Platform == protocol.MacOS && (c.Kind == protocol.Lock || c.Kind == protocol.Erase) {
			command.PIN = k.draws.PIN(int(u.device), salt)
		}
		_, err := k.loop.Server().Order(server.As(ctx, planner.Name), now, k.loop.Number(i), command)
		return k.told(now, i, c.Kind.String(), err)
	})
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

// pick does something with each device that t means, partition by partition.
func (p *player) pick(ctx context.Context, t plan.Target, salt uint64, do func(k *part, i int) error) error {
	chosen := make([][]uint32, len(p.parts))
	for _, d := range p.pop.Pick(t, p.plan.Seed, salt) {
		at := p.at[d]
		chosen[at.part] = append(chosen[at.part], at.index)
	}
	return p.each(ctx, func(k *part, _ context.Context) error {
		for _, i := range chosen[k.number] {
			if err := do(k, int(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

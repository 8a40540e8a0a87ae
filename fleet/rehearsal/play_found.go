package rehearsal

import (
	"context"
	"sync/atomic"
	"time"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server"
	"rollcall/server/delivery"
)

// found gives the servers their users and enrols the devices that are there when the story begins.
func (p *player) found(ctx context.Context) error {
	foundings := p.cast.Foundings(p.start.Sub(p.begin))
	there := 0
	for i := range foundings {
		there += len(foundings[i].Devices)
	}
	if there > 0 { // licences may have gone since they enrolled
		if err := p.gate(ctx, delivery.NeverAsked); err != nil {
			return err
		}
	}
	for n := range foundings {
		f := &foundings[n]
		users := p.cast.UsersAs(f.As)
		err := p.each(ctx, func(k *part, ctx context.Context) error {
			if n == 0 {
				return k.addUsers(ctx, users[k.first:k.first+k.users])
			}
			return k.relicense(ctx, users[k.first:k.first+k.users])
		})
		if err != nil {
			return err
		}
		if n == 0 {
			if err := p.assignFirst(ctx); err != nil {
				return err
			}
		}
		for at, d := range f.Devices {
			p.await(d, moment{at: p.begin.Add(f.Joins[at]), kind: enrols})
		}
		for _, d := range f.Pending {
			p.await(d, moment{at: p.begin.Add(f.Ends - time.Second), kind: leaves, why: absence})
			if _, gone := p.cast.Gone(d); !gone {
				p.await(d, moment{at: p.cast.Waits(d), kind: returns, why: absence})
			}
		}
		if len(f.Devices) > 0 {
			if err := p.runTo(ctx, p.begin.Add(f.Ends)); err != nil {
				return err
			}
		}
	}
	if err := p.past(ctx); err != nil || there == 0 {
		return err
	}
	if err := p.gate(ctx, delivery.WhereKnown); err != nil {
		return err
	}
	if err := p.leave(ctx); err != nil {
		return err
	}
	for i := range p.pop.Devices {
		stays, away := p.cast.Gone(i)
		if !away {
			continue
		}
		p.await(i, moment{at: p.start, kind: leaves, why: absence})
		if stays > 0 {
			p.await(i, moment{at: p.start.Add(stays), kind: returns, why: absence})
		}
	}
	there = 0
	for _, k := range p.parts {
		for i := range k.units {
			there += one(k.units[i].managed)
		}
	}
	p.told = append(p.told, fleet.Act{At: p.start, Name: fleet.SayAlready(there), Text: lang.English.Say("They enrolled in the eight hours before, each registered with the authority that manages it.")})
	return nil
}

func (p *player) gate(ctx context.Context, g delivery.LicenceGate) error {
	return p.each(ctx, func(k *part, ctx context.Context) error {
		return k.loop.Server().ChangeSettings(ctx, p.now, planner, "", func(s *server.Settings) { s.Licences = g })
	})
}

// assignFirst assigns the profiles that are there before the story.
func (p *player) assignFirst(ctx context.Context) error {
	for i := range p.plan.Profiles {
		x := &p.plan.Profiles[i]
		if x.Assigned == "" {
			continue
		}
		if err := p.assign(ctx, p.now, &plan.Assignment{Assign: x.Name, Group: x.Assigned}); err != nil {
			return err
		}
		p.told = append(p.told, fleet.Act{At: p.start, Name: fleet.SayAssigned(x)})
	}
	return nil
}

// past makes what the foreword has made anew as old as the export says: identities, which in truth began long before, last
// contacts of who is away, and a push certificate that has ended already.
func (p *player) past(ctx context.Context) error {
	ended := p.pop.Tenant.APNs.Expires
	if ended > p.start || !p.apple {
		ended = 0
	}
	if ended != 0 {
		p.ends = ended
		p.silences = append(p.silences, fleet.Gap{Opened: p.start})
		if w := sayEnded(p.pushGrace()); p.start <= ended.Add(p.pushGrace()) {
			p.tell(p.start, w)
			p.pushLife(p.start)
		} else {
			p.tell(p.start, sayLost(p.pushGrace()))
		}
	}
	gap := p.gapBefore()
	if gap != 0 {
		p.gaps = append(p.gaps, fleet.Gap{Opened: p.start})
		p.tell(p.start, fleet.Words{
			Name: lang.English.Say("The gap is open"), Rule: protocol.RulePushGap,
			Text: lang.English.Say("The push certificate has not been renewed since the change of authority: no Apple device checks in or enrols until it is."),
		})
	}
	return p.each(ctx, func(k *part, _ context.Context) error {
		older := ended != 0 || gap != 0
		for i := range k.units {
			older = k.ages(i) || older
		}
		if ended != 0 {
			if err := k.loop.endPush(ended); err != nil {
				return err
			}
		}
		if gap != 0 {
			if err := k.loop.openGap(gap); err != nil {
				return err
			}
		}
		if !older {
			return nil
		}
		return k.loop.Restart() // the server finds it so
	})
}

// gapBefore is since when the gap is open in the export (AUTH-30); 0: it is not.
func (p *player) gapBefore() protocol.Time {
	own, set := &p.pop.Tenant, p.plan.Tenant.Gap.OnCoexistence
	if !p.apple || own.APNs.Modified == 0 || own.APNs.Modified >= own.ChangedAt || own.Coexistence && set != nil && !*set {
		return 0
	}
	return own.ChangedAt
}

// leave has those leave whose retirement, wipe or removal the export shows as pending: at their next check-in (AUTH-53).
func (p *player) leave(ctx context.Context) error {
	var leaving atomic.Int64
	err := p.each(ctx, func(k *part, ctx context.Context) error {
		for i := range k.units {
			u := &k.units[i]
			if !u.managed || !k.pop.Devices[u.device].Has(population.Leaving) {
				continue
			}
			leaving.Add(1)
			if _, away := p.cast.Gone(int(u.device)); away { // nobody wakes it any more
				if err := k.loop.Reach(i, false); err != nil {
					return err
				}
			}
			_, err := k.loop.Server().Order(server.As(ctx, planner.Name), p.now, k.loop.Number(i), protocol.Command{Kind: protocol.Retire})
			if err := k.told(p.now, i, protocol.Retire.String(), err); err != nil {
				return err
			}
		}
		return nil
	})
	if n := int(leaving.Load()); n > 0 {
		p.tell(p.start, fleet.SayLeaving(n))
	}
	return err
}

// ages gives device i the identity that the export shows, and the server its last contact; false: it shows none.
func (k *part) ages(i int) bool {
	u := &k.units[i]
	d, now := &k.pop.Devices[u.device], k.start
	if !u.managed || d.CertEnd == 0 {
		return false
	}
	end := d.CertEnd
	if d.Has(population.Revoked) { // as good as ended
		end = min(end, now)
	}
	end -= end % perSecond // as X.509 keeps it
	lifetime := time.Duration(k.plan.Tenant.Identity.Lifetime)
	id := agent.Identity{NotBefore: min(end.Add(-lifetime), now.Add(-24*time.Hour)).Add(-certs.Backdate), NotAfter: end}
	id.NotBefore -= id.NotBefore % perSecond
	seen := protocol.Time(0)
	if _, away := k.cast.Gone(int(u.device)); away {
		seen = d.Contact.Latest
	}
	k.loop.ages(i, id, seen)
	u.began, u.dated = id.NotBefore, true
	if w := k.watch.device(k.loop.Number(i)); w != nil {
		w.ended = end
	}
	return true
}

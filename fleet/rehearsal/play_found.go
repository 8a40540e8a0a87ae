package rehearsal

import (
	"context"
	"time"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server"
	"rollcall/server/delivery"
)

// A founding is devices that are there when the story begins.
type founding struct {
	as      protocol.Authority
	ends    time.Duration // when all of them are enrolled, from the beginning of the foreword
	devices int
	users   []target.User // all, with the licences that they have meanwhile
	joins   [][]moment    // by partition
	pending [][]uint32    // by partition, those that come by in the story
}

// gather makes ready how the devices that are there when the story begins are enrolled.
func (s *stage) gather() {
	for _, f := range s.cast.Foundings(s.start.Sub(s.begin)) {
		x := founding{as: f.As, ends: f.Ends, devices: len(f.Devices), users: s.cast.UsersAs(f.As), joins: make([][]moment, len(s.shares)), pending: make([][]uint32, len(s.shares))}
		for n, d := range f.Devices {
			at := s.at[d]
			x.joins[at.part] = append(x.joins[at.part], moment{at: s.begin.Add(f.Joins[n]), device: at.index, kind: enrols})
		}
		for _, d := range f.Pending {
			at := s.at[d]
			x.pending[at.part] = append(x.pending[at.part], at.index)
		}
		s.foundings = append(s.foundings, x)
	}
}

// found gives the server its users and enrols the devices that are there when the story begins.
func (p *player) found(ctx context.Context) error {
	k, there := p.part, 0
	for i := range p.foundings {
		there += p.foundings[i].devices
	}
	if there > 0 { // licences may have gone since they enrolled
		if err := k.gate(ctx, delivery.NeverAsked); err != nil {
			return err
		}
	}
	for n := range p.foundings {
		f := &p.foundings[n]
		users, add := f.users[k.first:k.first+k.users], k.relicense
		if n == 0 {
			add = k.addUsers
		}
		if err := add(context.WithoutCancel(ctx), users); err != nil {
			return err
		}
		if n == 0 {
			if err := p.assignFirst(ctx); err != nil {
				return err
			}
		}
		for _, m := range f.joins[k.number] {
			k.moments.add(m)
		}
		for _, i := range f.pending[k.number] {
			k.moments.add(moment{at: p.begin.Add(f.ends - time.Second), device: i, kind: leaves, why: absence})
			d := int(k.units[i].device)
			if _, gone := p.cast.Gone(d); !gone {
				k.moments.add(moment{at: p.cast.Waits(d), device: i, kind: returns, why: absence})
			}
		}
		if f.devices > 0 {
			if err := p.runTo(ctx, p.begin.Add(f.ends)); err != nil {
				return err
			}
		}
	}
	if err := p.past(); err != nil || there == 0 {
		return err
	}
	if err := k.gate(ctx, delivery.WhereKnown); err != nil {
		return err
	}
	if err := p.leave(ctx); err != nil {
		return err
	}
	there = 0
	for i := range k.units {
		u := &k.units[i]
		there += one(u.managed)
		stays, away := p.cast.Gone(int(u.device))
		if !away {
			continue
		}
		k.moments.add(moment{at: p.start, device: uint32(i), kind: leaves, why: absence})
		if stays > 0 {
			k.moments.add(moment{at: p.start.Add(stays), device: uint32(i), kind: returns, why: absence})
		}
	}
	p.told = append(p.told, told{
		Act:     fleet.Act{At: p.start, Text: fleet.SayBefore(p.pop)},
		outcome: outcome{n: tally{there}, name: func(n tally) string { return fleet.SayAlready(n[0]) }},
	})
	return nil
}

func (k *part) gate(ctx context.Context, g delivery.LicenceGate) error {
	return k.loop.Server().ChangeSettings(context.WithoutCancel(ctx), k.now, planner, "", func(s *server.Settings) { s.Licences = g })
}

// assignFirst assigns the profiles that are there before the story.
func (p *player) assignFirst(ctx context.Context) error {
	for i := range p.plan.Profiles {
		x := &p.plan.Profiles[i]
		if x.Assigned == "" {
			continue
		}
		if err := p.assign(context.WithoutCancel(ctx), p.now, &plan.Assignment{Assign: x.Name, Group: x.Assigned}, x.Of); err != nil {
			return err
		}
		p.told = append(p.told, told{Act: fleet.Act{At: p.start, Name: fleet.SayAssigned(x)}})
	}
	return nil
}

// past makes what the foreword has made anew as old as the export says: identities, which in truth began long before, last
// contacts of who is away, and a push certificate that has ended already.
func (p *player) past() error {
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
	gap := gapBefore(p.plan, p.pop)
	if !p.apple {
		gap = 0
	}
	if gap != 0 {
		p.gaps = append(p.gaps, fleet.Gap{Opened: p.start})
		p.tell(p.start, fleet.Words{
			Name: lang.English.Say("The gap is open"), Rule: protocol.RulePushGap,
			Text: lang.English.Say("The push certificate has not been renewed since the change of authority: no Apple device checks in or enrols until it is."),
		})
	}
	k := p.part
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
}

// gapBefore is since when the gap is open in an export (AUTH-30); 0: it is not.
func gapBefore(p *plan.Plan, pop *population.Population) protocol.Time {
	own, set := &pop.Tenant, p.Tenant.Gap.OnCoexistence
	if own.APNs.Modified == 0 || own.APNs.Modified >= own.ChangedAt || own.Coexistence && set != nil && !*set {
		return 0
	}
	return own.ChangedAt
}

// leave has those leave whose retirement, wipe or removal the export shows as pending: at their next check-in (AUTH-53).
func (p *player) leave(ctx context.Context) error {
	k, leaving := p.part, 0
	for i := range k.units {
		u := &k.units[i]
		if !u.managed || !k.pop.Devices[u.device].Has(population.Leaving) {
			continue
		}
		leaving++
		if _, away := p.cast.Gone(int(u.device)); away { // nobody wakes it any more
			if err := k.loop.Reach(i, false); err != nil {
				return err
			}
		}
		_, err := k.loop.Server().Order(server.As(context.WithoutCancel(ctx), planner.Name), p.now, k.loop.Number(i), protocol.Command{Kind: protocol.Retire})
		if err := k.told(p.now, i, protocol.Retire.String(), err); err != nil {
			return err
		}
	}
	w := fleet.SayLeaving(leaving)
	p.told = append(p.told, told{
		Act: fleet.Act{At: p.start, Text: w.Text, Rule: w.Rule}, side: OfServer,
		outcome: outcome{n: tally{leaving}, name: func(n tally) string {
			if n[0] == 0 {
				return ""
			}
			return fleet.SayLeaving(n[0]).Name
		}},
	})
	return nil
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

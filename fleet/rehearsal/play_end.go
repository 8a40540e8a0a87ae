package rehearsal

import (
	"slices"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// tally takes from the partitions what they have counted by the minute, from minute on of the story.
func (p *player) tally(from int) {
	to := int(p.now.Sub(p.start) / time.Minute)
	for m := max(0, from); m <= to && m < len(p.minutes); m++ {
		of := &p.minutes[m]
		for _, k := range p.parts {
			x := &k.minutes[m%minutesKept]
			of.CheckIns += x.CheckIns
			of.Wakes += x.Wakes
			of.Issued += x.Issued
			*x = Minute{}
		}
	}
}

// played is what there is to tell at the end of the story, or where it was cut short.
func (p *player) played(partial bool) (*Played, error) {
	out := &Played{
		Plan: p.plan, Population: p.pop, Seed: p.plan.Seed, Start: p.start, End: max(p.now, p.start), Partial: partial,
		Lives: p.lives, Hours: p.hours, Minutes: p.minutes, Acts: p.told, Gaps: p.gaps, Silences: p.silences,
	}
	if p.wire != nil {
		out.Wire = &Spoken{Share: p.cfg.Wire}
	}
	for _, k := range p.parts {
		if k.loop.voices != nil {
			out.Wire.add(k.loop.voices.spoken())
		}
		k.watch.Close(p.now)
		for i := range k.units {
			k.closes(i, p.now)
		}
		checked, violated, first := k.watch.Result()
		out.Checked += checked
		out.Violated += violated
		out.Violations = append(out.Violations, first...)
		out.CheckIns += k.done
		out.Refused += k.refused
		out.Failed += k.failed
		out.Enrolments += k.enrolments
		out.Declined += k.declined
		for rule, n := range k.barred {
			if out.Barred == nil {
				out.Barred = map[protocol.Rule]uint64{}
			}
			out.Barred[rule] += n
		}
		out.Renewals += k.renewals
		out.Removed += k.removed
	}
	slices.SortStableFunc(out.Violations, func(a, b Violation) int { return int(a.At - b.At) })
	out.Violations = out.Violations[:min(len(out.Violations), Kept)]
	if partial {
		p.log.tenant(Line{At: p.now, Side: OfPlan, What: Interrupted})
	}
	err := p.log.take(nil)
	if err == nil {
		out.LogSHA256, err = p.log.close()
	}
	out.LogLines = p.log.lines
	return out, err
}

// closes ends the life of device i as far as the story goes.
func (k *part) closes(i int, now protocol.Time) {
	u := &k.units[i]
	life := &k.lives[u.device]
	k.resettle(i, now)
	life.Away, life.LastSeen, life.CheckIns = u.away != 0, u.seen, u.checkIns
	of := &k.pop.Devices[u.device]
	if last := of.Contact.Latest; last != 0 && life.LastSeen != 0 && life.LastSeen < k.start { // the export knows better than the foreword
		life.LastSeen = last
	}
	d := k.loop.Device(i)
	if id := d.Identity(); d.Phase() == agent.Enrolled && id.NotAfter != 0 {
		life.MustEnrol = id.NotAfter <= now
		if u.dated { // else nobody knows the true one
			life.CertEnd = id.NotAfter
		}
	}
	w := k.watch.device(k.loop.Number(i))
	if w == nil {
		return
	}
	if life.Cut = w.cut; w.state.Life != delivery.Enrolled {
		return
	}
	life.why, life.Bare = reasonOf(k.why(life, w.state, now)), u.lacks != 0
	for _, x := range d.Profiles() {
		if !slices.Contains(k.world.Sets[k.world.SetOf(w.state)].Profiles, protocol.Profile(x.Content)) && life.Redundant < 255 {
			life.Redundant++
		}
	}
}

// why is the rule by which a device is held, stranded or left where it is; empty: it is where it belongs.
func (k *part) why(life *Life, s *delivery.State, now protocol.Time) protocol.Rule {
	world := k.watch.world
	switch {
	case life.Standing.Stranded && mustEnrol(now, s):
		return protocol.RuleNotRenewed
	case life.Standing.Stranded && s.Platform.Apple() && otherTopic(world, s):
		return protocol.RuleOtherTopic
	case life.Standing.Stranded && s.Platform.Apple() && k.watch.lost != 0 && now > k.watch.lost:
		return protocol.RulePushExpired
	case life.NeedsSupport:
		return protocol.RuleUserless
	case life.Standing.Blocked && world.InGap(s.Platform):
		return protocol.RulePushGap
	case life.Standing.Blocked, silent(now, world, s):
		return protocol.RulePushExpired
	case life.Pending || life.Stale:
		return protocol.RuleRegistered
	}
	return ""
}

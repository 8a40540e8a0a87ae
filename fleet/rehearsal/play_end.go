package rehearsal

import (
	"slices"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// closes ends the life of device i as far as the story goes.
func (k *part) closes(i int, now protocol.Time) {
	u := &k.units[i]
	life := &k.lives[u.device]
	k.resettle(i, now)
	if life.Pending && !life.Stranded { // the stranded never will
		k.movesAgain(i, life, now)
	}
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

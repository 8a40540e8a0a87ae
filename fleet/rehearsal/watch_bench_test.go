package rehearsal

import (
	"testing"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// BenchmarkInvariants is what it costs to hold one event against the invariants: a report that ends a command, by which a device moves,
// and a check-in with nothing to do, which a rehearsal does not even show to its watch. At most 30 ns are aimed at.
func BenchmarkInvariants(b *testing.B) {
	world := &delivery.World{
		Tenant: authority.Tenant{Authority: protocol.Office365, Coexistence: true, Release: 2611, Epoch: 2, ChangedAt: now},
		Users:  []delivery.User{{}, {User: authority.User{IntuneLicence: true}}},
		Sets:   make([]delivery.Set, 1),
		Push:   delivery.PushSlot{Topic: "com.apple.mgmt.External.A", NotAfter: now.Add(1 << 50)},
	}
	steady := enrolledState()
	steady.User, steady.Platform, steady.Epoch, steady.Heard = 1, protocol.IOS, 2, 2
	steady.Push.Topic, steady.Identity.NotAfter = world.Push.Topic, now.Add(1<<50)
	before, after := steady, steady
	before.Registered, before.Queue = protocol.Office365, []delivery.Queued{queued(1)}
	moves := event{ev: delivery.Event{Kind: delivery.CheckInRound, Device: 1, ID: "udid-1"}, before: before, after: after, out: delivery.Outcome{Completed: true, Changed: delivery.Core}}
	moves.out.Commands = []delivery.CommandChange{{Queued: queued(1), Status: protocol.Acknowledged, Final: true}}
	rests := event{ev: moves.ev, before: steady, after: steady, out: delivery.Outcome{Completed: true}}
	for name, e := range map[string]*event{"moves": &moves, "steady": &rests} {
		b.Run(name, func(b *testing.B) {
			w := newWatch(func(Line) {})
			w.lend = func(protocol.Device) *delivery.State { return &e.after }
			w.name = func(protocol.Device) string { return "udid-1" }
			w.Observe(now, world, &e.ev, &e.before, &e.after, &e.out)
			d := w.device(1)
			b.ReportAllocs()
			began := Processor(b)
			for b.Loop() {
				d.queue = waitingIn(e.before.Queue)
				w.Observe(now, world, &e.ev, &e.before, &e.after, &e.out)
			}
			b.ReportMetric(float64((Processor(b)-began).Nanoseconds())/float64(b.N), "CPU-ns/event")
			if _, violated, first := w.Result(); violated > 0 {
				b.Fatal(first)
			}
		})
	}
}

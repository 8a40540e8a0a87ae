package delivery_test

import (
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// steady is a settled device's Ask.
func steady(t fatal) (*phone, delivery.Event) {
	p := settled(t)
	return p, delivery.Event{Kind: delivery.CheckInRound, Message: delivery.Message{
		CheckIn: protocol.CheckIn{Verb: protocol.Ask, Device: 1}, Credential: p.cred, Seed: [2]uint64{1, 2},
	}}
}

func TestSteadyAskAllocatesNothing(t *testing.T) {
	p, ev := steady(t)
	now := p.now.Add(time.Hour)
	if n := testing.AllocsPerRun(1000, func() { delivery.Decide(now, p.w, &p.s, &ev, &p.out) }); n != 0 {
		t.Errorf("a steady Ask allocates %v times", n)
	}
	if p.out.Changed != 0 || !p.out.Completed {
		t.Errorf("outcome %+v: not a steady Ask", p.out)
	}
}

// BenchmarkSteadyAsk is the steady check-in of a million devices, one after the other: the memory counts as well.
func BenchmarkSteadyAsk(b *testing.B) {
	p, ev := steady(b)
	states := make([]delivery.State, 1_000_000)
	for i := range states {
		states[i] = p.s
		states[i].Device = protocol.Device(i + 1)
	}
	now := p.now.Add(time.Hour)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s := &states[i]
		ev.Device, ev.CheckIn.Device, ev.Credential.Device = s.Device, s.Device, s.Device
		delivery.Decide(now, p.w, s, &ev, &p.out)
		s.LastSeen = p.out.State.LastSeen // all that a store has to keep of a steady Ask
		if i++; i == len(states) {
			i = 0
		}
	}
}

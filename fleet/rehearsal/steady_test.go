package rehearsal

import (
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// A virtual is one device and its server's record of it: the two cores with nothing but structs between them.
type virtual struct {
	device agent.Device
	state  delivery.State
}

// A desk is what the rounds of all devices pass over; each round overwrites the one before.
type desk struct {
	world   *delivery.World
	event   delivery.Event
	outcome delivery.Outcome
	actions agent.Actions
	answer  agent.Event
}

func newDesk() *desk {
	return &desk{world: &delivery.World{
		Tenant: authority.Tenant{Authority: protocol.Intune, Release: 2611, Epoch: 1, ChangedAt: now},
		Users:  []delivery.User{{}, {User: authority.User{IntuneLicence: true}}},
		Sets:   make([]delivery.Set, 1),
		Push:   delivery.PushSlot{Topic: "com.apple.mgmt.External.steady", NotAfter: now.Add(365 * 24 * time.Hour)},
	}}
}

// talk has the device say ev and everything that follows from it, until it rests.
func (d *desk) talk(at protocol.Time, v *virtual, ev *agent.Event) {
	v.device.Step(at, ev, &d.actions)
	for len(d.actions.List) > 0 {
		action := &d.actions.List[0]
		if action.Kind == agent.Execute {
			v.device.Step(at, &agent.Event{Kind: agent.Executed, Status: protocol.Acknowledged}, &d.actions)
			continue
		}
		d.round(at, v, action.CheckIn)
	}
}

// round brings one check-in to the server's core and its reply back to the device.
func (d *desk) round(at protocol.Time, v *virtual, c protocol.CheckIn) {
	d.event.CheckIn, d.event.Device = c, v.state.Device
	delivery.Decide(at, d.world, &v.state, &d.event, &d.outcome)
	if d.outcome.Changed == 0 {
		v.state.LastSeen, v.state.Pace = d.outcome.State.LastSeen, d.outcome.State.Pace // all that a store keeps of a steady round
	} else {
		v.state = d.outcome.State
	}
	d.answer.Kind, d.answer.Reply = agent.Answered, d.outcome.Reply
	if d.outcome.Refusal.Rule != "" {
		d.answer.Kind = agent.Refused
	}
	v.device.Step(at, &d.answer, &d.actions)
}

// settled is a device that is enrolled, has done all that its server wants, and is at rest.
func (d *desk) settled(t testing.TB) virtual {
	t.Helper()
	v := virtual{agent.NewDevice(1, protocol.IOS, 7), delivery.State{Device: 1}}
	d.event = delivery.Event{Kind: delivery.CheckInRound, ID: "udid-1", Message: delivery.Message{
		Platform: protocol.IOS, Topic: d.world.Push.Topic, Magic: "magic", Token: []byte("token"), Seed: [2]uint64{1, 2},
		Credential: delivery.Credential{
			Identity: delivery.Identity{Fingerprint: delivery.Fingerprint{1}, NotBefore: now, NotAfter: now.Add(365 * 24 * time.Hour)},
			Purpose:  delivery.ForEnrolment, User: 1,
		},
	}}
	d.talk(now, &v, &agent.Event{Kind: agent.Enrol, CheckOut: true})
	d.event.Credential.Device = 1
	d.talk(now.Add(time.Minute), &v, &agent.Event{Kind: agent.Woken})
	if v.device.Phase() != agent.Enrolled || v.state.Life != delivery.Enrolled || len(v.state.Queue) > 0 || v.state.Reports.Acknowledged == 0 {
		t.Fatalf("%s on the device, %s on the server, %d commands wait: not settled", v.device.Phase(), v.state.Life, len(v.state.Queue))
	}
	d.event.Token, d.event.Magic, d.event.Topic = nil, "", ""
	return v
}

// woken is the steady check-in: the device hears a push, asks, and there is nothing to do.
func (d *desk) woken(at protocol.Time, v *virtual) {
	d.answer = agent.Event{Kind: agent.Woken}
	v.device.Step(at, &d.answer, &d.actions)
	d.event.Credential.Device = v.state.Device
	d.round(at, v, d.actions.List[0].CheckIn)
}

// A steady check-in through both cores, Step, Decide and Step, allocates nothing and changes nothing.
func TestSteadyCheckInAllocatesNothing(t *testing.T) {
	d := newDesk()
	v := d.settled(t)
	at := now.Add(8 * time.Hour)
	if n := testing.AllocsPerRun(1000, func() { d.woken(at, &v) }); n != 0 {
		t.Errorf("a steady check-in allocates %v times", n)
	}
	if !d.outcome.Completed || d.outcome.Changed != 0 || v.state.LastSeen != at {
		t.Errorf("outcome %+v: not a completed, steady check-in", d.outcome)
	}
	if !v.device.Resting() || v.device.Due() != 0 || len(d.actions.List) != 0 {
		t.Errorf("the device does not rest: due %d, %+v", v.device.Due(), d.actions.List)
	}
}

// BenchmarkSteadyCheckIn is the steady check-in of a million devices through both cores, one device after the other: what
// it takes to fetch them from memory counts as well. At most 150 ns is aimed at (architecture, section 8).
func BenchmarkSteadyCheckIn(b *testing.B) {
	d := newDesk()
	like := d.settled(b)
	all := make([]virtual, 1_000_000)
	for i := range all {
		all[i] = like
		all[i].state.Device = protocol.Device(i + 1)
	}
	at := now.Add(8 * time.Hour)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		d.woken(at, &all[i])
		if i++; i == len(all) {
			i, at = 0, at.Add(8*time.Hour)
		}
	}
}

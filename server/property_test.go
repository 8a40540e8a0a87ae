package server_test

import (
	"testing"

	"pgregory.net/rapid"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// TestRandomFailures plays orders and conversations in which the store fails, answers are lost and the server restarts, at
// random. The device repeats a report until it is answered and remembers what it has done, as apple.md section 6.5 has it. No
// command is lost, none is done twice, none is out of order (I3).
func TestRandomFailures(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := newTenant(t)
		p := x.enrolled(1)
		flaky := false
		x.cfg.Store = &failing{x.store, func(protocol.Device) bool { return flaky && rapid.IntRange(0, 3).Draw(rt, "disk") == 0 }}
		x.reopen()

		var ordered, done []protocol.CommandID
		executed := map[protocol.CommandID]bool{}
		var unsent *protocol.CommandID // a report that was not answered yet
		calm := false
		lost := func() bool { return !calm && rapid.IntRange(0, 5).Draw(rt, "lost") == 0 }

		// round sends one round and tells whether its answer came.
		round := func(c protocol.CheckIn) bool {
			return p.says(c, delivery.Message{}) == nil && !lost()
		}
		conversation := func() {
			for range 200 {
				ask := protocol.CheckIn{Verb: protocol.Ask}
				if unsent != nil {
					ask = protocol.CheckIn{Verb: protocol.Report, Command: *unsent, Status: protocol.Acknowledged}
				}
				if !round(ask) {
					return // the device comes again another time
				}
				unsent = nil
				if p.out.Reply.Kind != protocol.Work {
					return
				}
				id := p.out.Reply.Command.ID
				if !executed[id] { // else its result is still there, and it is not run twice
					executed[id] = true
					done = append(done, id)
				}
				unsent = &id
			}
			rt.Fatal("the conversation does not end")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"order": func(*rapid.T) {
				flaky = true
				id, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.SecurityInfo})
				flaky = false
				if err == nil {
					ordered = append(ordered, id)
				}
			},
			"conversation": func(*rapid.T) {
				flaky = true
				conversation()
				flaky = false
			},
			"restart": func(*rapid.T) { x.reopen() },
		})
		calm = true
		conversation()
		if len(done) != len(ordered) {
			rt.Fatalf("%d commands were promised and %d done", len(ordered), len(done))
		}
		for i := range done {
			if done[i] != ordered[i] {
				rt.Fatalf("done %v, ordered %v", done, ordered)
			}
		}
		history, err := x.store.History(x.ctx, p.number, 1000)
		x.must(err)
		const enrolment = 2
		if len(history) != enrolment+len(ordered) || p.state().Reports.Acknowledged != uint32(enrolment+len(ordered)) {
			rt.Fatalf("%d commands in the history, %d acknowledged, want %d", len(history), p.state().Reports.Acknowledged, enrolment+len(ordered))
		}
	})
}

// BenchmarkSteadyHandle is the steady check-in of a hundred thousand devices through Handle and a store in memory.
func BenchmarkSteadyHandle(b *testing.B) {
	x := newTenant(&testing.T{})
	x.ctx = b.Context()
	const n = 100_000
	events := make([]delivery.Event, n)
	for i := range events {
		p := x.newPhone(0)
		p.must(p.enrol())
		p.must(p.ready("token"))
		p.drain()
		cred, err := x.Credential(x.ctx, p.cert)
		x.must(err)
		events[i] = delivery.Event{Kind: delivery.CheckInRound, Device: p.number, Message: delivery.Message{
			CheckIn: protocol.CheckIn{Verb: protocol.Ask}, Credential: cred, Seed: [2]uint64{1, 1},
		}}
	}
	var out delivery.Outcome
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := x.Handle(x.ctx, x.now, &events[i], &out); err != nil {
			b.Fatal(err)
		}
		if i++; i == n {
			i = 0
		}
	}
}

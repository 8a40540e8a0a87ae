package rehearsal

import (
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

const now = protocol.Time(1_767_600_000_000_000)

// event is one event as a Watch sees it.
type event struct {
	ev            delivery.Event
	before, after delivery.State
	out           delivery.Outcome
}

func enrolledState() delivery.State {
	return delivery.State{Device: 1, Life: delivery.Enrolled, Registered: protocol.Intune, Epoch: 1}
}

func queued(n byte) delivery.Queued {
	return delivery.Queued{Command: protocol.Command{ID: protocol.CommandID{n}, Kind: protocol.DeviceInformation}, Seq: uint64(n)}
}

// Each invariant is broken once on purpose, and the Watch names it; what is allowed breaks none.
func TestWatch(t *testing.T) {
	round := delivery.Event{Kind: delivery.CheckInRound, Device: 1, ID: "udid-1"}
	for _, tt := range []struct {
		name  string
		event func() event
		want  string // the invariant that is broken; empty: none
	}{
		{"a steady check-in", func() event { return event{round, enrolledState(), enrolledState(), delivery.Outcome{Completed: true}} }, ""},
		{"an enrolment registers in its completed check-in", func() event {
			return event{round, delivery.State{Device: 1, Life: delivery.Enrolling}, enrolledState(), delivery.Outcome{Completed: true}}
		}, ""},
		{"enrolled, registered with nobody", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState(), out: delivery.Outcome{Completed: true}}
			e.after.Registered, e.before.Registered = protocol.Unknown, protocol.Unknown
			return e
		}, "I1"},
		{"moved in a round that did not complete", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.after.Registered = protocol.Office365
			return e
		}, "I2"},
		{"a newer epoch by an administrator's order", func() event {
			e := event{ev: delivery.Event{Kind: delivery.Administered, Device: 1}, before: enrolledState(), after: enrolledState(), out: delivery.Outcome{Completed: true}}
			e.after.Epoch = 2
			return e
		}, "I2"},
		{"a command is queued", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.after.Queue = []delivery.Queued{queued(1)}
			e.out.Commands = []delivery.CommandChange{{Queued: queued(1)}}
			return e
		}, ""},
		{"a command is answered for good", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.before.Queue = []delivery.Queued{queued(1)}
			e.out.Commands = []delivery.CommandChange{{Queued: queued(1), Status: protocol.Acknowledged, Final: true}}
			return e
		}, ""},
		{"a command vanishes", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.before.Queue = []delivery.Queued{queued(1)}
			return e
		}, "I3"},
		{"a command is answered that was not waiting", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.out.Commands = []delivery.CommandChange{{Queued: queued(1), Status: protocol.Acknowledged, Final: true}}
			return e
		}, "I3"},
		{"an installed profile is forgotten", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.before.Profiles = []delivery.Assigned{{Profile: 3, State: delivery.Installed}}
			return e
		}, "I3"},
		{"a profile leaves with the device's word", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.before.Profiles = []delivery.Assigned{{Profile: 3, State: delivery.Removing}}
			e.before.Queue = []delivery.Queued{queued(1)}
			e.out.Commands = []delivery.CommandChange{{Queued: queued(1), Status: protocol.Acknowledged, Final: true}}
			return e
		}, ""},
		{"the queue ends with the enrolment", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.before.Queue = []delivery.Queued{queued(1)}
			e.after.Life = delivery.Ended
			return e
		}, ""},
		{"a record is removed 179 days after its certificate", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.before.Identity.NotAfter = now.Add(-179 * 24 * time.Hour)
			e.out.Effects = []delivery.Effect{{Kind: delivery.Journal, What: delivery.WhatRecordRemoved, Rule: protocol.RuleRecordKept}}
			return e
		}, "I6"},
		{"a record is removed 181 days after its certificate", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.before.Identity.NotAfter = now.Add(-181 * 24 * time.Hour)
			e.out.Effects = []delivery.Effect{{Kind: delivery.Journal, What: delivery.WhatRecordRemoved, Rule: protocol.RuleRecordKept}}
			return e
		}, ""},
		{"an administrator deletes a record", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState()}
			e.before.Identity.NotAfter = now
			e.out.Effects = []delivery.Effect{{Kind: delivery.Journal, What: delivery.WhatRecordRemoved, Rule: protocol.RuleRetire}}
			return e
		}, ""},
		{"listed in no portal", func() event {
			e := event{ev: round, before: enrolledState(), after: enrolledState(), out: delivery.Outcome{Completed: true}}
			e.after.Registered = 9
			return e
		}, "I7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWatch(&Log{})
			e := tt.event()
			w.Observe(now, &delivery.World{Tenant: authority.Tenant{Authority: protocol.Intune, Epoch: 1}}, &e.ev, &e.before, &e.after, &e.out)
			checked, violated, first := w.Result()
			if checked != 1 {
				t.Errorf("checked %d events, want 1", checked)
			}
			var names []string
			for _, v := range first {
				names = append(names, v.Invariant)
			}
			switch {
			case tt.want == "" && violated != 0:
				t.Errorf("broken: %+v, want none", first)
			case tt.want != "" && !strings.Contains(strings.Join(names, " "), tt.want):
				t.Errorf("broken: %v, want %s", names, tt.want)
			}
		})
	}
}

// A queue that changes while nobody looks is found at the next event: a lost write of the store.
func TestWatchBetweenEvents(t *testing.T) {
	w := NewWatch(&Log{})
	ev := delivery.Event{Kind: delivery.CheckInRound, Device: 1, ID: "udid-1"}
	before, after := enrolledState(), enrolledState()
	after.Queue = []delivery.Queued{queued(1)}
	w.Observe(now, &delivery.World{Tenant: authority.Tenant{Authority: protocol.Intune, Epoch: 1}}, &ev, &before, &after, &delivery.Outcome{Commands: []delivery.CommandChange{{Queued: queued(1)}}})
	lost := enrolledState()
	w.Observe(now, &delivery.World{Tenant: authority.Tenant{Authority: protocol.Intune, Epoch: 1}}, &ev, &lost, &lost, &delivery.Outcome{})
	if _, violated, first := w.Result(); violated == 0 || first[0].Invariant != "I3" || first[0].Device != "udid-1" {
		t.Errorf("a command lost between two events: %+v, want I3 of udid-1", first)
	}
}

// The log's order and the histories do not depend on which of two devices was quicker.
func TestLog(t *testing.T) {
	lines := []Line{
		{At: 2, Side: OfServer, Device: "a", What: string(delivery.WhatProfileInstalled), Detail: "wifi"},
		{At: 1, Side: OfServer, Device: "b", What: string(delivery.WhatEnrolled)},
		{At: 1, Side: OfServer, Device: "a", What: string(delivery.WhatEnrolled)},
		{At: 2, Side: OfServer, Device: "a", What: string(delivery.WhatQueued), Detail: "not a state"},
	}
	var one, two Log
	for _, l := range lines {
		one.Add(l)
	}
	for _, i := range []int{2, 1, 0, 3} {
		two.Add(lines[i])
	}
	got, want := one.Lines(), two.Lines()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d is %+v or %+v, by the order of arrival", i, got[i], want[i])
		}
	}
	if h := one.Histories()["a"]; len(h) != 2 || h[0] != "server: enrolled " || h[1] != "server: profile installed wifi" {
		t.Errorf("history of a: %q", h)
	}
}

package storetest

import (
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func (s *suite) dueAt(when string, now protocol.Time, n int, want ...protocol.Device) {
	s.Helper()
	got, err := s.Due(s.ctx, now, n, true)
	s.must(err)
	s.equal(when+"due", got, want)
}

func (s *suite) nextDue(when string, want protocol.Time) {
	s.Helper()
	got, err := s.NextDue(s.ctx, true)
	s.must(err)
	if got != want {
		s.Errorf("%snext due at %s, want %s", when, got, want)
	}
}

func due(s *suite) {
	wake := func(w delivery.Wake) func(out *delivery.Outcome) {
		return func(out *delivery.Outcome) {
			out.Changed |= delivery.Wakes
			out.State.Wake = w
		}
	}
	s.nextDue("", 0)
	a := s.make("A", wake(delivery.Wake{Due: at, Reason: delivery.Changed}))
	s.make("B", nil)
	c := s.make("C", func(out *delivery.Outcome) {
		out.State.Wake.Due, out.State.Push.Unreachable = at-5, true
	})
	s.make("D", func(out *delivery.Outcome) { out.State.Wake.Due, out.State.Life = at-5, delivery.Ended })
	s.each(func(when string) {
		s.dueAt(when, at-1, 10)
		s.dueAt(when, at, 10, a)
		s.dueAt(when, at, 10, a) // asking changes nothing
		s.nextDue(when, at)
	})
	s.change(a, wake(delivery.Wake{Due: at + 20, Reason: delivery.Scheduled}))
	s.each(func(when string) {
		s.dueAt(when, at+19, 10)
		s.nextDue(when, at+20)
	})
	s.change(c, func(out *delivery.Outcome) { // reachable again
		out.Changed, out.State.Push.Unreachable = delivery.Core, false
	})
	s.each(func(when string) {
		s.nextDue(when, at-5)
		s.dueAt(when, at+20, 10, c, a)
		s.dueAt(when, at+20, 1, c)
	})
	s.change(c, wake(delivery.Wake{}))
	s.change(a, wake(delivery.Wake{Due: at, Reason: delivery.Changed}))
	s.change(a, wake(delivery.Wake{Due: at + 20, Reason: delivery.Scheduled}))
	s.change(a, wake(delivery.Wake{Due: at, Reason: delivery.Changed})) // there and back
	s.each(func(when string) { s.dueAt(when, at, 10, a) })
	s.change(a, func(out *delivery.Outcome) {
		out.Changed, out.State.Life = delivery.Core, delivery.Ended
	})
	s.each(func(when string) { s.nextDue(when, 0) })
}

func dueOrder(s *suite) {
	var want []protocol.Device // by due time, then number
	var early []protocol.Device
	for i, id := range []string{"A", "B", "C", "D", "E", "F", "G", "H"} {
		d := s.make(id, func(out *delivery.Outcome) {
			out.State.Wake.Due = at + 10
			if i%2 == 1 {
				out.State.Wake.Due = at
			}
		})
		if i%2 == 1 {
			early = append(early, d)
		} else {
			want = append(want, d)
		}
	}
	want = append(early, want...)
	s.each(func(when string) {
		s.dueAt(when, at+10, 100, want...)
		s.dueAt(when, at+10, 5, want[:5]...)
		s.dueAt(when, at+9, 100, early...)
	})
}

// dueWithoutApple: as many devices of Apple as may be due, those of others are found beside them.
func dueWithoutApple(s *suite) {
	var others []protocol.Device
	for i, p := range []protocol.Platform{protocol.IOS, protocol.MacOS, protocol.Windows, protocol.IPadOS, protocol.Android, protocol.IOS} {
		d := s.make(string(rune('A'+i)), func(out *delivery.Outcome) {
			out.State.Platform, out.State.Wake.Due = p, at.Add(time.Duration(i)*time.Second)
		})
		if !p.Apple() {
			others = append(others, d)
		}
	}
	check := func(when string, now protocol.Time, n int, next protocol.Time, want ...protocol.Device) {
		s.Helper()
		got, err := s.Due(s.ctx, now, n, false)
		s.must(err)
		s.equal(when+"due without Apple's", got, want)
		first, err := s.NextDue(s.ctx, false)
		s.must(err)
		if first != next {
			s.Errorf("%snext due without Apple's at %s, want %s", when, first, next)
		}
	}
	first := at.Add(2 * time.Second)
	s.each(func(when string) {
		check(when, at.Add(time.Minute), 10, first, others...)
		check(when, at.Add(time.Minute), 1, first, others[0])
		check(when, at.Add(time.Second), 10, first)
		s.nextDue(when, at)
	})
	s.change(others[0], func(out *delivery.Outcome) { // another device by the same name
		out.Changed, out.State.Platform = delivery.Core, protocol.IPadOS
	})
	s.change(others[1], func(out *delivery.Outcome) { out.Changed, out.State.Life = delivery.Core, delivery.Ended })
	s.each(func(when string) {
		check(when, at.Add(time.Minute), 10, 0)
		s.dueAt(when, first, 10, 1, 2, others[0])
	})
}

func catalogueWakes(s *suite) {
	set := func(w delivery.Wake) func(out *delivery.Outcome) {
		return func(out *delivery.Outcome) { out.State.Wake = w }
	}
	was := []delivery.Wake{
		{}, {Due: at.Add(time.Hour), Reason: delivery.Scheduled}, {Due: at - 5, Reason: delivery.Retry, Attempt: 2}, {Due: at, Reason: delivery.Changed},
	}
	var all []protocol.Device
	for i, w := range was {
		all = append(all, s.make(string(rune('A'+i)), set(w)))
	}
	s.must(s.Apply(s.ctx, at, &store.Change{Wake: all, WakeAt: at, Spacing: time.Second}))
	s.each(func(when string) {
		for i, d := range all {
			want := was[i].Ask(at.Add(time.Duration(i)*time.Second), delivery.Changed)
			if got := s.state(d).Wake; got != want {
				s.Errorf("%swake-up %+v became %+v, want %+v", when, was[i], got, want)
			}
		}
		s.dueAt(when, at, 10, all[2], all[3], all[0])
		s.nextDue(when, at-6)
	})
	err := s.Apply(s.ctx, at, &store.Change{Wake: []protocol.Device{all[0], 4_000_000_000}, Assign: []store.Assignment{{Profile: "p", Group: "g"}}})
	s.wantErr("Apply that wakes an unknown device", err, store.ErrNotFound)
	s.each(func(when string) {
		c, err := s.Load(s.ctx)
		s.must(err)
		if len(c.Assignments) != 0 {
			s.Errorf("%sa change that failed left %+v", when, c.Assignments)
		}
	})
}

// catalogueWaits: a round that was decided before a change of the catalogue does not undo its wake-ups.
func catalogueWaits(s *suite) {
	d := s.make("A", nil)
	tx, err := s.Begin(s.ctx, d)
	s.must(err)
	out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core | delivery.Wakes}
	out.State.Wake = delivery.Wake{Due: at.Add(8 * time.Hour), Reason: delivery.Scheduled}
	done := make(chan error)
	go func() { done <- s.Apply(s.ctx, at, &store.Change{Wake: []protocol.Device{d}, WakeAt: at}) }()
	s.must(tx.Commit(at, &out))
	tx.End()
	s.must(<-done)
	if got := s.state(d).Wake; got.Reason != delivery.Changed || got.Due > at {
		s.Errorf("wake-up %+v, want one for the change", got)
	}
}

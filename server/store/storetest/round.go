package storetest

import (
	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// queued is the command with this sequence number.
func queued(seq uint64) delivery.Queued {
	return delivery.Queued{
		Command: protocol.Command{ID: protocol.CommandID{byte(seq >> 8), byte(seq), 15: 1}, Kind: protocol.Lock, Profile: protocol.Profile(seq), PIN: "012345", Text: "t"},
		Seq:     seq, At: at + protocol.Time(seq),
	}
}

func history(s *suite) {
	d := s.make("A", nil)
	var want []delivery.CommandChange // oldest first
	queue := func() (q []delivery.Queued) {
		for _, c := range want {
			if !c.Final {
				q = append(q, c.Queued)
			}
		}
		return q
	}
	commit := func(changes ...delivery.CommandChange) {
		s.change(d, func(out *delivery.Outcome) {
			out.Changed, out.Commands = delivery.Core, changes
			out.State.Seq, out.State.Queue = 3, queue()
		})
	}
	for seq := range uint64(3) {
		want = append(want, delivery.CommandChange{Queued: queued(seq + 1)})
	}
	commit(want...)
	check := func(name string) {
		s.each(func(when string) {
			got, err := s.History(s.ctx, d, 10)
			s.must(err)
			var newest []delivery.CommandChange
			for i := len(want) - 1; i >= 0; i-- {
				newest = append(newest, want[i])
			}
			s.equal(when+name+": history", got, newest)
			s.equal(when+name+": queue", s.state(d).Queue, queue())
			got, err = s.History(s.ctx, d, 2)
			s.must(err)
			s.equal(when+name+": the newest two", got, newest[:2])
		})
	}
	check("queued")
	deferred := &want[1]
	deferred.NotNow, deferred.Status, deferred.Result = true, protocol.NotNow, []byte("later")
	commit(*deferred)
	check("deferred")

	result, chain := []byte("<plist/>\x00"), []byte("MDM 1: x")
	answered := &want[0]
	answered.Status, answered.Final, answered.Result, answered.Errors = protocol.Failed, true, result, string(chain)
	commit(*answered)
	answered.Result = []byte("<plist/>\x00")
	result[0] = 'X' // it was the request's
	check("answered")
	want[1].Final, want[1].Status, want[1].NotNow, want[1].Result = true, protocol.NoStatus, false, nil
	commit(want[1])
	check("withdrawn")
}

func exchanges(s *suite) {
	d, e := s.make("A", nil), s.make("B", nil)
	answer := []byte("first\x00answer")
	s.change(d, func(out *delivery.Outcome) { out.Exchange = delivery.Exchange{Key: delivery.Key{1}, Answer: answer} })
	answer[0] = 'X' // the outcome is used again
	s.change(d, func(out *delivery.Outcome) { out.Exchange.Key = delivery.Key{2} })
	s.each(func(when string) {
		tx, err := s.Begin(s.ctx, d)
		s.must(err)
		defer tx.End()
		out := delivery.Outcome{Exchange: delivery.Exchange{Answer: []byte("of another time")}}
		if !tx.Answered(delivery.Key{1}, &out) || string(out.Exchange.Answer) != "first\x00answer" {
			s.Errorf("%sAnswered = %q, want the first answer", when, out.Exchange.Answer)
		}
		if !tx.Answered(delivery.Key{2}, &out) || len(out.Exchange.Answer) != 0 {
			s.Errorf("%sAnswered = %q, want an empty answer", when, out.Exchange.Answer)
		}
		if tx.Answered(delivery.Key{3}, &out) || tx.Answered(delivery.Key{}, &out) {
			s.Errorf("%san answer to a message that never came", when)
		}
		other, err := s.Begin(s.ctx, e)
		s.must(err)
		defer other.End()
		if other.Answered(delivery.Key{1}, &out) {
			s.Errorf("%san answer to another device's message", when)
		}
	})
}

// exchangesBounded: of a device's answers the latest are kept, as many as the longest conversation has (AND-073), and no more.
func exchangesBounded(s *suite) {
	d := s.make("A", nil)
	const answers = 3*store.ExchangesKept + 5
	key := func(n int) delivery.Key { return delivery.Key{15: byte(n + 1)} }
	for n := range answers {
		s.change(d, func(out *delivery.Outcome) { out.Exchange = delivery.Exchange{Key: key(n), Answer: []byte{byte(n)}} })
	}
	s.each(func(when string) {
		tx, err := s.Begin(s.ctx, d)
		s.must(err)
		defer tx.End()
		for n := range answers {
			var out delivery.Outcome
			got := tx.Answered(key(n), &out)
			if kept := n >= answers-store.ExchangesKept; got != kept || got && string(out.Exchange.Answer) != string([]byte{byte(n)}) {
				s.Errorf("%sanswer %d of %d: %t %q, want %t", when, n, answers, got, out.Exchange.Answer, kept)
			}
		}
	})
}

// atomic: a commit that fails leaves nothing behind, and neither does a Tx that ends without one.
func atomic(s *suite) {
	d := s.make("A", nil)
	want := s.state(d)
	change := func(out *delivery.Outcome) {
		out.Changed = delivery.Core | delivery.Profiles | delivery.Wakes | delivery.Secrets | delivery.FactsToo
		out.State = full(d)
		out.Facts = &delivery.Facts{Name: "x"}
		out.Commands = []delivery.CommandChange{{Queued: queued(1)}}
		out.Exchange = delivery.Exchange{Key: delivery.Key{1}, Answer: []byte("x")}
		out.Effects = []delivery.Effect{
			{Kind: delivery.Journal, Device: d, What: delivery.WhatEnrolled},
			{Kind: delivery.Bind, Device: d, Fingerprint: delivery.Fingerprint{9}}, // unknown: this cannot be kept
		}
	}
	tx, err := s.Begin(s.ctx, d)
	s.must(err)
	out := delivery.Outcome{State: *tx.State()}
	change(&out)
	if err := tx.Commit(at, &out); err == nil {
		s.Error("a commit that binds an unknown certificate was kept")
	}
	tx.End()
	tx, err = s.Begin(s.ctx, d)
	s.must(err)
	out = delivery.Outcome{State: *tx.State()}
	change(&out)
	tx.End() // without a commit
	s.each(func(when string) {
		r, err := s.Record(s.ctx, d)
		s.must(err)
		s.equal(when+"record", r, store.Record{ID: "A", State: want})
		lines, err := s.Journal(s.ctx, store.LineFilter{}, 10)
		s.must(err)
		s.equal(when+"journal", lines, []store.Line(nil))
		h, err := s.History(s.ctx, d, 10)
		s.must(err)
		s.equal(when+"history", h, []delivery.CommandChange(nil))
		tx, err := s.Begin(s.ctx, d)
		s.must(err)
		defer tx.End()
		if tx.Answered(delivery.Key{1}, &out) {
			s.Errorf("%sthe exchange was kept", when)
		}
	})
}

func gone(s *suite) {
	d := s.make("A", func(out *delivery.Outcome) {
		out.State.Wake.Due = at
		out.Commands = []delivery.CommandChange{{Queued: queued(1)}}
	})
	s.change(d, func(out *delivery.Outcome) {
		out.Changed = delivery.Gone
		out.Effects = []delivery.Effect{{Kind: delivery.Journal, Device: d, What: delivery.WhatRecordRemoved, Rule: protocol.RuleRecordKept}}
	})
	s.each(func(when string) {
		_, err := s.Device(s.ctx, "A")
		s.wantErr(when+"Device", err, store.ErrNotFound)
		_, err = s.Record(s.ctx, d)
		s.wantErr(when+"Record", err, store.ErrNotFound)
		_, err = s.Begin(s.ctx, d)
		s.wantErr(when+"Begin", err, store.ErrNotFound)
		list, err := s.Records(s.ctx, 0, 10)
		s.must(err)
		if len(list) != 0 {
			s.Errorf("%srecords %+v", when, list)
		}
		next, err := s.NextDue(s.ctx, true)
		s.must(err)
		if next != 0 {
			s.Errorf("%sa removed device is to be woken at %s", when, next)
		}
		lines, err := s.Journal(s.ctx, store.LineFilter{}, 10)
		s.must(err)
		if len(lines) != 1 || lines[0].What != delivery.WhatRecordRemoved {
			s.Errorf("%sjournal %+v, want its last line", when, lines)
		}
	})
	tx, err := s.Create(s.ctx, "B") // refused before it had a record: only its journal is kept
	s.must(err)
	out := delivery.Outcome{State: *tx.State(), Changed: delivery.Gone, Effects: []delivery.Effect{{Kind: delivery.Journal, What: delivery.WhatRefused}}}
	s.must(tx.Commit(at, &out))
	tx.End()
	s.each(func(when string) {
		_, err := s.Device(s.ctx, "B")
		s.wantErr(when+"Device of a refused one", err, store.ErrNotFound)
		lines, err := s.Journal(s.ctx, store.LineFilter{}, 10)
		s.must(err)
		if len(lines) != 2 || lines[1].What != delivery.WhatRefused {
			s.Errorf("%sjournal %+v, want the refusal too", when, lines)
		}
	})

	var number protocol.Device
	for i := range 3 { // refused for ever, they take up nothing: no numbers either (HST-045)
		tx, err := s.Create(s.ctx, "B")
		s.must(err)
		out := delivery.Outcome{State: *tx.State(), Changed: delivery.Gone}
		if n := out.State.Device; i > 0 && n != number {
			s.Errorf("the same refused device has number %d, then %d", number, n)
		}
		number = out.State.Device
		s.must(tx.Commit(at, &out))
		tx.End()
	}

	s.each(func(when string) { // the journal has its number still
		numbers, err := s.Removed(s.ctx, "A")
		s.must(err)
		s.equal(when+"removed records called A", numbers, []protocol.Device{d})
		id, err := s.RemovedID(s.ctx, d)
		s.must(err)
		s.equal(when+"name of a removed record", id, "A")
		numbers, err = s.Removed(s.ctx, "B")
		s.must(err)
		s.equal(when+"removed records of one that had none", numbers, []protocol.Device(nil))
		_, err = s.RemovedID(s.ctx, 77)
		s.wantErr(when+"RemovedID", err, store.ErrNotFound)
	})
	again := s.make("A", nil) // it enrols again
	if again == d {
		s.Errorf("the number %d of a removed device is used again", d)
	}
	h, err := s.History(s.ctx, again, 10)
	s.must(err)
	if len(h) != 0 || s.state(again).Wake.Due != 0 {
		s.Errorf("the new record has something of the old one: %+v", h)
	}
}

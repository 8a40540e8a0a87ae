// Package storetest is what any store must pass. Start with [Run].
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Run tests the stores that open makes, each empty; Run closes them. Reopen, where given, closes a store and opens what it
// left, so that what must survive is tested as well.
func Run(t *testing.T, open func(t *testing.T) store.Store, reopen ...func(t *testing.T, s store.Store) store.Store) {
	for _, tt := range []struct {
		name string
		test func(*suite)
	}{
		{"devices", devices},
		{"create without commit", createWithoutCommit},
		{"state", state},
		{"parts", parts},
		{"what is not written", notWritten},
		{"hold", hold},
		{"hold ends with its context", holdEnds},
		{"two make one device", twoCreate},
		{"queue and history", history},
		{"exchanges", exchanges},
		{"atomic", atomic},
		{"gone", gone},
		{"journal", journal},
		{"due", due},
		{"due order", dueOrder},
		{"records", records},
		{"grants", grants},
		{"grants are redeemed once", redeemOnce},
		{"credentials", credentials},
		{"tickets", tickets},
		{"catalogue", catalogue},
		{"catalogue wakes", catalogueWakes},
		{"catalogue waits for a round", catalogueWaits},
		{"closed", closed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &suite{T: t, Store: open(t), ctx: t.Context()}
			if len(reopen) > 0 {
				s.reopen = reopen[0]
			}
			defer func() { s.Store.Close() }()
			tt.test(s)
		})
	}
}

// A suite is one test of one store.
type suite struct {
	*testing.T
	store.Store
	ctx    context.Context
	reopen func(t *testing.T, s store.Store) store.Store
}

// each runs f, and again after the store was closed and opened, where it can be.
func (s *suite) each(f func(when string)) {
	s.Helper()
	f("")
	if s.reopen != nil {
		s.Store = s.reopen(s.T, s.Store)
		f("reopened: ")
	}
}

const at = protocol.Time(1_772_352_000_000_000) // 2026-03-01T08:00:00Z

// must stops the test at an error.
func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) wantErr(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s = %v, want %v", what, err, want)
	}
}

func (s *suite) equal(what string, got, want any) {
	s.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		s.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// make makes the device id with the outcome that f fills in, and returns its number. The state is enrolled.
func (s *suite) make(id string, f func(out *delivery.Outcome)) protocol.Device {
	s.Helper()
	tx, err := s.Create(s.ctx, id)
	s.must(err)
	defer tx.End()
	out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core | delivery.Profiles | delivery.Wakes | delivery.Secrets}
	out.State.Life = delivery.Enrolled
	if f != nil {
		f(&out)
	}
	s.must(tx.Commit(at, &out))
	return out.State.Device
}

// change commits the outcome that f fills in for d.
func (s *suite) change(d protocol.Device, f func(out *delivery.Outcome)) {
	s.Helper()
	tx, err := s.Begin(s.ctx, d)
	s.must(err)
	defer tx.End()
	out := delivery.Outcome{State: *tx.State()}
	f(&out)
	s.must(tx.Commit(at, &out))
}

func (s *suite) state(d protocol.Device) delivery.State {
	s.Helper()
	r, err := s.Record(s.ctx, d)
	s.must(err)
	return r.State
}

// full is a state with a value in every field that is kept.
func full(d protocol.Device) delivery.State {
	return delivery.State{
		Device: d, User: 7, Platform: protocol.IPadOS, Life: delivery.Enrolled, Registered: protocol.Office365, Automated: true, Awaiting: true, Epoch: 4_000_000_000,
		RegisteredAt: at + 1, EnrolledAt: at + 2, EndedAt: at + 3, LastSeen: at + 4,
		Push:     delivery.Push{Topic: "com.apple.mgmt.External.1", Magic: "m\"\x00é", Token: []byte{0, 255, 1}, Since: at + 5, Unreachable: true},
		Wake:     delivery.Wake{Due: at + 6, Reason: delivery.Retry, Attempt: 255},
		Identity: delivery.Identity{Fingerprint: delivery.Fingerprint{1, 31: 2}, NotBefore: at - 7, NotAfter: at + 8},
		Next:     delivery.Identity{Fingerprint: delivery.Fingerprint{3, 31: 4}, NotBefore: at - 9, NotAfter: at + 10},
		Renewal:  delivery.Renewal{Asked: at + 11, Command: protocol.CommandID{5, 15: 6}, Tries: 254},
		Unlock:   []byte("unlock\x00"), Escrow: []byte("escrow\x00"), Set: delivery.Unsettled, Seq: 1 << 40,
		Profiles: []delivery.Assigned{
			{Profile: 1, State: delivery.Installed, Tries: 3, At: at + 12}, {Profile: 4_000_000_000, State: delivery.RemoveFailed, At: at + 13},
		},
		Reports: delivery.ReportCounts{Acknowledged: 1, Failed: 2, FormatError: 3, NotNow: 4_000_000_000},
	}
}

func devices(s *suite) {
	a := s.make("A", nil)
	b := s.make("B", nil)
	if a == 0 || b == 0 || a == b {
		s.Fatalf("devices %d and %d", a, b)
	}
	s.each(func(when string) {
		for id, want := range map[string]protocol.Device{"A": a, "B": b} {
			got, err := s.Device(s.ctx, id)
			if err != nil || got != want {
				s.Errorf("%sDevice(%q) = %d, %v, want %d", when, id, got, err, want)
			}
		}
		_, err := s.Device(s.ctx, "a") // names are compared as they are
		s.wantErr(when+"Device of an unknown one", err, store.ErrNotFound)
		_, err = s.Begin(s.ctx, b+1)
		s.wantErr(when+"Begin of an unknown one", err, store.ErrNotFound)
		_, err = s.Begin(s.ctx, 0)
		s.wantErr(when+"Begin of none", err, store.ErrNotFound)
		_, err = s.Record(s.ctx, 4_000_000_000)
		s.wantErr(when+"Record of an unknown one", err, store.ErrNotFound)
		tx, err := s.Create(s.ctx, "A")
		s.must(err)
		if tx.State().Device != a || tx.State().Life != delivery.Enrolled {
			s.Errorf("%sCreate of a known device = %+v", when, tx.State())
		}
		tx.End()
		if _, err := s.Device(s.ctx, "A"); err != nil {
			s.Errorf("%sa known device is forgotten when its Create does not commit: %v", when, err)
		}
	})
}

func createWithoutCommit(s *suite) {
	tx, err := s.Create(s.ctx, "A")
	s.must(err)
	d := tx.State().Device
	want := delivery.State{Device: d}
	s.equal("new state", *tx.State(), want)
	_, err = s.Device(s.ctx, "A")
	s.wantErr("Device before the commit", err, store.ErrNotFound)
	tx.End()
	s.each(func(when string) {
		_, err = s.Device(s.ctx, "A")
		s.wantErr(when+"Device", err, store.ErrNotFound)
		_, err = s.Begin(s.ctx, d)
		s.wantErr(when+"Begin", err, store.ErrNotFound)
		list, err := s.Records(s.ctx, 0, 10)
		s.must(err)
		if len(list) != 0 {
			s.Errorf("%srecords %+v", when, list)
		}
	})
	s.make("A", nil)
	if _, err = s.Device(s.ctx, "A"); err != nil {
		s.Errorf("Device after the second Create, which committed: %v", err)
	}
}

func state(s *suite) {
	var want delivery.State
	facts := delivery.Facts{Name: "n", Model: "m", Product: "p", Serial: "s", OSVersion: "o", Build: "b", IMEI: "i", MEID: "e"}
	d := s.make("A", func(out *delivery.Outcome) {
		want = full(out.State.Device)
		out.State, out.Facts = want, &facts
		out.Changed |= delivery.FactsToo
	})
	s.each(func(when string) {
		r, err := s.Record(s.ctx, d)
		s.must(err)
		s.equal(when+"record", r, store.Record{ID: "A", State: want, Facts: facts})
		tx, err := s.Begin(s.ctx, d)
		s.must(err)
		s.equal(when+"state", *tx.State(), want)
		tx.End()
	})
	s.change(d, func(out *delivery.Outcome) { // all of it back to nothing
		out.Changed = delivery.Core | delivery.Profiles | delivery.Wakes | delivery.Secrets
		out.State = delivery.State{Device: d, Life: delivery.Ended}
	})
	s.each(func(when string) {
		s.equal(when+"empty state", s.state(d), delivery.State{Device: d, Life: delivery.Ended})
	})
}

func parts(s *suite) {
	d := s.make("A", nil)
	want := s.state(d)
	for _, step := range []struct {
		name string
		part delivery.Parts
		f    func(st *delivery.State)
	}{
		{"core", delivery.Core, func(st *delivery.State) { st.User, st.Seq, st.Push.Magic = 3, 9, "x" }},
		{"profiles", delivery.Profiles, func(st *delivery.State) {
			st.Profiles = []delivery.Assigned{{Profile: 2, State: delivery.Installing, At: at}, {Profile: 5, State: delivery.Installed, At: at}}
		}},
		{"one profile", delivery.Profiles, func(st *delivery.State) {
			st.Profiles = []delivery.Assigned{{Profile: 3, State: delivery.Installing, At: at}, {Profile: 5, State: delivery.Removing, At: at + 1}}
		}},
		{"wakes", delivery.Wakes, func(st *delivery.State) { st.Wake = delivery.Wake{Due: at, Reason: delivery.Changed, Attempt: 2} }},
		{"secrets", delivery.Secrets, func(st *delivery.State) { st.Unlock, st.Escrow = []byte("u"), []byte("e") }},
		{"one secret", delivery.Secrets, func(st *delivery.State) { st.Escrow = nil }},
	} {
		s.change(d, func(out *delivery.Outcome) {
			out.Changed = step.part
			step.f(&out.State)
		})
		step.f(&want)
		s.each(func(when string) { s.equal(when+"after "+step.name, s.state(d), want) })
	}
}

// notWritten: a round that names no part is still what others see.
func notWritten(s *suite) {
	d := s.make("A", func(out *delivery.Outcome) {
		out.State.Queue = []delivery.Queued{queued(1)}
		out.Commands = []delivery.CommandChange{{Queued: queued(1)}}
	})
	seen, offered, pace := at.Add(time.Second), queued(1), delivery.Pace{Since: at, Asks: 3}
	offered.Offers = 1
	s.change(d, func(out *delivery.Outcome) {
		out.State.LastSeen, out.State.Queue, out.State.Pace = seen, []delivery.Queued{offered}, pace
	})
	got := s.state(d)
	if got.LastSeen != seen || got.Pace != pace {
		s.Errorf("last seen %s, pace %+v, want %s, %+v", got.LastSeen, got.Pace, seen, pace)
	}
	s.equal("queue", got.Queue, []delivery.Queued{offered})
}

func hold(s *suite) {
	d, e := s.make("A", nil), s.make("B", nil)
	const rounds, workers = 50, 8
	done := make(chan error)
	for range workers {
		go func() {
			for range rounds {
				tx, err := s.Begin(s.ctx, d)
				if err != nil {
					done <- err
					return
				}
				out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
				out.State.Seq++ // lost, if two hold the device at once
				err = tx.Commit(at, &out)
				tx.End()
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	tx, err := s.Begin(s.ctx, e) // nobody waits for another device
	s.must(err)
	tx.End()
	for range workers {
		s.must(<-done)
	}
	s.each(func(when string) {
		if got := s.state(d).Seq; got != rounds*workers {
			s.Errorf("%s%d of %d rounds are there", when, got, rounds*workers)
		}
	})
}

func holdEnds(s *suite) {
	d := s.make("A", nil)
	tx, err := s.Begin(s.ctx, d)
	s.must(err)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err = s.Begin(ctx, d)
	s.wantErr("Begin of a held device with an ended context", err, context.Canceled)
	_, err = s.Create(ctx, "A")
	s.wantErr("Create of a held device with an ended context", err, context.Canceled)
	tx.End()
	tx, err = s.Begin(s.ctx, d) // who gave up must not keep it
	s.must(err)
	tx.End()
}

func twoCreate(s *suite) {
	first, err := s.Create(s.ctx, "A")
	s.must(err)
	got := make(chan protocol.Device)
	create := func() {
		tx, err := s.Create(s.ctx, "A")
		if err != nil {
			s.Error(err)
			got <- 0
			return
		}
		defer tx.End()
		out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
		out.State.Seq++
		if err := tx.Commit(at, &out); err != nil {
			s.Error(err)
		}
		got <- out.State.Device
	}
	go create()
	go create()
	first.End() // without a commit: the next one makes the device
	a, b := <-got, <-got
	if a != b || s.state(a).Seq != 2 {
		s.Errorf("devices %d and %d, want one with two rounds", a, b)
	}
}

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
		lines, err := s.JournalAfter(s.ctx, 0, 10)
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
		next, err := s.NextDue(s.ctx)
		s.must(err)
		if next != 0 {
			s.Errorf("%sa removed device is to be woken at %s", when, next)
		}
		lines, err := s.JournalAfter(s.ctx, 0, 10)
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
		lines, err := s.JournalAfter(s.ctx, 0, 10)
		s.must(err)
		if len(lines) != 2 || lines[1].What != delivery.WhatRefused {
			s.Errorf("%sjournal %+v, want the refusal too", when, lines)
		}
	})

	again := s.make("A", nil) // it enrols again
	h, err := s.History(s.ctx, again, 10)
	s.must(err)
	if len(h) != 0 || s.state(again).Wake.Due != 0 {
		s.Errorf("the new record has something of the old one: %+v", h)
	}
}

func journal(s *suite) {
	d := s.make("A", nil)
	want := []store.Line{
		{Seq: 1, At: at, Device: d, Rule: "AUTH-11", What: delivery.WhatRegistered, Detail: "intune"},
		{Seq: 2, At: at, Device: d + 5, Rule: "HST-033", What: delivery.WhatWrongIdentity, Detail: "é\n"},
		{Seq: 3, At: at, Device: d, What: delivery.WhatEnded},
	}
	s.change(d, func(out *delivery.Outcome) {
		for _, l := range want[:2] {
			out.Effects = append(out.Effects, delivery.Effect{Kind: delivery.Journal, Device: l.Device, Rule: l.Rule, What: l.What, Detail: l.Detail})
		}
	})
	s.change(d, func(out *delivery.Outcome) {
		out.Effects = []delivery.Effect{{Kind: delivery.Journal, Device: d, What: want[2].What}}
	})
	s.each(func(when string) {
		var got []store.Line
		for after := uint64(0); ; { // two at a time
			lines, err := s.JournalAfter(s.ctx, after, 2)
			s.must(err)
			if len(lines) == 0 {
				break
			}
			got = append(got, lines...)
			after = lines[len(lines)-1].Seq
		}
		for i := range got {
			if i > 0 && got[i].Seq <= got[i-1].Seq {
				s.Errorf("%ssequence numbers %d, %d", when, got[i-1].Seq, got[i].Seq)
			}
			got[i].Seq = uint64(i) + 1
		}
		s.equal(when+"journal", got, want)
		rest, err := s.JournalAfter(s.ctx, 1<<60, 2)
		s.must(err)
		if len(rest) != 0 {
			s.Errorf("%slines after the last: %+v", when, rest)
		}
	})
}

func records(s *suite) {
	var want []protocol.Device
	for _, id := range []string{"D", "B", "A", "C", "E"} {
		want = append(want, s.make(id, nil))
	}
	s.each(func(when string) {
		var got []protocol.Device
		for after := protocol.Device(0); ; {
			list, err := s.Records(s.ctx, after, 2)
			s.must(err)
			if len(list) == 0 {
				break
			}
			for _, r := range list {
				got = append(got, r.State.Device)
			}
			after = got[len(got)-1]
		}
		s.equal(when+"records, two at a time", got, want)
	})
}

func closed(s *suite) {
	d := s.make("A", nil)
	tx, err := s.Begin(s.ctx, d)
	s.must(err)
	s.must(s.Close())
	out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
	s.wantErr("Commit", tx.Commit(at, &out), store.ErrClosed)
	tx.End()
	s.wantErr("Apply", s.Apply(s.ctx, at, &store.Change{Lines: []delivery.Effect{{Kind: delivery.Journal}}}), store.ErrClosed)
	s.wantErr("AddGrant", s.AddGrant(s.ctx, &store.Grant{}), store.ErrClosed)
}

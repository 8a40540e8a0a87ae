// Package storetest is what any store must pass. Start with [Run].
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"rollcall/protocol"
	"rollcall/server/authority"
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
		{"exchanges are bounded", exchangesBounded},
		{"atomic", atomic},
		{"gone", gone},
		{"journal", journal},
		{"due", due},
		{"due order", dueOrder},
		{"due without Apple", dueWithoutApple},
		{"records", records},
		{"many states", manyStates},
		{"grants", grants},
		{"grants are redeemed once", redeemOnce},
		{"credentials", credentials},
		{"tickets", tickets},
		{"catalogue", catalogue},
		{"catalogue wakes", catalogueWakes},
		{"catalogue waits for a round", catalogueWaits},
		{"previews", previews},
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
		Push:    delivery.Push{Topic: "com.apple.mgmt.External.1", Magic: "m\"\x00é", Token: []byte{0, 255, 1}, Since: at + 5, Unreachable: true},
		Support: true, AndroidAPI: true, CoManaged: true, Heard: 4_000_000_001, Fresh: 4_000_000_002,
		Workloads: authority.AllWorkloads, Told: true, Before: delivery.Report{At: at + 14, Complied: true},
		Wake:     delivery.Wake{Due: at + 6, Reason: delivery.Retry, Attempt: 255},
		Identity: delivery.Identity{Fingerprint: delivery.Fingerprint{1, 31: 2}, NotBefore: at - 7, NotAfter: at + 8},
		Rare: &delivery.Rare{
			Next:    delivery.Identity{Fingerprint: delivery.Fingerprint{3, 31: 4}, NotBefore: at - 9, NotAfter: at + 10},
			Renewal: delivery.Renewal{Asked: at + 11, Command: protocol.CommandID{5, 15: 6}, Tries: 254},
			Unlock:  []byte("unlock\x00"), Escrow: []byte("escrow\x00"),
			Replaced: at + 15,
		},
		Set: delivery.Unsettled, Seq: 1 << 40,
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
	want := delivery.State{Device: d, Place: delivery.PlaceOf("A")}
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
	facts := delivery.Facts{Name: "n", Model: "m", Product: "p", Serial: "s", OSVersion: "o", Build: "b", IMEI: "i", MEID: "e", Hardware: "h", Said: "w", Directory: "d"}
	d := s.make("A", func(out *delivery.Outcome) {
		want = full(out.State.Device)
		want.Place = out.State.Place
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
		s.equal(when+"empty state", s.state(d), delivery.State{Device: d, Place: delivery.PlaceOf("A"), Life: delivery.Ended})
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
		{"address", delivery.Address, func(st *delivery.State) {
			st.Push = delivery.Push{Topic: "t", Magic: "m", Token: []byte{1, 2}, Since: at, Unreachable: true}
		}},
		{"counts", delivery.Counts, func(st *delivery.State) {
			st.Seq, st.Reports = 12, delivery.ReportCounts{Acknowledged: 1, Failed: 2, FormatError: 3, NotNow: 4}
		}},
		{"address, counts and wakes", delivery.Address | delivery.Counts | delivery.Wakes, func(st *delivery.State) {
			st.Push.Token, st.Seq, st.Reports.NotNow, st.Wake = []byte{3}, 13, 5, delivery.Wake{Due: at + 1, Reason: delivery.Retry, Attempt: 1}
		}},
		{"profiles", delivery.Profiles, func(st *delivery.State) {
			st.Profiles = []delivery.Assigned{{Profile: 2, State: delivery.Installing, At: at}, {Profile: 5, State: delivery.Installed, At: at}}
		}},
		{"one profile", delivery.Profiles, func(st *delivery.State) {
			st.Profiles = []delivery.Assigned{{Profile: 3, State: delivery.Installing, At: at}, {Profile: 5, State: delivery.Removing, At: at + 1}}
		}},
		{"wakes", delivery.Wakes, func(st *delivery.State) { st.Wake = delivery.Wake{Due: at, Reason: delivery.Changed, Attempt: 2} }},
		{"secrets", delivery.Secrets, func(st *delivery.State) { st.Rare = &delivery.Rare{Unlock: []byte("u"), Escrow: []byte("e")} }},
		{"one secret", delivery.Secrets, func(st *delivery.State) { st.Rare = &delivery.Rare{Unlock: st.Rare.Unlock} }},
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
	seen, offered, pace := at.Add(time.Second), queued(1), delivery.Pace{Since: at, Times: 3}
	offered.Offers = 1
	s.change(d, func(out *delivery.Outcome) {
		out.State.LastSeen, out.State.Queue, out.State.Pace, out.State.Push.Since = seen, []delivery.Queued{offered}, pace, seen
	})
	got := s.state(d)
	if got.LastSeen != seen || got.Pace != pace || got.Push.Since != seen {
		s.Errorf("last seen %s, pace %+v, address of %s, want %s, %+v, %s", got.LastSeen, got.Pace, got.Push.Since, seen, pace, seen)
	}
	s.equal("queue", got.Queue, []delivery.Queued{offered})
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
		got = nil
		s.must(s.States(s.ctx, func(st *delivery.State) {
			if st.Life == delivery.Enrolled {
				got = append(got, st.Device)
			}
		}))
		s.equal(when+"states", got, want)
	})
}

// manyStates: more than are looked at together.
func manyStates(s *suite) {
	const devices = 2100
	var g errgroup.Group
	g.SetLimit(128)
	for i := range devices {
		g.Go(func() error {
			tx, err := s.Create(s.ctx, fmt.Sprint("X", i))
			if err != nil {
				return err
			}
			defer tx.End()
			out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
			out.State.Life = delivery.Enrolled
			return tx.Commit(at, &out)
		})
	}
	s.must(g.Wait())
	seen := protocol.Device(0)
	s.must(s.States(s.ctx, func(st *delivery.State) {
		if seen++; st.Device != seen || st.Life != delivery.Enrolled {
			s.Errorf("state %d is of device %d, %v", seen, st.Device, st.Life)
		}
	}))
	if seen != devices {
		s.Errorf("%d states, want %d", seen, devices)
	}
	ctx, stop := context.WithCancel(s.ctx)
	stop()
	s.wantErr("States of who has gone", s.States(ctx, func(*delivery.State) {}), context.Canceled)
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
	s.wantErr("States", s.States(s.ctx, func(*delivery.State) { s.Error("a state of a closed store") }), store.ErrClosed)
	s.wantErr("KeepPreview", s.KeepPreview(s.ctx, &store.Preview{ID: "a", At: at}), store.ErrClosed)
	_, err = s.Preview(s.ctx, "a")
	s.wantErr("Preview", err, store.ErrClosed)
	s.wantErr("AddGrant", s.AddGrant(s.ctx, &store.Grant{}), store.ErrClosed)
}

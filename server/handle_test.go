package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func TestHandle(t *testing.T) {
	x := newTenant(t)
	x.wifi("<wifi>", "sales")
	p := x.newPhone(1)
	if err := p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Ask of an unknown device = %v, want ErrNotFound", err)
	}
	p.must(p.enrol())
	p.must(p.ready("a"))
	commands := p.drain()
	if len(commands) != 3 || commands[2].Kind != protocol.InstallProfile || string(commands[2].Payload) != "<wifi>" {
		t.Errorf("commands %+v, want the profile with its document", commands)
	}
	history, err := x.store.History(x.ctx, p.number, 10)
	x.must(err)
	for _, c := range history {
		if !c.Final || c.Status != protocol.Acknowledged || c.Payload != nil {
			t.Errorf("history %+v", c)
		}
	}
}

func TestHandleRefusalIsKeptInTheJournal(t *testing.T) {
	x := newTenant(t)
	a, b := x.enrolled(1), x.enrolled(2)
	before := [2]delivery.State{a.state(), b.state()}
	id := a.id
	a.id = b.id // HST-033
	x.refused(a.says(protocol.CheckIn{Verb: protocol.Leave}, delivery.Message{}), "HST-033")
	a.id = id
	x.equal("states", [2]delivery.State{a.state(), b.state()}, before)
	lines := x.journal(delivery.WhatWrongIdentity)
	if len(lines) != 2 || lines[0].Device != b.number || lines[1].Device != a.number {
		t.Errorf("journal %+v, want a line for both", lines)
	}
}

func TestHandleRefusedEnrolmentMakesNoRecord(t *testing.T) {
	x := newTenant(t)
	p := x.newPhone(1)
	x.now = x.now.Add(400 * day) // both the identity and the push certificate have ended
	x.refused(p.enrol(), protocol.RuleNotRenewed)
	if _, err := x.store.Device(x.ctx, p.id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Device = %v, want none", err)
	}
	lines := x.journal(delivery.WhatRefused)
	if len(lines) != 1 || lines[0].Device != 0 || !strings.Contains(lines[0].Detail, p.id) {
		t.Errorf("journal %+v, want one line that names the device", lines)
	}
}

// TestHST045RefusedEnrolments: a first Enrol that is refused, by each of the ways to be, makes no record, however often.
func TestHST045RefusedEnrolments(t *testing.T) {
	x := newTenant(t)
	for range 50 {
		p := x.newPhone(1)
		x.refused(p.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: protocol.IOS, Topic: topic + "other"}), protocol.RuleOtherTopic)
		id := p.id
		p.id = "another"
		p.certify(store.Grant{Purpose: delivery.ForEnrolment, User: 1, ID: id}) // bound to it
		x.refused(p.enrol(), "HST-037")
	}
	list, err := x.store.Records(x.ctx, 0, 100)
	x.must(err)
	if len(list) != 0 {
		t.Errorf("%d records of devices that were refused", len(list))
	}
	if p := x.enrolled(1); p.number != 1 {
		t.Errorf("the first device has number %d", p.number)
	}
}

// TestHST045Impostor: a device that calls itself another one, again and again, is refused each time, and the journal
// hears of so many in an hour.
func TestHST045Impostor(t *testing.T) {
	x := newTenant(t)
	victim, evil := x.enrolled(1), x.enrolled(2)
	cred, err := x.Credential(x.ctx, evil.cert)
	x.must(err)
	lines := func() int {
		end, err := x.store.JournalEnd(x.ctx)
		x.must(err)
		return int(end)
	}
	before := lines()
	for hour := range 2 {
		for range 30 {
			ev := delivery.Event{Kind: delivery.CheckInRound, ID: victim.id, Message: delivery.Message{CheckIn: protocol.CheckIn{Verb: protocol.Ask}, Credential: cred}}
			x.refused(x.Handle(x.ctx, x.now, &ev, new(delivery.Outcome)), "HST-033")
		}
		if n := lines() - before; n != 40*(hour+1) {
			t.Errorf("%d lines in hour %d, want twenty for each device an hour", n, hour+1)
		}
		x.later(time.Hour)
	}
}

// TestHST045UnfinishedEnrolments: a thousand hellos that nothing follows are gone a day later, by Tick alone.
func TestHST045UnfinishedEnrolments(t *testing.T) {
	x := newTenant(t)
	x.tick() // the clean-up that a start does
	whole := x.enrolled(1)
	count := func() (n int) {
		list, err := x.store.Records(x.ctx, 0, 20_000)
		x.must(err)
		return len(list)
	}
	for range 1000 {
		x.must(x.newPhone(0).enrol())
	}
	begun := x.now
	for x.now < begun.Add(3*day) && count() > 1 {
		if n := count(); x.now < begun.Add(day) && n != 1001 {
			t.Fatalf("%d records %s after they were made", n, x.now.Sub(begun))
		}
		x.now = x.next()
		x.tick()
	}
	if left := x.now.Sub(begun); count() != 1 || left > 2*day || whole.state().Life != delivery.Enrolled {
		t.Errorf("%s later there are %d records, want the one that finished", left, count())
	}
}

func TestHandleRepeat(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	_, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.Restart})
	x.must(err)
	cred, err := x.Credential(x.ctx, p.cert)
	x.must(err)
	encoded := 0
	ask := func() string {
		ev := delivery.Event{
			Kind: delivery.CheckInRound, ID: p.id, Key: delivery.Key{1}, Message: delivery.Message{CheckIn: protocol.CheckIn{Verb: protocol.Ask}, Credential: cred},
			Encode: func(dst []byte, out *delivery.Outcome) []byte {
				encoded++
				return append(dst, out.Reply.Command.ID.String()...)
			},
		}
		x.must(x.Handle(x.ctx, x.now, &ev, &p.out))
		return string(p.out.Exchange.Answer)
	}
	first := ask()
	p.drain()
	if again := ask(); again != first || encoded != 1 || first == "" {
		t.Errorf("the repeat was answered %q, the first %q; encoded %d times", again, first, encoded)
	}
}

func TestHandleObserves(t *testing.T) {
	x := newTenant(t)
	var seen []string
	x.cfg.Observe = func(_ protocol.Time, _ *delivery.World, ev *delivery.Event, before, after *delivery.State, _ *delivery.Outcome) {
		seen = append(seen, ev.Kind.String()+": "+before.Life.String()+" to "+after.Life.String())
	}
	x.reopen()
	p := x.newPhone(1)
	p.must(p.enrol())
	p.must(p.ready("a"))
	x.tick()
	x.equal("observed", seen, []string{"check-in: none to enrolling", "check-in: enrolling to enrolled", "push report: enrolled to enrolled"})
}

// failing is a store whose commits fail while it says so.
type failing struct {
	store.Store
	fail func(d protocol.Device) bool
}

var errDisk = errors.New("disk")

func (f *failing) Begin(ctx context.Context, d protocol.Device) (store.Tx, error) {
	tx, err := f.Store.Begin(ctx, d)
	return &failingTx{tx, f}, err
}

type failingTx struct {
	store.Tx
	f *failing
}

func (t *failingTx) Commit(now protocol.Time, out *delivery.Outcome) error {
	if t.f.fail(out.State.Device) {
		return errDisk
	}
	return t.Tx.Commit(now, out)
}

func TestAPL054CommitFails(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	id, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.Restart})
	x.must(err)
	down := false
	x.cfg.Store = &failing{x.store, func(protocol.Device) bool { return down }}
	x.reopen()
	p.must(p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{}))
	report := func() error {
		return p.says(protocol.CheckIn{Verb: protocol.Report, Command: id, Status: protocol.Acknowledged}, delivery.Message{})
	}
	before := p.state().Reports.Acknowledged
	down = true
	if err := report(); !errors.Is(err, errDisk) {
		t.Errorf("report = %v, want the store's error", err)
	}
	if got := p.state(); got.Reports.Acknowledged != before || len(got.Queue) != 1 {
		t.Errorf("state %+v: a report that was not kept counts", got)
	}
	down = false
	p.must(report()) // the device says it again
	p.must(report())
	if got := p.state(); got.Reports.Acknowledged != before+1 || len(got.Queue) != 0 {
		t.Errorf("state %+v, want the report counted once (I3)", got)
	}
}

func TestHST053OldMagicIsNeverUsed(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	p.certify(store.Grant{Purpose: delivery.ForEnrolment, User: 1})
	p.must(p.enrol())
	n := len(x.pushes.Sent())
	x.later(9 * time.Hour) // no push between Authenticate and TokenUpdate
	if got := x.since(n); len(got) != 0 {
		t.Errorf("pushes %v before the first TokenUpdate", got)
	}
	p.must(p.ready("new"))
	x.later(9 * time.Hour)
	for _, n := range x.pushes.Sent()[n:] {
		if n.Magic != "magic new" || string(n.Token) != "new" {
			t.Errorf("push with %q for %q, of the old enrolment", n.Magic, n.Token)
		}
	}
	if len(x.since(n)) == 0 {
		t.Error("no push after the new enrolment")
	}
}

// TestAPL065ManyConnections: one device on several connections at once gets each command done once.
func TestAPL065ManyConnections(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	const commands, connections = 50, 4
	for range commands {
		_, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.SecurityInfo})
		x.must(err)
	}
	before := p.state().Reports.Acknowledged
	cred, err := x.Credential(x.ctx, p.cert)
	x.must(err)
	done := make(chan error)
	for range connections {
		go func() {
			var out delivery.Outcome
			ev := delivery.Event{Kind: delivery.CheckInRound, Device: p.number, Message: delivery.Message{
				CheckIn: protocol.CheckIn{Verb: protocol.Ask}, Credential: cred,
			}}
			for {
				ev.Seed = [2]uint64{}
				if err := x.Handle(x.ctx, x.now, &ev, &out); err != nil || out.Reply.Kind != protocol.Work {
					done <- err
					return
				}
				ev.CheckIn = protocol.CheckIn{Verb: protocol.Report, Command: out.Reply.Command.ID, Status: protocol.Acknowledged}
			}
		}()
	}
	for range connections {
		x.must(<-done)
	}
	if st := p.state(); st.Reports.Acknowledged != before+commands || len(st.Queue) != 0 {
		t.Errorf("%d acknowledged, %d left, want %d and none", st.Reports.Acknowledged-before, len(st.Queue), commands)
	}
}

package server_test

import (
	"testing"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Each journal line says who acted.
func TestJournalSaysWhoActed(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	ada := server.As(x.ctx, "token:ada")
	_, err := x.Order(ada, x.now, p.number, protocol.Command{Kind: protocol.Lock, PIN: "123456"})
	x.must(err)
	_, err = x.Order(ada, x.now, p.number, protocol.Command{Kind: protocol.Lock, PIN: "123456"})
	x.refused(err, "APL-064")
	_, err = x.PutUsers(ada, x.now, []store.User{{UPN: "new@example.org"}})
	x.must(err)
	x.must(x.PutToken(x.ctx, x.now, store.Token{Name: "t"}))
	lines, err := x.store.Journal(x.ctx, store.LineFilter{}, 1000)
	x.must(err)
	record, err := x.store.Record(x.ctx, p.number)
	x.must(err)
	got := map[delivery.What]string{}
	for _, l := range lines {
		if l.Actor == "" {
			t.Errorf("line %+v names nobody", l)
		}
		got[l.What+" "+delivery.What(l.Detail)] = l.Actor
	}
	for what, want := range map[delivery.What]string{
		"enrolled " + delivery.What(record.ID): "device", "command queued DeviceLock": "token:ada", "tenant changed 1 users": "token:ada", "tenant changed token t": "system",
	} {
		found := false
		for key, actor := range got {
			if len(key) >= len(what) && key[:len(what)] == what {
				found = true
				if actor != want {
					t.Errorf("%s was done by %s, want %s", key, actor, want)
				}
			}
		}
		if !found {
			t.Errorf("no line %q in %v", what, got)
		}
	}
}

// Whoever waits for the journal is told of each way in which a line comes, and not of a change without one.
func TestJournalGrows(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	for _, tt := range []struct {
		name string
		want bool
		do   func()
	}{
		{"a round that changed nothing", false, func() { x.must(p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{})) }},
		{"a line of a device", true, func() {
			_, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.Restart})
			x.must(err)
		}},
		{"a line of the tenant", true, func() { x.must(x.PutToken(x.ctx, x.now, store.Token{Name: "t"})) }},
	} {
		before := x.lines()
		grows := x.JournalGrows()
		tt.do()
		select {
		case <-grows:
			if !tt.want || x.lines() == before {
				t.Errorf("%s: rung", tt.name)
			}
		default:
			if tt.want {
				t.Errorf("%s: not rung", tt.name)
			}
		}
	}
}

func (x *tenant) lines() int {
	x.Helper()
	lines, err := x.store.Journal(x.ctx, store.LineFilter{}, 1<<20)
	x.must(err)
	return len(lines)
}

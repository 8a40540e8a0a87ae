package server_test

import (
	"reflect"
	"testing"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
)

// TestAND073AgainAsItStood: an answer is given again where all that it goes by is as it was. One thing that is other, whatever it was by, and be
// it at the same moment, takes the long way, and nothing is written.
func TestAND073AgainAsItStood(t *testing.T) {
	changed := func(change func(*delivery.State)) func(*phone, *delivery.Outcome) {
		return func(_ *phone, out *delivery.Outcome) {
			out.Changed = delivery.Core | delivery.Address | delivery.Profiles
			change(&out.State)
		}
	}
	for _, tt := range []struct {
		name  string
		meets func(p *phone, out *delivery.Outcome) // out is committed then
		known bool
	}{
		{"nothing", func(*phone, *delivery.Outcome) {}, true},
		{"a moment", func(p *phone, _ *delivery.Outcome) { p.now++ }, true},
		{"a clock that was set back", func(p *phone, _ *delivery.Outcome) { p.now-- }, false},
		{"a round on another connection", changed(func(s *delivery.State) { s.LastSeen++ }), false},
		{"an order that is through", changed(func(s *delivery.State) { s.Seq++ }), false},
		{"an order", changed(func(s *delivery.State) { s.Queue = []delivery.Queued{{Seq: 9}} }), false},
		{"another authority", changed(func(s *delivery.State) { s.Registered = protocol.SCCM }), false},
		{"another address", changed(func(s *delivery.State) { s.Push.Token = []byte("other") }), false},
		{"another word of an old profile", changed(func(s *delivery.State) { s.Profiles = nil }), false},
		{"another identity", changed(func(s *delivery.State) { s.Identity.Fingerprint[0]++ }), false},
		{"another report", func(_ *phone, out *delivery.Outcome) {
			out.Facts, out.Changed = &delivery.Facts{Said: "e-1 FULLY_MANAGED 8"}, delivery.FactsToo
		}, false},
		{"an answer to this very message", func(_ *phone, out *delivery.Outcome) {
			out.Exchange = delivery.Exchange{Key: delivery.Key{7}, Answer: []byte("kept")}
		}, false},
		{"a setting", func(p *phone, _ *delivery.Outcome) {
			p.must(p.ChangeSettings(p.ctx, p.now, server.System, "", func(s *server.Settings) { s.Blast = 77 }))
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newTenant(t)
			p := x.enrolled(1)
			x.wifi("Office", "all")
			x.set(sccm)
			x.renew()
			p.drain()
			p.put(func(out *delivery.Outcome) { // the profile of Intune's that it has is more than it should have, of which it is told
				changed(func(s *delivery.State) {
					s.Profiles = []delivery.Assigned{{Profile: 1, State: delivery.RemoveFailed, Tries: 3}}
				})(p, out)
			})
			cred, err := p.Credential(p.ctx, p.cert)
			x.must(err)
			ask := delivery.Event{Kind: delivery.CheckInRound, Device: p.number, Message: delivery.Message{CheckIn: protocol.CheckIn{Verb: protocol.Ask}, Credential: cred}}
			shown := x.Shown()
			x.must(x.Handle(x.ctx, x.now, &ask, &p.out))
			r, err := x.store.Record(x.ctx, p.number)
			x.must(err)
			at := server.StandingOf(shown, &r.Facts, &p.out)

			p.put(func(out *delivery.Outcome) { tt.meets(p, out) })
			before, err := x.store.Record(x.ctx, p.number)
			x.must(err)
			known := x.Again(x.ctx, x.now, p.number, &cred, delivery.Key{7}, &at, &p.out)
			if known != tt.known {
				t.Errorf("answered as before: %t, want %t", known, tt.known)
			}
			after, err := x.store.Record(x.ctx, p.number)
			x.must(err)
			if known {
				before.State.Rest(x.now)
			}
			if !reflect.DeepEqual(before, after) {
				t.Errorf("it was left\n%+v\nwant\n%+v", after, before)
			}
		})
	}
}

// put has the store keep an outcome that nobody decided.
func (p *phone) put(change func(*delivery.Outcome)) {
	p.Helper()
	tx, err := p.store.Begin(p.ctx, p.number)
	p.must(err)
	defer tx.End()
	out := delivery.Outcome{State: *tx.State()}
	change(&out)
	p.must(tx.Commit(p.now, &out))
}

package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// TestHST071Wipe: several devices are erased only by their number, no more in an hour than the setting says, and the journal
// has it before the first order.
func TestHST071Wipe(t *testing.T) {
	x := newTenant(t)
	var all []protocol.Device
	var phones []*phone
	for range 5 {
		p := x.enrolled(1)
		phones, all = append(phones, p), append(all, p.number)
	}
	queued := func() (n int) {
		for _, p := range phones {
			n += len(p.state().Queue)
		}
		return n
	}
	refused := func(devices []protocol.Device, typed int, says string) {
		t.Helper()
		lines := len(x.journal(delivery.WhatDenied))
		_, err := x.Wipe(x.ctx, x.now, boss, devices, "", typed)
		x.refused(err, protocol.RuleBlast)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
		if denied := x.journal(delivery.WhatDenied); len(denied) != lines+1 || denied[lines].Actor != boss.Name || denied[lines].Rule != protocol.RuleBlast {
			t.Errorf("journal: %+v", denied[lines:])
		}
		x.equal("orders after a refusal", queued(), 0)
	}
	list, err := x.PreviewWipe(x.ctx, all)
	x.must(err)
	if len(list) != 5 || list[4].ID != phones[4].id || list[4].No != nil {
		t.Errorf("preview %+v", list)
	}
	refused(all, 0, "erases 5 devices: say that number")
	refused(all, 4, "erases 5 devices, not 4")
	x.decide(func(set *server.Settings) { set.Blast = 3 })
	refused(all, 5, "touches 5 devices, and in an hour 3 may be, of which 0 were already")
	_, err = x.Wipe(x.ctx, x.now, server.Actor{Name: "r", Role: store.Reader}, all[:1], "", 1)
	x.refused(err, protocol.RuleRoles)

	before := len(x.journal(delivery.WhatQueued))
	_, err = x.Wipe(x.ctx, x.now, boss, all[:2], "", 2)
	x.must(err)
	l := x.last(delivery.WhatBlast)
	if l.Rule != protocol.RuleBlast || l.Actor != boss.Name || l.Detail != "2 devices: about to be wiped: "+phones[0].id+", "+phones[1].id {
		t.Errorf("journal %+v", l)
	}
	if orders := x.journal(delivery.WhatQueued)[before:]; len(orders) != 2 || orders[0].Seq < l.Seq || orders[0].Actor != boss.Name {
		t.Errorf("orders %+v, want them after line %d", orders, l.Seq)
	}
	x.equal("orders", queued(), 2)
	phones[0].drain()
	phones[1].drain()
	x.reopen() // begins no new hour
	x.later(59 * time.Minute)
	refused(all[2:4], 2, "of which 2 were already")
	_, err = x.Wipe(x.ctx, x.now, boss, all[2:3], "", 0) // one needs no number
	x.must(err)
	phones[2].drain()
	refused(all[3:4], 1, "of which 3 were already")
	x.later(time.Minute)
	_, err = x.Wipe(x.ctx, x.now, boss, all[3:5], "", 2) // the first two are an hour ago
	x.must(err)

	list, err = x.Wipe(x.ctx, x.now.Add(time.Hour), boss, []protocol.Device{all[0], all[3]}, "", 2)
	x.must(err)
	x.refused(list[0].No, protocol.RuleNotRenewed) // it is erased already
	if list[1].No != nil || !strings.HasPrefix(x.last(delivery.WhatBlast).Detail, "1 devices: ") {
		t.Errorf("%+v, %+v", list, x.last(delivery.WhatBlast))
	}
}

// TestHST071Stranding: an administrator's change of authority that strands devices, and a push certificate with another topic,
// want their number as well.
func TestHST071Stranding(t *testing.T) {
	x := bms(t)
	x.enrolled(1)
	x.enrolled(0)
	p, err := x.PreviewAuthority(x.ctx, x.now, coexistence)
	x.must(err)
	change := func(typed int) error {
		_, err := x.SetAuthority(x.ctx, x.now, boss, coexistence, p.ID, typed)
		return err
	}
	x.refused(change(0), protocol.RuleBlast)
	x.refused(change(2), protocol.RuleBlast)
	upload := func(typed int) error {
		_, err := x.UploadPush(x.ctx, x.now, x.pem("com.apple.mgmt.External.other", 500*day), "", "", true, typed)
		return err
	}
	x.refused(upload(0), protocol.RuleBlast)
	x.refused(upload(1), protocol.RuleBlast)
	if up, err := x.PreviewPush(x.ctx, x.now, x.pem("com.apple.mgmt.External.other", 500*day), ""); err != nil || !up.OtherTopic || up.Stranded != 2 || up.Preview.Stranded != 2 {
		t.Errorf("preview %+v, %v", up, err)
	}
	if x.Content().Tenant.Coexistence || len(x.topics) != 1 || len(x.journal(delivery.WhatBlast)) != 0 {
		t.Fatal("a refused change was made")
	}
	x.equal("refusals in the journal", len(x.journal(delivery.WhatDenied)), 4)
	x.must(change(1))
	if l := x.last(delivery.WhatBlast); l.Detail != "1 devices: the authority is about to be coexistence, which strands them" || l.Seq > x.last(delivery.WhatAuthority).Seq {
		t.Errorf("journal %+v", l)
	}
	x.decide(func(set *server.Settings) { set.Blast = 2 })
	x.refused(upload(2), protocol.RuleBlast) // one has been stranded within the hour
	x.decide(func(set *server.Settings) { set.Blast = -1 })
	x.must(upload(2))
	if l := x.last(delivery.WhatBlast); l.Seq > x.last(delivery.WhatPushCertificate).Seq || !strings.HasPrefix(l.Detail, "2 devices: a push certificate with topic com.apple.mgmt.External.other") {
		t.Errorf("journal %+v", l)
	}
}

// TestHST110Blast: a clock that is set does not begin a new hour, and does not hold the limit until the old time comes again,
// whether the server sees the step or starts after it.
func TestHST110Blast(t *testing.T) {
	for _, tt := range []struct {
		jump time.Duration
		how  string
	}{
		{-365 * day, "seen"}, {365 * day, "seen"}, {-365 * day, "not seen"}, {-365 * day, "while the server was down"},
	} {
		t.Run(fmt.Sprintf("set by %s, %s", tt.jump, tt.how), func(t *testing.T) {
			x := newTenant(t)
			x.decide(func(set *server.Settings) { set.Blast = 2 })
			first, second, third := x.enrolled(1).number, x.enrolled(1).number, x.enrolled(1).number
			wipe := func(d protocol.Device) error {
				_, err := x.Wipe(x.ctx, x.now, boss, []protocol.Device{d}, "", 1)
				return err
			}
			x.must(wipe(first))
			x.now = x.now.Add(2 * time.Hour) // the first is long past
			x.must(wipe(second))
			x.must(wipe(first))
			x.WatchClock(x.ctx, x.now, day)
			x.now = x.now.Add(tt.jump)
			switch tt.how {
			case "seen":
				x.WatchClock(x.ctx, x.now, day)
			case "while the server was down":
				x.reopen()
			}
			for _, wait := range []time.Duration{0, 59 * time.Minute} {
				x.now = x.now.Add(wait)
				err := wipe(third)
				x.refused(err, protocol.RuleBlast)
				if err == nil || !strings.Contains(err.Error(), "of which 2 were already") {
					t.Errorf("%s later: %v", wait, err)
				}
			}
			x.now = x.now.Add(time.Minute)
			x.must(wipe(third))
		})
	}
}

// TestHST071Default is a thousand devices an hour.
func TestHST071Default(t *testing.T) {
	x := newTenant(t)
	var all []protocol.Device
	for i := range 1001 {
		tx, err := x.store.Create(x.ctx, fmt.Sprintf("PLANTED-%d", i))
		x.must(err)
		out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
		out.State.Life, out.State.Platform, out.State.Registered = delivery.Enrolled, protocol.IOS, protocol.Intune
		x.must(tx.Commit(x.now, &out))
		tx.End()
		all = append(all, out.State.Device)
	}
	_, err := x.Wipe(x.ctx, x.now, boss, all, "", len(all))
	x.refused(err, protocol.RuleBlast)
	_, err = x.Wipe(x.ctx, x.now, boss, all[1:], "", len(all)-1)
	x.must(err)
}

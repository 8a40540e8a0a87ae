package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// planted is an Android device in a mode that was never on a wire.
func (x *tenant) planted(mode android.Mode, life delivery.Life) protocol.Device {
	x.Helper()
	x.ids++
	tx, err := x.store.Create(x.ctx, fmt.Sprintf("d-%d", x.ids))
	x.must(err)
	defer tx.End()
	out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core | delivery.FactsToo, Facts: &delivery.Facts{Said: "e-1 " + string(mode)}}
	out.State.Life, out.State.Platform, out.State.Registered = life, protocol.Android, protocol.Intune
	x.must(tx.Commit(x.now, &out))
	return out.State.Device
}

// deleted deletes devices that lose nothing by it.
func (x *tenant) deleted(devices ...protocol.Device) {
	x.Helper()
	_, err := x.Delete(x.ctx, x.now, boss, devices, 0)
	x.must(err)
}

// TestHST071Delete: a deletion that has devices erase themselves wants the number of those, be it one; they count against what an hour may
// do, together with what is wiped, and the journal has it before the first order. What loses nothing needs no number.
func TestHST071Delete(t *testing.T) {
	x := newTenant(t)
	iphone := x.enrolled(1).number
	var resets, all []protocol.Device
	for _, mode := range []android.Mode{android.FullyManaged, android.Dedicated, android.AOSPUserless} {
		resets = append(resets, x.planted(mode, delivery.Enrolled))
	}
	profile, gone := x.planted(android.WorkProfilePersonal, delivery.Enrolled), x.planted(android.Dedicated, delivery.Ended)
	all = append(append(all, resets...), iphone, profile, x.planted(android.WorkProfileCompany, delivery.Enrolled), x.planted(android.AOSPUser, delivery.Enrolled), gone)
	orders := func() (n int) {
		for _, d := range all {
			if r, err := x.store.Record(x.ctx, d); err == nil {
				n += len(r.State.Queue)
			}
		}
		return n
	}
	refused := func(devices []protocol.Device, typed int, says string) {
		t.Helper()
		before, lines := orders(), len(x.journal(delivery.WhatDenied))
		_, err := x.Delete(x.ctx, x.now, boss, devices, typed)
		x.refused(err, protocol.RuleBlast)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
		if denied := x.journal(delivery.WhatDenied); len(denied) != lines+1 || denied[lines].Actor != boss.Name || !strings.HasPrefix(denied[lines].Detail, "delete: ") {
			t.Errorf("journal: %+v", denied[lines:])
		}
		x.equal("orders after a refusal", orders(), before)
	}
	list, err := x.PreviewDelete(x.ctx, all)
	x.must(err)
	for i, d := range list {
		if d.Device != all[i] || d.Erases != (i < len(resets)) || d.Gone != (d.Device == gone) {
			t.Errorf("preview %+v", d)
		}
	}
	x.equal("mode", list[1].Mode, android.Dedicated)
	x.equal("mode of an iPhone", list[3].Mode, android.Mode(""))
	x.equal("orders after a preview", orders(), 0)

	refused(resets[:1], 0, "erases 1 device: say that number")
	refused(all, 0, "erases 3 devices: say that number")
	refused(all, len(all), "erases 3 devices, not 8")
	x.decide(func(set *server.Settings) { set.Blast = 2 })
	refused(all, 3, "touches 3 devices, and in an hour 2 may be, of which 0 were already")
	_, err = x.Delete(x.ctx, x.now, server.Actor{Name: "r", Role: store.Reader}, []protocol.Device{iphone}, 0)
	x.refused(err, protocol.RuleRoles)
	x.equal("orders by a reader", orders(), 0)

	_, err = x.Delete(x.ctx, x.now, boss, resets[:1], 1)
	x.must(err)
	l := x.last(delivery.WhatBlast)
	if l.Actor != boss.Name || l.Detail != "1 devices: about to be deleted, which erases them: "+list[0].ID {
		t.Errorf("journal %+v", l)
	}
	if q := x.last(delivery.WhatQueued); q.Seq < l.Seq || q.Actor != boss.Name || q.Device != resets[0] {
		t.Errorf("order %+v, want it after line %d", q, l.Seq)
	}
	blasts := len(x.journal(delivery.WhatBlast))
	again, err := x.Delete(x.ctx, x.now, boss, resets[:1], 1) // it is told already, and erased once
	x.must(err)
	x.equal("erased, once more", again[0].Erases, true)
	x.equal("lines about deletions, once more", len(x.journal(delivery.WhatBlast)), blasts)
	_, err = x.Wipe(x.ctx, x.now, boss, []protocol.Device{profile}, "", 0)
	x.must(err)
	refused(resets[1:2], 1, "of which 2 were already")
	_, err = x.Wipe(x.ctx, x.now, boss, resets[1:2], "", 0) // one hour for both
	x.refused(err, protocol.RuleBlast)
	x.deleted(iphone, gone) // which erases nothing
	x.equal("life of what was not enrolled", recordLife(x, gone), delivery.Life(0))
	x.later(time.Hour)
	_, err = x.Delete(x.ctx, x.now, boss, resets[1:], 2)
	x.must(err)
}

// recordLife is 0 for a device that has no record.
func recordLife(x *tenant, d protocol.Device) delivery.Life {
	r, err := x.store.Record(x.ctx, d)
	if err != nil {
		return 0
	}
	return r.State.Life
}

// TestHST071Drop: an Android device that would erase itself is not dropped either.
func TestHST071Drop(t *testing.T) {
	x := newTenant(t)
	for _, mode := range android.Modes {
		d := x.planted(mode, delivery.Enrolled)
		_, err := x.Drop(x.ctx, x.now, d)
		r, no := x.store.Record(x.ctx, d)
		x.must(no)
		if mode.Removal() != "" {
			x.must(err)
			x.equal("orders of "+string(mode), len(r.State.Queue), 1)
			continue
		}
		x.refused(err, protocol.RuleRetire)
		x.equal("orders of "+string(mode), len(r.State.Queue), 0)
	}
}

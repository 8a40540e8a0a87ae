package server_test

import (
	"slices"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store/sqlstore"
)

// TestAUTH20Disk: the process ends between the commit of a change and its wake-ups, in the gap, and in the middle of the
// campaign; what is on disk goes on.
func TestAUTH20Disk(t *testing.T) {
	x := empty(t)
	dir := t.TempDir()
	var db *sqlstore.Store
	restart := func() {
		if db != nil {
			x.must(db.Close())
		}
		var err error
		db, err = sqlstore.Open(x.ctx, dir)
		x.must(err)
		x.store, x.cfg.Store = db, db
		x.reopen()
	}
	restart()
	defer func() { db.Close() }()
	x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Intune}, delivery.Settings{}))
	x.upload(topic, 365*day)
	var want []string
	var phones []*phone
	for range 3 {
		p := x.enrolled(0)
		phones = append(phones, p)
		want = append(want, "token of "+p.id)
	}
	x.now = x.now.Add(time.Minute)
	x.set(sccm)
	changed := x.now
	restart()
	n := len(x.since(0))
	x.later(time.Minute)
	x.equal("woken in the gap", x.since(n), []string(nil))
	x.refused(phones[0].ask(), protocol.RulePushGap)
	if w := x.World(); w.Gap != changed || w.Tenant.Epoch != 2 || w.Wakes.From != changed {
		t.Errorf("world after the restart: gap %s, tenant %+v, campaign %+v", w.Gap, w.Tenant, w.Wakes)
	}
	x.renew()
	restart()
	x.now = x.now.Add(time.Second)
	x.tick()
	got := slices.Sorted(slices.Values(x.since(n)))
	x.equal("woken after the upload and a restart", got, want)
	restart()
	n = len(x.since(0))
	x.later(time.Second)
	x.equal("and not again", x.since(n), []string(nil))
	x.must(phones[0].ask())
}

package server_test

import (
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
	"rollcall/server/store/sqlstore"
)

// outdated confirms the adding of Intune with the id of an earlier preview, and returns why that is refused.
func (x *tenant) outdated(id string) string {
	x.Helper()
	_, err := x.SetAuthority(x.ctx, x.now, boss, coexistence, id, 0)
	x.refused(err, protocol.RuleOutdated)
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestHST070NamedAfterRestart: a refused confirmation names the devices that differ, though the server has started since and has
// shown many other previews, in SQLite and in memory; for as long as a preview lives, and then it says that it is too old.
func TestHST070NamedAfterRestart(t *testing.T) {
	for name, open := range map[string]func(t *testing.T, x *tenant){
		"memory": func(*testing.T, *tenant) {},
		"SQLite": func(t *testing.T, x *tenant) {
			db, err := sqlstore.Open(x.ctx, t.TempDir())
			x.must(err)
			t.Cleanup(func() { db.Close() })
			x.store, x.cfg.Store = db, db
			x.reopen()
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := empty(t)
			open(t, x)
			x = bmsOf(x)
			x.must(x.SetUnits(x.ctx, x.now, boss, 10))
			for i := range 3 {
				x.enrolled(delivery.UserID(1 + i%2))
			}
			first, err := x.PreviewAuthority(x.ctx, x.now, coexistence)
			x.must(err)
			for i := range 20 { // others are shown
				x.licences(server.Licence{UPN: "b@example.org", Basic: true, Intune: i%2 == 0})
				x.must(second(x.PreviewAuthority(x.ctx, x.now, coexistence)))
				x.profile(protocol.Intune, "wifi", protocol.WiFi, "org.wifi")
			}
			x.take(server.ProfileRemoval{Authority: protocol.Intune, Name: "wifi"})
			x.licences(server.Licence{UPN: "a@example.org", Basic: true})
			x.reopen()
			want := "2 devices differ: UDID-1 registers anew, held by AUTH-30 (AUTH-16), was: moves to intune, held by AUTH-30 (AUTH-14); UDID-3 registers anew"
			if got := x.outdated(first.ID); !strings.Contains(got, want) {
				t.Errorf("%s\ndoes not say %q", got, want)
			}
			x.now = x.now.Add(store.PreviewLife + time.Second)
			x.must(second(x.PreviewAuthority(x.ctx, x.now, coexistence))) // it makes room
			if got := x.outdated(first.ID); !strings.Contains(got, "which devices differ nobody can say: no preview with this id was shown within 7 days") {
				t.Errorf("%s\ndoes not say that it is too old", got)
			}
		})
	}
}

// TestAUTH35InPlace: setting the authority that is in force already asks for no confirmation, whatever is true of the devices.
func TestAUTH35InPlace(t *testing.T) {
	x := bms(t)
	x.enrolled(1) // it moves, and nothing is assigned in place of what it loses
	x.set(coexistence)
	p, err := x.SetAuthority(x.ctx, x.now, boss, coexistence, "", 0)
	x.must(err)
	if p.Unprotected != 1 || p.Confirm {
		t.Errorf("%d unprotected, confirmation asked %t: want 1 and none", p.Unprotected, p.Confirm)
	}
	if e := x.Content().Tenant.Epoch; e != 2 {
		t.Errorf("epoch %d, want 2", e)
	}
}

// TestAUTH34First: the first certificate of a tenant renews none.
func TestAUTH34First(t *testing.T) {
	x := empty(t)
	x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Intune}, delivery.Settings{}))
	x.must(x.Consent(x.ctx, x.now, server.System, server.ConsentPush))
	for i, first := range []bool{true, false} {
		up, err := x.UploadPush(x.ctx, x.now, x.pem(topic, time.Duration(100+i)*day), "", "", false, 0)
		x.must(err)
		if up.First != first {
			t.Errorf("upload %d: first %t", i+1, up.First)
		}
	}
}

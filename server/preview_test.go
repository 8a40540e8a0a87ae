package server_test

import (
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
)

// entitledPhones is a BMS tenant that needs no renewed push certificate for Intune, with n phones of a user who moves then.
func entitledPhones(t *testing.T, n int) (*tenant, []*phone) {
	x := bms(t)
	x.decide(func(set *server.Settings) { set.Gap.NotOnCoexistence, set.Lifetime = true, 3000*day })
	all := make([]*phone, n)
	for i := range all {
		all[i] = x.enrolled(1)
		all[i].drain()
	}
	return x, all
}

// same previews coexistence, makes it, and previews it once more: the three say the same of the devices (I10).
func (x *tenant) same(what string) *server.Preview {
	x.Helper()
	counts := func(p *server.Preview) [5]int {
		return [...]int{p.Pending, p.Blocked, p.Stranded, p.WouldMove, p.WouldMoveBlocked}
	}
	before := x.set(coexistence)
	x.now = x.now.Add(time.Minute)
	after, err := x.PreviewAuthority(x.ctx, x.now, coexistence)
	x.must(err)
	x.equal(what+": pending, blocked, stranded, moving, held of these", counts(after), counts(before))
	return before
}

// TestI10KeptCertificate: where adding Intune opens no gap, the preview judges devices by the certificate that the tenant keeps,
// as the change does: by its topic (AUTH-32) and by its end (AUTH-33).
func TestI10KeptCertificate(t *testing.T) {
	t.Run("AUTH-32 another topic", func(t *testing.T) {
		x, _ := entitledPhones(t, 4)
		x.must(second(x.UploadPush(x.ctx, x.now, x.pem("com.apple.mgmt.External.other", 500*day), "", "", true, 4)))
		if p := x.same("another topic"); p.Stranded != 4 || p.By[authority.TopicChanged] != 4 || p.WouldMove != 0 || !p.Confirm {
			t.Errorf("%d stranded, %d move, confirm %t", p.Stranded, p.WouldMove, p.Confirm)
		}
	})
	t.Run("AUTH-33 ended", func(t *testing.T) {
		x, _ := entitledPhones(t, 1)
		x.now = x.Content().Latest().NotAfter.Add(day)
		if p := x.same("ended"); p.Blocked != 1 || p.WouldMoveBlocked != 1 || p.Stranded != 0 {
			t.Errorf("%d blocked, %d stranded", p.Blocked, p.Stranded)
		}
	})
	t.Run("AUTH-33 ended beyond the grace", func(t *testing.T) {
		x, _ := entitledPhones(t, 1)
		x.now = x.Content().Latest().NotAfter.Add(31 * day)
		if p := x.same("beyond the grace"); p.By[authority.TopicChanged] != 1 {
			t.Errorf("%d stranded", p.Stranded)
		}
	})
	t.Run("kept", func(t *testing.T) {
		x, phones := entitledPhones(t, 1)
		if p := x.same("kept"); p.WouldMove != 1 || p.Blocked != 0 {
			t.Errorf("%d move, %d blocked", p.WouldMove, p.Blocked)
		}
		if cert := x.Content().Slot(protocol.Intune); cert == nil || cert.Topic != topic {
			t.Errorf("certificate of Intune's slot %+v", cert)
		}
		phones[0].drain()
		phones[0].registered(protocol.Intune, 2)
	})
}

// TestAUTH18SupportPreviewed: a userless device that support has ordered to move is previewed as one that moves, until it has
// (I10); held, where the gap does (AUTH-30).
func TestAUTH18SupportPreviewed(t *testing.T) {
	x := bms(t)
	p := x.enrolled(0)
	x.set(coexistence)
	now := func(what string, moves, blocked, needsSupport, stranded int) *server.Preview {
		t.Helper()
		shown, err := x.PreviewAuthority(x.ctx, x.now, coexistence)
		x.must(err)
		x.equal(what+": moves, held, needs support, stranded", []int{shown.WouldMove, shown.WouldMoveBlocked, shown.NeedsSupport, shown.Stranded}, []int{moves, blocked, needsSupport, stranded})
		return shown
	}
	before := now("before", 0, 0, 1, 1)
	x.must(x.SupportMove(x.ctx, x.now, boss, p.number))
	ordered := now("ordered in the gap", 1, 1, 0, 0)
	if ordered.ID == before.ID {
		t.Error("the order does not change the preview's id")
	}
	if d := ordered.Devices[0]; d.To != protocol.Intune || d.Rule != protocol.RuleUserless || d.Pending {
		t.Errorf("%+v", d)
	}
	x.renew()
	now("ordered", 1, 0, 0, 0)
	p.drain()
	p.registered(protocol.Intune, 2)
	now("moved", 0, 0, 0, 0)
}

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

// TestHST014EnrolmentProfileIsNobodys: a profile with the enrolment profile's identifier would replace it on every device,
// and its removal would end their enrolments.
func TestHST014EnrolmentProfileIsNobodys(t *testing.T) {
	x := newTenant(t)
	err := x.ApplyProfile(x.ctx, x.now, "wifi", protocol.WiFi, server.EnrolmentIdentifier, []byte("v1"), []string{"all"})
	x.refused(err, protocol.RuleNamesake)
	if err == nil || !strings.Contains(err.Error(), "PayloadIdentifier") || len(x.Content().Profiles) != 0 {
		t.Errorf("%v, want a refusal that names the field and keeps nothing", err)
	}
}

// kinds are what a preview does to profiles, as "count effect family rule".
func kinds(p *server.Preview) (all []string) {
	for _, g := range p.Profiles {
		all = append(all, fmt.Sprintf("%d %s %s %s", g.Count, g.Effect, g.Family, g.Rule))
	}
	return all
}

// concerned are the devices that a preview names.
func (x *tenant) concerned(p *server.Preview) (names []string) {
	for i := range p.Devices {
		if n := &p.Devices[i]; n.Concerned() {
			r, err := x.store.Record(x.ctx, n.Device)
			x.must(err)
			names = append(names, r.ID)
		}
	}
	return names
}

func wifi(payload string, groups ...string) server.ProfileChange {
	return server.ProfileChange{Name: "wifi", Family: protocol.WiFi, Identifier: "org.wifi", Payload: []byte(payload), Groups: groups}
}

// TestAUTH35Profiles: a change of profiles is previewed by the code that makes it: which devices get, renew or lose which.
func TestAUTH35Profiles(t *testing.T) {
	x := newTenant(t)
	x.enrolled(1)
	b := x.enrolled(2)
	x.enrolled(0)
	put := func(c server.ProfileChange, want []string, named ...string) {
		t.Helper()
		before := x.Content()
		p, err := x.PreviewProfile(x.ctx, x.now, c)
		x.must(err)
		x.equal("effects", kinds(p), want)
		x.equal("named", x.concerned(p), named)
		x.equal("a preview changes nothing", x.Content() == before, true)
		done, err := x.PutProfile(x.ctx, x.now, boss, c, p.ID)
		x.must(err)
		x.equal("the change does what was previewed (I10)", done, p)
	}
	put(wifi("1", "sales"), []string{"1 installed wifi AUTH-52"}, "UDID-1")
	put(wifi("1", "all"), []string{"2 installed wifi AUTH-52"}, "UDID-1", "UDID-2") // the first has not come for it yet
	b.drain()
	put(wifi("2"), []string{"1 installed wifi AUTH-52", "1 updated wifi AUTH-52"}, "UDID-1", "UDID-2")
	b.drain()
	x.equal("on the device", b.has(), []string{"wifi:intune"})

	// What the device refused for good is not said to come.
	x.now = x.now.Add(time.Minute)
	put(wifi("3"), []string{"1 installed wifi AUTH-52", "1 updated wifi AUTH-52"}, "UDID-1", "UDID-2")
	for range 3 {
		x.must(b.ask())
		x.must(b.says(protocol.CheckIn{Verb: protocol.Report, Command: b.out.Reply.Command.ID, Status: protocol.Failed}, delivery.Message{}))
	}
	put(wifi("3", "sales"), []string{"1 installed wifi AUTH-52"}, "UDID-1")

	take := func(r server.ProfileRemoval, want []string, named ...string) {
		t.Helper()
		before := x.Content()
		p, err := x.PreviewRemoval(x.ctx, x.now, r)
		x.must(err)
		x.equal("effects", kinds(p), want)
		x.equal("named", x.concerned(p), named)
		x.equal("a preview changes nothing", x.Content() == before, true)
		done, err := x.TakeProfile(x.ctx, x.now, boss, r, p.ID)
		x.must(err)
		x.equal("the change does what was previewed (I10)", done, p)
	}
	take(server.ProfileRemoval{Name: "wifi", Groups: []string{"sales"}}, []string{"1 installed wifi AUTH-52"}, "UDID-1")
	take(server.ProfileRemoval{Name: "wifi"}, []string{"1 unassigned wifi AUTH-55"}, "UDID-2")
	_, err := x.PreviewRemoval(x.ctx, x.now, server.ProfileRemoval{Name: "wifi"})
	x.wantErr("what is gone", err, store.ErrNotFound)
	_, err = x.PreviewProfile(x.ctx, x.now, server.ProfileChange{Authority: protocol.Office365, Name: "vpn", Family: protocol.VPN, Identifier: "org.vpn", Payload: []byte("1")})
	x.refused(err, protocol.RuleUnsupportedBMS)
}

// TestHST070Profiles: a preview confirms the same change of the same world, and no other; one that leaves devices without
// profiles wants it (AUTH-35).
func TestHST070Profiles(t *testing.T) {
	x := newTenant(t)
	x.enrolled(1)
	p, err := x.PreviewProfile(x.ctx, x.now, wifi("1", "all"))
	x.must(err)
	for what, other := range map[string]server.ProfileChange{"another document": wifi("2", "all"), "another group": wifi("1", "all", "field")} {
		_, err := x.PutProfile(x.ctx, x.now, boss, other, p.ID)
		x.refused(err, protocol.RuleOutdated)
		x.equal(what+" kept", len(x.Content().Profiles), 0)
	}
	x.enrolled(2)
	now, err := x.PutProfile(x.ctx, x.now, boss, wifi("1", "all"), p.ID)
	x.refused(err, protocol.RuleOutdated)
	if err == nil || !strings.Contains(err.Error(), "1 device differs: UDID-2 is new") || now == nil {
		t.Errorf("%v does not name the difference", err)
	}
	x.must(second(x.PutProfile(x.ctx, x.now, boss, wifi("1", "all"), now.ID)))
	_, err = x.TakeProfile(x.ctx, x.now, server.Actor{Name: "r", Role: store.Reader}, server.ProfileRemoval{Name: "wifi"}, "")
	x.refused(err, protocol.RuleRoles)

	y := bms(t)
	y.enrolled(1) // its user is entitled
	y.profile(protocol.Intune, "mail", protocol.Email, "org.intune.mail")
	y.set(coexistence)
	last := server.ProfileRemoval{Authority: protocol.Intune, Name: "mail"}
	p, err = y.TakeProfile(y.ctx, y.now, boss, last, "")
	y.refused(err, protocol.RulePreview)
	if p == nil || p.Unprotected != 1 || !p.Confirm {
		t.Fatalf("preview %+v", p)
	}
	y.must(second(y.TakeProfile(y.ctx, y.now, boss, last, p.ID)))
	// What makes nothing worse wants none.
	y.must(second(y.PutProfile(y.ctx, y.now, boss, wifi("1", "field"), "")))
}

// TestAUTH26Misnamed: what an old profile is not overwritten by, though it is of its family, is named: in the preview of the
// profile that is made for the authority to come, and in that of the change.
func TestAUTH26Misnamed(t *testing.T) {
	x := newTenant(t)
	x.profile(protocol.Intune, "mail", protocol.Email, "org.mail")
	p := x.enrolled(1)
	post := server.ProfileChange{Authority: protocol.SCCM, Name: "post", Family: protocol.Email, Identifier: "org.post", Payload: []byte("1"), Groups: []string{"all"}}
	said := func(p *server.Preview) (all []string) {
		for _, w := range p.Warnings {
			if w.Rule == protocol.RuleNamesake {
				all = append(all, w.Text)
			}
		}
		return all
	}
	const stays = `"mail" (email) stays on 1 devices beside "post" (email): only a profile of the same name and family overwrites it`
	shown, err := x.PreviewProfile(x.ctx, x.now, post)
	x.must(err)
	x.equal("before the change", said(shown), []string{"once the authority is sccm, " + stays})
	if w := shown.Warnings[0]; w.Rule != "AUTH-38" || !strings.Contains(w.Text, "before the authority is sccm") {
		t.Errorf("warning %+v", w)
	}
	namesake := post
	namesake.Name, namesake.Identifier = "mail", "org.mail"
	shown, err = x.PreviewProfile(x.ctx, x.now, namesake)
	x.must(err)
	x.equal("a namesake", said(shown), []string(nil))
	x.must(second(x.PutProfile(x.ctx, x.now, boss, post, "")))
	change, err := x.PreviewAuthority(x.ctx, x.now, sccm)
	x.must(err)
	x.equal("the change", said(change), []string{stays})
	x.equal("its profiles", kinds(change), []string{"1 redundant email AUTH-27", "1 installed email AUTH-21"})
	x.set(sccm)
	x.renew()
	p.drain()
	x.equal("on the device", p.has(), []string{"mail:intune", "post:sccm"})
	shown, err = x.PreviewProfile(x.ctx, x.now, server.ProfileChange{Name: "post", Groups: []string{"all"}})
	x.must(err)
	x.equal("what is left goes in seven days", kinds(shown), []string{"1 redundant email AUTH-27"})

	// Under coexistence the check-in removes what BMS set, whatever it is called (AUTH-23).
	y := bms(t)
	y.enrolled(1)
	post.Authority = protocol.Intune
	shown, err = y.PreviewProfile(y.ctx, y.now, post)
	y.must(err)
	y.equal("BMS", said(shown), []string{"once the authority is coexistence, a device moves by its user's licence, and at that check-in its profiles of office365 (the tenant has 2) leave it, whatever they are called (AUTH-23): the same name and family matters only where the authority of the tenant itself changes"})
	if w := shown.Warnings[0]; w.Rule != "AUTH-38" || !strings.Contains(w.Text, "before the authority is coexistence") {
		t.Errorf("warning %+v", w)
	}
}

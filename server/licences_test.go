package server_test

import (
	"strings"
	"sync"
	"testing"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// TestHST070Licences: two administrators who change what one user holds at the same time lose nothing of each other's, whoever
// comes first.
func TestHST070Licences(t *testing.T) {
	for range 20 {
		x := bms(t)
		names := []string{"b@example.org"} // holds basic
		var both sync.WaitGroup
		for _, change := range []func(u *authority.User){
			func(u *authority.User) { u.Premium = true },
			func(u *authority.User) { u.BasicLicence = false },
		} {
			both.Go(func() {
				if _, err := x.SetLicencesWith(x.ctx, x.now, boss, names, func(_ int, u *authority.User) { change(u) }, ""); err != nil {
					x.Error(err)
				}
			})
		}
		both.Wait()
		u, _ := x.UserByUPN(names[0])
		x.equal("what is held", u.User, authority.User{Premium: true})
	}
}

// TestAUTH47ManagersStay: whoever is an enrolment manager is one whatever licences change, and the journal says since when.
func TestAUTH47ManagersStay(t *testing.T) {
	x := bms(t)
	put := func(is bool) {
		_, err := x.PutUsersWith(x.ctx, x.now, []string{"b@example.org"}, func(_ int, u *store.User) { u.Manager = is })
		x.must(err)
	}
	put(true)
	x.licences(server.Licence{UPN: "b@example.org", Premium: true})
	u, _ := x.UserByUPN("b@example.org")
	x.equal("what is held", u.User, authority.User{Premium: true, Manager: true})
	put(false)
	var said []string
	for _, what := range []delivery.What{delivery.WhatTenant, delivery.WhatLicences} {
		for _, l := range x.journal(what) {
			if strings.HasPrefix(l.Detail, "b@example.org") {
				said = append(said, string(l.Rule)+" "+l.Detail)
			}
		}
	}
	x.equal("the journal", said, []string{
		"AUTH-47 b@example.org is an enrolment manager", "AUTH-47 b@example.org is no enrolment manager any more", "AUTH-23 b@example.org: premium",
	})
}

// TestHST070LicencesOutdated: an id stands for what the users held when it was shown, too, and the refusal says what they hold by
// now, whether or not anything becomes of a device.
func TestHST070LicencesOutdated(t *testing.T) {
	x := bms(t)
	list := []server.Licence{{UPN: "b@example.org", Basic: true, Intune: true}}
	p, err := x.PreviewLicences(x.ctx, x.now, list)
	x.must(err)
	x.licences(server.Licence{UPN: "b@example.org", Premium: true})
	_, err = x.SetLicences(x.ctx, x.now, boss, list, p.ID)
	x.refused(err, protocol.RuleOutdated)
	if want := "b@example.org holds premium by now, and held basic"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say that %s", err, want)
	}
	x.equal("what is held", func() authority.User { u, _ := x.UserByUPN("b@example.org"); return u.User }(), authority.User{Premium: true})

	// Of many users the first few are named.
	var users []store.User
	var many []server.Licence
	for _, upn := range strings.Split("c d e f g h i", " ") {
		users = append(users, store.User{UPN: upn})
		many = append(many, server.Licence{UPN: upn, Basic: true})
	}
	_, err = x.PutUsers(x.ctx, x.now, users)
	x.must(err)
	p, err = x.PreviewLicences(x.ctx, x.now, many)
	x.must(err)
	x.licences(many...)
	_, err = x.SetLicences(x.ctx, x.now, boss, many, p.ID)
	x.refused(err, protocol.RuleOutdated)
	if !strings.Contains(err.Error(), "g holds basic by now, and held none; and 2 more users hold other licences") {
		t.Errorf("%v", err)
	}
}

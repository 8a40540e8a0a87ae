package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func TestAUTH01Unset(t *testing.T) {
	x := empty(t)
	x.refused(func() error {
		_, err := x.UploadPush(x.ctx, x.now, x.pem(topic, day), "", "", false, 0)
		return err
	}(), protocol.RuleUnset)
	p := x.newPhone(0)
	x.refused(p.enrol(), protocol.RuleUnset)
}

func TestAUTH02SetUp(t *testing.T) {
	for _, tt := range []struct {
		name    string
		tenant  authority.Tenant
		want    protocol.Authority
		release uint16
		refused protocol.Rule
	}{
		{"AUTH-02 a new tenant", authority.Tenant{}, protocol.Intune, 1911, ""},
		{"AUTH-02 of 1911", authority.Tenant{Release: 1911}, protocol.Intune, 1911, ""},
		{"AUTH-02 of 1910", authority.Tenant{Release: 1910}, protocol.Unknown, 1910, ""},
		{"1910, intune chosen", authority.Tenant{Release: 1910, Authority: protocol.Intune}, protocol.Intune, 1910, ""},
		{"office365", authority.Tenant{Authority: protocol.Office365}, protocol.Office365, 1910, ""},
		{"coexistence", authority.Tenant{Authority: protocol.Office365, Coexistence: true}, protocol.Office365, 1910, ""},
		{"AUTH-02 of 2008, office365 chosen", authority.Tenant{Release: 2008, Authority: protocol.Office365}, 0, 0, "AUTH-02"},
		{"AUTH-04 coexistence beside intune", authority.Tenant{Authority: protocol.Intune, Coexistence: true}, 0, 0, "AUTH-04"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := empty(t)
			err := x.SetUp(x.ctx, x.now, tt.tenant, delivery.Settings{Lifetime: 9})
			if tt.refused != "" {
				x.refused(err, tt.refused)
				return
			}
			x.must(err)
			x.reopen()
			got := x.World()
			if got.Tenant.Authority != tt.want || got.Tenant.Release != tt.release || got.Settings.Lifetime != 9 {
				t.Errorf("tenant %+v, want %s of %d", got.Tenant, tt.want, tt.release)
			}
			if set := tt.want != protocol.Unknown; set != (got.Tenant.Epoch == 1) || set != (got.Tenant.ChangedAt == x.now) {
				t.Errorf("tenant %+v, epoch and time of its change", got.Tenant)
			}
		})
	}
}

func TestAUTH04SetUpAgain(t *testing.T) {
	x := newTenant(t)
	x.refused(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Office365, Release: 1910}, delivery.Settings{}), "AUTH-04")
	x.must(x.SetUp(x.ctx, x.now, authority.Tenant{AcceptUserless: true}, delivery.Settings{Renew: 7}))
	if w := x.World(); w.Tenant.Authority != protocol.Intune || w.Tenant.Epoch != 1 || !w.Tenant.AcceptUserless || w.Settings.Renew != 7 {
		t.Errorf("%+v %+v, want other settings and the same authority", w.Tenant, w.Settings)
	}
}

// TestChangeThatIsNotKept: a change that the store refuses, and one that ends with its caller, leave what is in force.
func TestChangeThatIsNotKept(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	disk := &readOnly{Store: x.store}
	x.cfg.Store = disk
	x.reopen()
	world, topics, lines := x.World(), len(x.topics), len(x.journal(delivery.WhatTenant))
	changes := map[string]func() error{
		"authority": func() error {
			return x.SetUp(x.ctx, x.now, authority.Tenant{AcceptUserless: true}, delivery.Settings{Renew: 7})
		},
		"users": func() error {
			_, err := x.PutUsers(x.ctx, x.now, []store.User{{UPN: "new@example.org"}})
			return err
		},
		"profile": func() error {
			return x.ApplyProfile(x.ctx, x.now, "wifi", protocol.WiFi, "org.wifi", []byte("1"), []string{"all"})
		},
		"push certificate": func() error {
			_, err := x.UploadPush(x.ctx, x.now, x.pem(topic, 900*day), "", "", false, 0)
			return err
		},
		"token": func() error { return x.PutToken(x.ctx, x.now, store.Token{Name: "new"}) },
	}
	disk.failing = true
	for what, change := range changes {
		if err := change(); !errors.Is(err, errDisk) {
			t.Errorf("%s: %v, want the store's error", what, err)
		}
		if x.World() != world || len(x.topics) != topics || len(x.journal(delivery.WhatTenant)) != lines {
			t.Fatalf("%s: it is in force, and a restart forgets it", what)
		}
	}
	if _, ok := x.UserByUPN("new@example.org"); ok || len(x.Content().Tokens) != 0 {
		t.Error("a user or a token that nobody has kept")
	}
	if got := p.drain(); len(got) != 0 {
		t.Errorf("the device gets %v", got)
	}
	disk.failing = false
	for what, change := range changes {
		if err := change(); err != nil || x.World() == world {
			t.Errorf("%s, when it can be kept: %v", what, err)
		}
		world = x.World()
	}
}

// readOnly is a store that keeps no change of the catalogue while it is failing.
type readOnly struct {
	store.Store
	failing bool
}

func (r *readOnly) Apply(ctx context.Context, now protocol.Time, c *store.Change) error {
	if r.failing {
		return errDisk
	}
	return r.Store.Apply(ctx, now, c)
}

func TestPutUsers(t *testing.T) {
	x := newTenant(t)
	ids, err := x.PutUsers(x.ctx, x.now, []store.User{{UPN: "C@example.org"}, {UPN: "A@Example.org", Name: "A"}, {UPN: "d@example.org"}, {UPN: "c@example.org"}})
	x.must(err)
	x.equal("ids", ids, []delivery.UserID{3, 1, 4, 3})
	u, ok := x.UserByUPN("a@EXAMPLE.org")
	if !ok || u.ID != 1 || u.Name != "A" || u.Groups != nil {
		t.Errorf("UserByUPN = %+v, %v", u, ok)
	}
	if _, ok := x.UserByUPN("e@example.org"); ok {
		t.Error("a user that does not exist")
	}
}

// TestAUTH23PutUsers: other licences of a user stand in the journal by name, and are refused where devices would move by them.
func TestAUTH23PutUsers(t *testing.T) {
	x := bms(t)
	p := x.enrolled(2)
	put := func(u authority.User) error {
		return second(x.PutUsersWith(x.ctx, x.now, []string{"b@example.org"}, func(_ int, to *store.User) { to.User = u }))
	}
	x.must(put(authority.User{IntuneLicence: true}))
	if l := x.last(delivery.WhatLicences); l.Rule != protocol.RuleLicenceMoves || l.Detail != "b@example.org: intune" {
		t.Errorf("journal %+v", l)
	}
	x.must(put(authority.User{BasicLicence: true}))
	if l := x.last(delivery.WhatLicences); l.Rule != protocol.RuleLicenceLost || l.Detail != "b@example.org: basic" {
		t.Errorf("journal %+v", l)
	}
	if u, _ := x.UserByUPN("b@example.org"); !slices.Equal(u.Groups, []string{"all"}) {
		t.Errorf("user %+v", u)
	}
	x.set(coexistence)
	x.renew()
	content, n := x.Content(), len(x.journal(delivery.WhatLicences))
	x.refused(put(authority.User{IntuneLicence: true, BasicLicence: true}), protocol.RuleLicenceMoves)
	x.refused(put(authority.User{CoManaged: true}), protocol.RuleLicenceMoves)
	if x.Content() != content || len(x.journal(delivery.WhatLicences)) != n {
		t.Error("a refusal changed something")
	}
	p.drain()
	p.registered(protocol.Office365, 2)
	x.must(put(authority.User{Premium: true})) // which moves nothing
	x.must(second(x.PutUsers(x.ctx, x.now, []store.User{{UPN: "new@example.org"}})))
	x.must(second(x.PutUsers(x.ctx, x.now, []store.User{{UPN: "new@example.org", User: authority.User{IntuneLicence: true}}}))) // who has no device
	x.licences(server.Licence{UPN: "b@example.org", Intune: true})
	p.drain()
	p.registered(protocol.Intune, 2)
	x.refused(put(authority.User{}), protocol.RuleLicenceLost)
}

// TestAUTH52WhatWakes: assignments, changes, unassignments and orders wake the devices that they touch, and nothing else does.
func TestAUTH52WhatWakes(t *testing.T) {
	x := newTenant(t)
	a, b := x.enrolled(1), x.enrolled(2)
	x.now = x.now.Add(time.Minute)
	x.tick()
	for _, step := range []struct {
		name  string
		f     func()
		wakes []*phone
	}{
		{"assigned", func() { x.wifi("1", "sales") }, []*phone{a}},
		{"the same again", func() { x.wifi("1", "sales") }, nil},
		{"changed", func() { x.wifi("2") }, []*phone{a}},
		{"assigned to all", func() { x.wifi("2", "all") }, []*phone{b}},
		{"unassigned where it has it twice", func() { x.take(server.ProfileRemoval{Name: "wifi", Groups: []string{"sales"}}) }, nil},
		{"contact details", func() {
			_, err := x.PutUsers(x.ctx, x.now, []store.User{{UPN: "b@example.org", Name: "B", Groups: []string{"all"}, User: authority.User{IntuneLicence: true}}})
			x.must(err)
		}, nil},
		{"moved to another group", func() {
			_, err := x.PutUsers(x.ctx, x.now, []store.User{{UPN: "b@example.org", Groups: []string{"field"}}})
			x.must(err)
		}, []*phone{b}},
		{"removed", func() { x.take(server.ProfileRemoval{Name: "wifi"}) }, []*phone{a}},
		{"ordered", func() {
			_, err := x.Order(x.ctx, x.now, b.number, protocol.Command{Kind: protocol.Restart})
			x.must(err)
		}, []*phone{b}},
		{"AUTH-22: synced", func() {
			_, err := x.Order(x.ctx, x.now, a.number, protocol.Command{})
			x.must(err)
		}, []*phone{a}},
		{"a token", func() { x.must(x.PutToken(x.ctx, x.now, store.Token{Name: "t"})) }, nil},
	} {
		n := len(x.since(0))
		step.f()
		x.now = x.now.Add(time.Second)
		x.tick()
		var want []string
		for _, p := range step.wakes {
			want = append(want, "token of "+p.id)
		}
		x.equal(step.name+": pushes", x.since(n), want)
		a.drain()
		b.drain()
	}
	if len(a.state().Profiles) != 0 || len(b.state().Profiles) != 0 {
		t.Errorf("profiles %+v, %+v are left", a.state().Profiles, b.state().Profiles)
	}
}

func TestApplyProfileRefuses(t *testing.T) {
	x := newTenant(t)
	x.wifi("1", "all")
	apply := func(name string, f protocol.Family, identifier string, payload []byte) error {
		return x.ApplyProfile(x.ctx, x.now, name, f, identifier, payload, nil)
	}
	x.refused(apply("wifi", protocol.WiFi, "org.other", []byte("2")), "AUTH-26")
	x.refused(apply("wifi", protocol.VPN, "org.wifi", []byte("2")), "AUTH-26")
	x.refused(apply("other", protocol.WiFi, "org.wifi", []byte("2")), "AUTH-26")
	x.refused(apply("", protocol.WiFi, "org.x", []byte("2")), "HST-014")
	x.refused(apply("x", protocol.NoFamily, "org.x", []byte("2")), "HST-014")
	x.wantErr("no document of an unknown profile", apply("x", 0, "", nil), store.ErrNotFound)
	take := func(r server.ProfileRemoval) error { return second(x.TakeProfile(x.ctx, x.now, boss, r, "")) }
	x.wantErr("unassigned", take(server.ProfileRemoval{Name: "wifi", Groups: []string{"sales"}}), store.ErrNotFound)
	x.wantErr("removed", take(server.ProfileRemoval{Name: "x"}), store.ErrNotFound)
	x.take(server.ProfileRemoval{Name: "wifi"})
	x.wantErr("removed again", take(server.ProfileRemoval{Name: "wifi"}), store.ErrNotFound)
	x.wifi("3", "all") // and it may come back
	if p := x.Content().Newest(protocol.Intune, "wifi"); p == nil || string(p.Payload) != "3" {
		t.Errorf("newest %+v", p)
	}
}

func TestSetVersionsSurviveARestart(t *testing.T) {
	x := newTenant(t)
	x.wifi("1", "all")
	p := x.enrolled(1)
	before := p.state().Set
	x.reopen()
	if commands := p.drain(); len(commands) != 0 || p.state().Set != before {
		t.Errorf("commands %+v, set %d, was %d", commands, p.state().Set, before)
	}
}

func TestAPL064OrderChecks(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	order := func(c protocol.Command) error {
		_, err := x.Order(x.ctx, x.now, p.number, c)
		return err
	}
	for _, pin := range []string{"12345", "1234567", "abcdef", "１２３４５６"} {
		x.refused(order(protocol.Command{Kind: protocol.Lock, PIN: pin}), "HST-014")
	}
	x.refused(order(protocol.Command{Kind: protocol.InstallProfile, Profile: 1}), "HST-014")
	x.must(order(protocol.Command{Kind: protocol.Lock, PIN: "123456"}))
	x.refused(order(protocol.Command{Kind: protocol.Lock, PIN: "654321"}), "APL-064")
	if _, err := x.Order(x.ctx, x.now, p.number+1, protocol.Command{Kind: protocol.Lock}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("order for nobody = %v", err)
	}
	x.must(order(protocol.Command{Kind: protocol.Retire, Text: delivery.AndDelete}))
	p.drain()
	if p.state().Life != delivery.Ended { // and its record is there
		t.Errorf("life %s", p.state().Life)
	}
}

func TestAUTH53Delete(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	x.deleted(p.number)
	if p.state().Life != delivery.Enrolled {
		t.Fatalf("life %s before the device has heard of it", p.state().Life)
	}
	p.drain()
	if _, err := x.store.Record(x.ctx, p.number); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Record = %v, want none", err)
	}
	if _, err := x.Credential(x.ctx, p.cert); err != nil {
		t.Errorf("Credential = %v", err)
	}
}

func TestAUTH43RecordsAreRemoved(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	p.must(p.says(protocol.CheckIn{Verb: protocol.Leave}, delivery.Message{}))
	end := p.state().Identity.NotAfter
	x.now = end.Add(179 * day)
	q := x.newPhone(1) // alive at that time
	x.upload(topic, 800*day)
	q.must(q.enrol())
	q.must(q.ready("q"))
	x.tick()
	for x.now < end.Add(182*day) {
		if _, err := x.store.Record(x.ctx, p.number); (err == nil) != (x.now < end.Add(180*day)) {
			t.Fatalf("%s after the end of its identity the record is there: %v (I6)", x.now.Sub(end), err == nil)
		}
		x.now = x.next()
		x.tick()
	}
	if len(x.journal(delivery.WhatRecordRemoved)) != 1 || q.state().Life != delivery.Enrolled {
		t.Errorf("journal %+v, want one removal", x.journal(delivery.WhatRecordRemoved))
	}
}

func TestAUTH34APL103Upload(t *testing.T) {
	x := newTenant(t)
	a, b := x.enrolled(1), x.newPhone(1)
	x.now = x.now.Add(300 * day)
	upload := func(pem []byte, confirm bool) error {
		up, err := x.UploadPush(x.ctx, x.now, pem, "", "", confirm, 1)
		if up.OtherTopic && up.Stranded != 1 {
			t.Errorf("%d stranded, want the one that is enrolled (%d, not %s)", up.Stranded, a.number, b.id)
		}
		return err
	}
	other := "com.apple.mgmt.External.other"
	x.refused(upload(x.pem(topic, 30*day), false), protocol.RuleUpload) // ends sooner than the present one
	x.refused(upload(x.pem(other, 365*day), false), protocol.RuleOtherTopic)
	expired, err := certs.MakePush(pushCA(), topic, x.now.Add(-9*day).Time(), x.now.Add(-time.Second).Time())
	x.must(err)
	pem, err := expired.PEM()
	x.must(err)
	x.refused(upload(pem, false), protocol.RuleUpload)
	x.wantErr("no certificate", upload([]byte("nothing"), false), certs.ErrPEM)
	first, err := certs.ReadPush(x.pem(topic, 365*day), "")
	x.must(err)
	second, err := certs.ReadPush(x.pem(topic, 365*day), "")
	x.must(err)
	first.Key = second.Key
	pem, err = first.PEM()
	x.must(err)
	x.wantErr("another certificate's key", upload(pem, false), certs.ErrKeyMismatch)
	key, err := certs.GenerateKey(certs.P256)
	x.must(err)
	plain, err := pushCA().IssueServer([]string{"localhost"}, key.Public(), x.now.Time(), 700*day)
	x.must(err)
	keyPEM, err := certs.KeyPEM(key)
	x.must(err)
	x.wantErr("a certificate without UID", upload(append(certs.CertificatesPEM(plain), keyPEM...), false), certs.ErrPushTopic)
	if w := x.World(); w.Push.Topic != topic || w.Push.NotAfter != start.Add(365*day) {
		t.Errorf("slot %+v: a refused upload did not leave the old one in force", w.Push)
	}
	x.must(upload(x.pem(topic, 365*day), false))
	if cert, warning := x.PushStatus(x.now); cert.NotAfter != x.now.Add(365*day) || warning != 0 || cert.AppleID != "admin@example.org" {
		t.Errorf("status %+v, %d, want the renewed one with the Apple ID of the first", cert, warning)
	}
	x.must(upload(x.pem(other, 366*day), true))
	if w := x.World(); w.Push.Topic != other {
		t.Errorf("slot %+v after the confirmation", w.Push)
	}
}

func TestAUTH45Portals(t *testing.T) {
	x := empty(t)
	x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Office365, Coexistence: true}, delivery.Settings{}))
	x.upload(topic, 365*day)
	_, err := x.PutUsers(x.ctx, x.now, []store.User{
		{UPN: "a", User: authority.User{IntuneLicence: true}}, {UPN: "b", User: authority.User{BasicLicence: true}},
	})
	x.must(err)
	want := map[protocol.Authority][]string{}
	for i := range 20 {
		p := x.enrolled(delivery.UserID(i%2 + 1))
		switch i % 5 {
		case 3: // gone again
			p.must(p.says(protocol.CheckIn{Verb: protocol.Leave}, delivery.Message{}))
			continue
		case 4: // not there yet
			p.certify(store.Grant{Purpose: delivery.ForEnrolment, User: delivery.UserID(i%2 + 1)})
			p.must(p.enrol())
			continue
		}
		who := protocol.Intune
		if i%2 == 1 {
			who = protocol.Office365
		}
		want[who] = append(want[who], p.id)
	}
	got := map[protocol.Authority][]string{}
	for _, a := range []protocol.Authority{protocol.Unknown, protocol.Intune, protocol.SCCM, protocol.Office365} {
		for after := protocol.Device(0); ; {
			page, err := x.Portal(x.ctx, a, after, 3)
			x.must(err)
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				got[a] = append(got[a], r.ID)
			}
			after = page[len(page)-1].State.Device
		}
	}
	x.equal("portals", got, want) // I7: each enrolled device is in one
}

func TestSecret(t *testing.T) {
	x := newTenant(t)
	made := 0
	secret := func() string {
		b, err := x.Secret(x.ctx, x.now, "s", func() ([]byte, error) {
			made++
			return fmt.Appendf(nil, "%d", made), nil
		})
		x.must(err)
		return string(b)
	}
	if first, second := secret(), secret(); first != "1" || second != "1" {
		t.Error("a secret is made twice")
	}
	x.reopen()
	if secret() != "1" {
		t.Error("a secret did not survive a restart")
	}
	_, err := x.Secret(x.ctx, x.now, "t", func() ([]byte, error) { return nil, errDisk })
	x.wantErr("a secret that cannot be made", err, errDisk)
}

func TestSerials(t *testing.T) {
	x := newTenant(t)
	x.must(x.Consent(x.ctx, x.now, server.System, server.ConsentADE))
	x.must(x.PutSerials(x.ctx, x.now, []store.Serial{{Serial: "C2", User: 1, Awaiting: true}, {Serial: "C1"}}))
	if s, ok := x.Serial("C2"); !ok || s.User != 1 || !s.Awaiting {
		t.Errorf("Serial = %+v, %v", s, ok)
	}
	if _, ok := x.Serial("C3"); ok {
		t.Error("a serial number that is not assigned")
	}
}

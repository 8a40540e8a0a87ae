//go:build !agentonly

package main

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/cloud/google"
	"rollcall/fleet/cloud/wns"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/windows"
	"rollcall/server/authority"
	"rollcall/server/push"
	"rollcall/server/store"
)

// TestWIN041WokenThroughWNS: the whole way of a wake-up. A Windows device enrols, opens a channel under the name that its server gave it,
// tells it in a session, and is called for an order within a moment (AUTH-52), by a server that knows nothing of the push service but its
// address and key.
func TestWIN041WokenThroughWNS(t *testing.T) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	const pfn = "Rollcall.Lab_8wekyb3d8bbwe"
	closed := make(chan bool, 10)
	cloud, err := wns.New(wns.Config{
		URL: "https://" + ln.Addr().String(), Apps: []wns.App{{ClientID: "ms-app://s-1-15-2-1", Secret: "the secret", PFN: pfn}},
		Observe: func(p wns.Push) {
			if p.Status == http.StatusGone {
				closed <- true
			}
		},
	})
	must(err)
	life, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cloud.Serve(life, ln) }()
	defer func() {
		stop()
		must(<-done)
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cloud.CA())
	s, err := startServer(ctx, serveConfig{
		Data: t.TempDir(), Clock: realClock{}, Tenant: &authority.Tenant{Authority: protocol.Intune, Release: 2611},
		WNS: &push.WNSIdentity{
			ClientID: "ms-app://s-1-15-2-1", ClientSecret: "the secret", PFN: pfn, TokenURL: cloud.TokenURL(), Scope: push.LiveScope, Hosts: []string{ln.Addr().String()},
		},
		WNSPush: push.Config{Roots: roots},
	})
	must(err)
	defer s.Close()

	now := func() protocol.Time { return protocol.At(time.Now()) }
	users, err := s.Server.PutUsers(ctx, now(), []store.User{{UPN: "ada@example.org", User: authority.User{IntuneLicence: true}}})
	must(err)
	invitation, err := s.Server.Invite(ctx, now(), users[0], protocol.Windows, time.Hour)
	must(err)
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(s.CA)
	l, err := link.New(link.Config{Roots: trust})
	must(err)
	defer l.Close()
	d := dialect.NewWindows(dialect.WindowsWho{Number: 1, Seed: 1, DeviceID: "8090C8B484A0E24EB5C56E806CB4EE5B", Name: "SIM-0001"},
		&dialect.WindowsModel{Manufacturer: "rollcall", Name: "simulated", OSVersion: "10.0.22631.1", Edition: 48}, &dialect.WindowsHabits{})
	_, err = l.EnrolWindows(ctx, d, dialect.WindowsStart{
		Email: "ada@example.org", Discovery: s.URL + windows.DiscoveryPath,
		Credential: windows.Credential{Kind: windows.Password, Username: "ada@example.org", Password: invitation},
	})
	must(err)
	given, _ := d.Push()
	if given != pfn {
		t.Fatalf("the device was given the name %q, want %q", given, pfn)
	}
	channel := cloud.OpenChannel(given, d.DeviceID())
	woken := make(chan wns.Notification, 10)
	cloud.Connect(channel, func(n wns.Notification) { woken <- n })
	d.SetChannel(now(), channel, dialect.PushReady)
	_, err = l.Converse(ctx, d, dialect.Synced)
	must(err)
	number, err := s.Server.Store().Device(ctx, d.DeviceID())
	must(err)
	record, err := s.Server.Store().Record(ctx, number)
	must(err)
	if got := string(record.State.Push.Token); got != channel {
		t.Fatalf("the server knows the channel %q, want %q", got, channel)
	}
	for len(woken) > 0 {
		<-woken // of its enrolment
	}
	_, err = s.Server.Order(ctx, now(), number, protocol.Command{Kind: protocol.DeviceInformation})
	must(err)
	if n := <-woken; n.Type != "wns/raw" || len(n.Payload) == 0 {
		t.Errorf("notification %+v", n)
	}
	r, err := l.Converse(ctx, d, dialect.Pushed)
	if err != nil || r.Commands == 0 {
		t.Errorf("the session after the wake-up: %+v, %v", r, err)
	}

	// A channel that the service has closed is forgotten, and the one that the device opens then is good.
	cloud.CloseChannel(channel)
	_, err = s.Server.Order(ctx, now(), number, protocol.Command{Kind: protocol.DeviceInformation})
	must(err)
	again := cloud.OpenChannel(given, d.DeviceID())
	cloud.Connect(again, func(n wns.Notification) { woken <- n })
	<-closed
	d.SetChannel(now(), again, dialect.PushReady)
	_, err = l.Converse(ctx, d, dialect.Synced)
	must(err)
	_, err = s.Server.Order(ctx, now(), number, protocol.Command{Kind: protocol.DeviceInformation})
	must(err)
	<-woken
}

// TestAND091WokenThroughFCM is the same of an Android device: it is called for an order, however often it was called while it was away it
// hears of it once, and an id that Google refuses is forgotten until it tells another (AND-093).
func TestAND091WokenThroughFCM(t *testing.T) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	answered := make(chan google.Push, 100)
	cloud, err := google.New(google.Config{URL: "https://" + ln.Addr().String(), Observe: func(p google.Push) { answered <- p }})
	must(err)
	key, err := cloud.NewAccount("rollcall-lab")
	must(err)
	account, err := push.ReadServiceAccount(key)
	must(err)
	life, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cloud.Serve(life, ln) }()
	defer func() {
		stop()
		must(<-done)
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cloud.CA())
	s, err := startServer(ctx, serveConfig{
		Data: t.TempDir(), Clock: realClock{}, Tenant: &authority.Tenant{Authority: protocol.Intune, Release: 2611}, Simulated: true,
		FCM: account, FCMPush: push.Config{URL: "https://" + ln.Addr().String(), Roots: roots},
	})
	must(err)
	defer s.Close()

	now := func() protocol.Time { return protocol.At(time.Now()) }
	users, err := s.Server.PutUsers(ctx, now(), []store.User{{UPN: "kim@example.test", User: authority.User{IntuneLicence: true}}})
	must(err)
	token, err := s.Server.InviteAndroid(ctx, now(), users[0], android.FullyManaged, time.Hour)
	must(err)
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(s.CA)
	l, err := link.New(link.Config{Roots: trust})
	must(err)
	defer l.Close()
	d := dialect.NewAndroid(dialect.AndroidWho{Number: 1, Seed: 1, Serial: "S-001", UPN: "kim@example.test"}, androidModel, &dialect.Habits{})
	_, err = l.EnrolAndroid(ctx, d, dialect.AndroidStart{URL: s.URL, Token: token, Mode: android.FullyManaged})
	must(err)
	name, _ := d.Names()
	number, err := s.Server.Store().Device(ctx, name)
	must(err)
	order := func() {
		t.Helper()
		_, err := s.Server.Order(ctx, now(), number, protocol.Command{Kind: protocol.DeviceInformation})
		must(err)
	}
	sent := func(code string) {
		for p := range answered {
			if p.Code == code {
				return
			}
		}
	}
	sent("INVALID_ARGUMENT") // its enrolment's: Google does not know the id that it made up
	d.ChangeToken(now())
	fid := d.Push()
	cloud.RegisterID("rollcall-lab", fid)
	_, err = l.Converse(ctx, d, dialect.Synced)
	must(err)
	sent("") // the wake-up of its enrolment, to the id that it has now
	order()
	sent("") // it is away, and the message kept
	woken := make(chan google.Message, 10)
	cloud.Connect(fid, func(m google.Message) { woken <- m })
	if m := <-woken; m.Data["rollcall"] != "sync" || !m.High || !d.Woken(fid) {
		t.Errorf("message %+v", m)
	}
	if len(woken) != 0 {
		t.Errorf("%d messages more", len(woken))
	}
	if r, err := l.Converse(ctx, d, dialect.Pushed); err != nil || r.Failed != 0 {
		t.Errorf("the check-in after the wake-up: %+v, %v", r, err)
	}
}

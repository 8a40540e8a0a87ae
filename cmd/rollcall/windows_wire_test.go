//go:build !agentonly

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/device"
	"rollcall/server/logs"
	"rollcall/server/store"
	"rollcall/server/store/sqlstore"
)

// A desk is our server for Windows, on a real TLS listener over SQLite, and our Windows device before it: two halves that know each
// other by their messages alone.
type desk struct {
	*testing.T
	core *server.Server
	kept store.Store
	ca   *certs.Authority
	h    *device.Handler
	now  time.Time
	http map[string]*http.Client // by serial number of the certificate
	user delivery.UserID
	log  bytes.Buffer
}

const deskHost = "mdm.example.org"

func newDesk(t *testing.T, a protocol.Authority) *desk {
	ctx := context.Background()
	d := &desk{T: t, now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), http: map[string]*http.Client{}}
	kept, err := sqlstore.Open(ctx, t.TempDir())
	d.must(err)
	t.Cleanup(func() { kept.Close() })
	d.kept = kept
	d.ca, err = certs.NewAuthority(certs.P256, "desk CA", d.now)
	d.must(err)
	d.core, err = server.Open(ctx, d.at(), server.Config{Store: kept})
	d.must(err)
	d.must(d.core.SetUp(ctx, d.at(), authority.Tenant{Authority: a}, delivery.Settings{}))
	users, err := d.core.PutUsers(ctx, d.at(), []store.User{{UPN: "ada@example.org", Groups: []string{"all"}, User: authority.User{BasicLicence: true, IntuneLicence: true}}})
	d.must(err)
	d.user = users[0]
	d.h, err = device.New(device.Config{
		Server: d.core, Enrolment: &device.Enrolment{URL: "https://" + deskHost, Name: "Desk", CA: d.ca}, Windows: &device.Windows{PFN: "Rollcall.Desk_1"},
		Now: func() time.Time { return d.now }, Log: logs.New(&d.log, true),
	})
	d.must(err)
	key, err := certs.GenerateKey(certs.P256)
	d.must(err)
	face, err := d.ca.IssueServer([]string{deskHost}, key.Public(), d.now, 0)
	d.must(err)
	config := d.h.TLSConfig()
	config.Certificates = []tls.Certificate{{Certificate: [][]byte{face.Raw}, PrivateKey: key}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	d.must(err)
	s := device.HTTPServer(d.h, config, logs.New(&d.log, true))
	go s.ServeTLS(listener, "", "")
	t.Cleanup(func() { s.Close() })
	d.http[""] = d.client(listener.Addr().String(), nil)
	t.Cleanup(func() {
		for _, c := range d.http {
			c.CloseIdleConnections()
		}
	})
	return d
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatalf("%v\n%s", err, &d.log)
	}
}

func (d *desk) at() protocol.Time { return protocol.At(d.now) }

func (d *desk) client(addr string, present *tls.Certificate) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(d.ca.Certificate())
	config := &tls.Config{RootCAs: roots, ServerName: deskHost, Time: func() time.Time { return d.now }}
	if present != nil {
		config.Certificates = []tls.Certificate{*present}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}}
}

// play carries out what w wants until it rests, and returns the steps that it took.
func (d *desk) play(w *dialect.Windows, act *dialect.Act) string {
	d.Helper()
	var steps []string
	for n := 0; act.Kind != dialect.Rest; n++ {
		if n > 100 {
			d.Fatal("it does not end")
		}
		switch act.Kind {
		case dialect.MakeRequest:
			key, err := certs.GenerateKey(certs.P256)
			d.must(err)
			old, _ := w.Signer(dialect.Current)
			der, err := act.CSR.Sign(key, old)
			w.GotRequest(d.at(), key, der, err, act)
		case dialect.Send:
			steps = append(steps, act.Request.Step.String())
			w.Answer(d.at(), d.send(w, &act.Request), act)
		default:
			d.Fatalf("act %d", act.Kind)
		}
	}
	if act.Err != nil {
		d.Fatalf("%v after %v\n%s", act.Err, steps, &d.log)
	}
	return strings.Join(steps, " ")
}

func (d *desk) send(w *dialect.Windows, r *dialect.Request) *dialect.Response {
	d.Helper()
	client := d.http[""]
	if r.Identity != dialect.NoIdentity {
		who, err := w.Signer(r.Identity)
		d.must(err)
		name := who.Certificate.SerialNumber.String()
		if d.http[name] == nil {
			addr := client.Transport.(*http.Transport).DialContext
			d.http[name] = d.client("", &tls.Certificate{Certificate: [][]byte{who.Certificate.Raw}, PrivateKey: who.Key})
			d.http[name].Transport.(*http.Transport).DialContext = addr
		}
		client = d.http[name]
	}
	req, err := http.NewRequest(r.Method, r.URL, bytes.NewReader(r.Body))
	d.must(err)
	req.Header.Set("Content-Type", r.ContentType)
	req.Header.Set("User-Agent", r.UserAgent)
	resp, err := client.Do(req)
	if err != nil {
		return &dialect.Response{Err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	d.must(err)
	return &dialect.Response{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: body}
}

// sync has w hold a session.
func (d *desk) sync(w *dialect.Windows) string {
	d.Helper()
	var act dialect.Act
	if !w.Begin(d.at(), dialect.Synced, &act) {
		d.Fatalf("it does not begin: %v", act.Err)
	}
	return d.play(w, &act)
}

func (d *desk) profile(a protocol.Authority, f protocol.Family) {
	d.Helper()
	name := f.String()
	_, err := d.core.PutProfile(context.Background(), d.at(), server.System, server.ProfileChange{
		Authority: a, Name: name, Family: f, Identifier: "org." + name, Payload: apple.EncodeProfile(apple.NewProfile("org."+name, name+" of "+a.String(), f)), Groups: []string{"all"},
	}, "")
	d.must(err)
}

func (d *desk) state(w *dialect.Windows) delivery.State {
	d.Helper()
	n, err := d.kept.Device(context.Background(), w.DeviceID())
	d.must(err)
	r, err := d.kept.Record(context.Background(), n)
	d.must(err)
	return r.State
}

func has(w *dialect.Windows) string {
	var names []string
	for _, p := range w.Profiles() {
		names = append(names, p.Family.String())
	}
	return strings.Join(names, " ")
}

var deskModel = &dialect.WindowsModel{Manufacturer: "rollcall", Name: "simulated", OSVersion: "10.0.22631.1", Edition: 48}

// enrolled is a device that has enrolled by a link of ada's.
func (d *desk) enrolled(habits *dialect.WindowsHabits) *dialect.Windows {
	d.Helper()
	link, err := d.core.Invite(context.Background(), d.at(), d.user, protocol.Windows, time.Hour)
	d.must(err)
	w := dialect.NewWindows(dialect.WindowsWho{
		Number: 1, Seed: 1, DeviceID: "8090C8B484A0E24EB5C56E806CB4EE5B", HWDevID: "4A6F", Serial: "SER1", Name: "SIM-0001", MAC: "02-00-00-00-00-01",
	}, deskModel, habits)
	var act dialect.Act
	d.must(w.Enrol(d.at(), dialect.WindowsStart{
		Email: "ada@example.org", Discovery: "https://" + deskHost + windows.DiscoveryPath,
		Credential: windows.Credential{Kind: windows.Password, Username: "ada@example.org", Password: link},
	}, &act))
	if steps := d.play(w, &act); !strings.HasPrefix(steps, "probe discovery policy certificate") || w.Phase() != agent.Enrolled {
		d.Fatalf("enrolled by %s: %v", steps, w.Phase())
	}
	return w
}

// TestWindowsWirePending: a certificate for which the device has to wait is there when it is, and not before; one for which it has waited in
// vain is asked for anew (windows.md section 11).
func TestWindowsWirePending(t *testing.T) {
	d := newDesk(t, protocol.Intune)
	w := d.enrolled(&dialect.WindowsHabits{IssuesAfter: time.Hour})
	const corp = "./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/corp"
	p := apple.Profile{Identifier: "org.corp", UUID: "A0", Payloads: []apple.Payload{{Identifier: "corp", UUID: "A1", Type: apple.SCEPPayload, SCEP: &apple.SCEP{URL: "https://scep.example/"}}}}
	_, err := d.core.PutProfile(t.Context(), d.at(), server.System, server.ProfileChange{
		Authority: protocol.Intune, Name: "corp", Family: protocol.Certificate, Identifier: "org.corp", Payload: apple.EncodeProfile(&p), Groups: []string{"all"},
	}, "")
	d.must(err)
	stands := func(want delivery.ProfileState, status string) {
		t.Helper()
		d.sync(w)
		has, _ := w.Setting(corp + "/Status")
		if s := d.state(w).Profiles; len(s) != 1 || s[0].State != want || has != status {
			t.Fatalf("the server has %+v, the device Status %s; want %s, %s\n%s", s, has, want, status, &d.log)
		}
	}
	stands(delivery.Installing, "2")
	d.now = d.now.Add(time.Minute)
	stands(delivery.Installing, "2")
	d.now = d.now.Add(2 * time.Minute) // RetryCount is 3, RetryDelay 1
	stands(delivery.InstallFailed, "16")
	w.Share(deskModel, &dialect.WindowsHabits{IssuesAfter: 90 * time.Second})
	d.now = d.now.Add(time.Hour)
	stands(delivery.Installing, "2")
	d.now = d.now.Add(2 * time.Minute)
	stands(delivery.Installed, "1")
}

// TestWindowsWire: our Windows device before our server, from discovery to its farewell: it enrols with an enrolment link, gets its
// profiles, moves to Intune with a change of authority at the end of package 4, renews, is wiped of nothing by a lost answer, and
// leaves by order.
func TestWindowsWire(t *testing.T) {
	ctx := context.Background()
	d := newDesk(t, protocol.Office365)
	d.profile(protocol.Office365, protocol.Email)
	d.profile(protocol.Office365, protocol.Configuration)
	w := d.enrolled(&dialect.WindowsHabits{Doubts: dialect.WindowsDoubts{MissingReplace: true}})
	var act dialect.Act
	w.SignIn(d.at(), dialect.LoginUser)
	d.sync(w)
	if s := d.state(w); s.Life != delivery.Enrolled || s.Registered != protocol.Office365 || len(s.Queue) != 0 {
		t.Fatalf("%+v\n%s", s, &d.log)
	}
	if got := has(w); !strings.Contains(got, "email") || !strings.Contains(got, "configuration") {
		t.Errorf("it has %q", got)
	}
	d.idle(w)

	// Intune takes over.
	for _, f := range protocol.Families {
		d.profile(protocol.Intune, f)
	}
	_, err := d.core.SetAuthority(ctx, d.at(), server.System, authority.Change{Authority: protocol.Intune, Force: true}, "", -1)
	if err != nil { // it wants to see the preview first
		p, planErr := d.core.PreviewAuthority(ctx, d.at(), authority.Change{Authority: protocol.Intune, Force: true})
		d.must(planErr)
		_, err = d.core.SetAuthority(ctx, d.at(), server.System, authority.Change{Authority: protocol.Intune, Force: true}, p.ID, -1)
	}
	d.must(err)
	d.now = d.now.Add(time.Hour)
	d.sync(w)
	s := d.state(w)
	if s.Registered != protocol.Intune || s.Epoch != d.core.World().Tenant.Epoch || w.Epoch() != s.Epoch {
		t.Errorf("registered with %s in epoch %d; the device heard of %d", s.Registered, s.Epoch, w.Epoch())
	}
	for _, a := range s.Profiles {
		if a.State != delivery.Installed {
			t.Errorf("profile %s is %s", d.core.World().Profiles[a.Profile].Name, a.State)
		}
	}
	if c := d.core.World().Compliance(d.at(), &s); !c.Device {
		t.Errorf("it does not comply: %+v", s.Profiles)
	}
	for _, f := range protocol.Families {
		if !strings.Contains(has(w), f.String()) {
			t.Errorf("%s is missing: it has %q\n%s", f, has(w), &d.log)
		}
	}
	d.idle(w)

	// It renews by itself, inside its window, and the old identity ends with the first use of the new one.
	old := w.Identity().Serial
	d.now = w.Identity().NotAfter.Time().Add(-40 * 24 * time.Hour)
	if !w.Begin(d.at(), dialect.Scheduled, &act) {
		t.Fatal("it does not renew")
	}
	if steps := d.play(w, &act); !strings.Contains(steps, "certificate") || w.Identity().Serial == old {
		t.Errorf("renewed by %s", steps)
	}
	d.sync(w)
	if s := d.state(w); s.Rare.Read().Next != (delivery.Identity{}) || s.Identity.NotBefore.Time().Before(d.now.Add(-time.Hour)) {
		t.Errorf("identity %+v, next %+v", s.Identity, s.Rare.Read().Next)
	}

	// And is retired.
	_, err = d.core.Order(ctx, d.at(), s.Device, protocol.Command{Kind: protocol.Retire})
	d.must(err)
	d.sync(w)
	if s := d.state(w); s.Life != delivery.Ended || w.Phase() == agent.Enrolled || has(w) != "" {
		t.Errorf("the server has it as %s, it has itself as %v with %q\n%s", s.Life, w.Phase(), has(w), &d.log)
	}
}

// idle checks that a device which has everything is told nothing but what each session asks.
func (d *desk) idle(w *dialect.Windows) {
	d.Helper()
	before := d.state(w).Seq
	if steps := d.sync(w); strings.Count(steps, "SyncML") != 2 { // the channel is asked for
		d.Errorf("a session with nothing to do took %s", steps)
	}
	if s := d.state(w); s.Seq != before || len(s.Queue) != 0 {
		d.Error(fmt.Errorf("it was given %d commands", s.Seq-before))
	}
}

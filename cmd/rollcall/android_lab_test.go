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
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/device"
	"rollcall/server/store"
	"rollcall/server/store/sqlstore"
)

const androidHost = "https://mdm.example"

// An androidLab is a server on loopback and Android devices of the real core, over real TLS, on a clock that the test moves.
type androidLab struct {
	testing.TB
	core  *server.Server
	store store.Store
	ca    *certs.Authority
	h     *device.Handler
	link  *link.Link
	addr  string
	user  delivery.UserID
	clock atomic.Pointer[time.Time]
	lost  atomic.Pointer[func(dialect.Step) bool] // says which answers are lost on the way
	roots *x509.CertPool
}

// AfterSend and BeforeSend play the network.
func (l *androidLab) BeforeSend(protocol.Device, dialect.Step) bool { return true }

func (l *androidLab) AfterSend(_ protocol.Device, s dialect.Step) bool {
	f := l.lost.Load()
	return f == nil || !(*f)(s)
}

func (l *androidLab) now() time.Time       { return *l.clock.Load() }
func (l *androidLab) pnow() protocol.Time  { return protocol.At(l.now()) }
func (l *androidLab) wait(d time.Duration) { at := l.now().Add(d); l.clock.Store(&at) }
func (l *androidLab) check(err error)      { l.Helper(); fatal(l, err) }
func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
func onMemory(testing.TB) store.Store { return store.NewMemory() }

func onSQLite(t testing.TB) store.Store {
	s, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	fatal(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

var androidStart = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// androidAuthority is one for all tests: making it takes an RSA key.
var androidAuthority = sync.OnceValues(func() (*certs.Authority, error) { return certs.NewAuthority(certs.P256, "test CA", androidStart) })

func newAndroidLab(t testing.TB, open func(testing.TB) store.Store, change ...func(*device.Config, *link.Config)) *androidLab {
	t.Helper()
	return newAndroidLabOf(t, authority.Tenant{Authority: protocol.Intune, Release: 2611, AcceptUserless: true}, open, change...)
}

func newAndroidLabOf(t testing.TB, tenant authority.Tenant, open func(testing.TB) store.Store, change ...func(*device.Config, *link.Config)) *androidLab {
	t.Helper()
	l := &androidLab{TB: t, store: open(t)}
	start := androidStart
	l.clock.Store(&start)
	var err error
	l.ca, err = androidAuthority()
	l.check(err)
	seal, err := certs.NewSeal("orders", start)
	l.check(err)
	l.core, err = server.Open(t.Context(), l.pnow(), server.Config{Store: l.store})
	l.check(err)
	l.check(l.core.SetUp(t.Context(), l.pnow(), tenant, delivery.Settings{}))
	l.check(l.core.Consent(t.Context(), l.pnow(), server.System, server.ConsentAndroid))
	users, err := l.core.PutUsers(t.Context(), l.pnow(), []store.User{
		{UPN: "kim@example.test", Groups: []string{"all"}, User: authority.User{IntuneLicence: true, BasicLicence: true}},
		{UPN: "ann@example.test", Groups: []string{"all"}, User: authority.User{IntuneLicence: true}},
	})
	l.check(err)
	l.user = users[0]
	log := logrus.New()
	log.SetOutput(io.Discard)
	cfg := device.Config{
		Server: l.core, Enrolment: &device.Enrolment{URL: androidHost, Name: "Example", CA: l.ca, Seal: seal}, Now: l.now, Log: log, Android: &device.Android{},
	}
	l.roots = x509.NewCertPool()
	l.roots.AddCert(l.ca.Certificate())
	carries := link.Config{Roots: l.roots, Now: l.now, Faults: l, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.addr)
	}}
	for _, c := range change {
		c(&cfg, &carries)
	}
	l.h, err = device.New(cfg)
	l.check(err)
	key, err := certs.GenerateKey(certs.P256)
	l.check(err)
	face, err := l.ca.IssueServer([]string{"mdm.example"}, key.Public(), start, 5*365*24*time.Hour)
	l.check(err)
	config := l.h.TLSConfig()
	config.Certificates = []tls.Certificate{{Certificate: [][]byte{face.Raw}, PrivateKey: key, Leaf: face}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	l.check(err)
	l.addr = listener.Addr().String()
	s := device.HTTPServer(l.h, config, log)
	go s.ServeTLS(listener, "", "")
	t.Cleanup(func() { s.Close() })
	l.link, err = link.New(carries)
	l.check(err)
	return l
}

var androidModel = &dialect.AndroidModel{
	Brand: "acme", Name: "A1", AndroidVersion: "14", APILevel: 34, AgentVersion: "1.0.0", RAM: 8e9, Storage: 128e9,
	Apps: []android.ApplicationReport{{PackageName: "com.example.mail", VersionCode: 7, State: "INSTALLED"}},
}

// device makes one that has never been managed.
func (l *androidLab) device(n int, mode android.Mode) *dialect.Android {
	return l.deviceOf(n, mode, "kim@example.test")
}

// deviceOf makes one of a user, if its mode has one.
func (l *androidLab) deviceOf(n int, mode android.Mode, upn string) *dialect.Android {
	w := dialect.AndroidWho{Number: protocol.Device(n), Seed: uint64(n), Serial: fmt.Sprintf("S-%03d", n), UPN: upn}
	if mode.Userless() {
		w.UPN = ""
	}
	if mode == android.WorkProfilePersonal {
		w.ESID = fmt.Sprintf("ESID-%03d", n)
	}
	return dialect.NewAndroid(w, androidModel, &dialect.Habits{})
}

// invite makes a token.
func (l *androidLab) invite(mode android.Mode) string {
	l.Helper()
	user := l.user
	if mode.Userless() {
		user = 0
	}
	token, err := l.core.InviteAndroid(l.Context(), l.pnow(), user, mode, time.Hour)
	l.check(err)
	return token
}

// start reads the QR code of a token.
func (l *androidLab) start(token string, mode android.Mode) dialect.AndroidStart {
	l.Helper()
	p, err := l.h.Provisioning(token, mode)
	l.check(err)
	s, err := dialect.AndroidStartOf(android.Append(nil, p))
	l.check(err)
	return s
}

// enrolled makes a device and enrols it.
func (l *androidLab) enrolled(n int, mode android.Mode) *dialect.Android {
	l.Helper()
	d := l.device(n, mode)
	_, err := l.link.EnrolAndroid(l.Context(), d, l.start(l.invite(mode), mode))
	l.check(err)
	return d
}

// talks has d check in.
func (l *androidLab) talks(d *dialect.Android) link.Report {
	l.Helper()
	report, err := l.link.Converse(l.Context(), d, dialect.Synced)
	l.check(err)
	return report
}

// record is what the server knows of d.
func (l *androidLab) record(d *dialect.Android) store.Record {
	l.Helper()
	name, _ := d.Names()
	return l.recordOf(name)
}

func (l *androidLab) recordOf(name string) store.Record {
	l.Helper()
	n, err := l.store.Device(l.Context(), name)
	l.check(err)
	r, err := l.store.Record(l.Context(), n)
	l.check(err)
	return r
}

// assign gives all users a profile of a family.
func (l *androidLab) assign(name string, family protocol.Family, version string) {
	l.Helper()
	p := apple.EncodeProfile(apple.NewProfile("example."+name, version, family))
	l.check(l.core.ApplyProfile(l.Context(), l.pnow(), name, family, "example."+name, p, []string{"all"}))
}

// on are the profiles that the server knows to be on d, by name.
func (l *androidLab) on(d *dialect.Android) (names []string) {
	l.Helper()
	for _, a := range l.record(d).State.Profiles {
		if a.State == delivery.Installed {
			names = append(names, l.core.World().Profiles[a.Profile].Name)
		}
	}
	return names
}

// client makes requests as d, or as nobody.
func (l *androidLab) client(d *dialect.Android) *http.Client {
	config := &tls.Config{RootCAs: l.roots, ServerName: "mdm.example", Time: l.now}
	if d != nil {
		signer, err := d.Signer(dialect.Current)
		l.check(err)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{signer.Certificate.Raw}, PrivateKey: signer.Key}, nil
		}
	}
	transport := &http.Transport{TLSClientConfig: config, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.addr)
	}}
	return &http.Client{Transport: transport}
}

// says sends one request as d, or as nobody, and returns the answer.
func (l *androidLab) says(d *dialect.Android, method, path string, header map[string]string, body []byte) (status int, answer []byte, err error) {
	client := l.client(d)
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(l.Context(), method, androidHost+path, bytes.NewReader(body))
	l.check(err)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// refusal is the reason in an answer.
func refusal(t testing.TB, answer []byte) (reason string, metadata map[string]string) {
	t.Helper()
	var e android.Error
	if err := android.Decode(answer, &e); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	return e.Info()
}

// message is a steady first round of d.
func (l *androidLab) message(d *dialect.Android, checkin string, change ...func(*android.CheckIn)) []byte {
	l.Helper()
	name, _ := d.Names()
	_, version := d.Policy()
	m := android.CheckIn{
		Protocol: 1, CheckIn: checkin, Round: 1, Device: name, Reason: android.ReasonSchedule, Time: l.pnow(), Epoch: d.Epoch(), Compliant: true,
		Applied: android.AppliedPolicy{State: android.Active, PolicyName: "policies/" + name, PolicyVersion: version},
	}
	for _, p := range d.Profiles() {
		m.Applied.Profiles = append(m.Applied.Profiles, android.AppliedProfile{ID: p.Identifier, Version: uint32(p.Content), Status: android.Applied})
	}
	for _, c := range change {
		c(&m)
	}
	return android.Append(nil, &m)
}

func (l *androidLab) is(d *dialect.Android, want agent.Phase) {
	l.Helper()
	if got := d.Phase(); got != want {
		l.Fatalf("phase %s, want %s", got, want)
	}
}

package device

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func fingerprint(c *x509.Certificate) delivery.Fingerprint { return sha256.Sum256(c.Raw) }

func (l *lab) invite() string {
	l.t.Helper()
	token, err := l.core.Invite(context.Background(), l.pnow(), l.user, protocol.NoPlatform, time.Hour)
	if err != nil {
		l.t.Fatal(err)
	}
	return token
}

func (l *lab) get(path string, header http.Header) answer {
	l.t.Helper()
	a, err := l.phoneOf("", certs.Signer{}).do(http.MethodGet, path, header, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return a
}

// open returns the profile inside a signed one.
func (l *lab) open(signed []byte) *apple.Profile {
	l.t.Helper()
	s, err := certs.VerifyAttached(signed, certs.Policy{})
	if err != nil {
		l.t.Fatal(err)
	}
	p, err := apple.DecodeProfile(s.Content)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

func TestAPL001EnrolmentProfile(t *testing.T) {
	l := newLab(t)
	a := l.get("/e/"+l.invite(), http.Header{"Host": {"evil.example"}})
	if a.status != 200 || a.header.Get("Content-Type") != apple.ProfileType {
		t.Fatalf("answered %d %q, want 200 %s", a.status, a.header.Get("Content-Type"), apple.ProfileType)
	}
	p := l.open(a.body)
	mdm, identity, err := p.Enrolment()
	if err != nil {
		t.Fatal(err)
	}
	m, s := mdm.MDM, identity.SCEP
	fp := sha256.Sum256(l.ca.Certificate().Raw)
	for _, tt := range []struct {
		name string
		ok   bool
	}{
		{"topic of the slot", m.Topic == testTopic},
		{"URLs from configuration (HST-024)", m.ServerURL == "https://"+testHost+commandPath && m.CheckInURL == "https://"+testHost+checkInPath},
		{"all rights", m.AccessRights == apple.AllRights},
		{"checks out", m.CheckOutWhenRemoved},
		{"no signatures asked for", !m.SignMessage},
		{"SCEP", s.URL == "https://"+testHost+scepPath && s.Keysize >= 2048 && s.Challenge != ""},
		{"fingerprint of the CA", bytes.Equal(s.CAFingerprint, fp[:])},
		{"identifier", p.Identifier == server.EnrolmentIdentifier},
		{"root first", bytes.Equal(p.Payloads[0].Certificate, l.ca.Certificate().Raw)},
		{"no capabilities of a Mac", m.ServerCapabilities == nil},
	} {
		if !tt.ok {
			t.Errorf("%s: no; MDM %+v, SCEP %+v", tt.name, m, s)
		}
	}
	mac := l.open(l.get("/e/"+l.invite(), http.Header{"User-Agent": {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"}}).body)
	if mdm, _, err := mac.Enrolment(); err != nil || len(mdm.MDM.ServerCapabilities) == 0 || mac.Scope != "System" {
		t.Errorf("a Mac's profile: %+v, scope %q (%v)", mdm, mac.Scope, err)
	}
	l.h.cfg.Enrolment.SignMessage = true
	if mdm, _, _ := l.open(l.get("/apple/enrol?ticket="+l.invite(), nil).body).Enrolment(); !mdm.MDM.SignMessage {
		t.Error("the setting does not ask for signatures")
	}
}

// TestHST024HostHeader: links come from configuration, whatever host a request names.
func TestHST024HostHeader(t *testing.T) {
	l := newLab(t)
	for _, host := range []string{"evil.example", "other.example:8443", "127.0.0.1"} {
		got := l.raw(l.phoneOf("", certs.Signer{}), "GET /e/"+l.invite()+" HTTP/1.1\r\nHost: "+host+"\r\nX-Forwarded-Host: "+host+"\r\nConnection: close\r\n\r\n")
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 200 ") {
			t.Fatalf("Host %s: %.80q", host, head)
		}
		mdm, identity, err := l.open([]byte(body)).Enrolment()
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range []string{mdm.MDM.ServerURL, mdm.MDM.CheckInURL, identity.SCEP.URL} {
			if !strings.HasPrefix(link, "https://"+testHost+"/") {
				t.Errorf("Host %s: link %s", host, link)
			}
		}
	}
}

func TestAPL002SignedProfile(t *testing.T) {
	l := newLab(t)
	s, err := certs.VerifyAttached(l.get("/e/"+l.invite(), nil).body, certs.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(l.ca.Certificate())
	if _, err := s.Signer.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: l.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("the signer's chain: %v", err)
	}
	if len(s.Certificates) < 2 {
		t.Errorf("%d certificates, want the signer's and its CA's", len(s.Certificates))
	}
}

func TestAPL090RenewalProfile(t *testing.T) {
	l := newLab(t)
	e := l.h.cfg.Enrolment
	for _, platform := range []protocol.Platform{protocol.IOS, protocol.IPadOS, protocol.MacOS} {
		signed, err := e.Profile(platform, testTopic, "first challenge", l.now())
		if err != nil {
			t.Fatal(err)
		}
		first := l.open(signed)
		s := &delivery.State{Platform: platform, Push: delivery.Push{Topic: testTopic}}
		again, _ := e.Renewal(context.Background(), l.pnow(), s, "second challenge")
		if twice, _ := e.Renewal(context.Background(), l.pnow(), s, "second challenge"); !bytes.Equal(again, twice) {
			t.Errorf("%s: the same renewal gives other bytes", platform)
		}
		next, err := apple.DecodeProfile(again)
		if err != nil {
			t.Fatal(err)
		}
		old, identity, _ := first.Enrolment()
		mdm, renewed, err := next.Enrolment()
		if err != nil {
			t.Fatal(err)
		}
		if err := old.MDM.CheckUpdate(mdm.MDM); err != nil || next.Identifier != first.Identifier {
			t.Errorf("%s: a device would refuse it: %v", platform, err)
		}
		if renewed.SCEP.Challenge != "second challenge" {
			t.Errorf("%s: challenge %q", platform, renewed.SCEP.Challenge)
		}
		renewed.SCEP.Challenge = identity.SCEP.Challenge
		if !bytes.Equal(apple.EncodeProfile(next), apple.EncodeProfile(first)) {
			t.Errorf("%s: it differs in more than the challenge", platform)
		}
	}
}

// TestHST037OneEnrolmentByLink: mail scanners, previews and a browser's second try open a link before its user does. It brings
// all of them the same challenge, and one device enrols with that.
func TestHST037OneEnrolmentByLink(t *testing.T) {
	l := newLab(t)
	ticket := l.invite()
	nobody := l.phoneOf("", certs.Signer{})
	if a, err := nobody.do(http.MethodHead, "/e/"+ticket, nil, nil); err != nil || a.status != http.StatusMethodNotAllowed {
		t.Errorf("HEAD answered %d (%v), want 405", a.status, err)
	}
	open := func() *apple.Profile {
		t.Helper()
		a := l.get("/e/"+ticket, nil)
		if a.status != 200 {
			t.Fatalf("the link answered %d %q, want 200", a.status, a.body)
		}
		return l.open(a.body)
	}
	scanned := open()
	l.setClock(l.now().Add(59 * time.Minute))
	opened := open()
	if !bytes.Equal(apple.EncodeProfile(scanned), apple.EncodeProfile(opened)) {
		t.Error("opened again, the link brings another profile")
	}
	l.setClock(l.now().Add(59 * time.Minute)) // the link itself is too old now, not what it brought
	late := l.invite()
	p := l.phoneOf(udid(1), l.scepFrom(nil, opened)).enrol()
	if got := l.record(p.id).State.User; got != l.user {
		t.Errorf("enrolled for user %d, want %d", got, l.user)
	}
	if _, err := l.scep(scanned); err == nil {
		t.Error("a second device has a certificate by the same link")
	}
	l.setClock(l.now().Add(-59 * time.Minute))
	for _, path := range []string{"/e/" + ticket, "/e/unknown", "/e/" + strings.Repeat("x", 4096), "/apple/enrol"} {
		if a := l.get(path, nil); a.status != http.StatusNotFound {
			t.Errorf("%.40s answered %d, want 404", path, a.status)
		}
	}
	l.setClock(l.now().Add(3 * time.Hour))
	if a := l.get("/e/"+late, nil); a.status != http.StatusNotFound {
		t.Errorf("an old link answered %d, want 404", a.status)
	}
	lines, err := l.core.Store().Journal(context.Background(), store.LineFilter{What: delivery.WhatRefused}, 100)
	var told []string
	for _, line := range lines {
		told = append(told, fmt.Sprintf("%s %s", line.Rule, line.Detail))
	}
	want := []string{
		"HST-037 certificate for a device of ada@example.org: challenge was used",
		"HST-037 enrolment of somebody at 127.0.0.1: this enrolment link is unknown, used or too old",
		"HST-037 enrolment of somebody at 127.0.0.1: this enrolment link is unknown, used or too old", // in another hour
	}
	if err != nil || !slices.Equal(told, want) {
		t.Errorf("the journal has %q, %v\nwant %q", told, err, want)
	}
}

// Where nobody may enrol, the answer names the rule and the link stays good (HST-044).
func TestAUTH01NobodyEnrols(t *testing.T) {
	kept := store.NewMemory()
	l := newLabOn(t, kept)
	l.setClock(l.now().AddDate(1, 0, 1)) // the push certificate has ended
	again := l.invite()
	if a := l.get("/e/"+again, nil); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(string(a.body), "AUTH-3") {
		t.Errorf("without a push certificate: %d %q, Retry-After %q; want 503, the rule, a time", a.status, a.body, a.header.Get("Retry-After"))
	}
	l.uploadPush(testTopic)
	if a := l.get("/e/"+again, nil); a.status != 200 {
		t.Errorf("the link was used up by a refusal: %d %q", a.status, a.body)
	}
	w := *l.core.World()
	w.Tenant = authority.Tenant{}
	if no := gate(&w, l.user, protocol.IOS, true, l.pnow()); no == nil || no.Rule != protocol.RuleUnset {
		t.Errorf("gate of an unset tenant = %v, want AUTH-01", no)
	}
}

// TestHST044LinkSurvivesARefusal: whatever gate is shut for the link's user, the link is good once it is open.
func TestHST044LinkSurvivesARefusal(t *testing.T) {
	const mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
	for _, tt := range []struct {
		name, query, agent string
		authority          protocol.Authority
		user               authority.User
		rule               string // empty: let in
	}{
		{"AUTH-46 a Mac", "?platform=macos", "", protocol.Office365, authority.User{BasicLicence: true}, "AUTH-46"},
		{"what may be an iPad", "", mac, protocol.Office365, authority.User{BasicLicence: true}, ""},
		{"AUTH-47 no licence", "", "", protocol.Intune, authority.User{}, "AUTH-47"},
		{"a licence", "", "", protocol.Intune, authority.User{IntuneLicence: true}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			w := *l.core.World()
			w.Tenant.Authority, w.Settings.UnitsKnown = tt.authority, true
			w.Users = append([]delivery.User(nil), w.Users...)
			w.Users[l.user].User = tt.user
			req, _ := http.NewRequest(http.MethodGet, "/e/x"+tt.query, nil)
			req.Header.Set("User-Agent", tt.agent)
			p, sure := platformOfBrowser(req)
			no := gate(&w, l.user, p, sure, l.pnow())
			if (no == nil) != (tt.rule == "") || no != nil && string(no.Rule) != tt.rule {
				t.Errorf("gate = %v, want %q", no, tt.rule)
			}
		})
	}
	t.Run("the link", func(t *testing.T) {
		l := newLab(t)
		set := l.core.Content().Settings
		set.UnitsKnown, set.Units = true, 1
		put := func(licensed bool) {
			t.Helper()
			_, err := l.core.PutUsers(context.Background(), l.pnow(), []store.User{{UPN: "ada@example.org", Groups: []string{"all"}, User: authority.User{IntuneLicence: licensed}}})
			if err == nil {
				err = l.core.SetUp(context.Background(), l.pnow(), authority.Tenant{}, set)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		ticket := l.invite()
		put(false)
		for range 3 { // the journal says so once
			if a := l.get("/e/"+ticket, nil); a.status != http.StatusForbidden || !strings.Contains(string(a.body), "AUTH-47") {
				t.Fatalf("without a licence: %d %q, want 403 and AUTH-47", a.status, a.body)
			}
		}
		lines, err := l.core.Store().Journal(context.Background(), store.LineFilter{What: delivery.WhatRefused}, 100)
		if err != nil || len(lines) != 1 || lines[0].Rule != "AUTH-47" || lines[0].Actor != "device" || !strings.HasPrefix(lines[0].Detail, "enrolment of a device of ada@example.org: ") {
			t.Errorf("journal %+v, %v", lines, err)
		}
		put(true)
		if a := l.get("/e/"+ticket, nil); a.status != 200 {
			t.Errorf("the link was used up by the refusal: %d %q", a.status, a.body)
		}
	})
}

var transportKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// scepFrom does what a device does with an enrolment profile: it asks by SCEP for an identity. body is a profile, or
// the command that brings one.
func (l *lab) scepFrom(body []byte, signed *apple.Profile) certs.Signer {
	l.t.Helper()
	p := signed
	if p == nil {
		_, c, err := apple.DecodeCommand(body)
		if err != nil {
			l.t.Fatal(err)
		}
		install, ok := c.(apple.InstallProfile)
		if !ok {
			l.t.Fatalf("got %s, want InstallProfile", c.RequestType())
		}
		if p, err = apple.DecodeProfile(install.Payload); err != nil {
			l.t.Fatal(err)
		}
	}
	who, err := l.scep(p)
	if err != nil {
		l.t.Fatalf("SCEP: %v\n%s", err, l.log)
	}
	return who
}

// scep asks for the identity that p offers.
func (l *lab) scep(p *apple.Profile) (certs.Signer, error) {
	l.t.Helper()
	_, identity, err := p.Enrolment()
	if err != nil {
		l.t.Fatal(err)
	}
	key := newKey()
	transport, err := scep.NewTransport(transportKey(), l.now())
	if err != nil {
		l.t.Fatal(err)
	}
	client, _ := l.client(nil)
	c := scep.Client{URL: identity.SCEP.URL, Name: identity.SCEP.Name, HTTP: client, CAFingerprint: identity.SCEP.CAFingerprint}
	leaf, err := c.Enrol(context.Background(), scep.EnrolRequest{
		Key: key, Transport: transport, Subject: pkix.Name{CommonName: "device"}, Challenge: identity.SCEP.Challenge, Now: l.now(),
	})
	return certs.Signer{Certificate: leaf, Key: key}, err
}

func TestEnrolmentByLink(t *testing.T) {
	l := newLab(t)
	who := l.scepFrom(nil, l.open(l.get("/e/"+l.invite(), nil).body))
	if who.Certificate.Subject.CommonName == "device" {
		t.Error("the CSR chose the subject (HST-039)")
	}
	p := l.phoneOf(udid(1), who).enrol()
	if s := l.record(p.id).State; s.User != l.user || s.Registered != protocol.Intune {
		t.Errorf("enrolled as user %d with %v, want %d with intune", s.User, s.Registered, l.user)
	}
}

// TestHST002SCEPRefusalIsLogged: what is no SCEP at all is answered 400, and one line says so.
func TestHST002SCEPRefusalIsLogged(t *testing.T) {
	l := newLab(t)
	p := l.phoneOf("", certs.Signer{})
	for _, tt := range []struct {
		name, query, body string
		status            int
		rule              string
	}{
		{"no operation", "", "", 400, "HST-002"},
		{"two operations", "?operation=GetCACaps&operation=GetCACert", "", 400, "HST-002"},
		{"unknown operation", "?operation=Sing", "", 400, "HST-002"},
		{"empty", "?operation=PKIOperation", "", 400, "HST-002"},
		{"garbage", "?operation=PKIOperation", "x", 400, "HST-002"},
		{"too large", "?operation=PKIOperation", strings.Repeat("x", 129<<10), 413, "HST-001"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := strings.Count(l.log.String(), tt.rule)
			method := http.MethodPost
			if tt.body == "" && tt.name != "empty" {
				method = http.MethodGet
			}
			a, err := p.do(method, scepPath+tt.query, nil, []byte(tt.body))
			if err != nil || a.status != tt.status {
				t.Errorf("answered %d (%v), want %d", a.status, err, tt.status)
			}
			if n := strings.Count(l.log.String(), tt.rule) - before; n != 1 {
				t.Errorf("%d lines with %s, want one:\n%s", n, tt.rule, l.log)
			}
		})
	}
}

func TestAPL007WrongChallenge(t *testing.T) {
	l := newLab(t)
	p := l.open(l.get("/e/"+l.invite(), nil).body)
	_, identity, _ := p.Enrolment()
	spent := identity.SCEP.Challenge
	l.scepFrom(nil, p)
	transport, err := scep.NewTransport(transportKey(), l.now())
	if err != nil {
		t.Fatal(err)
	}
	client, _ := l.client(nil)
	for name, challenge := range map[string]string{"spent": spent, "unknown": "guess", "empty": ""} {
		c := scep.Client{URL: "https://" + testHost + scepPath, HTTP: client}
		_, err := c.Enrol(context.Background(), scep.EnrolRequest{Key: newKey(), Transport: transport, Challenge: challenge, Now: l.now()})
		if err == nil || !strings.Contains(err.Error(), "not entitled") {
			t.Errorf("a challenge that is %s: %v, want the one refusal", name, err)
		}
	}
	if !l.logged("HST-037", "no certificate") {
		t.Error("the log does not say why")
	}
}

// machine is what a device in Setup Assistant posts, signed by its factory identity.
func machine(t *testing.T, info apple.MachineInfo, factory certs.Signer, now time.Time) []byte {
	t.Helper()
	body, err := certs.SignAttached(apple.EncodeMachineInfo(&info), factory, now)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func factory(t *testing.T, now time.Time) (root *x509.Certificate, s certs.Signer) {
	t.Helper()
	ca, err := certs.NewIssuer("Factory", now)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey()
	leaf, err := ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: "device", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return ca.Certificate(), certs.Signer{Certificate: leaf, Key: key, Chain: []*x509.Certificate{ca.Certificate()}}
}

func TestAPL084MachineInfo(t *testing.T) {
	root, made := factory(t, time.Now())
	_, other := factory(t, time.Now())
	l := newLab(t, func(c *Config) { c.Factory, c.MinimumOS = []*x509.Certificate{root}, "18.0" })
	if err := l.core.PutSerials(context.Background(), l.pnow(), []store.Serial{{Serial: "C0USERLESS"}, {Serial: "C0ADA", User: l.user, Awaiting: true}}); err != nil {
		t.Fatal(err)
	}
	info := apple.MachineInfo{UDID: udid(9), Serial: "C0USERLESS", Product: "iPad13,4", BuildVersion: "22B83", OSVersion: "18.1"}
	nobody := l.phoneOf("", certs.Signer{})
	post := func(body []byte) answer {
		t.Helper()
		a, err := nobody.do(http.MethodPost, "/apple/ade", http.Header{"Content-Type": {"application/pkcs7-signature"}}, body)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	with := func(change func(*apple.MachineInfo)) apple.MachineInfo {
		i := info
		change(&i)
		return i
	}
	for _, tt := range []struct {
		name string
		body []byte
		want int
	}{
		{"another factory", machine(t, info, other, l.now()), 403},
		{"a serial that is not ours", machine(t, with(func(i *apple.MachineInfo) { i.Serial = "C0GUESSED" }), made, l.now()), 403},
		{"no signature", apple.EncodeMachineInfo(&info), 403},
		{"nothing", nil, 403},
		{"no UDID", machine(t, with(func(i *apple.MachineInfo) { i.UDID = "../x" }), made, l.now()), 400},
		{"too long", bytes.Repeat([]byte("x"), maxMachineInfo+1), 413},
		{"old, and cannot update itself", machine(t, with(func(i *apple.MachineInfo) { i.OSVersion = "17.6" }), made, l.now()), 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := post(tt.body); a.status != tt.want {
				t.Errorf("answered %d %q, want %d\n%s", a.status, a.body, tt.want, l.log)
			}
		})
	}
	t.Run("APL-085 old, and can", func(t *testing.T) {
		a := post(machine(t, with(func(i *apple.MachineInfo) { i.OSVersion, i.CanRequestSoftwareUpdate = "17.6.1", true }), made, l.now()))
		no, err := apple.DecodeForbidden(a.header.Get("Content-Type"), a.body)
		if a.status != 403 || err != nil || no.Code != apple.SoftwareUpdateRequired || no.Details.OSVersion != "18.0" {
			t.Errorf("answered %d %q (%v)", a.status, a.body, err)
		}
	})
	t.Run("APL-087 userless", func(t *testing.T) {
		who := l.scepFrom(nil, l.open(post(machine(t, info, made, l.now())).body))
		thief := l.phoneOf(udid(8), who)
		if a := thief.send(thief.authenticate()); a.status != 400 {
			t.Errorf("another device with its certificate answered %d, want 400 (HST-042)", a.status)
		}
		p := l.phoneOf(info.UDID, who)
		hello := p.authenticate()
		hello.SerialNumber, hello.ProductName = info.Serial, info.Product
		for _, m := range []apple.Message{hello, p.tokenUpdate()} {
			if a := p.send(m); a.status != 200 {
				t.Fatalf("%s answered %d %q\n%s", m.MessageType, a.status, a.body, l.log)
			}
		}
		if s := l.record(info.UDID).State; s.User != 0 || !s.Automated {
			t.Errorf("user %d, automated %v; want a userless ADE device", s.User, s.Automated)
		}
	})
	t.Run("with a user", func(t *testing.T) {
		i := with(func(i *apple.MachineInfo) { i.UDID, i.Serial = udid(7), "C0ADA" })
		p := l.phoneOf(i.UDID, l.scepFrom(nil, l.open(post(machine(t, i, made, l.now())).body)))
		hello := p.authenticate()
		hello.SerialNumber = i.Serial
		p.send(hello)
		if s := l.record(i.UDID).State; s.User != l.user || !s.Automated {
			t.Errorf("user %d, automated %v; want Ada's ADE device", s.User, s.Automated)
		}
	})
}

func TestHST068NoSecretsInTheLog(t *testing.T) {
	l := newLab(t, func(c *Config) { c.SignMessage = true })
	l.h.cfg.Log.SetLevel(6) // whatever there is
	ticket := l.invite()
	profile := l.open(l.get("/e/"+ticket, nil).body)
	_, identity, _ := profile.Enrolment()
	l.get("/e/"+ticket, nil)
	p := l.phoneOf(udid(1), l.scepFrom(nil, profile)).enrol()
	update := p.tokenUpdate()
	update.UnlockToken, update.PushMagic = []byte("unlock secret"), "magic secret"
	body := encode(update)
	p.put(checkInPath, apple.CheckInType, body[:len(body)-20])                            // malformed: the body is logged
	p.put(checkInPath, apple.CheckInType, bytes.ReplaceAll(body, []byte("</data>"), nil)) // and one whose data does not end
	p.put(checkInPath, apple.CheckInType, bytes.Replace(encode(apple.Message{MessageType: apple.SetBootstrapToken, UDID: p.id, BootstrapToken: []byte("bootstrap secret")}), []byte("</dict>"), nil, 1))
	log := l.log.String()
	for name, secret := range map[string]string{
		"the link": ticket, "the challenge": identity.SCEP.Challenge, "the unlock token": "unlock secret", "PushMagic": "magic secret",
		"the bootstrap token": "bootstrap secret", "the push token": string(update.Token),
	} {
		if strings.Contains(log, secret) || strings.Contains(log, base64.StdEncoding.EncodeToString([]byte(secret))) {
			t.Errorf("%s is in the log", name)
		}
	}
	if !strings.Contains(log, "TokenUpdate") {
		t.Error("the malformed body is not in the log at all")
	}
	if strings.Contains(log, "PRIVATE KEY") {
		t.Error("a key is in the log")
	}
}

// TestAPL001NoProfileThatDevicesRefuse: a server that could only hand out profiles that no device installs says so instead.
func TestAPL001NoProfileThatDevicesRefuse(t *testing.T) {
	l := newLab(t)
	good := *l.h.cfg.Enrolment
	if _, err := good.Profile(protocol.IOS, testTopic, "challenge", l.now()); err != nil {
		t.Fatal(err)
	}
	plain := good
	plain.URL = "http://mdm.example.org"
	for name, tt := range map[string]struct {
		e     *Enrolment
		topic string
	}{"a link without TLS": {&plain, testTopic}, "the topic of an app": {&good, "com.example.app"}, "no topic": {&good, ""}} {
		if p, err := tt.e.Profile(protocol.IOS, tt.topic, "challenge", l.now()); err == nil || p != nil {
			t.Errorf("%s: %d bytes of profile, %v; want an error", name, len(p), err)
		}
	}
}

package device

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A ppkg is a provisioning package as a machine has it: the bootstrap certificate and its key.
type ppkg struct {
	cert []byte
	key  crypto.Signer
}

// newPackage makes a package for so many machines, good for a day.
func (l *lab) newPackage(name string, most int) *ppkg {
	l.t.Helper()
	key := transportKey()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		l.t.Fatal(err)
	}
	l.must(l.core.PutPackage(context.Background(), l.pnow(), server.System, store.Package{
		Name: name, Certificate: sha256.Sum256(der), Most: most, Made: l.pnow(), Ends: l.pnow().Add(24 * time.Hour),
	}))
	return &ppkg{der, key}
}

// signed is a request of p's by a package, with a Timestamp from then on for so long.
func (p *pc) signed(b *ppkg, path string, body windows.Body, from time.Time, long time.Duration) []byte {
	p.lab.t.Helper()
	raw, err := windows.SignEnvelope(nil, &windows.Envelope{Header: windows.Header{
		MessageID: "urn:uuid:" + p.id, To: "https://" + testHost + path, Created: from, Expires: from.Add(long),
		Credential: windows.Credential{Kind: windows.X509, Token: b.cert},
	}, Body: body}, b.key)
	if err != nil {
		p.lab.t.Fatal(err)
	}
	return raw
}

func (p *pc) packaged(b *ppkg) []byte {
	return p.signed(b, windows.EnrollmentPath, p.rst(windows.EnrollmentDevice, csr(p.lab.t, p.key)), p.lab.now(), 5*time.Minute)
}

// unpacks enrols p by a request that a package signed; 0: it did.
func (p *pc) unpacks(raw []byte) windows.HRESULT {
	p.lab.t.Helper()
	given, code := p.certified(raw)
	if code == 0 {
		p.given = given
		p.wears(given.Client, p.key)
		p.sync()
	}
	return code
}

func (p *pc) certified(raw []byte) (*windows.Provisioning, windows.HRESULT) {
	p.lab.t.Helper()
	_, e := p.postRaw(windows.EnrollmentPath, raw)
	if f, ok := e.Body.(*windows.Fault); ok {
		return nil, f.HRESULT()
	}
	d, err := windows.DecodeDocument(e.Body.(*windows.RequestSecurityTokenResponse).Document)
	if err != nil {
		p.lab.t.Fatal(err)
	}
	given, err := windows.ReadProvisioning(d)
	if err != nil {
		p.lab.t.Fatal(err)
	}
	return given, 0
}

// journalled tells whether the journal has a line with all of these in it.
func (l *lab) journalled(words ...string) bool {
	l.t.Helper()
	lines, err := l.store.Journal(context.Background(), store.LineFilter{}, 1000)
	l.must(err)
next:
	for _, line := range lines {
		for _, w := range words {
			if !strings.Contains(string(line.What)+" "+string(line.Rule)+" "+line.Detail, w) {
				continue next
			}
		}
		return true
	}
	return false
}

// TestWIN067Package: a machine with a package enrols for nobody, into My/System, and the journal says by which package.
func TestWIN067Package(t *testing.T) {
	l := newWindowsLab(t)
	b, p := l.newPackage("office", 2), l.pc(pcID(1))
	p.login = windows.LoginNone
	if _, e := p.postRaw(windows.PolicyPath, p.signed(b, windows.PolicyPath, &windows.GetPolicies{}, l.now(), time.Minute)); e.Body.(*windows.GetPoliciesResponse).Policy.Schema != 3 {
		t.Fatalf("%+v", e.Body)
	}
	if code := p.unpacks(p.packaged(b)); code != 0 {
		t.Fatalf("%v\n%s", code, l.log)
	}
	s := p.state()
	if s.Life != delivery.Enrolled || s.User != 0 || p.given.Store != windows.StoreSystem || !p.given.DMClient.SkipUserStatus || p.given.DMClient.UPN != "" {
		t.Errorf("%s, user %d, My/%s, %+v", s.Life, s.User, p.given.Store, p.given.DMClient)
	}
	if !l.journalled("WIN-067", "office", p.hardware, p.id, "1 of 2") || !l.journalled("office made", "2 machines") {
		t.Error("the journal does not tell of the package")
	}
}

// TestWIN067PackageLimits: a package is good for so many machines, until it ends or is revoked, and each no is a fault of the table and a
// line of the journal. Whoever is refused takes no place.
func TestWIN067PackageLimits(t *testing.T) {
	l := newWindowsLab(t)
	b, other := l.newPackage("office", 2), l.newPackage("other", 1)
	enrol := func(n int) windows.HRESULT { p := l.pc(pcID(n)); return p.unpacks(p.packaged(b)) }
	places := func(want int) {
		t.Helper()
		if got := len(l.core.Content().Admitted("office")); got != want {
			t.Errorf("%d machines are counted, want %d", got, want)
		}
	}
	if code := enrol(1); code != 0 {
		t.Fatalf("%v\n%s", code, l.log)
	}
	places(1)

	// A request whose gates are closed, and one whose key is weak, take nothing.
	weak := l.pc(pcID(7))
	if code := weak.unpacks(weak.signed(b, windows.EnrollmentPath, weak.rst(windows.EnrollmentDevice, []byte{0x30, 0}), l.now(), time.Minute)); code != windows.ECertificateRequest {
		t.Errorf("a request that is none: %v", code)
	}
	places(1)
	nameless := l.pc(pcID(8))
	nameless.hardware = ""
	if code := nameless.unpacks(nameless.packaged(b)); code != windows.EMessageFormat {
		t.Errorf("a machine without HWDevID: %v", code)
	}
	places(1)

	if code := enrol(2); code != 0 {
		t.Fatalf("%v\n%s", code, l.log)
	}
	if code := enrol(3); code != windows.EDeviceCapReached || !l.journalled("WIN-067", "package office", server.ErrPackageFull.Error()) {
		t.Errorf("a third machine: %v", code)
	}
	if p := l.pc(pcID(4)); p.unpacks(p.packaged(other)) != 0 {
		t.Error("another package has its own count")
	}
	places(2)

	l.must(l.core.RevokePackage(context.Background(), l.pnow(), server.System, "other"))
	if p := l.pc(pcID(5)); p.unpacks(p.packaged(other)) != windows.EAuthentication || !l.journalled("WIN-067", "package other", server.ErrPackageRevoked.Error()) {
		t.Error("a revoked package admits a machine, or the journal does not say so")
	}
	late := l.newPackage("late", 5)
	l.setClock(l.now().Add(24 * time.Hour))
	p := l.pc(pcID(6))
	if code := p.unpacks(p.packaged(late)); code != windows.EAuthentication || !l.journalled("WIN-067", "package late", server.ErrPackageEnded.Error()) {
		t.Errorf("a package that ended: %v", code)
	}
	if code := p.unpacks(p.packaged(&ppkg{certOf(t), transportKey()})); code != windows.EAuthentication {
		t.Errorf("a certificate of no package: %v", code)
	}
	if _, err := l.core.Store().Device(context.Background(), p.id); err == nil {
		t.Error("a refused machine left a record (WIN-023)")
	}
}

func certOf(t *testing.T) []byte {
	t.Helper()
	key := transportKey()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestWIN024PackageMachine: a machine has one place and one enrolment by its package, by its HWDevID: set up anew it takes the place of
// what it was. What a user enrolled, a package ends for nobody.
func TestWIN024PackageMachine(t *testing.T) {
	l := newWindowsLab(t)
	b, old, again := l.newPackage("office", 1), l.pc(pcID(1)), l.pc(pcID(2))
	again.hardware = old.hardware
	for i, p := range []*pc{old, again} {
		if code := p.unpacks(p.packaged(b)); code != 0 {
			t.Fatalf("%d: %v\n%s", i, code, l.log)
		}
	}
	if s := old.state(); s.Life != delivery.Ended {
		t.Errorf("the old enrolment is %s", s.Life)
	}
	if s := again.state(); s.Life != delivery.Enrolled {
		t.Errorf("the new enrolment is %s", s.Life)
	}
	if n := len(l.core.Content().Admitted("office")); n != 1 {
		t.Errorf("%d machines are counted, want 1", n)
	}
	adas, thief, wide := l.pc(pcID(3)).enrol(), l.pc(pcID(4)), l.newPackage("wide", 9)
	thief.hardware = adas.hardware
	if code := thief.unpacks(thief.packaged(wide)); code != 0 || adas.state().Life != delivery.Enrolled {
		t.Errorf("%v, and the user's device is %s", code, adas.state().Life)
	}
}

// TestHST041PackageReplayed: a request whose answer was lost gets the same again; one that comes again later, or is old, or is good for too
// long, gets nothing and changes nothing.
func TestHST041PackageReplayed(t *testing.T) {
	l := newWindowsLab(t)
	b, p := l.newPackage("office", 4), l.pc(pcID(1))
	raw := p.packaged(b)
	first, code := p.certified(raw)
	second, again := p.certified(raw)
	if code != 0 || again != 0 || !bytes.Equal(first.Client, second.Client) {
		t.Fatalf("%v, then %v: the same request gets the same certificate\n%s", code, again, l.log)
	}
	p.wears(second.Client, p.key)
	p.sync()
	before := p.state()
	if _, code := l.pc(p.id).certified(raw); code == 0 || p.state().Life != delivery.Enrolled || p.state().Identity != before.Identity {
		t.Errorf("a replay: %v; the device is %s", code, p.state().Life)
	}
	for _, tt := range []struct {
		name string
		from time.Duration
		long time.Duration
		want windows.HRESULT
	}{
		{"an old one", -15 * time.Minute, 5 * time.Minute, windows.EAuthentication},
		{"one of the future", 10 * time.Minute, 5 * time.Minute, windows.EAuthentication},
		{"one good for too long", 0, longestSigned + time.Millisecond, windows.EAuthentication},
		{"one that ends before it begins", 2 * time.Minute, -3 * time.Minute, windows.EAuthentication},
		{"the longest", 0, longestSigned, 0},
		{"a clock somewhat behind", -9 * time.Minute, 5 * time.Minute, 0},
		{"a clock somewhat ahead", 4 * time.Minute, 5 * time.Minute, 0},
	} {
		fresh := l.pc(pcID(len(tt.name)))
		if code := fresh.unpacks(fresh.signed(b, windows.EnrollmentPath, fresh.rst(windows.EnrollmentDevice, csr(t, fresh.key)), l.now().Add(tt.from), tt.long)); code != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, code, tt.want)
		}
	}
}

// TestHST041PackageReplayedLater: the request of a machine that was set up anew, or has left, brings nothing of it back.
func TestHST041PackageReplayedLater(t *testing.T) {
	l := newWindowsLab(t)
	b, old, again := l.newPackage("office", 3), l.pc(pcID(1)), l.pc(pcID(2))
	again.hardware = old.hardware
	raw, later := old.packaged(b), again.packaged(b)
	for _, code := range []windows.HRESULT{old.unpacks(raw), again.unpacks(later)} {
		if code != 0 {
			t.Fatalf("%v\n%s", code, l.log)
		}
	}
	replayed := func(p *pc, raw []byte, want delivery.Life) {
		t.Helper()
		if _, code := p.certified(raw); code != windows.EAuthentication || !l.journalled("HST-041", "package office", server.ErrReplayed.Error()) {
			t.Errorf("%v", code)
		}
		if o, a := old.state().Life, again.state().Life; o != delivery.Ended || a != want {
			t.Errorf("the machine is %s as it was and %s as it is, want %s and %s", o, a, delivery.Ended, want)
		}
	}
	replayed(old, raw, delivery.Enrolled)
	l.order(again.id, protocol.Retire)
	again.must(again.begin())
	again.must(again.begin(leaving))
	replayed(again, later, delivery.Ended)
}

// TestHST018PackageSignature: a signature that is refused is the protocol's fault, and the request is in the journal and nowhere else.
func TestHST018PackageSignature(t *testing.T) {
	l := newWindowsLab(t)
	b, p := l.newPackage("office", 3), l.pc(pcID(1))
	raw := bytes.Replace(p.packaged(b), []byte(p.hardware), []byte("another machine"), 1)
	if code := p.unpacks(raw); code != windows.EInvalidSecurity || !l.journalled(string(delivery.WhatRefused), "HST-018") {
		t.Errorf("%v", code)
	}
	if n := len(l.core.Content().Admitted("office")); n != 0 {
		t.Errorf("%d machines are counted", n)
	}
	// A certificate without a signature is a token like any other, which nobody made.
	unsigned := windows.Header{Credential: windows.Credential{Kind: windows.UserToken, Token: b.cert}}
	if _, f := p.ask(unsigned, p.rst(windows.EnrollmentDevice, csr(t, p.key))); f == nil || f.HRESULT() != windows.EAuthentication {
		t.Errorf("a certificate alone: %v", f)
	}
}

// TestAUTH47Package: the gates stand before a package's count, for a device without a user.
func TestAUTH47Package(t *testing.T) {
	l := newWindowsLab(t)
	b, p := l.newPackage("office", 3), l.pc(pcID(1))
	l.must(l.core.ChangeSettings(context.Background(), l.pnow(), server.System, "", func(s *server.Settings) { s.Licences = delivery.Always }))
	if code := p.unpacks(p.packaged(b)); code == 0 || len(l.core.Content().Admitted("office")) != 0 {
		t.Errorf("%v, %d machines are counted", code, len(l.core.Content().Admitted("office")))
	}
}

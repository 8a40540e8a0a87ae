package device

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/delivery"
)

// TestAND081SilentRenewal: a device that renewed, and never said another word under its old identity, is not asked once more under the new
// one, by which it would be too early.
func TestAND081SilentRenewal(t *testing.T) {
	const id = "d-1"
	l := newDroidLab(t)
	old, steady := l.android(id)
	var began, next android.CheckInAnswer
	l.setClock(l.now().Add(330 * 24 * time.Hour))
	a, err := old.do(http.MethodPost, android.CheckInPath, nil, steady)
	l.must(err)
	if err := android.Decode(a.body, &began); err != nil || began.Renew == nil {
		t.Fatalf("not asked to renew: %d %s", a.status, a.body)
	}
	key := newKey()
	csr, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: old.who.Certificate.Subject.CommonName}}, key)
	l.must(err)
	a, err = old.do(http.MethodPost, android.ESTPath+"/simplereenroll", http.Header{"Content-Type": {"application/pkcs10"}}, []byte(base64.StdEncoding.EncodeToString(csr)))
	l.must(err)
	der, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(a.body)))
	l.must(err)
	leaf, err := certs.ParseDegenerate(der)
	l.must(err)

	l.setClock(l.now().Add(24 * time.Hour))
	fresh := l.phoneOf(id, certs.Signer{Certificate: leaf[0], Key: key})
	a, err = fresh.do(http.MethodPost, android.CheckInPath, nil, bytes.Replace(steady, []byte("c-0000000000000002"), []byte("c-0000000000000003"), 1))
	l.must(err)
	if err := android.Decode(a.body, &next); err != nil || next.Renew != nil {
		t.Errorf("asked again under its new identity: %d %s", a.status, a.body)
	}
	st := l.record(id).State
	if st.Identity.NotAfter != protocol.At(leaf[0].NotAfter) || slices.ContainsFunc(st.Queue, func(q delivery.Queued) bool { return q.Kind == protocol.RenewIdentity }) {
		t.Errorf("its identity is %+v, its orders are %+v", st.Identity, st.Queue)
	}
	if a, err := old.do(http.MethodPost, android.CheckInPath, nil, steady); err == nil && a.status == 200 {
		t.Errorf("the old identity still counts: %s", a.body)
	}
}

// TestHST037ESTSubject: a challenge is bound to the subject too: a request that names another device, or none, gets no certificate and does
// not use it up.
func TestHST037ESTSubject(t *testing.T) {
	l := newDroidLab(t)
	device, ask := l.takesIn()
	for _, tt := range []struct {
		name string
		want int
	}{{"d-ffff", 403}, {"", 403}, {device, 200}} {
		if w := ask(l.request(tt.name)); w.Code != tt.want {
			t.Errorf("CN=%s is answered %d %s, want %d", tt.name, w.Code, w.Body, tt.want)
		}
	}
}

// TestHST037ESTRate: one challenge is tried so often and no more, from wherever: a guess of its key costs time. It is not used up, and others
// are not concerned.
func TestHST037ESTRate(t *testing.T) {
	l := newDroidLab(t)
	device, ask := l.takesIn()
	now := l.limited(1000)
	csr := l.request("d-ffff")
	codes := map[int]int{}
	for range tokenBurst + 5 {
		codes[ask(csr).Code]++
	}
	if codes[403] != tokenBurst || codes[503] != 5 {
		t.Errorf("answered %v, want %d looked at and 5 told to come again", codes, tokenBurst)
	}
	if w := l.from("192.0.2.7:1", http.MethodPost, android.ESTPath+"/simpleenroll", csr, "Authorization", "Basic eDp5", "Content-Type", "application/pkcs10"); w.Code != 403 {
		t.Errorf("by another challenge answered %d %s", w.Code, w.Body)
	}
	*now = now.Add(time.Minute)
	if w := ask(l.request(device)); w.Code != 200 {
		t.Errorf("in the end its own request is answered %d %s", w.Code, w.Body)
	}
}

// A request for a certificate that comes again gets the certificate of the first time; another one by the same challenge none (HST-041).
func TestHST041ESTReplay(t *testing.T) {
	l := newDroidLab(t)
	device, ask := l.takesIn()
	csr := l.request(device)
	first := ask(csr)
	again, other := ask(csr), ask(l.request(device))
	if first.Code != 200 || again.Code != 200 || again.Body.String() != first.Body.String() || other.Code != 403 {
		t.Errorf("answered %d, again %d (the same: %t), for another key %d", first.Code, again.Code, again.Body.String() == first.Body.String(), other.Code)
	}
}

// takesIn takes a device in, and says what it is called and how it asks for its certificate.
func (l *lab) takesIn() (device string, ask func(csr string) *httptest.ResponseRecorder) {
	var a android.EnrollAnswer
	w := l.enrolls(l.invites(android.AOSPUser), nil)
	l.must(android.Decode(w.Body.Bytes(), &a))
	return a.Device, func(csr string) *httptest.ResponseRecorder { return l.asksAs(a.Device, &a, csr) }
}

// asksAs asks for the certificate that a offers as this user.
func (l *lab) asksAs(user string, a *android.EnrollAnswer, csr string) *httptest.ResponseRecorder {
	basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + a.Certificate.Challenge))
	return l.from("192.0.2.7:1", http.MethodPost, android.ESTPath+"/simpleenroll", csr, "Authorization", "Basic "+basic, "Content-Type", "application/pkcs10")
}

// request is one for a certificate, for a new key, in base64.
func (l *lab) request(name string) string { return l.requestOf(name, newKey()) }

func (l *lab) requestOf(name string, key crypto.Signer) string {
	csr, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	l.must(err)
	return base64.StdEncoding.EncodeToString(csr)
}

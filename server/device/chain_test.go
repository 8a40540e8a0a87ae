package device

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"

	"rollcall/certs"
)

// TestHST026LookAlikeChain: of a chain that a client sends only its first certificate counts, and only our own signature on
// it: look-alikes of our authority, by the hundred, let nobody in and keep nobody out.
func TestHST026LookAlikeChain(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	var chain [][]byte
	var forged certs.Signer
	for i := range 3 {
		fake, err := certs.NewIssuer(l.ca.Certificate().Subject.CommonName, l.now())
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 { // by the first of them, with everything else as ours has it
			key := newKey()
			leaf, err := fake.Issue(certs.IssueRequest{Public: key.Public(), Handle: p.who.Certificate.Subject.CommonName, Now: l.now()})
			if err != nil {
				t.Fatal(err)
			}
			forged = certs.Signer{Certificate: leaf, Key: key}
		}
		chain = append(chain, fake.Certificate().Raw)
	}
	for len(chain) < 200 {
		chain = append(chain, chain[len(chain)%3])
	}
	with := func(who certs.Signer) *phone {
		q := l.phoneOf(p.id, who)
		present := &tls.Certificate{Certificate: append([][]byte{who.Certificate.Raw}, chain...), PrivateKey: who.Key}
		q.http, q.tls = l.client(present)
		return q
	}
	if a, err := with(forged).do(http.MethodPut, commandPath, nil, encode(p.idle())); err == nil {
		t.Errorf("an identity by a look-alike of our authority is answered %d", a.status)
	}
	if !l.logged("HST-030", "handshake refused") {
		t.Error("the log does not say why")
	}
	if a := with(p.who).send(p.idle()); a.status != http.StatusOK {
		t.Errorf("our own identity before a crowd of look-alikes is answered %d", a.status)
	}
	roots := x509.NewCertPool()
	for _, raw := range chain {
		if c, err := x509.ParseCertificate(raw); err == nil {
			roots.AddCert(c)
		}
	}
	if _, err := forged.Certificate.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: l.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the forged chain is none: %v", err) // else the test would say nothing
	}
}

package device

import (
	"crypto/x509"
	"net/http"
	"strings"
	"testing"

	"rollcall/certs"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
)

// An identity of a laboratory's authority is taken for the device that it is made out to, and for no other; without that
// setting it is a foreign one (HST-030, HST-033).
func TestHST033LabIdentities(t *testing.T) {
	var outside *certs.Authority
	lab := func(c *Config) {
		var err error
		if outside, err = certs.NewIssuer("lab CA", c.Now()); err != nil {
			t.Fatal(err)
		}
		c.Lab = []*x509.Certificate{outside.Certificate()}
	}
	l := newLab(t, lab)
	mint := func(name string) certs.Signer {
		key := newKey()
		c, err := outside.Issue(certs.IssueRequest{Public: key.Public(), Handle: name, Now: l.now()})
		if err != nil {
			t.Fatal(err)
		}
		return certs.Signer{Certificate: c, Key: key}
	}
	p := l.phoneOf(udid(1), mint(udid(1))).enrol()
	if r, err := l.store.Record(t.Context(), 1); err != nil || r.State.Life != delivery.Enrolled || r.ID != p.id || r.State.User != 0 {
		t.Errorf("%+v (%v), want enrolled without a user", r.State, err)
	}
	if a, _ := p.do(http.MethodPut, commandPath, nil, encode(p.idle())); a.status != 200 {
		t.Errorf("Idle answered %d", a.status)
	}
	for name, thief := range map[string]*phone{
		"made out to another device":     l.phoneOf(udid(1), mint(udid(2))),
		"made out to nobody":             l.phoneOf(udid(3), mint("a name that no device has")),
		"for a device that is enrolled ": l.phoneOf(udid(1), mint(udid(1))),
	} {
		m := thief.idle()
		if a, _ := thief.do(http.MethodPut, commandPath, nil, encode(m)); a.status != 400 {
			t.Errorf("%s: answered %d, want 400", name, a.status)
		}
	}
	if a, _ := p.do(http.MethodPut, commandPath, nil, encode(p.idle())); a.status != 200 {
		t.Errorf("Idle of the device itself answered %d after that", a.status)
	}

	// Nor does a new certificate enrol a device that is enrolled, whoever enrolled it: who has the authority's key can be every
	// device that nobody else is. Once its enrolment has ended, it may come with another one.
	owned := l.phone(udid(5)).enrol()
	for _, id := range []string{udid(1), udid(5)} {
		thief := l.phoneOf(id, mint(id))
		if a := thief.send(thief.authenticate()); a.status == 200 {
			t.Errorf("a second identity for %s enrols it anew", id)
		}
		before := l.record(id).State.Identity
		if a := thief.send(thief.tokenUpdate()); a.status == 200 || l.record(id).State.Identity != before {
			t.Errorf("a second identity for %s tells where to push", id)
		}
	}
	if !l.logged("HST-051") {
		t.Errorf("the log does not say why:\n%s", l.log)
	}
	for _, p := range []*phone{p, owned} {
		if a, _ := p.do(http.MethodPut, commandPath, nil, encode(p.idle())); a.status != 200 {
			t.Errorf("Idle of %s itself answered %d after that", p.id, a.status)
		}
	}
	if a := p.send(apple.Message{MessageType: apple.CheckOut, UDID: p.id, Topic: testTopic}); a.status != 200 {
		t.Fatalf("CheckOut answered %d", a.status)
	}
	l.phoneOf(udid(1), mint(udid(1))).enrol()

	plain := newLab(t)
	stranger := mint(udid(1))
	if err := plain.dial(plain.presenting(stranger.Certificate, newKey())); err == nil {
		t.Error("was let in without the setting")
	}
	if !plain.logged("HST-030", "handshake refused") {
		t.Errorf("the log does not say why:\n%s", plain.log)
	}
}

func TestLabAuthorityRefused(t *testing.T) {
	l := newLab(t)
	twin, err := certs.NewIssuer("test CA", l.now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := twin.Issue(certs.IssueRequest{Public: newKey().Public(), Handle: "x", Now: l.now()})
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]*x509.Certificate{"what our own authority is called": twin.Certificate(), "is not a CA": leaf} {
		cfg := l.h.cfg
		cfg.Lab = []*x509.Certificate{c}
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

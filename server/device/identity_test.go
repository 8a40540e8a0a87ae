package device

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// dial makes one handshake and waits for the server's word: with TLS 1.3 a refusal comes after the client is done.
func (l *lab) dial(config *tls.Config) error {
	conn, err := tls.Dial("tcp", l.addr, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	b, err := io.ReadAll(conn)
	if err == nil && !strings.HasPrefix(string(b), "HTTP/1.1 404") {
		err = fmt.Errorf("answered %.40q", b)
	}
	return err
}

func (l *lab) presenting(leaf *x509.Certificate, key *ecdsa.PrivateKey) *tls.Config {
	var present *tls.Certificate
	if leaf != nil {
		present = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
	}
	_, config := l.client(present)
	return config
}

func TestHST025Versions(t *testing.T) {
	l := newLab(t)
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		config := l.presenting(nil, nil)
		config.MinVersion, config.MaxVersion = version, version
		if err := l.dial(config); err == nil {
			t.Errorf("%s was accepted", tls.VersionName(version))
		}
	}
	weak := l.presenting(nil, nil)
	weak.MaxVersion, weak.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	if err := l.dial(weak); err == nil {
		t.Error("a weak suite was accepted")
	}
	any := l.presenting(nil, nil)
	conn, err := tls.Dial("tcp", l.addr, any)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().CurveID; got != tls.X25519 {
		t.Errorf("key exchange %v with a client that offers X25519, want it", got)
	}
}

// What is not spoken cannot be flooded.
func TestHST021NoHTTP2(t *testing.T) {
	l := newLab(t)
	config := l.presenting(nil, nil)
	config.NextProtos = []string{"h2", "http/1.1"}
	conn, err := tls.Dial("tcp", l.addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if p := conn.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("negotiated %q, want http/1.1", p)
	}
	io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if b, _ := io.ReadAll(conn); !strings.HasPrefix(string(b), "HTTP/1.1 4") && !strings.HasPrefix(string(b), "HTTP/1.1 505") {
		t.Errorf("the preface of HTTP/2 was answered %.60q, want a refusal", b)
	}
}

func TestHST025ResumedAfterRevocation(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			l := newLab(t)
			p := l.phone(udid(1)).enrol()
			config := p.tls.Clone()
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			config.MaxVersion = version
			resumed := func() (bool, error) {
				conn, err := tls.Dial("tcp", l.addr, config)
				if err != nil {
					return false, err
				}
				defer conn.Close()
				io.WriteString(conn, "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				_, err = io.ReadAll(conn) // the ticket comes with it
				return conn.ConnectionState().DidResume, err
			}
			if _, err := resumed(); err != nil {
				t.Fatal(err)
			}
			if did, err := resumed(); !did || err != nil {
				t.Fatalf("second handshake resumed: %v (%v), want it", did, err)
			}
			l.retire(p)
			l.setClock(l.now().Add(time.Hour)) // in which it could have said farewell
			if did, err := resumed(); err == nil {
				t.Errorf("a session of a revoked identity was let in (resumed: %v)", did)
			}
			if !l.logged("HST-032", "handshake refused") {
				t.Error("the log does not say why")
			}
		})
	}
}

// A device that obeyed the order to leave says farewell over another connection too, a resumed one as well, within an hour; all else is
// refused there, and afterwards the handshake is (APL-036, HST-025, HST-032).
func TestHST025FarewellOverAnotherConnection(t *testing.T) {
	for _, order := range []protocol.Command{{Kind: protocol.Retire}, {Kind: protocol.Retire, Text: delivery.AndDelete}} {
		t.Run("order"+order.Text, func(t *testing.T) {
			l := newLab(t)
			p := l.phone(udid(1)).enrol()
			other := l.phoneOf(p.id, p.who)
			other.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			if a := other.send(other.idle()); a.status != 200 { // for the session that is resumed below
				t.Fatalf("answered %d", a.status)
			}
			other.http.CloseIdleConnections()
			l.retireBy(p, order)
			out := apple.Message{MessageType: apple.CheckOut, UDID: p.id, Topic: testTopic}
			for _, over := range []struct {
				name string
				from *phone
			}{{"new", l.phoneOf(p.id, p.who)}, {"resumed", other}, {"restarted server's", l.phoneOf(p.id, p.who)}} {
				name, from := over.name, over.from
				if name == "restarted server's" {
					l.restart()
				}
				for _, m := range []apple.Message{p.idle(), p.tokenUpdate(), p.authenticate()} {
					if a := from.send(m); a.status != 400 || !l.logged("HST-032") {
						t.Errorf("%s connection: %v with a revoked identity answered %d, want 400", name, m.MessageType, a.status)
					}
				}
				if a := from.send(out); a.status != 200 || len(a.body) != 0 {
					t.Errorf("%s connection: CheckOut answered %d %q, want an empty 200", name, a.status, a.body)
				}
			}
			l.setClock(l.now().Add(time.Hour))
			if err := l.dial(l.phoneOf(p.id, p.who).tls); err == nil {
				t.Error("an hour later the handshake is let in")
			}
		})
	}
	t.Run("erased", func(t *testing.T) { // it has nothing left to say farewell with
		l := newLab(t)
		p := l.phone(udid(1)).enrol()
		id := l.order(p.id, protocol.Erase)
		p.send(p.idle())
		if a := p.send(apple.Message{UDID: p.id, Status: protocol.Acknowledged, CommandUUID: id.String()}); a.status != 200 {
			t.Fatalf("answered %d", a.status)
		}
		if err := l.dial(l.phoneOf(p.id, p.who).tls); err == nil {
			t.Error("a wiped device's handshake is let in (AUTH-42)")
		}
	})
}

// retire takes p through a retirement, at whose end its identity is revoked (AUTH-53).
func (l *lab) retire(p *phone) {
	l.t.Helper()
	l.retireBy(p, protocol.Command{Kind: protocol.Retire})
}

// retireBy has p obey an order that retires it.
func (l *lab) retireBy(p *phone, order protocol.Command) {
	l.t.Helper()
	id, err := l.core.Order(context.Background(), l.pnow(), l.record(p.id).State.Device, order)
	if err != nil {
		l.t.Fatal(err)
	}
	idle := p.idle()
	if a := p.send(idle); a.status != 200 || !strings.Contains(string(a.body), server.EnrolmentIdentifier) {
		l.t.Fatalf("a retired device got %d %q, want RemoveProfile of %s", a.status, a.body, server.EnrolmentIdentifier)
	}
	idle.Status, idle.CommandUUID = protocol.Acknowledged, id.String()
	if a := p.send(idle); a.status != 200 {
		l.t.Fatalf("its acknowledgement was answered %d", a.status)
	}
	cred, err := l.core.Credential(context.Background(), fingerprint(p.who.Certificate))
	if err != nil || !cred.Revoked {
		l.t.Fatalf("after a retirement the identity is not revoked: %+v (%v)", cred, err)
	}
}

func TestHST030ForeignCertificates(t *testing.T) {
	l := newLab(t)
	now := l.now()
	ours := l.identity(store.Grant{Purpose: delivery.ForEnrolment, User: l.user})
	twin, err := certs.NewIssuer("test CA", now) // same subject
	if err != nil {
		t.Fatal(err)
	}
	key := newKey()
	make := func(change func(*x509.Certificate), parent *x509.Certificate, signer any) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "device"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
		}
		if change != nil {
			change(template)
		}
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	_, caKey, err := l.ca.PEM()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(caKey)
	signer, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	root := l.ca.Certificate()
	foreign, err := twin.Issue(certs.IssueRequest{Public: key.Public(), Handle: "x", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	face, err := l.ca.IssueServer([]string{testHost}, key.Public(), now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		leaf *x509.Certificate
	}{
		{"self-signed", make(nil, nil, key)},
		{"another CA with the same subject", foreign},
		{"our CA's, but a CA itself", make(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }, root, signer)},
		{"our CA's, for servers", make(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, root, signer)},
		{"our server's own", face},
		{"our CA's, for nothing in particular", make(func(c *x509.Certificate) { c.ExtKeyUsage = nil }, root, signer)},
		{"our CA's, never recorded", make(nil, root, signer)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := l.dial(l.presenting(tt.leaf, key)); err == nil {
				t.Error("was let in")
			}
			if !l.logged("HST-030", "handshake refused", tt.leaf.SerialNumber.Text(16)) {
				t.Errorf("the log does not say why:\n%s", l.log)
			}
		})
	}
	if err := l.dial(l.presenting(ours.Certificate, ours.Key.(*ecdsa.PrivateKey))); err != nil {
		t.Errorf("our own identity was refused: %v", err)
	}
	if err := l.dial(l.presenting(nil, nil)); err != nil {
		t.Errorf("without a certificate SCEP and enrolment are out of reach: %v", err)
	}
}

func TestHST031Times(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	who := p.who.Certificate
	key := p.who.Key.(*ecdsa.PrivateKey)
	config := l.presenting(who, key)
	config.Time = func() time.Time { return who.NotBefore.Add(time.Hour) } // the device's own clock is wrong (HST-058)
	start := l.now()
	for _, tt := range []struct {
		name string
		at   time.Time
		ok   bool
	}{
		{"not valid yet", who.NotBefore.Add(-time.Second), false},
		{"valid since now", who.NotBefore, true},
		{"valid for one second", who.NotAfter.Add(-time.Second), true},
		{"expired", who.NotAfter.Add(time.Second), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.setClock(tt.at)
			if err := l.dial(config); (err == nil) != tt.ok {
				t.Errorf("handshake: %v, want it to succeed: %v", err, tt.ok)
			}
		})
	}
	if !l.logged("AUTH-42", "handshake refused") || !l.logged("HST-031", "handshake refused") {
		t.Error("the log does not say which")
	}
	l.setClock(start)
	t.Run("inside a session", func(t *testing.T) {
		if a := p.send(p.idle()); a.status != 200 {
			t.Fatalf("before: %d", a.status)
		}
		l.setClock(who.NotAfter.Add(time.Second))
		if a := p.send(p.idle()); a.status != http.StatusBadRequest {
			t.Errorf("the next request answered %d, want 400", a.status)
		}
		if _, err := p.do(http.MethodPut, commandPath, nil, encode(p.idle())); err == nil {
			t.Error("the connection stayed open: the next handshake should be refused")
		}
		if r := l.record(p.id); r.State.Life != delivery.Enrolled {
			t.Errorf("life %v: an expired identity ends no enrolment", r.State.Life)
		}
	})
}

// TestHST033KeptConnection: what one connection knows of its certificate is not older than what happened on another one.
func TestHST033KeptConnection(t *testing.T) {
	l := newLab(t)
	kept := l.phone(udid(1))
	other := l.phoneOf(kept.id, kept.who)
	if a := kept.send(kept.idle()); a.status != http.StatusBadRequest {
		t.Fatalf("an identity that is not bound yet got %d, want 400", a.status)
	}
	other.enrol()
	if a := kept.send(kept.idle()); a.status != 200 {
		t.Fatalf("after its enrolment on another connection it got %d, want 200\n%s", a.status, l.log)
	}
	if a := kept.send(kept.authenticate()); a.status != 200 { // the device enrols again, with the identity that it has
		t.Fatalf("Authenticate again got %d", a.status)
	}
	for _, p := range []*phone{kept, other} {
		if a := p.send(p.tokenUpdate()); a.status != 200 {
			t.Fatalf("TokenUpdate on either connection got %d", a.status)
		}
	}
	l.order(other.id, protocol.Erase)
	for a := other.send(other.idle()); len(a.body) > 0; {
		id, _, err := apple.DecodeCommand(a.body)
		if err != nil {
			t.Fatal(err)
		}
		a = other.send(apple.Message{UDID: other.id, Status: protocol.Acknowledged, CommandUUID: id})
	}
	before := l.record(kept.id).State
	for _, m := range []apple.Message{kept.idle(), kept.tokenUpdate(), kept.authenticate()} {
		if a := kept.send(m); a.status != http.StatusBadRequest {
			t.Errorf("%s after a wipe on another connection got %d, want 400", m.MessageType, a.status)
		}
	}
	if after := l.record(kept.id).State; after.Life != before.Life || after.LastSeen != before.LastSeen {
		t.Errorf("the revoked identity changed its device: %+v", after)
	}
}

func TestHST032Superseded(t *testing.T) {
	l := newLab(t)
	old := l.phone(udid(1)).enrol()
	d := l.record(old.id).State.Device
	if a := old.send(old.idle()); a.status != 200 {
		t.Fatal(a.status)
	}
	// A renewal as the core makes one: the window is reached, the device comes, and is given the profile again.
	l.setClock(old.who.Certificate.NotAfter.AddDate(0, 0, -40))
	l.uploadPush(testTopic)
	a := old.send(old.idle())
	if a.status != 200 || len(a.body) == 0 {
		t.Fatalf("inside the renewal window Idle got %d %q, want the enrolment profile", a.status, a.body)
	}
	renewed := l.phoneOf(old.id, l.scepFrom(a.body, nil))
	if got := l.record(old.id).State.Rare.Read().Next; got.Fingerprint != fingerprint(renewed.who.Certificate) {
		t.Error("the renewed identity is not linked at its issue (HST-034)")
	}
	if a := old.send(old.idle()); a.status != 200 {
		t.Errorf("before the new one was used the old one got %d, want 200", a.status)
	}
	for _, m := range []any{0, 1} {
		msg := renewed.authenticate()
		if m == 1 {
			msg = renewed.tokenUpdate()
		}
		if a := renewed.send(msg); a.status != 200 {
			t.Fatalf("%s with the new identity answered %d\n%s", msg.MessageType, a.status, l.log)
		}
	}
	if a := old.send(old.idle()); a.status != http.StatusBadRequest {
		t.Errorf("after the new one was used the old one got %d on its old connection, want 400", a.status)
	}
	old.http.CloseIdleConnections() // a new handshake lets it in, so that the alarm can name its device
	if a := old.send(old.idle()); a.status != http.StatusBadRequest {
		t.Errorf("after the new one was used the old one got %d on a new connection, want 400", a.status)
	}
	if !l.logged("HST-032") {
		t.Error("no alarm in the log")
	}
	lines, _ := l.store.Journal(context.Background(), store.LineFilter{}, 1000)
	found := false
	for _, line := range lines {
		found = found || line.What == delivery.WhatOldIdentity && line.Device == d
	}
	if !found {
		t.Error(`no "old identity used" in the journal (AUTH-41)`)
	}
}

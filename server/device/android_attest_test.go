package device

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol/android"
	"rollcall/server/store"
)

// A maker vouches for the keys of its devices.
type maker struct {
	t    *testing.T
	root *x509.Certificate
	key  crypto.Signer
}

func newMaker(t *testing.T, now time.Time) *maker {
	m := &maker{t: t, key: newKey()}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a maker"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	m.root = m.signs(c, c, m.key.Public())
	return m
}

func (m *maker) signs(c, parent *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	m.t.Helper()
	der, err := x509.CreateCertificate(nil, c, parent, public, m.key)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// attests is what the key store of a started and locked device says of a key.
func (m *maker) attests(public crypto.PublicKey, level certs.AttestationLevel, token string) *android.Attestation {
	type started struct {
		Key    []byte
		Locked bool
		State  asn1.Enumerated
	}
	return m.describes(public, level, token, struct {
		Root started `asn1:"explicit,tag:704"`
	}{started{[]byte{1}, true, 0}})
}

// describes is what a key store says of a key, hardware being what the hardware enforces.
func (m *maker) describes(public crypto.PublicKey, level certs.AttestationLevel, token string, hardware any) *android.Attestation {
	m.t.Helper()
	list, err := asn1.Marshal(hardware)
	if err != nil {
		m.t.Fatal(err)
	}
	challenge := sha256.Sum256([]byte(token))
	description, err := asn1.Marshal(struct {
		Version    int
		Level      asn1.Enumerated
		KeyMint    int
		KeyLevel   asn1.Enumerated
		Challenge  []byte
		Unique     []byte
		BySoftware struct{}
		ByHardware asn1.RawValue
	}{300, asn1.Enumerated(level), 300, asn1.Enumerated(level), challenge[:], []byte{}, struct{}{}, asn1.RawValue{FullBytes: list}})
	if err != nil {
		m.t.Fatal(err)
	}
	leaf := m.signs(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Unix(0, 0), NotAfter: m.root.NotAfter,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}, Value: description}},
	}, m.root, public)
	return &android.Attestation{Chain: []string{base64.StdEncoding.EncodeToString(leaf.Raw), base64.StdEncoding.EncodeToString(m.root.Raw)}}
}

// TestAND084Attestation: where the server requires it, a device enrols only with an attestation that holds, and gets its certificate for
// the attested key alone; where it reports, the journal says what is there.
func TestAND084Attestation(t *testing.T) {
	const level = certs.TrustedEnvironment
	for _, tt := range []struct {
		name    string
		require bool
		revoked certs.Revoked
		attest  func(ours, stranger *maker, public crypto.PublicKey, token string) *android.Attestation
		other   bool   // the certificate is asked for with another key
		reason  string // of the refusal to enrol; empty: it may
		journal string
	}{
		{"good", true, nil, func(m, _ *maker, p crypto.PublicKey, token string) *android.Attestation {
			return m.attests(p, level, token)
		}, false, "", "trusted environment; boot VERIFIED, boot loader locked"},
		{"no root of trust", true, nil, func(m, _ *maker, p crypto.PublicKey, token string) *android.Attestation {
			return m.describes(p, level, token, struct{}{})
		}, false, "", "boot not told, boot loader not told"},
		{"key mismatch", true, nil, func(m, _ *maker, p crypto.PublicKey, token string) *android.Attestation {
			return m.attests(p, level, token)
		}, true, "", "key is not the one that was attested"},
		{"wrong challenge", true, nil, func(m, _ *maker, p crypto.PublicKey, token string) *android.Attestation {
			return m.attests(p, level, "another")
		}, false, android.AttestationChallenge, "another challenge"},
		{"software level", true, nil, func(m, _ *maker, p crypto.PublicKey, token string) *android.Attestation {
			return m.attests(p, certs.Software, token)
		}, false, android.AttestationLevel, "secure hardware"},
		{"foreign root", true, nil, func(_, s *maker, p crypto.PublicKey, token string) *android.Attestation {
			return s.attests(p, level, token)
		}, false, android.AttestationForeign, "not issued by this authority"},
		{"revoked", true, certs.Revoked{"2": true}, func(m, _ *maker, p crypto.PublicKey, token string) *android.Attestation {
			return m.attests(p, level, token)
		}, false, android.AttestationRevoked, "revoked"},
		{"missing", true, nil, func(_, _ *maker, _ crypto.PublicKey, _ string) *android.Attestation { return nil }, false, android.AttestationMissing, "brings no attestation"},
		{"no base64", true, nil, func(_, _ *maker, _ crypto.PublicKey, _ string) *android.Attestation {
			return &android.Attestation{Chain: []string{"*"}}
		}, false, android.AttestationMalformed, "base64"},
		{"reported: foreign root", false, nil, func(_, s *maker, p crypto.PublicKey, token string) *android.Attestation {
			return s.attests(p, level, token)
		}, true, "", "no attestation that holds"},
		{"reported: key mismatch", false, nil, func(m, _ *maker, p crypto.PublicKey, token string) *android.Attestation {
			return m.attests(p, level, token)
		}, true, "", "key is not the one that was attested"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newDroidLab(t)
			ours, stranger := newMaker(t, l.now()), newMaker(t, l.now())
			l.h.cfg.Android.Attestation = &Attestation{Require: tt.require, Roots: []*x509.Certificate{ours.root}, Revoked: tt.revoked}
			token, err := l.core.InviteAndroid(t.Context(), l.pnow(), l.user, android.AOSPUser, time.Hour)
			l.must(err)
			key, other := newKey(), newKey()
			m := android.EnrollRequest{
				Protocol: 1, Role: android.DPC, Mode: android.AOSPUser, Hardware: android.Hardware{Brand: "acme", Model: "A1", SerialNumber: "S-1"},
				Software: android.Software{APILevel: 34, AndroidVersion: "14"}, Attestation: tt.attest(ours, stranger, key.Public(), token),
			}
			w := l.from("192.0.2.7:1", http.MethodPost, android.EnrollPath, string(android.Append(nil, &m)), "Authorization", "Bearer "+token)
			if tt.reason != "" {
				var no android.Error
				l.must(android.Decode(w.Body.Bytes(), &no))
				if why, with := no.Info(); w.Code != 403 || why != tt.reason || with["rule"] != "AND-084" {
					t.Errorf("answered %d %s %v, want 403 %s", w.Code, why, with, tt.reason)
				}
			} else {
				var a android.EnrollAnswer
				if err := android.Decode(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
					t.Fatalf("answered %d %s", w.Code, w.Body)
				}
				uses, want := key, 200
				if tt.other {
					uses = other
				}
				if strings.Contains(tt.journal, "not the one") {
					want = 403
				}
				csr, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: a.Device}}, uses)
				l.must(err)
				basic := base64.StdEncoding.EncodeToString([]byte(a.Device + ":" + a.Certificate.Challenge))
				if w := l.from("192.0.2.7:1", http.MethodPost, android.ESTPath+"/simpleenroll", base64.StdEncoding.EncodeToString(csr), "Authorization", "Basic "+basic, "Content-Type", "application/pkcs10"); w.Code != want {
					t.Errorf("a certificate is answered %d %s, want %d", w.Code, w.Body, want)
				}
			}
			lines, err := l.store.Journal(t.Context(), store.LineFilter{}, 1000)
			l.must(err)
			found := false
			for _, line := range lines {
				found = found || line.Rule == "AND-084" && strings.Contains(line.Detail, tt.journal)
			}
			if !found {
				t.Errorf("the journal does not say %q: %+v", tt.journal, lines)
			}
		})
	}
}

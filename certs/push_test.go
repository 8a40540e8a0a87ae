package certs

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

const testTopic = "com.apple.mgmt.External.11111111-2222-4333-8444-555555555555"

func push(t testing.TB, topic string, notBefore, notAfter time.Time) *Push {
	t.Helper()
	p, err := MakePush(rsaAuthority(), topic, notBefore, notAfter)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMakePush(t *testing.T) {
	p := push(t, testTopic, at, at.AddDate(1, 0, 0))
	if topic(p.Certificate) != testTopic || !strings.HasPrefix(p.Certificate.Subject.CommonName, "APSP:") {
		t.Errorf("subject %s", p.Certificate.Subject)
	}
	if err := p.Certificate.CheckSignatureFrom(rsaAuthority().Certificate()); err != nil {
		t.Error(err)
	}
	p.Chain = []*x509.Certificate{rsaAuthority().Certificate()}
	again, err := ReadPush(must(p.PEM()), "")
	if err != nil || again.Topic != testTopic || !again.Certificate.Equal(p.Certificate) || len(again.Chain) != 1 || !sameKey(again.Certificate, again.Key) {
		t.Errorf("read again: %+v, %v", again, err)
	}
	if _, err := MakePush(rsaAuthority(), "com.example.app", at, at.AddDate(1, 0, 0)); !errors.Is(err, ErrPushTopic) {
		t.Errorf("topic of an app: %v", err)
	}
	if _, err := MakePush(rsaAuthority(), testTopic, at, at); !errors.Is(err, ErrLifetime) {
		t.Errorf("no lifetime: %v", err)
	}
}

func TestHST046ReadPush(t *testing.T) {
	p := push(t, testTopic, at, at.AddDate(1, 0, 0))
	chain := []*x509.Certificate{rsaAuthority().Certificate()}
	key := must(KeyPEM(p.Key))
	encode := func(e *pkcs12.Encoder) []byte { return must(e.Encode(p.Key, p.Certificate, chain, "pw")) }
	subject := func(names ...pkix.AttributeTypeAndValue) []byte {
		c := createLeaf(t, rsaAuthority(), &x509.Certificate{Subject: pkix.Name{CommonName: "x", ExtraNames: names}}, p.Key.Public())
		return append(CertificatesPEM(c), key...)
	}
	uid := func(v string) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: oidUserID, Value: v}
	}
	full := must(p.PEM())
	p12 := encode(pkcs12.Modern2023)
	for _, tt := range []struct {
		name     string
		data     []byte
		password string
		want     error
	}{
		{"PEM", full, "", nil},
		{"PEM, key first", append(bytes.Clone(key), CertificatesPEM(p.Certificate)...), "", nil},
		{"PKCS #12, AES", p12, "pw", nil},
		{"PKCS #12, 3DES", encode(pkcs12.LegacyDES), "pw", nil},
		{"PKCS #12, RC2", encode(pkcs12.LegacyRC2), "pw", nil},
		{"wrong password", p12, "wrong", ErrMalformed},
		{"no password", p12, "", ErrMalformed},
		{"PKCS #12 with a byte after it", append(bytes.Clone(p12), 0), "pw", ErrMalformed},
		{"a certificate in DER", p.Certificate.Raw, "", ErrMalformed},
		{"empty", nil, "", ErrPEM},
		{"no key", CertificatesPEM(p.Certificate), "", ErrPEM},
		{"no certificate", key, "", ErrPEM},
		{"key of another", append(CertificatesPEM(p.Certificate), must(KeyPEM(ecKey()))...), "", ErrKeyMismatch},
		{"no topic", subject(), "", ErrPushTopic},
		{"topic of an app", subject(uid("com.example.app")), "", ErrPushTopic},
		{"two topics", subject(uid(testTopic), uid(testTopic)), "", ErrPushTopic},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadPush(tt.data, tt.password)
			if !errors.Is(err, tt.want) {
				t.Fatalf("ReadPush = %v, want %v", err, tt.want)
			}
			if err == nil && got.Topic != testTopic {
				t.Errorf("topic %q", got.Topic)
			}
		})
	}
	for n := 0; n < len(p12); n += 7 { // HST-002
		if _, err := ReadPush(p12[:n], "pw"); err == nil {
			t.Fatalf("PKCS #12 cut to %d of %d bytes was taken", n, len(p12))
		}
	}
}

// Every number of rounds in the file is looked at before the first is run: here one after the other is raised
// from 70,001 to 2^31-1.
func TestHST046Rounds(t *testing.T) {
	p := push(t, testTopic, at, at.AddDate(1, 0, 0))
	for name, encoder := range map[string]*pkcs12.Encoder{"PBES2": pkcs12.Modern2023, "PBMAC1": pkcs12.Modern2026, "PBE": pkcs12.LegacyDES} {
		data := must(encoder.WithIterations(70_001).Encode(p.Key, p.Certificate, nil, "pw"))
		rounds := must(asn1.Marshal(70_001))
		places := bytes.Count(data, rounds)
		if places != 3 { // certificates, key, MAC
			t.Errorf("%s: %d places with rounds, want 3", name, places)
		}
		from := 0
		for range places {
			i := from + bytes.Index(data[from:], rounds)
			from = i + 1
			hostile := bytes.Clone(data)
			copy(hostile[i:], []byte{0x02, 0x03, 0x7f, 0xff, 0xff}) // 8,388,607
			if err := checkPKCS12(hostile); !errors.Is(err, ErrMalformed) || !mentions(err, "rounds") {
				t.Errorf("%s: 8 million rounds at byte %d: %v", name, i, err)
			}
		}
	}
}

func FuzzReadPush(f *testing.F) {
	p := push(f, testTopic, at, at.AddDate(1, 0, 0))
	f.Add(must(p.PEM()))
	f.Add(must(pkcs12.LegacyDES.WithIterations(2).Encode(p.Key, p.Certificate, nil, "pw")))
	f.Add(must(pkcs12.Modern2023.WithIterations(2).Encode(p.Key, p.Certificate, nil, "pw")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := ReadPush(data, "pw"); err == nil && (!strings.HasPrefix(got.Topic, topicPrefix) || !sameKey(got.Certificate, got.Key)) {
			t.Errorf("topic %q was taken", got.Topic)
		}
	})
}

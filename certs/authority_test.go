package certs

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"
)

func TestAPL013IssuedIdentity(t *testing.T) {
	for _, tt := range []struct {
		name string
		ca   *Authority
		rsa  bool
		want x509.KeyUsage
	}{
		{"P-256 by P-256", ecAuthority(), false, x509.KeyUsageDigitalSignature},
		{"P-256 by RSA", rsaAuthority(), false, x509.KeyUsageDigitalSignature},
		{"RSA by P-256", ecAuthority(), true, x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := ecKey()
			if tt.rsa {
				key = rsaKey()
			}
			c := identity(t, tt.ca, key).Certificate
			if len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || len(c.UnknownExtKeyUsage) > 0 {
				t.Errorf("extended key usage %v, want clientAuth alone", c.ExtKeyUsage)
			}
			if c.KeyUsage != tt.want {
				t.Errorf("key usage %b, want %b", c.KeyUsage, tt.want)
			}
			if want := at.Add(-10 * time.Minute); !c.NotBefore.Equal(want) {
				t.Errorf("notBefore %s, want %s", c.NotBefore, want)
			}
			if want := at.Add(365 * 24 * time.Hour); !c.NotAfter.Equal(want) { // AUTH-40
				t.Errorf("notAfter %s, want %s", c.NotAfter, want)
			}
			if got := c.Subject.String(); got != "CN=7f3a" {
				t.Errorf("subject %q, want the handle alone", got)
			}
			if c.IsCA || !c.BasicConstraintsValid {
				t.Error("identity does not say that it is no CA")
			}
			if err := tt.ca.Verify(c, at); err != nil {
				t.Errorf("Verify = %v", err)
			}
		})
	}
	key, seen := ecKey(), make(map[string]bool)
	longest := 0
	for range 50 {
		c := identity(t, ecAuthority(), key).Certificate
		serial := c.SerialNumber.String()
		if seen[serial] || c.SerialNumber.Sign() <= 0 {
			t.Fatalf("serial %s used twice or not positive", serial)
		}
		seen[serial] = true
		longest = max(longest, c.SerialNumber.BitLen())
	}
	if longest < 120 || longest > 128 {
		t.Errorf("longest of 50 serials has %d bits, want 128 random ones", longest)
	}
}

func TestAUTH40Lifetime(t *testing.T) {
	ca := ecAuthority()
	end := ca.Certificate().NotAfter
	for _, tt := range []struct {
		name     string
		now      time.Time
		lifetime time.Duration
		want     time.Time
		err      error
	}{
		{"one year by default", at, 0, at.Add(365 * day), nil},
		{"as a plan shortens it", at, 36 * time.Hour, at.Add(36 * time.Hour), nil},
		{"whole seconds", at.Add(500 * time.Millisecond), time.Hour, at.Add(time.Hour), nil},
		{"never beyond the authority", end.Add(-time.Hour), 0, end, nil},
		{"authority expired", end.Add(time.Second), 0, time.Time{}, ErrExpired},
		{"negative", at, -time.Hour, time.Time{}, ErrLifetime},
		{"less than X.509 can say", at, time.Millisecond, time.Time{}, ErrLifetime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ca.Issue(IssueRequest{Public: ecKey().Public(), Handle: "h", Now: tt.now, Lifetime: tt.lifetime})
			if !errors.Is(err, tt.err) {
				t.Fatalf("Issue error %v, want %v", err, tt.err)
			}
			if err == nil && !c.NotAfter.Equal(tt.want) {
				t.Errorf("notAfter %s, want %s", c.NotAfter, tt.want)
			}
		})
	}
}

func TestHST030NotOurIdentity(t *testing.T) {
	ca, key := ecAuthority(), ecKey()
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	// An authority of the same name and, by its subject key identifier, the same key.
	twinKey := ecKey()
	template := *ca.Certificate()
	template.RawSubject, template.PublicKey = ca.Certificate().RawSubject, nil
	twin := &Authority{ca: Signer{Key: twinKey}}
	twin.ca.Certificate = must(createCertificate(&template, &template, twinKey.Public(), twinKey))
	if !bytes.Equal(twin.ca.Certificate.SubjectKeyId, ca.Certificate().SubjectKeyId) {
		t.Fatal("the twin does not look alike")
	}
	self := &x509.Certificate{Subject: pkix.Name{CommonName: "h"}, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour), ExtKeyUsage: client}
	emptyUsage := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: []byte{0x30, 0x00}}
	strange := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{0x05, 0x00}}
	for _, tt := range []struct {
		name string
		leaf *x509.Certificate
		want error
	}{
		{"none", nil, ErrForeign},
		{"self-signed", must(createCertificate(self, self, key.Public(), key)), ErrForeign},
		{"of another authority", identity(t, rsaAuthority(), key).Certificate, ErrForeign},
		{"same subject and key id", identity(t, twin, key).Certificate, ErrForeign},
		{"the authority itself", ca.Certificate(), ErrNotIdentity},
		{"its registration authority", ca.RA().Certificate, ErrNotIdentity},
		{"CA=true", createLeaf(t, ca, &x509.Certificate{ExtKeyUsage: client, BasicConstraintsValid: true, IsCA: true}, key.Public()), ErrNotIdentity},
		{"may sign certificates", createLeaf(t, ca, &x509.Certificate{ExtKeyUsage: client, KeyUsage: x509.KeyUsageCertSign}, key.Public()), ErrNotIdentity},
		{"our TLS server", must(ca.IssueServer([]string{"mdm.example"}, key.Public(), at, 0)), ErrNotIdentity},
		{"no usage", createLeaf(t, ca, &x509.Certificate{}, key.Public()), ErrNotIdentity},
		{"any usage", createLeaf(t, ca, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}, key.Public()), ErrNotIdentity},
		{"empty usage (CVE-2026-40097)", createLeaf(t, ca, &x509.Certificate{ExtraExtensions: []pkix.Extension{emptyUsage}}, key.Public()), ErrNotIdentity},
		{"critical extension", createLeaf(t, ca, &x509.Certificate{ExtKeyUsage: client, ExtraExtensions: []pkix.Extension{strange}}, key.Public()), ErrNotIdentity},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := ca.Verify(tt.leaf, at); !errors.Is(err, tt.want) {
				t.Errorf("Verify = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestHST031Validity(t *testing.T) {
	ca := ecAuthority()
	c := createLeaf(t, ca, &x509.Certificate{
		NotBefore: at, NotAfter: at.Add(time.Second), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ecKey().Public())
	for _, tt := range []struct {
		now  time.Time
		want error
	}{
		{at.Add(-time.Second), ErrNotYetValid},
		{at, nil},
		{at.Add(time.Second), nil},
		{at.Add(2 * time.Second), ErrExpired},
		{at.AddDate(100, 0, 0), ErrExpired},
	} {
		if err := ca.Verify(c, tt.now); !errors.Is(err, tt.want) {
			t.Errorf("Verify of a certificate valid for 1 s, %s after its beginning = %v, want %v", tt.now.Sub(at), err, tt.want)
		}
	}
}

func TestHST026HugeCertificates(t *testing.T) {
	ca := ecAuthority()
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("host-%d.example", i)
	}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	// The chain a peer sends is never looked at: Verify takes the leaf alone. What a leaf carries beside its
	// key does not make it ours.
	many := createLeaf(t, rsaAuthority(), &x509.Certificate{DNSNames: names, ExtKeyUsage: client}, ecKey().Public())
	if err := ca.Verify(many, at); !errors.Is(err, ErrForeign) {
		t.Errorf("Verify of a foreign leaf with 10,000 names = %v", err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 16_383), E: 65537}
	if err := CheckPublicKey(huge); !errors.Is(err, ErrKey) {
		t.Errorf("RSA of 16,384 bits: %v", err)
	}
	if _, err := ca.Issue(IssueRequest{Public: huge, Handle: "h", Now: at}); !errors.Is(err, ErrKey) {
		t.Errorf("Issue for RSA of 16,384 bits: %v", err)
	}
}

func TestIssueServer(t *testing.T) {
	ca, key := ecAuthority(), ecKey()
	c, err := ca.IssueServer([]string{"mdm.example", "127.0.0.1", "::1"}, key.Public(), at, 0)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate())
	for _, name := range []string{"mdm.example", "127.0.0.1", "::1"} {
		if _, err := c.Verify(x509.VerifyOptions{DNSName: name, Roots: pool, CurrentTime: at}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Verify(x509.VerifyOptions{DNSName: "other.example", Roots: pool, CurrentTime: at}); err == nil {
		t.Error("valid for a name that was not asked for")
	}
	if _, err := ca.IssueServer(nil, key.Public(), at, 0); !errors.Is(err, ErrMalformed) {
		t.Errorf("without names: %v", err)
	}
}

// An identity and a server certificate of one authority do mutual TLS, with the authority's own Verify.
// An issuer has a certificate and issues, and has nothing that SCEP could decrypt with.
func TestNewIssuer(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	a, err := NewIssuer("push", now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := GenerateKey(P256)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Issue(IssueRequest{Public: key.Public(), Handle: "x", Now: now})
	if err != nil || c.CheckSignatureFrom(a.Certificate()) != nil || a.RA().Key != nil {
		t.Errorf("%v, %v, with the registration authority %v", c, err, a.RA())
	}
}

func TestMutualTLS(t *testing.T) {
	ca, serverKey := ecAuthority(), ecKey()
	device := identity(t, ca, ecKey())
	server := must(ca.IssueServer([]string{"mdm.example"}, serverKey.Public(), at, 0))
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate())
	now := func() time.Time { return at }
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(b, &tls.Config{
			Time:         now,
			Certificates: []tls.Certificate{{Certificate: [][]byte{server.Raw}, PrivateKey: serverKey}},
			ClientAuth:   tls.RequireAnyClientCert,
			VerifyConnection: func(s tls.ConnectionState) error {
				return ca.Verify(s.PeerCertificates[0], at)
			},
		})
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		done <- err
	}()
	conn := tls.Client(a, &tls.Config{
		Time: now, ServerName: "mdm.example", RootCAs: pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{device.Certificate.Raw}, PrivateKey: device.Key}},
	})
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("client: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("server: %v", err)
	}
}

func TestHST047LoadAuthority(t *testing.T) {
	ec, rsaCA := ecAuthority(), rsaAuthority()
	for _, a := range []*Authority{ec, rsaCA} {
		certPEM, keyPEM, err := a.PEM()
		if err != nil {
			t.Fatal(err)
		}
		b, err := LoadAuthority(certPEM, keyPEM)
		if err != nil {
			t.Fatalf("LoadAuthority of %s: %v", a.Certificate().Subject, err)
		}
		if err := a.Verify(identity(t, b, ecKey()).Certificate, at); err != nil {
			t.Errorf("loaded %s issues what the first does not verify: %v", a.Certificate().Subject, err)
		}
		if !b.RA().Certificate.Equal(a.RA().Certificate) || !sameKey(b.RA().Certificate, b.RA().Key) {
			t.Errorf("loaded %s has another registration authority", a.Certificate().Subject)
		}
		// Cut anywhere: refused, or all that was cut off is the last line break.
		for cut := range certPEM {
			if _, err := LoadAuthority(certPEM[:cut], keyPEM); err == nil && cut < len(certPEM)-1 {
				t.Fatalf("%s: certificates cut at %d of %d were taken", a.Certificate().Subject, cut, len(certPEM))
			}
		}
		for cut := range keyPEM {
			if _, err := LoadAuthority(certPEM, keyPEM[:cut]); err == nil && cut < len(keyPEM)-1 {
				t.Fatalf("%s: keys cut at %d of %d were taken", a.Certificate().Subject, cut, len(keyPEM))
			}
		}
	}
	ecCert, ecKeyPEM, _ := ec.PEM()
	rsaCert, rsaKeyPEM, _ := rsaCA.PEM()
	leaf := identity(t, ec, ecKey())
	strangeRA := must(rsaCA.sign(&x509.Certificate{NotBefore: at, NotAfter: at.Add(time.Hour)}, rsaKey().Public()))
	caPEM, caKey := CertificatesPEM(ec.Certificate()), must(KeyPEM(ec.ca.Key))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, tt := range []struct {
		name      string
		cert, key []byte
		want      error
	}{
		{"key of another authority", rsaCert, caKey, ErrKeyMismatch},
		{"keys swapped", ecCert, join(must(KeyPEM(ec.RA().Key)), caKey), ErrKeyMismatch},
		{"a key too few", ecCert, caKey, ErrPEM},
		{"a key too many", rsaCert, join(rsaKeyPEM, caKey), ErrPEM},
		{"not a CA", CertificatesPEM(leaf.Certificate), must(KeyPEM(leaf.Key)), ErrMalformed},
		{"registration authority of another CA", join(caPEM, CertificatesPEM(strangeRA)), join(caKey, must(KeyPEM(rsaKey()))), ErrMalformed},
		{"registration authority without RSA", join(caPEM, CertificatesPEM(leaf.Certificate)), join(caKey, must(KeyPEM(leaf.Key))), ErrKey},
		{"files exchanged", ecKeyPEM, ecCert, ErrPEM},
		{"empty", nil, nil, ErrPEM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := LoadAuthority(tt.cert, tt.key); !errors.Is(err, tt.want) {
				t.Errorf("LoadAuthority = %v, want %v", err, tt.want)
			}
		})
	}
	bare, err := LoadAuthority(caPEM, caKey)
	if err != nil || bare.RA().Certificate != nil {
		t.Errorf("P-256 without registration authority: %v, RA %v", err, bare.RA().Certificate)
	}
	end := ec.Certificate().NotAfter
	for _, tt := range []struct {
		now  time.Time
		want bool
	}{{at, false}, {end.AddDate(0, 0, -90), false}, {end.AddDate(0, 0, -90).Add(time.Second), true}, {end.Add(time.Hour), true}} {
		if got := ec.ExpiresSoon(tt.now); got != tt.want {
			t.Errorf("ExpiresSoon(%s before the end) = %t, want %t", end.Sub(tt.now), got, tt.want)
		}
	}
}

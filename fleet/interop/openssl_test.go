package interop

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// An openssl is the program with a folder for its files.
type openssl struct {
	testing.TB
	program, dir string
}

func newOpenSSL(t testing.TB) *openssl {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	return &openssl{t, program, t.TempDir()}
}

// file keeps b under name and returns the path.
func (o *openssl) file(name string, b []byte) string {
	o.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		o.Fatal(err)
	}
	return path
}

// run runs openssl cms and returns what it writes.
func (o *openssl) run(arguments ...string) ([]byte, error) {
	c := exec.Command(o.program, append([]string{"cms"}, arguments...)...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		return nil, errors.New(errs.String())
	}
	return out.Bytes(), nil
}

// identity keeps certificate and key of s and returns their paths.
func (o *openssl) identity(name string, s certs.Signer) (certificate, key string) {
	o.Helper()
	return o.file(name+".pem", certs.CertificatesPEM(s.Certificate)), o.file(name+".key", must(certs.KeyPEM(s.Key))(o))
}

// flipped is b with the last bit of its byte i changed.
func flipped(b []byte, i int) []byte {
	b = slices.Clone(b)
	b[i] ^= 1
	return b
}

// profile is the content of a signed profile.
func profile() []byte {
	return apple.EncodeProfile(apple.NewProfile("com.example.mail", "Mail", protocol.Email))
}

// TestAPL002OpenSSLVerifies: openssl verifies a profile that we signed, up to the CA, and gives its very bytes back; it
// refuses a changed one and one of another CA.
func TestAPL002OpenSSLVerifies(t *testing.T) {
	o := newOpenSSL(t)
	ca, other := authority(t), must(rsaAuthority())(t)
	anchor, foreign := o.file("ca.pem", certs.CertificatesPEM(ca.Certificate())), o.file("other.pem", certs.CertificatesPEM(other.Certificate()))
	for _, tt := range []struct {
		name   string
		signer certs.Signer
	}{
		{"RSA", rsaIdentity(t, ca, "signer")},
		{"P-256", identity(t, ca, "signer")},
		{"server", serverSigner(t, ca)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			content := profile()
			signed := must(certs.SignAttached(content, tt.signer, time.Now()))(t)
			verify := func(signed []byte, anchor string) ([]byte, error) {
				return o.run("-verify", "-binary", "-inform", "DER", "-in", o.file("signed", signed), "-CAfile", anchor, "-purpose", "any")
			}
			if got, err := verify(signed, anchor); err != nil || !bytes.Equal(got, content) {
				t.Errorf("verified %q, %v; want the profile", got, err)
			}
			if _, err := verify(flipped(signed, bytes.Index(signed, []byte("com.example.mail"))), anchor); err == nil {
				t.Error("openssl took a changed profile")
			}
			if _, err := verify(signed, foreign); err == nil {
				t.Error("openssl took a signer of another CA")
			}
		})
	}
}

// serverSigner is a TLS certificate with its chain: what signs enrolment profiles.
func serverSigner(t testing.TB, ca *certs.Authority) certs.Signer {
	t.Helper()
	key := must(certs.GenerateKey(certs.P256))(t)
	c := must(ca.IssueServer([]string{"mdm.example"}, key.Public(), time.Now(), 0))(t)
	s := certs.Signer{Certificate: c, Key: key}
	s.Chain = append(s.Chain, ca.Certificate())
	return s
}

// TestOpenSSLVerifiesMessages: openssl verifies both forms of our Mdm-Signature, the modern one and that of a Mac, and
// no body but the one that was signed.
func TestOpenSSLVerifiesMessages(t *testing.T) {
	o := newOpenSSL(t)
	ca := authority(t)
	anchor := o.file("ca.pem", certs.CertificatesPEM(ca.Certificate()))
	body := apple.EncodeMessage(nil, &apple.Message{UDID: "00008101-000A1B2C3D4E001E"})
	for name, signer := range map[string]certs.Signer{"RSA": rsaIdentity(t, ca, "device"), "P-256": identity(t, ca, "device")} {
		modern, legacy := must(certs.SignDetached(body, signer, time.Now()))(t), must(certs.SignLegacy(body, signer))(t)
		for form, sig := range map[string][]byte{"modern": modern, "legacy": legacy} {
			t.Run(name+" "+form, func(t *testing.T) {
				verify := func(body []byte) error {
					_, err := o.run("-verify", "-binary", "-inform", "DER", "-in", o.file("sig", sig), "-content", o.file("body", body),
						"-CAfile", anchor, "-purpose", "any")
					return err
				}
				if err := verify(body); err != nil {
					t.Error(err)
				}
				if err := verify(flipped(body, len(body)-2)); err == nil {
					t.Error("openssl took another body")
				}
			})
		}
	}
}

// A making is one way in which openssl signs.
type making struct {
	name      string
	arguments []string
	legacy    bool  // needs legacyCMS
	want      error // not nil: refused in any case
}

// TestAPL021OpenSSLSigns: we verify what openssl signs, attached and detached, DER and BER with its content in pieces,
// with and without signed attributes, with each digest that we take; and no other.
func TestAPL021OpenSSLSigns(t *testing.T) {
	o := newOpenSSL(t)
	ca, other := authority(t), must(rsaAuthority())(t)
	body := bytes.Repeat(profile(), 40) // long enough for several pieces
	in := o.file("body", body)
	extra, extraKey := o.identity("extra", identity(t, ca, "extra"))
	makings := []making{
		{name: "SHA-256", arguments: []string{"-md", "sha256"}},
		{name: "SHA-384", arguments: []string{"-md", "sha384"}},
		{name: "SHA-512", arguments: []string{"-md", "sha512"}},
		{name: "SHA-256 without attributes", arguments: []string{"-md", "sha256", "-noattr"}},
		{name: "SHA-256 streamed", arguments: []string{"-md", "sha256", "-stream"}},
		{name: "SHA-1", arguments: []string{"-md", "sha1"}, legacy: true},
		{name: "SHA-1 without attributes", arguments: []string{"-md", "sha1", "-noattr"}, legacy: true},
		{name: "SHA-1 without attributes streamed", arguments: []string{"-md", "sha1", "-noattr", "-stream"}, legacy: true}, // as a Mac does
		{name: "SHA-224", arguments: []string{"-md", "sha224"}, want: certs.ErrAlgorithm},
		{name: "no certificate", arguments: []string{"-md", "sha256", "-nocerts"}, want: certs.ErrMalformed},
		{name: "two signers", arguments: []string{"-md", "sha256", "-signer", extra, "-inkey", extraKey}, want: certs.ErrMalformed},
	}
	rsaOnly := []making{
		{name: "MD5", arguments: []string{"-md", "md5"}, want: certs.ErrAlgorithm},
		{name: "PSS", arguments: []string{"-md", "sha256", "-keyopt", "rsa_padding_mode:pss"}, want: certs.ErrAlgorithm},
	}
	for _, key := range []struct {
		name    string
		signer  certs.Signer
		makings []making
	}{
		{"RSA", rsaIdentity(t, ca, "device"), append(rsaOnly, makings...)},
		{"P-256", identity(t, ca, "device"), makings},
	} {
		certificate, private := o.identity("signer", key.signer)
		for _, m := range key.makings {
			streamed := slices.Contains(m.arguments, "-stream")
			sign := func(t testing.TB, more ...string) []byte {
				t.Helper()
				arguments := append([]string{"-sign", "-binary", "-in", in, "-outform", "DER", "-signer", certificate, "-inkey", private}, m.arguments...)
				sig := must(o.run(append(arguments, more...)...))(t)
				if streamed != (sig[1] == 0x80) {
					t.Fatalf("%s %s: begins with %x, so the test does not make what it says", key.name, m.name, sig[:2])
				}
				return sig
			}
			check := func(t *testing.T, verify func(certs.Policy) error) {
				t.Helper()
				lax, strict := verify(certs.Policy{Legacy: true}), verify(certs.Policy{})
				if m.want != nil && (!errors.Is(lax, m.want) || !errors.Is(strict, m.want)) {
					t.Errorf("with legacyCMS %v, without %v; want %v", lax, strict, m.want)
				}
				if m.want == nil && (lax != nil || m.legacy != errors.Is(strict, certs.ErrAlgorithm) || !m.legacy && strict != nil) {
					t.Errorf("with legacyCMS %v, without %v; needs it: %t", lax, strict, m.legacy)
				}
			}
			t.Run(key.name+" "+m.name+" attached", func(t *testing.T) {
				sig := sign(t, "-nodetach")
				check(t, func(p certs.Policy) error {
					s, err := certs.VerifyAttached(sig, p)
					if err == nil && (!bytes.Equal(s.Content, body) || !s.Signer.Equal(key.signer.Certificate)) {
						t.Errorf("%d bytes signed by %s, want the %d that were signed", len(s.Content), s.Signer.Subject, len(body))
					}
					return err
				})
				changed := flipped(sig, bytes.Index(sig, []byte("com.example.mail")))
				if _, err := certs.VerifyAttached(changed, certs.Policy{Legacy: true}); err == nil || m.want == nil && !errors.Is(err, certs.ErrSignature) {
					t.Errorf("changed content: %v, want %v", err, certs.ErrSignature)
				}
			})
			if streamed { // openssl puts the content in then, detached or not
				continue
			}
			t.Run(key.name+" "+m.name+" detached", func(t *testing.T) {
				sig := sign(t)
				check(t, func(p certs.Policy) error {
					who, err := certs.VerifyDetached(sig, body, ca, time.Now(), p)
					if err == nil && !who.Equal(key.signer.Certificate) {
						t.Errorf("signed by %s", who.Subject)
					}
					return err
				})
				if m.want != nil {
					return
				}
				if _, err := certs.VerifyDetached(sig, flipped(body, len(body)/2), ca, time.Now(), certs.Policy{Legacy: true}); !errors.Is(err, certs.ErrSignature) {
					t.Errorf("another body: %v, want %v", err, certs.ErrSignature)
				}
				if _, err := certs.VerifyDetached(sig, body, other, time.Now(), certs.Policy{Legacy: true}); !errors.Is(err, certs.ErrForeign) {
					t.Errorf("APL-022: CA of somebody else: %v, want %v", err, certs.ErrForeign)
				}
			})
		}
	}
}

// TestOpenSSLSignerIdentifier: openssl can name a signer by its subject key identifier (RFC 5652, version 3), which we
// refuse: no device is known to do so.
func TestOpenSSLSignerIdentifier(t *testing.T) {
	o := newOpenSSL(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), SubjectKeyId: []byte{1, 2, 3, 4}, NotAfter: time.Now().Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, rsaKey().Public(), rsaKey()))(t)
	certificate, key := o.identity("signer", certs.Signer{Certificate: must(x509.ParseCertificate(der))(t), Key: rsaKey()})
	for _, tt := range []struct {
		arguments []string
		want      error
	}{
		{nil, nil}, // by issuer and serial number
		{[]string{"-keyid"}, certs.ErrMalformed},
	} {
		arguments := []string{"-sign", "-binary", "-nodetach", "-in", o.file("body", profile()), "-outform", "DER", "-signer", certificate, "-inkey", key}
		sig := must(o.run(append(arguments, tt.arguments...)...))(t)
		if _, err := certs.VerifyAttached(sig, certs.Policy{}); !errors.Is(err, tt.want) {
			t.Errorf("%v: %v, want %v", tt.arguments, err, tt.want)
		}
	}
}

// TestAPL012OpenSSLEnvelopes: openssl opens our envelopes and we open its, of AES always, of 3DES under legacyCMS.
func TestAPL012OpenSSLEnvelopes(t *testing.T) {
	o := newOpenSSL(t)
	who := rsaIdentity(t, authority(t), "recipient")
	certificate, key := o.identity("recipient", who)
	content := profile()
	t.Run("ours", func(t *testing.T) {
		sealed := o.file("sealed", must(certs.Encrypt(content, who.Certificate))(t))
		got, err := o.run("-decrypt", "-binary", "-inform", "DER", "-in", sealed, "-recip", certificate, "-inkey", key)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("openssl opened %q, %v", got, err)
		}
		if shown := must(o.run("-cmsout", "-print", "-noout", "-inform", "DER", "-in", sealed))(t); !bytes.Contains(shown, []byte("aes-128-cbc")) {
			t.Errorf("the cipher is not aes-128-cbc:\n%s", shown)
		}
	})
	in := o.file("content", content)
	for _, tt := range []struct {
		cipher string
		strict error
	}{
		{"-aes-128-cbc", nil},
		{"-aes-256-cbc", nil},
		{"-des3", certs.ErrAlgorithm},
	} {
		for _, form := range [][]string{nil, {"-stream"}} {
			t.Run("openssl's"+tt.cipher, func(t *testing.T) {
				arguments := append([]string{"-encrypt", "-binary", "-in", in, "-outform", "DER", tt.cipher}, form...)
				sealed := must(o.run(append(arguments, certificate)...))(t)
				for policy, want := range map[certs.Policy]error{{}: tt.strict, {Legacy: true}: nil} {
					got, err := certs.Decrypt(sealed, who, policy)
					if !errors.Is(err, want) || want == nil && !bytes.Equal(got, content) {
						t.Errorf("%+v: %d bytes, %v; want %v", policy, len(got), err, want)
					}
				}
			})
		}
	}
}

package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"testing"
	"time"

	"go.mozilla.org/pkcs7"
)

func TestAPL002SignedProfile(t *testing.T) {
	profile := []byte("<plist version=\"1.0\"><dict/></plist>")
	for name, ca := range map[string]*Authority{"EC": ecAuthority(), "RSA": rsaAuthority()} {
		key := ecKey()
		if name == "RSA" {
			key = rsaKey()
		}
		signer := Signer{Certificate: must(ca.IssueServer([]string{"mdm.example"}, key.Public(), at, 0)), Key: key, Chain: []*x509.Certificate{ca.Certificate()}}
		der, err := SignAttached(profile, signer, at)
		if err != nil {
			t.Fatal(err)
		}
		s, err := VerifyAttached(der, Policy{})
		if err != nil {
			t.Fatalf("%s: VerifyAttached = %v", name, err)
		}
		if !bytes.Equal(s.Content, profile) || !s.Signer.Equal(signer.Certificate) {
			t.Errorf("%s: content %q by %s", name, s.Content, s.Signer.Subject)
		}
		if len(s.Certificates) != 2 || !s.Certificates[1].Equal(ca.Certificate()) {
			t.Errorf("%s: %d certificates, want the chain", name, len(s.Certificates))
		}
		if bytes.Contains(der, []byte{0x30, 0x80}) && must(gate(der, maxCMS)) {
			t.Errorf("%s: not DER", name)
		}
		var signed time.Time
		if err := s.Attribute(pkcs7.OIDAttributeSigningTime, &signed); err != nil || !signed.Equal(at) {
			t.Errorf("%s: signing time %s, %v, want %s", name, signed, err, at)
		}
		altered := bytes.Replace(der, profile, bytes.ToUpper(profile), 1)
		if _, err := VerifyAttached(altered, Policy{}); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: altered profile: %v", name, err)
		}
		for n := range der { // HST-002
			if _, err := VerifyAttached(der[:n], Policy{}); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s: cut to %d of %d bytes: %v", name, n, len(der), err)
			}
		}
	}
	for name, size := range map[string]int{"attached.der": 80, "streamed.der": 13_893} { // openssl's
		s, err := VerifyAttached(read(t, name), Policy{})
		if err != nil || len(s.Content) != size {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := VerifyAttached(read(t, "sha256.der"), Policy{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("detached: %v", err)
	}
}

func TestAPL021MdmSignature(t *testing.T) {
	body, ca, now := read(t, "body.plist"), opensslAuthority(t), testdataTime(t)
	ours := func(sign func(Signer) ([]byte, error), signer Signer) []byte { return must(sign(signer)) }
	legacy := func(s Signer) ([]byte, error) { return SignLegacy(body, s) }
	modern := func(s Signer) ([]byte, error) { return SignDetached(body, s, at) }
	ec, rsa := identity(t, ecAuthority(), ecKey()), identity(t, ecAuthority(), rsaKey())
	for _, tt := range []struct {
		name   string
		sig    []byte
		ca     *Authority
		now    time.Time
		strict error // without legacyCMS
	}{
		{"macOS: BER, SHA-1, no attributes", read(t, "macos.der"), ca, now, ErrAlgorithm},
		{"tvOS: BER, SHA-1, attributes", read(t, "tvos.der"), ca, now, ErrAlgorithm},
		{"RSA, SHA-256", read(t, "sha256.der"), ca, now, nil},
		{"ECDSA, SHA-256", read(t, "ecdsa.der"), ca, now, nil},
		{"ECDSA, SHA-256, no attributes", read(t, "ecdsa-noattr.der"), ca, now, nil},
		{"ours, legacy, RSA", ours(legacy, rsa), ecAuthority(), at, ErrAlgorithm},
		{"ours, legacy, ECDSA", ours(legacy, ec), ecAuthority(), at, ErrAlgorithm},
		{"ours, RSA", ours(modern, rsa), ecAuthority(), at, nil},
		{"ours, ECDSA", ours(modern, ec), ecAuthority(), at, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signer, err := VerifyDetached(tt.sig, body, tt.ca, tt.now, Policy{Legacy: true})
			if err != nil || tt.ca.Verify(signer, tt.now) != nil {
				t.Fatalf("with legacy: %v", err)
			}
			if _, err := VerifyDetached(tt.sig, body, tt.ca, tt.now, Policy{}); !errors.Is(err, tt.strict) {
				t.Errorf("without legacy: %v, want %v", err, tt.strict)
			}
			for i := range body { // one flipped bit anywhere
				flipped := bytes.Clone(body)
				flipped[i] ^= 1
				if _, err := VerifyDetached(tt.sig, flipped, tt.ca, tt.now, Policy{Legacy: true}); !errors.Is(err, ErrSignature) {
					t.Fatalf("body flipped at %d: %v", i, err)
				}
			}
		})
	}
}

// The legacy form is that of a recorded Mac: same elements, same indefinite lengths, but for the
// certificates, which openssl wrote with a definite one.
func TestSignLegacyForm(t *testing.T) {
	shape := func(data []byte) (tags []byte) {
		w := berWalker{data: data}
		for {
			e, ok, err := w.next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return tags
			}
			if e.depth > 3 || e.terminator {
				continue
			}
			form := byte('d')
			if e.end < 0 {
				form = 'i'
			}
			tags = append(tags, e.tag, form)
		}
	}
	got := shape(must(SignLegacy(read(t, "body.plist"), macSigner(t))))
	want := bytes.Replace(shape(read(t, "macos.der")), []byte{0xa0, 'd'}, []byte{0xa0, 'i'}, 1)
	if !bytes.Equal(got, want) {
		t.Errorf("SignLegacy has the form %q, want %q", got, want)
	}
}

func TestAPL022SigningTime(t *testing.T) {
	body := []byte("body")
	signer := identity(t, ecAuthority(), ecKey())
	c := signer.Certificate
	for _, tt := range []struct {
		name   string
		signed time.Time
		want   error
	}{
		{"5 min before notBefore", c.NotBefore.Add(-5 * time.Minute), nil},
		{"more than 5 min before", c.NotBefore.Add(-5*time.Minute - time.Second), ErrNotYetValid},
		{"5 min after notAfter", c.NotAfter.Add(5 * time.Minute), nil},
		{"more than 5 min after", c.NotAfter.Add(5*time.Minute + time.Second), ErrExpired},
	} {
		sig := must(SignDetached(body, signer, tt.signed))
		if _, err := VerifyDetached(sig, body, ecAuthority(), at, Policy{}); !errors.Is(err, tt.want) {
			t.Errorf("signed %s: %v, want %v", tt.name, err, tt.want)
		}
	}
	foreign := identity(t, rsaAuthority(), ecKey())
	if _, err := VerifyDetached(must(SignDetached(body, foreign, at)), body, ecAuthority(), at, Policy{}); !errors.Is(err, ErrForeign) {
		t.Errorf("identity of a foreign CA: %v", err)
	}
}

func TestHST035MdmSignature(t *testing.T) {
	body, ca := read(t, "body.plist"), ecAuthority()
	a, b := identity(t, ca, ecKey()), identity(t, ca, ecKey())
	good := must(SignDetached(body, a, at))
	message := func(m Message) []byte {
		m.Content, m.Detached = body, true
		return must(m.Sign(a))
	}
	twice := message(Message{Attributes: []Attribute{{pkcs7.OIDAttributeContentType, pkcs7.OIDData}}})
	twoTimes := message(Message{SigningTime: at, Attributes: []Attribute{{pkcs7.OIDAttributeSigningTime, at}}})
	for _, tt := range []struct {
		name string
		sig  []byte
		body []byte
		ca   *Authority
		now  time.Time
		want error
	}{
		{"good", good, body, ca, at, nil},
		{"missing", nil, body, ca, at, ErrMalformed},
		{"not CMS", body, body, ca, at, ErrMalformed},
		{"another kind of CMS", read(t, "enveloped-aes128.der"), body, ca, at, ErrMalformed},
		{"no signer", must(Degenerate(a.Certificate)), body, ca, at, ErrMalformed},
		{"two signers", read(t, "two.der"), body, opensslAuthority(t), testdataTime(t), ErrMalformed},
		{"signer without certificate", read(t, "nocerts.der"), body, opensslAuthority(t), testdataTime(t), ErrMalformed},
		{"signer by key id", read(t, "keyid.der"), body, opensslAuthority(t), testdataTime(t), ErrMalformed},
		{"key of another device", must(SignDetached(body, Signer{Certificate: a.Certificate, Key: b.Key}, at)), body, ca, at, ErrSignature},
		{"over another body", must(SignDetached([]byte("another"), a, at)), body, ca, at, ErrSignature},
		{"attached", must(SignAttached(body, a, at)), body, ca, at, ErrMalformed},
		{"empty content", must(SignDetached(nil, a, at)), nil, ca, at, ErrMalformed},
		{"signer not in the chain", good, body, rsaAuthority(), at, ErrForeign},
		{"expired", good, body, ca, a.Certificate.NotAfter.Add(time.Second), ErrExpired},
		{"trailing byte", append(bytes.Clone(good), 0), body, ca, at, ErrMalformed},
		{"contentType twice", twice, body, ca, at, ErrMalformed},
		{"signing time twice", twoTimes, body, ca, at, ErrMalformed},
		{"our TLS server", must(SignDetached(body, Signer{Certificate: must(ca.IssueServer([]string{"s"}, a.Key.Public(), at, 0)), Key: a.Key}, at)), body, ca, at, ErrNotIdentity},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := VerifyDetached(tt.sig, tt.body, tt.ca, tt.now, Policy{Legacy: true}); !errors.Is(err, tt.want) {
				t.Errorf("VerifyDetached = %v, want %v", err, tt.want)
			}
		})
	}
	// An attribute-less signature over the attributes of another is none over its body.
	s, err := ParseSigned(good)
	if err != nil {
		t.Fatal(err)
	}
	s.Content, s.signed = s.signed, nil
	if err := s.Check(Policy{}); err != nil { // that it verifies shows what the body would have to be
		t.Fatal(err)
	}
	if s.Content[0] != 0x31 {
		t.Error("signed attributes could pass for a property list")
	}
}

func TestHST036Downgrade(t *testing.T) {
	body, ca, now := read(t, "body.plist"), opensslAuthority(t), testdataTime(t)
	rsaEncryption := must(asn1.Marshal(pkcs7.OIDEncryptionAlgorithmRSA))
	sha1RSA := must(asn1.Marshal(pkcs7.OIDEncryptionAlgorithmRSASHA1))
	sig := read(t, "sha256.der")
	last := bytes.LastIndex(sig, rsaEncryption)
	mixed := bytes.Join([][]byte{sig[:last], sha1RSA, sig[last+len(rsaEncryption):]}, nil)
	for _, tt := range []struct {
		name   string
		sig    []byte
		policy Policy
		want   error
	}{
		{"MD5", read(t, "md5.der"), Policy{}, ErrAlgorithm},
		{"MD5, legacy", read(t, "md5.der"), Policy{Legacy: true}, ErrAlgorithm},
		{"SHA-1", read(t, "macos.der"), Policy{}, ErrAlgorithm},
		{"RSA-1024", read(t, "rsa1024.der"), Policy{Legacy: true}, ErrKey},
		{"digest and signature algorithm disagree", mixed, Policy{Legacy: true}, ErrAlgorithm},
	} {
		if _, err := VerifyDetached(tt.sig, body, ca, now, tt.policy); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzVerifyDetached(f *testing.F) {
	body := read(f, "body.plist")
	ca, now := opensslAuthority(f), testdataTime(f)
	for _, name := range []string{"macos.der", "tvos.der", "sha256.der", "ecdsa.der", "two.der", "keyid.der", "md5.der"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, sig []byte) {
		c, err := VerifyDetached(sig, body, ca, now, Policy{Legacy: true})
		if err == nil && ca.Verify(c, now) != nil {
			t.Error("a signer that is no identity passed")
		}
		if _, err := VerifyDetached(sig, body[1:], ca, now, Policy{Legacy: true}); err == nil {
			t.Error("a signature over another body passed")
		}
	})
}

func FuzzVerifyAttached(f *testing.F) {
	roots := []*x509.Certificate{opensslAuthority(f).ca.Certificate}
	for _, name := range []string{"attached.der", "streamed.der", "machineinfo.der"} {
		f.Add(read(f, name))
	}
	f.Add(must(Degenerate(roots...)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := VerifyAttached(data, Policy{Legacy: true}); err == nil && (len(s.Content) == 0 || s.Signer == nil) {
			t.Error("nothing was signed by nobody")
		}
		VerifyMachineInfo(data, roots)
		ParseDegenerate(data)
	})
}

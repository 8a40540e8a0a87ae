package windows

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
)

func pemOf(t testing.TB, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(read(t, filepath.Join("testdata", "signed", name)))
	if block == nil {
		t.Fatalf("%s is no PEM", name)
	}
	return block.Bytes
}

// bootstrapKey is the key of the package of testdata/signed, or another one.
func bootstrapKey(t testing.TB, name string) *rsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(pemOf(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

var signedAt = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// bootstrapRequest is an enrolment by a bootstrap certificate.
func bootstrapRequest(cert []byte) *Envelope {
	return &Envelope{
		Header: Header{
			Action: ActionRST, MessageID: "urn:uuid:0d5a1441-5891-453b-becf-a2e5f6ea3749", To: "https://mdm.example.test/EnrollmentServer/Enrollment.svc",
			Created: signedAt, Expires: signedAt.Add(5 * time.Minute), Credential: Credential{Kind: X509, Token: cert},
		},
		Body: &RequestSecurityToken{Token: []byte{0x30, 0}, Context: []ContextItem{{ItemDeviceID, "8090C8B4"}, {ItemHWDevID, "4A6F & <\t\">\r\n"}, {ItemEnrollmentType, EnrollmentDevice}}},
	}
}

func sign(t testing.TB, e *Envelope, key crypto.Signer) string {
	t.Helper()
	out, err := SignEnvelope(nil, e, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

var (
	infoOf  = regexp.MustCompile(`(?s)<ds:SignedInfo.*</ds:SignedInfo>`)
	valueOf = regexp.MustCompile(`<ds:SignatureValue>[^<]*</ds:SignatureValue>`)
	bodyOf  = regexp.MustCompile(`(?s)<s:Body.*</s:Body>`)
	tokenOf = regexp.MustCompile(`<wsse:BinarySecurityToken xmlns:u[^<]*</wsse:BinarySecurityToken>`)
	stampOf = regexp.MustCompile(`<u:Timestamp.*</u:Timestamp>`)
)

// digestOf is what a Reference says of a piece in canonical form.
func digestOf(piece string) string {
	sum := sha256.Sum256([]byte(piece))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// resigned is a message with its SignedInfo, which was changed, signed again.
func resigned(t testing.TB, key *rsa.PrivateKey, message string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(infoOf.FindString(message)))
	value, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return valueOf.ReplaceAllLiteralString(message, "<ds:SignatureValue>"+base64.StdEncoding.EncodeToString(value)+"</ds:SignatureValue>")
}

// A message that another hand wrote, with other prefixes, comments, CDATA, references and white space: what it signed was canonicalized by
// libxml2 and signed by OpenSSL. It means what it says.
func TestWIN067SignedElsewhere(t *testing.T) {
	e, err := DecodeRequest(read(t, filepath.Join("testdata", "signed", "foreign.xml")))
	if err != nil {
		t.Fatal(err)
	}
	rst, cert := e.Body.(*RequestSecurityToken), pemOf(t, "cert.pem")
	if c := &e.Header.Credential; c.Kind != X509 || !bytes.Equal(c.Token, cert) || !e.Header.Created.Equal(signedAt) || rst.Item(ItemHWDevID) != "4A6F5C0D9B1E" {
		t.Errorf("%s at %s, %q", c, e.Header.Created, rst.Context)
	}
}

// What we sign is what testdata has, to the byte, and is read as what was signed.
func TestWIN067Signed(t *testing.T) {
	key, cert := bootstrapKey(t, "key.pem"), pemOf(t, "cert.pem")
	policy := bootstrapRequest(cert)
	policy.Header.Action, policy.Body = ActionGetPolicies, &GetPolicies{}
	for name, e := range map[string]*Envelope{"rst": bootstrapRequest(cert), "get-policies": policy} {
		made, file := sign(t, e, key), filepath.Join("testdata", "signed", name+".golden")
		if *update {
			writeFile(t, file, made)
		}
		if want := string(read(t, file)); made != want {
			t.Errorf("%s: we write\n%s\nand not\n%s", name, made, want)
		}
		got, err := DecodeRequest([]byte(made))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if rst, ok := e.Body.(*RequestSecurityToken); ok {
			rst.Context[1].Value = strings.TrimSpace(rst.Context[1].Value)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s is read as another:\n%s", name, diff)
		}
	}
}

// HST-018, HST-036: what may be done to a signed message, by who has one and by who has the package's key. One that was signed again would
// be taken but for what was done to it.
func TestHST018Signatures(t *testing.T) {
	key, cert := bootstrapKey(t, "key.pem"), pemOf(t, "cert.pem")
	whole := sign(t, bootstrapRequest(cert), key)
	body, token, stamp, info := bodyOf.FindString(whole), tokenOf.FindString(whole), stampOf.FindString(whole), infoOf.FindString(whole)
	evil := strings.Replace(body, "8090C8B4", "DEADBEEF", 1)
	swap := func(old, with string) string {
		if !strings.Contains(whole, old) {
			t.Fatalf("the message has no %q", old)
		}
		return strings.Replace(whole, old, with, 1)
	}
	again := func(old, with string) string { return resigned(t, key, swap(old, with)) }
	endless := func(without string) string { // signed by who has the key, as all of again's are
		cut := regexp.MustCompile("<"+without+">[^<]*</"+without+">").ReplaceAllString(stamp, "")
		message := strings.Replace(swap(stamp, cut), digestOf(stamp), digestOf(cut), 1)
		return resigned(t, key, message)
	}
	transform := `<ds:Transform Algorithm="` + algorithmCanonical + `"></ds:Transform>`
	keyInfo := regexp.MustCompile(`<ds:KeyInfo>.*</ds:KeyInfo>`).FindString(whole)
	reference := regexp.MustCompile(`<ds:Reference URI="#_2">.*?</ds:Reference>`).FindString(whole)
	bomb := strings.Replace(body, `</RequestSecurityToken>`, `<x xmlns="urn:x" xmlns:p="`+strings.Repeat("u", 1<<14)+`">`+strings.Repeat(`<p:a/>`, 2000)+`</x></RequestSecurityToken>`, 1)
	for _, tt := range []struct{ name, message string }{
		{"a changed body", swap("8090C8B4", "DEADBEEF")},
		{"a changed Timestamp", swap("12:05:00", "23:05:00")},
		{"a changed token", swap(token, strings.Replace(token, "MII", "MIJ", 1))},
		{"a changed SignedInfo", swap(info, strings.Replace(info, "<ds:DigestValue>", "<ds:DigestValue>\n", 1))},
		{"the signature of another key", sign(t, bootstrapRequest(cert), bootstrapKey(t, "other.pem"))},
		{"no signature in the value", valueOf.ReplaceAllString(whole, "<ds:SignatureValue></ds:SignatureValue>")},

		{"the body wrapped in the header", swap(body, evil)[:strings.Index(swap(body, evil), "</s:Header>")] + "<x>" + body + "</x></s:Header>" + evil + "</s:Envelope>"},
		{"the body wrapped in an Object", strings.Replace(swap(body, evil), "</ds:Signature>", "<ds:Object>"+body+"</ds:Object></ds:Signature>", 1)},
		{"two bodies", swap(body, body+evil)},
		{"the body wrapped in the body", swap(body, strings.Replace(evil, "</s:Body>", body+"</s:Body>", 1))},
		{"a body of another id", swap(body, strings.Replace(evil, `u:Id="_2"`, `u:Id="_3"`, 1))},
		{"a body without an id", swap(body, strings.Replace(evil, ` u:Id="_2"`, "", 1))},
		{"an id twice in the body", swap(body, strings.Replace(body, ` u:Id="_2"`, ` u:Id="_2" Id="_2"`, 1))},
		{"the token twice", swap(token, token+token)},
		{"the token wrapped in KeyInfo", swap(keyInfo, "<ds:KeyInfo>"+token+"</ds:KeyInfo>")},
		{"the Timestamp twice", swap(stamp, stamp+stamp)},
		{"no Timestamp", swap(stamp, "")},
		{"a Timestamp without its end", endless("u:Expires")},
		{"a Timestamp without its beginning", endless("u:Created")},
		{"the signature twice", swap("</wsse:Security>", whole[strings.Index(whole, "<ds:Signature "):strings.Index(whole, "</wsse:Security>")]+"</wsse:Security>")},
		{"the signature outside Security", swap("</wsse:Security>", "</wsse:Security><ds:Signature xmlns:ds=\""+namespaces[nsSignature]+"\"/>")},
		{"a signature and a password", swap(token, "<wsse:UsernameToken><wsse:Username>a</wsse:Username><wsse:Password>b</wsse:Password></wsse:UsernameToken>")},
		{"a signature without a token", swap(token, "")},

		{"digests by SHA-1", again(algorithmSHA256, "http://www.w3.org/2000/09/xmldsig#sha1")},
		{"signed with SHA-1", again(algorithmRSASHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1")},
		{"signed with HMAC", again(algorithmRSASHA256, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")},
		{"no algorithm", again(` Algorithm="`+algorithmRSASHA256+`"`, "")},
		{"inclusive canonicalization", again(algorithmCanonical, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315")},
		{"canonicalization with comments", again(transform, `<ds:Transform Algorithm="`+algorithmCanonical+`WithComments"></ds:Transform>`)},
		{"an enveloped signature", again(transform, `<ds:Transform Algorithm="`+namespaces[nsSignature]+`enveloped-signature"></ds:Transform>`)},
		{"XSLT", again(transform, `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><x xmlns="http://www.w3.org/1999/XSL/Transform"></x></ds:Transform>`)},
		{"XPath", again(transform, `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>1</ds:XPath></ds:Transform>`)},
		{"a parameter", again(transform, strings.Replace(transform, "></", `><x xmlns="`+algorithmCanonical+`" PrefixList="s"></x></`, 1))},
		{"two transforms", again(transform, transform+transform)},
		{"ten thousand transforms", again(transform, strings.Repeat(transform, 10_000))},
		{"no transform", again("<ds:Transforms>"+transform+"</ds:Transforms>", "")},

		{"a reference to everything", again(`URI="#_2"`, `URI=""`)},
		{"a reference without its #", again(`URI="#_2"`, `URI="_2"`)},
		{"a reference without a URI", again(` URI="#_2"`, "")},
		{"a reference to a file", again(`URI="#_2"`, `URI="file:///etc/passwd"`)},
		{"a reference to a host", again(`URI="#_2"`, `URI="https://attacker.example/x"`)},
		{"a reference by XPointer", again(`URI="#_2"`, `URI="#xpointer(/)"`)},
		{"the body not signed", again(reference, "")},
		{"the Timestamp signed in the body's stead", again(`URI="#_2"`, `URI="#_0"`)},
		{"a reference more", again(reference, reference+reference)},
		{"a Manifest", swap("</ds:Signature>", "<ds:Object><ds:Manifest>"+reference+"</ds:Manifest></ds:Object></ds:Signature>")},
		{"no SignedInfo", swap(info, "")},
		{"two SignedInfo", swap(info, info+info)},

		{"another token's key", swap(`<wsse:Reference URI="#_1"`, `<wsse:Reference URI="#_2"`)},
		{"a certificate in KeyInfo", swap(keyInfo, "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>"+base64.StdEncoding.EncodeToString(cert)+"</ds:X509Certificate></ds:X509Data></ds:KeyInfo>")},
		{"a key in KeyInfo", swap(keyInfo, "<ds:KeyInfo><ds:KeyValue/></ds:KeyInfo>")},
		{"a key to be fetched", swap(keyInfo, `<ds:KeyInfo><ds:RetrievalMethod URI="https://attacker.example/key"/></ds:KeyInfo>`)},
		{"no KeyInfo", swap(keyInfo, "")},

		{"a document type", `<!DOCTYPE s:Envelope [<!ATTLIST s:Body Id ID #IMPLIED>]>` + whole},
		{"an entity in SignedInfo", swap("<ds:DigestValue>", "<ds:DigestValue>&d;")},
		{"a processing instruction in the body", swap(body, strings.Replace(body, "</s:Body>", "<?x?></s:Body>", 1))},
		{"long namespaces again and again", swap(body, bomb)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.message == whole {
				t.Fatal("nothing was done to the message")
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			e, err := DecodeRequest([]byte(tt.message))
			runtime.ReadMemStats(&after)
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("%+v, %v, want a refusal", e, err)
			}
			if tt.name == "long namespaces again and again" && !strings.Contains(err.Error(), "HST-001") {
				t.Errorf("%v, want it refused for its size, before it is digested", err)
			}
			if e != nil && e.Body != nil {
				t.Error("a body came with the refusal")
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 32<<20 {
				t.Errorf("%d bytes allocated (HST-001)", got)
			}
			if strings.Contains(err.Error(), "DEADBEEF") {
				t.Errorf("the error %q tells a value", err)
			}
		})
	}
}

// Messages that mean the same are taken, and comments cut no value short: the reader leaves them out as the digest does.
func TestHST018SignaturesTaken(t *testing.T) {
	key, cert := bootstrapKey(t, "key.pem"), pemOf(t, "cert.pem")
	whole := sign(t, bootstrapRequest(cert), key)
	want, err := DecodeRequest([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	for name, message := range map[string]string{
		"a comment in a value":      strings.Replace(whole, "8090C8B4", "8090<!-- x -->C8B4", 1),
		"CDATA":                     strings.Replace(whole, "8090C8B4", "<![CDATA[8090]]>C8B4", 1),
		"character references":      strings.Replace(whole, "8090C8B4", "&#56;090C8B4", 1),
		"a comment in a digest":     strings.Replace(whole, "<ds:DigestValue>", "<ds:DigestValue><!-- -->", 1),
		"other quotes, other order": strings.Replace(whole, ` EncodingType="`+encodingBase64+`" ValueType="`+typePKCS10+`"`, ` ValueType='`+typePKCS10+`'`+"\n"+`EncodingType='`+encodingBase64+`'`, 1),
		"a namespace nobody uses":   strings.Replace(whole, "<s:Envelope", `<s:Envelope xmlns:zz="urn:zz"`, 1),
		"empty elements":            strings.ReplaceAll(whole, "></ds:DigestMethod>", "/>"),
		"an id without its #":       strings.Replace(whole, `<wsse:Reference URI="#_1"`, `<wsse:Reference URI="_1"`, 1),
	} {
		got, err := DecodeRequest([]byte(message))
		if message == whole {
			t.Errorf("%s: nothing was done to the message", name)
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

// HST-040: whose key is weak, or none that signs so.
func TestHST040SignersKeys(t *testing.T) {
	certOf := func(key crypto.Signer) []byte {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string][]byte{"RSA-1024": certOf(weak), "P-256": certOf(curve), "no certificate": []byte("token")} {
		key := crypto.Signer(weak)
		if name == "P-256" {
			key = curve
		}
		if _, err := DecodeRequest([]byte(sign(t, bootstrapRequest(cert), key))); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzSignature holds that whoever has a signed message and not the key can make no other of it: what is taken with the package's
// certificate is what was signed.
func FuzzSignature(f *testing.F) {
	key, cert := bootstrapKey(f, "key.pem"), pemOf(f, "cert.pem")
	f.Add(read(f, filepath.Join("testdata", "signed", "foreign.xml")))
	f.Add([]byte(sign(f, bootstrapRequest(cert), key)))
	var signed []*Envelope
	for _, body := range [][]byte{read(f, filepath.Join("testdata", "signed", "foreign.xml")), read(f, filepath.Join("testdata", "signed", "rst.golden"))} {
		e, err := DecodeRequest(body)
		if err != nil {
			f.Fatal(err)
		}
		signed = append(signed, e)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := DecodeRequest(body)
		malformed(t, err)
		if err != nil || e.Header.Credential.Kind != X509 || !bytes.Equal(e.Header.Credential.Token, cert) {
			return
		}
		for _, of := range signed {
			if e.Header.Created.Equal(of.Header.Created) && e.Header.Expires.Equal(of.Header.Expires) && cmp.Equal(e.Body, of.Body) {
				return
			}
		}
		t.Fatalf("nobody signed %+v", e)
	})
}

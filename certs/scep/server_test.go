package scep

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	fork "github.com/smallstep/pkcs7"

	"rollcall/certs"
)

func TestAPL005Operations(t *testing.T) {
	d := newDesk(ecAuthority(), "c1", "c2")
	post := newDraft(d.ca, enrolRequest("c1")).sign()
	// A message whose base64 has all of + / =, which must survive the query.
	longer := newDraft(d.ca, enrolRequest("c2"))
	get := longer.sign()
	for len(get)%3 == 0 {
		longer.id += "x"
		get = longer.sign()
	}
	encoded := base64.StdEncoding.EncodeToString(get)
	if !strings.Contains(encoded, "+") || !strings.Contains(encoded, "/") {
		t.Fatal("unlikely base64")
	}
	for _, tt := range []struct {
		name, method, query string
		body                []byte
		ca                  *certs.Authority
		status              int
		contentType         string
	}{
		{"GetCACaps", "GET", "operation=GetCACaps", nil, d.ca, 200, "text/plain"},
		{"GetCACaps as Apple asks", "GET", "operation=GetCACaps&message=", nil, d.ca, 200, "text/plain"},
		{"GetCACert with RA", "GET", "operation=GetCACert&message=name", nil, d.ca, 200, "application/x-x509-ca-ra-cert"},
		{"GetCACert of an RSA CA", "GET", "operation=GetCACert", nil, rsaAuthority(), 200, "application/x-x509-ca-cert"},
		{"PKIOperation by POST", "POST", "operation=PKIOperation", post, d.ca, 200, "application/x-pki-message"},
		{"PKIOperation by GET", "GET", "operation=PKIOperation&message=" + url.QueryEscape(encoded), nil, d.ca, 200, "application/x-pki-message"},
		{"PKIOperation by GET, plus not encoded", "GET", "operation=PKIOperation&message=" + strings.ReplaceAll(url.QueryEscape(encoded), "%2B", "+"), nil, d.ca, 200, "application/x-pki-message"},
		{"other parameters", "GET", "tenant=7&operation=GetCACaps", nil, d.ca, 200, "text/plain"},
		{"not announced", "GET", "operation=GetNextCACert", nil, d.ca, 400, ""},
		{"case matters", "GET", "Operation=GetCACaps", nil, d.ca, 400, ""},
		{"twice", "GET", "operation=GetCACaps&operation=GetCACert", nil, d.ca, 400, ""},
		{"none", "GET", "", nil, d.ca, 400, ""},
		{"wrong method", "PUT", "operation=PKIOperation", post, d.ca, 405, ""},
		{"POST of a question", "POST", "operation=GetCACert", nil, d.ca, 405, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := d.server()
			s.CA = tt.ca
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(tt.method, "/scep?"+tt.query, bytes.NewReader(tt.body)))
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if got := w.Header().Get("Content-Type"); tt.contentType != "" && got != tt.contentType {
				t.Errorf("content type %q, want %q", got, tt.contentType)
			}
			if tt.contentType == "application/x-pki-message" {
				if info, words := failInfo(t, tt.ca, w.Body.Bytes()); info != -1 {
					t.Errorf("refused: %s %s", info, words)
				}
			}
		})
	}
}

func TestAPL006CertRepAttributes(t *testing.T) {
	d := newDesk(ecAuthority(), "c")
	request := newDraft(d.ca, enrolRequest("c"))
	request.id = "Ab/+=.1" // base64 as other clients make it
	der := request.sign()
	var nonces [][]byte
	for range 2 { // a repeat has the same request's nonce and must get another one of ours
		m := must(parseMessage(must(d.server().respond(t.Context(), der))))
		for _, a := range []struct {
			name string
			id   asn1.ObjectIdentifier
			tag  int
			want []byte
		}{
			{"messageType", oidMessageType, asn1.TagPrintableString, []byte("3")},
			{"pkiStatus", oidPKIStatus, asn1.TagPrintableString, []byte("0")},
			{"transactionID", oidTransactionID, asn1.TagPrintableString, []byte(request.id)},
			{"recipientNonce", oidRecipientNonce, asn1.TagOctetString, request.nonce},
			{"senderNonce", oidSenderNonce, asn1.TagOctetString, nil},
		} {
			var got asn1.RawValue
			if err := m.Attribute(a.id, &got); err != nil {
				t.Fatal(err)
			}
			if got.Tag != a.tag || a.want != nil && !bytes.Equal(got.Bytes, a.want) {
				t.Errorf("%s = tag %d %q, want tag %d %q", a.name, got.Tag, got.Bytes, a.tag, a.want)
			}
		}
		if len(m.senderNonce) != 16 || bytes.Equal(m.senderNonce, request.nonce) {
			t.Errorf("senderNonce %x is not fresh", m.senderNonce)
		}
		nonces = append(nonces, m.senderNonce)
		if !bytes.Equal(m.Certificates[0].Raw, d.issued[request.id+string(d.asked[0].CSRHash[:])].Raw) {
			t.Error("the issued certificate is not first in the outer set")
		}
	}
	if bytes.Equal(nonces[0], nonces[1]) {
		t.Error("two answers with one senderNonce")
	}
}

func TestAPL007Refusals(t *testing.T) {
	ca := ecAuthority()
	good := func() *draft { return newDraft(ca, enrolRequest("good")) }
	change := func(f func(*draft)) []byte { d := good(); f(d); return d.sign() }
	altered := good().sign()
	altered[bytes.LastIndex(altered, []byte{0x04, 0x82, 0x01, 0x00})+100] ^= 1 // in the signature
	ec := ecKey()
	ecSigner := certs.Signer{Key: ec, Certificate: must(selfSigned(ec, pkix.Name{CommonName: "x"}, at, at.AddDate(0, 0, 1)))}
	otherRA := must(certs.Encrypt(must(newEnrolment(trusted(ca), ptr(enrolRequest("good")))).csr, rsaAuthority().RA().Certificate))
	for _, tt := range []struct {
		name string
		der  []byte
		want FailInfo
	}{
		{"good", good().sign(), -1},
		{"wrong challenge", newDraft(ca, enrolRequest("wrong")).sign(), BadRequest},
		{"missing challenge", newDraft(ca, enrolRequest("")).sign(), BadRequest},
		{"spent challenge", newDraft(ca, enrolRequest("spent")).sign(), BadRequest},
		{"altered signature", altered, BadMessageCheck},
		{"signed by another key than the certificate's", change(func(d *draft) { d.signer.Key = must(certs.GenerateKey(certs.RSA2048)) }), BadMessageCheck},
		{"encrypted to another RA", change(func(d *draft) { d.content = otherRA }), BadMessageCheck},
		{"not an envelope", change(func(d *draft) { d.content = []byte("hello") }), BadMessageCheck},
		{"no content", change(func(d *draft) { d.content = nil }), BadMessageCheck},
		{"not a CSR inside", change(func(d *draft) { d.content = must(certs.Encrypt([]byte("hello"), ca.RA().Certificate)) }), BadMessageCheck},
		{"EC outer signer", change(func(d *draft) { d.signer = ecSigner }), BadAlg},
		{"3DES", change(func(d *draft) { d.content = must(os.ReadFile("testdata/enveloped-des3.der")) }), BadAlg},
		{"single DES", change(func(d *draft) { d.content = must(fork.Encrypt([]byte("x"), []*x509.Certificate{ca.RA().Certificate})) }), BadAlg},
		{"SHA-1", sha1Message(t, ca), BadAlg},
		{"unknown message type", change(func(d *draft) { d.kind = "99" }), BadRequest},
		{"poll for nothing readable", change(func(d *draft) { d.kind = "20" }), BadMessageCheck},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(ca, "good")
			w := httptest.NewRecorder()
			d.server().ServeHTTP(w, httptest.NewRequest("POST", "/?operation=PKIOperation", bytes.NewReader(tt.der)))
			if w.Code != http.StatusOK {
				t.Fatalf("status %d", w.Code)
			}
			info, words := failInfo(t, ca, w.Body.Bytes())
			if info != tt.want {
				t.Errorf("failInfo %v (%s), want %v", info, words, tt.want)
			}
			if tt.want != -1 && len(d.issued) > 0 {
				t.Error("a certificate was issued all the same")
			}
		})
	}
	legacy := newDesk(ca, "good").server()
	legacy.Policy.Legacy = true
	if info, words := failInfo(t, ca, must(legacy.respond(t.Context(), sha1Message(t, ca)))); info != -1 {
		t.Errorf("SHA-1 with legacyCMS: %s %s", info, words)
	}
}

func ptr[T any](v T) *T { return &v }

// sha1Message is a PKCSReq as an old device makes it, by the library.
func sha1Message(t *testing.T, ca *certs.Authority) []byte {
	t.Helper()
	d := newDraft(ca, enrolRequest("good"))
	sd := must(fork.NewSignedData(d.content))
	sd.SetDigestAlgorithm(fork.OIDDigestAlgorithmSHA1)
	err := sd.AddSigner(d.signer.Certificate, d.signer.Key, fork.SignerInfoConfig{ExtraSignedAttributes: []fork.Attribute{
		{Type: oidMessageType, Value: d.kind}, {Type: oidTransactionID, Value: d.id}, {Type: oidSenderNonce, Value: d.nonce},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return must(sd.Finish())
}

// HST-036: what an alteration breaks inside the encrypted part cannot be told from the answer.
func TestHST036OneAnswerForUnreadableEnvelopes(t *testing.T) {
	ca := ecAuthority()
	texts := make(map[string]bool)
	for offset := range 30 { // inside the encrypted content of some 250 bytes
		d := newDraft(ca, enrolRequest("good"))
		d.content[len(d.content)-1-offset*7] ^= 0x41
		info, words := failInfo(t, ca, must(newDesk(ca, "good").server().respond(t.Context(), d.sign())))
		if info == BadRequest && strings.Contains(words, "signature") {
			continue // a bit of the CSR's own signature: the padding stayed as it was
		}
		texts[fmt.Sprint(info, words)] = true
	}
	if len(texts) != 1 {
		t.Errorf("answers can be told apart: %v", texts)
	}
}

func TestAPL008Repeat(t *testing.T) {
	ca := ecAuthority()
	d := newDesk(ca, "c")
	client := clientOf(d.server())
	r := enrolRequest("c")
	first, err := client.Enrol(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	// The answer was lost: the device asks again, with the same key and challenge.
	second, err := client.Enrol(t.Context(), r)
	if err != nil || !second.Equal(first) {
		t.Errorf("repeat: %v, another certificate: %t", err, err == nil)
	}
	other := enrolRequest("c")
	no := (*Failure)(nil)
	if _, err := client.Enrol(t.Context(), other); !errors.As(err, &no) || no.Info != BadRequest {
		t.Errorf("another key with the spent challenge: %v", err)
	}
	if len(d.issued) != 1 {
		t.Errorf("%d certificates issued", len(d.issued))
	}
}

func TestHST041Replay(t *testing.T) {
	d := newDesk(ecAuthority(), "c")
	request := newDraft(d.ca, enrolRequest("c")).sign()
	s := d.server()
	one, two := must(parseMessage(must(s.respond(t.Context(), request)))), must(parseMessage(must(s.respond(t.Context(), request))))
	if len(d.issued) != 1 || !one.Certificates[0].Equal(two.Certificates[0]) {
		t.Errorf("%d certificates for a replay", len(d.issued))
	}
	if d.asked[0].CSRHash != d.asked[1].CSRHash || d.asked[0].TransactionID != d.asked[1].TransactionID {
		t.Error("a replay cannot be recognised")
	}
}

func TestAPL011Renewal(t *testing.T) {
	ca := ecAuthority()
	key := rsaKey()
	issue := func(a *certs.Authority, now time.Time) certs.Signer {
		return certs.Signer{Key: key, Certificate: must(a.Issue(certs.IssueRequest{Public: key.Public(), Handle: "7f3a", Now: now}))}
	}
	present := issue(ca, at)
	revoked := issue(ca, at)
	self := certs.Signer{Key: key, Certificate: must(selfSigned(key, present.Certificate.Subject, at.Add(-time.Hour), at.AddDate(1, 0, 0)))}
	for _, tt := range []struct {
		name    string
		by      certs.Signer
		subject string // of the CSR; empty: the present one
		want    string // in the refusal; empty: issued
	}{
		{"valid", present, "", ""},
		{"expired", issue(ca, at.AddDate(-2, 0, 0)), "", "expired"},
		{"not yet valid", issue(ca, at.AddDate(0, 0, 1)), "", "not yet valid"},
		{"revoked", revoked, "", "revoked"},
		{"foreign", issue(rsaAuthority(), at), "", "not issued by this authority"},
		{"self-signed with our subject", self, "", "not issued by this authority"},
		{"our registration authority", ca.RA(), "", "not a client identity"},
		{"subject changed", present, "somebody else", "subject"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(ca)
			d.revoked[revoked.Certificate.SerialNumber.String()] = true
			r := EnrolRequest{Key: ecKey(), Renew: &tt.by, Now: at}
			request := newDraft(ca, r)
			if tt.subject != "" {
				other := must(newEnrolment(trusted(ca), &EnrolRequest{Key: ecKey(), Transport: transport(), Subject: pkix.Name{CommonName: tt.subject}}))
				request.content = must(certs.Encrypt(other.csr, ca.RA().Certificate))
			}
			if request.kind != "17" {
				t.Fatalf("message type %s", request.kind)
			}
			info, words := failInfo(t, ca, must(d.server().respond(t.Context(), request.sign())))
			if tt.want == "" && info != -1 || tt.want != "" && (info != BadRequest || !strings.Contains(words, tt.want)) {
				t.Errorf("%v %q, want a refusal naming %q", info, words, tt.want)
			}
			if tt.want != "" && len(d.issued) > 0 {
				t.Error("issued all the same")
			}
		})
	}
	renewed, err := clientOf(newDesk(ca).server()).Enrol(t.Context(), EnrolRequest{Key: key, Renew: &present, Now: at})
	if err != nil || renewed.Subject.String() != present.Certificate.Subject.String() || renewed.Equal(present.Certificate) {
		t.Errorf("Enrol with Renew: %v", err)
	}
}

func TestAPL012Capabilities(t *testing.T) {
	s := newDesk(ecAuthority()).server()
	const strict = "AES\nSHA-256\nSHA-512\nPOSTPKIOperation\nRenewal\nSCEPStandard\n"
	for legacy, want := range map[bool]string{false: strict, true: strict + "SHA-1\nDES3\n"} {
		s.Policy.Legacy = legacy
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/?operation=GetCACaps", nil))
		if got := w.Body.String(); got != want {
			t.Errorf("legacyCMS %t: %q, want %q", legacy, got, want)
		}
		// Whatever is taken from a client, the answer is AES.
		d := newDesk(s.CA, "c")
		server := d.server()
		server.Policy.Legacy = legacy
		rep := must(parseMessage(must(server.respond(t.Context(), newDraft(s.CA, enrolRequest("c")).sign()))))
		if !bytes.Contains(rep.Content, must(asn1.Marshal(fork.OIDEncryptionAlgorithmAES128CBC))) {
			t.Errorf("legacyCMS %t: answer not encrypted with AES-128", legacy)
		}
	}
}

func TestAPL013BadBodies(t *testing.T) {
	s := newDesk(ecAuthority()).server()
	noID := newDraft(s.CA, enrolRequest("c"))
	noID.attributes = []certs.Attribute{{Type: oidMessageType, Value: "19"}, {Type: oidSenderNonce, Value: noID.nonce}}
	noNonce := newDraft(s.CA, enrolRequest("c"))
	noNonce.attributes = []certs.Attribute{{Type: oidMessageType, Value: "19"}, {Type: oidTransactionID, Value: "x"}}
	noType := newDraft(s.CA, enrolRequest("c"))
	noType.attributes = []certs.Attribute{{Type: oidTransactionID, Value: "x"}, {Type: oidSenderNonce, Value: noType.nonce}}
	longID := newDraft(s.CA, enrolRequest("c"))
	longID.id = strings.Repeat("x", 256)
	control := newDraft(s.CA, enrolRequest("c"))
	control.id = "a\nb"
	for _, tt := range []struct {
		name, method, query string
		body                []byte
		encoding            string
		want                int
	}{
		{"empty POST", "POST", "", nil, "", 400},
		{"empty GET", "GET", "&message=", nil, "", 400},
		{"garbage", "POST", "", []byte("garbage"), "", 400},
		{"HTML", "POST", "", []byte("<html></html>"), "", 400},
		{"no base64", "GET", "&message=***", nil, "", 400},
		{"no transactionID", "POST", "", noID.sign(), "", 400},
		{"no senderNonce", "POST", "", noNonce.sign(), "", 400},
		{"no messageType", "POST", "", noType.sign(), "", 400},
		{"transactionID of 256 bytes", "POST", "", longID.sign(), "", 400},
		{"line break in the transactionID", "POST", "", control.sign(), "", 400},
		{"unsigned", "POST", "", must(certs.Degenerate(s.CA.Certificate())), "", 400},
		{"HST-001 POST", "POST", "", make([]byte, 128<<10+1), "", 413},
		{"HST-001 GET", "GET", "&message=" + strings.Repeat("A", 180_000), nil, "", 413},
		{"HST-012 compressed", "POST", "", []byte("x"), "gzip", 415},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(tt.method, "/?operation=PKIOperation"+tt.query, bytes.NewReader(tt.body))
			if tt.encoding != "" {
				r.Header.Set("Content-Encoding", tt.encoding)
			}
			s.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("status %d, want %d: %s", w.Code, tt.want, w.Body)
			}
		})
	}
	good := newDraft(s.CA, enrolRequest("c")).sign()
	for n := 0; n < len(good); n++ { // HST-002
		if _, err := s.respond(t.Context(), good[:n]); !errors.Is(err, certs.ErrMalformed) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(good), err)
		}
	}
}

func TestHST038MessageTypes(t *testing.T) {
	ca := ecAuthority()
	for _, kind := range []string{"", "0", "3", "18", "21", "22", "99", "-1", "19 ", "019", "0x13", "PKCSReq", "65555"} {
		d := newDesk(ca, "c")
		request := newDraft(ca, enrolRequest("c"))
		request.kind = kind
		info, words := failInfo(t, ca, must(d.server().respond(t.Context(), request.sign())))
		if info != BadRequest || d.calls > 0 {
			t.Errorf("message type %q: %v %q, %d calls of Issue", kind, info, words, d.calls)
		}
	}
	d := newDesk(ca, "c")
	request := newDraft(ca, enrolRequest("c"))
	request.kind = "17" // not signed by an identity, but with a good challenge
	if info, words := failInfo(t, ca, must(d.server().respond(t.Context(), request.sign()))); info != BadRequest || d.calls > 0 {
		t.Errorf("RenewalReq of a stranger: %v %q, %d calls of Issue", info, words, d.calls)
	}
}

func TestHST040CSRRefusedByName(t *testing.T) {
	ca := ecAuthority()
	weak := must(newEnrolment(trusted(ca), ptr(enrolRequest("c")))).csr
	weak[len(weak)-1] ^= 1
	d := newDraft(ca, enrolRequest("c"))
	d.content = must(certs.Encrypt(weak, ca.RA().Certificate))
	info, words := failInfo(t, ca, must(newDesk(ca, "c").server().respond(t.Context(), d.sign())))
	if info != BadRequest || !strings.Contains(words, "signature") {
		t.Errorf("bad self-signature: %v %q", info, words)
	}
}

func TestIssueErrors(t *testing.T) {
	ca := ecAuthority()
	broken := errors.New("disk full")
	var told []error
	s := &Server{CA: ca, Now: func() time.Time { return at }, Refused: func(_ context.Context, err error) { told = append(told, err) }}
	for _, tt := range []struct {
		name   string
		err    error
		status int
		want   FailInfo
		words  string
	}{
		{"failure", &Failure{BadTime, "AUTH-47: no licence"}, 200, BadTime, "AUTH-47: no licence"},
		{"wrapped failure", fmt.Errorf("device x: %w", &Failure{Info: BadCertID}), 200, BadCertID, ""},
		{"pending", ErrPending, 200, -1, ""},
		{"ours to mend", broken, 503, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told = nil
			s.Issue = func(context.Context, *Request) (*x509.Certificate, error) { return nil, tt.err }
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest("POST", "/?operation=PKIOperation", bytes.NewReader(newDraft(ca, enrolRequest("c")).sign())))
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d", w.Code, tt.status)
			}
			if strings.Contains(w.Body.String(), "disk full") {
				t.Error("an inner error leaves the server")
			}
			if tt.err != ErrPending && (len(told) != 1 || !errors.Is(told[0], tt.err)) {
				t.Errorf("Refused was told %v", told)
			}
			if tt.status != 200 {
				return
			}
			if info, words := failInfo(t, ca, w.Body.Bytes()); info != tt.want || words != tt.words {
				t.Errorf("%v %q, want %v %q", info, words, tt.want, tt.words)
			}
		})
	}
	bare := must(certs.LoadAuthority(certs.CertificatesPEM(ca.Certificate()), firstKey(ca)))
	for _, operation := range []string{"GetCACert", "PKIOperation&message=MAA="} {
		w := httptest.NewRecorder()
		(&Server{CA: bare}).ServeHTTP(w, httptest.NewRequest("GET", "/?operation="+operation, nil))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s without registration authority: %d", operation, w.Code)
		}
	}
}

// firstKey is the CA's key of what PEM writes.
func firstKey(a *certs.Authority) []byte {
	_, keys, _ := a.PEM()
	return keys[:bytes.Index(keys[1:], []byte("-----BEGIN"))+1]
}

// TestAnswersAreSigned: by RSA to whoever asks with an RSA key and always in a refusal; to a P-256 key by the authority's own, where
// its certificate may sign messages.
func TestAnswersAreSigned(t *testing.T) {
	ec := ecAuthority()
	key := must(certs.GenerateKey(certs.P256))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "EC authority"}, NotBefore: at, NotAfter: at.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	own := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))))
	ra := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: at, NotAfter: at.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageKeyEncipherment,
	}, own, rsaKey().Public(), key))))
	mute := must(certs.LoadAuthority(certs.CertificatesPEM(own, ra), append(must(certs.KeyPEM(key)), must(certs.KeyPEM(rsaKey()))...)))
	for _, tt := range []struct {
		name      string
		ca        *certs.Authority
		key       crypto.Signer
		challenge string
		want      *x509.Certificate
	}{
		{"P-256", ec, ecKey(), "c", ec.Certificate()},
		{"P-256, refused", ec, ecKey(), "another", ec.RA().Certificate},
		{"RSA", ec, rsaKey(), "c", ec.RA().Certificate},
		{"P-256 of an RSA authority", rsaAuthority(), ecKey(), "c", rsaAuthority().Certificate()},
		{"P-256 of an authority that may not sign messages", mute, ecKey(), "c", ra},
	} {
		r := enrolRequest(tt.challenge)
		r.Key = tt.key
		m := must(parseMessage(must(newDesk(tt.ca, "c").server().respond(t.Context(), newDraft(tt.ca, r).sign()))))
		if !m.Signer.Equal(tt.want) {
			t.Errorf("%s: signed by %s, want %s", tt.name, m.Signer.Subject, tt.want.Subject)
		}
		if err := m.Check(certs.Policy{}); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestHST037TwoAtOnce(t *testing.T) {
	// Two at once: exactly one wins, when the store spends challenges one after the other.
	ca := ecAuthority()
	d := newDesk(ca, "once")
	s := d.server()
	results := make(chan FailInfo)
	for range 2 {
		request := newDraft(ca, enrolRequest("once")).sign()
		go func() {
			rep, _ := s.respond(context.Background(), request)
			info, _ := failInfo(t, ca, rep)
			results <- info
		}()
	}
	if a, b := <-results, <-results; a+b != -1+BadRequest {
		t.Errorf("two at once: %v and %v, want one issued and one badRequest", a, b)
	}
}

func FuzzRespond(f *testing.F) {
	d := newDesk(ecAuthority(), "c")
	s := d.server()
	f.Add(newDraft(d.ca, enrolRequest("c")).sign())
	poll := newDraft(d.ca, enrolRequest("c"))
	poll.kind = "20"
	f.Add(poll.sign())
	f.Add(must(certs.Degenerate(d.ca.Certificate())))
	f.Fuzz(func(t *testing.T, der []byte) {
		rep, err := s.respond(context.Background(), der)
		if err != nil {
			if !errors.Is(err, certs.ErrMalformed) {
				t.Errorf("respond = %v", err)
			}
			return
		}
		failInfo(t, d.ca, rep) // an answer is always one
	})
}

func BenchmarkServerPKCSReq(b *testing.B) {
	ca := ecAuthority()
	s := &Server{CA: ca, Now: func() time.Time { return at }, Issue: func(_ context.Context, r *Request) (*x509.Certificate, error) {
		return ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "h", Now: at})
	}}
	der := newDraft(ca, enrolRequest("c")).sign()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.respond(context.Background(), der); err != nil {
			b.Fatal(err)
		}
	}
}

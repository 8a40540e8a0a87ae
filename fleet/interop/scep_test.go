package interop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	kitlog "github.com/go-kit/kit/log"
	scepclient "github.com/micromdm/scep/v2/client"
	"github.com/micromdm/scep/v2/cryptoutil/x509util"
	"github.com/micromdm/scep/v2/depot"
	filedepot "github.com/micromdm/scep/v2/depot/file"
	scepserver "github.com/micromdm/scep/v2/server"
	"github.com/smallstep/pkcs7"
	smallstep "github.com/smallstep/scep"

	"rollcall/certs"
	"rollcall/certs/scep"
)

// micromdm's client takes http.DefaultClient, which trusts no CA of ours, so SCEP goes over plain HTTP here, as it
// may: its messages protect themselves (RFC 8894, section 4.1).

// modernise makes smallstep's CMS library use what RFC 8894 demands, for one test. It says so in package globals, which
// nothing in micromdm's programs sets: out of the box it signs with SHA-1 and encrypts with single DES.
func modernise(t testing.TB) {
	t.Helper()
	if err := pkcs7.SetDefaultDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256); err != nil {
		t.Fatal(err)
	}
	encryption := pkcs7.ContentEncryptionAlgorithm
	pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES128CBC
	t.Cleanup(func() {
		pkcs7.SetDefaultDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA1)
		pkcs7.ContentEncryptionAlgorithm = encryption
	})
}

var (
	oidSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
)

// nonces reads both nonces of an answer.
func nonces(t testing.TB, certRep []byte) (sender, recipient []byte) {
	t.Helper()
	m := must(certs.ParseSigned(certRep))(t)
	if err := errors.Join(m.Attribute(oidSenderNonce, &sender), m.Attribute(oidRecipientNonce, &recipient)); err != nil {
		t.Fatal(err)
	}
	return sender, recipient
}

// checkIdentity checks that c is a certificate of ca for key.
func checkIdentity(t testing.TB, c, ca *x509.Certificate, key crypto.Signer) {
	t.Helper()
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(c.PublicKey) {
		t.Error("the certificate is for another key")
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: poolOf(ca), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
}

// A desk is our SCEP server with a few challenges, each good for one certificate.
type desk struct {
	ca     *certs.Authority
	mu     sync.Mutex
	unused []string
	issued int
}

func (d *desk) issue(_ context.Context, r *scep.Request) (*x509.Certificate, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Type == scep.PKCSReq {
		i := slices.Index(d.unused, r.Challenge)
		if i < 0 {
			return nil, &scep.Failure{Info: scep.BadRequest, Text: "challenge refused"}
		}
		d.unused = slices.Delete(d.unused, i, i+1)
	}
	d.issued++
	return d.ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "handle", Now: time.Now()})
}

func (d *desk) serve(t testing.TB, p certs.Policy) string {
	t.Helper()
	s := httptest.NewServer(&scep.Server{CA: d.ca, Policy: p, Issue: d.issue})
	t.Cleanup(s.Close)
	return s.URL + "/scep"
}

// A theirRequest is what micromdm's client asks; the steps are those of its program scepclient.
type theirRequest struct {
	challenge string
	subject   pkix.Name
	key       *rsa.PrivateKey
	renew     *x509.Certificate // present certificate of key; nil: none
	selector  smallstep.CertsSelector
}

// message makes a pkiMessage for the CA at url.
func (q *theirRequest) message(t testing.TB, client scepclient.Client) (*smallstep.PKIMessage, []*x509.Certificate, *x509.Certificate, error) {
	t.Helper()
	template := &x509util.CertificateRequest{
		CertificateRequest: x509.CertificateRequest{Subject: q.subject, SignatureAlgorithm: x509.SHA256WithRSA}, ChallengePassword: q.challenge,
	}
	csr := must(x509.ParseCertificateRequest(must(x509util.CreateCertificateRequest(rand.Reader, template, q.key))(t)))(t)
	signer, kind := q.renew, smallstep.RenewalReq
	if signer == nil {
		temporary := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "SCEP SIGNER"}, NotBefore: time.Now().Add(-time.Minute),
			NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
		}
		der := must(x509.CreateCertificate(rand.Reader, temporary, temporary, q.key.Public(), q.key))(t)
		signer, kind = must(x509.ParseCertificate(der))(t), smallstep.PKCSReq
	}
	body, n, err := client.GetCACert(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	list := must(x509.ParseCertificates(body))
	if n > 1 {
		list = must(smallstep.CACerts(body))
	}
	ca := list(t)
	if q.selector == nil {
		q.selector = smallstep.NopCertsSelector()
	}
	m, err := smallstep.NewCSRRequest(csr, &smallstep.PKIMessage{
		MessageType: kind, Recipients: ca, SignerKey: q.key, SignerCert: signer,
	}, smallstep.WithCertsSelector(q.selector))
	return m, ca, signer, err
}

// enrol sends the message and opens the answer. The certificate is nil when the answer is a failure.
func (q *theirRequest) enrol(t testing.TB, url string) (answer *smallstep.PKIMessage, certificate *x509.Certificate) {
	t.Helper()
	client := must(scepclient.New(url, kitlog.NewNopLogger()))(t)
	m, ca, signer, err := q.message(t, client)
	if err != nil {
		t.Fatal(err)
	}
	body := must(client.PKIOperation(context.Background(), m.Raw))(t)
	answer = must(smallstep.ParsePKIMessage(body, smallstep.WithCACerts(ca)))(t)
	if answer.TransactionID != m.TransactionID || !bytes.Equal(answer.RecipientNonce, m.SenderNonce) {
		t.Errorf("answer to %s with recipientNonce %x, want %s with %x", answer.TransactionID, answer.RecipientNonce, m.TransactionID, m.SenderNonce)
	}
	if answer.PKIStatus != smallstep.SUCCESS {
		return answer, nil
	}
	if err := answer.DecryptPKIEnvelope(signer, q.key); err != nil {
		t.Fatal(err)
	}
	return answer, answer.CertRepMessage.Certificate
}

func subject() pkix.Name { return pkix.Name{CommonName: "device"} }

// TestAPL005MicromdmClient: micromdm's client obtains a certificate from our server, whether the CA decrypts itself or
// has a registration authority for it; a challenge is good for one.
func TestAPL005MicromdmClient(t *testing.T) {
	modernise(t)
	for _, tt := range []struct {
		name     string
		ca       *certs.Authority
		selector smallstep.CertsSelector
	}{
		{"RSA authority", must(rsaAuthority())(t), nil},
		{"P-256 authority", authority(t), smallstep.EnciphermentCertsSelector()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &desk{ca: tt.ca, unused: []string{"right"}}
			url := d.serve(t, certs.Policy{})
			q := theirRequest{challenge: "right", subject: subject(), key: rsaKey(), selector: tt.selector}
			answer, c := q.enrol(t, url)
			if c == nil {
				t.Fatalf("status %s, failInfo %s", answer.PKIStatus, answer.FailInfo)
			}
			checkIdentity(t, c, tt.ca.Certificate(), rsaKey())
			if sender, recipient := nonces(t, answer.Raw); bytes.Equal(sender, recipient) || len(sender) != 16 {
				t.Errorf("APL-006: senderNonce %x, recipientNonce %x; want a fresh one", sender, recipient)
			}
			if answer, c := q.enrol(t, url); c != nil || answer.FailInfo != smallstep.BadRequest {
				t.Errorf("APL-007: spent challenge: status %s, failInfo %s; want badRequest", answer.PKIStatus, answer.FailInfo)
			}
			q.challenge = "wrong"
			if answer, c := q.enrol(t, url); c != nil || answer.FailInfo != smallstep.BadRequest {
				t.Errorf("APL-007: wrong challenge: status %s, failInfo %s; want badRequest", answer.PKIStatus, answer.FailInfo)
			}
			if d.issued != 1 {
				t.Errorf("%d certificates issued, want 1", d.issued)
			}
		})
	}
}

// TestAPL011MicromdmClientRenews: a RenewalReq of micromdm's client needs no challenge but a living certificate of
// ours, and its subject.
func TestAPL011MicromdmClientRenews(t *testing.T) {
	modernise(t)
	d := &desk{ca: must(rsaAuthority())(t)}
	url := d.serve(t, certs.Policy{})
	present := rsaIdentity(t, d.ca, "handle").Certificate
	for _, tt := range []struct {
		name    string
		present *x509.Certificate
		subject pkix.Name
		want    bool
	}{
		{"present certificate", present, present.Subject, true},
		{"other subject", present, subject(), false},
		{"foreign certificate", rsaIdentity(t, authority(t), "handle").Certificate, pkix.Name{CommonName: "handle"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := theirRequest{subject: tt.subject, key: rsaKey(), renew: tt.present}
			answer, c := q.enrol(t, url)
			if (c != nil) != tt.want || c == nil && answer.FailInfo != smallstep.BadRequest {
				t.Fatalf("status %s, failInfo %s; want a certificate: %t", answer.PKIStatus, answer.FailInfo, tt.want)
			}
			if c != nil {
				checkIdentity(t, c, d.ca.Certificate(), rsaKey())
			}
		})
	}
}

// TestAPL007MicromdmClientLegacy: as it comes, micromdm's client signs with SHA-1 and encrypts with single DES though
// the server announces AES and SHA-256. SHA-1 is taken under legacyCMS alone, single DES never (APL-012).
func TestAPL007MicromdmClientLegacy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		aes    bool
		legacy bool
		want   bool
	}{
		{name: "SHA-1 and DES"},
		{name: "SHA-1 and DES, legacyCMS", legacy: true},
		{name: "SHA-1 and AES", aes: true},
		{name: "SHA-1 and AES, legacyCMS", aes: true, legacy: true, want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.aes {
				modernise(t)
				if err := pkcs7.SetDefaultDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA1); err != nil {
					t.Fatal(err)
				}
			}
			d := &desk{ca: must(rsaAuthority())(t), unused: []string{"right"}}
			q := theirRequest{challenge: "right", subject: subject(), key: rsaKey()}
			answer, c := q.enrol(t, d.serve(t, certs.Policy{Legacy: tt.legacy}))
			if (c != nil) != tt.want || c == nil && answer.FailInfo != smallstep.BadAlg {
				t.Errorf("status %s, failInfo %s; want a certificate: %t, else badAlg", answer.PKIStatus, answer.FailInfo, tt.want)
			}
		})
	}
}

// TestMicromdmClientRecipients: a CA with an EC key answers GetCACert with its registration authority too, and
// micromdm's client encrypts to both unless a selector picks the one that can decrypt.
func TestMicromdmClientRecipients(t *testing.T) {
	d := &desk{ca: authority(t)}
	client := must(scepclient.New(d.serve(t, certs.Policy{}), kitlog.NewNopLogger()))(t)
	q := theirRequest{subject: subject(), key: rsaKey()}
	if _, list, _, err := q.message(t, client); len(list) != 2 || !errors.Is(err, pkcs7.ErrUnsupportedKeyType) {
		t.Errorf("%d certificates, %v; if the client chooses by itself now, say so in doc.go", len(list), err)
	}
}

// TestAPL005MicromdmClientGET: by GET micromdm's client sends its message in the URL alphabet of base64, where RFC 8894
// (section 4.1) has the standard one, which its own server reads too. It does so only with a CA that takes no POST.
func TestAPL005MicromdmClientGET(t *testing.T) {
	modernise(t)
	d := &desk{ca: must(rsaAuthority())(t), unused: []string{"right"}}
	url := d.serve(t, certs.Policy{})
	endpoints := must(scepserver.MakeClientEndpoints(url))(t)
	q := theirRequest{challenge: "right", subject: subject(), key: rsaKey()}
	m, _, _, err := q.message(t, endpoints)
	if err != nil {
		t.Fatal(err)
	}
	_, err = endpoints.GetEndpoint(context.Background(), scepserver.SCEPRequest{Operation: "PKIOperation", Message: m.Raw})
	if err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("GET: %v, want 400; if the client's alphabet is right now, say so", err)
	}
	if _, err := endpoints.PKIOperation(context.Background(), m.Raw); err != nil || d.issued != 1 {
		t.Errorf("POST of the same message: %v, %d issued", err, d.issued)
	}
}

// A theirCA is micromdm's server with its file depot, its own CA and one static challenge.
type theirCA struct {
	certificate *x509.Certificate
	url         string
}

func startTheirs(t testing.TB, challenge string) *theirCA {
	t.Helper()
	dir := t.TempDir()
	der := must(depot.NewCACert(depot.WithCommonName("their CA")).SelfSign(rand.Reader, spareKey().Public(), spareKey()))(t)
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: der},
		"ca.key": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(spareKey())},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept := must(filedepot.NewFileDepot(dir))(t)
	c := must(x509.ParseCertificate(der))(t)
	signer := scepserver.StaticChallengeMiddleware(challenge, scepserver.SignCSRAdapter(depot.NewSigner(kept, depot.WithAllowRenewalDays(0))))
	service := must(scepserver.NewService(c, spareKey(), signer))(t)
	s := httptest.NewServer(scepserver.MakeHTTPHandler(scepserver.MakeServerEndpoints(service), service, kitlog.NewNopLogger()))
	t.Cleanup(s.Close)
	return &theirCA{certificate: c, url: s.URL + "/scep"}
}

// A tape records the answers to PKIOperation, or plays one in place of the server's.
type tape struct {
	answers [][]byte
	methods []string
	play    []byte // nil: record
	caps    []byte // in place of the server's capabilities; nil: those
}

func (p *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch operation := r.URL.Query().Get("operation"); {
	case operation == "GetCACaps" && p.caps != nil:
		body = p.caps
	case operation == "PKIOperation":
		p.answers, p.methods = append(p.answers, body), append(p.methods, r.Method)
		if p.play != nil {
			body = p.play
		}
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, err
}

func ourRequest(t testing.TB, challenge string) scep.EnrolRequest {
	t.Helper()
	now := time.Now()
	return scep.EnrolRequest{
		Key: must(certs.GenerateKey(certs.P256))(t), Transport: must(scep.NewTransport(rsaKey(), now))(t), Subject: subject(), Challenge: challenge, Now: now,
	}
}

// TestMicromdmServer: our client obtains certificates from micromdm's server: for an RSA key that signs the messages
// itself and for a P-256 key with an RSA transport key.
func TestMicromdmServer(t *testing.T) {
	modernise(t)
	theirs := startTheirs(t, "static")
	client := &scep.Client{URL: theirs.url}
	t.Run("RSA", func(t *testing.T) {
		r := ourRequest(t, "static")
		r.Key, r.Transport = rsaKey(), nil
		checkIdentity(t, must(client.Enrol(context.Background(), r))(t), theirs.certificate, rsaKey())
	})
	t.Run("P-256", func(t *testing.T) {
		r := ourRequest(t, "static")
		checkIdentity(t, must(client.Enrol(context.Background(), r))(t), theirs.certificate, r.Key)
	})
	t.Run("wrong challenge", func(t *testing.T) {
		_, err := client.Enrol(context.Background(), ourRequest(t, "wrong"))
		var no *scep.Failure
		if !errors.As(err, &no) || no.Info != scep.BadRequest {
			t.Errorf("error %v, want badRequest", err)
		}
	})
	t.Run("fingerprint of another CA", func(t *testing.T) { // APL-009
		other := &scep.Client{URL: theirs.url, CAFingerprint: make([]byte, 32)}
		if _, err := other.Enrol(context.Background(), ourRequest(t, "static")); !errors.Is(err, scep.ErrCA) {
			t.Errorf("error %v, want %v", err, scep.ErrCA)
		}
	})
}

// TestMicromdmServerGET: our client sends its message by GET where the CA announces no POST, and micromdm's server reads
// it.
func TestMicromdmServerGET(t *testing.T) {
	modernise(t)
	theirs := startTheirs(t, "static")
	recorder := &tape{caps: []byte("AES\nSHA-256\n")}
	client := &scep.Client{URL: theirs.url, HTTP: &http.Client{Transport: recorder}}
	r := ourRequest(t, "static")
	checkIdentity(t, must(client.Enrol(context.Background(), r))(t), theirs.certificate, r.Key)
	if !slices.Equal(recorder.methods, []string{http.MethodGet}) {
		t.Errorf("sent by %q, want GET", recorder.methods)
	}
}

// TestMicromdmServerRenews: micromdm's static challenge is wanted of a RenewalReq too, though the present certificate
// stands in for it (RFC 8894, section 3.3.1.2; APL-011).
func TestMicromdmServerRenews(t *testing.T) {
	modernise(t)
	theirs := startTheirs(t, "static")
	client := &scep.Client{URL: theirs.url}
	first := ourRequest(t, "static")
	first.Key, first.Transport = rsaKey(), nil
	present := must(client.Enrol(context.Background(), first))(t)
	renewal := ourRequest(t, "")
	renewal.Renew = &certs.Signer{Certificate: present, Key: rsaKey()}
	_, err := client.Enrol(context.Background(), renewal)
	var no *scep.Failure
	if !errors.As(err, &no) || no.Info != scep.BadRequest {
		t.Errorf("renewal without challenge: %v, want badRequest; if it is granted now, say so", err)
	}
	renewal.Challenge = "static"
	next := must(client.Enrol(context.Background(), renewal))(t)
	if next.Equal(present) || next.Subject.String() != present.Subject.String() {
		t.Errorf("renewed for %s, want another certificate for %s", next.Subject, present.Subject)
	}
}

// TestAPL006MicromdmServerNonce: micromdm's server copies the request's senderNonce into its answer, where APL-006 wants
// a fresh one. No harm follows: our client goes by recipientNonce, transactionID, signature and key (APL-009), and an
// answer that was recorded earlier is refused.
func TestAPL006MicromdmServerNonce(t *testing.T) {
	modernise(t)
	theirs := startTheirs(t, "static")
	recorder := &tape{}
	client := &scep.Client{URL: theirs.url, HTTP: &http.Client{Transport: recorder}}
	r := ourRequest(t, "static")
	must(client.Enrol(context.Background(), r))(t)
	if sender, recipient := nonces(t, recorder.answers[0]); !bytes.Equal(sender, recipient) {
		t.Errorf("senderNonce %x, recipientNonce %x; if they differ now, say so in doc.go", sender, recipient)
	}
	recorder.play = recorder.answers[0]
	if c, err := client.Enrol(context.Background(), r); !errors.Is(err, scep.ErrAnswer) {
		t.Errorf("APL-009: an old answer to the same request: %v, %v; want %v", c, err, scep.ErrAnswer)
	}
}

// TestAPL009MicromdmServerLegacy: as it comes, micromdm's server signs its answer with SHA-1 and encrypts it with single
// DES though it announces better. Our client refuses both, and says which.
func TestAPL009MicromdmServerLegacy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		digest asn1.ObjectIdentifier
		cipher int
	}{
		{"SHA-1 and DES", pkcs7.OIDDigestAlgorithmSHA1, pkcs7.EncryptionAlgorithmDESCBC},
		{"SHA-256 and DES", pkcs7.OIDDigestAlgorithmSHA256, pkcs7.EncryptionAlgorithmDESCBC},
		{"SHA-1 and AES", pkcs7.OIDDigestAlgorithmSHA1, pkcs7.EncryptionAlgorithmAES128CBC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			modernise(t)
			if err := pkcs7.SetDefaultDigestAlgorithm(tt.digest); err != nil {
				t.Fatal(err)
			}
			pkcs7.ContentEncryptionAlgorithm = tt.cipher
			_, err := (&scep.Client{URL: startTheirs(t, "static").url}).Enrol(context.Background(), ourRequest(t, "static"))
			if !errors.Is(err, scep.ErrAnswer) || !errors.Is(err, certs.ErrAlgorithm) {
				t.Errorf("error %v, want %v for its %v", err, scep.ErrAnswer, certs.ErrAlgorithm)
			}
		})
	}
}

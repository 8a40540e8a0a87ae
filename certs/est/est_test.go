package est

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
)

var noon = time.Now()

// A desk is an EST server that gives whoever knows the challenge a certificate.
type desk struct {
	*Server
	http   *httptest.Server
	issued map[[sha256.Size]byte]*x509.Certificate
	err    error   // of Issue, in place of a certificate
	no     []error // what was refused
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	ca, err := certs.NewAuthority(certs.P256, "test authority", noon)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{issued: map[[sha256.Size]byte]*x509.Certificate{}}
	d.Server = &Server{CA: ca, Root: "/.well-known/est", Issue: d.issue, Refused: func(_ context.Context, err error) { d.no = append(d.no, err) }}
	d.http = httptest.NewUnstartedServer(d.Server)
	d.http.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	d.http.Config.ErrorLog = nil
	d.http.StartTLS()
	t.Cleanup(d.http.Close)
	return d
}

func (d *desk) issue(_ context.Context, r *Request) (*x509.Certificate, error) {
	switch {
	case d.err != nil:
		return nil, d.err
	case r.Present == nil && (r.User != "d-1" || r.Password != "secret"):
		return nil, fmt.Errorf("%w: challenge", ErrRefused)
	case r.Present != nil && d.CA.Verify(r.Present, noon) != nil:
		return nil, fmt.Errorf("%w: certificate", ErrRefused)
	case d.issued[r.CSRHash] != nil:
		return d.issued[r.CSRHash], nil
	}
	c, err := d.CA.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "d-1", Now: noon})
	d.issued[r.CSRHash] = c
	return c, err
}

func (d *desk) client() *Client {
	return &Client{URL: d.http.URL + "/.well-known/est", HTTP: d.http.Client()}
}

// presenting is a client that presents a certificate.
func (d *desk) presenting(key crypto.Signer, c *x509.Certificate) *Client {
	transport := d.http.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: key}}
	return &Client{URL: d.http.URL + "/.well-known/est/", HTTP: &http.Client{Transport: transport}}
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var subject = pkix.Name{CommonName: "d-1"}

// caCertificates returns what the server calls its authority (RFC 7030, section 4.1). They are as good as the connection.
func caCertificates(ctx context.Context, c *Client) ([]*x509.Certificate, error) {
	const operation = "cacerts"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address(operation), nil)
	if err != nil {
		return nil, err
	}
	return c.do(r, operation)
}

// Enrol, ask for the authority, enrol again with the same key, renew: RFC 7030, sections 4.1 and 4.2.
func TestEST(t *testing.T) {
	d := newDesk(t)
	list, err := caCertificates(t.Context(), d.client())
	if err != nil || len(list) != 1 || !list[0].Equal(d.CA.Certificate()) {
		t.Fatalf("cacerts: %d certificates, %v", len(list), err)
	}
	key := newKey(t)
	first, err := d.client().Enroll(t.Context(), key, subject, "d-1", "secret")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.client().Enroll(t.Context(), key, subject, "d-1", "secret"); err != nil || !again.Equal(first) || len(d.issued) != 1 {
		t.Errorf("the same request is another one: %d certificates, %v", len(d.issued), err)
	}
	next := newKey(t)
	second, err := d.presenting(key, first).Reenroll(t.Context(), next, subject)
	if err != nil || second.Equal(first) || !next.Public().(*ecdsa.PublicKey).Equal(second.PublicKey) {
		t.Errorf("renewal: %v", err)
	}
}

// What is refused, with which status and, but for challenges, why (HST-001, 012, 036 to 040).
func TestRefusals(t *testing.T) {
	d := newDesk(t)
	key := newKey(t)
	csr := func(key crypto.Signer) string {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	weakly := func(key crypto.Signer) string { // crypto/x509 signs nothing with SHA-1 any more
		der, err := base64.StdEncoding.DecodeString(csr(key))
		if err != nil {
			t.Fatal(err)
		}
		var request struct {
			Info      asn1.RawValue
			Algorithm pkix.AlgorithmIdentifier
			Signature asn1.BitString
		}
		if _, err := asn1.Unmarshal(der, &request); err != nil {
			t.Fatal(err)
		}
		sum := sha1.Sum(request.Info.FullBytes)
		signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA1)
		if err != nil {
			t.Fatal(err)
		}
		request.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1} // ecdsa-with-SHA1
		request.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
		if der, err = asn1.Marshal(request); err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	good := csr(key)
	der, _ := base64.StdEncoding.DecodeString(good)
	der[len(der)-1] ^= 1
	broken := base64.StdEncoding.EncodeToString(der)
	weak, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa, err := os.ReadFile("testdata/rsa.csr")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, method, operation, body, media, encoding string
		known                                          bool
		status                                         int
		text                                           string
	}{
		{"good", "POST", "simpleenroll", good, typeRequest, "", true, 200, ""},
		{"lines", "POST", "simpleenroll", good[:64] + "\r\n" + good[64:] + "\r\n", typeRequest, "", true, 200, ""},
		{"HST-037 nobody", "POST", "simpleenroll", good, typeRequest, "", false, 401, "nobody"},
		{"HST-030 no certificate", "POST", "simplereenroll", good, typeRequest, "", true, 401, "nobody"},
		{"HST-001", "POST", "simpleenroll", strings.Repeat("A", maxMessage+1), typeRequest, "", true, 413, "too large"},
		{"HST-012", "POST", "simpleenroll", good, typeRequest, "gzip", true, 415, "unexpected"},
		{"another type", "POST", "simpleenroll", good, "text/plain", "", true, 415, "unexpected"},
		{"type with a parameter", "POST", "simpleenroll", good, "Application/PKCS10; charset=utf-8", "Identity", true, 200, ""},
		{"no type", "POST", "simpleenroll", good, "", "", true, 415, "unexpected"},
		{"HST-022 beneath", "POST", "simpleenroll/simpleenroll", good, typeRequest, "", true, 404, "not served"},
		{"HST-022 slash", "POST", "simpleenroll/", good, typeRequest, "", true, 404, "not served"},
		{"HST-040 SHA-1", "POST", "simpleenroll", weakly(key), typeRequest, "", true, 400, "SHA1"},
		{"no base64", "POST", "simpleenroll", "****", typeRequest, "", true, 400, "base64"},
		{"nothing", "POST", "simpleenroll", "", typeRequest, "", true, 400, "base64"},
		{"no request", "POST", "simpleenroll", "MAA=", typeRequest, "", true, 400, "malformed"},
		{"HST-040 signature", "POST", "simpleenroll", broken, typeRequest, "", true, 400, "signature"},
		{"HST-040 curve", "POST", "simpleenroll", csr(weak), typeRequest, "", true, 400, "key"},
		{"RSA", "POST", "simpleenroll", string(rsa), typeRequest, "", true, 400, "P-256"},
		{"method", "GET", "simpleenroll", "", "", "", true, 405, "method"},
		{"HST-038 operation", "POST", "serverkeygen", good, typeRequest, "", true, 404, "not served"},
		{"cacerts by POST", "POST", "cacerts", good, typeRequest, "", true, 405, "method"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), tt.method, d.client().address(tt.operation), strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", tt.media)
			r.Header.Set("Content-Encoding", tt.encoding)
			if tt.known {
				r.SetBasicAuth("d-1", "secret")
			}
			resp, err := d.http.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !strings.Contains(string(text), tt.text) {
				t.Errorf("%d %q, want %d %q", resp.StatusCode, text, tt.status, tt.text)
			}
		})
	}
}

// A wrong challenge is refused without a word about which part of it was wrong (HST-037), a failure of ours is not the client's fault, and
// what takes time says how long (RFC 7030, section 4.2.3).
func TestHST037Challenge(t *testing.T) {
	d := newDesk(t)
	_, err := d.client().Enroll(t.Context(), newKey(t), subject, "d-2", "secret")
	no, ok := errors.AsType[*StatusError](err)
	if !ok || no.Status != 403 || no.Text != ErrRefused.Error() || len(d.no) != 1 {
		t.Errorf("another device: %v, %d refusals noted", err, len(d.no))
	}
	asked := false
	issue := d.Issue
	d.Issue = func(ctx context.Context, r *Request) (*x509.Certificate, error) { asked = true; return issue(ctx, r) }
	_, err = d.client().Enroll(t.Context(), newKey(t), subject, "d-1", "")
	if no, ok = errors.AsType[*StatusError](err); !ok || no.Status != 401 || asked { // a grant without a challenge is nobody's
		t.Errorf("no challenge: %v, asked for a certificate: %t", err, asked)
	}
	d.err = errors.New("disk")
	if _, err = d.client().Enroll(t.Context(), newKey(t), subject, "d-1", "secret"); err == nil || strings.Contains(err.Error(), "disk") {
		t.Errorf("a failure of ours: %v", err)
	}
	if no, ok = errors.AsType[*StatusError](err); !ok || no.Status != 503 || no.RetryAfter != time.Minute {
		t.Errorf("a failure of ours: %v", err)
	}
	d.err = &Pending{RetryAfter: 90 * time.Second}
	_, err = d.client().Enroll(t.Context(), newKey(t), subject, "d-1", "secret")
	if no, ok = errors.AsType[*StatusError](err); !ok || no.Status != 202 || no.RetryAfter != 90*time.Second {
		t.Errorf("pending: %v", err)
	}
}

// A renewal for another subject is refused (HST-039), and so is one by a certificate that the caller does not take.
func TestHST039Subject(t *testing.T) {
	d := newDesk(t)
	key := newKey(t)
	first, err := d.client().Enroll(t.Context(), key, subject, "d-1", "secret")
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.presenting(key, first).Reenroll(t.Context(), newKey(t), pkix.Name{CommonName: "d-2"})
	if no, ok := errors.AsType[*StatusError](err); !ok || no.Status != 400 {
		t.Errorf("another subject: %v", err)
	}
	for name, want := range map[string]int{"d-1": http.StatusOK, "d-2": http.StatusBadRequest} {
		// OpenSSL writes UTF8String where Go writes PrintableString.
		raw, err := asn1.Marshal(pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(name)}}}})
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: raw}, key)
		if err != nil {
			t.Fatal(err)
		}
		c := d.presenting(key, first)
		resp, err := c.HTTP.Post(c.address("simplereenroll"), typeRequest, strings.NewReader(base64.StdEncoding.EncodeToString(der)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s as UTF8String: %d, want %d", name, resp.StatusCode, want)
		}
	}
	d.Present = func(*http.Request, time.Time) (*x509.Certificate, error) {
		return nil, fmt.Errorf("%w: old", ErrRefused)
	}
	_, err = d.presenting(key, first).Reenroll(t.Context(), newKey(t), subject)
	if no, ok := errors.AsType[*StatusError](err); !ok || no.Status != 403 {
		t.Errorf("a certificate that is not taken: %v", err)
	}
}

// A client takes no page of a proxy's, and no certificate for another key (HST-120).
func TestHST120Answers(t *testing.T) {
	d := newDesk(t)
	theirs, err := d.CA.Issue(certs.IssueRequest{Public: newKey(t).Public(), Handle: "d-1", Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	der, err := certs.Degenerate(theirs)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]struct{ media, body string }{
		"a web page":  {"text/html", "<html>Sign in</html>"},
		"another key": {certsOnly, base64.StdEncoding.EncodeToString(der)},
		"endless":     {certsOnly, strings.Repeat("A", maxMessage+1)},
		"no CMS":      {certsOnly, "AAAA"},
	} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", answer.media)
			io.WriteString(w, answer.body)
		}))
		if _, err := (&Client{URL: proxy.URL}).Enroll(t.Context(), newKey(t), subject, "d-1", "secret"); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", name, err)
		}
		proxy.Close()
	}
}

func FuzzRequest(f *testing.F) {
	key := newKey(f)
	der, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(base64.StdEncoding.EncodeToString(der)))
	f.Add([]byte("MIAA"))
	f.Fuzz(func(t *testing.T, body []byte) {
		q := new(Request)
		if err := q.decode(body); err == nil && q.CSR == nil {
			t.Error("taken without a request")
		}
	})
}

func FuzzAnswer(f *testing.F) {
	ca, err := certs.NewAuthority(certs.P256, "test", noon)
	if err != nil {
		f.Fatal(err)
	}
	der, err := certs.Degenerate(ca.Certificate())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(base64.StdEncoding.EncodeToString(der)))
	f.Fuzz(func(t *testing.T, body []byte) {
		if list, err := decodeAnswer(certsOnly, body); err == nil && len(list) == 0 {
			t.Error("taken without a certificate")
		}
	})
}

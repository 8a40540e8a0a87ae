package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/fleet/target"
	"rollcall/protocol/apple"
)

// What servers that are not ours do, and may.

// scepOf puts a SCEP service that decides by issue in the place of the toy's.
func (s *toy) scepOf(issue func(r *scep.Request) (*x509.Certificate, error)) *scep.Server {
	service := &scep.Server{CA: s.ca, Issue: func(_ context.Context, r *scep.Request) (*x509.Certificate, error) { return issue(r) }}
	s.front = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/scep" {
			return false
		}
		service.ServeHTTP(w, r)
		return true
	}
	return service
}

// TestKeyOfTheProfile: devices bring the key that the profile asks for, so that a CA which takes nothing else can be asked.
func TestKeyOfTheProfile(t *testing.T) {
	s := startToy(t)
	s.scepOf(func(r *scep.Request) (*x509.Certificate, error) {
		if key, ok := r.CSR.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() != 2048 {
			return nil, &scep.Failure{Info: scep.BadAlg}
		}
		return s.ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "toy", Now: time.Now()})
	})
	c := s.config("APL-050", "APL-006")
	c.P256Keys = false
	for _, f := range ask(t, c).Findings {
		if f.Outcome != Pass {
			t.Errorf("%s: %s: %s", f.ID, f.Outcome, f.Reason)
		}
	}
	c.P256Keys = true
	if f := ask(t, c).of("APL-050"); f.Outcome != Unasked {
		t.Errorf("a P-256 key of a run that wants them: %s", f.Outcome)
	}
}

// TestServiceWithoutPOST: a SCEP service that does not announce POST is asked by GET, and keeps APL-005.
func TestServiceWithoutPOST(t *testing.T) {
	s := startToy(t)
	s.front = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path != "/scep":
			return false
		case r.Method != http.MethodGet:
			w.WriteHeader(http.StatusMethodNotAllowed)
			return true
		case r.URL.Query().Get("operation") == "GetCACaps":
			io.WriteString(w, "AES\nSHA-256\n")
			return true
		}
		return false
	}
	for _, f := range ask(t, s.config("APL-005", "APL-006", "APL-050", "HST-038")).Findings {
		if f.Outcome != Pass {
			t.Errorf("%s: %s: %s", f.ID, f.Outcome, f.Reason)
		}
	}
}

// TestAPL005WithPOST: who announces POST takes it.
func TestAPL005WithPOST(t *testing.T) {
	s := startToy(t)
	s.front = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return r.Method == http.MethodPost
	}
	if f := ask(t, s.config("APL-005")).of("APL-005"); f.Outcome != Fail || !strings.Contains(f.Reason, "by POST was answered 405") {
		t.Errorf("%s: %s", f.Outcome, f.Reason)
	}
}

// TestLinkThatMoved: devices follow a redirection on the same host, and no other.
func TestLinkThatMoved(t *testing.T) {
	s := startToy(t)
	to := "/enrol"
	s.front = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/welcome" {
			http.Redirect(w, r, to, http.StatusFound)
		}
		return r.URL.Path == "/welcome"
	}
	c := s.config("APL-001", "APL-050")
	c.Steps = target.FromLink(s.URL + "/welcome")
	for _, f := range ask(t, c).Findings {
		if f.Outcome != Pass {
			t.Errorf("%s: %s: %s", f.ID, f.Outcome, f.Reason)
		}
	}
	to = "https://elsewhere.rollcall.invalid/enrol"
	if f := ask(t, c).of("APL-050"); f.Outcome != Unasked || !strings.Contains(f.Reason, "302") {
		t.Errorf("another host: %s: %s", f.Outcome, f.Reason)
	}
	to = "/welcome"
	if f := ask(t, c).of("APL-050"); f.Outcome != Unasked || !strings.Contains(f.Reason, "302") {
		t.Errorf("in a circle: %s: %s", f.Outcome, f.Reason)
	}
}

// TestRequestOfTheProfile: subject, names and key usage of a request are those of the profile's SCEP payload, all of them.
func TestRequestOfTheProfile(t *testing.T) {
	s := startToy(t)
	var got *x509.CertificateRequest
	s.scepOf(func(r *scep.Request) (*x509.Certificate, error) {
		got = r.CSR
		return s.ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "toy", Now: time.Now()})
	})
	document, err := apple.DecodeProfile(s.profile())
	if err != nil {
		t.Fatal(err)
	}
	payload := document.Payloads[1].SCEP
	payload.Subject = [][][]string{{{"C", "DE"}}, {{"2.5.4.8", "Bavaria"}}, {{"O", "Example"}}, {{"CN", "%SerialNumber%"}}, {{"1.2.840.113549.1.9.1", "ann@example.org"}}, {{"2.5.4.5", "77"}}}
	payload.SubjectAltName = map[string]any{
		"rfc822Name": "ann@example.org", "dNSName": []any{"a.example.org", "b.example.org"}, "uniformResourceIdentifier": "urn:x:77", "ntPrincipalName": "ann@corp.example.org",
	}
	payload.KeyUsage = 5
	c := s.config("APL-050")
	c.Steps = target.FromProfile(apple.EncodeProfile(document))
	if f := ask(t, c).of("APL-050"); f.Outcome != Pass || got == nil {
		t.Fatalf("%s: %s", f.Outcome, f.Reason)
	}
	var order []string
	for _, n := range got.Subject.Names {
		text, _ := n.Value.(string)
		order = append(order, n.Type.String()+"="+text)
	}
	if len(order) != 6 || order[0] != "2.5.4.6=DE" || order[1] != "2.5.4.8=Bavaria" || !strings.HasPrefix(order[3], "2.5.4.3=RC") || order[4] != "1.2.840.113549.1.9.1=ann@example.org" || order[5] != "2.5.4.5=77" {
		t.Errorf("subject %q", order)
	}
	if !slices.Equal(got.DNSNames, []string{"a.example.org", "b.example.org"}) || !slices.Equal(got.EmailAddresses, []string{"ann@example.org"}) || len(got.URIs) != 1 {
		t.Errorf("names %v %v %v", got.DNSNames, got.EmailAddresses, got.URIs)
	}
	principal, usage := false, ""
	for _, e := range got.Extensions {
		if e.Id.Equal(oidAltNames) {
			principal = bytes.Contains(e.Value, []byte("\xa0\x16\x0c\x14ann@corp.example.org"))
		}
		if e.Id.Equal(oidKeyUsage) {
			usage = string(e.Value)
		}
	}
	if !principal || usage != "\x03\x02\x05\xa0" {
		t.Errorf("principal name: %t, key usage %x", principal, usage)
	}

	for wants, change := range map[string]func(p *apple.SCEP){
		"neither a short name":        func(p *apple.SCEP) { p.Subject = [][][]string{{{"XY", "1"}}} },
		"is no object identifier":     func(p *apple.SCEP) { p.Subject = [][][]string{{{"9.9.9", "1"}}} },
		"want pairs":                  func(p *apple.SCEP) { p.Subject = [][][]string{{{"CN"}}} },
		"dNSName is neither a string": func(p *apple.SCEP) { p.SubjectAltName = map[string]any{"dNSName": true} },
		"which is no string":          func(p *apple.SCEP) { p.SubjectAltName = map[string]any{"dNSName": []any{true}} },
		"an RSA key of 512 bits":      func(p *apple.SCEP) { p.Keysize = 512 },
	} {
		broken, err := apple.DecodeProfile(s.profile())
		if err != nil {
			t.Fatal(err)
		}
		change(broken.Payloads[1].SCEP)
		c.Steps, c.P256Keys = target.FromProfile(apple.EncodeProfile(broken)), false
		if f := ask(t, c).of("APL-050"); f.Outcome != Unasked || !strings.Contains(f.Reason, wants) {
			t.Errorf("%s: %s: %s", wants, f.Outcome, f.Reason)
		}
	}
}

// TestAPL013Serials: any two serial numbers that differ are good ones.
func TestAPL013Serials(t *testing.T) {
	s := startToy(t)
	next := func() *big.Int { return nil }
	s.scepOf(func(r *scep.Request) (*x509.Certificate, error) {
		c, err := s.ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "toy", Now: time.Now()})
		if err != nil {
			return nil, err
		}
		return reissue(c, s.ca.Certificate(), next())
	})
	n := int64(1)
	for name, tt := range map[string]struct {
		next func() *big.Int
		want Outcome
	}{
		"counted":    {func() *big.Int { n++; return big.NewInt(n) }, Pass},
		"always one": {func() *big.Int { return big.NewInt(7) }, Fail},
	} {
		next = tt.next
		if f := ask(t, s.config("APL-013")).of("APL-013"); f.Outcome != tt.want || tt.want == Fail && !strings.Contains(f.Reason, "serial number") {
			t.Errorf("%s: %s: %s", name, f.Outcome, f.Reason)
		}
	}
}

// reissue is c with another serial number, by a CA of the same name.
func reissue(c, parent *x509.Certificate, serial *big.Int) (*x509.Certificate, error) {
	template := *c
	template.SerialNumber = serial
	template.Signature, template.AuthorityKeyId = nil, nil
	by, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return nil, err
	}
	named := &x509.Certificate{Subject: pkix.Name{CommonName: parent.Subject.CommonName}}
	der, err := x509.CreateCertificate(rand.Reader, &template, named, c.PublicKey, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// TestAPL002PubliclySigned: a profile whose signer chains to the system's roots is in order, whatever CA it brings for its own
// use, and whatever CA the run was given.
func TestAPL002PubliclySigned(t *testing.T) {
	const mark = "ROLLCALL_TEST_PUBLIC"
	dir := os.Getenv(mark)
	if dir == "" {
		if runtime.GOOS != "linux" {
			t.Skip("the system's roots are set by SSL_CERT_FILE on Linux")
		}
		dir = t.TempDir()
		public, err := certs.NewIssuer("a public CA", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		key, err := certs.GenerateKey(certs.P256)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := public.Issue(certs.IssueRequest{Public: key.Public(), Handle: "signer", Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		s := &toy{Server: startToy(t).Server}
		own, err := toyCA()
		if err != nil {
			t.Fatal(err)
		}
		document, err := apple.DecodeProfile(s.profile())
		if err != nil {
			t.Fatal(err)
		}
		for name, anchors := range map[string][]apple.Payload{
			"bare": nil, "with": {{Type: apple.RootPayload, Identifier: "toy.root", UUID: "AAAAAAAA-0000-4000-8000-000000000004", Certificate: own.Certificate().Raw}},
		} {
			with := *document
			with.Payloads = slices.Concat(document.Payloads, anchors)
			signed, err := certs.SignAttached(apple.EncodeProfile(&with), certs.Signer{Certificate: leaf, Chain: []*x509.Certificate{public.Certificate()}, Key: key}, time.Now())
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), signed, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		roots := filepath.Join(dir, "roots.pem")
		if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public.Certificate().Raw}), 0o644); err != nil {
			t.Fatal(err)
		}
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAPL002PubliclySigned$", "-test.v")
		again.Env = append(os.Environ(), mark+"="+dir, "SSL_CERT_FILE="+roots, "SSL_CERT_DIR="+dir)
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	for _, name := range []string{"bare", "with"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, roots := range []*x509.CertPool{nil, x509.NewCertPool()} {
			if f := ask(t, Config{Steps: target.FromProfile(raw), Only: []string{"APL-002"}, Roots: roots}).of("APL-002"); f.Outcome != Pass {
				t.Errorf("%s, given a CA: %t: %s: %s", name, roots != nil, f.Outcome, f.Reason)
			}
		}
	}
}

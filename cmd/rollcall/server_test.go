//go:build !agentonly

package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/logs"
)

// A fixedClock stands where the test puts it; to the server it is a real one.
type fixedClock struct{ now time.Time }

func (c *fixedClock) Now() time.Time { return c.now }
func (c *fixedClock) Driven() bool   { return false }
func (c *fixedClock) Step(time.Time) {}

func testFace(t *testing.T) (*face, *fixedClock, *bytes.Buffer) {
	t.Helper()
	clock := &fixedClock{time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	ca, err := certs.NewAuthority(certs.RSA2048, "test", clock.now)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	return &face{ca: ca, names: []string{"mdm.example.org"}, clock: clock, log: logs.New(&log, true)}, clock, &log
}

// TestHST102ServerCertificateRenews: a server that runs for years always shows a certificate that is valid.
func TestHST102ServerCertificateRenews(t *testing.T) {
	f, clock, _ := testFace(t)
	first, err := f.certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	clock.now = first.Leaf.NotAfter.Add(-tlsRenewAhead - time.Hour)
	if again, err := f.certificate(nil); err != nil || again != first {
		t.Errorf("renewed an hour too early (%v)", err)
	}
	for range 4 {
		before := f.cert
		clock.now = before.Leaf.NotAfter.Add(-tlsRenewAhead)
		next, err := f.certificate(nil)
		if err != nil || next == before || !next.Leaf.NotAfter.After(before.Leaf.NotAfter) || clock.now.Before(next.Leaf.NotBefore) {
			t.Fatalf("not renewed at %v: %v", clock.now, err)
		}
	}
}

// TestHST047AuthorityEndsSoon: the log says so 90 days ahead, each day, at the start and while the server runs.
func TestHST047AuthorityEndsSoon(t *testing.T) {
	f, clock, log := testFace(t)
	end := f.ca.Certificate().NotAfter
	for _, tt := range []struct {
		left time.Duration
		want int // lines so far
	}{
		{91 * 24 * time.Hour, 0}, {90*24*time.Hour - time.Minute, 1}, {90*24*time.Hour - time.Hour, 1}, {88 * 24 * time.Hour, 2}, {40 * 24 * time.Hour, 3},
	} {
		clock.now = end.Add(-tt.left)
		if _, err := f.certificate(nil); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(log.String(), "HST-047"); got != tt.want {
			t.Errorf("%v before the end: %d warnings, want %d", tt.left, got, tt.want)
		}
	}
}

// TestHST047DamagedAuthority: it says what is damaged, and nothing takes its place.
func TestHST047DamagedAuthority(t *testing.T) {
	for name, value := range map[string]string{"no JSON": "torn", "no certificate": `{"Certificates":"AAAA","Keys":"AAAA"}`, "empty": "{}"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := serveConfig{Data: dir, Clock: realClock{}}
			s := startTestServer(t, cfg)
			ca := s.CA
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("sqlite", filepath.Join(dir, "rollcall.db"))
			if err == nil {
				_, err = db.Exec("UPDATE secrets SET value=? WHERE name='authority'", []byte(value))
			}
			if err != nil {
				t.Fatal(err)
			}
			db.Close()
			_, err = startServer(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), "the certificate authority in the data folder is damaged") || strings.Contains(err.Error(), "\n") {
				t.Errorf("it says %v", err)
			}
			if b, err := os.ReadFile(filepath.Join(dir, caFile)); err != nil || !bytes.Equal(b, ca) {
				t.Errorf("%s has changed, %v", caFile, err)
			}
		})
	}
}

// TestHST093StoreFailureEndsTheServer: after a failed sync nothing more is acknowledged; whoever supervises starts it anew.
func TestHST093StoreFailureEndsTheServer(t *testing.T) {
	s := startTestServer(t, serveConfig{Data: t.TempDir(), Clock: realClock{}})
	failed := make(chan error, 1)
	failed <- errors.New("the disk failed")
	s.pass(t.Context(), failed) // as the store's own channel
	if err := s.until(context.Background()); err == nil || err.Error() != "the disk failed" {
		t.Errorf("the server ended with %v", err)
	}
	if err := clientOf(s).Health(t.Context()); err == nil {
		t.Error("it still answers")
	}
}

// TestHST102RequestsUnderWayFinish: a signal ends ctx, and who was being answered is answered.
func TestHST102RequestsUnderWayFinish(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	s := startTestServer(t, serveConfig{Data: t.TempDir(), Clock: realClock{}, Devices: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(arrived)
			<-release
			io.WriteString(w, "whole")
		})
	}})
	ctx, signal := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.until(ctx) }()
	answered := make(chan string)
	go func() {
		resp, err := clientOf(s).HTTP.Get(s.URL + "/apple/mdm")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			b = []byte(err.Error())
		}
		answered <- string(b)
	}()
	<-arrived
	signal()
	for clientOf(s).Health(context.Background()) == nil { // until nobody new is let in
		time.Sleep(lookAgain)
	}
	close(release)
	if got := <-answered; got != "whole" {
		t.Errorf("a request under way got %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// TestHST030TestPushIsNoIdentity: a push certificate is a client's; the CA of identities signs none.
func TestHST030TestPushIsNoIdentity(t *testing.T) {
	simulated := serveConfig{Data: t.TempDir(), Clock: realClock{}, Simulated: true, Tenant: &authority.Tenant{Release: 2611, Authority: protocol.Intune}}
	s := startTestServer(t, simulated)
	made, err := clientOf(s).MakeTestPush(t.Context(), "com.apple.mgmt.External.1", 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	for _, list := range [][]byte{made, s.Server.Content().Push[0].Certificate} {
		block, _ := pem.Decode(list)
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
			t.Error("a test push certificate is an identity of this server's CA")
		}
	}
	earnest := startTestServer(t, serveConfig{Data: t.TempDir(), Clock: realClock{}, Tenant: simulated.Tenant})
	if _, err := clientOf(earnest).MakeTestPush(t.Context(), "com.apple.mgmt.External.1", 48*time.Hour); err == nil {
		t.Error("with real clouds it makes push certificates too")
	}
	if got := len(earnest.Server.Content().Push); got != 0 {
		t.Errorf("with real clouds it made %d push certificates of its own", got)
	}
}

// A file with a CA is one to trust for identities, though its registration authority lies beside it; one without a CA is refused.
func TestReadAuthorities(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lab.pem")
	ca, err := certs.NewAuthority(certs.P256, "lab CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	both, _, err := ca.PEM()
	if err == nil {
		err = os.WriteFile(name, both, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if list, err := readAuthorities(name); err != nil || len(list) != 1 || !list[0].Equal(ca.Certificate()) {
		t.Errorf("%d certificates, %v", len(list), err)
	}
	if err := os.WriteFile(name, certs.CertificatesPEM(ca.RA().Certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readAuthorities(name); err == nil || !strings.Contains(err.Error(), "no certificate of a CA") {
		t.Errorf("%v", err)
	}
}

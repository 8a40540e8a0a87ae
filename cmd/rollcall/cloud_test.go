//go:build !agentonly

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/agent/courier"
	"rollcall/certs"
	"rollcall/fleet/cloud/apns"
	"rollcall/protocol/wake"
)

func TestCloudFlags(t *testing.T) {
	if n, per, err := rateOf("5/2s"); err != nil || n != 5 || per != 2*time.Second {
		t.Errorf("rate 5/2s = %d/%s, %v", n, per, err)
	}
	if n, _, err := rateOf("none"); err != nil || n >= 0 {
		t.Errorf("rate none = %d, %v", n, err)
	}
	for _, s := range []string{"", "5", "5/", "/1m", "0/1m", "-1/1m", "5/-1m", "five/1m"} {
		if n, per, err := rateOf(s); err == nil {
			t.Errorf("rate %q = %d/%s, want an error", s, n, per)
		}
	}
	got, err := sharesOf[apns.Fault]([]string{"Drop=5%", "GoAway=0.25"})
	if err != nil || got[apns.Drop] != 0.05 || got[apns.GoAway] != 0.25 {
		t.Errorf("faults = %v, %v", got, err)
	}
	for _, s := range []string{"Drop", "Drop=", "Drop=much"} {
		if got, err := sharesOf[apns.Fault]([]string{s}); err == nil {
			t.Errorf("fault %q = %v, want an error", s, got)
		}
	}
}

func TestCloudAPNsBadInput(t *testing.T) {
	for _, tt := range []struct{ flag, want string }{
		{"--listen=nowhere", "--listen"},
		{"--rate=often", "--rate"},
		{"--fault=Quake=1%", "Quake"},
		{"--fault=Drop=200%", "want 0 to 1"},
		{"--fault=Hang=1%", "nobody is there to release it"},
		{"--issuers=testdata/none.pem", "--issuers"},
		{"--ca-out=testdata/no/such/folder", "--ca-out"},
		{"--courier=nowhere", "--courier"},
		{"--courier-identity=testdata/none.pem", "give both"},
	} {
		cmd := cloudCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetErr(new(strings.Builder))
		cmd.SetArgs([]string{"apns", "--listen=127.0.0.1:0", tt.flag})
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("cloud apns %s: %v, want an error with %q", tt.flag, err, tt.want)
		}
	}
}

// TestCloudAPNs runs the command as a person would: a client of another make pushes to tokens that nobody has registered,
// and both are kept. The signal that ends it has it count.
func TestCloudAPNs(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	read, write := io.Pipe()
	var out bytes.Buffer
	cmd := cloudCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	cmd.SetErr(write)
	cmd.SetArgs([]string{"apns", "--listen=127.0.0.1:0", "--json", "--ca-out", ca})
	done := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		write.CloseWithError(err)
		done <- err
	}()
	lines := bufio.NewScanner(read)
	url := ""
	for url == "" && lines.Scan() {
		_, url, _ = strings.Cut(lines.Text(), "listens on ")
	}
	go io.Copy(io.Discard, read)
	if url == "" {
		t.Fatalf("it does not listen: %v", <-done)
	}
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(ca); err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("--ca-out: no certificate: %v", err)
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pushIdentity(t)}}}
	defer transport.CloseIdleConnections()
	for _, token := range []string{strings.Repeat("00ff", 16), strings.Repeat("c0de", 16), "not hexadecimal"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/3/device/"+strings.ReplaceAll(token, " ", "%20"), strings.NewReader(`{"mdm":"magic"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("apns-topic", pushTopic)
		r.Header.Set("apns-push-type", "mdm")
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if want := map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[len(token) == 64]; answer.StatusCode != want || answer.ProtoMajor != 2 {
			t.Errorf("token %s: %d by %s, want %d", token, answer.StatusCode, answer.Proto, want)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("ended by a signal: %v", err)
	}
	var counted struct{ Accepted, Waiting int }
	if err := json.Unmarshal(out.Bytes(), &counted); err != nil || counted.Accepted != 2 || counted.Waiting != 2 {
		t.Errorf("it counted %s, %v; want 2 accepted and kept", out.Bytes(), err)
	}
}

// A machine holds its stream to the service of a person who tests another server, believes the CA that it enrolled by alone, and is woken.
func TestCloudAPNsWakesMachines(t *testing.T) {
	ca, err := certs.NewIssuer("lab", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.IssueServer([]string{"127.0.0.1"}, key.Public(), time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(t.TempDir(), "identity.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bare})...)
	if err := os.WriteFile(identity, text, 0o600); err != nil {
		t.Fatal(err)
	}
	streams, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	r := runCloud(t, "apns", "--courier", streams, "--courier-identity", identity)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate())
	log := logrus.New()
	log.SetOutput(io.Discard)
	up, woken := make(chan courier.State, 100), make(chan bool, 100)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		courier.Run(ctx, courier.Config{
			Address: func(context.Context) (string, error) { return streams, nil }, TLS: &tls.Config{RootCAs: roots}, ALPN: wake.APNs, Topic: pushTopic,
			Token: bytes.Repeat([]byte{0xc0, 0xde}, 16), Counts: func(b []byte) bool { return strings.Contains(string(b), "magic") }, Log: log, Woken: func() { woken <- true }, Changed: func(s courier.State) { up <- s },
		})
	}()
	if s := <-up; s.Since.IsZero() {
		t.Fatalf("no stream: %+v", s)
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: r.roots, Certificates: []tls.Certificate{pushIdentity(t)}}}
	defer transport.CloseIdleConnections()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/3/device/"+strings.Repeat("c0de", 16), strings.NewReader(`{"mdm":"magic"}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("apns-topic", pushTopic)
	q.Header.Set("apns-push-type", "mdm")
	answer, err := transport.RoundTrip(q)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%+v, %v", answer, err)
	}
	answer.Body.Close()
	<-woken
	stop()
	<-done
	var counted struct{ Accepted int }
	if out := r.stop(); json.Unmarshal(out, &counted) != nil || counted.Accepted != 1 {
		t.Errorf("it counted %s", out)
	}
}

const pushTopic = "com.apple.mgmt.External.2b9e"

// pushIdentity is a push certificate that its owner signed.
func pushIdentity(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		Subject:     pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: pushTopic}}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestCloudAPNsTaken: a port in use is said in the sentence of serve, and nobody's file is replaced unasked.
func TestCloudAPNsTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken := cannotListen(ln.Addr().String(), syscall.EADDRINUSE).Error()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", ln.Addr().String()}, taken},
		{[]string{"--listen", ln.Addr().String(), "--ca-out", ca}, "--ca-out: " + ca + " is there already; --force replaces it"},
		{[]string{"--listen", ln.Addr().String(), "--ca-out", ca, "--force"}, taken},
	} {
		cmd := cloudCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetErr(io.Discard)
		cmd.SetArgs(append([]string{"apns"}, tt.args...))
		if err := cmd.Execute(); err == nil || err.Error() != tt.want {
			t.Errorf("cloud apns %v:\ngot  %v\nwant %s", tt.args, err, tt.want)
		}
	}
	if got, err := os.ReadFile(ca); err != nil || string(got) != "mine" {
		t.Errorf("the file holds %q now, %v", got, err)
	}
}

//go:build !agentonly

package main

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/certs"
)

// What is no MDM server's administration is said in one sentence, whatever it answers, or if it never does; nothing of it leads to
// another host (HST-126, HST-127).
func TestFleetTargetIsNoServer(t *testing.T) {
	t.Setenv("ROLLCALL_TOKEN", "x")
	var elsewhere atomic.Int64
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a web page": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "is no rollcall server"},
		"status 500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "the server answered 500 Internal Server Error"},
		"redirects":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/x", http.StatusFound) }, "is not followed: give the URL of the server itself"},
		"closes":     {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"never answers": {func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // else nobody here would see that the caller has gone
			<-r.Context().Done()
		}, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewTLSServer(tt.answer)
			defer s.Close()
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			got := call(t.Context(), fleetCommand(), "fleet", "run", "--target", s.URL, "--ca", ca, "--devices", "2", "--calibrate", "0s", "--timeout", "50ms")
			if exitCode(got.err) != 1 || !strings.Contains(got.err.Error(), tt.want) || !strings.Contains(got.err.Error(), "invite 2 devices") {
				t.Errorf("exit code %d: %v, want %q", exitCode(got.err), got.err, tt.want)
			}
		})
	}
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d requests went to another host", n)
	}
}

// A server that answers no device well leaves a result and JUnit's XML, not an error alone.
func TestFleetEnrolmentFails(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer s.Close()
	authority, err := certs.NewIssuer("lab", realClock{}.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := authority.PEM()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	junit := filepath.Join(dir, "junit.xml")
	got := call(t.Context(), fleetCommand(), "fleet", "run", "--json", "--target", s.URL, "--ca", file("server.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
		"--server", "nanomdm", "--topic", "com.apple.mgmt.External.x", "--identity", "minted", "--identity-ca", file("ca.pem", certificate), "--identity-key", file("ca.key", key),
		"--devices", "2", "--calibrate", "0s", "--junit", junit)
	if exitCode(got.err) != 2 || !strings.Contains(got.out, "the enrolment before the load failed") {
		t.Errorf("exit code %d: %v\n%s", exitCode(got.err), got.err, got.out)
	}
	if b, err := os.ReadFile(junit); err != nil || !strings.Contains(string(b), "the enrolment before the load failed") {
		t.Errorf("%v\n%s", err, b)
	}
}

//go:build !agentonly

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/csv"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/authority"
)

// startTestServer starts a server, on a port that is its own after a restart too.
func startTestServer(t *testing.T, cfg serveConfig) *runningServer {
	t.Helper()
	var err error
	if cfg.Listen == "" {
		cfg.Listen, err = freeAddress()
	} else {
		released(t, cfg.Listen)
	}
	var s *runningServer
	if err == nil {
		s, err = startServer(t.Context(), cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func clientOf(s *runningServer) *target.Rollcall {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	return &target.Rollcall{URL: s.URL, Token: s.Token, HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}}
}

// What was there before a server stopped, gently or not, is there when it starts again, in the same process.
func TestServerStartsAgain(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	cfg := serveConfig{
		Data: dir, Clock: newDrivenClock(dir, time.Now()), Simulated: true, Tenant: &authority.Tenant{Release: 2611, Authority: protocol.Intune},
	}
	s := startTestServer(t, cfg)
	if err := clientOf(s).AddUsers(ctx, []target.User{{UPN: "ada@example.org"}}); err != nil {
		t.Fatal(err)
	}
	later := protocol.At(cfg.Clock.Now().Add(48 * time.Hour))
	if c, err := clientOf(s).Step(ctx, later); err != nil || c.Now != later || !c.Driven {
		t.Fatalf("Step = %+v, %v", c, err)
	}
	url, token, ca := s.URL, s.Token, s.CA
	cfg.Listen = s.Addr

	if _, err := startServer(ctx, serveConfig{Data: dir, Clock: realClock{}}); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a second server on the data: %v, want one sentence", err)
	}
	for _, stop := range []func() error{s.Kill, nil} {
		if stop == nil {
			stop = s.Close
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		cfg.Clock = newDrivenClock(dir, time.Now())
		s = startTestServer(t, cfg)
		if s.URL != url || s.Token != token || !bytes.Equal(s.CA, ca) {
			t.Errorf("it came back as %s with another token or CA", s.URL)
		}
		if now := protocol.At(cfg.Clock.Now()); now != later {
			t.Errorf("its clock stands at %s, want %s", now, later)
		}
		n := 0
		for u, err := range clientOf(s).Users(ctx) {
			if n++; err != nil || u.UPN != "ada@example.org" {
				t.Errorf("user %+v, %v", u, err)
			}
		}
		if n != 1 {
			t.Errorf("%d users, want 1", n)
		}
	}
	push, err := clientOf(s).Push(ctx)
	if err != nil || push.Topic == "" {
		t.Errorf("push certificate %+v, %v; want the one that was made for the simulated service", push, err)
	}
}

func TestAdministratorsToken(t *testing.T) {
	dir := t.TempDir()
	cfg := serveConfig{Data: dir, Clock: realClock{}}
	s := startTestServer(t, cfg)
	old := s.Token
	if err := clientOf(s).RevokeToken(t.Context(), tokenName); err != nil {
		t.Fatal(err)
	}
	if _, err := clientOf(s).Tokens(t.Context()); err == nil {
		t.Error("a revoked token still opens the API")
	}
	s.Close()
	s = startTestServer(t, cfg)
	if s.Token == old {
		t.Error("a start left the administrator with a revoked token")
	}
	if _, err := clientOf(s).Tokens(t.Context()); err != nil {
		t.Errorf("the new token: %v", err)
	}
	if st, err := os.Stat(filepath.Join(dir, tokenFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", st.Mode(), err)
	}
}

// Whatever of its data a server has lost, it makes no new certificate authority where there was one.
func TestHST047LostAuthority(t *testing.T) {
	for name, lost := range map[string][]string{
		"database":                  {"rollcall.db"},
		"all that the store knows":  {"rollcall.db", "reserve"},
		"all but the CA":            {"rollcall.db", "reserve", "lock", tokenFile},
		"the store's files, not db": {"reserve", "lock"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := serveConfig{Data: dir, Clock: realClock{}}
			s := startTestServer(t, cfg)
			ca := s.CA
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, f := range lost {
				if err := os.Remove(filepath.Join(dir, f)); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the second start finds what the first one left
				s, err := startServer(t.Context(), cfg)
				switch kept := lost[0] != "rollcall.db"; {
				case err == nil && !kept:
					s.Close()
					t.Fatal("it started without its data")
				case kept:
					if err != nil || !bytes.Equal(s.CA, ca) {
						t.Fatalf("with its database it starts as %v", err)
					}
					s.Close()
				case !strings.Contains(err.Error(), "has lost its data") || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n"):
					t.Errorf("it says %q", err)
				}
			}
			if b, err := os.ReadFile(filepath.Join(dir, caFile)); err != nil || !bytes.Equal(b, ca) {
				t.Errorf("%s has changed, %v", caFile, err)
			}
		})
	}
}

// A start that fails leaves neither port nor folder taken.
func TestFailedStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := startTestServer(t, serveConfig{Data: t.TempDir(), Clock: realClock{}})
	_, err := startServer(t.Context(), serveConfig{Data: dir, Clock: realClock{}, Listen: s.Addr})
	if err == nil || !strings.HasPrefix(err.Error(), "cannot listen on 127.0.0.1:") {
		t.Errorf("on a port in use: %v", err)
	}
	cfg := serveConfig{Data: dir, Clock: realClock{}}
	cfg.Push.URL = "ftp://nowhere"
	if _, err := startServer(t.Context(), cfg); err == nil {
		t.Error("a push service by ftp was taken")
	}
	cfg.Push.URL = ""
	startTestServer(t, cfg)
}

func TestCloseWaitsForNobody(t *testing.T) {
	s := startTestServer(t, serveConfig{Data: t.TempDir(), Clock: realClock{}})
	c := clientOf(s)
	if err := c.Health(t.Context()); err != nil { // its connection stays open, and idle
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Health(context.Background()); err == nil {
		t.Error("it still answers")
	}
	select {
	case err := <-s.Failed():
		t.Errorf("a closed server says it failed: %v", err)
	default:
	}
}

func TestHST067SpreadsheetCells(t *testing.T) {
	var out bytes.Buffer
	names := []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "plain", `with "quotes", commas`, ""}
	var list []target.Device
	for _, n := range names {
		list = append(list, target.Device{ID: "x", Name: n})
	}
	if err := writeCSV(&out, list); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range names {
		got := rows[i+1][4]
		formula := strings.Trim(n, " \t\r") != n || n != "" && strings.ContainsRune("=+-@", rune(n[0]))
		if formula && !strings.HasPrefix(got, "'") || !formula && got != n {
			t.Errorf("name %q became %q", n, got)
		}
	}
}

func TestDrivenClockKeepsItsTime(t *testing.T) {
	dir := t.TempDir()
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	c := newDrivenClock(dir, start)
	if !c.Now().Equal(start) || !c.Driven() {
		t.Errorf("new: %v", c.Now())
	}
	c.Step(start.Add(time.Hour))
	if again := newDrivenClock(dir, start); !again.Now().Equal(start.Add(time.Hour)) {
		t.Errorf("again: %v, want an hour later", again.Now())
	}
	if err := os.WriteFile(filepath.Join(dir, clockFile), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := newDrivenClock(dir, start); !again.Now().Equal(start) {
		t.Errorf("with a broken file: %v, want the start", again.Now())
	}
	if err := writeFile(filepath.Join(dir, "no", "such"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("writeFile into nowhere: %v", err)
	}
}

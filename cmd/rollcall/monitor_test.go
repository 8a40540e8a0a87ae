//go:build !agentonly

package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/server/authority"
)

func TestMonitor(t *testing.T) {
	s := startTestServer(t, serveConfig{
		Data: t.TempDir(), Clock: realClock{}, Simulated: true, Tenant: &authority.Tenant{Release: 2611, Authority: protocol.Intune}, Metrics: "127.0.0.1:0",
	})
	get := func(c *http.Client, url string) (int, string) {
		t.Helper()
		resp, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	main := clientOf(s).HTTP
	for _, url := range []string{s.MetricsURL + "/healthz", s.MetricsURL + "/readyz", s.URL + "/healthz", s.URL + "/readyz"} {
		if status, body := get(main, url); status != 200 {
			t.Errorf("%s answered %d %q", url, status, body)
		}
	}
	if status, _ := get(main, s.URL+"/metrics"); status != 404 {
		t.Errorf("metrics on the devices' address answered %d", status)
	}
	status, body := get(http.DefaultClient, s.MetricsURL+"/metrics")
	for _, want := range []string{
		"rollcall_devices 0\n", "rollcall_ready 1\n", "rollcall_push_gap_open 0\n", `rollcall_tls_handshakes_total{kind="full",rule=""} `,
		"rollcall_commit_group_changes_count ", "rollcall_push_certificate_expires_timestamp_seconds ",
	} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("answered %d without %q", status, want)
		}
	}
	s.store.Close()
	for _, url := range []string{s.MetricsURL, s.URL} {
		if status, body := get(main, url+"/readyz"); status != 503 || !strings.Contains(body, "closed") {
			t.Errorf("readyz without a store answered %d %q", status, body)
		}
	}
	if status, _ := get(main, s.MetricsURL+"/healthz"); status != 200 {
		t.Errorf("healthz without a store answered %d", status)
	}
}

// A server that runs out of files can neither keep a change nor send a wake-up (HST-099).
func TestHST099Files(t *testing.T) {
	for _, tt := range []struct {
		asked int
		files uint64
		want  int
	}{
		{0, 0, 25_000}, {0, 1 << 20, 25_000}, {100, 0, 100}, {100, 1024, 100}, {0, 20_000, 19_744}, {1000, 1024, 768}, {1000, 64, 256},
	} {
		if got := affordable(tt.asked, tt.files); got != tt.want {
			t.Errorf("affordable(%d, %d) = %d, want %d", tt.asked, tt.files, got, tt.want)
		}
	}
}

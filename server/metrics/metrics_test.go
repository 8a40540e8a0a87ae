package metrics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/device"
	"rollcall/server/metrics"
	"rollcall/server/push"
)

var _ device.Meter = (*metrics.Metrics)(nil)

// answers is a push service that gives these answers, one after the other.
type answers []push.Answer

func (a *answers) Push(context.Context, push.Notification) push.Answer {
	first := (*a)[0]
	*a = (*a)[1:]
	return first
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestMetrics(t *testing.T) {
	m := metrics.New(func() metrics.State {
		return metrics.State{
			Devices: 7, StoreBytes: 4096, Changes: 30, GroupSize: []uint64{2, 0, 1, 4}, Waiting: 3, CommitAge: 2 * time.Second,
			Connections: 9, Idle: 4, HandshakesWaiting: 5, HandshakeAge: time.Second, RequestsAway: 11, Evicted: 12,
			GapOpen: true, PushExpires: time.Unix(1_800_000_000, 0), Ready: true,
		}
	})
	m.CheckIn("Idle", "", false, 3*time.Millisecond)
	m.CheckIn("Idle", "", false, 3*time.Millisecond)
	m.CheckIn("TokenUpdate", "HST-033", false, time.Millisecond)
	m.CheckIn("", "", true, time.Second)
	m.Enrolled(protocol.IOS)
	m.Handshake(false, "")
	m.Handshake(true, "")
	m.Handshake(true, "HST-032")
	said := answers{{Result: delivery.Accepted}, {Result: delivery.TryLater, Suspend: true}, {Result: delivery.Inactive}}
	p := m.Pusher("apns", &said)
	for range 3 {
		p.Push(t.Context(), push.Notification{Token: []byte("secret"), Topic: "topic"})
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.AddHook(m)
	log.WithField("rule", protocol.RulePushGap).Warn("refused")
	log.WithField("rule", "HST-030").WithField("device", "ada-s-phone").Warn("refused")
	log.WithField("rule", protocol.Rule("")).Warn("no rule")
	log.Warn("nothing")

	status, got := get(t, m.Handler(func() error { return nil }), "/metrics")
	if status != 200 {
		t.Fatalf("answered %d", status)
	}
	for _, want := range []string{
		`rollcall_checkins_total{message="Idle",outcome="served",rule=""} 2`,
		`rollcall_checkins_total{message="TokenUpdate",outcome="refused",rule="HST-033"} 1`,
		`rollcall_checkins_total{message="unknown",outcome="failed",rule=""} 1`,
		`rollcall_checkin_seconds_bucket{outcome="served",le="0.005"} 2`,
		`rollcall_enrolments_total{platform="ios"} 1`,
		`rollcall_tls_handshakes_total{kind="full",rule=""} 1`,
		`rollcall_tls_handshakes_total{kind="resumed",rule=""} 1`,
		`rollcall_tls_handshakes_total{kind="refused",rule="HST-032"} 1`,
		`rollcall_pushes_total{result="accepted",service="apns"} 1`,
		`rollcall_pushes_total{result="suspended",service="apns"} 1`,
		`rollcall_pushes_total{result="inactive",service="apns"} 1`,
		`rollcall_rules_total{level="warning",rule="AUTH-30"} 1`,
		`rollcall_rules_total{level="warning",rule="HST-030"} 1`,
		`rollcall_devices 7`,
		`rollcall_store_bytes 4096`,
		`rollcall_commit_group_changes_bucket{le="1"} 2`,
		`rollcall_commit_group_changes_bucket{le="4"} 3`,
		`rollcall_commit_group_changes_bucket{le="+Inf"} 7`,
		`rollcall_commit_group_changes_sum 30`,
		`rollcall_commit_queue 3`,
		`rollcall_commit_queue_age_seconds 2`,
		`rollcall_connections{state="idle"} 4`,
		`rollcall_connections{state="busy"} 5`,
		`rollcall_admission_queue{what="handshake"} 5`,
		`rollcall_admission_queue_age_seconds{what="handshake"} 1`,
		`rollcall_turned_away_total{what="request"} 11`,
		`rollcall_evicted_connections_total 12`,
		`rollcall_push_gap_open 1`,
		`rollcall_push_certificate_expires_timestamp_seconds 1.8e+09`,
		`rollcall_campaign_running 0`,
		`rollcall_ready 1`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	// What may stand in a label is a short list; who a device is never does.
	allowed := regexp.MustCompile(`^(message|outcome|rule|kind|result|service|level|platform|state|what|le|quantile|version)$`)
	for _, label := range regexp.MustCompile(`[{,]([a-z_]+)="`).FindAllStringSubmatch(got, -1) {
		if !allowed.MatchString(label[1]) {
			t.Errorf("a label %s", label[1])
		}
	}
	if strings.Contains(got, "secret") || strings.Contains(got, "ada-s-phone") {
		t.Error("a device is named")
	}
	if t.Failed() {
		t.Log(regexp.MustCompile(`(?m)^(#|go_|process_|promhttp_).*\n`).ReplaceAllString(got, ""))
	}
}

func TestProbes(t *testing.T) {
	var no error
	h := metrics.New(func() metrics.State { return metrics.State{} }).Handler(func() error { return no })
	for _, tt := range []struct {
		no     error
		path   string
		status int
		body   string
	}{
		{nil, "/healthz", 200, "ok\n"},
		{nil, "/readyz", 200, "ok\n"},
		{errors.New("HST-092: the disk is full"), "/readyz", 503, "HST-092: the disk is full\n"},
		{errors.New("HST-092: the disk is full"), "/healthz", 200, "ok\n"},
		{nil, "/else", 404, "404 page not found\n"},
	} {
		no = tt.no
		if status, body := get(t, h, tt.path); status != tt.status || body != tt.body {
			t.Errorf("%s with %v answered %d %q, want %d %q", tt.path, tt.no, status, body, tt.status, tt.body)
		}
	}
}

package load

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"rollcall/agent/dialect"
)

// What a load shows to Prometheus while it runs is what its result says, and names no device.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Millisecond) })
		defer r.close()
		registry := prometheus.NewPedanticRegistry()
		l := r.load(4, Config{Link: kept, Pace: Constant(10, time.Second)})
		defer l.Close()
		if err := registry.Register(l.Metrics()); err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		scraping := make(chan error)
		go func() { // all the while
			for {
				select {
				case <-over:
					scraping <- nil
					return
				case <-time.After(50 * time.Millisecond):
				}
				if _, err := registry.Gather(); err != nil {
					scraping <- err
					return
				}
			}
		}()
		_, err := l.Enrol(t.Context())
		if err == nil {
			err = l.Run(t.Context())
		}
		close(over)
		if err := errors.Join(err, <-scraping); err != nil {
			t.Fatal(err)
		}
		want := `
# HELP rollcall_fleet_conversations_total Conversations that ended, by how.
# TYPE rollcall_fleet_conversations_total counter
rollcall_fleet_conversations_total{outcome="done"} 10
rollcall_fleet_conversations_total{outcome="failed"} 0
rollcall_fleet_conversations_total{outcome="refused"} 0
# HELP rollcall_fleet_offered_total Arrivals that the pace has offered.
# TYPE rollcall_fleet_offered_total counter
rollcall_fleet_offered_total 10
`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "rollcall_fleet_conversations_total", "rollcall_fleet_offered_total"); err != nil {
			t.Error(err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		seen := false
		for _, f := range families {
			for _, m := range f.GetMetric() {
				idle := false
				for _, label := range m.GetLabel() {
					idle = idle || label.GetValue() == dialect.Idle.String()
					if strings.Contains(label.GetValue(), "00008101") {
						t.Errorf("%s names a device", f.GetName())
					}
				}
				if h := m.GetHistogram(); f.GetName() == "rollcall_fleet_request_seconds" && h != nil && idle {
					for _, b := range h.GetBucket() {
						if want := uint64(4 + 10); b.GetUpperBound() == .025 {
							seen = true
							if b.GetCumulativeCount() != want {
								t.Errorf("%d within 25 ms, want %d", b.GetCumulativeCount(), want)
							}
						} else if b.GetUpperBound() == .01 && b.GetCumulativeCount() != 0 {
							t.Errorf("%d within 10 ms", b.GetCumulativeCount())
						}
					}
				}
			}
		}
		if !seen {
			t.Error("no latencies")
		}
	})
}

// A counter never falls: the books begin anew after the enrolment, what is shown does not.
func TestMetricsAfterEnrolment(t *testing.T) {
	l := &Load{books: []*book{new(book), new(book)}}
	l.books[0].full, l.books[1].full = 2, 3
	put(&l.books[1].steps[dialect.Authenticate][Good], time.Second)
	l.turnOver()
	if all := l.ever(); all.full != 5 || all.steps[dialect.Authenticate][Good].TotalCount() != 1 {
		t.Errorf("%d handshakes after the enrolment, want 5", all.full)
	}
	l.books[0].full++
	if all := l.ever(); all.full != 6 || l.total().full != 1 {
		t.Errorf("%d handshakes, want 6; %d of the load, want 1", all.full, l.total().full)
	}
}

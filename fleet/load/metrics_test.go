package load

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/agent/dialect"
)

// What a load shows to Prometheus is what its result says, and names no device; while it runs all of it moves.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(60 * time.Millisecond)
			switch asked.Add(1) - 3*4 { // Authenticate, TokenUpdate and the first questions of each
			case 4, 5:
				w.WriteHeader(http.StatusForbidden)
			case 7:
				io.WriteString(w, "<html>")
			}
		})
		defer r.close()
		registry := prometheus.NewPedanticRegistry()
		l := r.load(4, Config{Link: kept, Pace: Constant(10, time.Second)})
		defer l.Close()
		if err := registry.Register(l.Metrics()); err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		scraping := make(chan error)
		seen := map[string]map[float64]bool{} // figures, by name and labels
		go func() {                           // all the while
			for {
				select {
				case <-over:
					scraping <- nil
					return
				case <-time.After(50 * time.Millisecond):
				}
				now, err := figures(registry)
				if err != nil {
					scraping <- err
					return
				}
				for name, v := range now {
					if seen[name] == nil {
						seen[name] = map[float64]bool{}
					}
					seen[name][v] = true
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
		last, err := figures(registry)
		if err != nil {
			t.Fatal(err)
		}
		const name = "rollcall_fleet_"
		for _, tt := range []struct {
			figure string
			want   float64
			values int // that it had at least, one scrape after another
		}{
			{"offered_total", 10, 8},
			{"conversations_total done", 7, 6},
			{"conversations_total refused", 2, 2},
			{"conversations_total failed", 1, 2},
			{"handshakes_total full", 4, 1},
			{"handshakes_total resumed", 0, 1},
			{"devices", 4, 1},
			{"enrolled", 4, 2},
			{"busy", 0, 2},
			{"start_delay_seconds", 10, 5},
			{"request_seconds " + dialect.Authenticate.String() + " ok", 4, 1},
			{"request_seconds " + dialect.Idle.String() + " ok", 4 + 7, 6},
			{"request_seconds " + dialect.Idle.String() + " ok 0.1", 4 + 7, 6}, // within 100 ms
			{"request_seconds " + dialect.Idle.String() + " ok 0.05", 0, 1},
			{"request_seconds " + dialect.Idle.String() + " refused", 2, 1},
			{"request_seconds " + dialect.Idle.String() + " no property list", 1, 1},
		} {
			if got, ok := last[name+tt.figure]; !ok || got != tt.want || len(seen[name+tt.figure]) < tt.values {
				t.Errorf("%s is %v in the end, want %v; while it ran it was %v", tt.figure, got, tt.want, seen[name+tt.figure])
			}
		}
		for figure := range last {
			if strings.Contains(figure, "00008101") {
				t.Errorf("%s names a device", figure)
			}
		}
	})
}

// What the pace has offered is more than what was begun where the fleet is too small, and that is shown.
func TestMetricsOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		r := newRig(t, func(http.ResponseWriter, *http.Request) {
			if slow.Load() {
				time.Sleep(10 * time.Second)
			}
		})
		defer r.close()
		registry := prometheus.NewPedanticRegistry()
		l := r.load(1, Config{Link: kept, Pace: Constant(10, time.Second), Drain: time.Second})
		defer l.Close()
		err := registry.Register(l.Metrics())
		if err == nil {
			_, err = l.Enrol(t.Context())
		}
		slow.Store(true)
		if err == nil {
			err = l.Run(t.Context())
		}
		now, wrong := figures(registry)
		if err := errors.Join(err, wrong); err != nil {
			t.Fatal(err)
		}
		if began := l.ever().sessions.started; now["rollcall_fleet_offered_total"] != 10 || began >= 10 {
			t.Errorf("%v are shown as offered, want 10, and %d began", now["rollcall_fleet_offered_total"], began)
		}
	})
}

// figures are what a scrape shows, by name and the values of the labels: of a histogram its count, and by each bound what is below that.
func figures(registry *prometheus.Registry) (map[string]float64, error) {
	families, err := registry.Gather()
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, label := range slices.Backward(m.GetLabel()) { // by name: step before outcome
				key += " " + label.GetValue()
			}
			switch h := m.GetHistogram(); {
			case h != nil:
				all[key] = float64(h.GetSampleCount())
				for _, b := range h.GetBucket() {
					all[fmt.Sprint(key, " ", b.GetUpperBound())] = float64(b.GetCumulativeCount())
				}
			default:
				all[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return all, err
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

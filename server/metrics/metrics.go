package metrics

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/push"
)

// Metrics counts what a server does. Safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	checkIns   *prometheus.CounterVec
	took       *prometheus.HistogramVec
	enrolments *prometheus.CounterVec
	handshakes *prometheus.CounterVec
	pushes     *prometheus.CounterVec
	rules      *prometheus.CounterVec
}

// New makes metrics that also show the state that each scrape asks of state.
func New(state func() State) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_" + name, Help: help}, labels)
	}
	m := &Metrics{
		registry:   prometheus.NewRegistry(),
		checkIns:   counter("checkins_total", "Messages of devices, by kind and what became of them; rule names why one was refused.", "message", "outcome", "rule"),
		enrolments: counter("enrolments_total", "Devices that enrolled.", "platform"),
		handshakes: counter("tls_handshakes_total", "TLS handshakes: full, resumed or refused, with the rule why.", "kind", "rule"),
		pushes:     counter("pushes_total", "Wake-ups by push service and what it said.", "service", "result"),
		rules:      counter("rules_total", "Lines of the log that name a rule: refusals and alarms.", "rule", "level"),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rollcall_checkin_seconds", Help: "From a message's header to its answer, durable.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, NativeHistogramBucketFactor: 1.1,
		}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.checkIns, m.took, m.enrolments, m.handshakes, m.pushes, m.rules, scrape(state),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// CheckIn counts one message of a device.
func (m *Metrics) CheckIn(message string, rule protocol.Rule, failed bool, took time.Duration) {
	outcome := "served"
	switch {
	case failed:
		outcome = "failed"
	case rule != "":
		outcome = "refused"
	}
	m.checkIns.WithLabelValues(cmp.Or(message, "unknown"), outcome, string(rule)).Inc()
	m.took.WithLabelValues(outcome).Observe(took.Seconds())
}

// Enrolled counts one device that enrolled.
func (m *Metrics) Enrolled(p protocol.Platform) { m.enrolments.WithLabelValues(p.String()).Inc() }

// Handshake counts one TLS handshake.
func (m *Metrics) Handshake(resumed bool, rule protocol.Rule) {
	kind := "full"
	switch {
	case rule != "":
		kind = "refused"
	case resumed:
		kind = "resumed"
	}
	m.handshakes.WithLabelValues(kind, string(rule)).Inc()
}

// Pusher counts what p, which is the client of that service, does.
func (m *Metrics) Pusher(service string, p push.Pusher) push.Pusher { return pusher{p, service, m} }

type pusher struct {
	push.Pusher
	service string
	m       *Metrics
}

var results = map[delivery.PushResult]string{
	delivery.Accepted: "accepted", delivery.BadAddress: "bad_address", delivery.Inactive: "inactive", delivery.TryLater: "later",
}

func (p pusher) Push(ctx context.Context, n push.Notification) push.Answer {
	a := p.Pusher.Push(ctx, n)
	result := results[a.Result]
	if a.Suspend {
		result = "suspended"
	}
	p.m.pushes.WithLabelValues(p.service, result).Inc()
	return a
}

// Levels and Fire make m a hook of the server's log: each refusal is one line that names its rule.
func (*Metrics) Levels() []logrus.Level { return logrus.AllLevels }

// Fire counts a line.
func (m *Metrics) Fire(e *logrus.Entry) error {
	rule := ""
	switch r := e.Data["rule"].(type) {
	case protocol.Rule:
		rule = string(r)
	case string:
		rule = r
	}
	if rule != "" {
		m.rules.WithLabelValues(rule, e.Level.String()).Inc()
	}
	return nil
}

// Handler serves /metrics, /healthz and /readyz. Ready tells why the server should not be sent devices now; nil: it should.
func (m *Metrics) Handler(ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.Handle("GET /healthz", Probe(func() error { return nil }))
	mux.Handle("GET /readyz", Probe(ready))
	return mux
}

// Probe answers 200, or 503 with what ready says.
func Probe(ready func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := ready(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte(err.Error() + "\n"))
			return
		}
		w.Write([]byte("ok\n"))
	})
}

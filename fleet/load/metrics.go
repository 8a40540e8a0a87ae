package load

import (
	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/prometheus/client_golang/prometheus"

	"rollcall/agent/dialect"
)

// Metrics is what a load shows while it runs, for Prometheus to scrape. No label names a device.
func (l *Load) Metrics() prometheus.Collector { return scrape{l} }

type scrape struct{ *Load }

var (
	descOffered  = prometheus.NewDesc("rollcall_fleet_offered_total", "Arrivals that the pace has offered.", nil, nil)
	descSessions = prometheus.NewDesc("rollcall_fleet_conversations_total", "Conversations that ended, by how.", []string{"outcome"}, nil)
	descTook     = prometheus.NewDesc("rollcall_fleet_request_seconds", "From the intended moment of a request to the end of its answer.", []string{"step", "outcome"}, nil)
	descLate     = prometheus.NewDesc("rollcall_fleet_start_delay_seconds", "What the generator itself added to the beginning of a step.", nil, nil)
	descHands    = prometheus.NewDesc("rollcall_fleet_handshakes_total", "TLS handshakes.", []string{"kind"}, nil)
	descBusy     = prometheus.NewDesc("rollcall_fleet_busy", "Devices that talk now.", nil, nil)
	descDevices  = prometheus.NewDesc("rollcall_fleet_devices", "Devices of the fleet.", nil, nil)
	descEnrolled = prometheus.NewDesc("rollcall_fleet_enrolled", "Devices that are enrolled.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (scrape) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descOffered, descSessions, descTook, descLate, descHands, descBusy, descDevices, descEnrolled} {
		c <- d
	}
}

// Collect implements [prometheus.Collector].
func (s scrape) Collect(c chan<- prometheus.Metric) {
	all := s.ever() // no counter falls
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	histogram := func(d *prometheus.Desc, h *hdrhistogram.Histogram, labels ...string) {
		if h != nil {
			count, sum, buckets := bucketsOf(h)
			c <- prometheus.MustNewConstHistogram(d, count, sum, buckets, labels...)
		}
	}
	counter(descOffered, s.offered.Load())
	counter(descSessions, all.sessions.done, "done")
	counter(descSessions, all.sessions.refused, "refused")
	counter(descSessions, all.sessions.failed, "failed")
	counter(descHands, all.full, "full")
	counter(descHands, all.resumed, "resumed")
	for step := range all.steps {
		for o, h := range all.steps[step] {
			histogram(descTook, h, dialect.Step(step).String(), Outcome(o).String())
		}
	}
	histogram(descLate, all.late)
	s.mu.Lock()
	busy := s.count[talking]
	s.mu.Unlock()
	gauge(descBusy, busy)
	gauge(descDevices, len(s.config.Devices))
	gauge(descEnrolled, int(s.enrolled.Load()))
}

// bounds of the buckets, in seconds.
var bounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func bucketsOf(h *hdrhistogram.Histogram) (count uint64, sum float64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(bounds))
	for _, b := range h.Distribution() {
		if b.Count == 0 {
			continue
		}
		count += uint64(b.Count)
		middle := float64(b.From+b.To) / 2 / 1e6
		sum += middle * float64(b.Count)
		for _, bound := range bounds {
			if middle <= bound {
				buckets[bound] += uint64(b.Count)
			}
		}
	}
	for _, bound := range bounds { // a bound that holds nothing is one all the same
		buckets[bound] += 0
	}
	return count, sum, buckets
}

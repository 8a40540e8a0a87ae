package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A State is how a server stands at the moment of a scrape; unsigned numbers count since its start.
type State struct {
	Devices    int
	StoreBytes int64

	Changes   uint64
	GroupSize []uint64 // groups of at most 1, 2, 4, 8 ... changes; the last: of more
	Waiting   int      // changes that wait to be durable
	CommitAge time.Duration

	Connections, Idle            int
	HandshakesWaiting            int
	RequestsWaiting              int
	HandshakeAge, RequestAge     time.Duration
	HandshakesAway, RequestsAway uint64 // turned away (HST-111)
	Evicted                      uint64

	GapOpen     bool      // AUTH-30
	PushExpires time.Time // zero: there is no push certificate
	Campaign    bool      // devices are being woken for a change of authority (AUTH-20)
	Ready       bool
}

// A scrape asks for a State at each scrape.
type scrape func() State

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rollcall_"+name, help, labels, nil)
}

var (
	descDevices     = desc("devices", "Records of devices.")
	descBytes       = desc("store_bytes", "Size of database and log on the disk.")
	descGroup       = desc("commit_group_changes", "Changes that were made durable together.")
	descWaiting     = desc("commit_queue", "Changes that wait to be made durable.")
	descAge         = desc("commit_queue_age_seconds", "Age of the oldest change that is not durable yet.")
	descConns       = desc("connections", "Connections that are kept, by whether they are between two requests.", "state")
	descLine        = desc("admission_queue", "Who waits in line.", "what")
	descLineAge     = desc("admission_queue_age_seconds", "How long the first in line has waited.", "what")
	descAway        = desc("turned_away_total", "Handshakes and requests that were turned away because of overload (HST-111).", "what")
	descEvicted     = desc("evicted_connections_total", "Connections that were closed to make room for others.")
	descGap         = desc("push_gap_open", "1 while Apple waits for a renewed push certificate (AUTH-30).")
	descPushExpires = desc("push_certificate_expires_timestamp_seconds", "End of the push certificate.")
	descCampaign    = desc("campaign_running", "1 while devices are woken for a change of authority (AUTH-20).")
	descReady       = desc("ready", "1 while the server should be sent devices.")
)

// Describe implements [prometheus.Collector].
func (scrape) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descDevices, descBytes, descGroup, descWaiting, descAge, descConns, descLine, descLineAge, descAway, descEvicted, descGap, descPushExpires,
		descCampaign, descReady,
	} {
		c <- d
	}
}

// Collect implements [prometheus.Collector].
func (state scrape) Collect(c chan<- prometheus.Metric) {
	s := state()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge(descDevices, float64(s.Devices))
	gauge(descBytes, float64(s.StoreBytes))
	buckets, total := make(map[float64]uint64), uint64(0)
	for i, n := range s.GroupSize {
		if total += n; i < len(s.GroupSize)-1 {
			buckets[float64(uint64(1)<<i)] = total
		}
	}
	c <- prometheus.MustNewConstHistogram(descGroup, total, float64(s.Changes), buckets)
	gauge(descWaiting, float64(s.Waiting))
	gauge(descAge, s.CommitAge.Seconds())
	gauge(descConns, float64(s.Idle), "idle")
	gauge(descConns, float64(s.Connections-s.Idle), "busy")
	gauge(descLine, float64(s.HandshakesWaiting), "handshake")
	gauge(descLine, float64(s.RequestsWaiting), "request")
	gauge(descLineAge, s.HandshakeAge.Seconds(), "handshake")
	gauge(descLineAge, s.RequestAge.Seconds(), "request")
	counter(descAway, s.HandshakesAway, "handshake")
	counter(descAway, s.RequestsAway, "request")
	counter(descEvicted, s.Evicted)
	gauge(descGap, flag(s.GapOpen))
	if !s.PushExpires.IsZero() {
		gauge(descPushExpires, float64(s.PushExpires.Unix()))
	}
	gauge(descCampaign, flag(s.Campaign))
	gauge(descReady, flag(s.Ready))
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

package load

import (
	"fmt"
	"math"
	"regexp"
	"runtime/metrics"
	"sync"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol/lang"
)

// A Generator is how the generator itself fared: what convicts it (HST-126).
type Generator struct {
	StartDelay    Quantiles    `json:"start_delay" jsonschema_description:"how much later than it could have been each step began"`
	SchedulingP99 float64      `json:"scheduling_p99_ms" jsonschema_description:"how long what could run waited for a processor"`
	Standstill    float64      `json:"longest_standstill_ms" jsonschema_description:"longest time in which nothing ran at all"`
	GCPause       float64      `json:"longest_gc_pause_ms"`
	GCShare       float64      `json:"gc_cpu_share" jsonschema_description:"of the processor time of the generator, 0 to 1"`
	ClockStep     float64      `json:"clock_step_ms" jsonschema_description:"by how much the system's clock was set during the run"`
	Exhausted     int64        `json:"exhausted" jsonschema_description:"requests for which our own system had no socket, port or file"`
	Calibration   *Calibration `json:"calibration,omitempty"`
	Convicted     []string     `json:"convicted,omitempty" jsonschema_description:"why this says nothing of the server, one sentence each"`
}

// What convicts a generator.
const (
	mostLate  = 10 * time.Millisecond // p99 of start delay and of scheduling
	mostPause = 50 * time.Millisecond // one of the garbage collector's
	mostStill = time.Second
	mostStep  = 50 * time.Millisecond
)

// judge returns why a generator's figures say nothing of the server; none: it was not the bottleneck. tight is the tightest
// latency that the run is held to, 0: none.
func (g *Generator) judge(tight time.Duration) (why []string) {
	most, what := mostLate, "10 ms"
	if tight > 0 && tight/10 < most {
		most, what = tight/10, lang.English.Say("a tenth of the limit of %s", plan.Duration(tight))
	}
	limit := float64(most) / float64(time.Millisecond)
	over := func(cond bool, format lang.Key, args ...any) {
		if cond {
			why = append(why, lang.English.Say(format, args...))
		}
	}
	over(g.Exhausted > 0, lang.Key("generator saturated: our own system had no more sockets, ports or files for %d {request|requests}"), g.Exhausted)
	over(g.StartDelay.P99 > limit, lang.Key("generator saturated: one step in a hundred began %s or more after it could have; %s is allowed"), millis(g.StartDelay.P99), what)
	over(g.SchedulingP99 > limit, lang.Key("generator saturated: one in a hundred of its own turns waited %s for a processor; %s is allowed"), millis(g.SchedulingP99), what)
	over(g.GCPause > ms(mostPause), lang.Key("the generator's garbage collector stopped it for %s"), millis(g.GCPause))
	over(g.Standstill > ms(mostStill), lang.Key("the generator itself stood still for %s"), millis(g.Standstill))
	over(g.ClockStep > ms(mostStep), lang.Key("the system's clock was set by %s during the run"), millis(g.ClockStep))
	return why
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func millis(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.1f s", v/1000)
	}
	return fmt.Sprintf("%.3g ms", v)
}

var latencyLimit = regexp.MustCompile(`\.p\d+(?:_ms)?\s*<=?\s*([0-9.]+(?:us|ms|s|m)?)`)

// tightest returns the tightest latency that limits speak of, 0: none does.
func tightest(limits []plan.Limit) (tight time.Duration) {
	for _, l := range limits {
		for _, m := range latencyLimit.FindAllStringSubmatch(l.String(), -1) {
			d, err := plan.ParseDuration(m[1])
			if err != nil {
				d, err = plan.ParseDuration(m[1] + "ms") // p99_ms < 50
			}
			if err == nil && d > 0 && (tight == 0 || d < tight) {
				tight = d
			}
		}
	}
	return tight
}

// A Watch looks after the generator while it runs.
type Watch struct {
	stop  chan struct{}
	ended sync.WaitGroup
	still time.Duration
	step  time.Duration
	begin []metrics.Sample
}

const (
	watchEvery = 20 * time.Millisecond
	schedules  = "/sched/latencies:seconds"
	pauses     = "/sched/pauses/total/gc:seconds"
	gcTime     = "/cpu/classes/gc/total:cpu-seconds"
	allTime    = "/cpu/classes/total:cpu-seconds"
	idleTime   = "/cpu/classes/idle:cpu-seconds"
	nearlyAll  = 0.99
)

func samples() []metrics.Sample {
	s := []metrics.Sample{{Name: schedules}, {Name: pauses}, {Name: gcTime}, {Name: allTime}, {Name: idleTime}}
	metrics.Read(s)
	return s
}

// StartWatch begins to watch; call [Watch.End] when the load is over.
func StartWatch() *Watch {
	w := &Watch{stop: make(chan struct{}), begin: samples()}
	w.ended.Go(w.run)
	return w
}

func (w *Watch) run() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	begin := time.Now()
	last := begin
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		w.still = max(w.still, now.Sub(last)-watchEvery)
		wall := now.Round(0).Sub(begin.Round(0)) // without the monotonic reading
		w.step = max(w.step, (wall - now.Sub(begin)).Abs())
		last = now
	}
}

// End returns what was seen.
func (w *Watch) End() (g Generator) {
	close(w.stop)
	w.ended.Wait()
	now := samples()
	g.Standstill, g.ClockStep = ms(w.still), ms(w.step)
	g.SchedulingP99 = 1000 * quantileSince(w.begin[0].Value.Float64Histogram(), now[0].Value.Float64Histogram(), nearlyAll)
	g.GCPause = 1000 * quantileSince(w.begin[1].Value.Float64Histogram(), now[1].Value.Float64Histogram(), 1)
	spent := func(i int) float64 { return now[i].Value.Float64() - w.begin[i].Value.Float64() }
	if used := spent(3) - spent(4); used > 0 {
		g.GCShare = min(max(spent(2)/used, 0), 1)
	}
	return g
}

// quantileSince returns the lower end of the bucket that the q-th of what came between two readings fell into.
func quantileSince(before, after *metrics.Float64Histogram, q float64) float64 {
	total := uint64(0)
	for i, n := range after.Counts {
		total += n - before.Counts[i]
	}
	want, seen := uint64(math.Ceil(q*float64(total))), uint64(0)
	for i, n := range after.Counts {
		if seen += n - before.Counts[i]; total > 0 && seen >= want {
			return max(after.Buckets[i], 0) // the first begins at minus infinity
		}
	}
	return 0
}

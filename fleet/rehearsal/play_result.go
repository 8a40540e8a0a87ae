package rehearsal

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// Result is what a rehearsal with these answers reports beside every other job. Wall time, processor time and memory are for the caller to fill in
// before [Played.Judge].
func (p *Played) Result(a *Answers) *report.Result {
	r := &report.Result{
		Version: 1, Command: "rehearse", Verdict: report.OK, Seed: p.Seed, EventLogSHA256: p.LogSHA256, VirtualSeconds: p.End.Sub(p.Start).Seconds(),
		CheckIns:   report.CheckIns{Done: p.CheckIns, Failed: p.Failed, Refused: p.Refused},
		Invariants: report.Invariants{Checked: p.Checked, Violated: p.Violated},
	}
	c := &r.CheckIns
	c.Started = c.Done + c.Failed + c.Refused
	c.Offered = c.Started
	p.countDevices(&r.Devices)
	r.Devices.Removed = int(p.Removed)
	r.Sections = map[string]any{"rehearsal": p.section(a)}
	if moves := p.moves(); len(moves) > 0 {
		at := func(hundredths int) float64 {
			return float64(moves[min(len(moves)-1, (len(moves)*hundredths+99)/100-1)]) / float64(time.Millisecond)
		}
		r.Sections["moved"] = map[string]float64{"p50_ms": at(50), "p95_ms": at(95), "p100_ms": at(100)}
	}
	for _, v := range p.Violations[:min(len(p.Violations), 3)] {
		r.Reasons = append(r.Reasons, lang.English.Say("%s does not hold for %s: %s", v.Invariant, v.Device, v.What))
	}
	if p.Wire != nil {
		for i := range p.Wire.Differences[:min(len(p.Wire.Differences), 3)] {
			r.Reasons = append(r.Reasons, p.Wire.Differences[i].String())
		}
	}
	return r
}

// moves are how long each device took to move, the shortest first.
func (p *Played) moves() (took []time.Duration) {
	for i := range p.Lives {
		if d, ok := p.wait(&p.Lives[i]); ok {
			took = append(took, d)
		}
	}
	slices.Sort(took)
	return took
}

// wait is how long a device took to move since it was pending and not blocked: of several moves the longest. One that has still to
// move has taken the time until the end so far; the stranded never will, and do not count.
func (p *Played) wait(l *Life) (took time.Duration, ok bool) {
	switch {
	case l.FirstPending == 0:
		return 0, false
	case l.moved():
		return l.longest(), true
	case l.Pending && !l.Stranded:
		return p.End.Sub(l.FirstPending), true
	}
	return 0, false
}

func (p *Played) countDevices(d *report.Devices) {
	d.LeftOutBy = p.Population.LeftOutBy()
	for _, n := range d.LeftOutBy {
		d.LeftOut += n
	}
	d.Total = len(p.Lives) + d.LeftOut
	d.ByPlatform = map[protocol.Platform]report.PlatformSize{}
	for i := range p.Lives {
		l, platform := &p.Lives[i], p.Population.Devices[i].Platform
		size := d.ByPlatform[platform]
		size.Total++
		size.Wire = p.Wire.proves(platform)
		d.ByPlatform[platform] = size
		switch {
		case l.Enrolled:
			d.Enrolled++
			l.Standing.count(d)
		case l.LastSeen == 0:
			d.Enrolling++
		}
		if l.MustEnrol {
			d.MustEnrol++
		}
	}
}

// section is the job's own part of the result.
func (p *Played) section(a *Answers) map[string]any {
	spans := func(of []fleet.Gap) []map[string]float64 {
		all := []map[string]float64{}
		for _, g := range of {
			closed := g.Closed
			if closed == 0 {
				closed = p.End
			}
			all = append(all, map[string]float64{"from_seconds": g.Opened.Sub(p.Start).Seconds(), "to_seconds": closed.Sub(p.Start).Seconds()})
		}
		return all
	}
	section := a.Sections()
	section["gaps"], section["push_ended"] = spans(p.Gaps), spans(p.Silences)
	section["plan"], section["enrolments"], section["event_log_lines"] = p.Plan.Name, p.Enrolments, p.LogLines
	if p.Wire != nil {
		section["wire"] = p.Wire.section()
	}
	return section
}

// liveOnly are the figures of a result that only a live run has.
var liveOnly = map[string][]string{"checkins": {"per_second", "p50_ms", "p99_ms", "p999_ms"}}

// Judge holds the result against the plan's limits and gives the verdict. Limits of figures that only a live run has are not
// applicable; those of a rehearsal that was cut short are not judged.
func (p *Played) Judge(r *report.Result) { p.judge(r, liveOnly) }

func (p *Played) judge(r *report.Result, absent map[string][]string) {
	judge(p.Plan, r, p.Partial, judged{nothing: p.Partial, devices: !borrowed(p.Plan, p.Population)}, absent)
}

// outside are the figures of a result that its story does not tell: they are of the machine that played it.
var outside = map[string][]string{"wall_seconds": nil, "cpu_seconds": nil, "peak_rss_bytes": nil}

// FailedLimits are the plan's limits that do not hold in the story, in the plan's order. Those on wall time, processor time and memory
// are of a machine and not of a story, and those of a rehearsal that was cut short are not judged: they are not among them. The server's capacity is unknown.
func (p *Played) FailedLimits() (failed []report.Limit) {
	r := p.Result(p.Answer(0))
	absent := maps.Clone(liveOnly)
	maps.Copy(absent, outside)
	p.judge(r, absent)
	for _, l := range r.Limits {
		if !l.OK {
			failed = append(failed, l)
		}
	}
	return failed
}

// borrowed tells whether an export's devices play a ready plan whose limits were written for devices of its own.
func borrowed(p *plan.Plan, pop *population.Population) bool {
	return pop.Tenant.AsOf != 0 && p.ForItsOwn() && slices.ContainsFunc(p.Limits, func(l plan.Limit) bool { return l.OfDevices() })
}

// sayBorrowed says why such limits were not judged.
func sayBorrowed(l lang.Language, p *plan.Plan) string {
	return l.Say("The ready plan %s was written for devices of its own, and an export's have played it: its limits on devices were not judged.", p.Name)
}

// judged is which limits of a plan say something of a run.
type judged struct {
	nothing bool
	devices bool // those on devices too
}

// judge holds a result against the limits of its plan and gives the verdict. The figures of absent, keys by section (none: a figure
// beside the sections), are not applicable; a limit that says nothing of the run is not judged.
func judge(p *plan.Plan, r *report.Result, partial bool, which judged, absent map[string][]string) {
	var figures map[string]any
	b, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(b, &figures)
	}
	if err != nil {
		r.Reasons = append(r.Reasons, lang.English.Say("the limits could not be judged: %s", err))
	}
	for section, keys := range absent {
		if len(keys) == 0 {
			delete(figures, section)
		}
		of, _ := figures[section].(map[string]any)
		for _, key := range keys {
			delete(of, key)
		}
	}
	for i, l := range p.Evaluate(figures) {
		if which.nothing || !which.devices && p.Limits[i].OfDevices() {
			l.Got, l.OK = report.NotJudged, true
		}
		r.Limits = append(r.Limits, report.Limit{Limit: l.Limit, Got: l.Got, OK: l.OK})
		if !l.OK {
			r.Reasons = append(r.Reasons, lang.English.Say("limit %s: got %s", l.Limit, l.Got))
		}
	}
	switch {
	case partial:
		r.Verdict = report.Partial
	case len(r.Reasons) > 0 || r.Invariants.Violated > 0:
		r.Verdict = report.Failed
	}
}

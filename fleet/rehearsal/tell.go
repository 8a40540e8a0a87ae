package rehearsal

import (
	"context"
	"fmt"
	"time"

	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Run is what is left of a fleet's run, for its result and story.
type Run struct {
	Command     string
	Plan        *plan.Plan
	Population  *population.Population
	Fleet       *fleet.Fleet
	Watch       *Watch         // nil: the server was not ours to watch
	Ledger      *ledger.Ledger // nil: nobody kept one
	Log         *Log
	Start, Now  protocol.Time // of the story
	Imported    bool          // the population is a tenant's own
	Squeezed    bool          // the plan's moments were brought nearer together, for the real clock
	Interrupted bool
	Language    lang.Language // of the story
	Unjudged    string        // why the plan's limits say nothing of this run, a sentence; empty: they do

	Keys      *fleet.Keys     // RSA keys of devices; nil: they have none
	Push      []report.Figure // what the push service counted; nil: not ours
	Wall, CPU time.Duration
	PeakRSS   int64 // bytes
}

// servers is what the server says of the devices at the end.
type servers struct {
	devices map[string]target.Device // by the wire's name
	portals map[string]int           // in how many portals each is listed
	push    target.Push              // zero: not known
}

// Tell asks the server for its view of the devices, holds it against the devices' own, and returns the result and the story.
// It completes the log with what the plan did; call it once.
func (r *Run) Tell(ctx context.Context, t target.Target) (*report.Result, *report.Story, error) {
	view := servers{devices: map[string]target.Device{}, portals: map[string]int{}}
	for d, err := range t.Devices(ctx, target.Filter{}) {
		if err != nil {
			return nil, nil, fmt.Errorf("list the devices: %w", err)
		}
		view.devices[d.ID] = d
	}
	for _, a := range []protocol.Authority{protocol.Intune, protocol.Office365} {
		for d, err := range t.Devices(ctx, target.Filter{Registered: a}) {
			if err != nil {
				return nil, nil, fmt.Errorf("list the devices of %s: %w", a, err)
			}
			view.portals[d.ID]++
		}
	}
	if slot, ok := t.(interface {
		Push(ctx context.Context) (target.Push, error)
	}); ok {
		var err error
		if view.push, err = slot.Push(ctx); err != nil {
			return nil, nil, fmt.Errorf("push certificate: %w", err)
		}
	}
	called := map[string]string{}
	for i := range r.Population.Devices {
		if name, id := r.Fleet.Name(i), r.Population.Devices[i].UDID; name != "" && name != id {
			called[name] = id
		}
	}
	r.Log.rename(called)
	for _, a := range r.Fleet.Acts() {
		r.Log.Add(Line{At: a.At, Side: OfPlan, What: a.Name, Rule: a.Rule})
	}
	if r.Watch != nil {
		r.Watch.Close(r.Now)
	}
	disagreements := r.disagreements(&view)
	result := r.result(&view, disagreements)
	return result, r.telling(&view, result, disagreements).story(), nil
}

// disagreements holds the server's word of each device against the device.
func (r *Run) disagreements(view *servers) (found []disagreement) {
	for i := range r.Population.Devices {
		if d := r.Fleet.Device(i); d != nil {
			id, own := r.Fleet.Name(i), wordOf(d)
			of, known := view.devices[id]
			found = append(found, compare(r.Now, id, &own, &of, known, view.portals[id])...)
		}
	}
	return found
}

func (r *Run) result(view *servers, disagreements []disagreement) *report.Result {
	c := r.Fleet.Counts()
	result := &report.Result{
		Version: 1, Command: r.Command, Verdict: report.OK, Seed: r.Plan.Seed,
		VirtualSeconds: r.Now.Sub(r.Start).Seconds(), WallSeconds: r.Wall.Seconds(), CPUSeconds: r.CPU.Seconds(), PeakRSSBytes: r.PeakRSS,
		CheckIns: report.CheckIns{Offered: c.Offered, Started: c.Started, Done: c.Done, Failed: c.Failed, Refused: c.Refused},
	}
	if r.Wall > 0 {
		result.CheckIns.PerSecond = float64(c.Done) / r.Wall.Seconds()
	}
	if h := r.Fleet.Latency(dialect.Idle); h != nil {
		ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
		result.CheckIns.P50, result.CheckIns.P99, result.CheckIns.P999 = ms(50), ms(99), ms(99.9)
	}
	r.countDevices(&result.Devices, view)
	var first []Violation
	if r.Watch != nil {
		result.Invariants.Checked, result.Invariants.Violated, first = r.Watch.Result()
	}
	result.Invariants.Checked += uint64(len(view.devices))
	result.Invariants.Violated += uint64(len(disagreements))
	for _, v := range first[:min(len(first), 3)] {
		result.Reasons = append(result.Reasons, lang.English.Say("%s does not hold for %s: %s", v.Invariant, v.Device, v.What))
	}
	for _, d := range disagreements[:min(len(disagreements), 3)] {
		result.Reasons = append(result.Reasons, lang.English.Say("device %s: %s", d.device, d.what))
	}
	result.Sections = map[string]any{
		"enrolments": map[string]uint64{"done": c.Enrolments, "broke_off": c.BrokeOff},
		"faults":     map[string]uint64{"dropped_responses": c.Dropped, "resets": c.Resets, "busy": c.Busied},
	}
	if k := r.Keys; k != nil { // no part of what the run took
		result.Sections["rsa_keys"] = map[string]any{"beforehand": k.Beforehand, "seconds": k.Took.Seconds(), "later": k.Later()}
	}
	if r.Ledger != nil {
		r.books(result)
	}
	r.attendance(result, &c)
	r.judge(result)
	return result
}

// attendance gives a reason where devices tried to enrol, and none ever was: such a run shows nothing.
func (r *Run) attendance(result *report.Result, c *fleet.Counts) {
	if result.Devices.Enrolled == 0 && c.Enrolments == 0 && c.BrokeOff > 0 {
		result.Reasons = append(result.Reasons, lang.English.Say("nobody enrolled: %d {attempt|attempts} broke off", c.BrokeOff))
	}
}

// books puts what the ledger found into the result: reasons, if it is not clean.
func (r *Run) books(result *report.Result) {
	l := r.Ledger.Result()
	result.Sections["ledger"] = l
	if n := l.Faults(); n > 0 {
		result.Reasons = append(result.Reasons, lang.English.Say("ledger: %d commands or profiles of %d went wrong", n, l.Ordered+l.Profiles))
	}
	for _, f := range l.Findings[:min(len(l.Findings), 3)] {
		result.Reasons = append(result.Reasons, lang.English.Say("ledger: %s", f.String()))
	}
}

// judge evaluates the plan's limits and gives the verdict.
func (r *Run) judge(result *report.Result) {
	judge(r.Plan, result, r.Interrupted, judged{r.Interrupted || r.Unjudged != "", !borrowed(r.Plan, r.Population)}, nil)
}

func (r *Run) countDevices(d *report.Devices, view *servers) {
	d.LeftOutBy = r.Population.LeftOutBy()
	for _, n := range d.LeftOutBy {
		d.LeftOut += n
	}
	d.Total = len(r.Population.Devices) + d.LeftOut
	d.ByPlatform = map[protocol.Platform]report.PlatformSize{}
	for i := range r.Population.Devices {
		p := r.Population.Devices[i].Platform
		size := d.ByPlatform[p]
		size.Total++
		size.Wire = r.Fleet.Plays(p)
		d.ByPlatform[p] = size
		of, known := view.devices[r.Fleet.Name(i)]
		switch {
		case !size.Wire:
			d.NotModelled++
		case r.forgotten(i, known): // neither enrolled nor on the way there
			d.MustEnrol++
		case !known || of.Life == enrolling:
			d.Enrolling++
		case of.Life == enrolled:
			d.Enrolled++
			if r.Watch != nil {
				s := r.Watch.Standing(r.Now, of.ID)
				s.count(d)
			}
			if r.mustEnrol(i, &of) {
				d.MustEnrol++
			}
		}
	}
}

// forgotten tells whether the server's record of device i is gone (AUTH-43).
func (r *Run) forgotten(i int, known bool) bool {
	d := r.Fleet.Device(i)
	if d == nil {
		return false
	}
	own := wordOf(d)
	return own.forgotten(r.Now, known)
}

// mustEnrol tells whether only a new enrolment helps device i (AUTH-42). Of one that an export shows out of reach, the
// export knows better than the identity that it got for the story.
func (r *Run) mustEnrol(i int, of *target.Device) bool {
	end := of.Identity.NotAfter
	if p := &r.Population.Devices[i]; r.Fleet.Silent(i) && p.CertEnd != 0 {
		if p.Has(population.Revoked) {
			return true
		}
		end = p.CertEnd
	}
	return end != 0 && end <= r.Now
}

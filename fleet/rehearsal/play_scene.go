package rehearsal

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"rollcall/fleet"
	"rollcall/protocol"
)

// A scene is what one partition has to tell, or several together.
type scene struct {
	at protocol.Time // up to which it was played
	counts
	checked, violated uint64
	violations        []Violation
	barred            map[protocol.Rule]Refusals
	late              map[time.Duration]int
	unassigned        int
	spoke             Spoken
	told              []told
	gaps, silences    []fleet.Gap
	hours             []census
	minutes           []Minute
}

// told is what the plan did, or what happened by itself to the tenant. All partitions tell the same, in the same order; only what was
// counted of it is another in each.
type told struct {
	fleet.Act
	outcome
	side Side // that the log has it of; empty: the log has nothing of it
}

// An outcome is what came of an act.
type outcome struct {
	n    tally
	says func(n tally) string // what there is to say of it; nil: nothing
	name func(n tally) string // of the act, where that depends on what was counted; empty: it did not happen
}

// A tally is what an act has counted, which adds up over partitions.
type tally [4]int

// scene ends the story of p's partition, as far as it goes.
func (p *player) scene() *scene {
	k := p.part
	x := &scene{at: max(p.now, p.start), counts: k.counts, barred: map[protocol.Rule]Refusals{}, late: k.late, told: p.told, gaps: p.gaps, silences: p.silences, hours: k.hours, minutes: k.minutes}
	if k.loop.voices != nil {
		x.spoke.add(k.loop.voices.spoken())
	}
	k.watch.Close(p.now)
	for i := range k.units {
		k.closes(i, p.now)
	}
	for rule, b := range k.barred {
		x.barred[rule] = b.Refusals
	}
	x.unassigned = k.unassigned()
	x.checked, x.violated, x.violations = k.watch.Result()
	k.lines.sort()
	return x
}

// add adds what another partition has to tell; x may have nothing yet. Both tell as much, unless the story was ended by a difference:
// then what both tell is added.
func (x *scene) add(y *scene) {
	if x.minutes == nil {
		*x = *y
		return
	}
	x.counts.add(&y.counts)
	x.checked += y.checked
	x.violated += y.violated
	x.violations = append(x.violations, y.violations...)
	for rule, r := range y.barred {
		x.barred[rule] = x.barred[rule].plus(r)
	}
	x.late = lateness(x.late, y.late)
	x.unassigned += y.unassigned
	x.spoke.add(&y.spoke)
	for i := range min(len(x.told), len(y.told)) {
		for c, n := range y.told[i].n {
			x.told[i].n[c] += n
		}
	}
	for h := range min(len(x.hours), len(y.hours)) {
		y.hours[h].into((*Hour)(&x.hours[h]))
	}
	for m := range y.minutes {
		of, is := &x.minutes[m], &y.minutes[m]
		of.CheckIns += is.CheckIns
		of.Wakes += is.Wakes
		of.Issued += is.Issued
	}
}

func (c *counts) add(d *counts) {
	c.done += d.done
	c.refused += d.refused
	c.failed += d.failed
	c.enrolments += d.enrolments
	c.renewals += d.renewals
	c.removed += d.removed
	c.wakes += d.wakes
}

// acts are what was told, with what was counted in all partitions, and the log's lines of it.
func (x *scene) acts() (acts []fleet.Act, lines []Line) {
	for i := range x.told {
		t := &x.told[i]
		if t.name != nil {
			t.Name = t.name(t.n)
		}
		if t.Name == "" {
			continue
		}
		if t.says != nil {
			t.Text = strings.TrimSpace(t.Text + " " + t.says(t.n))
		}
		acts = append(acts, t.Act)
		if t.side != "" {
			lines = append(lines, Line{At: t.At, Side: t.side, What: t.Name, Rule: t.Rule})
		}
	}
	slices.SortStableFunc(lines, func(a, b Line) int { return cmp.Compare(a.At, b.At) })
	return acts, lines
}

// played is what there is to tell at the end of the story, or where it was cut short.
func (s *stage) played() (*Played, error) {
	e := &s.ending
	x, pop, lives := &e.total, s.pop, s.lives
	n := max(e.through, 1)
	out := &Played{Plan: s.plan, Seed: s.plan.Seed, Start: s.start, End: x.at, Partial: e.interrupted && e.through < s.meant()}
	if n < len(s.shares) {
		for _, share := range s.shares[:n] {
			for _, d := range share.devices {
				out.Devices = append(out.Devices, int(d))
			}
		}
		slices.Sort(out.Devices)
		lives = make([]Life, len(out.Devices))
		for i, d := range out.Devices {
			lives[i] = s.lives[d]
		}
		pop = pop.Only(out.Devices)
	}
	out.Population, out.Lives = pop, lives
	out.Gaps, out.Silences, out.Minutes = x.gaps, x.silences, x.minutes
	for h := range x.hours {
		out.Hours = append(out.Hours, Hour(x.hours[h]))
	}
	if s.wire != nil {
		out.Wire = &x.spoke
		out.Wire.Share = s.cfg.Wire
	}
	out.Checked, out.Violated, out.Violations = x.checked, x.violated, x.violations
	slices.SortStableFunc(out.Violations, func(a, b Violation) int { return int(a.At - b.At) })
	out.Violations = out.Violations[:min(len(out.Violations), Kept)]
	out.CheckIns, out.Refused, out.Failed = x.done, x.refused, x.failed
	out.Enrolments, out.Renewals, out.Removed, out.Barred = x.enrolments, x.renewals, x.removed, x.barred
	var lines []Line
	out.Late, out.Unassigned = x.late, x.unassigned
	out.Acts, lines = x.acts()
	if out.Partial {
		at := x.at
		if e.through > 0 { // all that was played is there to its end
			at++
		}
		lines = append(lines, Line{At: at, Side: OfPlan, What: Interrupted})
	}
	if err := s.log(out, lines, s.sheaves[:n]); err != nil {
		return nil, err
	}
	return out, nil
}

package report

import (
	"math"
	"strconv"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// told is the story's headline, else the verdict's.
func told(r *Result, s *Story) string {
	if s.Headline != "" {
		return clean(s.Headline)
	}
	return headline(s.Language, r)
}

// headline says the verdict in one sentence without a full stop.
func headline(l lang.Language, r *Result) string {
	switch r.Verdict {
	case OK:
		if held, _, _ := limitsHeld(r); held == 0 { // nothing was there to hold
			return l.Say("Nothing broke; no limits were judged")
		}
		return l.Say("Everything held")
	case Invalid:
		return l.Say("Invalid: the generator was at its own limit, so this says nothing of the server")
	case Partial:
		return l.Say("Interrupted: the result is partial")
	case Error:
		if r.Error != nil {
			return l.Say("Could not run: %s", clean(r.Error.Message))
		}
		return l.Say("Could not run")
	}
	var parts []string
	if _, broken, measured := limitsHeld(r); broken > 0 {
		parts = append(parts, l.Say("%d of %d {limit|limits} broken", broken, measured))
	}
	if n := r.Invariants.Violated; n > 0 {
		parts = append(parts, l.Say("invariants violated %d {time|times}", n))
	}
	if len(parts) == 0 {
		return l.Say("Failed")
	}
	return l.Say("Failed: %s", strings.Join(parts, ", "))
}

func limitsHeld(r *Result) (held, broken, measured int) {
	for _, l := range r.Limits {
		switch {
		case l.Got == NotApplicable, l.Got == NotJudged:
		case l.OK:
			held++
		default:
			broken++
		}
	}
	return held, broken, held + broken
}

// checks tells of limits and invariants.
func checks(l lang.Language, r *Result) string {
	held, _, measured := limitsHeld(r)
	text := l.Say("The plan set no limits.")
	switch n := notJudged(r); {
	case measured > 0:
		if text = l.Say("%d of %d {limit|limits} held.", held, measured); n > 0 {
			text += " " + l.Say("%d more {was|were} not judged.", n)
		}
	case n > 0:
		text = l.Say("The plan's %d {limit was|limits were} not judged.", n)
	case len(r.Limits) > 0: // a run of this kind has none of their figures
		text = l.Say("%d {limit|limits} could not be judged.", len(r.Limits))
	}
	switch n := r.Invariants.Checked; {
	case n == 0:
	case r.Invariants.Violated > 0:
		text += " " + l.Say("Invariants were checked %d {time|times} and violated %d {time|times}.", n, r.Invariants.Violated)
	default:
		text += " " + l.Say("Invariants were checked %d {time|times} and never violated.", n)
	}
	return text
}

// notJudged is of how many limits nothing can be said.
func notJudged(r *Result) (n int) {
	for _, l := range r.Limits {
		if l.Got == NotJudged {
			n++
		}
	}
	return n
}

// devicesInWords tells what became of the devices; what is zero is left out.
func devicesInWords(l lang.Language, r *Result) string {
	d := &r.Devices
	parts := []string{l.Say("%d of %d {device|devices} enrolled", d.Enrolled, d.Total)}
	if played(r) { // else nothing happened: it was only looked at
		parts[0] = l.Say("%d of %d {device|devices} enrolled at the end", d.Enrolled, d.Total)
	}
	for _, x := range []struct {
		n    int
		what lang.Key
	}{
		{d.Removed, lang.Key("%d {record|records} removed")},
		{d.Enrolling, lang.Key("%d not enrolled yet")},
		{d.LeftOut, lang.Key("%d left out")},
		{d.Moved, lang.Key("%d moved")},
		{d.Reregistered, lang.Key("%d registered anew")},
		{d.Pending, lang.Key("%d pending")},
		{d.Stale, lang.Key("%d stale")},
		{d.Blocked, lang.Key("%d blocked")},
		{d.Stranded, lang.Key("%d stranded")},
		{d.NeedsSupport, lang.Key("%d in need of support")},
		{d.MustEnrol, lang.Key("%d to enrol again")},
		{d.Unlicensed, lang.Key("%d without a licence")},
		{d.NotModelled, lang.Key("%d of a platform without a wire")},
	} {
		if x.n > 0 {
			parts = append(parts, l.Say(x.what, x.n))
		}
	}
	return strings.Join(parts, ", ") + "."
}

// platformsInWords lists the platforms, such as 450 iOS, 100 iPadOS.
func platformsInWords(l lang.Language, r *Result) string {
	var parts []string
	for _, p := range protocol.Platforms {
		if n, ok := r.Devices.ByPlatform[p]; ok && n.Total > 0 {
			text := l.Number(float64(n.Total)) + " " + lang.Platform(p)
			if !n.Wire {
				text += " (" + l.Say("by rule only") + ")"
			}
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}

func checkInsInWords(l lang.Language, c CheckIns) string {
	text := l.Say("%d offered, %d started, %d done, %d failed, %d refused", c.Offered, c.Started, c.Done, c.Failed, c.Refused)
	if c.PerSecond > 0 {
		text += "; " + l.Say("%s a second", l.Number(math.Round(c.PerSecond)))
	}
	if c.P99 > 0 {
		text += "; p50 " + l.Number(c.P50) + " ms, p99 " + l.Number(c.P99) + " ms, " + l.Say("p99.9") + " " + l.Number(c.P999) + " ms"
	}
	return text
}

func bytesInWords(l lang.Language, n int64) string {
	if n >= 1<<30 {
		return l.Number(math.Round(float64(n)/(1<<30)*10)/10) + " GiB"
	}
	return l.Number(math.Round(float64(n)/(1<<20))) + " MiB"
}

// runInWords tells how long the story was and what it took.
func runInWords(l lang.Language, r *Result) string {
	took := l.Span(seconds(r.WallSeconds))
	if r.VirtualSeconds > 0 {
		took = l.Say("%s in %s", l.Span(seconds(r.VirtualSeconds)), took)
	}
	parts := []string{took}
	if r.CPUSeconds > 0 {
		parts = append(parts, l.Say("%s of processor time", l.Span(seconds(r.CPUSeconds))))
	}
	if r.PeakRSSBytes > 0 {
		parts = append(parts, l.Say("%s of memory at most", bytesInWords(l, r.PeakRSSBytes)))
	}
	return strings.Join(append(parts, l.Say("seed %s", strconv.FormatUint(r.Seed, 10))), ", ")
}

// leftOut are the reasons why an import leaves a record out, as result.json spells them.
var leftOut = map[string]lang.Key{
	"unreadable": lang.Key("unreadable"), "discovered": lang.Key("known, not enrolled"), "agent": lang.Key("managed by an agent alone"),
	"profile_type": lang.Key("a printer or a virtual machine"), "management_type": lang.Key("managed in another way"), "not_managed": lang.Key("not managed"),
	"other_mdm": lang.Key("managed by another MDM"), "mac_under_bms": lang.Key("a Mac under Basic Mobility and Security"), "platform": lang.Key("of another platform"),
	"not_played": lang.Key("not played: it was interrupted before"),
}

func whyLeftOut(l lang.Language, reason string) string {
	if key, ok := leftOut[reason]; ok {
		return l.Say(key)
	}
	return plainWord(reason)
}

package report

import (
	"fmt"
	"math"
	"strings"

	"rollcall/protocol"
)

// told is the story's headline, else the verdict's.
func told(r *Result, s *Story) string {
	if s.Headline != "" {
		return clean(s.Headline)
	}
	return headline(r)
}

// headline says the verdict in one sentence without a full stop.
func headline(r *Result) string {
	switch r.Verdict {
	case OK:
		if held, _, _ := limitsHeld(r); held == 0 { // nothing was there to hold
			return "Nothing broke; no limits were judged"
		}
		return "Everything held"
	case Invalid:
		return "Invalid: the generator was at its own limit, so this says nothing of the server"
	case Partial:
		return "Interrupted: the result is partial"
	case Error:
		if r.Error != nil {
			return "Could not run: " + clean(r.Error.Message)
		}
		return "Could not run"
	}
	var parts []string
	if _, broken, measured := limitsHeld(r); broken > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s broken", broken, plural(measured, "limit", "limits")))
	}
	if n := r.Invariants.Violated; n > 0 {
		parts = append(parts, "invariants violated "+times(n))
	}
	if len(parts) == 0 {
		return "Failed"
	}
	return "Failed: " + strings.Join(parts, ", ")
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
func checks(r *Result) string {
	held, _, measured := limitsHeld(r)
	text := "The plan set no limits."
	if n := notJudged(r); n > 0 {
		text = fmt.Sprintf("The plan's %s not judged.", plural(n, "limit was", "limits were"))
	} else if len(r.Limits) > 0 {
		text = fmt.Sprintf("%d of %s held.", held, plural(measured, "limit", "limits"))
	}
	if n := r.Invariants.Checked; n > 0 {
		text += " Invariants were checked " + times(n) + " and " + violated(r) + "."
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

func violated(r *Result) string {
	if n := r.Invariants.Violated; n > 0 {
		return "violated " + times(n)
	}
	return "never violated"
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return plural(n, "time", "times")
}

// devicesInWords tells what became of the devices; what is zero is left out.
func devicesInWords(r *Result) string {
	d := &r.Devices
	parts := []string{fmt.Sprintf("%s of %s enrolled", grouped(float64(d.Enrolled)), plural(d.Total, "device", "devices"))}
	if played(r) { // else nothing happened: it was only looked at
		parts[0] += " at the end"
	}
	for _, x := range []struct {
		n    int
		what string
	}{
		{d.Enrolling, "not enrolled yet"},
		{d.LeftOut, "left out"},
		{d.Moved, "moved"},
		{d.Reregistered, "registered anew"},
		{d.Pending, "pending"},
		{d.Stale, "stale"},
		{d.Blocked, "blocked"},
		{d.Stranded, "stranded"},
		{d.NeedsSupport, "in need of support"},
		{d.MustEnrol, "to enrol again"},
		{d.Unlicensed, "without a licence"},
		{d.NotModelled, "of a platform without a wire"},
	} {
		if x.n > 0 {
			parts = append(parts, grouped(float64(x.n))+" "+x.what)
		}
	}
	return strings.Join(parts, ", ") + "."
}

// platformsInWords lists the platforms, such as 450 iOS, 100 iPadOS.
func platformsInWords(r *Result) string {
	var parts []string
	for _, p := range protocol.Platforms {
		if n, ok := r.Devices.ByPlatform[p]; ok && n.Total > 0 {
			text := grouped(float64(n.Total)) + " " + platformName(p)
			if !n.Wire {
				text += " (by rule only)"
			}
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}

func checkInsInWords(c CheckIns) string {
	text := fmt.Sprintf("%s offered, %s started, %s done, %s failed, %s refused",
		grouped(float64(c.Offered)), grouped(float64(c.Started)), grouped(float64(c.Done)), grouped(float64(c.Failed)), grouped(float64(c.Refused)))
	if c.PerSecond > 0 {
		text += "; " + grouped(math.Round(c.PerSecond)) + " a second"
	}
	if c.P99 > 0 {
		text += fmt.Sprintf("; p50 %s ms, p99 %s ms, p99.9 %s ms", grouped(c.P50), grouped(c.P99), grouped(c.P999))
	}
	return text
}

func bytesInWords(n int64) string {
	if n >= 1<<30 {
		return grouped(math.Round(float64(n)/(1<<30)*10)/10) + " GiB"
	}
	return grouped(math.Round(float64(n)/(1<<20))) + " MiB"
}

// runInWords tells how long the story was and what it took.
func runInWords(r *Result) string {
	var parts []string
	took := span(seconds(r.WallSeconds))
	if r.VirtualSeconds > 0 {
		took = span(seconds(r.VirtualSeconds)) + " in " + took
	}
	parts = append(parts, took)
	if r.CPUSeconds > 0 {
		parts = append(parts, span(seconds(r.CPUSeconds))+" of processor time")
	}
	if r.PeakRSSBytes > 0 {
		parts = append(parts, bytesInWords(r.PeakRSSBytes)+" of memory at most")
	}
	return strings.Join(append(parts, fmt.Sprintf("seed %d", r.Seed)), ", ")
}

package conformance

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"rollcall/fleet/report"
)

// An Outcome is what came of asking a statement.
type Outcome string

// The outcomes.
const (
	Pass          Outcome = "pass"
	Fail          Outcome = "fail"
	Known         Outcome = "known"      // it failed, as the list of known deviations says
	Unexpected    Outcome = "unexpected" // it passed, which that list does not expect: the list is to be shortened
	NotApplicable Outcome = "not applicable"
	Unasked       Outcome = "not asked" // the server kept the check from its question
)

// A Finding is what came of one statement.
type Finding struct {
	ID       string    `json:"id"`
	Suite    Suite     `json:"suite"`
	Class    Class     `json:"class"`
	Level    string    `json:"level"` // must or should
	Says     string    `json:"statement"`
	Source   string    `json:"source"`
	Outcome  Outcome   `json:"outcome"`
	Reason   string    `json:"reason"`                   // why the outcome is not pass
	Without  []string  `json:"not_asked_here,omitempty"` // parts of the statement, each with the reason
	Seen     []string  `json:"seen,omitempty"`           // what is worth telling whatever the outcome
	Exchange *Exchange `json:"exchange,omitempty"`
	Seconds  float64   `json:"seconds"`
}

// remarks are what is told of it beside its outcome and reason.
func (f *Finding) remarks() (out []string) {
	for _, part := range f.Without {
		out = append(out, "not asked here: "+part)
	}
	return append(out, f.Seen...)
}

func newFinding(s *Statement) Finding {
	return Finding{ID: s.ID, Suite: s.Suite, Class: s.Class, Level: s.Level(), Says: s.Says, Source: s.Source}
}

// failed tells whether it fails a run.
func (f *Finding) failed() bool {
	return f.Outcome == Unexpected || f.Outcome == Fail && f.Level == "must"
}

// Others is what became of the devices that were not the run's.
type Others struct {
	Checked bool     `json:"checked"` // the adapter lists devices
	Devices int      `json:"devices"`
	Changed []string `json:"changed"`
	Error   string   `json:"error,omitempty"` // why they could not be looked at, where the adapter lists devices
}

// told says it in a sentence; adapter is whose it would have been to list them.
func (o *Others) told(adapter string) string {
	const whose = "the server's other devices: "
	switch {
	case len(o.Changed) > 0:
		return fmt.Sprintf("%s%d, and these changed meanwhile: %s", whose, o.Devices, strings.Join(o.Changed, "; "))
	case o.Checked:
		return fmt.Sprintf("%s%d, untouched", whose, o.Devices)
	case o.Error != "":
		return fmt.Sprintf("%snobody knows, listing them failed: %s", whose, o.Error)
	}
	return fmt.Sprintf("%snot looked at, the adapter %s does not list them", whose, adapter)
}

// A Result is what a run came to.
type Result struct {
	Server      string    `json:"server,omitempty"`
	Device      string    `json:"device,omitempty"` // what was judged, in place of a server
	Adapter     string    `json:"adapter"`
	Suites      []Suite   `json:"suites"`
	Intune      bool      `json:"as_intune"`
	Findings    []Finding `json:"findings"`
	Enrolled    int       `json:"enrolled"`                // devices of the run
	Left        []string  `json:"left"`                    // of these, that could not be taken out again
	Made        string    `json:"made_and_left,omitempty"` // why what was made for their sake, users for one, could not be removed again; empty: it was
	Others      Others    `json:"others"`
	Interrupted bool      `json:"interrupted"`
	Seconds     float64   `json:"seconds"`
}

// what was asked: a server or a device.
func (r *Result) what() string {
	if r.Device != "" {
		return "device"
	}
	return "server"
}

// count returns how many findings have an outcome.
func (r *Result) count(o Outcome) (n int) {
	for i := range r.Findings {
		if r.Findings[i].Outcome == o {
			n++
		}
	}
	return n
}

// Apply holds the findings against the known deviations. A known failure becomes known, and so does what a deviation kept
// from being asked; an unexpected pass fails the run.
func (r *Result) Apply(list []Deviation) {
	for _, d := range list {
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.ID != d.ID {
				continue
			}
			switch f.Outcome {
			case Fail:
				f.Outcome, f.Reason = Known, d.Reason+" ("+f.Reason+")"
			case Unasked:
				f.Outcome, f.Reason = Known, d.Reason+" (not asked: "+f.Reason+")"
			case Pass:
				f.Outcome, f.Reason = Unexpected, "it passes, and the list of known deviations says that it fails: "+d.Reason
			}
		}
	}
}

// Report returns the result as every job reports: verdict failed where a must failed, a pass was not expected or another's
// device changed; partial when the run was interrupted; invalid when a must could not be asked, or a device of the run could
// not be taken out again.
func (r *Result) Report() *report.Result {
	out := &report.Result{Version: 1, Command: "conform", Verdict: report.OK, WallSeconds: r.Seconds, Sections: map[string]any{"conformance": r}}
	if r.Device != "" {
		out.Command = "conform device"
	}
	out.Devices.Total = r.Enrolled
	unasked := 0
	for i := range r.Findings {
		f := &r.Findings[i]
		switch {
		case f.failed():
			out.Reasons = append(out.Reasons, fmt.Sprintf("%s: %s", f.ID, f.Reason))
		case f.Outcome == Unasked && f.Level == "must":
			unasked++
		}
		if f.Outcome != NotApplicable {
			out.Limits = append(out.Limits, report.Limit{Limit: f.ID + " " + f.Says, Got: string(f.Outcome), OK: !f.failed() && f.Outcome != Unasked})
		}
	}
	if len(r.Others.Changed) > 0 {
		out.Reasons = append(out.Reasons, fmt.Sprintf("%d of the server's other devices changed meanwhile", len(r.Others.Changed)))
	}
	switch {
	case len(out.Reasons) > 0:
		out.Verdict = report.Failed
	case r.Interrupted:
		out.Verdict = report.Partial
	case unasked > 0 || r.remains() != "":
		out.Verdict = report.Invalid
	}
	if unasked > 0 && out.Verdict == report.Invalid {
		out.Reasons = append(out.Reasons, fmt.Sprintf("%d statements could not be asked", unasked))
	}
	if text := r.remains(); text != "" {
		out.Reasons = append(out.Reasons, text)
	}
	return out
}

// remains says what of the run is still on the server, or on the device; empty: nothing.
func (r *Result) remains() string {
	of := "devices of this run"
	if r.Device != "" {
		of = "enrolments of the device"
	}
	switch {
	case len(r.Left) > 0:
		return fmt.Sprintf("%d %s could not be taken out again", len(r.Left), of)
	case r.Made != "":
		return "what was made for the devices of this run could not be removed again"
	}
	return ""
}

// remainders is what remains, one by one.
func (r *Result) remainders() []string {
	if r.Made == "" {
		return r.Left
	}
	return append(slices.Clone(r.Left), r.Made)
}

// Err is the verdict as an error; nil: all that was asked is kept.
func (r *Result) Err() error {
	out := r.Report()
	if out.Verdict == report.OK {
		return nil
	}
	words := map[string]string{
		report.Failed: "the " + r.what() + " does not keep all that it must", report.Partial: "interrupted: what was found so far is told", report.Invalid: "no verdict",
	}
	text := words[out.Verdict]
	if n := len(out.Reasons); n > 0 {
		text += ": " + out.Reasons[0]
		if n > 1 {
			text += fmt.Sprintf("; and %d more", n-1)
		}
	}
	return verdict{out.Verdict, text}
}

// A verdict is the error of a run that ended.
type verdict struct{ word, text string }

func (v verdict) Error() string   { return v.text }
func (v verdict) Verdict() string { return v.word }

// Summary writes the result for people: each statement on a line, what failed with the exchange that decided.
func (r *Result) Summary(w io.Writer) error {
	var b strings.Builder
	names := 0
	for i := range r.Findings {
		names = max(names, len(r.Findings[i].ID))
	}
	for _, suite := range r.suites() {
		fmt.Fprintf(&b, "%s\n", suite)
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.Suite != suite {
				continue
			}
			fmt.Fprintf(&b, "  %-14s %-*s %-6s %s\n", f.Outcome, names, f.ID, f.Level, f.Says)
			if f.Reason != "" {
				fmt.Fprintf(&b, "  %-14s %-*s %-6s %s\n", "", names, "", "", f.Reason)
			}
			for _, line := range f.remarks() {
				fmt.Fprintf(&b, "  %-14s %-*s %-6s %s\n", "", names, "", "", line)
			}
			if f.Exchange != nil && (f.failed() || f.Outcome == Unasked || f.Outcome == Fail) {
				for line := range strings.Lines(f.Exchange.String()) {
					fmt.Fprintf(&b, "        | %s", line)
				}
			}
		}
	}
	fmt.Fprintf(&b, "\n%s\n", r.headline())
	if r.Device == "" {
		fmt.Fprintf(&b, "%s\n", r.Others.told(r.Adapter))
	}
	if text := r.remains(); text != "" {
		fmt.Fprintf(&b, "%s:\n  %s\n", text, strings.Join(r.remainders(), "\n  "))
	}
	_, err := io.WriteString(w, printable(b.String()))
	return err
}

// headline counts the outcomes in one line.
func (r *Result) headline() string {
	text := r.score() + " statements pass"
	for _, o := range []Outcome{Fail, Known, Unexpected, Unasked, NotApplicable} {
		if n := r.count(o); n > 0 {
			text += fmt.Sprintf(", %d %s", n, o)
		}
	}
	if r.Device != "" {
		return text + fmt.Sprintf("; it enrolled %d times, %.1f s", r.Enrolled, r.Seconds)
	}
	return text + fmt.Sprintf("; %d devices enrolled and taken out, %.1f s", r.Enrolled-len(r.Left), r.Seconds)
}

// score is how many statements pass of those that are to be asked here.
func (r *Result) score() string {
	return fmt.Sprintf("%d of %d", r.count(Pass), len(r.Findings)-r.count(NotApplicable))
}

func (r *Result) suites() []Suite {
	var all []Suite
	for i := range r.Findings {
		if !slices.Contains(all, r.Findings[i].Suite) {
			all = append(all, r.Findings[i].Suite)
		}
	}
	slices.SortFunc(all, func(a, b Suite) int { return cmp.Compare(a, b) })
	return all
}

// printable shows what a stranger's text may do to a terminal instead of doing it (HST-066).
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return '\ufffd'
		}
		return r
	}, s)
}

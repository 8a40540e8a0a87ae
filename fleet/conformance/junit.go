package conformance

import (
	"io"
	"strings"

	"rollcall/fleet/report"
)

// JUnit writes the result as JUnit XML: what fails the run is a failure, what could not be asked an error, the rest that
// does not pass is skipped. A last suite says how the run left the server, or the device.
func (r *Result) JUnit(w io.Writer) error {
	var out []report.Suite
	for _, suite := range r.suites() {
		s := report.Suite{Name: "rollcall conform " + string(suite), Class: "rollcall." + string(suite)}
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.Suite != suite {
				continue
			}
			c := report.Case{Name: printable(f.ID + " " + f.Says), Seconds: f.Seconds}
			why := &report.Why{Message: printable(f.Reason)}
			if f.Exchange != nil {
				why.Text = printable(f.Exchange.String())
			}
			switch c.Out = printable(strings.Join(f.remarks(), "\n")); {
			case f.failed():
				c.Failure = why
			case f.Outcome == Unasked:
				c.Error = why
			case f.Outcome != Pass:
				why.Message = string(f.Outcome) + ": " + why.Message
				c.Skipped = why
			}
			s.Seconds += f.Seconds
			s.Cases = append(s.Cases, c)
		}
		out = append(out, s)
	}
	out = append(out, r.leaving())
	return report.WriteSuites(w, out)
}

// leaving is how the run left what it asked.
func (r *Result) leaving() report.Suite {
	left := report.Case{Name: "all that the run brought is taken out again"}
	if text := r.remains(); text != "" {
		left.Error = &report.Why{Message: printable(text), Text: printable(strings.Join(r.remainders(), "\n"))}
	}
	s := report.Suite{Name: "rollcall conform run", Class: "rollcall.run", Cases: []report.Case{left}}
	if r.Device != "" {
		return s
	}
	others := report.Case{Name: "the server's other devices are untouched"}
	switch why := (&report.Why{Message: printable(r.Others.told(r.Adapter))}); {
	case len(r.Others.Changed) > 0:
		others.Failure = why
	case !r.Others.Checked:
		others.Skipped = why
	}
	s.Cases = append(s.Cases, others)
	return s
}

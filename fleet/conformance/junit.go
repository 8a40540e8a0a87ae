package conformance

import (
	"io"

	"rollcall/fleet/report"
)

// JUnit writes the result as JUnit XML: what fails the run is a failure, what could not be asked an error, the rest that
// does not pass is skipped.
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
			switch {
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
	return report.WriteSuites(w, out)
}

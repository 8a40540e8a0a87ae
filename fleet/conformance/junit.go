package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
)

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    string     `xml:"time,attr"`
	Failure *junitText `xml:"failure"`
	Error   *junitText `xml:"error"`
	Skipped *junitText `xml:"skipped"`
}

type junitText struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the result as JUnit XML: what fails the run is a failure, what could not be asked an error, the rest that
// does not pass is skipped.
func (r *Result) JUnit(w io.Writer) error {
	var out junitSuites
	for _, suite := range r.suites() {
		s := junitSuite{Name: "rollcall conform " + string(suite)}
		var took float64
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.Suite != suite {
				continue
			}
			c := junitCase{Class: "rollcall." + string(suite), Name: printable(f.ID + " " + f.Says), Time: seconds(f.Seconds)}
			text := &junitText{Message: printable(f.Reason)}
			if f.Exchange != nil {
				text.Text = printable(f.Exchange.String())
			}
			s.Tests++
			took += f.Seconds
			switch {
			case f.failed():
				c.Failure = text
				s.Failures++
			case f.Outcome == Unasked:
				c.Error = text
				s.Errors++
			case f.Outcome != Pass:
				text.Message = string(f.Outcome) + ": " + text.Message
				c.Skipped = text
				s.Skipped++
			}
			s.Cases = append(s.Cases, c)
		}
		s.Time = seconds(took)
		out.Suites = append(out.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// A Suite is one suite of JUnit's XML. Its texts are written as they are: who has them from strangers makes them harmless first.
type Suite struct {
	Name    string
	Class   string // classname of its cases
	Seconds float64
	Cases   []Case
}

// A Case is one test case: passed where none of Failure, Error and Skipped is set.
type Case struct {
	Name                    string
	Seconds                 float64
	Failure, Error, Skipped *Why
	Out                     string // what is told beside; empty: nothing
}

// A Why says why a case did not pass.
type Why struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteSuites writes suites as JUnit's XML, what they count counted.
func WriteSuites(w io.Writer, suites []Suite) error {
	type xmlCase struct {
		Class   string `xml:"classname,attr"`
		Name    string `xml:"name,attr"`
		Time    string `xml:"time,attr"`
		Failure *Why   `xml:"failure"`
		Error   *Why   `xml:"error"`
		Skipped *Why   `xml:"skipped"`
		Out     string `xml:"system-out,omitempty"`
	}
	type xmlSuite struct {
		Name     string    `xml:"name,attr"`
		Tests    int       `xml:"tests,attr"`
		Failures int       `xml:"failures,attr"`
		Errors   int       `xml:"errors,attr"`
		Skipped  int       `xml:"skipped,attr"`
		Time     string    `xml:"time,attr"`
		Cases    []xmlCase `xml:"testcase"`
	}
	type xmlSuites struct {
		XMLName xml.Name   `xml:"testsuites"`
		Suites  []xmlSuite `xml:"testsuite"`
	}
	var out xmlSuites
	for _, s := range suites {
		x := xmlSuite{Name: s.Name, Tests: len(s.Cases), Time: fmt.Sprintf("%.3f", s.Seconds)}
		for _, c := range s.Cases {
			switch {
			case c.Failure != nil:
				x.Failures++
			case c.Error != nil:
				x.Errors++
			case c.Skipped != nil:
				x.Skipped++
			}
			x.Cases = append(x.Cases, xmlCase{s.Class, c.Name, fmt.Sprintf("%.3f", c.Seconds), c.Failure, c.Error, c.Skipped, c.Out})
		}
		out.Suites = append(out.Suites, x)
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

// WriteJUnit writes r as one suite of JUnit's XML: a case for the verdict, one for each limit, and one for the invariants
// where there were any. What a run that is invalid or partial says of its limits is skipped, not failed.
func WriteJUnit(w io.Writer, r *Result) error {
	s := Suite{Name: "rollcall " + clean(r.Command), Class: "rollcall." + strings.ReplaceAll(r.Command, " ", "."), Seconds: r.WallSeconds}
	add := func(name string, c Case) {
		c.Name = clean(name)
		s.Cases = append(s.Cases, c)
	}
	unsaid := r.Verdict == Invalid || r.Verdict == Partial
	var verdict Case
	if unsaid || r.Verdict == Error {
		verdict.Error = &Why{Message: clean(strings.Join(append([]string{r.Verdict}, r.Reasons...), "; "))}
	} else if r.Verdict == Failed {
		verdict.Failure = &Why{Message: clean(strings.Join(append([]string{r.Verdict}, r.Reasons...), "; "))}
	}
	add("verdict", verdict)
	for _, l := range r.Limits {
		var c Case
		switch {
		case l.Got == NotApplicable:
			c.Skipped = &Why{Message: "not measured in this kind of run"}
		case l.Got == NotJudged:
			c.Skipped = &Why{Message: "the run did not tell the whole story"}
		case unsaid:
			c.Skipped = &Why{Message: "the run is " + r.Verdict}
		case !l.OK:
			c.Failure = &Why{Message: "got " + clean(l.Got)}
		}
		add(l.Limit, c)
	}
	if n := r.Invariants; n.Checked > 0 {
		var c Case
		if n.Violated > 0 {
			c.Failure = &Why{Message: fmt.Sprintf("%d of %d checks did not hold", n.Violated, n.Checked)}
		}
		add("invariants", c)
	}
	return WriteSuites(w, []Suite{s})
}

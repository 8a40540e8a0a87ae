package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string    `xml:"name,attr"`
		Class   string    `xml:"classname,attr"`
		Time    string    `xml:"time,attr"`
		Failure *junitWhy `xml:"failure"`
		Error   *junitWhy `xml:"error"`
		Skipped *junitWhy `xml:"skipped"`
	}
	junitWhy struct {
		Message string `xml:"message,attr"`
	}
)

// WriteJUnit writes r as one suite of JUnit's XML: a case for the verdict, one for each limit, and one for the invariants
// where there were any. What a run that is invalid or partial says of its limits is skipped, not failed.
func WriteJUnit(w io.Writer, r *Result) error {
	class := "rollcall." + strings.ReplaceAll(r.Command, " ", ".")
	s := junitSuite{Name: "rollcall " + clean(r.Command), Time: fmt.Sprintf("%.3f", r.WallSeconds)}
	add := func(name string, c junitCase) {
		c.Name, c.Class, c.Time = clean(name), class, "0.000"
		s.Tests++
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
		s.Cases = append(s.Cases, c)
	}
	unsaid := r.Verdict == Invalid || r.Verdict == Partial
	var verdict junitCase
	if unsaid || r.Verdict == Error {
		verdict.Error = &junitWhy{clean(strings.Join(append([]string{r.Verdict}, r.Reasons...), "; "))}
	} else if r.Verdict == Failed {
		verdict.Failure = &junitWhy{clean(strings.Join(append([]string{r.Verdict}, r.Reasons...), "; "))}
	}
	add("verdict", verdict)
	for _, l := range r.Limits {
		var c junitCase
		switch {
		case l.Got == NotApplicable:
			c.Skipped = &junitWhy{"not measured in this kind of run"}
		case l.Got == NotJudged:
			c.Skipped = &junitWhy{"the run did not tell the whole story"}
		case unsaid:
			c.Skipped = &junitWhy{"the run is " + r.Verdict}
		case !l.OK:
			c.Failure = &junitWhy{"got " + clean(l.Got)}
		}
		add(l.Limit, c)
	}
	if n := r.Invariants; n.Checked > 0 {
		var c junitCase
		if n.Violated > 0 {
			c.Failure = &junitWhy{fmt.Sprintf("%d of %d checks did not hold", n.Violated, n.Checked)}
		}
		add("invariants", c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

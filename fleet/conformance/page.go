package conformance

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"unicode/utf8"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

type pageView struct {
	Policy, Title, Headline, Server string
	Style                           template.CSS
	Suites                          []suiteView
	Others, Left                    string
}

type suiteView struct {
	Name string
	Rows []rowView
}

type rowView struct {
	ID, Outcome, Class, Level, Says, Reason, Source, Why, Report, How, Fix, Exchange string
	Remarks                                                                          []string
	Open                                                                             bool
}

// Page writes the result as one HTML page without script and network: each statement with what it is for, and what
// failed with the exchange that decided.
func (r *Result) Page(w io.Writer) error {
	sum := sha256.Sum256([]byte(pageCSS))
	v := pageView{
		Policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", Style: template.CSS(pageCSS),
		Title: "Conformance of " + printable(r.Server+r.Device), Headline: r.headline(), Server: printable(r.Server),
	}
	if r.Device == "" {
		v.Others = printable(r.Others.told(r.Adapter))
	}
	if text := r.remains(); text != "" {
		v.Left = printable(text + ": " + strings.Join(r.remainders(), "; "))
	}
	for _, suite := range r.suites() {
		s := suiteView{Name: string(suite)}
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.Suite != suite {
				continue
			}
			st, _ := Find(f.ID)
			row := rowView{
				ID: f.ID, Outcome: string(f.Outcome), Class: string(f.Class), Level: f.Level, Says: f.Says, Reason: printable(f.Reason), Source: f.Source,
				Why: st.Why, Report: st.Report, How: st.How, Fix: st.Fix, Open: f.failed(),
			}
			for _, line := range f.remarks() {
				row.Remarks = append(row.Remarks, printable(line))
			}
			if f.Exchange != nil {
				row.Exchange = printable(f.Exchange.String())
			}
			s.Rows = append(s.Rows, row)
		}
		v.Suites = append(v.Suites, s)
	}
	return pageTemplate.Execute(w, v)
}

// Badge writes the result as a badge, SVG.
func (r *Result) Badge(w io.Writer) error {
	value, colour := r.score(), "#2a7d3f"
	switch err := r.Report(); err.Verdict {
	case "failed":
		colour = "#b3261e"
	case "partial", "invalid":
		colour = "#6b6b6b"
	}
	const label = "MDM conformance"
	left, right := width(label), width(value)
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="20" role="img" aria-label="%s: %s"><title>%s: %s</title>`+
		`<rect width="%d" height="20" fill="#444"/><rect x="%d" width="%d" height="20" fill="%s"/>`+
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"><text x="6" y="14">%s</text><text x="%d" y="14">%s</text></g></svg>`+"\n",
		left+right, label, value, label, value, left, left, right, colour, label, left+6, value)
	return err
}

// width is about how wide a text of a badge is, in pixels.
func width(s string) int { return 12 + 7*utf8.RuneCountInString(s) }

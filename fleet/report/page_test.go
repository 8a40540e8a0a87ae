package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

func render(t testing.TB, r *Result, s *Story) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Page(&b, r, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// skeleton is what a browser makes of a page, without its text: elements, attribute names, and the values of
// those attributes that can do something.
func skeleton(t testing.TB, page []byte) (bones []string, texts []string) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		switch n.Type {
		case html.ElementNode:
			bone := n.Data
			for _, a := range n.Attr {
				bone += " " + a.Key
				if slices.Contains([]string{"href", "src", "id", "class", "style", "type", "http-equiv", "content"}, a.Key) {
					bone += "=" + a.Val
				} else {
					texts = append(texts, a.Val)
				}
			}
			bones = append(bones, bone)
		case html.TextNode:
			if n.Parent.Data != "script" && n.Parent.Data != "style" && n.Parent.Data != "code" {
				texts = append(texts, strings.Trim(n.Data, "\n"))
			}
		case html.CommentNode:
			bones = append(bones, "comment")
		}
	}
	return bones, texts
}

// HST-066: text from outside never becomes more than text, in the page and on the terminal.
func TestHST066HostileText(t *testing.T) {
	r, s := spoiled(t, "harmless")
	want, _ := skeleton(t, render(t, r, s))
	for _, bad := range hostile {
		t.Run(fmt.Sprintf("%.20q", bad), func(t *testing.T) {
			r, s := spoiled(t, bad)
			page := render(t, r, s)
			got, texts := skeleton(t, page)
			if !slices.Equal(got, want) {
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						t.Fatalf("element %d is %q, want %q", i, got[i], want[i])
					}
				}
				t.Fatalf("%d elements, want %d", len(got), len(want))
			}
			for _, text := range texts {
				checkHarmless(t, text)
			}
			if n := bytes.Count(page, []byte("</script")); n != 1 {
				t.Errorf("%d script ends, want 1", n)
			}
			checkData(t, page, bad)

			for _, color := range []bool{false, true} {
				var b bytes.Buffer
				if err := Summary(&b, r, s, color); err != nil {
					t.Fatal(err)
				}
				text := regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(b.String(), "")
				checkHarmless(t, text)
			}
		})
	}
}

func checkHarmless(t *testing.T, text string) {
	t.Helper()
	for _, r := range strings.ReplaceAll(text, "\n", "") {
		if unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || r == 0x2028 {
			t.Errorf("%U in %.80q", r, text)
			return
		}
	}
}

// checkData reads the JSON block as a program would.
func checkData(t *testing.T, page []byte, title string) {
	t.Helper()
	_, rest, _ := bytes.Cut(page, []byte(`id="report-data">`))
	block, _, _ := bytes.Cut(rest, []byte("</script>"))
	var data struct {
		Result struct {
			Command string
			Seed    uint64
		}
		Charts []struct {
			Title  string
			Series []struct{ Points [][2]float64 }
		}
	}
	if err := json.Unmarshal(block, &data); err != nil {
		t.Fatalf("JSON block: %v", err)
	}
	if want := strings.ToValidUTF8(title, "\uFFFD"); data.Result.Command != want && !strings.Contains(title, "\xff") {
		t.Errorf("command %q, want %q", data.Result.Command, want)
	}
	if data.Result.Seed != 7 || len(data.Charts) != 6 || len(data.Charts[0].Series[0].Points) == 0 {
		t.Errorf("JSON block: %+v", data.Result)
	}
}

func TestPageForbidsScriptsAndNetwork(t *testing.T) {
	r, s := sample(t)
	page := string(render(t, r, s))
	_, rest, _ := strings.Cut(page, "<style>")
	style, _, ok := strings.Cut(rest, "</style>")
	if !ok {
		t.Fatal("no style")
	}
	hash := sha256.Sum256([]byte(style))
	policy := "default-src &#39;none&#39;; style-src &#39;sha256-" + html.EscapeString(base64.StdEncoding.EncodeToString(hash[:])) + "&#39;"
	if !strings.Contains(strings.ReplaceAll(page, "&#43;", "+"), policy) {
		t.Errorf("the policy does not carry the style's own hash: want %s", policy)
	}
	bones, _ := skeleton(t, []byte(page))
	ids := map[string]bool{}
	for _, b := range bones {
		name, _, _ := strings.Cut(b, " ")
		if name == "script" && b != "script type=application/json id=report-data" {
			t.Errorf("script: %s", b)
		}
		if regexp.MustCompile(` (style=|src=|on[a-z]+$|on[a-z]+ )`).MatchString(b) ||
			slices.Contains([]string{"img", "iframe", "object", "embed", "form", "base"}, name) {
			t.Errorf("not allowed: %s", b)
		}
		if m := regexp.MustCompile(`href=(\S*)`).FindStringSubmatch(b); m != nil && !strings.HasPrefix(m[1], "#") && m[1] != "data:," {
			t.Errorf("a link that leaves the page: %s", b)
		}
		if m := regexp.MustCompile(` id=(\S*)`).FindStringSubmatch(b); m != nil {
			if ids[m[1]] {
				t.Errorf("id %q twice", m[1])
			}
			ids[m[1]] = true
		}
	}
	for _, b := range bones {
		if _, target, ok := strings.Cut(b, "href=#"); ok && !ids[target] {
			t.Errorf("link to %q, which is not there", target)
		}
	}
	if strings.Contains(strings.ReplaceAll(page, "http-equiv", ""), "http") {
		t.Error("the page names an address")
	}
}

// A page of a million devices is no larger than any other.
func TestPageStaysSmall(t *testing.T) {
	r, s := sample(t)
	s.Devices.Total = 1_000_000
	for i := range 5000 {
		s.Devices.Rows = append(s.Devices.Rows, []any{fmt.Sprintf("%0200d", i), protocol.IOS, "enrolled", strings.Repeat("<", 290), s.Start, i})
		s.Acts = append(s.Acts, Act{At: 13 * day, Title: strings.Repeat("&", 290), Text: strings.Repeat("'", 290)})
	}
	var points []Point
	for i := range 20160 { // a point a minute
		points = append(points, Point{time.Duration(i) * time.Minute, float64(i*i%977) * 1.37})
	}
	for i := range s.Charts {
		for j := range s.Charts[i].Series {
			s.Charts[i].Series[j].Points = points
		}
	}
	s.Plan = strings.Repeat(s.Plan, 500)
	r.Sections["lab"] = map[string]any{"much": strings.Repeat("x", 600_000)}
	page := render(t, r, s)
	if len(page) > largestPage {
		t.Errorf("%d bytes, want at most %d", len(page), largestPage)
	}
	if want := "of 1,000,000 are shown."; !bytes.Contains(page, []byte(want)) {
		t.Errorf("the page does not say %q", want)
	}
	t.Logf("%d bytes", len(page))
	if r, s := sample(t); len(render(t, r, s)) > largestPage {
		t.Error("the sample does not fit in full")
	}
}

func TestPageRefusesWhatJSONCannotSay(t *testing.T) {
	r, s := sample(t)
	r.Sections["lab"] = math.NaN()
	if err := Page(new(bytes.Buffer), r, s); err == nil {
		t.Error("a section that is no JSON: no error")
	}
}

func TestOddStories(t *testing.T) {
	point := func(at time.Duration, v float64) []Series { return []Series{{Name: "x", Points: []Point{{at, v}}}} }
	for name, s := range map[string]*Story{
		"empty":            {},
		"no length":        {Charts: []Chart{{Series: point(0, 1)}, {Kind: Bars, Series: point(0, 1)}}, Acts: []Act{{At: 5, Mark: true}}, Spans: []Span{{To: 1, Name: "x"}}},
		"no points":        {Until: day, Charts: []Chart{{Series: []Series{{Name: "x"}}}, {Kind: Bars, Series: []Series{{Name: "x"}}}, {}}},
		"outside":          {Until: day, Charts: []Chart{{Series: point(-day, -5)}, {Kind: Bars, Series: point(3*day, 1)}}, Spans: []Span{{From: -day, To: 5 * day, Name: "x"}, {From: day, Name: "back"}}},
		"not numbers":      {Until: day, Charts: []Chart{{Series: point(0, math.NaN())}, {Series: point(0, math.Inf(1))}, {Series: point(0, 1e300)}}},
		"rows of any size": {Devices: Table{Columns: []Column{{Name: "a", Bar: true}, {Name: "b", Bar: true}}, Rows: [][]any{{}, {1, 2, 3}, {nil, "x"}, {math.NaN(), -3}}}},
		"one second":       {Until: time.Second, Charts: []Chart{{Series: point(0, 0.001)}}},
		"a century":        {Until: 100 * 365 * day, Charts: []Chart{{Series: point(0, 5)}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Result{Version: 1, Command: "lab", Verdict: OK, Seed: 7}
			page := render(t, r, s)
			if i := bytes.Index(page, []byte("NaN")); i >= 0 {
				t.Errorf("NaN in the page: %s", page[i-60:i+10])
			}
			if i := bytes.Index(page, []byte("Inf")); i >= 0 {
				t.Errorf("Inf in the page: %s", page[i-60:i+10])
			}
			if err := Summary(new(bytes.Buffer), r, s, true); err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzPage(f *testing.F) {
	for _, bad := range hostile {
		f.Add(bad)
	}
	small := func(t testing.TB, bad string) []string {
		r := &Result{Devices: Devices{LeftOutBy: map[string]int{}}, Sections: map[string]any{}}
		s := &Story{Until: 2 * time.Hour, Devices: Table{Columns: []Column{{Name: "Device"}}, Rows: [][]any{{""}}}}
		spoil(r, s, bad)
		r.Sections = nil // their names are keys of the JSON, which has its own test
		bones, _ := skeleton(t, render(t, r, s))
		return bones
	}
	want := small(f, "harmless")
	f.Fuzz(func(t *testing.T, bad string) {
		if strings.TrimSpace(bad) == "" {
			return // an empty text leaves its element out
		}
		if got := small(t, bad); !slices.Equal(got, want) {
			t.Errorf("%q changed the page's elements", bad)
		}
	})
}

// inMedia is what the page's style has for one kind of medium.
func inMedia(t *testing.T, medium string) string {
	t.Helper()
	_, rest, found := strings.Cut(pageCSS, "@media "+medium+" {\n")
	block, _, _ := strings.Cut(rest, "\n}\n")
	if !found {
		t.Fatalf("nothing for %s", medium)
	}
	return block
}

// On paper each chart has its table and the plan is whole: nothing can be opened there.
func TestPaperHasWhatIsClosed(t *testing.T) {
	print := inMedia(t, "print")
	for rule := range strings.SplitSeq(print, "}") {
		if what, how, _ := strings.Cut(rule, "{"); strings.Contains(how, "display: none") && regexp.MustCompile(`details|summary|table|figure`).MatchString(what) {
			t.Errorf("hidden: %s", rule)
		}
	}
	if !strings.Contains(print, "details::details-content { content-visibility: visible;") {
		t.Error("what is closed stays so")
	}
}

// On a telephone words of tables are broken where their language breaks them, so that no column is pushed out of sight, and what is cut
// off at a table's edge is seen to go on.
func TestNarrowTables(t *testing.T) {
	if narrow := inMedia(t, "(max-width: 40rem)"); !strings.Contains(narrow, "hyphens: auto;") || !strings.Contains(narrow, "td.num { min-width: 0;") {
		t.Errorf("the style of a telephone: %s", narrow)
	}
	for _, l := range []lang.Language{lang.English, lang.Dutch} {
		r, s := sample(t)
		s.Language = l
		if page := string(render(t, r, s)); !strings.Contains(page, `<html lang="`+l.String()+`">`) || !strings.Contains(page, "var(--shade)") {
			t.Errorf("%s: no language or no shade", l)
		}
	}
}

// Whoever goes through a page by its controls hears of which chart the numbers are, and reaches every table that scrolls.
func TestControlsHaveNames(t *testing.T) {
	r, s := sample(t)
	page := string(render(t, r, s))
	for _, c := range s.Charts {
		if want := `<summary aria-label="As numbers: ` + c.Title + `">`; strings.Count(page, want) != 1 {
			t.Errorf("no %s", want)
		}
	}
	all, named := strings.Count(page, `<div class="scroll`), len(regexp.MustCompile(`<div class="scroll[a-z ]*" tabindex="0" role="region" aria-label="[^"]+">`).FindAllString(page, -1))
	if all == 0 || named != all {
		t.Errorf("of %d tables %d have a place among the controls and a name", all, named)
	}
}

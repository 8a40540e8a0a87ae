package report

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"rollcall/protocol/lang"
)

func TestSummaryFitsATerminal(t *testing.T) {
	r, s := sample(t)
	r.Verdict, r.Reasons = Failed, []string{strings.Repeat("one reason after another ", 20)}
	r.Limits = append(r.Limits, Limit{Limit: "checkins.p50 < 1ms", Got: "3.1ms", OK: false})
	var plainText, colored bytes.Buffer
	if err := Summary(&plainText, r, s, false); err != nil {
		t.Fatal(err)
	}
	if err := Summary(&colored, r, s, true); err != nil {
		t.Fatal(err)
	}
	stripped := regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(colored.String(), "")
	if stripped != plainText.String() {
		t.Error("colour changed the words or the layout")
	}
	for line := range strings.Lines(plainText.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > mostColumns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"Failed: 1 of 4 limits broken", "broken: checkins.p50 < 1ms, got 3.1ms", "What this run does not show"} {
		if !strings.Contains(plainText.String(), want) {
			t.Errorf("the summary lacks %q:\n%s", want, plainText.String())
		}
	}
}

func TestSummaryOfManyActs(t *testing.T) {
	r, s := sample(t)
	for range 100 {
		s.Acts = append(s.Acts, Act{At: 13 * day, Title: "once more"})
	}
	var b bytes.Buffer
	if err := Summary(&b, r, s, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "50 more are in the report.") {
		t.Error("the summary does not say how many acts it leaves out")
	}
}

// Limits of a run that was cut are neither held nor broken, and nobody says that there were none.
func TestSummaryNotJudged(t *testing.T) {
	r := &Result{Command: "lab", Verdict: Partial, Limits: []Limit{{Limit: "devices.moved > 0", Got: NotJudged, OK: true}, {Limit: "devices.stranded == 0", Got: NotJudged, OK: true}}}
	var b strings.Builder
	if err := Summary(&b, r, &Story{}, false); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); !strings.Contains(text, "The plan's 2 limits were not judged.") || strings.Contains(text, "broken") || strings.Contains(text, "no limits") {
		t.Errorf("%s", text)
	}
}

// TestHST016NoFigure: a limit whose figure a run of this kind does not have is said to be unjudged; none of none did not hold.
func TestHST016NoFigure(t *testing.T) {
	r := &Result{Command: "rehearse", Verdict: OK, Limits: []Limit{{Limit: "checkins.p99 < 50ms", Got: NotApplicable, OK: true}}}
	for in, want := range map[lang.Language]string{lang.English: "1 limit could not be judged.", lang.Dutch: "1 grens kon niet worden beoordeeld."} {
		if got := checks(in, r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What a broken limit got is told in the report's language where it is a sentence, and left as it is where it is a figure.
func TestSummaryGotInDutch(t *testing.T) {
	r := &Result{Command: "fleet run", Verdict: Failed, Limits: []Limit{{Limit: "load.baseline.p99.percent < 1", Got: "there is no baseline to compare with", OK: false}, {Limit: "checkins.p99 < 1ms", Got: "6.23ms", OK: false}}}
	var text strings.Builder
	if err := Summary(&text, r, &Story{Language: lang.Dutch}, false); err != nil {
		t.Fatal(err)
	}
	told := text.String()
	for _, row := range limits(lang.Dutch, r).Rows {
		told += " | " + row[1].Text
	}
	for _, want := range []string{"gemeten er is geen eerdere run", "| er is geen eerdere run om mee te vergelijken", "gemeten 6.23ms", "| 6.23ms"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not in %s", want, told)
		}
	}
}

package report

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

func TestCell(t *testing.T) {
	for _, tt := range []struct {
		in      any
		want    string
		numeric bool
	}{
		{nil, "–", false},
		{"", "–", false},
		{"text", "text", false},
		{true, "yes", false},
		{false, "no", false},
		{0, "0", true},
		{999, "999", true},
		{1000, "1,000", true},
		{-1234567, "−1,234,567", true},
		{uint64(math.MaxUint32), "4,294,967,295", true},
		{0.25, "0.25", true},
		{9.999, "10", true},
		{12.34, "12.3", true},
		{1234.5, "1,234", true},
		{-0.001, "0", true},
		{math.NaN(), "–", true},
		{Share(0), "0%", true},
		{Share(0.00001), "< 0.1%", true},
		{Share(0.0123), "1.2%", true},
		{Share(0.5), "50%", true},
		{Share(0.999), "99.9%", true},
		{Share(1), "100%", true},
		{time.Duration(0), "0", true},
		{900 * time.Nanosecond, "0.9 µs", true},
		{2750 * time.Microsecond, "2.75 ms", true},
		{4200 * time.Millisecond, "4.2 s", true},
		{90 * time.Second, "1 min 30 s", true},
		{5*time.Hour + 10*time.Minute, "5 h 10 min", true},
		{14 * day, "14 days", true},
		{50 * time.Hour, "2 days 2 h", true},
		{-time.Minute, "−1 min", true},
		{time.Date(2026, 3, 2, 9, 30, 0, 0, time.FixedZone("", 3600)), "2026-03-02 08:30", false},
		{time.Time{}, "–", false},
		{protocol.IPadOS, "iPadOS", false},
		{protocol.WiFi, "Wi-Fi", false},
		{protocol.RulePushGap, "AUTH-30", false},
		{protocol.NotNow, "NotNow", false},
		{errors.New("a\x00b"), "a⟨U+0000⟩b", false},
		{[]int{1}, "[1]", false},
	} {
		if got, numeric := cell(lang.English, tt.in); got != tt.want || numeric != tt.numeric {
			t.Errorf("cell(en, %#v) = %q, %v; want %q, %v", tt.in, got, numeric, tt.want, tt.numeric)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Ada's iPhone":           "Ada's iPhone",
		"نورا":                   "نورا",
		"👩\u200d💻":               "👩\u200d💻",
		"exe.\u202egpj":          "exe.⟨U+202E⟩gpj",
		"a\nb":                   "a⟨U+000A⟩b",
		"\x1b[2J":                "⟨U+001B⟩[2J",
		"\xff":                   "\uFFFD",
		strings.Repeat("x", 501): strings.Repeat("x", 500) + "…",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := cleanLines("a:\r\n\tb\x07\nlast", 1000); got != "a:\n  b⟨U+0007⟩\nlast\n" {
		t.Errorf("cleanLines: %q", got)
	}
	if got := cleanLines("one\ntwo\nthree\n", 8); got != "one\ntwo\n…\n" {
		t.Errorf("cleanLines, 8 bytes: %q", got)
	}
}

func TestSpoken(t *testing.T) {
	for word, want := range map[string]string{"not_managed": "not managed", "other_mdm": "other MDM", "mac_under_bms": "mac under BMS", "platform": "platform"} {
		if got := plainWord(word); got != want {
			t.Errorf("%s is spoken as %q, want %q", word, got, want)
		}
	}
}

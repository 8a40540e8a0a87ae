package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"rollcall/protocol"
)

// A Share is a part of a whole from 0 to 1; as a cell or a figure it is written in per cent.
type Share float64

const longestText = 300 // characters of a cell; what is longer ends in an ellipsis

// clean makes a text from outside harmless wherever it is shown: on a terminal, in a page, in print. Controls,
// line ends and the marks that turn the direction of writing are written out as ⟨U+202E⟩; html/template does
// the rest for the page (HST-066).
func clean(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if n++; n > longestText {
			b.WriteString("…")
			break
		}
		if harmless(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		}
	}
	return b.String()
}

// cleanLines is clean for a text of many lines; limit is in bytes.
func cleanLines(s string, limit int) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		text := clean(strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "  "))
		if b.Len()+len(text) > limit {
			b.WriteString("…\n")
			break
		}
		b.WriteString(text)
		b.WriteByte('\n')
	}
	return b.String()
}

func harmless(r rune) bool {
	const zeroWidthJoiner = 0x200d // within emoji
	return r == zeroWidthJoiner || !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co)
}

// cell writes a value for people. numeric values stand right-aligned.
func cell(v any) (text string, numeric bool) {
	switch v := v.(type) {
	case nil:
		return "–", false
	case string:
		if v == "" {
			return "–", false
		}
		return clean(v), false
	case bool:
		if v {
			return "yes", false
		}
		return "no", false
	case time.Duration:
		return span(v), true
	case time.Time:
		if v.IsZero() {
			return "–", false
		}
		return v.UTC().Format("2006-01-02 15:04"), false
	case Share:
		return percent(float64(v)), true
	case protocol.Platform:
		return platformName(v), false
	case protocol.Family:
		return familyName(v), false
	case fmt.Stringer:
		return clean(v.String()), false
	case error: // a protocol.Rule
		if v.Error() == "" {
			return "–", false
		}
		return clean(v.Error()), false
	}
	if f, ok := number(v); ok {
		return grouped(f), true
	}
	return clean(fmt.Sprint(v)), false
}

// number reads any kind of number.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int32:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint16:
		return float64(v), true
	case uint32:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	case Share:
		return float64(v), true
	case time.Duration:
		return float64(v), true
	}
	return 0, false
}

// grouped writes f with commas between thousands and at most three significant digits after whole numbers
// below a hundred.
func grouped(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "–"
	}
	digits := 0
	if f != math.Trunc(f) {
		switch a := math.Abs(f); {
		case a < 10:
			digits = 2
		case a < 100:
			digits = 1
		}
	}
	s := strconv.FormatFloat(math.Abs(f), 'f', digits, 64)
	if digits > 0 {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	whole, rest, dotted := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dotted {
		whole += "." + rest
	}
	if f < 0 && strings.Trim(whole, "0.,") != "" {
		whole = "−" + whole
	}
	return whole
}

func percent(f float64) string {
	f *= 100
	if f > 0 && f < 0.1 {
		return "< 0.1%"
	}
	if f > 0 && f < 10 || f > 99 && f < 100 {
		return strconv.FormatFloat(f, 'f', 1, 64) + "%"
	}
	return grouped(math.Round(f)) + "%"
}

// span writes a length of time in its two largest units.
func span(d time.Duration) string {
	if d < 0 {
		return "−" + span(-d)
	}
	two := func(a int64, unitA string, b int64, unitB string) string {
		if b == 0 {
			return fmt.Sprintf("%s %s", grouped(float64(a)), unitA)
		}
		return fmt.Sprintf("%s %s %d %s", grouped(float64(a)), unitA, b, unitB)
	}
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0"
	case d < time.Millisecond:
		return grouped(float64(d)/float64(time.Microsecond)) + " µs"
	case d < time.Second:
		return grouped(float64(d)/float64(time.Millisecond)) + " ms"
	case d < time.Minute:
		return grouped(float64(d)/float64(time.Second)) + " s"
	case d < time.Hour:
		d = d.Round(time.Second)
		return two(int64(d/time.Minute), "min", int64(d%time.Minute/time.Second), "s")
	case d < 2*day:
		d = d.Round(time.Minute)
		return two(int64(d/time.Hour), "h", int64(d%time.Hour/time.Minute), "min")
	}
	d = d.Round(time.Hour)
	return two(int64(d/day), "days", int64(d%day/time.Hour), "h")
}

// moment writes a time of a story of the given length: in days and the time of day, as plans count them
// (at: 4d is day 4), or, if it is shorter than two days, as time passed.
func moment(at, until time.Duration) string {
	const day = 24 * time.Hour
	if until >= 2*day {
		return fmt.Sprintf("day %d, %02d:%02d", at/day, at%day/time.Hour, at%time.Hour/time.Minute)
	}
	if until >= 2*time.Hour {
		return fmt.Sprintf("%d:%02d h", at/time.Hour, at%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d:%02d min", at/time.Minute, at%time.Minute/time.Second)
}

func platformName(p protocol.Platform) string {
	switch p {
	case protocol.IOS:
		return "iOS"
	case protocol.IPadOS:
		return "iPadOS"
	case protocol.MacOS:
		return "macOS"
	case protocol.Android:
		return "Android"
	case protocol.Windows:
		return "Windows"
	}
	return p.String()
}

func familyName(f protocol.Family) string {
	switch f {
	case protocol.Email:
		return "E-mail"
	case protocol.VPN:
		return "VPN"
	case protocol.Certificate:
		return "Certificate"
	case protocol.WiFi:
		return "Wi-Fi"
	case protocol.Configuration:
		return "Configuration"
	}
	return f.String()
}

var spoken = strings.NewReplacer("_", " ", "mdm", "MDM", "bms", "BMS")

// Spoken writes a word of the JSON for people: other_mdm is other MDM.
func Spoken(word string) string { return spoken.Replace(word) }

// plural writes a number and its noun.
func plural[N int | int64 | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(float64(n)) + " " + many
}

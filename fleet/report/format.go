package report

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Share is a part of a whole from 0 to 1; as a cell or a figure it is written in per cent.
type Share float64

const longestText = 500 // characters of a cell; what is longer ends in an ellipsis

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
func cell(l lang.Language, v any) (text string, numeric bool) {
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
			return l.Say("yes"), false
		}
		return l.Say("no"), false
	case time.Duration:
		return l.Span(v), true
	case time.Time:
		if v.IsZero() {
			return "–", false
		}
		return v.UTC().Format("2006-01-02 15:04"), false
	case Share:
		return l.Percent(float64(v)), true
	case protocol.Platform:
		return lang.Platform(v), false
	case protocol.Family:
		return l.Family(v), false
	case protocol.Authority:
		return l.Authority(v), false
	case fmt.Stringer:
		return clean(v.String()), false
	case error: // a protocol.Rule
		if v.Error() == "" {
			return "–", false
		}
		return clean(v.Error()), false
	}
	if f, ok := number(v); ok {
		return l.Number(f), true
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

var spoken = strings.NewReplacer("_", " ", "mdm", "MDM", "bms", "BMS")

// plainWord writes a word of the JSON for people: other_mdm is other MDM.
func plainWord(word string) string { return spoken.Replace(word) }

package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
)

func TestBrief(t *testing.T) {
	r := &Result{Command: "preview", Verdict: Failed, Reasons: []string{"AUTH-09: no units"}}
	s := &Story{
		Headline: "9 of 33 devices would move", Title: "A bakery", Lead: []string{"Eight are reachable."}, NotShown: []string{"No server was asked."},
		Tables: []Table{
			{Title: "Nothing here", Columns: []Column{{Name: "what"}}},
			{Title: "What would happen", Columns: []Column{{Name: "devices"}, {Name: "rule"}, {Name: "why"}}, Rows: [][]any{
				{9, protocol.Rule("AUTH-14"), "moves"}, {12345, protocol.Rule("AUTH-16"), strings.Repeat("stays and stays ", 10)},
			}},
			{Title: "Devices", Columns: []Column{{Name: "device"}, {Name: "since"}}, Total: 40},
		},
	}
	for range 20 {
		s.Tables[2].Rows = append(s.Tables[2].Rows, []any{"\x1b[31mred", time.Duration(time.Hour)})
	}
	var b bytes.Buffer
	if err := Brief(&b, r, s, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"rollcall preview: 9 of 33 devices would move\nA bakery\n  ! AUTH-09: no units\n\nEight are reachable.\n\nWhat would happen\n",
		"       9  AUTH-14  moves\n  12,345  AUTH-16  stays and stays",
		"⟨U+001B⟩[31mred", "… and 28 more.", "What this does not show\n  - No server was asked.\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "Nothing here") || strings.Contains(b.String(), "\x1b") {
		t.Errorf("an empty table, or a sequence from outside:\n%s", b.String())
	}
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > mostColumns {
			t.Errorf("%d characters: %s", n, line)
		}
	}
}

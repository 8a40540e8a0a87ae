package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
)

func TestHST068OneEventIsOneLine(t *testing.T) {
	nasty := []string{
		"a\r\nlevel=info msg=forged", "\x1b[2J\x1b[31mred", `{"level":"info","msg":"forged"}`, "\u202egnp.exe", "\u2028next", "a\x00b",
		"\xff\xfe", strings.Repeat("x", 1<<20), strings.Repeat("\n", 1<<20), strings.Repeat("é", 1<<12),
	}
	for _, asJSON := range []bool{true, false} {
		for _, s := range nasty {
			var out bytes.Buffer
			l := New(&out, asJSON)
			l.WithFields(logrus.Fields{"device": s, s: 1, "error": errors.New(s), "raw": []byte(s), "any": struct{ S string }{s}}).Warn(s)
			got := out.String()
			if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
				t.Errorf("json=%v: %.40q gave more than one line: %.200q", asJSON, s, got)
			}
			if i := strings.IndexFunc(strings.TrimSuffix(got, "\n"), odd); i >= 0 {
				t.Errorf("json=%v: %.40q left %q in the line", asJSON, s, got[i:min(i+8, len(got))])
			}
			if len(got) > 8*2*MaxField {
				t.Errorf("json=%v: %.40q gave a line of %d bytes", asJSON, s, len(got))
			}
			if asJSON {
				var line map[string]any
				if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["level"] != "warning" {
					t.Errorf("%.40q: not the line that was logged: %v %v", s, err, line["level"])
				}
			}
		}
	}
}

func TestStdKeepsOneLine(t *testing.T) {
	var out bytes.Buffer
	Std(New(&out, true)).Print("http: TLS handshake error from 192.0.2.1:\nforged")
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %q", n, out.String())
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[0m\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := Escape(s)
		if len(got) > MaxField+16 || !utf8.ValidString(got) || strings.ContainsFunc(got, odd) {
			t.Errorf("Escape(%q) = %q", s, got)
		}
		if len(s) <= MaxField && !strings.ContainsFunc(s, odd) && got != s {
			t.Errorf("Escape(%q) = %q, want it unchanged", s, got)
		}
	})
}

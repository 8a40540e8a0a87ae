package rehearsal

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{count(0), "0"},
		{count(999), "999"},
		{count(1000), "1,000"},
		{count(uint64(1_234_567)), "1,234,567"},
		{count(-1000), "-1,000"},
		{count(-100), "-100"},
		{plural(1, "device"), "1 device"},
		{plural(2000, "device"), "2,000 devices"},
		{enumerate(nil), "no device"},
		{enumerate([]string{"a"}), "a"},
		{enumerate([]string{"a", "b"}), "a and b"},
		{enumerate([]string{"a", "b", "c"}), "a, b and c"},
		{length(14 * 24 * time.Hour), "14 days"},
		{length(24 * time.Hour), "1 day"},
		{length(5 * time.Hour), "5 hours"},
		{length(2 * time.Minute), "2 minutes"},
		{length(3 * time.Second), "3 seconds"},
		{length(time.Second), "1 second"},
		{length(0), "0 seconds"},
		{per(time.Second), "per second"},
		{per(10 * time.Second), "per 10 seconds"},
		{per(time.Minute), "per minute"},
		{per(2 * time.Hour), "per 2 hours"},
		{per(24 * time.Hour), "per day"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

// Every rule of authority has its sentence for the report's reader; there is no AUTH-54.
func TestRuleWords(t *testing.T) {
	for n := 1; n <= 55; n++ {
		name := fmt.Sprintf("AUTH-%02d", n)
		if text := string(ruleWords[name]); (text == "") != (n == 54) || strings.HasSuffix(text, ".") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

//go:build unix

package device

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"rollcall/protocol"
)

// TestAND073KeptADay: a round that comes again gets the bytes of the first time for 24 h (android.md, section 8). From then on a check-in of
// the same name is another: what it says is heard, and nothing that is through is ordered anew.
func TestAND073KeptADay(t *testing.T) {
	l := newDroidLab(t)
	p, m := l.android("d-0123456789abcdef0000")
	order := func() string {
		_, err := l.core.Order(t.Context(), l.pnow(), l.record(p.id).State.Device, protocol.Command{Kind: protocol.Restart})
		l.must(err)
		return l.record(p.id).State.Queue[0].ID.String()
	}
	says := func(message []byte) string { return l.line(p).says(message, "c-first") }
	worse := bytes.Replace(m, []byte(`"compliant":true`), []byte(`"compliant":false,"nonComplianceDetails":[{"settingName":"passwordPolicies","nonComplianceReason":"USER_ACTION"}]`), 1)
	answers := map[string]bool{}
	for day := range 3 { // each has its own answer
		if day > 0 {
			l.setClock(l.now().Add(time.Second))
		}
		command := order()
		first := says(m)
		if answers[first] || !bytes.Contains([]byte(first), []byte(command)) {
			t.Fatalf("day %d: answered %s, without %s", day, first, command)
		}
		answers[first] = true
		done := fmt.Appendf(nil, `"compliant":true,"results":[{"command":%q,"state":"DONE"}]}`, command)
		report := bytes.Replace(bytes.Replace(m, []byte(`"compliant":true}`), done, 1), []byte(`"round":1`), []byte(`"round":2`), 1)
		said := says(report)
		l.setClock(l.now().Add(24*time.Hour - time.Second))
		if again := says(worse); again != first || says(report) != said {
			t.Errorf("day %d: within 24 h answered %s, was %s", day, again, first)
		}
		if r := l.record(p.id); bytes.Contains([]byte(r.Facts.Said), []byte("passwordPolicies")) {
			t.Errorf("day %d: a repeat was heard: %q", day, r.Facts.Said)
		}
	}
	l.setClock(l.now().Add(time.Second))
	if got := says(worse); bytes.Contains([]byte(got), []byte("REBOOT")) || !bytes.Contains([]byte(got), []byte(`"complete":true`)) {
		t.Errorf("after 24 h answered %s", got)
	}
	if r := l.record(p.id); !bytes.Contains([]byte(r.Facts.Said), []byte("passwordPolicies")) || r.State.LastSeen != l.pnow() {
		t.Errorf("after 24 h it is not heard: %q, seen %s", r.Facts.Said, r.State.LastSeen)
	}
}

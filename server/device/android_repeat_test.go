package device

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
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

// TestAND073AllRounds: whichever of the rounds of a check-in comes again, be it the longest there is, it gets the bytes of the first time,
// and nothing is done twice.
func TestAND073AllRounds(t *testing.T) {
	l := newDroidLab(t)
	p, m := l.android("d-0123456789abcdef0000")
	c := l.line(p)
	var messages [][]byte
	var answers []string
	done := ""
	for round := 1; round <= android.MaxRounds; round++ {
		if round < android.MaxRounds { // each but the last brings an order
			_, err := l.core.Order(t.Context(), l.pnow(), l.record(p.id).State.Device, protocol.Command{Kind: protocol.ResetPasscode, Text: fmt.Sprint(round)})
			l.must(err)
		}
		message := bytes.Replace(m, []byte(`"round":1`), fmt.Appendf(nil, `"round":%d`, round), 1)
		message = bytes.Replace(message, []byte(`"compliant":true`), fmt.Appendf(nil, `"compliant":true%s`, done), 1)
		answer := c.says(message, "c-long")
		messages, answers = append(messages, message), append(answers, answer)
		if round < android.MaxRounds {
			q := l.record(p.id).State.Queue
			id := q[len(q)-1].ID.String()
			if !strings.Contains(answer, id) {
				t.Fatalf("round %d is answered %s, without %s", round, answer, id)
			}
			done = fmt.Sprintf(`,"results":[{"command":%q,"state":"DONE"}]`, id)
		}
	}
	if last := answers[len(answers)-1]; !strings.Contains(last, `"complete":true`) {
		t.Errorf("the last round is answered %s", last)
	}
	end, err := l.store.JournalEnd(t.Context())
	l.must(err)
	for i, message := range messages {
		if got := l.line(p).says(message, "c-long"); got != answers[i] {
			t.Errorf("round %d again is answered\n%s\nwas\n%s", i+1, got, answers[i])
		}
	}
	if now, err := l.store.JournalEnd(t.Context()); err != nil || now != end {
		t.Errorf("the repeats wrote %d lines, %v", now-end, err)
	}
}

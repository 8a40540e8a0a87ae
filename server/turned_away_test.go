package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// TestHST045TurnedAway: who gets no enrolment profile stands in the journal, once in an hour by each rule, and so many in an
// hour and no more, whoever asks how often.
func TestHST045TurnedAway(t *testing.T) {
	x := newTenant(t)
	away := func(who string, r protocol.Rule) {
		t.Helper()
		x.must(x.TurnedAway(x.ctx, x.now, who, &protocol.Refusal{Rule: r, Reason: "no"}))
	}
	for range 5 {
		away("a device of a@example.org", "AUTH-47")
		away("a device of b@example.org", "AUTH-47")
		away("a device of b@example.org", "AUTH-30")
		away("", "HST-045")
		away("x\nforged", "AUTH-47")
	}
	var got []string
	for _, l := range x.journal(delivery.WhatRefused) {
		got = append(got, fmt.Sprintf("%s %s %s", l.Actor, l.Rule, l.Detail))
	}
	x.equal("lines", got, []string{
		"device AUTH-47 enrolment of a device of a@example.org: no", "device AUTH-47 enrolment of a device of b@example.org: no",
		"device AUTH-30 enrolment of a device of b@example.org: no", "device HST-045 enrolment of somebody: no", `device AUTH-47 enrolment of x\nforged: no`,
	})
	for i := range 3000 {
		away(fmt.Sprint("serial ", i), "HST-042")
	}
	lines := x.journal(delivery.WhatRefused)
	if last := lines[len(lines)-1]; len(lines) != 1001 || last.Rule != "HST-045" || !strings.Contains(last.Detail, "only the log tells") {
		t.Errorf("%d lines, the last %+v", len(lines), last)
	}
	x.now = x.now.Add(time.Hour)
	away("a device of a@example.org", "AUTH-47")
	x.equal("in the next hour", len(x.journal(delivery.WhatRefused)), 1002)
}

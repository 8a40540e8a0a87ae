package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
)

// TestHST045TurnedAway: who gets no enrolment profile stands in the journal, once in an hour by each rule, and so many in an
// hour and no more, whoever asks how often.
func TestHST045TurnedAway(t *testing.T) {
	x := newTenant(t)
	away := func(who string, r protocol.Rule) {
		t.Helper()
		x.must(x.TurnedAway(x.ctx, x.now, server.Turned{Who: who}, &protocol.Refusal{Rule: r, Reason: "no"}))
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

// TestHST045Strangers: strangers fill a tenth of what the journal hears of in an hour, and leave the rest to those it knows; a
// refused certificate stands there too.
func TestHST045Strangers(t *testing.T) {
	x := newTenant(t)
	no := &protocol.Refusal{Rule: "HST-037", Reason: "this enrolment link is unknown, used or too old"}
	for i := range 300 {
		x.must(x.TurnedAway(x.ctx, x.now, server.Turned{Address: fmt.Sprint("192.0.2.", i)}, no))
		x.must(x.TurnedAway(x.ctx, x.now, server.Turned{Address: "192.0.2.1"}, no))
	}
	x.must(x.TurnedAway(x.ctx, x.now, server.Turned{Who: "a device of a@example.org", Certificate: true}, &protocol.Refusal{Rule: "HST-037", Reason: "challenge was used"}))
	lines := x.journal(delivery.WhatRefused)
	if len(lines) != 102 {
		t.Fatalf("%d lines, want 100 of strangers, one that there are more, and one of a device that is known", len(lines))
	}
	x.equal("the first", lines[0].Detail, "enrolment of somebody at 192.0.2.0: this enrolment link is unknown, used or too old")
	x.equal("the last of them", lines[100].Detail, "100 refused enrolments of strangers in an hour: of more only the log tells")
	x.equal("the certificate", lines[101].Detail, "certificate for a device of a@example.org: challenge was used")
}

package device

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// TestHST052AndroidStray: a result of a command that was never ordered, or is another device's, is answered and written down, and settles
// nothing.
func TestHST052AndroidStray(t *testing.T) {
	l := newDroidLab(t)
	p, m := l.android("d-0123456789abcdef0000")
	other, _ := l.android("d-0123456789abcdef0001")
	order := func(p *phone) string {
		_, err := l.core.Order(t.Context(), l.pnow(), l.record(p.id).State.Device, protocol.Command{Kind: protocol.Restart})
		l.must(err)
		return l.record(p.id).State.Queue[0].ID.String()
	}
	mine, theirs := order(p), order(other)
	end, err := l.store.JournalEnd(t.Context())
	l.must(err)
	done := fmt.Appendf(nil, `"compliant":true,"results":[{"command":%q,"state":"DONE"},{"command":"c-never","state":"DONE"}]}`, theirs)
	if got := l.line(p).says(bytes.Replace(m, []byte(`"compliant":true}`), done, 1), "c-stray"); !strings.Contains(got, mine) {
		t.Errorf("answered %s, without its own order", got)
	}
	for _, p := range []*phone{p, other} {
		if q := l.record(p.id).State.Queue; len(q) != 1 {
			t.Errorf("%s: what waits is %+v", p.id, q)
		}
	}
	lines, err := l.store.Journal(t.Context(), store.LineFilter{After: end}, 100)
	l.must(err)
	strays := 0
	for _, line := range lines {
		if line.What == delivery.WhatUnknownReport {
			strays++
		}
	}
	if strays != 2 {
		t.Errorf("the journal has %d strays, want 2: %+v", strays, lines)
	}
}

// TestAUTH30AndroidRetry: who is refused with the notice of a change comes again in 15 minutes, whenever else it would (android.md section 8).
func TestAUTH30AndroidRetry(t *testing.T) {
	l := newDroidLab(t)
	for _, tt := range []struct {
		notice protocol.Notice
		reason string
		retry  string
	}{
		{protocol.Notice{Epoch: 2, ChangedAt: l.pnow()}, android.AuthorityChanged, "900"},
		{protocol.Notice{}, android.TryLater, "3600"},
	} {
		w := httptest.NewRecorder()
		l.h.androidRefuse(w, httptest.NewRequest("POST", android.CheckInPath, nil), nil, &protocol.Refusal{Rule: protocol.RulePushGap, Reason: "wait", RetryAfter: time.Hour, Notice: tt.notice})
		if w.Code != 503 || w.Header().Get("Retry-After") != tt.retry || !strings.Contains(w.Body.String(), tt.reason) {
			t.Errorf("%+v: answered %d, Retry-After %s, %s", tt.notice, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
}

// TestAUTH27AndroidNotice: with a change of authority a device hears its notice, signed, and when it was.
func TestAUTH27AndroidNotice(t *testing.T) {
	l := newDroidLab(t)
	l.wifi("org.wifi")
	p, m := l.android("d-0123456789abcdef0000")
	l.setClock(l.now().Add(time.Hour))
	_, err := l.core.SetAuthority(t.Context(), l.pnow(), server.System, authority.Change{Authority: protocol.SCCM}, "", -1)
	l.must(err)
	changed := l.core.World().Tenant.ChangedAt
	var a android.CheckInAnswer
	says := func(m []byte, id string) {
		t.Helper()
		a = android.CheckInAnswer{}
		l.must(android.Decode([]byte(strings.TrimPrefix(l.line(p).says(m, id), "200 ")), &a))
	}
	says(m, "c-told")
	payload, ok := l.h.cfg.Enrolment.Seal.Key().OpenJWS(android.NoticeType, a.Authority.Notice)
	var n struct {
		Epoch uint32 `json:"epoch"`
	}
	if !ok || json.Unmarshal(payload, &n) != nil || n.Epoch != 2 || a.Authority.ChangedAt != changed {
		t.Errorf("told %s at %s, changed %s", payload, a.Authority.ChangedAt, changed)
	}
	// It has heard of the change, and is told again as long as the seven days hold: a licence in a gap may have brought them later.
	heard := regexp.MustCompile(`"epoch":[0-9]+`).ReplaceAll(m, []byte(`"epoch":2`))
	says(heard, "c-heard")
	if a.Authority.Notice == "" {
		t.Errorf("it is not told again: %+v", a.Authority)
	}
}

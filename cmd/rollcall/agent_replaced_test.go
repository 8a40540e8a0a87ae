//go:build !agentonly

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/agent/host"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// Of two machines with one id the newcomer hears whose place it takes, as long as its enrolment lasts; a machine that left, or was erased, and
// comes again hears nothing (HST-032).
func TestHST032ANewcomerHearsWhosePlaceItTakes(t *testing.T) {
	for name, tt := range map[string]struct {
		kind   protocol.Platform
		invite target.InviteOptions
	}{
		"ipad": {protocol.IPadOS, target.InviteOptions{}}, "windows": {otherKinds["windows"].kind, otherKinds["windows"].invite}, "android": {otherKinds["android"].kind, otherKinds["android"].invite},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newLabMachine(t, serveConfig{})
			enrol := func() *host.Host {
				t.Helper()
				list, err := m.api.InviteFor(t.Context(), []string{m.user}, tt.invite)
				if err != nil {
					t.Fatal(err)
				}
				h := m.open()
				if err := h.Enrol(t.Context(), host.Join{URL: list[0].URL, CA: "sha256:" + m.s.Fingerprint, As: tt.kind}); err != nil {
					t.Fatal(err)
				}
				return h
			}
			unaware := func(h *host.Host, who string) {
				t.Helper()
				if s := m.status(); s.Replaced != 0 || h.Replaces() != "" || s.Authority != protocol.Intune {
					t.Errorf("%s: %+v, %s", who, s, h.Replaces())
				}
			}
			h := enrol()
			unaware(h, "the first")
			h.Close()
			first := m.device()

			m.dir = filepath.Join(t.TempDir(), "copy")
			h = enrol()
			for range 2 {
				s, says := m.status(), h.Replaces()
				if s.Replaced != first.EnrolledAt || s.Authority != protocol.Intune || !strings.Contains(says, "HST-032") || !strings.Contains(says, "--draw-id") || strings.Contains(says, "\n") {
					t.Errorf("the newcomer: %+v, %s; the first is enrolled since %s", s, says, first.EnrolledAt)
				}
				var shown bytes.Buffer
				if printStatus(&shown, &s); !strings.Contains(shown.String(), "in place of\ta machine with this identifier, enrolled at "+statusTime(first.EnrolledAt)) {
					t.Errorf("the status shows %s", &shown)
				}
				if err := h.CheckIn(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.Close()
				h = m.open() // a restart
			}
			replaced := 0
			list, err := host.Journal(m.dir)
			for _, e := range list {
				if e.What == "replaced" && strings.Contains(e.Note, "HST-032") {
					replaced++
				}
			}
			if err != nil || replaced != 1 {
				t.Errorf("the journal says %d times whose place it took: %+v, %v", replaced, list, err)
			}

			if err := h.Unenrol(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.Close()
			h = enrol()
			unaware(h, "who left")
			if _, err := m.api.Order(t.Context(), m.device().ID, target.Order{Kind: target.Wipe}); err != nil {
				t.Fatal(err)
			}
			if err := h.CheckIn(t.Context()); err != nil || m.status().State != "unmanaged" {
				t.Fatalf("erased, it is %s: %v", m.status().State, err)
			}
			h.Close()
			unaware(enrol(), "who was erased")
		})
	}
}

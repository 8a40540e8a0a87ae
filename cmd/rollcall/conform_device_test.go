//go:build !agentonly

package main

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/fleet/conformance"
	"rollcall/fleet/conformance/mischief"
)

// TestConformanceCatchesDevices plants the fault against each statement about devices between a device of ours and the judge,
// and holds that exactly this statement then fails. It prints the table of what passes and what is caught. With
// ROLLCALL_CONFORM=whole every statement is asked beside every fault, and no other may fail.
func TestConformanceCatchesDevices(t *testing.T) {
	t.Parallel()
	ca, err := certs.NewAuthority(certs.P256, "rollcall conform", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	judge := func(id string, only ...string) *conformance.Result {
		t.Helper()
		m, err := mischief.NewHandset(id)
		if err != nil {
			t.Fatalf("%s does not count: %v", id, err)
		}
		o, err := startOwnDevice(t.Context(), ca, link.Config{TransportKeys: []*rsa.PrivateKey{key}})
		if err != nil {
			t.Fatal(err)
		}
		defer o.close()
		o.anyMagic = m.WakesAtAnything
		r, err := conformance.JudgeDevice(t.Context(), conformance.DeviceConfig{
			Hands: o.hands(), Authority: ca, Ready: o.trust, Only: only, Check: time.Hour, Total: time.Hour, Layer: m.BeforeJudge,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	healthy := judge("")
	if err := healthy.Err(); err != nil || len(healthy.Left) > 0 || healthy.Enrolled < 20 {
		t.Errorf("%v; %d devices enrolled, left %v", err, healthy.Enrolled, healthy.Left)
	}
	catchDevices(t, healthy, judge)
}

// TestConformanceCatchesOthers is the same for devices of other platforms.
func TestConformanceCatchesOthers(t *testing.T) {
	t.Parallel()
	ca, err := certs.NewAuthority(certs.P256, "rollcall conform", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for suite := range judgedKinds {
		t.Run(string(suite), func(t *testing.T) {
			judge := func(id string, only ...string) *conformance.Result {
				t.Helper()
				m, err := mischief.NewHandset(id)
				if err != nil {
					t.Fatalf("%s does not count: %v", id, err)
				}
				o, err := startOwnOther(suite)
				if err != nil {
					t.Fatal(err)
				}
				defer o.link.Close()
				o.twice = m.EnrolsTwice
				r, err := conformance.JudgeDevice(t.Context(), conformance.DeviceConfig{
					Suite: suite, Hands: o.hands(), Authority: ca, Ready: o.trust, Only: only, Check: time.Hour, Total: time.Hour, Layer: m.BeforeJudge,
				})
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			healthy := judge("")
			if err := healthy.Err(); err != nil || len(healthy.Left) > 0 {
				t.Errorf("%v; left %v", err, healthy.Left)
			}
			catchDevices(t, healthy, judge)
		})
	}
}

// catchDevices plants the fault against each statement that a device passes.
func catchDevices(t *testing.T, healthy *conformance.Result, judge func(id string, only ...string) *conformance.Result) {
	t.Helper()
	whole := os.Getenv("ROLLCALL_CONFORM") == "whole"
	asked, caught, rows := 0, 0, []string(nil)
	for _, was := range healthy.Findings {
		if was.Outcome == conformance.NotApplicable {
			continue
		}
		asked++
		only := []string{was.ID}
		if whole {
			only = nil
		}
		row, found := "nothing", false
		for _, f := range judge(was.ID, only...).Findings {
			switch {
			case f.ID == was.ID:
				found = f.Outcome == conformance.Fail
				row = fmt.Sprintf("%-16s ours passes: %-5t its fault is caught: %-5t %s: %s", f.ID, was.Outcome == conformance.Pass, found, f.Outcome, f.Reason)
			case f.Outcome != conformance.Pass && f.Outcome != conformance.NotApplicable:
				t.Errorf("the fault against %s is found by %s too: %s: %s", was.ID, f.ID, f.Outcome, f.Reason)
			}
		}
		if rows = append(rows, row); found && was.Outcome == conformance.Pass {
			caught++
		} else {
			t.Errorf("%s does not count: %s", was.ID, row)
		}
	}
	tabulate(t, append(rows, fmt.Sprintf("%d of %d statements of devices pass and catch their fault", caught, asked)))
}

// TestConformPerson: somebody at the terminal is told what to do, and the device shows that it was done.
func TestConformPerson(t *testing.T) {
	ca, err := certs.NewAuthority(certs.P256, "rollcall conform", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	o, err := startOwnDevice(t.Context(), ca, link.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	told, out := io.Pipe()
	in, typed := io.Pipe()
	defer typed.Close()
	did, ended := o.hands(), make(chan struct{})
	go func() { // the person, who never has to press Enter here
		defer close(ended)
		for s := bufio.NewScanner(told); s.Scan(); {
			var err error
			switch line := s.Text(); {
			case strings.HasPrefix(line, "  https://"):
				err = did.Enrol(t.Context(), strings.TrimSpace(line))
			case strings.HasPrefix(line, "> have the device ask"):
				err = did.CheckIn(t.Context())
			case strings.HasPrefix(line, "> remove"):
				err = did.Remove(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		}
	}()
	r, err := conformance.JudgeDevice(t.Context(), conformance.DeviceConfig{
		Hands: newPerson(in, out).hands(), Authority: ca, Ready: o.trust, Only: []string{"APL-002.device", "APL-109"},
		Patience: time.Hour, Settle: 100 * time.Millisecond, Check: time.Hour,
	})
	out.Close()
	<-ended
	if err != nil || r.Err() != nil || r.Enrolled != 2 || len(r.Left) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if f := r.Findings[1]; f.Outcome != conformance.NotApplicable || !strings.Contains(f.Reason, "cannot send the device a push") {
		t.Errorf("APL-109 without a push service: %s: %s", f.Outcome, f.Reason)
	}
}

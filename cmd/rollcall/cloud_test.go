//go:build !agentonly

package main

import (
	"strings"
	"testing"
	"time"

	"rollcall/fleet/cloud/apns"
)

func TestCloudAPNsFlags(t *testing.T) {
	if got, err := apnsRate("5/2s"); err != nil || got != (apns.Rate{Pushes: 5, Per: 2 * time.Second}) {
		t.Errorf("rate 5/2s = %v, %v", got, err)
	}
	if got, err := apnsRate("none"); err != nil || got.Pushes >= 0 {
		t.Errorf("rate none = %v, %v", got, err)
	}
	for _, s := range []string{"", "5", "5/", "/1m", "0/1m", "-1/1m", "5/-1m", "five/1m"} {
		if got, err := apnsRate(s); err == nil {
			t.Errorf("rate %q = %v, want an error", s, got)
		}
	}
	got, err := apnsFaults([]string{"Drop=5%", "GoAway=0.25"})
	if err != nil || got.Share[apns.Drop] != 0.05 || got.Share[apns.GoAway] != 0.25 {
		t.Errorf("faults = %v, %v", got, err)
	}
	for _, s := range []string{"Drop", "Drop=", "Drop=much", "Hang=1%"} {
		if got, err := apnsFaults([]string{s}); err == nil {
			t.Errorf("fault %q = %v, want an error", s, got)
		}
	}
}

func TestCloudAPNsBadInput(t *testing.T) {
	for _, tt := range []struct{ flag, want string }{
		{"--listen=nowhere", "--listen"},
		{"--rate=often", "--rate"},
		{"--fault=Quake=1%", "Quake"},
		{"--fault=Drop=200%", "want 0 to 1"},
		{"--issuers=testdata/none.pem", "--issuers"},
		{"--ca-out=testdata/no/such/folder", "--ca-out"},
	} {
		cmd := cloudCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetErr(new(strings.Builder))
		cmd.SetArgs([]string{"apns", "--listen=127.0.0.1:0", tt.flag})
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("cloud apns %s: %v, want an error with %q", tt.flag, err, tt.want)
		}
	}
}

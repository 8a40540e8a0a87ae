//go:build !agentonly

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/server/push"
)

// Devices of every platform are woken by the server's pushes, each through its own simulated push service, and nobody comes by itself;
// those for which no service runs take no part. What the plan orders for all arrives on all.
func TestFleetPushedOnEveryPlatform(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	ca := file("push.pem")
	apns, roots := pushService(t, ca)
	wns, _ := pushService(t, ca)
	fcm, _ := pushService(t, ca)
	others := []string{"--wns-listen", wns, "--wns", file("wns.json"), "--fcm-listen", fcm, "--fcm", file("fcm.json")}
	for range 2 { // the second time all is there
		if got := call(t.Context(), fleetCommand(), append([]string{"fleet", "push-ca", ca}, others...)...); got.err != nil {
			t.Fatal(got.err)
		}
	}
	s, data := serving(t, func(c *serveConfig) {
		c.Push = push.Config{URL: "https://" + apns, Roots: roots}
		c.WNSPush.Roots, c.FCMPush.Roots, c.FCMPush.URL = roots, roots, "https://"+fcm
		text, err := os.ReadFile(file("wns.json"))
		if err == nil {
			c.WNS, err = push.ReadWNSIdentity(text)
		}
		if err == nil {
			text, err = os.ReadFile(file("fcm.json"))
		}
		if err == nil {
			c.FCM, err = push.ReadServiceAccount(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	name := file("called.yaml")
	text := `population: {devices: 9, mix: {ios: 34, windows: 33, android: 33}}
profiles: [{name: pin, family: configuration}]
timeline:
  - {at: 0s, enrol: {}}
  - {at: 100ms, authority: {set: office365, force: true}}
  - {at: 150ms, profiles: {assign: pin, group: all}}
  - {at: 200ms, apns: {upload: renewed}}
until: 20s
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	common := append([]string{"--target", s.URL, "--data", data, "--apns-ca", ca}, others...)
	paced := runLoad(t, append([]string{"--platform", "ios,windows,android", "--devices", "6", "--seed", "7", "--rate", "10/s", "--for", "1s"}, common...)...)
	if x := &paced.Load; x.WokenBy != "push" || x.Woken.Count == 0 || x.DoneBy[protocol.Windows] == 0 || x.DoneBy[protocol.Android] == 0 || x.NotWoken > 0 {
		t.Errorf("%+v, %+v", paced.CheckIns, x)
	}
	// What was pushed while they enrolled is no arrival; what the server has not sent by then may be, once a device.
	if c := paced.CheckIns; c.Offered < 10 || c.Offered > 10+6 || c.Done != c.Offered {
		t.Errorf("%+v, want the 10 of the plan", c)
	}
	if by := paced.Devices.ByPlatform; len(by) != 2 {
		t.Errorf("platforms %v, want Windows and Android alone", by)
	}
	called := runLoad(t, append([]string{name, "--users", "--apns-listen", apns}, common...)...)
	if c := called.Load.Called; c == nil || c.Devices != 9 || c.Came != 9 || called.Load.WokenBy != "push" || len(called.Devices.ByPlatform) != 3 {
		t.Errorf("%+v, %+v", c, called.Load)
	}
	if l := called.Ledger; l.Profiles != 9+6 || // each the profile, and Apple's and Windows' the news
		l.Faults() != 0 || l.Refused != 0 {
		t.Errorf("%+v, %q", l, called.Reasons)
	}
	elsewhere := append([]string{"fleet", "run", "--target", s.URL, "--data", data, "--rate", "1/s", "--for", "1s", "--apns-ca", ca}, "--platform", "windows", "--wns", file("wns.json"), "--wns-listen", "127.0.0.1:0")
	if got := call(t.Context(), fleetCommand(), elsewhere...); exitCode(got.err) != 1 || !strings.Contains(got.err.Error(), "take that address, or name another file") {
		t.Errorf("an identity for another address: %v", got.err)
	}
}

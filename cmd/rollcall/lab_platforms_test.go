//go:build !agentonly

package main

import (
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// Devices of all five platforms play one story over their own wires: they enrol, are woken by their own push services, get what is
// assigned, renew, are wiped and enrol again; server and devices agree at the end, and no invariant is broken (I1 to I10).
func TestLabFivePlatforms(t *testing.T) {
	p, err := plan.Load("testdata/five.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := playLab(t, t.Context(), p, labFlags{}, nil)
	if d := &r.result.Devices; r.result.Verdict != report.OK || d.Total != 30 || d.Enrolled != 30 || d.NotModelled != 0 {
		t.Errorf("verdict %s: %v; devices %+v", r.result.Verdict, r.result.Reasons, r.result.Devices)
	}
	did, of := map[protocol.Platform]map[string]int{}, map[string]protocol.Platform{}
	for _, platform := range protocol.Platforms {
		did[platform] = map[string]int{}
		if size := r.result.Devices.ByPlatform[platform]; size.Total == 0 || !size.Wire {
			t.Errorf("%s: %+v", platform, size)
		}
	}
	for i := range r.run.Population.Devices {
		d := &r.run.Population.Devices[i]
		of[d.UDID] = d.Platform
		device := r.run.Fleet.Device(i)
		if device.Phase() != agent.Enrolled {
			t.Errorf("%s is %s", d.Name, device.Phase())
		}
		if w, ok := device.(*dialect.Windows); ok {
			if pfn, channel := w.Push(); pfn == "" || channel == "" {
				t.Errorf("%s has no channel: %q %q", d.Name, pfn, channel)
			}
		}
	}
	for _, l := range r.run.Log.Lines() { // the server's lines too call a device as the plan does
		if platform := of[l.Device]; platform != protocol.NoPlatform {
			did[platform][l.What]++
		} else if l.Device != "" {
			t.Errorf("nobody's line: %+v", l)
		}
	}
	for _, platform := range []protocol.Platform{protocol.Android, protocol.Windows} {
		for _, what := range []string{
			string(fleet.Joined), string(fleet.Renewed), string(delivery.WhatRegistered), string(delivery.WhatProfileInstalled), string(delivery.WhatProfileRemoved),
			string(delivery.WhatReported), string(delivery.WhatRenewed),
		} {
			if did[platform][what] == 0 {
				t.Errorf("%s: nothing of %q; %v", platform, what, did[platform])
			}
		}
	}
	woken := map[string]any{}
	for _, f := range r.run.Push {
		woken[f.Name] = f.Value
	}
	if woken["delivered by FCM"] == nil || woken["delivered by WNS"] == nil { // a figure of 0 is left out
		t.Errorf("push %v", woken)
	}
}

// TestAND084Lab: where a lab's server takes in no Android device without attestation, all have it.
func TestAND084Lab(t *testing.T) {
	p, err := plan.Load("testdata/five.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p.Until, p.Population.Devices, p.Population.Mix = plan.Duration(3*time.Hour), 6, plan.ByPlatform{Android: 100}
	p.Timeline = p.Timeline[:1]
	r := playLab(t, t.Context(), p, labFlags{attestation: "require"}, nil)
	enrolled := 0
	for i := range r.run.Population.Devices {
		if d := r.run.Fleet.Device(i); d.Phase() == agent.Enrolled {
			enrolled++
		}
	}
	if enrolled != 6 {
		t.Errorf("%d devices of 6 enrolled", enrolled)
	}
}

// TestAND092Lab: a wake-up that Google takes down to normal priority reaches a device that is in use at once, and one that dozes at the next
// window: doze begins an hour after the enrolment, and the window after the command opens four hours later.
func TestAND092Lab(t *testing.T) {
	p, err := plan.Load("testdata/doze.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := playLab(t, t.Context(), p, labFlags{}, nil)
	ordered := r.run.Start.Add(3*time.Hour + 30*time.Minute)
	took := map[string]time.Duration{}
	for _, l := range r.run.Log.Lines() {
		if l.What == string(delivery.WhatReported) && l.At >= ordered {
			took[l.Device] = l.At.Sub(ordered)
		}
	}
	dozed, inWindow := 0, 0
	for i := range r.run.Population.Devices {
		d := &r.run.Population.Devices[i]
		least, most := time.Duration(0), 15*time.Minute
		if d.Habits&population.Dozes != 0 {
			dozed++
			least, most = 15*time.Minute, 100*time.Minute // before the window opens some come by their schedule
			if took[d.UDID] > 85*time.Minute {
				inWindow++
			}
		}
		if after, ok := took[d.UDID]; !ok || after < least || after > most {
			t.Errorf("%s (dozes: %t) reported after %s (%t), want %s to %s", d.Name, least > 0, after, ok, least, most)
		}
	}
	if dozed == len(r.run.Population.Devices) || inWindow < 2 {
		t.Errorf("%d devices doze, and %d came at the window", dozed, inWindow)
	}
}

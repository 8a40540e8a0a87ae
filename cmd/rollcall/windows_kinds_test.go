//go:build !agentonly

package main

import (
	"strings"
	"testing"

	"rollcall/agent"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/server/delivery"
)

// Windows devices of all kinds enrol in a lab, each by its own way (windows.md section 9): with a link, joined to or registered with the
// directory, by group policy, by Autopilot with and without a user, by a package, and through Configuration Manager, whose client says
// which workloads are Intune's (WIN-068). They come through as a rehearsal has them.
func TestWindowsKindsAgree(t *testing.T) {
	t.Parallel()
	p, err := plan.Load("testdata/kinds.yaml")
	if err != nil {
		t.Fatal(err)
	}
	live := agree(t, p, p.Devices())
	told := map[string]string{}
	for _, line := range live.run.Log.Lines() {
		if line.What == string(delivery.WhatWorkloads) {
			told[line.Device] = line.Detail
		}
	}
	kinds := map[population.Enrolment]int{}
	for i := range live.run.Population.Devices {
		d := &live.run.Population.Devices[i]
		kinds[d.Enrolment]++
		if live.run.Fleet.Device(i).Phase() != agent.Enrolled {
			t.Errorf("%s, by way %d, is %s", d.Name, d.Enrolment, live.run.Fleet.Device(i).Phase())
		}
		if says := told[d.UDID]; d.Has(population.CoManaged) != strings.Contains(says, "compliance") {
			t.Errorf("%s, co-managed %v, is said to have %q", d.Name, d.Has(population.CoManaged), says)
		}
	}
	for _, kind := range []population.Enrolment{
		population.ByUser, population.GroupPolicy, population.Joined, population.Autopilot, population.DirectoryRegistered, population.Bulk, population.SelfDeployed, population.CoManagement,
	} {
		if kinds[kind] == 0 {
			t.Errorf("nobody enrols by way %d: %v", kind, kinds)
		}
	}
}

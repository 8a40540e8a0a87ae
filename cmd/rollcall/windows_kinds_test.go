//go:build !agentonly

package main

import (
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// Windows devices of all kinds enrol in a lab, each by its own way (windows.md section 9): with a link, joined to or registered with the
// directory, by group policy, by Autopilot with and without a user, by a package, and through Configuration Manager, whose client says
// which workloads are Intune's (WIN-068). Who is managed elsewhere stays out (AUTH-47, WIN-027). They come through as a rehearsal has them.
func TestWindowsKindsAgree(t *testing.T) {
	t.Parallel()
	p, err := plan.Load("testdata/kinds.yaml")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := 0
	for _, d := range population.New(p).Devices {
		if d.Has(population.Elsewhere) {
			elsewhere++
		}
	}
	live := agree(t, p, p.Devices()-elsewhere)
	told := workloadsTold(live)
	kinds := map[population.Enrolment]int{}
	for i := range live.run.Population.Devices {
		d := &live.run.Population.Devices[i]
		if enrolled := live.run.Fleet.Device(i).Phase() == agent.Enrolled; enrolled == d.Has(population.Elsewhere) {
			t.Errorf("%s, by way %d, is %s", d.Name, d.Enrolment, live.run.Fleet.Device(i).Phase())
		}
		if d.Has(population.Elsewhere) {
			continue
		}
		kinds[d.Enrolment]++
		if says := told[d.UDID]; d.Has(population.CoManaged) != strings.Contains(says, "compliance") {
			t.Errorf("%s, co-managed %v, is said to have %q", d.Name, d.Has(population.CoManaged), says)
		}
	}
	if elsewhere == 0 {
		t.Error("nobody is managed elsewhere")
	}
	for _, kind := range []population.Enrolment{
		population.ByUser, population.GroupPolicy, population.Joined, population.Autopilot, population.DirectoryRegistered, population.Bulk, population.SelfDeployed, population.Packaged, population.CoManagement,
	} {
		if kinds[kind] == 0 {
			t.Errorf("nobody enrols by way %d: %v", kind, kinds)
		}
	}
}

// workloadsTold is what the server heard of each device's Configuration Manager.
func workloadsTold(live played) map[string]string {
	told := map[string]string{}
	for _, line := range live.run.Log.Lines() {
		if line.What == string(delivery.WhatWorkloads) {
			told[line.Device] = line.Detail
		}
	}
	return told
}

// The Windows devices of an export enrol in a lab by the ways that it names, and those that are co-managed say so (WIN-068), in a tenant
// of two authorities too.
func TestWindowsKindsOfAnExport(t *testing.T) {
	t.Parallel()
	who := populationFlags{export: "../../fleet/population/testdata/coexistence"}
	f := labFlags{clock: "driven", length: 20 * time.Hour}
	p, pop, imported, err := who.load(labCommand(), nil, f.fit)
	if err != nil {
		t.Fatal(err)
	}
	run, result, story, err := f.play(t.Context(), p, pop, imported, nil)
	if err != nil {
		t.Fatal(err)
	}
	told, seen := workloadsTold(played{run, result, story}), map[bool]int{}
	for i := range pop.Devices {
		d := &pop.Devices[i]
		if d.Platform != protocol.Windows {
			continue
		}
		by := fleet.InDirectory(d)
		seen[by]++
		if phase := run.Fleet.Device(i).Phase(); phase != agent.Enrolled {
			t.Errorf("%s, of the directory %v, is %s", d.Name, by, phase)
		}
		if _, says := told[d.UDID]; says != d.Has(population.CoManaged) {
			t.Errorf("%s, co-managed %v, registered with %s: %q", d.Name, d.Has(population.CoManaged), d.Registered, told[d.UDID])
		}
	}
	if len(told) == 0 || seen[true] == 0 {
		t.Errorf("%d said which workloads are Intune's; %d of the directory", len(told), seen[true])
	}
}

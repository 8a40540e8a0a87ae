//go:build !agentonly

package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/server/delivery"
)

// Wire and rehearsal agree: one plan and seed, played live (server, SQLite, push service and devices over real mutual TLS, on a
// clock that is driven from moment to moment) and rehearsed, bring every device through the same history of states, and count the same check-ins. By itself it
// is a small tenant's, and one in which most profiles do not install at first; ROLLCALL_AGREE names others, and how large they are,
// such as "lab=500 support=200 fails=400".
func TestWireAndRehearsalAgree(t *testing.T) {
	t.Parallel()
	plans := os.Getenv("ROLLCALL_AGREE")
	if plans == "" {
		plans = "lab=100 fails=24"
	}
	for _, of := range strings.Fields(plans) {
		name, devices, _ := strings.Cut(of, "=")
		t.Run(of, func(t *testing.T) {
			p, err := plan.BuiltIn(name)
			if name == "fails" {
				p, err = plan.Load("testdata/fails.yaml")
			}
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(devices)
			if err == nil {
				p, err = p.WithDevices(n)
			}
			if err != nil {
				t.Fatal(err)
			}
			agree(t, p, p.Devices())
		})
	}
}

// agree plays p both ways; so many devices have a history.
func agree(t *testing.T, p *plan.Plan, devices int) played {
	live := playLab(t, t.Context(), p, labFlags{together: time.Microsecond}, nil)
	var log rehearsal.Log
	out, err := rehearsal.Play(t.Context(), rehearsal.Config{Plan: p, Population: population.New(p), Lines: log.Add})
	if err != nil {
		t.Fatal(err)
	}
	wire, virtual := histories(live.run.Log, live.run.Population), histories(&log, live.run.Population)
	if diff := cmp.Diff(wire, virtual); diff != "" {
		t.Errorf("histories differ (- live, + rehearsed):\n%s", diff)
	}
	if len(wire) != devices {
		t.Errorf("%d devices have a history, want %d", len(wire), devices)
	}
	// What faults take away depends on how many requests a conversation has, and that is the wire's.
	if c := live.result.CheckIns; len(p.Faults) == 0 && (c.Done != out.CheckIns || c.Refused != out.Refused || c.Failed != out.Failed) {
		t.Errorf("live %d check-ins, %d refused, %d failed; rehearsed %d, %d, %d", c.Done, c.Refused, c.Failed, out.CheckIns, out.Refused, out.Failed)
	}
	seen := map[string]bool{}
	for _, line := range log.Lines() {
		seen[line.What] = true
	}
	for _, what := range mustSee[p.Name] {
		if !seen[string(what)] {
			t.Errorf("nobody saw %q: the story is too small", what)
		}
	}
	return live
}

// mustSee is what a plan is there to show, by its name.
var mustSee = map[string][]delivery.What{
	"lab": {
		delivery.WhatMoved, delivery.WhatReregistered, delivery.WhatBlocked, delivery.WhatProfileInstalled, delivery.WhatProfileRemoved, delivery.WhatRenewed,
		delivery.WhatEnded, delivery.WhatDeferred, delivery.WhatConfigured,
	},
	"fails": {delivery.WhatProfileInstalled, delivery.WhatProfileFailed, delivery.WhatProfileRemoved, delivery.WhatMoved, delivery.WhatReregistered},
}

// histories are those of a log by what the plan calls each device. Of one that polls, what becomes of its enrolment and who manages it is in
// order, and so is what becomes of each of its profiles; the rest is without order, what its server calls it, and
// when its identity ends: a Windows device reports a whole package at once and renews by itself as its window opens, and both need other
// requests than an Apple device does, so that an answer that is lost keeps them from something else. An identity that it has and has not
// used yet does not count: over the wire it asks for one as its window opens (WIN-061), and by rule when it next comes, by which the server
// takes it for renewed (WIN-065).
func histories(log *rehearsal.Log, pop *population.Population) map[string][]string {
	all := log.Histories()
	for _, line := range log.Lines() { // what a history leaves out: how it came to the authority that it is registered with
		switch delivery.What(line.What) {
		case delivery.WhatMoved, delivery.WhatReregistered, delivery.WhatOverwritten, delivery.WhatRedundant, delivery.WhatSupportMove:
			all[line.Device] = append(all[line.Device], string(line.Side)+": "+line.What+" "+string(line.Rule)+" "+line.Detail)
		}
	}
	for i := range pop.Devices {
		d := &pop.Devices[i]
		if d.Platform.Apple() {
			continue
		}
		for n, line := range all[d.UDID] {
			for _, what := range []delivery.What{delivery.WhatEnrolled, delivery.WhatRenewed} {
				if with := "server: " + string(what) + " "; strings.HasPrefix(line, with) {
					all[d.UDID][n] = with
				}
			}
		}
		if len(all[d.UDID]) == 0 {
			continue
		}
		all[d.UDID] = used(all[d.UDID])
		slices.SortStableFunc(all[d.UDID], func(a, b string) int { return strings.Compare(subject(a), subject(b)) })
	}
	return all
}

// used is a history without the newest identity, where the server has not seen it.
func used(history []string) []string {
	unseen, last := 0, -1
	for n, line := range history {
		switch {
		case strings.HasPrefix(line, "device: "+string(fleet.Renewed)):
			unseen, last = unseen+1, n
		case strings.HasPrefix(line, "server: "+string(delivery.WhatRenewed)):
			unseen--
		}
	}
	if unseen != 1 {
		return history
	}
	return slices.Delete(history, last, last+1)
}

// subject is what the lines of a history are in order about: the enrolment, or a profile as one side sees it; else a line is about itself.
func subject(line string) string {
	side, rest, _ := strings.Cut(line, ": ")
	for _, what := range []delivery.What{delivery.WhatEnrolled, delivery.WhatRegistered, delivery.WhatMoved, delivery.WhatReregistered, delivery.WhatEnded} {
		if side == "server" && strings.HasPrefix(rest, string(what)) {
			return ""
		}
	}
	for _, what := range []delivery.What{delivery.WhatProfileInstalled, delivery.WhatProfileRemoved, delivery.WhatOverwritten} {
		if name, ok := strings.CutPrefix(rest, string(what)+" "); ok {
			return side + " profile " + name
		}
	}
	return line
}

//go:build !agentonly

package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/server/delivery"
)

// Wire and rehearsal agree: one plan and seed, played live (server, SQLite, push service and devices over real mutual TLS, on a
// clock that is driven from moment to moment) and rehearsed, bring every device through the same history of states. By itself it
// is a small tenant's; ROLLCALL_AGREE names others, such as "lab=500 support=200".
func TestWireAndRehearsalAgree(t *testing.T) {
	t.Parallel()
	plans := os.Getenv("ROLLCALL_AGREE")
	if plans == "" {
		plans = "lab=100"
	}
	for _, of := range strings.Fields(plans) {
		name, devices, _ := strings.Cut(of, "=")
		t.Run(of, func(t *testing.T) {
			p, err := plan.BuiltIn(name)
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
			agree(t, p)
		})
	}
}

func agree(t *testing.T, p *plan.Plan) {
	live := playLab(t, t.Context(), p, labFlags{together: time.Microsecond}, nil)
	var log rehearsal.Log
	_, err := rehearsal.Play(t.Context(), rehearsal.Config{Plan: p, Population: population.New(p), Lines: log.Add})
	if err != nil {
		t.Fatal(err)
	}
	wire, virtual := live.run.Log.Histories(), log.Histories()
	if diff := cmp.Diff(wire, virtual); diff != "" {
		t.Errorf("histories differ (- live, + rehearsed):\n%s", diff)
	}
	if len(wire) != p.Devices() {
		t.Errorf("%d devices have a history, want all %d", len(wire), p.Devices())
	}
	if p.Name != "lab" {
		return
	}
	seen := map[string]bool{}
	for _, line := range log.Lines() {
		seen[line.What] = true
	}
	for _, what := range []delivery.What{
		delivery.WhatMoved, delivery.WhatReregistered, delivery.WhatBlocked, delivery.WhatProfileInstalled, delivery.WhatProfileRemoved, delivery.WhatRenewed,
		delivery.WhatEnded, delivery.WhatDeferred, delivery.WhatConfigured,
	} {
		if !seen[string(what)] {
			t.Errorf("nobody saw %q: the story is too small", what)
		}
	}
}

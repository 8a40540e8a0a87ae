//go:build !agentonly

package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/protocol/lang"
	"rollcall/server/delivery"
)

// ready plays a ready plan with few devices.
func ready(t *testing.T, name string, devices int, f labFlags, progress func(fleet.Progress)) played {
	t.Helper()
	p, err := plan.BuiltIn(name)
	if err == nil {
		p, err = p.WithDevices(devices)
	}
	if err != nil {
		t.Fatal(err)
	}
	return playLab(t, t.Context(), p, f, progress)
}

// seen counts lines of the log: what, then the rule.
func (p played) seen() map[string]int {
	n := map[string]int{}
	for _, l := range p.run.Log.Lines() {
		n[strings.TrimSpace(l.What+" "+string(l.Rule))]++
	}
	return n
}

// The ready plans hold, and show what they are there for.
func TestReadyPlans(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		plan    string
		devices int
		seen    []string // lines of the log
		shows   func(d *report.Devices) bool
	}{
		{
			"lab", 24,
			[]string{
				"registered AUTH-13", "registered AUTH-19", string(delivery.WhatBlocked) + " AUTH-30", string(delivery.WhatReregistered) + " AUTH-21",
				string(delivery.WhatMoved) + " AUTH-23", string(delivery.WhatProfileRemoved) + " AUTH-23",
			},
			func(d *report.Devices) bool {
				return d.Moved > 0 && d.Reregistered > d.Moved && d.NeedsSupport == 1 && d.Stranded == 1
			},
		},
		{
			"from-intune", 16,
			[]string{
				string(delivery.WhatReregistered) + " AUTH-21", string(delivery.WhatOverwritten) + " AUTH-26", string(delivery.WhatProfileRemoved) + " AUTH-27",
				string(fleet.Outlived),
			},
			func(d *report.Devices) bool { return d.Moved == 0 && d.Reregistered == 14 },
		},
		{
			"wrong-topic", 12,
			[]string{"A push certificate with another topic is uploaded AUTH-32", string(delivery.WhatBlocked) + " AUTH-30", string(fleet.Removed)},
			func(d *report.Devices) bool { return d.Stranded == 0 && d.Moved > 0 },
		},
		{
			"support", 20,
			[]string{
				string(delivery.WhatSupportMove) + " AUTH-18", string(delivery.WhatMoved) + " AUTH-18", string(delivery.WhatMoved) + " AUTH-14",
				string(delivery.WhatEnded), string(fleet.Removed),
			},
			func(d *report.Devices) bool { return d.Stranded == 0 && d.NeedsSupport == 0 && d.Moved > 3 },
		},
	} {
		t.Run(tt.plan, func(t *testing.T) {
			parts, gap := map[int]bool{}, false
			p := ready(t, tt.plan, tt.devices, labFlags{}, func(now fleet.Progress) {
				parts[now.Part] = true
				gap = gap || now.Gap
			})
			if r := p.result; r.Verdict != report.OK || r.Invariants.Violated != 0 {
				t.Errorf("verdict %s: %v; %+v", r.Verdict, r.Reasons, r.Invariants)
			}
			if d := &p.result.Devices; !tt.shows(d) || d.Pending+d.Stale+d.Blocked != 0 {
				t.Errorf("devices: %+v", d)
			}
			seen := p.seen()
			for _, what := range tt.seen {
				if seen[what] == 0 {
					t.Errorf("%q never happened, among %v", what, seen)
				}
			}
			acts := len(p.run.Plan.Acts)
			if len(parts) < acts || !gap || len(p.run.Fleet.Gaps()) != 1 || p.run.Fleet.Gaps()[0].Closed == 0 {
				t.Errorf("progress showed the acts %v of %d, the gap: %t %v", parts, acts, gap, p.run.Fleet.Gaps())
			}
			headings := 0
			for _, a := range p.story.Acts {
				if strings.HasPrefix(a.Title, "Act ") && len(a.Rules) > 0 && a.Text != "" {
					headings++
				}
			}
			if headings != acts {
				t.Errorf("the story explains %d of %d acts", headings, acts)
			}
			if says := strings.Contains(strings.Join(p.story.Lead, " "), "a push certificate with another topic stranded"); says != (tt.plan == "wrong-topic") {
				t.Errorf("the story begins: %q", p.story.Lead)
			}
			left := p.story.Tables[0]
			if left.Title != "Left behind" || left.Total != p.result.Devices.NeedsSupport {
				t.Errorf("%s: %d devices by name, want %d", left.Title, left.Total, p.result.Devices.NeedsSupport)
			}
		})
	}
}

// The ready plans about trouble hold too: what fails for a time costs time, and nobody is left behind.
func TestReadyTroubles(t *testing.T) {
	for _, tt := range []struct {
		plan    string
		devices int
		seen    []string
	}{
		{"brownout", 12, []string{"The push service is down for 5h AUTH-52", "From here on 30% of the pushes are lost for 12h AUTH-20"}},
		{"gap", 14, []string{
			"Somebody uploads the push certificate of the beginning again AUTH-34", "Somebody uploads a push certificate made with another Apple ID AUTH-32",
			string(delivery.WhatBlocked) + " AUTH-30", string(delivery.WhatMoved) + " AUTH-14", string(fleet.NotJoined),
		}},
		{"late-renewal", 12, []string{"Somebody uploads a push certificate that has ended AUTH-34"}},
		{"coexistence-waves", 14, []string{string(delivery.WhatMoved) + " AUTH-23", string(delivery.WhatReregistered) + " AUTH-21"}},
		{"userless", 14, []string{string(delivery.WhatSupportMove) + " AUTH-18", string(delivery.WhatMoved) + " AUTH-18"}},
	} {
		t.Run(tt.plan, func(t *testing.T) {
			p := ready(t, tt.plan, tt.devices, labFlags{}, nil)
			if r := p.result; r.Verdict != report.OK || r.Invariants.Violated != 0 {
				t.Errorf("verdict %s: %v; %+v", r.Verdict, r.Reasons, r.Invariants)
			}
			seen := p.seen()
			for _, what := range tt.seen {
				if seen[what] == 0 {
					t.Errorf("%q never happened, among %v", what, seen)
				}
			}
			if tt.plan == "brownout" {
				muted(t, p)
			}
		})
	}
}

// muted holds that pushes were lost, and that none reached anybody while the push service was down: the hours from 2d on.
func muted(t *testing.T, p played) {
	t.Helper()
	bins, width := p.run.Fleet.Bins()
	down, day := uint32(0), uint32(0)
	for i := range bins {
		switch at := time.Duration(i) * width; {
		case at >= 2*plan.Day && at+width <= 2*plan.Day+5*time.Hour:
			down += bins[i].Wakes
		case at < plan.Day:
			day += bins[i].Wakes
		}
	}
	if c := p.run.Fleet.Counts(); down != 0 || day == 0 || c.Lost == 0 {
		t.Errorf("%d pushes came while the push service was down, %d on the first day; %d were lost", down, day, c.Lost)
	}
}

// What a plan does to the tenant survives a restart of the server in the middle of it: campaign, gap, licences (I3).
func TestActsAcrossARestart(t *testing.T) {
	t.Parallel()
	once, restarted := ready(t, "lab", 12, labFlags{}, nil), ready(t, "lab", 12, labFlags{restart: true}, nil)
	same(t, once, restarted)
}

func TestProgressShowsTheGap(t *testing.T) {
	for _, tt := range []struct {
		color, gap bool
		want       string
	}{{true, true, orange}, {false, true, "the gap is open"}, {true, false, ""}} {
		p := &progress{color: tt.color}
		p.last.Store(&fleet.Progress{Gap: tt.gap, Part: 2, Parts: 5})
		got := p.gap(200)
		if !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") || !tt.color && strings.Contains(got, "\x1b") {
			t.Errorf("gap %t, colour %t: %q", tt.gap, tt.color, got)
		}
		if day := p.day(); day != "act 2 of 5, day 0 00:00 " {
			t.Errorf("%q", day)
		}
	}
}

func TestProgressInDutch(t *testing.T) {
	p := &progress{lang: lang.Dutch}
	p.last.Store(&fleet.Progress{Gap: true, Part: 2, Parts: 5, Devices: 1000, Enrolled: 857, Counts: fleet.Counts{Done: 40_421}, Act: "The server is down for 6h"})
	for got, want := range map[string]string{
		p.day():       "deel 2 van 5, dag 0 00:00 ",
		p.gap(200):    "de onderbreking duurt: ",
		p.counts(300): " 857/1000 ingeschreven · 40421 check-ins · 0 pushmeldingen · De server ligt stil gedurende 6 u",
	} {
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What stands beside and below the bar fits the terminal, and leaves the bar its room.
func TestProgressFits(t *testing.T) {
	p := &progress{}
	p.last.Store(&fleet.Progress{
		Gap: true, Devices: 1000, Enrolled: 857, Act: "The users of 1% of the devices of group sales remove management", Counts: fleet.Counts{Done: 40_421, Wakes: 39_390, Refused: 2_892},
	})
	for _, tt := range []struct {
		width int
		want  string // what is said behind the bar
	}{
		{54, " 857/1000 enrolled · 40421 check-ins · 39390 pushes"},
		{108, " 857/1000 enrolled · 40421 check-ins · 39390 pushes"},
		{112, " 857/1000 enrolled · 40421 check-ins · 39390 pushes · The users of 1%…"},
		{300, " 857/1000 enrolled · 40421 check-ins · 39390 pushes · The users of 1% of the devices of group sales remove management"},
	} {
		if got := p.counts(tt.width); got != tt.want {
			t.Errorf("%d columns: %q, want %q", tt.width, got, tt.want)
		}
		if n := utf8.RuneCountInString(strings.TrimSuffix(p.gap(tt.width), "\n")); n > tt.width || n < 50 {
			t.Errorf("%d columns: the gap's line has %d characters", tt.width, n)
		}
	}
}

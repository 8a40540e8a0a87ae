//go:build !agentonly

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/authority"
)

// printPreview prints a preview as a plan, with the words of the preview of an export, and last what comes of it.
func printPreview(cmd *cobra.Command, p *target.Preview, last string) error {
	out, color := screenOf(cmd.OutOrStdout())
	r := &report.Result{Command: strings.TrimPrefix(cmd.CommandPath(), "rollcall "), Verdict: report.OK}
	story := &report.Story{
		Headline: headlineOf(p), Title: fmt.Sprintf("epoch %d; %s", p.Epoch, p.ID),
		Tables: []report.Table{groupTable(p), profileTable(p), unitTable(p), warningTable(p)},
	}
	if err := report.Brief(out, r, story, color); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%d enrolled: %d move, %d of them held; %d stay, %d leave; %d stranded, %d to enrol again\n%s\n",
		p.Enrolled, p.WouldMove, p.WouldMoveBlocked, p.WouldStay, p.Leaving, p.Stranded, p.MustEnrol, last)
	return err
}

func headlineOf(p *target.Preview) string {
	if p.Before == p.After {
		return fmt.Sprintf("%s: what the next check-ins do", p.After)
	}
	return fmt.Sprintf("from %s to %s", p.Before, p.After)
}

func groupTable(p *target.Preview) report.Table {
	t := report.Table{Title: "What the devices do", Columns: []report.Column{{Name: "devices"}, {Name: "authority"}, {Name: "rule"}, {Name: "what and why"}}}
	for i := range p.Groups {
		g := &p.Groups[i]
		change, text := rehearsal.Tell(groupOf(g))
		if names := firstOf(p, g); names != "" {
			text += ": " + names
		}
		t.Rows = append(t.Rows, []any{g.Devices, change, g.Rule, text})
	}
	return t
}

// namesShown is how many devices of a group are named, and others counted.
const namesShown = 3

// firstOf names the first devices of a group; empty: the change does nothing to them.
func firstOf(p *target.Preview, g *target.Group) string {
	var names []string
	for i := range p.Devices {
		n := &p.Devices[i]
		if n.Fate != g.Fate || n.From != g.From || n.To != g.To || n.Before != g.Before || n.Rule != g.Rule || n.Stranded != g.Stranded || n.Fate == authority.Stays.String() && !n.MustEnrol && n.Settings == 0 {
			continue
		}
		if names = append(names, n.Device); len(names) == namesShown {
			break
		}
	}
	if more := g.Devices - len(names); more > 0 && len(names) > 0 && len(names) == namesShown {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// groupOf is a group as the words know it.
func groupOf(g *target.Group) *authority.Group {
	out := &authority.Group{
		Fate: authority.Stays, From: g.From, To: g.To, Before: g.Before, Rule: g.Rule, Devices: g.Devices, Reachable: g.Reachable, Blocked: g.Blocked,
		Stale: g.Stale, MustEnrol: g.MustEnrol, Unlicensed: g.Unlicensed, Unsure: g.Unsure,
	}
	for f := authority.Goes; f <= authority.Stays; f++ {
		if f.String() == g.Fate {
			out.Fate = f
		}
	}
	for _, r := range authority.Reasons {
		if r.String() == g.Stranded {
			out.Stranded = r
		}
	}
	for _, c := range g.Platforms {
		if int(c.Platform) < len(out.Platforms) {
			out.Platforms[c.Platform] = c.Devices
		}
	}
	return out
}

func profileTable(p *target.Preview) report.Table {
	t := report.Table{Title: "Mail and settings", Columns: []report.Column{{Name: "devices"}, {Name: "family"}, {Name: "rule"}, {Name: "what becomes of them"}}}
	for i := range p.Profiles {
		g := &p.Profiles[i]
		one := authority.ProfileGroup{Fall: authority.Fall{Rule: g.Rule, Until: g.Until}, Family: g.Family, Count: g.Devices}
		for _, e := range authority.Effects {
			if e.String() == g.Effect {
				one.Effect = e
			}
		}
		var family any = g.Family
		if g.Family == protocol.NoFamily {
			family = "others"
		}
		t.Rows = append(t.Rows, []any{g.Devices, family, g.Rule, rehearsal.TellProfiles(&one)})
	}
	return t
}

func unitTable(p *target.Preview) report.Table {
	t := report.Table{Title: "Intune licences", Columns: []report.Column{{Name: "number"}, {Name: "rule"}, {Name: "of"}}}
	if p.Users > 0 {
		t.Rows = append(t.Rows, []any{p.Users, protocol.Rule("AUTH-09"), "users whose devices stay, and who would need a unit"})
	}
	if p.UnitsKnown {
		t.Rows = append(t.Rows, []any{p.UnitsFree, protocol.Rule("AUTH-09"), fmt.Sprintf("units free, of %d owned; %d short", p.Units, p.UnitsShort)})
	}
	return t
}

func warningTable(p *target.Preview) report.Table {
	t := report.Table{Title: "To see to", Columns: []report.Column{{Name: "rule"}, {Name: "what"}}}
	for _, w := range p.Warnings {
		t.Rows = append(t.Rows, []any{w.Rule, w.Message})
	}
	return t
}

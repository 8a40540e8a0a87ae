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
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

// printPreview prints a preview as a plan, with the words of the preview of an export, and last what comes of it.
func printPreview(cmd *cobra.Command, l lang.Language, p *target.Preview, last string) error {
	out, color := screenOf(cmd.OutOrStdout())
	r := &report.Result{Command: strings.TrimPrefix(cmd.CommandPath(), "rollcall "), Verdict: report.OK}
	story := &report.Story{
		Language: l, Headline: headlineOf(l, p), Title: l.Say("epoch %d; %s", p.Epoch, p.ID),
		Tables: []report.Table{groupTable(l, p), profileTable(l, p), unitTable(l, p), warningTable(l, p)},
	}
	if err := report.Brief(out, r, story, color); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s\n%s\n", l.Say("%d enrolled: %d move, %d of them held; %d stay, %d leave; %d stranded, %d to enrol again",
		p.Enrolled, p.WouldMove, p.WouldMoveBlocked, p.WouldStay, p.Leaving, p.Stranded, p.MustEnrol), last)
	return err
}

func headlineOf(l lang.Language, p *target.Preview) string {
	if p.Before == p.After {
		return l.Say("%s: what the next check-ins do", p.After)
	}
	return l.Say("from %s to %s", p.Before, p.After)
}

func groupTable(l lang.Language, p *target.Preview) report.Table {
	t := report.Table{Title: l.Say("What the devices do"), Columns: []report.Column{{Name: l.Say("devices")}, {Name: l.Say("authority")}, {Name: l.Say("rule")}, {Name: l.Say("what and why")}}}
	for i := range p.Groups {
		g := &p.Groups[i]
		change, text := rehearsal.Tell(l, groupOf(g))
		if names := firstOf(l, p, g); names != "" {
			text += ": " + names
		}
		t.Rows = append(t.Rows, []any{g.Devices, change, g.Rule, text})
	}
	return t
}

// namesShown is how many devices of a group are named, and others counted.
const namesShown = 3

// firstOf names the first devices of a group; empty: the change does nothing to them.
func firstOf(l lang.Language, p *target.Preview, g *target.Group) string {
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
		names = append(names, l.Say("and %d more", more))
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

func profileTable(l lang.Language, p *target.Preview) report.Table {
	t := report.Table{Title: l.Say("Mail and settings"), Columns: []report.Column{{Name: l.Say("devices")}, {Name: l.Say("family")}, {Name: l.Say("rule")}, {Name: l.Say("what becomes of them")}}}
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
			family = l.Say("others")
		}
		t.Rows = append(t.Rows, []any{g.Devices, family, g.Rule, rehearsal.TellProfiles(l, &one)})
	}
	return t
}

func unitTable(l lang.Language, p *target.Preview) report.Table {
	t := report.Table{Title: l.Say("Intune licences"), Columns: []report.Column{{Name: l.Say("number")}, {Name: l.Say("rule")}, {Name: l.Say("of")}}}
	if p.Users > 0 {
		t.Rows = append(t.Rows, []any{p.Users, protocol.Rule("AUTH-09"), l.Say("users whose devices stay, and who would need a unit")})
	}
	if p.UnitsKnown {
		t.Rows = append(t.Rows, []any{p.UnitsFree, protocol.Rule("AUTH-09"), l.Say("units free, of %d owned; %d short", p.Units, p.UnitsShort)})
	}
	return t
}

func warningTable(l lang.Language, p *target.Preview) report.Table {
	t := report.Table{Title: l.Say("To see to"), Columns: []report.Column{{Name: l.Say("rule")}, {Name: l.Say("what")}}}
	for _, w := range p.Warnings {
		t.Rows = append(t.Rows, []any{w.Rule, w.Message})
	}
	return t
}

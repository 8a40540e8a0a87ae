package rehearsal

import (
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// doubts are those of a plan, on its own or with the tenant whose devices play it (HST-123).
func doubts(p *plan.Plan, pop *population.Population) []plan.Doubt {
	if pop.Tenant.AsOf == 0 {
		return p.Doubts(nil)
	}
	return p.Doubts(pop.Tenancy())
}

// exportTables are what an export leaves open: records that can be read in two ways, contradictions, and what it cannot say. They are
// empty where the population was made from a plan.
func exportTables(l lang.Language, names *population.Population) []report.Table {
	doubts := report.Table{
		Title: l.Say("Doubts about the export"), Caption: l.Say("Records that can be read in two ways, and what the other reading would change."),
		Columns: []report.Column{{Name: l.Say("Device"), Whole: true}, {Name: l.Say("Read as, and the other reading")}}, Total: len(names.Doubts),
	}
	for i := range names.Doubts[:min(rows, len(names.Doubts))] {
		d := &names.Doubts[i]
		doubts.Rows = append(doubts.Rows, []any{d.Name, l.Say("%s. Otherwise: %s", d.Text.In(l), d.Other.In(l))})
	}
	first := report.Table{
		Title: l.Say("To see to first"), Caption: l.Say("Contradictions and warnings in the export."),
		Columns: []report.Column{{Name: l.Say("Devices")}, {Name: l.Say("Rule")}, {Name: l.Say("What")}},
	}
	for _, f := range names.Findings {
		first.Rows = append(first.Rows, []any{f.Devices, f.Rule, f.Text.In(l)})
	}
	assumed := report.Table{
		Title: l.Say("What the export cannot say"), Columns: []report.Column{{Name: l.Say("Devices")}, {Name: l.Say("What")}, {Name: l.Say("Assumed")}},
	}
	for _, x := range names.Assumed {
		assumed.Rows = append(assumed.Rows, []any{x.Devices, l.Say(x.What), x.Assumed.In(l)})
	}
	return []report.Table{doubts, first, assumed}
}

// exportSection is the same for programs.
func exportSection(pop *population.Population) map[string]any {
	doubts, findings, assumed := []any{}, []any{}, []any{}
	for i := range pop.Doubts {
		d := &pop.Doubts[i]
		doubts = append(doubts, map[string]any{"kind": d.Kind, "device": d.Name, "text": d.Text.String(), "other": d.Other.String()})
	}
	for _, f := range pop.Findings {
		findings = append(findings, map[string]any{"rule": f.Rule, "text": f.Text.String(), "devices": f.Devices})
	}
	for _, x := range pop.Assumed {
		assumed = append(assumed, map[string]any{"what": x.What, "assumed": x.Assumed.String(), "devices": x.Devices})
	}
	return map[string]any{"doubts": doubts, "findings": findings, "assumed": assumed}
}

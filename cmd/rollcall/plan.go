//go:build !agentonly

package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

func planCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "plan", Short: "List ready plans, check plan files, make them from exports, and describe them to editors"}
	cmd.AddCommand(planListCommand(), planCheckCommand(), planImportCommand(), planWavesCommand(), planSchemaCommand())
	return cmd
}

// A listedPlan is one line of plan list.
type listedPlan struct {
	Name    string        `json:"name"`
	Teaches plan.Sentence `json:"teaches"`
	Devices int           `json:"devices"`
	Until   string        `json:"until"`
	Live    bool          `json:"live"` // its arrival is for a live load
}

func planListCommand() *cobra.Command {
	var l lang.Language
	cmd := &cobra.Command{
		Use: "list", Short: "List the ready plans and what each teaches", Args: noArgs,
		Long: `List the ready plans: what each teaches, its devices and its length. lab, rehearse and fleet run take them by name, with
--devices and --seed.`,
		Example: "  rollcall plan list\n  rollcall lab gap --devices 100",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []listedPlan
			for _, name := range plan.BuiltIns() {
				p, err := plan.BuiltIn(name)
				if err != nil {
					return err
				}
				list = append(list, listedPlan{p.Name, p.Teaches, p.Devices(), p.Until.String(), p.Arrival != nil})
			}
			summary := map[string]any{"version": 1, "command": "plan list", "verdict": "ok", "plans": list}
			return show(cmd, summary, func(w io.Writer) {
				for _, p := range list {
					fmt.Fprintf(w, "%-18s %15s  %5s\n", p.Name, l.Say("%d {device|devices}", p.Devices), p.Until)
					for _, line := range wrapped(l.Say(lang.Key(p.Teaches)), 96) {
						fmt.Fprintln(w, "  "+line)
					}
				}
			})
		},
	}
	cmd.Flags().Var(&l, "lang", "`LANGUAGE` of what is told: en or nl")
	return cmd
}

// wrapped breaks a text into lines of at most so many letters, between words.
func wrapped(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

func planCheckCommand() *cobra.Command {
	var l lang.Language
	who := populationFlags{each: rehearsedDevice}
	cmd := &cobra.Command{
		Use: "check PLAN", Short: "Say what is wrong with a plan, all of it at once", Args: cobra.ExactArgs(1),
		Long: `Read a plan (a file, or the name of a ready plan) and say everything that is wrong with it: file, line, column, what
was expected and the nearest valid word; with a population made as the plan says, whether the licences that it gives are
owned. What can be played and may not be meant, such as devices that no action enrols, is told as a doubt.

With --export it is held against a tenant's own export too, whose devices are to play it: what contradicts that is refused as well, and
a plan that says nothing of devices or tenant takes them from there. Exit code 0 when it can be played, 1 when not.`,
		Example: "  rollcall plan check move.yaml\n  rollcall plan check move.yaml --export ./my-tenant",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, pop, imported, err := who.load(cmd, args, func(p *plan.Plan) (*plan.Plan, error) { return p, nil })
			if err != nil {
				return err
			}
			var there *plan.Tenancy
			if imported {
				there = pop.Tenancy()
			}
			doubts := p.Doubts(there)
			summary := map[string]any{"version": 1, "command": "plan check", "verdict": "ok", "name": p.Name, "teaches": p.Teaches, "devices": len(pop.Devices), "until": p.Until.String(), "seed": p.Seed, "doubts": doubtsOf(doubts)}
			return show(cmd, summary, func(w io.Writer) {
				fmt.Fprintln(w, l.Say("%s can be played: %d {device|devices}, %d {moment|moments}, %s long", p.Name, len(pop.Devices), len(p.Timeline)+len(p.Faults), p.Until.String()))
				for i := range doubts {
					fmt.Fprintln(w, "  "+l.Say("doubt: %s", doubts[i].In(l)))
				}
			})
		},
	}
	cmd.Flags().Var(&l, "lang", "`LANGUAGE` of what is told: en or nl")
	cmd.Flags().StringVar(&who.export, "export", "", "a tenant's own devices that are to play it: `FOLDER` or FILE.csv")
	who.registerReading(cmd)
	return cmd
}

// A toldDoubt is one doubt of a plan for programs.
type toldDoubt struct {
	Line  int           `json:"line"`
	Field string        `json:"field"`
	Rule  protocol.Rule `json:"rule"`
	Text  string        `json:"text"`
	Other string        `json:"other"`
}

func doubtsOf(doubts []plan.Doubt) []toldDoubt {
	all := []toldDoubt{}
	for _, d := range doubts {
		all = append(all, toldDoubt{d.Line, d.Field, d.Rule, d.Text.String(), d.Other.String()})
	}
	return all
}

func planSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of plan files", Args: noArgs,
		Example: "  rollcall plan schema > plan.schema.json\n  # yaml-language-server: $schema=plan.schema.json   (first line of a plan)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := plan.Schema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(append(schema, '\n'))
			return err
		},
	}
}

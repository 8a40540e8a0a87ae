//go:build !agentonly

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
)

func planCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "plan", Short: "Check plan files, and describe them to editors"}
	cmd.AddCommand(planCheckCommand(), planSchemaCommand())
	return cmd
}

func planCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check PLAN", Short: "Say what is wrong with a plan, all of it at once", Args: cobra.ExactArgs(1),
		Long: `Read a plan (a file, or the name of a ready plan) and say everything that is wrong with it: file, line, column, what
was expected and the nearest valid word. Exit code 0 when it can be played, 1 when not.`,
		Example: "  rollcall plan check move.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			summary := map[string]any{"version": 1, "command": "plan check", "verdict": "ok", "name": p.Name, "devices": p.Devices(), "until": p.Until.String(), "seed": p.Seed}
			return show(cmd, summary, func(w io.Writer) {
				fmt.Fprintf(w, "%s can be played: %d devices, %d moments, %s long\n", p.Name, p.Devices(), len(p.Timeline)+len(p.Faults), p.Until)
			})
		},
	}
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

package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"rollcall/agent/host"
)

func agentDoctorCommand(a *agentFlags) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Find what is wrong with the agent, and say what to do", Args: noArgs,
		Long: `Find what is wrong with the agent, and say what to do: its state folder and who has it, whether it can be woken, the enrolment, the
server's name, port and certificate, both clocks, this machine's certificate, whether the server knows it, and the newest check-in.
Nothing is changed, and the agent may run meanwhile. A check that an earlier fault makes impossible is left out. The exit code is 2
when something is wrong.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := host.Examine(cmd.Context(), a.state, host.Config{})
			wrong := ailing(0)
			for _, f := range list {
				if !f.OK {
					wrong++
				}
			}
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if err := printFindings(cmd, list, wrong == 0); err != nil || wrong == 0 {
				return err
			}
			return wrong
		},
	}
}

func printFindings(cmd *cobra.Command, list []host.Finding, ok bool) error {
	if asJSON(cmd) {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
			OK       bool           `json:"ok"`
			Findings []host.Finding `json:"findings"`
		}{ok, list})
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, f := range list {
		word := "ok"
		if !f.OK {
			word = "BAD"
		}
		line(w, word, f.Check, f.Says)
		if f.Do != "" {
			line(w, "", "", "-> "+f.Do)
		}
	}
	return w.Flush()
}

// An ailing is how many things are wrong with the agent.
type ailing int

func (n ailing) Error() string {
	if n == 1 {
		return "one thing is wrong with the agent"
	}
	return fmt.Sprintf("%d things are wrong with the agent", int(n))
}

func (ailing) Verdict() string { return "failed" }

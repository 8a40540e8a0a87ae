//go:build !agentonly

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/logs"
)

// ruleForm is how rules are called.
var ruleForm = regexp.MustCompile(`^[A-Z]+-?[0-9]+(\.[A-Z]+)?$`)

func auditCommand() *cobra.Command {
	var f target.LineFilter
	var rule, since string
	var follow bool
	cmd, c := clientCommand(&cobra.Command{
		Use: "audit", Short: "Show what happened, to which device, by which rule, and who did it", Args: noArgs,
		Long: `Show the server's journal: what happened, to which device, by which rule, and who did it.

With --json each line of it is one JSON object on a line of its own, with --follow as soon as it is written.`,
		Example: `  rollcall audit --since 24h
  rollcall audit --device 00008101-000A1B2C3D4E001E
  rollcall audit --rule AUTH-23 --follow --json`,
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if rule = strings.ToUpper(rule); rule != "" && !ruleForm.MatchString(rule) {
			return fmt.Errorf("--rule %q: want a rule such as AUTH-23", rule)
		}
		f.Rule = protocol.Rule(rule)
		t, err := c.target()
		if err != nil {
			return err
		}
		if since != "" {
			if f.Since, err = sinceWhen(cmd, t, since); err != nil {
				return err
			}
		}
		lines := t.Journal(cmd.Context(), f)
		if follow {
			lines = t.Follow(cmd.Context(), f)
		}
		print := auditPrinter(cmd, follow)
		for line, err := range lines {
			if err != nil && cmd.Context().Err() != nil && follow {
				return nil // a signal ends it
			}
			if err == nil {
				err = print(&line)
			}
			if err != nil {
				return named(err, "device", f.Device) // nothing else of a filter can be missing
			}
		}
		return print(nil)
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Device, "device", "", "only lines about the device with this ID")
	flags.StringVar(&f.Actor, "actor", "", "only what this actor did: token:NAME, device, push service or system")
	flags.StringVar(&rule, "rule", "", "only by this rule, as in AUTH-23")
	flags.StringVar(&f.What, "what", "", `only lines that say this, as in "moved"`)
	flags.StringVar(&since, "since", "", "only from this time on (RFC 3339), or for so long (as in 24h or 7d)")
	flags.BoolVar(&follow, "follow", false, "go on with each line as it comes, until a signal")
	cmd.AddCommand(auditVerifyCommand(c))
	return cmd
}

// sinceWhen reads a time, or how long ago it was by the server's clock, which may be a driven one.
func sinceWhen(cmd *cobra.Command, t *target.Rollcall, s string) (at protocol.Time, err error) {
	ago, err := plan.ParseDuration(s)
	if err != nil {
		if err := at.UnmarshalText([]byte(s)); err != nil {
			return 0, fmt.Errorf("--since %q: want a time as in 2026-03-02T09:00:00Z, or a duration as in 24h or 7d", s)
		}
		return at, nil
	}
	clock, err := t.Clock(cmd.Context())
	if err != nil {
		return 0, err
	}
	return max(clock.Now.Add(-ago), 1), nil
}

// auditPrinter returns what prints one line, and the rest at nil.
func auditPrinter(cmd *cobra.Command, follow bool) func(*target.Line) error {
	out := cmd.OutOrStdout()
	if asJSON(cmd) {
		e := json.NewEncoder(out)
		return func(l *target.Line) error {
			if l == nil {
				return nil
			}
			return e.Encode(l)
		}
	}
	// Whoever follows gets columns of a fixed width: the widest cell is still to come.
	if follow {
		return func(l *target.Line) error {
			if l == nil {
				return nil
			}
			_, err := fmt.Fprintf(out, "%6d  %s  %-8s  %-14s  %-25s  %s  %s\n",
				l.Seq, when(l.At), dash(string(l.Rule)), dash(l.Actor), dash(l.Device), logs.Escape(l.What), logs.Escape(l.Detail))
			return err
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row(w, "LINE", "TIME", "RULE", "BY", "DEVICE", "WHAT", "DETAIL")
	return func(l *target.Line) error {
		if l == nil {
			return w.Flush()
		}
		row(w, fmt.Sprint(l.Seq), when(l.At), string(l.Rule), l.Actor, l.Device, l.What, l.Detail)
		return nil
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return logs.Escape(s)
}

func auditVerifyCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Check that no line of the journal was changed, removed or slipped in", Args: noArgs,
		Long: `Check that no line of the journal was changed, removed or slipped in since it was written (HST-074).

Each line carries a hash over itself and the line before, and the end is signed by the server. The first line that is not
as it was written is named, and the exit code is 2. Whoever can read the server's secrets can sign as well.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			check, err := t.VerifyJournal(cmd.Context())
			if err != nil {
				return err
			}
			if !check.Sound {
				return &protocol.Refusal{Rule: check.Rule, Reason: fmt.Sprintf("the journal is broken: line %d %s", check.Line, check.Reason)}
			}
			return show(cmd, check, func(w io.Writer) {
				fmt.Fprintf(w, "%d lines, all as they were written; the newest has hash %s\n", check.Lines, check.Hash)
			})
		},
	}
}

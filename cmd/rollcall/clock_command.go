//go:build !agentonly

package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
)

func clockCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{
		Use: "clock", Short: "Show the server's clock, confirm it after it was set, or step a driven one",
		Long: `Show the server's clock, or confirm it. When a running server's clock is set by more than five minutes, no record or profile is
removed for its age until an administrator confirms the time or sets it back; a restart does not end that. The same holds where a
server starts on a clock that is before the newest line of its journal (HST-110).`,
	})
	read := func(use, short string, get func(cmd *cobra.Command, t *target.Rollcall) (target.Clock, error)) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: noArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				t, err := c.target()
				if err != nil {
					return err
				}
				clock, err := get(cmd, t)
				if err != nil {
					return err
				}
				return show(cmd, clock, func(w io.Writer) { printClock(w, &clock) })
			},
		}
	}
	step := &cobra.Command{
		Use: "step TIME", Short: "Step a driven clock ahead, such as 8h or 30d, and do what is due by then", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ahead lengthOfTime
			if err := ahead.Set(args[0]); err != nil {
				return err
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			clock, err := t.Clock(cmd.Context())
			if err == nil {
				clock, err = t.Step(cmd.Context(), clock.Now.Add(time.Duration(ahead)))
			}
			if err != nil {
				return err
			}
			return show(cmd, clock, func(w io.Writer) { printClock(w, &clock) })
		},
	}
	cmd.AddCommand(
		step,
		read("show", "Show the server's time, and whether it is trusted", func(cmd *cobra.Command, t *target.Rollcall) (target.Clock, error) { return t.Clock(cmd.Context()) }),
		read("confirm", "Say that the clock is right after it was set", func(cmd *cobra.Command, t *target.Rollcall) (target.Clock, error) {
			return t.ConfirmClock(cmd.Context())
		}),
	)
	return cmd
}

func printClock(w io.Writer, c *target.Clock) {
	row(w, "time", when(c.Now)+" UTC")
	kind := "this machine's"
	if c.Driven {
		kind = "driven: it stands still until it is stepped"
	}
	row(w, "clock", kind)
	row(w, "next at work", when(c.Next))
	if c.Doubt {
		row(w, "warning", "HST-110: the clock was set; nothing goes by time until rollcall clock confirm, or until it is set back")
	}
}

package main

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent/host"
	"rollcall/agent/host/apply"
)

func agentSetCommand(a *agentFlags) *cobra.Command {
	var poll time.Duration
	var courier, root, onProfile string
	var allow, names []string
	cmd := &cobra.Command{
		Use: "set", Short: "Change how an enrolled machine is managed, whether its agent runs or not", Args: noArgs,
		Long: `Change how an enrolled machine is managed, whether its agent runs or not: what is given is changed, all else stays as it was. What
the profiles of a family have changed in the system is undone when the family is no longer named.`,
		Example: `  rollcall agent set --courier push.example.org:5223
  rollcall agent set --allow lock= --apply wifi,vpn`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var c host.Change
			var err error
			given := cmd.Flags().Changed
			if given("poll") {
				c.Poll = &poll
			}
			if given("courier") {
				c.Courier = &courier
			}
			if c.Allow, err = allowed(allow, true); err != nil {
				return err
			}
			if given("apply") || given("root") || given("on-profile") {
				if given("root") && root != "" {
					if root, err = filepath.Abs(root); err != nil {
						return err
					}
				}
				now, err := host.Read(a.state, time.Now(), host.Facts{})
				if err != nil {
					return err
				}
				c.Apply = &apply.Config{Root: now.Root, Families: now.Applied, OnProfile: now.OnProfile}
				if given("apply") {
					if c.Apply.Families, err = families(names); err != nil {
						return err
					}
				}
				if given("root") {
					c.Apply.Root = root
				}
				if given("on-profile") {
					c.Apply.OnProfile = onProfile
				}
			}
			if c.Poll == nil && c.Courier == nil && c.Apply == nil && len(c.Allow) == 0 {
				return errors.New("nothing is to be changed: see rollcall agent set --help")
			}
			h, err := a.open(cmd, host.Config{})
			switch {
			case errors.Is(err, host.ErrRuns):
				err = host.Set(cmd.Context(), a.state, c)
			case err == nil:
				err = errors.Join(h.Change(c), h.Close())
			}
			if err != nil {
				return unmanaged(err)
			}
			return a.tell(cmd, false, "changed")
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&poll, "poll", host.DefaultPoll, "time between two check-ins that nothing else causes")
	flags.StringVar(&courier, "courier", "", "`HOST:PORT` where wake-ups come from, or none; empty: as the server says")
	flags.StringArrayVar(&allow, "allow", nil, "`ACT=COMMAND`: the command that does lock, restart, shutdown or erase from now on; empty: none")
	flags.StringSliceVar(&names, "apply", nil, "`FAMILIES` whose profiles become files of the system from now on; empty: none")
	flags.StringVar(&root, "root", "", "`FOLDER` that stands for the system's root in --apply; empty: /")
	flags.StringVar(&onProfile, "on-profile", "", "`COMMAND` that hears of profiles; empty: none")
	return cmd
}

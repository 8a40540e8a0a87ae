//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/authority"
)

func profilesCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{Use: "profiles", Short: "Give profiles to groups of users"})
	cmd.AddCommand(profilesApplyCommand(c), profilesListCommand(c), profilesRemoveCommand(c))
	return cmd
}

func profilesApplyCommand(c *client) *cobra.Command {
	var change target.ProfileChange
	var of string
	var preview bool
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Make FILE the newest version of a profile and assign it", Args: cobra.ExactArgs(1),
		Long: `Make FILE the newest version of a profile and assign it to groups of users. --preview prints which devices get it, which have it
replaced, and which old profile of its family it does not overwrite because the names differ (AUTH-26), and changes nothing.`,
		Example: `  rollcall profiles apply mail.mobileconfig --to sales --preview
  rollcall profiles apply mail.mobileconfig --to sales --authority intune`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if change.Document, err = readInput(args[0]); err != nil {
				return err
			}
			if change.Name == "" {
				change.Name = strings.TrimSuffix(filepath.Base(args[0]), ".mobileconfig")
			}
			if change.Authority, err = authorityNamed(of); err != nil {
				return err
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			if preview {
				p, err := t.PreviewProfile(cmd.Context(), change)
				return tellProfile(cmd, &p, args[0], err)
			}
			p, err := t.PutProfile(cmd.Context(), change)
			if err != nil {
				return tellProfile(cmd, nil, args[0], err)
			}
			return show(cmd, map[string]any{"profile": change.Name, "groups": change.Groups, "preview": &p}, func(w io.Writer) {
				text := "applied"
				if len(change.Groups) > 0 {
					text += ", assigned to " + strings.Join(change.Groups, ", ")
				}
				printDone(w, change.Name+": "+text, &p)
			})
		},
	}
	cmd.Flags().StringVar(&change.Name, "name", "", "name of the profile (default: that of the file)")
	cmd.Flags().StringVar(&of, "authority", "", "whose profile it is, before a change of authority too: intune, sccm or office365 (default: the tenant's)")
	cmd.Flags().StringSliceVar(&change.Groups, "to", nil, "groups of users that get it, besides those that have it")
	profilePreviewFlags(cmd, &preview, &change.Confirm)
	return cmd
}

func profilePreviewFlags(cmd *cobra.Command, preview *bool, confirm *string) {
	cmd.Flags().BoolVar(preview, "preview", false, "print what it would do, and change nothing")
	cmd.Flags().StringVar(confirm, "confirm", "", "`ID` of a preview: do exactly that, or nothing (HST-070)")
}

// tellProfile prints what a change of a profile would do, or where it is refused for want of a confirmation.
func tellProfile(cmd *cobra.Command, p *target.Preview, what string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return tell(cmd, p, err, "nothing was changed", func(id string) string { return "the same command with --confirm " + id })
}

// printDone says in one line what was done to a profile and what the devices do then, and what to see to. A device does as much as it has
// profiles, and also what it had to do before.
func printDone(w io.Writer, what string, p *target.Preview) {
	var effects []string
	times := map[string]int{}
	for i := range p.Profiles {
		g := &p.Profiles[i]
		if g.Effect == authority.Keeps.String() {
			continue
		}
		if times[g.Effect] == 0 {
			effects = append(effects, g.Effect)
		}
		times[g.Effect] += g.Devices
	}
	for i, effect := range effects {
		effects[i] = fmt.Sprintf("%s %d times", effect, times[effect])
		if times[effect] == 1 {
			effects[i] = effect + " once"
		}
	}
	if len(effects) == 0 {
		fmt.Fprintf(w, "%s; on the enrolled devices (%d) nothing changes\n", what, p.Enrolled)
	} else {
		fmt.Fprintf(w, "%s; profiles at the next check-ins of the enrolled devices (%d), with what waited before: %s\n", what, p.Enrolled, strings.Join(effects, ", "))
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(w, "%s: %s\n", warning.Rule, warning.Message)
	}
}

// authorityNamed reads a flag; empty: Unknown, the tenant's.
func authorityNamed(s string) (a protocol.Authority, err error) {
	if s != "" {
		if err := a.UnmarshalText([]byte(s)); err != nil {
			return a, fmt.Errorf("--authority: %w", err)
		}
	}
	return a, nil
}

func profilesListCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List profiles and who has them", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			list, err := t.Profiles(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, map[string][]target.Profile{"profiles": list}, func(w io.Writer) {
				row(w, "NAME", "VERSION", "AUTHORITY", "FAMILY", "IDENTIFIER", "BYTES", "GROUPS")
				for _, p := range list {
					row(w, p.Name, strconv.Itoa(int(p.Number)), p.Authority.String(), p.Family.String(), p.Identifier, strconv.Itoa(p.Size), strings.Join(p.Groups, ", "))
				}
			})
		},
	}
}

func profilesRemoveCommand(c *client) *cobra.Command {
	var x target.ProfileRemoval
	var of string
	var preview bool
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Take a profile from everybody, or from some groups", Args: cobra.ExactArgs(1),
		Long: `Take a profile from everybody, and forget it, or from some groups. The devices of the users drop it at their next check-in
(AUTH-55). --preview prints which devices lose it, and changes nothing.`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			x.Name = args[0]
			t, err := c.target()
			if err != nil {
				return err
			}
			if x.Authority, err = authorityNamed(of); err != nil {
				return err
			}
			var p target.Preview
			if preview {
				p, err = t.PreviewRemoval(cmd.Context(), x)
			} else {
				p, err = t.TakeProfile(cmd.Context(), x)
			}
			if no, ok := errors.AsType[*target.Error](err); ok && no.Status == http.StatusNotFound {
				if len(x.Groups) == 0 {
					return ofAnother(cmd.Context(), t, err, x.Name, x.Authority)
				}
				return fmt.Errorf("group %s: %w", strings.Join(x.Groups, ", "), named(err, "profile assigned to it that is called", x.Name))
			}
			if preview || err != nil {
				return tellProfile(cmd, &p, x.Name, err)
			}
			return show(cmd, map[string]any{"profile": x.Name, "groups": x.Groups, "preview": &p}, func(w io.Writer) { printDone(w, x.Name+": removed", &p) })
		},
	}
	cmd.Flags().StringVar(&of, "authority", "", "whose profile: intune, sccm or office365 (default: the tenant's)")
	cmd.Flags().StringSliceVar(&x.Groups, "from", nil, "only from these groups")
	profilePreviewFlags(cmd, &preview, &x.Confirm)
	return cmd
}

// ofAnother is named of a profile, with the other authority that has one of this name, if one does.
func ofAnother(ctx context.Context, t *target.Rollcall, err error, name string, whose protocol.Authority) error {
	list, _ := t.Profiles(ctx) // without one the plain answer is true as well
	for _, p := range list {
		if p.Name == name && p.Authority != whose {
			return missing(err, "there is no such profile %q, but %s has one: --authority %s", name, p.Authority, p.Authority)
		}
	}
	return named(err, "profile", name)
}

//go:build !agentonly

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

func authorityCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{Use: "authority", Short: "Show, change and verify who manages the tenant's devices"})
	cmd.AddCommand(
		authorityShowCommand(c), authoritySetCommand(c), authorityVerifyCommand(c), authorityReadinessCommand(c), authorityCheckCommand(c), authoritySettingsCommand(c),
	)
	return cmd
}

func authorityShowCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the authority, the gap in its push certificates, and who is still to come", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			s, err := t.Authority(cmd.Context())
			if err != nil {
				return err
			}
			set, err := t.Settings(cmd.Context())
			if err != nil {
				return err
			}
			shown := struct {
				target.State
				Settings target.Settings `json:"settings"`
			}{s, set}
			return show(cmd, shown, func(w io.Writer) {
				printState(w, &s)
				printTimes(w, &set)
			})
		},
	}
}

func printState(w io.Writer, s *target.State) {
	row(w, "authority", s.Name)
	if s.Name == protocol.Unknown.String() {
		row(w, "warning", "AUTH-01: no device enrols until an authority is set")
		return
	}
	row(w, "epoch", fmt.Sprintf("%d, since %s", s.Epoch, when(s.ChangedAt)))
	if s.OldEnd != 0 {
		row(w, "old profiles", "AUTH-27: those of the authority before leave by "+when(s.OldEnd))
	}
	row(w, "still to come", fmt.Sprintf("%s pending, %d stale", number(s.Pending, "device", "devices"), s.Stale))
	if s.Stranded > 0 {
		row(w, "stranded", fmt.Sprintf("AUTH-32: %s to enrol again, with another topic than the push certificate has; rollcall authority verify lists them", number(s.Stranded, "device has", "devices have")))
	}
	g := &s.Gap
	switch {
	case g.Open:
		row(w, "push gap", fmt.Sprintf("AUTH-30: open since %s: %s held, %d of them pending or stale; upload a renewed certificate for %s", when(g.Since), number(g.Held, "device", "devices"), g.Blocked, g.Slot))
	case g.Ended:
		row(w, "push gap", fmt.Sprintf("AUTH-33: the certificate of %s has ended or is refused: %s held; renew it", g.Slot, number(g.Held, "device", "devices")))
	default:
		row(w, "push gap", "none")
	}
	if (g.Open || g.Ended) && g.Topic != "" {
		row(w, "renew", "topic "+g.Topic+", Apple ID "+dash(g.AppleID))
	}
}

func authoritySetCommand(c *client) *cobra.Command {
	var change target.Change
	cmd := &cobra.Command{
		Use: "set intune|sccm|office365|coexistence|none", Short: "Change the authority", Args: cobra.ExactArgs(1),
		Long: `Change the tenant's authority. What it does is printed as a plan: one line for each group of devices that a rule treats
alike, and one that sums up. Devices move later, each at its own completed check-in.

A change that adds Intune, makes Apple devices wait for a renewed push certificate, strands devices or leaves some without profiles
is at first only shown, with an id (AUTH-35); --confirm with that id makes exactly that change. If it strands devices, give their
number by --count (HST-071). If anything has changed since it was shown, it is refused and the difference named (HST-070). rollcall
preview shows any change without making it.

Choosing none leaves an authority that was never set unknown (AUTH-02); one that was set never becomes unknown again (AUTH-03).`,
		Example: `  rollcall authority set coexistence
  rollcall authority set coexistence --confirm coexistence-1-9-23-1-5d41402abc4b2a76b9719d91`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkAuthority("authority", args[0]); err != nil {
				return err
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			change.Authority = args[0]
			p, err := t.SetAuthority(cmd.Context(), change)
			if no, ok := errors.AsType[*target.Error](err); ok && no.Preview != nil {
				p = *no.Preview
			}
			done := fmt.Sprintf("the authority is %s now, in epoch %d", p.After, p.Epoch)
			switch {
			case p.After == p.Before && p.After != protocol.Unknown.String():
				done = fmt.Sprintf("nothing was changed: the authority is %s already, in epoch %d", p.After, p.Epoch)
			case p.After == protocol.Unknown.String():
				done = "the authority stays unknown: no device enrols until one is set (AUTH-01, AUTH-02)"
			}
			return tell(cmd, &p, err, done, func(id string) string {
				again := "rollcall authority set " + args[0]
				if change.Force {
					again += " --force"
				}
				if again += " --confirm " + id; p.Stranded > 0 {
					again += " --count NUMBER" // of those that it strands, which is to be read and typed
				}
				return again
			})
		},
	}
	cmd.Flags().BoolVar(&change.Force, "force", false, "make a change that the service does not offer (AUTH-04)")
	cmd.Flags().StringVar(&change.Confirm, "confirm", "", "`ID` that the change was shown with")
	cmd.Flags().IntVar(&change.Count, "count", 0, "how many devices it strands, to confirm that they are meant (HST-071)")
	return cmd
}

// tell prints what a change did; or, where it is refused for want of a confirmation, what it would do.
func tell(cmd *cobra.Command, p *target.Preview, err error, done string, again func(id string) string) error {
	no, ok := errors.AsType[*target.Error](err)
	switch {
	case err == nil && asJSON(cmd):
		return json.NewEncoder(cmd.OutOrStdout()).Encode(p)
	case err == nil:
		return printPreview(cmd, lang.English, p, done)
	case !ok || no.Preview == nil:
		return err
	case asJSON(cmd):
		out := struct {
			Version int             `json:"version"`
			Command string          `json:"command"`
			Verdict string          `json:"verdict"`
			Error   problem         `json:"error"`
			Preview *target.Preview `json:"preview"`
		}{1, strings.TrimPrefix(cmd.CommandPath(), "rollcall "), "error", problem{Rule: no.Rule, Message: no.Error()}, no.Preview}
		return errors.Join(&shown{err}, json.NewEncoder(cmd.OutOrStdout()).Encode(out))
	}
	if bad := printPreview(cmd, lang.English, no.Preview, "nothing was changed; this makes what is shown:\n  "+again(no.Preview.ID)); bad != nil {
		return bad
	}
	return err
}

// A shown is an error whose JSON object is written already.
type shown struct{ error }

func (s *shown) Unwrap() error   { return s.error }
func (s *shown) Verdict() string { return "error" }

func authorityVerifyCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Compare who should manage each device with the portal that lists it", Args: noArgs,
		Long: `Compare who should manage each device with the portal that lists it (AUTH-39). Exit code 2 while devices are pending or
stale, or stranded by another topic of the push certificate (AUTH-32): each is named, with the rule that says where it
belongs, or that it has to enrol again.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			v, err := t.VerifyAuthority(cmd.Context())
			if err != nil {
				return err
			}
			err = show(cmd, v, func(w io.Writer) {
				row(w, "PORTAL", "EXPECTED", "LISTED")
				listed := 0
				for _, a := range v.Authorities {
					row(w, a.Authority.String(), strconv.Itoa(a.Expected), strconv.Itoa(a.Listed))
					listed += a.Listed
				}
				fmt.Fprintf(w, "\n%d of %d registered in epoch %d; %d pending, %d stale, %d stranded\n", v.ThisEpoch, listed, v.Epoch, v.Pending, v.Stale, v.Stranded)
				if len(v.Outstanding) > 0 {
					fmt.Fprintln(w)
					row(w, "DEVICE", "REGISTERED", "EPOCH", "SHOULD BE", "RULE")
				}
				for _, m := range v.Outstanding {
					row(w, m.Device, m.Registered.String(), strconv.Itoa(int(m.Epoch)), m.Expected.String(), string(m.Rule))
				}
			})
			if err == nil && v.Stranded > 0 {
				err = &shown{&protocol.Refusal{Rule: protocol.RuleOtherTopic, Reason: number(v.Stranded, "device has", "devices have") + " to enrol again"}}
			}
			if err == nil && v.Pending+v.Stale > 0 {
				err = &shown{&protocol.Refusal{Rule: "AUTH-39", Reason: number(v.Pending+v.Stale, "device is not where it", "devices are not where they") + " should be yet"}}
			}
			return err
		},
	}
}

func authorityReadinessCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "readiness [AUTHORITY]", Short: "List users with devices and nothing assigned", Args: cobra.MaximumNArgs(1),
		Long: `List users with enrolled devices to whom nothing of some profile families is assigned (AUTH-38): under the authority named,
before a change to it, or under the present one, where it is late. Exit code 2 when there are any.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			list, err := t.Readiness(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			err = show(cmd, map[string]any{"findings": list}, func(w io.Writer) {
				for _, f := range list {
					names := make([]string, len(f.Families))
					for i, family := range f.Families {
						names[i] = family.String()
					}
					what := "assign before"
					if f.Since != 0 {
						what = "late since " + when(f.Since)
					}
					row(w, f.User, number(f.Devices, "device", "devices"), "AUTH-38", what+": "+strings.Join(names, ", "))
				}
				fmt.Fprintln(w, lacking(len(list)))
			})
			if err == nil && len(list) > 0 {
				err = &shown{&protocol.Refusal{Rule: "AUTH-38", Reason: lacking(len(list))}}
			}
			return err
		},
	}
}

// lacking is that so many users have nothing of some families (AUTH-38).
func lacking(users int) string {
	return number(users, "user lacks", "users lack") + " assignments"
}

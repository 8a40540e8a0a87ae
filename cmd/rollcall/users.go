//go:build !agentonly

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
	"rollcall/protocol"
)

func usersCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{Use: "users", Short: "Add, list and invite users"})
	cmd.AddCommand(usersAddCommand(c), usersListCommand(c), usersInviteCommand(c), usersLicencesCommand(c), usersRemoveCommand(c))
	return cmd
}

func usersAddCommand(c *client) *cobra.Command {
	var u target.User
	var manager bool
	cmd := &cobra.Command{
		Use: "add UPN...", Short: "Add users, or change those that exist", Args: cobra.MinimumNArgs(1),
		Long: `Add users, or change those that exist: what is not given stays as it is. Where Intune was added beside Basic Mobility and Security,
the licences of users with devices are changed by rollcall users licences, which says what moves.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("enrolment-manager") {
				u.Manager = &manager
			}
			users := make([]target.User, len(args))
			for i, upn := range args {
				users[i] = u
				users[i].UPN = upn
			}
			if err := t.AddUsers(cmd.Context(), users); err != nil {
				return err
			}
			return show(cmd, map[string]any{"users": users}, func(w io.Writer) { fmt.Fprintf(w, "%s added or changed\n", number(len(users), "user", "users")) })
		},
	}
	cmd.Flags().StringVar(&u.Name, "name", "", "name that people read")
	cmd.Flags().StringSliceVar(&u.Groups, "group", nil, "groups that the users are in")
	cmd.Flags().BoolVar(&u.IntuneLicence, "intune", false, "they hold a licence that entitles Intune")
	cmd.Flags().BoolVar(&u.BasicLicence, "basic", false, "they hold a licence that Basic Mobility and Security serves")
	cmd.Flags().BoolVar(&manager, "enrolment-manager", false, "they enrol devices for others: up to 1,000 under Intune, whatever the device limit is; =false: no more (AUTH-47)")
	return cmd
}

func usersListCommand(c *client) *cobra.Command {
	var managers bool
	cmd := &cobra.Command{
		Use: "list", Short: "List users", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			list := []target.User{}
			for u, err := range t.Users(cmd.Context()) {
				if err != nil {
					return err
				}
				if !managers || u.Manages() {
					list = append(list, u)
				}
			}
			return show(cmd, map[string]any{"users": list}, func(w io.Writer) {
				row(w, "UPN", "NAME", "GROUPS", "LICENCES", "ENROLS FOR OTHERS")
				for _, u := range list {
					row(w, u.UPN, u.Name, strings.Join(u.Groups, ", "), licences(u), map[bool]string{true: "yes"}[u.Manages()])
				}
			})
		},
	}
	cmd.Flags().BoolVar(&managers, "enrolment-managers", false, "those alone who enrol devices for others (AUTH-47)")
	return cmd
}

func usersLicencesCommand(c *client) *cobra.Command {
	var assign, remove []string
	var preview bool
	var confirm string
	cmd := &cobra.Command{
		Use: "licences UPN...", Short: "Assign licences to users, or remove them; under coexistence their devices move", Args: cobra.MinimumNArgs(1),
		Long: `Assign licences to users, or remove them. Under coexistence the devices of a user who gains a licence that entitles Intune move to
Intune at their next check-in, and lose what Basic Mobility and Security set (AUTH-23); elsewhere nothing moves. More licences than
the tenant owns are refused (AUTH-09). What it does is printed; --preview prints it and changes nothing. Licences that are not named
stay as they are, even if somebody else changes them at the same time; the id of --confirm covers what the users held before, too
(HST-070).`,
		Example: `  rollcall users licences ada@example.org --assign intune --preview
  rollcall users licences ada@example.org bob@example.org --assign intune`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(assign)+len(remove) == 0 {
				return errors.New("say what to --assign or to --remove: intune, basic, premium or co-managed")
			}
			list, err := licensed(args, assign, remove)
			if err != nil {
				return err
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			var p target.Preview
			done := fmt.Sprintf("the licences of %s are changed", number(len(list), "user", "users"))
			if preview {
				done = "nothing was changed"
				p, err = t.PreviewLicences(cmd.Context(), list)
			} else {
				p, err = t.SetLicences(cmd.Context(), list, confirm)
			}
			return tell(cmd, &p, err, done, func(id string) string { return "the same command with --confirm " + id })
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&assign, "assign", nil, "licences to assign: intune, basic, premium for Azure AD Premium, or co-managed for co-management")
	flags.StringSliceVar(&remove, "remove", nil, "licences to remove")
	flags.BoolVar(&preview, "preview", false, "print what it would do, and change nothing")
	flags.StringVar(&confirm, "confirm", "", "`ID` of a preview: do exactly that, or nothing (HST-070)")
	return cmd
}

// licenceNames are what a user can hold.
var licenceNames = []string{"intune", "basic", "premium", "co-managed"}

// licensed is the change of licences for each of the users named, beside what they hold already (HST-070).
func licensed(upns, assign, remove []string) ([]target.Licence, error) {
	for flag, names := range map[string][]string{"assign": assign, "remove": remove} {
		for _, name := range names {
			if !slices.Contains(licenceNames, name) {
				return nil, fmt.Errorf("--%s %q: want intune, basic, premium or co-managed", flag, name)
			}
		}
	}
	for _, name := range remove {
		if slices.Contains(assign, name) {
			return nil, fmt.Errorf("%s: --assign and --remove name it both; say which of the two is meant", name)
		}
	}
	out := make([]target.Licence, len(upns))
	seen := map[string]bool{}
	for i, upn := range upns {
		if seen[strings.ToLower(upn)] {
			return nil, fmt.Errorf("user %s is named twice", upn)
		}
		seen[strings.ToLower(upn)] = true
		out[i] = target.Licence{UPN: upn, Assign: assign, Remove: remove}
	}
	return out, nil
}

func licences(u target.User) string {
	var held []string
	if u.IntuneLicence {
		held = append(held, "intune")
	}
	if u.BasicLicence {
		held = append(held, "basic")
	}
	if u.Premium {
		held = append(held, "premium")
	}
	if u.CoManaged {
		held = append(held, "co-managed")
	}
	return strings.Join(held, ", ")
}

func usersRemoveCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "remove UPN", Short: "Remove a user who has no enrolled device", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			if err := t.RemoveUser(cmd.Context(), args[0]); err != nil {
				return named(err, "user", args[0])
			}
			return show(cmd, map[string]any{"removed": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "%s: removed\n", args[0]) })
		},
	}
}

func usersInviteCommand(c *client) *cobra.Command {
	var o target.InviteOptions
	var whom, kind, mode string
	cmd := &cobra.Command{
		Use: "invite UPN...", Short: "Make an enrolment link for one device of each user",
		Long: `Make an enrolment link for one device of each user. It is good once, until it expires, and with --kind for that kind of device alone.
--for agent prints the line to paste on a machine, with the hash by which it knows this server.

--android makes it for an Android device, managed in one of these modes:
  WORK_PROFILE_PERSONAL  the user's own device, with a work profile
  WORK_PROFILE_COMPANY   the company's device, with a work profile
  FULLY_MANAGED          the company's device
  DEDICATED              the company's device, without a user
  AOSP_USER              a device without Google's services, of a user
  AOSP_USERLESS          a device without Google's services and without a user
A device without a user is invited without a UPN, a PC too (--kind windows). Printed are the link, whose page says how to enrol, the text of a QR code to
scan after a factory reset, and the same as a zero-touch configuration has it (DPC extras). Where rollcall serve knows the agent's APK
(--android-agent), a device in its setup installs it by the QR code; else the agent must be on it. All but the AOSP modes want
the consent for Google's services first: rollcall consent grant androidManagedStore (AUTH-05).`,
		Example: `  rollcall users invite ada@example.org
  rollcall users invite ada@example.org --for agent --kind ipad --expires 2h
  rollcall users invite ada@example.org --android WORK_PROFILE_PERSONAL
  rollcall users invite --android AOSP_USERLESS --for agent
  rollcall users invite --android DEDICATED --json
  rollcall users invite --kind windows --for agent`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case mode == "" && len(args) == 0 && kind != "windows":
				return errors.New("say whose device it is, by UPN; only a PC (--kind windows) and an Android device of some modes can be without a user")
			case mode == "":
				return nil
			}
			if err := o.Mode.UnmarshalText([]byte(mode)); err != nil {
				return fmt.Errorf("--android %w", err)
			}
			switch {
			case o.Mode.Userless() && len(args) > 0:
				return fmt.Errorf("a device of mode %s has no user: leave the UPN out", o.Mode)
			case !o.Mode.Userless() && len(args) == 0:
				return fmt.Errorf("a device of mode %s has a user: say whose it is, by UPN", o.Mode)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Mode != "" && kind != "" {
				return errors.New("--android is for Android devices: it cannot be combined with --kind")
			}
			if o.Mode != "" {
				o.Platform = protocol.Android
			}
			if len(args) == 0 {
				args = []string{""}
			}
			if whom != "" && whom != "agent" {
				return fmt.Errorf("--for %q: want agent, or nothing for a link to open on a device", whom)
			}
			if kind != "" {
				var ok bool
				if o.Platform, ok = kinds[kind]; !ok {
					return fmt.Errorf("--kind %q: want ipad, iphone, mac or windows", kind)
				}
				if o.Platform == protocol.Android {
					return errors.New("--kind android: say how it is managed, by --android MODE")
				}
			}
			if o.Lifetime < 0 {
				return fmt.Errorf("--expires %s: want a time ahead", o.Lifetime)
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			list, err := t.InviteFor(cmd.Context(), args, o)
			if err != nil {
				return err
			}
			return show(cmd, map[string]any{"invitations": list}, func(w io.Writer) {
				for _, i := range list {
					if whom == "agent" {
						fmt.Fprintln(w, agentLine(i.URL, i.CA, o.Platform))
						continue
					}
					if o.Mode != "" {
						printAndroid(w, &i)
						continue
					}
					row(w, cmp.Or(i.User, withoutUser), i.URL, "until "+when(i.Expires))
				}
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&whom, "for", "", "agent: print the line to paste on a machine")
	flags.StringVar(&kind, "kind", "", "kind of device that the link is for: ipad, iphone, mac or windows (default: any but Android's)")
	flags.StringVar(&mode, "android", "", "for an Android device, managed in this `MODE`")
	durationVar(flags, &o.Lifetime, "expires", 0, "time until the link is of no use (default: the server's)")
	return cmd
}

// withoutUser stands where a user's name would.
const withoutUser = "without a user"

// printAndroid shows what an Android device is told. The texts are whole lines, so that they can be copied.
func printAndroid(w io.Writer, i *target.Invitation) {
	fmt.Fprintf(w, "%s, until %s\nlink        %s\nQR code     %s\nzero-touch  %s\n", cmp.Or(i.User, withoutUser), when(i.Expires), i.URL, i.QR, i.ZeroTouch)
}

// agentLine is what to paste on a machine.
func agentLine(url, ca string, kind protocol.Platform) string {
	line := "rollcall agent enroll " + url
	if ca != "" {
		line += " --ca " + ca
	}
	if kind != protocol.NoPlatform {
		line += " --as " + kindName(kind)
	}
	return line
}

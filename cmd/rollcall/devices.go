//go:build !agentonly

package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
	"rollcall/protocol"
)

func devicesCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{
		Use: "devices", Short: "List, inspect and command enrolled devices",
		Long: `List, inspect and command enrolled devices. A DEVICE is the ID that the list shows, or a name or serial number that only one device
has, ended ones not counted.`,
	})
	cmd.AddCommand(devicesListCommand(c), devicesShowCommand(c), devicesAssignCommand(c), devicesSupportMoveCommand(c), devicesReenrolCommand(c), devicesDeleteCommand(c), devicesWipeCommand(c))
	for _, o := range []struct {
		kind  target.OrderKind
		short string
	}{
		{target.Sync, "Wake a device, so that it comes for what is waiting"},
		{target.Lock, "Lock a device's screen"},
		{target.Restart, "Restart a device"},
		{target.Retire, "Take a device out of management; its personal data stay"},
		{target.ResetPasscode, "Give an Android device, or its work profile, another passcode or none"},
		{target.ClearAppData, "Remove what apps keep on an Android device"},
		{target.StartLostMode, "Lock a lost Android device of the company's, with a message for who finds it"},
		{target.StopLostMode, "Take an Android device out of its lost mode"},
	} {
		cmd.AddCommand(devicesOrderCommand(c, o.kind, o.short))
	}
	return cmd
}

// onDevice does something with the device that a person calls name: by its ID, or, where no device has that, by its name or serial number.
// It returns the ID.
func onDevice(ctx context.Context, t *target.Rollcall, name string, do func(id string) error) (id string, err error) {
	err = do(name)
	if e, ok := errors.AsType[*target.Error](err); !ok || e.Status != http.StatusNotFound {
		return name, err
	}
	var found []string
	for d, no := range t.Devices(ctx, target.Filter{}) {
		if no != nil {
			return name, no
		}
		if d.Life != "ended" && (strings.EqualFold(d.Name, name) || d.Serial != "" && strings.EqualFold(d.Serial, name)) {
			found = append(found, d.ID)
		}
	}
	switch len(found) {
	case 0:
		return name, named(err, "device", name)
	case 1:
		return found[0], do(found[0])
	}
	return name, fmt.Errorf("%d devices have the name or serial number %q: say which by its ID: %s", len(found), name, strings.Join(found[:min(len(found), 10)], ", "))
}

func devicesListCommand(c *client) *cobra.Command {
	var platform, user, portal string
	var asCSV bool
	cmd := &cobra.Command{
		Use: "list", Short: "List devices", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := target.Filter{User: user}
			if platform != "" {
				if err := f.Platform.UnmarshalText([]byte(platform)); err != nil {
					return fmt.Errorf("--platform: %w", err)
				}
			}
			if portal != "" {
				if err := f.Registered.UnmarshalText([]byte(portal)); err != nil {
					return fmt.Errorf("--portal: %w", err)
				}
				if f.Platform != protocol.NoPlatform || user != "" {
					return fmt.Errorf("--portal cannot be combined with --platform or --user")
				}
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			list := []target.Device{}
			for d, err := range t.Devices(cmd.Context(), f) {
				if err != nil {
					return err
				}
				list = append(list, d)
			}
			for _, twin := range twins(list) {
				fmt.Fprintln(cmd.ErrOrStderr(), twin)
			}
			if asCSV && !asJSON(cmd) {
				return writeCSV(cmd.OutOrStdout(), list)
			}
			return show(cmd, map[string]any{"devices": list}, func(w io.Writer) {
				row(w, "ID", "NAME", "PLATFORM", "MODEL", "SERIAL", "USER", "STATE", "AUTHORITY", "LAST SEEN", "WAITING")
				for _, d := range list {
					row(w, d.ID, narrow(d.Name), platformOf(&d), narrow(d.Model), narrow(d.Serial), d.User, lifeOf(&d), d.Registered.String(), when(d.LastSeen), strconv.Itoa(d.Queue))
				}
			})
		},
	}
	cmd.Flags().StringVar(&platform, "platform", "", "only this platform: ios, ipados, macos, android or windows")
	cmd.Flags().StringVar(&user, "user", "", "only this user's, by UPN")
	cmd.Flags().StringVar(&portal, "portal", "", "only those that this authority manages: intune or office365")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "print comma-separated values")
	return cmd
}

// narrow is what a device says of itself, as a column on the screen bears it; --json and --csv have it whole.
func narrow(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// mostTwins is how many of them are told of: a factory may give all its machines one number.
const mostTwins = 5

// twins says which enrolled devices have one serial number between them: copies of a machine, or machines whose maker gave them none.
func twins(list []target.Device) (says []string) {
	has := map[string][]string{}
	var twice []string
	for _, d := range list {
		if d.Serial == "" || d.Life != "enrolled" {
			continue
		}
		ids := append(has[d.Serial], d.ID)
		if has[d.Serial] = ids; len(ids) == 2 {
			twice = append(twice, d.Serial)
		}
	}
	for i, serial := range twice {
		if i == mostTwins {
			return append(says, fmt.Sprintf("and %d more serial numbers are of several devices", len(twice)-mostTwins))
		}
		ids := has[serial]
		says = append(says, fmt.Sprintf("serial number %q is of %d devices, %s: if one is a copy of another, retire what is not wanted (rollcall devices retire)",
			serial, len(ids), strings.Join(ids[:min(len(ids), mostTwins)], ", ")))
	}
	return says
}

// writeCSV writes a table for a spreadsheet. A cell that one would take for a formula is led by an apostrophe (HST-067).
func writeCSV(w io.Writer, list []target.Device) error {
	out := csv.NewWriter(w)
	out.Write([]string{"id", "platform", "model", "serial", "name", "os_version", "user", "state", "authority", "last_seen", "certificate_ends"})
	for _, d := range list {
		cells := []string{
			d.ID, d.Platform.String(), d.Model, d.Serial, d.Name, d.OSVersion, d.User, lifeOf(&d), d.Registered.String(), when(d.LastSeen), when(d.Identity.NotAfter),
		}
		for i, cell := range cells {
			cells[i] = harmless(cell)
		}
		out.Write(cells)
	}
	out.Flush()
	return out.Error()
}

func devicesShowCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "show DEVICE", Short: "Show all that is known of a device", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			var d target.Details
			if _, err := onDevice(cmd.Context(), t, args[0], func(id string) (err error) {
				d, err = t.Device(cmd.Context(), id)
				return err
			}); err != nil {
				return err
			}
			if err := tellTwins(cmd, t, &d.Device); err != nil {
				return err
			}
			return show(cmd, d, func(w io.Writer) { printDevice(w, &d) })
		},
	}
}

// tellTwins says that other devices have the serial number of d, to people: a program is not kept waiting for the list of all devices.
func tellTwins(cmd *cobra.Command, t *target.Rollcall, d *target.Device) error {
	if d.Serial == "" || asJSON(cmd) {
		return nil
	}
	var same []target.Device
	for other, err := range t.Devices(cmd.Context(), target.Filter{}) {
		if err != nil {
			return err
		}
		if other.Serial == d.Serial {
			same = append(same, other)
		}
	}
	for _, twin := range twins(same) {
		fmt.Fprintln(cmd.ErrOrStderr(), twin)
	}
	return nil
}

// platformOf is what a list has of a device's platform: of an Android device its mode, too.
func platformOf(d *target.Device) string {
	if d.Android != nil && d.Android.Mode != "" {
		return d.Platform.String() + ", " + string(d.Android.Mode)
	}
	return d.Platform.String()
}

// lifeOf is how far a device's management has come. A PC says that it leaves, and that it has is known by its silence (windows.md, section 7).
func lifeOf(d *target.Device) string {
	if d.LeavesAt != 0 {
		return "leaving"
	}
	return d.Life
}

func printDevice(w io.Writer, d *target.Details) {
	row(w, "device", d.ID)
	row(w, "name", d.Name)
	row(w, "model", d.Model+", "+d.Platform.String()+" "+d.OSVersion)
	row(w, "serial", d.Serial)
	row(w, "user", d.User)
	row(w, "state", lifeOf(&d.Device))
	if d.LeavesAt != 0 {
		row(w, "has left", "if it is silent until "+when(d.LeavesAt))
	}
	by := ""
	switch {
	case d.RegisteredBy != "":
		by = " by " + string(d.RegisteredBy)
	case d.Life == "enrolled":
		by = ", to move at a check-in"
	}
	row(w, "managed by", d.Registered.String()+by+", since "+when(d.RegisteredAt)+", epoch "+strconv.Itoa(int(d.Epoch)))
	row(w, "enrolled", when(d.EnrolledAt))
	if a := d.Android; a != nil {
		row(w, "mode", string(a.Mode)+", enrolment "+a.Enrollment+", API level "+strconv.Itoa(a.APILevel))
		row(w, "policy", "version "+strconv.FormatInt(a.PolicyVersion, 10))
		for _, no := range a.NonCompliance {
			row(w, "does not keep to", strings.TrimSpace(no.Setting+" "+no.Package)+": "+no.Reason)
		}
		for _, no := range a.LeftOut {
			row(w, "not in its policy", no.Setting+" of "+no.Profile+": "+no.Reason)
		}
	}
	if pc := d.Windows; pc != nil {
		if pc.PushFault != "" {
			row(w, "cannot be woken", pc.PushFault)
		}
		for _, p := range pc.Torn {
			row(w, "look at it", "it could not undo its half of "+p+" (516)")
		}
	}
	row(w, "last seen", when(d.LastSeen))
	row(w, "wake-up due", when(d.Wake))
	row(w, "certificate", d.Identity.Fingerprint+", until "+when(d.Identity.NotAfter))
	if k := d.Compliance; k != nil {
		yes := map[bool]string{true: "compliant", false: "not compliant"}
		row(w, "itself", yes[k.Device]+", as of "+when(k.Reported))
		directory := yes[k.Directory]
		if k.ConfigMgr {
			directory = "as Configuration Manager says (AUTH-51)"
		}
		row(w, "in the directory", directory)
		row(w, "in the console", yes[k.Console]+", as of "+when(k.ConsoleSince)+" (AUTH-29)")
	}
	if d.CoManaged {
		row(w, "Intune decides", strings.Join(d.Workloads, ", "))
	}
	fmt.Fprintln(w)
	row(w, "PROFILE", "VERSION", "FAMILY", "STATE", "SINCE")
	for _, p := range d.Profiles {
		row(w, p.Name, strconv.Itoa(int(p.Number)), p.Family.String(), p.State, when(p.At))
	}
	fmt.Fprintln(w)
	row(w, "COMMAND", "PROFILE", "QUEUED", "ANSWER", "ERRORS")
	for _, cmd := range d.Commands {
		kind := cmd.Kind
		if d.Head != nil && cmd.ID == d.Head.ID && !cmd.Final {
			kind += " (next)"
		}
		row(w, kind, cmd.Profile, when(cmd.At), cmd.Status, cmd.Errors)
	}
}

func devicesOrderCommand(c *client, kind target.OrderKind, short string) *cobra.Command {
	o := target.Order{Kind: kind}
	cmd := &cobra.Command{
		Use: string(kind) + " DEVICE", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case kind == target.StartLostMode && o.Message == "":
				return errors.New("--message: what is the device to show?")
			case kind == target.ClearAppData && len(o.Packages) == 0:
				return errors.New("--package: whose data goes? Name an app, such as com.example.mail")
			}
			t, err := c.target()
			if err != nil {
				return err
			}
			id, err := onDevice(cmd.Context(), t, args[0], func(id string) error {
				_, err := t.Order(cmd.Context(), id, o)
				return err
			})
			if err != nil {
				return err
			}
			clock, err := t.Clock(cmd.Context())
			driven := err == nil && clock.Driven // it is queued, whether that can be told or not
			return show(cmd, map[string]any{"device": id, "order": kind, "driven": driven}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: queued for %s", kind, id)
				if driven {
					fmt.Fprint(w, "; the server's clock stands still, and its wake-up goes out when that is stepped (rollcall clock step 1m)")
				}
				fmt.Fprintln(w)
			})
		},
	}
	flags := cmd.Flags()
	switch kind {
	case target.Lock:
		flags.StringVar(&o.PIN, "pin", "", "six digits that a Mac asks for afterwards")
		flags.StringVar(&o.Message, "message", "", "text on the locked screen")
	case target.Retire:
		flags.BoolVar(&o.Drop, "drop", false, "for a device that carries out no commands: retire it by the answer that makes it give up its management")
	case target.ResetPasscode:
		flags.StringVar(&o.Passcode, "passcode", "", "the new one (default: none)")
	case target.ClearAppData:
		flags.StringSliceVar(&o.Packages, "package", nil, "`NAME` of an app whose data goes, such as com.example.mail; may be given more than once")
	case target.StartLostMode:
		flags.StringVar(&o.Message, "message", "", "text that the lost device shows")
	}
	return cmd
}

func devicesAssignCommand(c *client) *cobra.Command {
	var user string
	var awaiting bool
	cmd := &cobra.Command{
		Use: "assign SERIAL...", Short: "Let devices with these serial numbers enrol automatically (ADE)", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			serials := make([]target.Serial, len(args))
			for i, s := range args {
				serials[i] = target.Serial{Serial: s, User: user, Awaiting: awaiting}
			}
			if err := t.AddSerials(cmd.Context(), serials); err != nil {
				return err
			}
			return show(cmd, map[string]any{"serials": args}, func(w io.Writer) {
				fmt.Fprintf(w, "%s assigned\n", number(len(args), "serial number", "serial numbers"))
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the devices' user, by UPN (default: userless)")
	cmd.Flags().BoolVar(&awaiting, "awaiting", false, "hold each in its setup assistant until its first profiles are there")
	return cmd
}

func devicesSupportMoveCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "support-move DEVICE", Short: "Have a userless device move to the tenant's authority at its next check-in", Args: cobra.ExactArgs(1),
		Long: `Have a userless device move to the authority that a user's device would have, at its next completed check-in (AUTH-18).
Nothing else moves it. A device with a user, or one that is where it belongs, is refused.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			id, err := onDevice(cmd.Context(), t, args[0], func(id string) error { return t.SupportMove(cmd.Context(), id) })
			if err != nil {
				return err
			}
			return show(cmd, map[string]any{"device": id, "order": "support-move"}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: moves at its next check-in\n", id)
			})
		},
	}
}

func devicesReenrolCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "reenrol DEVICE", Short: "Unenrol a device and make a link to enrol it again", Args: cobra.ExactArgs(1),
		Long: `Unenrol a device at its next check-in and make a link for its user to enrol it again, with the authority that resolves then
(AUTH-44). Its record stays. An Android device that cannot leave without being erased is refused: wipe it, and invite it again
(rollcall users invite --android MODE).`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			var link target.Invitation
			if _, err := onDevice(cmd.Context(), t, args[0], func(id string) (err error) {
				link, err = t.Reenrol(cmd.Context(), id)
				return err
			}); err != nil {
				return err
			}
			return show(cmd, link, func(w io.Writer) { row(w, link.User, link.URL, "until "+when(link.Expires)) })
		},
	}
}

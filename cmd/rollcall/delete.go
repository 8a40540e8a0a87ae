//go:build !agentonly

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
)

func devicesDeleteCommand(c *client) *cobra.Command {
	var o target.DeleteOrder
	var dry bool
	cmd := &cobra.Command{
		Use: "delete DEVICE...", Short: "Take devices out of management and remove their records", Args: cobra.MinimumNArgs(1),
		Long: `Take devices out of management at their next check-in, and remove the record of each once it has heard of it (AUTH-53). The
record of a device that is not enrolled is removed at once. What happened to it stays in the journal.

An Android device that is fully managed, dedicated or of AOSP without a user can leave only by a factory reset: it erases itself,
with all that is on it. Give the number of those, even of one (HST-071): by --count, or as typed on a terminal. No more devices are
erased in an hour than the setting blast-limit allows, and the journal says what is about to be done before the first order.

--dry-run prints what would become of each device, with the number of those that would erase themselves, and does nothing. Exit
code 2 when the deletion is refused.`,
		Example: `  rollcall devices delete 00008101-000A1B2C3D4E001E
  rollcall devices delete --dry-run d-1c7e65b8d0a1f2e3c4d5 d-2f9a04c7e1b6d8f0a3c2
  rollcall devices delete --count 2 d-1c7e65b8d0a1f2e3c4d5 d-2f9a04c7e1b6d8f0a3c2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			for _, name := range args {
				id, err := onDevice(cmd.Context(), t, name, func(id string) error {
					_, err := t.Device(cmd.Context(), id)
					return err
				})
				if e, ok := errors.AsType[*target.Error](err); ok && e.Status == http.StatusNotFound {
					e.Rule = "HST-014" // as the order itself is refused
				}
				if err != nil {
					return err
				}
				o.Devices = append(o.Devices, id)
			}
			if dry {
				d, err := t.PreviewDelete(cmd.Context(), o)
				if err != nil {
					return err
				}
				return tellDelete(cmd, &d, "would be removed", "would be removed at once: it is not enrolled", "would erase itself")
			}
			if in := terminal(cmd); in != nil && o.Count == 0 {
				d, err := t.PreviewDelete(cmd.Context(), o)
				if err != nil {
					return err
				}
				if d.Erases > 0 {
					if err := tellDelete(cmd, &d, "is to be removed", "is to be removed at once: it is not enrolled", "is to erase itself"); err != nil {
						return err
					}
					if o.Count, err = askErased(cmd, in); err != nil {
						return err
					}
				}
			}
			d, err := t.DeleteAll(cmd.Context(), o)
			if err != nil {
				return err
			}
			return tellDelete(cmd, &d, "removed, once it has heard that it is managed no more", "removed: it was not enrolled", "erases itself, and is removed with that")
		},
	}
	cmd.Flags().IntVar(&o.Count, "count", 0, "how many devices erase themselves, to confirm that this is meant (HST-071)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what it would do, and do nothing")
	return cmd
}

// tellDelete prints what a deletion does to each device, and how many are erased.
func tellDelete(cmd *cobra.Command, d *target.Deletion, removed, gone, erased string) error {
	return show(cmd, d, func(w io.Writer) {
		for _, one := range d.Devices {
			switch {
			case one.Erases:
				row(w, one.Device, one.Mode+": "+erased)
			case one.Gone:
				row(w, one.Device, gone)
			default:
				row(w, one.Device, removed)
			}
		}
		if d.Erases > 0 {
			var modes []string
			for _, m := range d.ByMode {
				modes = append(modes, fmt.Sprintf("%d %s", m.Devices, m.Mode))
			}
			row(w, fmt.Sprintf("%d erased", d.Erases), strings.Join(modes, ", "))
		}
	})
}

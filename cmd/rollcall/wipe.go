//go:build !agentonly

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rollcall/fleet/target"
	"rollcall/protocol"
)

func devicesWipeCommand(c *client) *cobra.Command {
	var w target.WipeOrder
	var dry bool
	cmd := &cobra.Command{
		Use: "wipe DEVICE...", Short: "Erase devices", Args: cobra.MinimumNArgs(1),
		Long: `Erase devices at their next check-in. For more than one device, give their number (HST-071): by --count, or as typed on a terminal.
No more devices are erased in an hour than the setting blast-limit allows, and the journal says what is about to be done before the
first order. --dry-run prints which devices they are, and erases none. Exit code 2 when it is refused, or one of the devices cannot
be erased.`,
		Example: `  rollcall devices wipe 00008101-000A1B2C3D4E001E
  rollcall devices wipe --dry-run 00008101-000A1B2C3D4E001E 00008101-000A1B2C3D4E001F
  rollcall devices wipe --count 2 00008101-000A1B2C3D4E001E 00008101-000A1B2C3D4E001F`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			w.Devices = args
			if dry {
				return tellWipe(cmd, t.PreviewWipe, w, "would be erased")
			}
			if in := terminal(cmd); in != nil && len(args) > 1 && w.Count == 0 {
				if err := tellWipe(cmd, t.PreviewWipe, w, "is to be erased"); err != nil {
					return err
				}
				if w.Count, err = askErased(cmd, in); err != nil {
					return err
				}
			}
			return tellWipe(cmd, t.Wipe, w, "wipe: queued")
		},
	}
	cmd.Flags().StringVar(&w.PIN, "pin", "", "six digits that a Mac asks for afterwards")
	cmd.Flags().IntVar(&w.Count, "count", 0, "how many devices they are, to confirm that they are meant (HST-071)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what it would do, and do nothing")
	return cmd
}

// terminal is where a person types answers; nil: nobody is there, or a program reads what comes.
func terminal(cmd *cobra.Command) *os.File {
	if in, ok := cmd.InOrStdin().(*os.File); ok && !asJSON(cmd) && term.IsTerminal(int(in.Fd())) {
		return in
	}
	return nil
}

// askErased asks a person for the number of devices that are to be erased.
func askErased(cmd *cobra.Command, in io.Reader) (int, error) {
	fmt.Fprintf(cmd.ErrOrStderr(), "Type the number of devices to erase them: ")
	text, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && err != io.EOF {
		return 0, err
	}
	text = strings.TrimSpace(text)
	count, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no number; nothing is erased", text)
	}
	return count, nil
}

// tellWipe does something to devices and prints what came of it for each.
func tellWipe(cmd *cobra.Command, do func(ctx context.Context, w target.WipeOrder) ([]target.Wiping, error), w target.WipeOrder, done string) error {
	list, err := do(cmd.Context(), w)
	if err != nil {
		return err
	}
	var no *protocol.Refusal
	err = show(cmd, map[string]any{"devices": list}, func(out io.Writer) {
		for _, d := range list {
			text := done
			if d.Rule != "" {
				text = string(d.Rule) + ": " + d.Reason
			}
			row(out, d.Device, text)
		}
	})
	for _, d := range list {
		if d.Rule != "" && no == nil {
			no = &protocol.Refusal{Rule: d.Rule, Reason: d.Device + ": " + d.Reason}
		}
	}
	if err == nil && no != nil {
		err = &shown{no}
	}
	return err
}

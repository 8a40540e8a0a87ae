//go:build !agentonly

package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet/load"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

func fleetMakeCommand() *cobra.Command {
	var f targetFlags
	var keeping string
	var devices, parallel int
	var seed uint64
	var force bool
	cmd := &cobra.Command{
		Use: "make [PLAN] --target URL --devices N --keep FILE", Short: "Enrol devices once, and keep them for many loads", Args: cobra.MaximumNArgs(1),
		Long: `Enrol simulated devices with a live server, as fast as it takes them, and keep them in a file, keys and certificates
included: whoever has the file is the fleet. rollcall fleet run --fleet FILE takes them from there. Ctrl-C keeps those that are
enrolled by then. They are Apple's: a plan's PCs and Android devices are left out. Who the devices are, PLAN says: a file, or the name of a ready plan (default load).`,
		Example: `  rollcall fleet make --target https://127.0.0.1:8443 --devices 100000 --keep hundred-thousand.fleet
  rollcall fleet make storm --users --target https://127.0.0.1:8443 --devices 10000 --keep storm.fleet`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if keeping == "" {
				return errors.New("--keep: which file?")
			}
			if devices < 1 {
				return errors.New("--devices: at least 1")
			}
			if parallel < 1 {
				return errors.New("--parallel: at least 1")
			}
			if err := checkKeep(keeping, force, devices); err != nil {
				return err
			}
			a, err := f.aim(cmd.Context(), nil)
			if err != nil {
				return err
			}
			p, err := loadPlan(append(args, "load")[0])
			if err != nil {
				return err
			}
			p.Seed = seed
			if p, err = p.WithDevices(devices); err != nil {
				return err
			}
			devices, err := a.wired(cmd.Context(), cmd.ErrOrStderr(), p, false, protocol.Platform.Apple)
			if err != nil {
				return err
			}
			if all := p.Devices(); len(devices) < all {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d of the plan's %d devices are made: those of Windows and Android are left out, for a kept fleet has Apple devices alone\n", len(devices), all)
			}
			bar := newLoadProgress(cmd.ErrOrStderr(), lang.English)
			c := load.Config{
				Devices: devices, Link: a.link(1), Start: a.start, Parallel: parallel, Progress: bar.show,
				Closed: 1, For: time.Second, // there will be no load
			}
			l, err := load.New(c)
			if err != nil {
				return err
			}
			defer l.Close()
			defer load.Tune(len(devices), false)()
			enrolled, err := l.Enrol(cmd.Context())
			bar.done()
			kept := l.Enrolled()
			if err != nil {
				err = enrolledBefore(err)
			}
			if len(kept) == 0 {
				return err
			}
			if enrolled.GaveUp > 0 && err == nil {
				err = gaveUp{enrolled}
			}
			err = errors.Join(err, keepFleet(keeping, kept))
			figures := map[string]any{"command": "fleet make", "devices": len(kept), "patient": enrolled.Patient, "again": enrolled.Again, "gave_up": enrolled.GaveUp, "seconds": enrolled.Seconds, "file": keeping, "steps": enrolled.Steps}
			return errors.Join(err, show(cmd, figures, func(w io.Writer) {
				fmt.Fprintf(w, "%s enrolled in %.1f s (%.1f a second) and kept in %s\n", number(len(kept), "device", "devices"), enrolled.Seconds, float64(len(kept))/enrolled.Seconds, keeping)
			}))
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.IntVar(&devices, "devices", 0, "`N` devices")
	flags.StringVar(&keeping, "keep", "", "`FILE` to keep them in")
	flags.IntVar(&parallel, "parallel", 32, "enrolments at a time")
	flags.Uint64Var(&seed, "seed", 0, "other devices by the same rules")
	flags.BoolVar(&force, "force", false, "replace the file")
	return cmd
}

// gaveUp is the error of a fleet that was made but for some.
type gaveUp struct{ load.Enrolled }

func (g gaveUp) Error() string {
	return fmt.Sprintf("%d of %d devices gave up: no try of theirs was answered", g.GaveUp, g.Devices)
}

func (gaveUp) Verdict() string { return report.Failed }

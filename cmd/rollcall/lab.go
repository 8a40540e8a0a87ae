//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/store"
)

// labFlags are the flags of lab as they were given.
type labFlags struct {
	who populationFlags

	clock, keep, report, log string
	attestation              string
	length, together         time.Duration
	parallel                 int
	rsa                      []string
	restart, force           bool
	language                 lang.Language

	unjudged string // why the plan's limits say nothing of the run that fit made of it
}

func labCommand() *cobra.Command {
	var f labFlags
	cmd := &cobra.Command{
		Use: "lab [PLAN]", Short: "Play a whole story: server, push service and a fleet in one process", Args: cobra.MaximumNArgs(1),
		Long: `Start a server, a simulated push service and a fleet of simulated devices in this process, over real mutual TLS on
loopback, and play a story: who enrols, what is assigned, who is away, what fails. Without an argument it is five acts
in two weeks of 1,000 devices, in a minute or so: a tenant of Basic Mobility and Security adds Intune, waits
for a renewed push certificate, enrols new devices and moves the others by licences. Server and devices share a clock that
steps to the next moment at which anybody has something to do. A device that polls more often than a step is long comes once
in it, so that fewer check-ins are counted than by a rehearsal, which has no steps; --step 1s counts the same. With --export it
is two ordinary weeks of a tenant's own devices, registered as the export says (the ready plan tenant).

On the driven clock one plan and --seed tell the same story of each device every time, --restart-server or not.

The summary says what happened and whether everything held: exit code 0; 2 if a limit of the plan or an invariant did not.
Ctrl-C ends the run with what is known so far, marked partial (130).`,
		Example: `  rollcall lab
  rollcall lab --report ./first
  rollcall lab --export ./my-tenant --report ./mine
  rollcall lab --devices 200 --clock real --for 2m`,
		RunE: func(cmd *cobra.Command, args []string) error { return lab(cmd, args, &f) },
	}
	f.who.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.clock, "clock", "driven", "driven: weeks in seconds; real: as long as --for says")
	durationVar(flags, &f.length, "for", 0, "length of the story (default: the plan's); on the real clock the plan is squeezed into it (default 2m)")
	durationVar(flags, &f.together, "step", 0, "a driven clock takes together what is due within this (default: the plan's, 10m)")
	flags.IntVar(&f.parallel, "parallel", 32, "conversations at a time")
	flags.BoolVar(&f.restart, "restart-server", false, "stop the server in the middle and start it again on the same data")
	flags.StringSliceVar(&f.rsa, "rsa-keys", nil, "devices of these `PLATFORM`s, such as windows, have RSA-2048 identities as real ones have: their keys are made before the story, 60 ms each, and its time is told apart")
	flags.StringVar(&f.attestation, "android-attestation", "off", "off; report or require: Android devices attest the keys that they enrol with, and the server looks at it, or takes in nobody without")
	flags.StringVar(&f.keep, "keep", "", "write the devices, keys and certificates included, to `FILE`")
	flags.StringVar(&f.log, "server-log", "", "write the server's log to `FILE`")
	flags.StringVar(&f.report, "report", "", "write report.html, result.json and events.jsonl into `DIR`")
	flags.Var(&f.language, "lang", "`LANGUAGE` of what is told and of the report: en or nl")
	flags.BoolVar(&f.force, "force", false, "replace report, kept fleet and server log of an earlier run")
	return cmd
}

// lab plays the story and says what came of it.
func lab(cmd *cobra.Command, args []string, f *labFlags) (err error) {
	if f.parallel < 1 {
		return errors.New("--parallel: at least 1")
	}
	switch f.attestation {
	case "off", "report", "require":
	default:
		return fmt.Errorf("--android-attestation %q: want off, report or require", f.attestation)
	}
	p, pop, imported, err := f.who.load(cmd, args, f.fit)
	if err != nil {
		return err
	}
	if f.report != "" {
		if err := report.CheckDir(f.report, f.force); err != nil {
			return err
		}
	}
	if f.keep != "" {
		if err := checkKeep(f.keep, f.force, len(pop.Devices)); err != nil {
			return err
		}
	}
	if st, err := os.Stat(f.log); f.log != "" && err == nil && st.Mode().IsRegular() && !f.force {
		return fmt.Errorf("--server-log: %s is there already; --force replaces it", f.log)
	}
	bar := newProgress(cmd.ErrOrStderr(), f.language)
	run, result, story, err := f.play(cmd.Context(), p, pop, imported, bar.show)
	bar.done()
	if result == nil {
		return ofFullDisk(err)
	}
	if failed := f.write(run, result, story); failed != nil {
		if !asJSON(cmd) { // its object is the error's
			err = errors.Join(err, present(cmd, result, story))
		}
		return errors.Join(failed, err)
	}
	if err := present(cmd, result, story); err != nil {
		return err
	}
	if f.report != "" && !asJSON(cmd) {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", f.language.Say("The report is %s.", filepath.Join(f.report, report.PageFile))); err != nil {
			return err
		}
	}
	return errors.Join(result.ErrIn(f.language), err)
}

// ofFullDisk says what a lab's data are, where there is no room for them (HST-092). Their server says it through its API too.
func ofFullDisk(err error) error {
	if rule, _ := errors.AsType[protocol.Rule](err); rule == "HST-092" || errors.Is(err, store.ErrFull) {
		return fmt.Errorf("%w, or set TMPDIR to a folder on another disk", err)
	}
	return err
}

// play plays p with pop from beginning to end, or until ctx ends, and tells progress of it now and then. Where something
// went wrong only in tidying up there are a result and an error.
func (f *labFlags) play(ctx context.Context, p *plan.Plan, pop *population.Population, imported bool, progress func(fleet.Progress)) (run *rehearsal.Run, result *report.Result, story *report.Story, err error) {
	run = newRun(f, p, pop, imported)
	before, _ := usage()
	if run.Keys, err = f.keys(ctx, pop, progress); err != nil {
		return nil, nil, nil, err
	}
	keys, _ := usage()
	start := fleet.Begin
	if pop.Tenant.AsOf != 0 {
		start = pop.Tenant.AsOf
	}
	l, err := newLaboratory(ctx, f, start, run)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if run.Fleet, err = l.fleet(ctx, f, run, progress); err != nil {
		return nil, nil, nil, err
	}
	begun := time.Now()
	err = run.Fleet.Run(ctx)
	run.Interrupted = ctx.Err() != nil
	if err != nil && !run.Interrupted {
		return nil, nil, nil, err
	}
	run.Start = run.Fleet.Start()
	run.Now = max(run.Start, l.clock.Now()) // it may have ended before it began
	run.Wall = time.Since(begun)
	run.CPU, run.PeakRSS = usage()
	run.CPU -= keys - before
	run.Push = l.pushFigures(f.language)
	result, story, err = l.tell(run)
	return run, result, story, err
}

// keys makes the RSA keys that --rsa-keys asks for; nil: none. Those of renewals and of devices that enrol again come in the story.
func (f *labFlags) keys(ctx context.Context, pop *population.Population, progress func(fleet.Progress)) (*fleet.Keys, error) {
	if len(f.rsa) == 0 {
		return nil, nil
	}
	n := 0
	for i := range pop.Devices {
		if d := &pop.Devices[i]; d.Joins != population.Never && slices.Contains(f.rsa, d.Platform.String()) {
			n++
		}
	}
	return fleet.MakeKeys(ctx, n, func(made int) {
		if progress != nil {
			progress(fleet.Progress{Start: 1, End: 2, Act: lang.English.Say("%d of %d RSA keys made", made, n)})
		}
	})
}

// newRun is a run that nothing has happened in.
func newRun(f *labFlags, p *plan.Plan, pop *population.Population, imported bool) *rehearsal.Run {
	run := &rehearsal.Run{Command: "lab", Plan: p, Population: pop, Imported: imported, Squeezed: f.clock == "real", Unjudged: f.unjudged, Language: f.language, Log: &rehearsal.Log{}}
	run.Watch = rehearsal.NewWatch(run.Log)
	run.Ledger = ledger.New(ledger.Config{
		Devices: len(pop.Devices), Bound: bound(f.clock), Name: func(d protocol.Device) string { return pop.Devices[d-1].UDID },
	})
	return run
}

// bound is how long a command may take in a lab: on a driven clock a day on the network, in which a device has tried again and
// again after answers that were lost.
func bound(clock string) time.Duration {
	if clock == "driven" {
		return 24 * time.Hour
	}
	return ledger.DefaultBound
}

// fit makes the plan what the flags want.
func (f *labFlags) fit(p *plan.Plan) (*plan.Plan, error) {
	if f.clock != "driven" && f.clock != "real" {
		return nil, fmt.Errorf("--clock %q: want driven or real", f.clock)
	}
	for _, name := range f.rsa {
		if err := oneOf("rsa-keys", name, platformNames()); err != nil {
			return nil, err
		}
	}
	whole := p.Until
	switch {
	case f.clock == "real" && f.length == 0:
		p = p.Squeezed(2 * time.Minute)
	case f.clock == "real":
		p = p.Squeezed(f.length)
	case f.length > 0:
		p.Until = plan.Duration(f.length)
	}
	f.unjudged = unjudged(f.language, p, whole, f.clock == "real")
	if f.restart {
		p.Timeline = append(p.Timeline, plan.Action{At: p.Until / 2, RestartServer: true})
	}
	return p, nil
}

// platformNames are all platforms by name.
func platformNames() (names []string) {
	for _, p := range protocol.Platforms {
		names = append(names, p.String())
	}
	return names
}

// unjudged says what the limits of p, whose story took another time than now, have to do with it.
func unjudged(l lang.Language, p *plan.Plan, whole plan.Duration, squeezed bool) string {
	how := lang.Key("The plan's story takes %s; --for makes it %s.")
	switch {
	case p.Until == whole:
		return ""
	case squeezed:
		how = lang.Key("The plan's story takes %s; the real clock squeezes it into %s.")
	case p.Until < whole:
		how = lang.Key("The plan's story takes %s; --for cuts it to %s.")
	}
	text := l.Say(how, whole, p.Until)
	if len(p.Limits) > 0 {
		text += " " + l.Say("The plan's limits are about the whole story in its own time: they were not judged.")
	}
	return text
}

// write writes report and kept fleet.
func (f *labFlags) write(run *rehearsal.Run, result *report.Result, story *report.Story) error {
	if f.report != "" {
		events := func(w io.Writer) error { return rehearsal.Write(w, run.Log.Lines()) }
		story.Private = f.who.keepNames
		if err := report.WriteDir(f.report, result, story, events, f.force); err != nil {
			return err
		}
	}
	if f.keep != "" {
		return keep(f.keep, run.Fleet.Keep)
	}
	return nil
}

// What is written to see whether there is room for a kept fleet, in bytes: about a device with its key, certificate and
// profiles each, but no more than is written in a second or so.
const (
	keptDevice = 3400
	mostTried  = 1 << 30
)

// checkKeep tells whether a fleet of so many devices could be kept, so that nobody learns after the run that there is no place
// for it.
func checkKeep(name string, force bool, devices int) error {
	switch st, err := os.Stat(name); {
	case err == nil && st.IsDir():
		return fmt.Errorf("--keep: %s is a folder: name a file", name)
	case err == nil && !force:
		return fmt.Errorf("--keep: %s is there already; --force replaces it", name)
	}
	trial, err := temporary(name)
	if err != nil {
		return fmt.Errorf("--keep: %w", err)
	}
	piece := make([]byte, 64<<10)
	for left := min(max(devices*keptDevice, len(piece)), mostTried); left > 0 && err == nil; left -= len(piece) {
		_, err = trial.Write(piece[:min(left, len(piece))])
	}
	if err = errors.Join(err, trial.Close(), os.Remove(trial.Name())); err != nil {
		return fmt.Errorf("--keep: no room for %d devices: %w", devices, err)
	}
	return nil
}

// keep writes the fleet whole or not at all, for its owner's eyes only.
func keep(name string, write func(io.Writer) error) (err error) {
	tmp, err := temporary(name)
	if err != nil {
		return fmt.Errorf("--keep: %w", err)
	}
	defer os.Remove(tmp.Name()) // fails once it is renamed
	if err = write(tmp); err == nil {
		err = tmp.Sync()
	}
	if closing := tmp.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("--keep %s: %w", name, err)
	}
	return nil
}

// present prints the result: one JSON object, or words and numbers.
func present(cmd *cobra.Command, result *report.Result, story *report.Story) error {
	if asJSON(cmd) {
		return report.WriteJSON(cmd.OutOrStdout(), result)
	}
	out, color := screenOf(cmd.OutOrStdout())
	return report.Summary(out, result, story, color)
}

// tell asks the server for its view; a run that was interrupted asks in what time Ctrl-C leaves. A server that the plan has
// down at this moment starts for it.
func (l *laboratory) tell(run *rehearsal.Run) (*report.Result, *report.Story, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if l.server == nil {
		if err := l.Start(ctx); err != nil {
			return nil, nil, err
		}
	}
	l.watch.Turn(l.clock.Now(), l.server.Server.World())
	return run.Tell(ctx, l.target)
}

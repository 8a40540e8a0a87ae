//go:build !agentonly

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// rehearseFlags are the flags of rehearse as they were given.
type rehearseFlags struct {
	who populationFlags

	report, log, csv string
	compare          string
	language         lang.Language
	capacity         capacity
	workers          int
	wire             wireShare
	floor            string
	beside           *floor // what was measured by it
	sizes            []int
	keys             bool
	force            bool
}

func rehearseCommand() *cobra.Command {
	f := rehearseFlags{who: populationFlags{each: rehearsedDevice, saves: true}}
	cmd := &cobra.Command{
		Use: "rehearse [PLAN]", Short: "Play a plan in virtual time: weeks of a tenant's life in seconds", Args: cobra.MaximumNArgs(1),
		Long: `Play a plan in virtual time, with the very rules that serve real devices: weeks of up to a million devices of all five
platforms in seconds. It says who moves and when, who is held by Apple's push certificate, who is stranded or must enrol
again, who is without protection for how long, and what storm meets the server. Every platform is played by rule; with --wire a share
of the devices also speaks: each of their messages goes through the encoders, decoders, gate, SCEP, EST or WSTEP and signatures that
serve real devices, and must come out as by rule (else exit code 2). It costs about a millisecond of a processor a message,
and changes nothing of the story.

With --export and no plan it plays the question that a tenant of Basic Mobility and Security has: Intune is added now, and
the push certificate is renewed at once, after one day, or after four, side by side; --compare puts any two plans side by side.

One plan, --seed and population tell the same story every time, whatever the number of --workers; --log keeps all of it.
Two flags measure. --scale 10000,100000,1000000 rehearses in these sizes, each in a process of its own, and prints time,
memory, the exponents with which they grow (1 is in proportion), and how much faster two workers are than one. --floor PROGRAM
runs PROGRAM -n DEVICES -events CHECK-INS -runs 3 -only ROWS afterwards on the same machine and prints the ratio; of its lines
"NAME n=DEVICES million events per s X | per CPU-s Y" the fastest counts.

Exit code 0; 2 if a limit of the plan or an invariant did not hold. Ctrl-C ends it with what was played so far, marked partial
(130): many devices are played in turns, so the first ones reach the end of the story and the rest are not in it.`,
		Example: `  rollcall rehearse lab
  rollcall rehearse lab --devices 100000 --report ./lab
  rollcall rehearse --export ./my-tenant
  rollcall rehearse change.yaml --export ./my-tenant --log story.jsonl
  rollcall rehearse lab --scale 10000,100000,1000000
  rollcall rehearse change.yaml --compare careful.yaml --export ./my-tenant --csv differences.csv`,
		RunE: func(cmd *cobra.Command, args []string) error { return rehearse(cmd, args, &f) },
	}
	f.who.register(cmd)
	cmd.Flag("plan").Usage = "`PLAN` to play: a file, or the name of a ready plan (default: the argument)"
	flags := cmd.Flags()
	flags.StringVar(&f.report, "report", "", "write report.html, result.json and the lists of devices into `DIR`")
	flags.StringVar(&f.log, "log", "", "write the event log to `FILE`: with it the story can be played again")
	flags.BoolVar(&f.keys, "keys", false, "say what each key of --json and of result.json means, and play nothing")
	flags.StringVar(&f.csv, "csv", "", "write the list to act on, one device a line, to `FILE`; with --compare, what differs for each device")
	flags.StringVar(&f.compare, "compare", "", "rehearse `PLAN2` too, with the same seed, and say what differs for each device")
	flags.Var(&f.language, "lang", "`LANGUAGE` of summary, report and list: en or nl")
	flags.Var(&f.capacity, "capacity", "check-ins a second that the server takes, `N/s` or the result.json of a fleet run, to be held against the storm")
	flags.Var(&f.wire, "wire", "`SHARE` of the devices that speaks over the wire too, such as 1% or 0.5 (half)")
	flags.StringVar(&f.floor, "floor", "", "run `PROGRAM`, a bare event loop, for as many devices and events beside it, and say the ratio")
	flags.IntSliceVar(&f.sizes, "scale", nil, "rehearse with each of these `NUMBERS` of devices, and say how time and memory grow")
	flags.IntVar(&f.workers, "workers", 0, "partitions of the population played at a time (default: one for each processor); they change no result")
	flags.BoolVar(&f.force, "force", false, "replace report and event log of an earlier rehearsal")
	return cmd
}

// rehearse plays the plan, or the question of a tenant without one, and says what came of it.
func rehearse(cmd *cobra.Command, args []string, f *rehearseFlags) error {
	begun := time.Now()
	if f.keys {
		_, err := io.WriteString(cmd.OutOrStdout(), rehearsal.Keys)
		return err
	}
	if f.workers < 0 {
		return errors.New("--workers: at least 1")
	}
	if len(args) == 0 && f.who.plan == "" && f.who.export == "" {
		return errors.New("want a plan, or a tenant's --export: rollcall rehearse lab")
	}
	if f.compare != "" && len(args) == 0 && f.who.plan == "" {
		return errors.New("--compare: want the plan that it is held against too: rollcall rehearse PLAN --compare PLAN2")
	}
	if f.sizes != nil {
		return f.scale(cmd, args)
	}
	if err := cmp.Or(f.places(), isProgram(f.floor)); err != nil {
		return err
	}
	p, pop, imported, err := f.who.load(cmd, args, func(p *plan.Plan) (*plan.Plan, error) { return p, nil })
	if err != nil {
		return err
	}
	var names *population.Population // the same, with the names that stay here
	var group errgroup.Group
	group.Go(func() (err error) {
		names, err = f.who.named(cmd, pop)
		return err
	})
	lead := ""
	if alone := len(args) == 0 && f.who.plan == ""; alone && !rehearsal.Asks(&pop.Tenant) {
		if p, err = rehearsal.AsItIs(p.Seed); err != nil {
			return err
		}
		pop.Adopt(p)
		pop.Assume(p)
		lead = f.language.Say("Nobody gave a plan, and Intune is in this tenant already: two weeks in which nobody changes anything.")
	}
	variants, about, err := f.variants(cmd, args, p, pop, imported)
	if err != nil || variants != nil {
		if err = errors.Join(err, group.Wait()); err == nil {
			err = f.besides(cmd, variants, about, names, begun)
		}
		return err
	}
	bar := newProgress(cmd.ErrOrStderr(), f.language)
	played, err := f.play(cmd.Context(), p, pop, imported, bar.show)
	bar.done()
	if err = errors.Join(err, group.Wait()); err != nil {
		return err
	}
	if played.Devices != nil {
		names = names.Only(played.Devices)
	}
	answers := played.Answer(float64(f.capacity))
	answers.Lead = lead
	result := played.Result(answers)
	cpu, peak := usage()
	result.WallSeconds, result.CPUSeconds, result.PeakRSSBytes = time.Since(begun).Seconds(), cpu.Seconds(), peak
	played.Judge(result)
	if f.floor != "" && !played.Partial {
		if f.beside, err = measureFloor(cmd.Context(), f.floor, f.workers, result); err != nil {
			return err
		}
		result.Sections["floor"] = f.beside
	}
	return f.tell(cmd, result, answers, names)
}

// places sees to it, before anything is played, that all files can be written: each in a place of its own, none over another (HST-125).
func (f *rehearseFlags) places() error {
	taken := map[string]string{} // by place, which flag writes there
	if f.report != "" {
		for _, name := range []string{report.PageFile, report.ResultFile, report.EventsFile, report.ListFile, report.DifferencesFile} {
			taken[filepath.Join(f.report, name)] = "--report"
		}
	}
	for _, to := range []struct{ flag, name string }{{"--log", f.log}, {"--csv", f.csv}} {
		if to.name == "" {
			continue
		}
		place := filepath.Clean(to.name)
		if other := taken[place]; other != "" {
			return fmt.Errorf("%s and %s would both write %s: name another file", other, to.flag, to.name)
		}
		taken[place] = to.flag
		if err := mayWrite(to.flag, to.name, f.force); err != nil {
			return err
		}
		if filepath.Dir(place) == filepath.Clean(f.report) {
			continue // which is made first
		}
		if err := report.CheckFile(to.name); err != nil {
			return fmt.Errorf("%s: %w", to.flag, err)
		}
	}
	if f.report == "" {
		return nil
	}
	return report.CheckDir(f.report, f.force)
}

// tell writes what one rehearsal came to into all places, and shows it.
func (f *rehearseFlags) tell(cmd *cobra.Command, result *report.Result, answers *rehearsal.Answers, names *population.Population) error {
	written := f.write(result, answers, names)
	if written != nil && asJSON(cmd) { // its object is the error's
		return written
	}
	if err := present(cmd, result, answers.Story(f.language, names)); err != nil || written != nil {
		return errors.Join(written, err)
	}
	if f.beside != nil && !asJSON(cmd) {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", f.beside.says(f.language)); err != nil {
			return err
		}
	}
	if err := f.whereReport(cmd); err != nil {
		return err
	}
	return result.ErrIn(f.language)
}

// variants are the rehearsals to be put side by side, and what is to be said of them; nil: there is one alone.
func (f *rehearseFlags) variants(cmd *cobra.Command, args []string, p *plan.Plan, pop *population.Population, imported bool) (all []variant, lead string, err error) {
	switch {
	case f.floor != "" && f.compare != "":
		return nil, "", errors.New("--floor: it is held against one rehearsal, not against two side by side")
	case f.compare != "":
		return f.alternatives(cmd, p, pop, imported)
	case len(args) == 0 && f.who.plan == "" && rehearsal.Asks(&pop.Tenant):
		return f.answersTo(p.Seed, pop)
	}
	return nil, "", nil
}

// whereReport says where the report is.
func (f *rehearseFlags) whereReport(cmd *cobra.Command) error {
	if f.report == "" || asJSON(cmd) {
		return nil
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", f.language.Say("The report is %s.", filepath.Join(f.report, report.PageFile)))
	return err
}

// A listing writes a list of devices, with the names that stay here or without.
type listing func(w io.Writer, named bool) error

// write writes the report, without the names that stay here, and the list to act on, with them.
func (f *rehearseFlags) write(result *report.Result, a *rehearsal.Answers, names *population.Population) error {
	list := func(w io.Writer, named bool) error {
		as := a.Population
		if named {
			as = names
		}
		return writeEntries(w, f.language, func(entry func(rehearsal.Entry) error) error { return a.Entries(f.language, as, entry) })
	}
	return f.writeFiles(result, a.Story(f.language, a.Population), list, map[string]listing{report.ListFile: list})
}

// writeFiles writes the list of devices with names to --csv, and into --report the page, the result and the lists beside them, by the
// names of their files, without.
func (f *rehearseFlags) writeFiles(result *report.Result, story *report.Story, list listing, beside map[string]listing) error {
	write := func(name string, list listing, named bool) error {
		var b bytes.Buffer
		err := list(&b, named)
		if err == nil {
			err = writeFile(name, b.Bytes(), 0o600)
		}
		return err
	}
	var failed error
	if f.csv != "" {
		if err := write(f.csv, list, true); err != nil {
			failed = fmt.Errorf("--csv %s: %w", f.csv, err)
		}
	}
	if f.report == "" {
		return failed
	}
	story.Private = f.who.keepNames
	err := report.WriteDir(f.report, result, story, nil, f.force)
	for _, name := range slices.Sorted(maps.Keys(beside)) {
		if err == nil {
			err = write(filepath.Join(f.report, name), beside[name], false)
		}
	}
	return errors.Join(failed, err)
}

// play plays p with pop, and writes the event log where one is wanted.
func (f *rehearseFlags) play(ctx context.Context, p *plan.Plan, pop *population.Population, imported bool, progress func(fleet.Progress)) (played *rehearsal.Played, err error) {
	c := rehearsal.Config{Plan: p, Population: pop, Progress: progress, Workers: f.workers, Wire: plan.Share(f.wire), Source: rehearsal.Source{Made: !imported, Devices: len(pop.Devices)}}
	if imported {
		c.Source.Export = filepath.Base(f.who.export)
	}
	if f.log == "" {
		return rehearsal.Play(ctx, c)
	}
	err = eventLog(f.log, func(w io.Writer) (err error) {
		c.Log = w
		played, err = rehearsal.Play(ctx, c)
		return err
	})
	return played, err
}

// eventLog has write fill the file of this name, whole or not at all, for its owner's eyes only.
func eventLog(name string, write func(io.Writer) error) (err error) {
	tmp, err := temporary(name)
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	defer os.Remove(tmp.Name()) // fails once it is renamed
	buffer := bufio.NewWriterSize(tmp, 1<<20)
	if err = write(buffer); err == nil {
		err = buffer.Flush()
	}
	if closing := tmp.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), name); err != nil {
		return fmt.Errorf("--log %s: %w", name, err)
	}
	return nil
}

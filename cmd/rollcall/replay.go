//go:build !agentonly

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

func replayCommand() *cobra.Command {
	f := rehearseFlags{who: populationFlags{each: rehearsedDevice}}
	shrink := ""
	cmd := &cobra.Command{
		Use: "replay FILE", Short: "Play an event log's story again and say whether it is the same", Args: cobra.ExactArgs(1),
		Long: `Read an event log that rehearse --log has written, play its plan with its seed again, and hold every line against the file: an
event log is a whole bug report. Where something differs, the first line that does is named, and how both have it; the story is
played no further than that takes, and the exit code is 2. A log of a tenant's own devices needs the same --export. A rehearsal
that was interrupted is played up to there.

When an invariant of the model or a limit of the plan does not hold in the story, --shrink FILE writes the least plan in which it
still does not: fewer devices, fewer actions and faults, a shorter time. It is the first invariant that was violated or, where none
was, the first limit that failed. Limits on wall time, processor time and memory are not of the story and are left aside, and a
--capacity is not in its log. A limit that speaks of a number of devices, such as devices.enrolled ==
1000, fails with fewer of them too.`,
		Example: `  rollcall replay story.jsonl
  rollcall replay story.jsonl --export ./my-tenant
  rollcall replay story.jsonl --shrink least.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error { return replay(cmd, args[0], shrink, &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.who.export, "export", "", "the tenant's own devices that were played: `FOLDER` or FILE.csv")
	f.who.registerReading(cmd)
	flags.StringVar(&shrink, "shrink", "", "write the least plan that still breaks the same invariant or fails the same limit to `FILE`")
	flags.IntVar(&f.workers, "workers", 0, "partitions of the population played at a time (default: one for each processor); they change no result")
	flags.BoolVar(&f.force, "force", false, "replace the file of --shrink")
	flags.Var(&f.language, "lang", "`LANGUAGE` of what is told: en or nl")
	return cmd
}

func replay(cmd *cobra.Command, name, shrink string, f *rehearseFlags) error {
	if err := mayWrite("--shrink", shrink, f.force); err != nil {
		return err
	}
	file, log, err := openLog(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if log.Header == nil {
		return fmt.Errorf("%s: it has no plan and seed in its first line, as the log of a live run; only a rehearsal's log can be played again (rollcall rehearse --log)", name)
	}
	p, pop, err := f.who.replayed(cmd, log.Header)
	if err != nil {
		return err
	}
	against := &comparison{file: bufio.NewReaderSize(io.NewSectionReader(file, 0, math.MaxInt64), 1<<20)}
	bar := newProgress(cmd.ErrOrStderr(), f.language)
	played, err := rehearsal.Play(cmd.Context(), rehearsal.Config{
		Plan: p, Population: pop, Start: log.Header.Start, Source: log.Header.Population, Partition: log.Header.Partition, Partitions: log.Header.Partitions, Workers: f.workers, Progress: bar.show, Against: log, Log: against,
	})
	bar.done()
	if err != nil && !errors.Is(err, errDiffers) && !errors.Is(err, errCut) {
		return err
	}
	if cmd.Context().Err() != nil {
		return cmd.Context().Err()
	}
	if err == nil {
		against.end()
	}
	found := map[string]any{"version": 1, "command": "replay", "verdict": report.OK, "lines": against.n}
	if against.differs {
		found["verdict"], found["line"], found["file"], found["now"] = report.Failed, against.n, string(against.was), string(against.is)
	}
	if played != nil {
		found["event_log_sha256"], found["violated"] = played.LogSHA256, played.Violated
	}
	if against.cut != 0 {
		found["interrupted_at"] = against.cut
	}
	err = show(cmd, found, func(w io.Writer) {
		in := f.language
		if against.torn {
			fmt.Fprintln(w, in.Say("The file ends inside line %d; up to there it is the same story.", against.n))
			return
		}
		if against.differs {
			fmt.Fprintln(w, in.Say("Line %d differs.", against.n))
			fmt.Fprintln(w, "  "+in.Say("the file: %s", orEnd(in, against.was, against.is)))
			fmt.Fprintln(w, "  "+in.Say("now:      %s", orEnd(in, against.is, against.was)))
			return
		}
		if against.cut != 0 {
			fmt.Fprintln(w, in.Say("The same story, line for line, up to %s, where it was interrupted: %d lines.", against.cut, against.n))
			return
		}
		fmt.Fprintln(w, in.Say("The same story, line for line: %d lines, SHA-256 %s.", against.n, played.LogSHA256))
	})
	if err != nil {
		return err
	}
	if shrink != "" {
		return f.shrink(cmd, shrink, p, log.Header, played, against)
	}
	if against.torn {
		return failed{fmt.Sprintf("%s: the file ends inside line %d: it was cut off", name, against.n)}
	}
	if against.differs {
		return failed{fmt.Sprintf("%s: line %d differs from what is played now", name, against.n)}
	}
	return nil
}

// shrink writes the least plan that still breaks an invariant, or else fails a limit, as the story did.
func (f *rehearseFlags) shrink(cmd *cobra.Command, name string, p *plan.Plan, h *rehearsal.LogHeader, played *rehearsal.Played, against *comparison) error {
	switch {
	case against.cut != 0:
		return errors.New("--shrink: the story was interrupted, so nobody knows whether it would have broken an invariant or failed a limit; rehearse its plan anew")
	case played == nil:
		return errors.New("--shrink: the story differs from its log, so it cannot be made shorter; rehearse its plan anew")
	case !h.Population.Made:
		return errors.New("--shrink: a story of a tenant's own devices cannot be made shorter; only one whose population its plan makes")
	}
	wrong, does := wrongIn(played)
	if does == nil {
		return errors.New("--shrink: no invariant was violated and no limit of the plan failed in this story, so there is nothing to make shorter")
	}
	least, err := rehearsal.Shrink(cmd.Context(), p, func(ctx context.Context, q *plan.Plan) bool {
		pop, err := population.Make(ctx, q, nil)
		if err != nil {
			return false
		}
		again, err := rehearsal.Play(ctx, rehearsal.Config{Plan: q, Population: pop, Start: h.Start, Workers: f.workers})
		return err == nil && does(again)
	})
	if err != nil {
		return err
	}
	if err := writeFile(name, []byte(least.Source()), 0o600); err != nil {
		return fmt.Errorf("--shrink %s: %w", name, err)
	}
	_, err = fmt.Fprintln(cmd.ErrOrStderr(), f.language.Say("%s %s too: %d {device|devices}, %d actions and faults, %s long", name, wrong.In(f.language), least.Devices(), len(least.Timeline)+len(least.Faults), least.Until.String()))
	return err
}

// wrongIn says what is wrong in a story, the first that is, and tells it of another; nil where nothing is.
func wrongIn(played *rehearsal.Played) (wrong lang.Text, does func(*rehearsal.Played) bool) {
	if played.Violated > 0 {
		first := played.Violations[0].Invariant
		return lang.Later("breaks %s", first), func(again *rehearsal.Played) bool {
			return again.Violated > 0 && again.Violations[0].Invariant == first
		}
	}
	limits := played.FailedLimits()
	if len(limits) == 0 {
		return wrong, nil
	}
	first := limits[0].Limit
	return lang.Later("fails the limit %s", first), func(again *rehearsal.Played) bool {
		return slices.ContainsFunc(again.FailedLimits(), func(l report.Limit) bool { return l.Limit == first })
	}
}

// A failed is the error of a job that ran and found something.
type failed struct{ what string }

func (f failed) Error() string { return f.what }
func (failed) Verdict() string { return report.Failed }

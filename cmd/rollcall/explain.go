//go:build !agentonly

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// explainFlags are the flags of explain as they were given.
type explainFlags struct {
	who      populationFlags
	device   string
	language lang.Language
}

func explainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use: "explain FILE --device ID", Short: "Tell one device's life out of an event log, with the rule behind each step", Args: cobra.ExactArgs(1),
		Long: `Read an event log (rehearse --log, or events.jsonl of a lab's report) and tell what happened to one device, step by step, in words:
what the plan did to everybody, what the device says, what the server says, and by which rule. A rehearsal's log leaves out
check-ins that changed nothing, and how long the push certificate held the device; both are filled in by playing the device's part
of the story again.

--device takes the identifier that the log has, or, where the log's population was made from its plan, the device's name or serial
number as the report has it. For a log of a tenant's own devices, --export FOLDER gives their names.`,
		Example: `  rollcall rehearse gap --log story.jsonl
  rollcall explain story.jsonl --device ios-000001
  rollcall explain story.jsonl --device ios-000001 --lang nl`,
		RunE: func(cmd *cobra.Command, args []string) error { return explain(cmd, args[0], &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.device, "device", "", "the device's `ID` in the log, its name or its serial number")
	flags.Var(&f.language, "lang", "`LANGUAGE` to tell it in: en or nl")
	flags.StringVar(&f.who.export, "export", "", "the tenant's own devices that were played: `FOLDER` or FILE.csv")
	f.who.registerReading(cmd)
	return cmd
}

func explain(cmd *cobra.Command, name string, f *explainFlags) error {
	if f.device == "" {
		return errors.New("--device: whose life? Give its ID in the log, its name or its serial number")
	}
	file, log, err := openLog(name)
	if err != nil {
		return err
	}
	defer file.Close()
	of, err := f.story(cmd, log.Header)
	if err != nil {
		return err
	}
	index, id, title, err := of.find(f.device)
	if err != nil {
		return err
	}
	var lines []rehearsal.Line
	found := false
	for line := range log.Lines() {
		if line.Device == id || line.Device == "" {
			found = found || line.Device != ""
			lines = append(lines, line)
		}
	}
	if err := log.Err(); err != nil {
		return err
	}
	if !found {
		hint := ""
		if log.Header != nil && of.pop == nil {
			hint = fmt.Sprintf("; the log is of a tenant's own devices (%s): --export says which names they have", log.Header.Population.Export)
		}
		return fmt.Errorf("%s: nothing happened to a device %q; --device takes the identifier that the log has, or the name or serial number of a device%s", name, f.device, hint)
	}
	start := lines[0].At
	if log.Header != nil {
		start = log.Header.Start
	}
	if of.plan != nil && index >= 0 {
		if lines, err = of.relive(cmd, f.language, name, log.Header, lines, index, id); err != nil {
			return err
		}
	} else if log.Header != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), f.language.Say("%s: the check-ins of which nothing came are left out: of a tenant's own devices they need the same --export (%s)", name, log.Header.Population.Export))
	}
	life := rehearsal.Lived{Language: f.language}
	for i := range lines {
		life.Add(&lines[i])
	}
	return show(cmd, map[string]any{"version": 1, "command": "explain", "verdict": "ok", "device": id, "name": title, "steps": life.Steps}, func(w io.Writer) {
		out, color := screenOf(w)
		report.Steps(out, title, stepsOf(&life, start), f.language, color)
	})
}

// A loggedStory is what a log's header says was played. Without a header, or without the export that it names, nothing is known.
type loggedStory struct {
	plan       *plan.Plan             // nil: it cannot be played again
	pop, names *population.Population // as it was played, and the same with the names that stay here; nil: not known
}

// story makes the plan and the population of a log's header again.
func (f *explainFlags) story(cmd *cobra.Command, h *rehearsal.LogHeader) (s loggedStory, err error) {
	switch {
	case h == nil && f.who.export != "": // of a lab: its devices have names
		if s.pop, err = f.who.imported(cmd); err == nil {
			s.names, err = f.who.named(cmd, s.pop)
		}
		return s, err
	case h == nil, !h.Population.Made && f.who.export == "":
		return s, f.who.onlyWithExport(cmd)
	}
	if s.plan, s.pop, err = f.who.replayed(cmd, h); err != nil {
		return s, err
	}
	if s.names = s.pop; f.who.export != "" {
		names, err := f.who.named(cmd, s.pop)
		if err != nil {
			return s, err
		}
		if len(names.Devices) == len(s.pop.Devices) { // else they were resampled
			s.names = names
		}
	}
	return s, nil
}

// find returns the device that is meant: its index in the population, what the log calls it, and a title. Where the log does not say
// who its devices are, the index is negative and the device is called as it was given.
func (s *loggedStory) find(device string) (index int, id, title string, err error) {
	if s.pop == nil {
		return -1, device, device, nil
	}
	var called []int
	for i := range s.pop.Devices {
		d := &s.names.Devices[i]
		switch {
		case strings.EqualFold(s.pop.Devices[i].UDID, device):
			return i, s.pop.Devices[i].UDID, deviceTitle(s.names, d), nil
		case d.Name == device || d.Serial == device:
			called = append(called, i)
		}
	}
	switch len(called) {
	case 0:
		return -1, device, device, nil
	case 1:
		i := called[0]
		return i, s.pop.Devices[i].UDID, deviceTitle(s.names, &s.names.Devices[i]), nil
	}
	var ids []string
	for _, i := range called[:min(len(called), 5)] {
		ids = append(ids, s.pop.Devices[i].UDID)
	}
	return 0, "", "", errors.New("--device " + device + ": several devices are called so; name one by its identifier: " + strings.Join(ids, ", "))
}

// relive adds to lines, all that the log has about a device and the tenant, the device's check-ins of which nothing came: its
// partition is played again. Where that is another story than the log's, they are left out, and that is said.
func (s *loggedStory) relive(cmd *cobra.Command, in lang.Language, name string, h *rehearsal.LogHeader, lines []rehearsal.Line, index int, id string) ([]rehearsal.Line, error) {
	now, quiet, err := rehearsal.Relive(cmd.Context(), rehearsal.Config{Plan: s.plan, Population: s.pop, Start: h.Start, Source: h.Population, Partition: h.Partition}, index)
	if err != nil {
		return nil, err
	}
	if last := &lines[len(lines)-1]; last.Side == rehearsal.OfPlan && last.What == rehearsal.Interrupted {
		later := func(l rehearsal.Line) bool { return l.At >= last.At }
		now, quiet = slices.DeleteFunc(now, later), slices.DeleteFunc(quiet, later)
	}
	was := slices.DeleteFunc(slices.Clone(lines), func(l rehearsal.Line) bool { return l.Device != id })
	if !slices.Equal(was, now) {
		fmt.Fprintln(cmd.ErrOrStderr(), in.Say("%s: the check-ins of which nothing came are left out: what is played now is not what the log has (rollcall replay says where it differs)", name))
		return lines, nil
	}
	return rehearsal.Together(lines, quiet), nil
}

func deviceTitle(pop *population.Population, d *population.Device) string {
	title := d.Name + ", " + lang.Platform(d.Platform) + ", " + d.UDID
	if d.User != population.Nobody {
		title += ", " + pop.Users[d.User].UPN
	}
	return title
}

// stepsOf makes a life ready to be shown.
func stepsOf(life *rehearsal.Lived, start protocol.Time) (steps []report.Step) {
	for i := range life.Steps {
		s := &life.Steps[i]
		text := s.Text
		if s.Times > 1 {
			text = life.Language.Say("%s; %d {time|times} in all, the last on %s", s.Text, s.Times, life.Language.Moment(s.Last.Sub(start), always))
		}
		steps = append(steps, report.Step{At: s.At.Sub(start), Text: text, Rule: string(s.Rule), Why: s.Why, Aside: s.Side == rehearsal.OfPlan})
	}
	return steps
}

// always is a length of story whose moments are told in days.
const always = 1 << 62

//go:build !agentonly

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

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
		Long: `Read an event log (rehearse --log, or events.jsonl of a lab's report) and tell what happened to one device, step by step, in
words: what the plan did to everybody, what the device says, what the server says, and by which rule.

--device takes the identifier that the log has, or, where the log's population was made from its plan, the device's name or
serial number as the report has it. Of a log of a tenant's own devices, --export FOLDER says which names they have.`,
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
	cmd.MarkFlagRequired("device")
	return cmd
}

func explain(cmd *cobra.Command, name string, f *explainFlags) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	log, err := rehearsal.OpenLog(name, file)
	if err != nil {
		return err
	}
	id, title, err := f.find(cmd, log.Header)
	if err != nil {
		return err
	}
	life := rehearsal.Lived{Language: f.language}
	found := false
	var start protocol.Time
	if log.Header != nil {
		start = log.Header.Start
	}
	for line := range log.Lines() {
		if start == 0 {
			start = line.At
		}
		if line.Device == id || line.Device == "" {
			found = found || line.Device != ""
			life.Add(&line)
		}
	}
	if err := log.Err(); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%s: nothing happened to a device %q; --device takes the identifier that the log has, or the name or serial number of a device", name, f.device)
	}
	return show(cmd, map[string]any{"version": 1, "command": "explain", "verdict": "ok", "device": id, "name": title, "steps": life.Steps}, func(w io.Writer) {
		out, color := screenOf(w)
		report.Steps(out, title, stepsOf(&life, start), f.language, color)
	})
}

// find returns how the log calls the device that is meant, and a title for it. Where the log does not say who its devices are, the
// device is called as it was given.
func (f *explainFlags) find(cmd *cobra.Command, h *rehearsal.LogHeader) (id, title string, err error) {
	var pop *population.Population
	switch {
	case f.who.export != "":
		o, err := f.who.options(cmd)
		if err != nil {
			return "", "", err
		}
		o.KeepNames = true
		pop, err = importExport(o)
		if err != nil {
			return "", "", err
		}
	case h != nil && h.Population.Made:
		p, err := h.Replayed()
		if err == nil {
			pop, err = makePopulation(cmd.Context(), cmd.ErrOrStderr(), p)
		}
		if err != nil {
			return "", "", err
		}
	default:
		if err := f.who.onlyWithExport(cmd); err != nil {
			return "", "", err
		}
		return f.device, f.device, nil
	}
	var found []*population.Device
	for i := range pop.Devices {
		d := &pop.Devices[i]
		switch {
		case strings.EqualFold(d.UDID, f.device):
			return d.UDID, deviceTitle(pop, d), nil
		case d.Name == f.device || d.Serial == f.device:
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return f.device, f.device, nil
	case 1:
		return found[0].UDID, deviceTitle(pop, found[0]), nil
	}
	var ids []string
	for _, d := range found[:min(len(found), 5)] {
		ids = append(ids, d.UDID)
	}
	return "", "", errors.New("--device " + f.device + ": several devices are called so; name one by its identifier: " + strings.Join(ids, ", "))
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

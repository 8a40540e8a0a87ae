//go:build !agentonly

package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol/lang"
)

type planImportFlags struct {
	who   populationFlags
	out   string
	force bool
	in    lang.Language
}

func planImportCommand() *cobra.Command {
	var f planImportFlags
	cmd := &cobra.Command{
		Use: "import --export FOLDER", Short: "Write a plan that is like a tenant's own export", Args: noArgs,
		Long: `Write a plan whose tenant, mix of devices, licences, devices for each user, spells off the network and silences are fitted to
an export (see rollcall preview --help for its files). It makes devices like the tenant's in proportion, and names none of them.
With --previous, an older export, it says how silent devices come back; without one that is assumed. What was read and what is
assumed is told, and stands in the plan as comments.

What is to happen is yours to add to the timeline.`,
		Example: `  rollcall plan import --export ./my-tenant --out my-tenant.yaml
  rollcall plan import --export ./november --previous ./october --out my-tenant.yaml
  rollcall rehearse my-tenant.yaml --devices 100000`,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd) }
	flags := cmd.Flags()
	flags.StringVar(&f.who.export, "export", "", "a tenant's own devices: `FOLDER` or FILE.csv")
	flags.StringVar(&f.who.previous, "previous", "", "an older export of the same tenant, `FOLDER` or FILE.csv: how silent devices come back")
	flags.StringVar(&f.out, "out", "", "`FILE` to write (default: stdout)")
	flags.BoolVar(&f.force, "force", false, "replace the file if it is there already")
	flags.Var(&f.in, "lang", "`LANGUAGE` of what is told and of the plan's comments: en or nl")
	f.who.registerReading(cmd)
	return cmd
}

func (f *planImportFlags) run(cmd *cobra.Command) error {
	if f.who.export == "" {
		return errors.New("--export: want the folder of an export, or its CSV")
	}
	if err := mayWrite("--out", f.out, f.force); err != nil {
		return err
	}
	pop, err := f.who.imported(cmd)
	if err != nil {
		return err
	}
	fitted, notes := pop.Fit()
	text := fitted.Encode(comments(f.in, f.in.Say("Fitted to an export of %s: %d {device|devices}, %d left out.", pop.Tenant.AsOf, len(pop.Devices), pop.Total-len(pop.Devices)), notes))
	name := f.out
	if name == "" {
		name = "the plan of this export"
	}
	p, err := plan.Parse(name, text)
	if err != nil {
		return err
	}
	summary := map[string]any{
		"version": 1, "command": "plan import", "verdict": "ok", "file": f.out, "name": p.Name, "devices": p.Devices(), "until": p.Until.String(), "notes": notes, "plan": string(text),
		"doubts": doubtsOfExport(pop),
	}
	names := pop
	if len(pop.Doubts) > 0 {
		if names, err = f.who.named(cmd, pop); err != nil {
			return err
		}
	}
	tellDoubts(cmd.ErrOrStderr(), f.in, names)
	return writePlan(cmd, f.out, text, summary, func(w io.Writer) {
		fmt.Fprintln(w, f.in.Say("%s: written, %d {device|devices}", f.out, p.Devices()))
		for _, n := range notes {
			what := f.in.Say("read")
			if n.Assumed {
				what = f.in.Say("assumed")
			}
			fmt.Fprintf(w, "  %-8s %s: %s\n", what, n.Path, n.Text.In(f.in))
		}
	})
}

// An exportDoubt is one doubt of an export for programs, and fewDoubts how many are told one by one to people.
type exportDoubt struct {
	Kind   population.DoubtKind `json:"kind"`
	Device string               `json:"device"` // empty: the tenant
	Text   string               `json:"text"`
	Other  string               `json:"other"`
}

const fewDoubts = 20

func doubtsOfExport(pop *population.Population) []exportDoubt {
	all := []exportDoubt{}
	for i := range pop.Doubts {
		d := &pop.Doubts[i]
		all = append(all, exportDoubt{d.Kind, d.Name, d.Text.String(), d.Other.String()})
	}
	return all
}

// tellDoubts says on the screen, where names stay, what of an export can be read in two ways, and how it was read.
func tellDoubts(w io.Writer, in lang.Language, pop *population.Population) {
	for i := range pop.Doubts[:min(fewDoubts, len(pop.Doubts))] {
		d := &pop.Doubts[i]
		about := in.Say("%s. Otherwise: %s", d.Text.In(in), d.Other.In(in))
		if d.Name != "" {
			about = d.Name + ": " + about
		}
		fmt.Fprintln(w, in.Say("doubt: %s", about))
	}
	if n := len(pop.Doubts); n > fewDoubts {
		fmt.Fprintln(w, in.Say("%d doubts in all; rollcall preview --export shows them", n))
	}
}

// comments are what stands above the parts of a written plan.
func comments(in lang.Language, head string, notes []population.Note) map[string][]string {
	all := map[string][]string{"": {head}}
	for _, n := range notes {
		text := n.Text.In(in)
		if n.Assumed {
			text = in.Say("assumed: %s", text)
		}
		all[n.Path] = append(all[n.Path], text)
	}
	return all
}

// writePlan writes a plan to a file, and tells human about it on the terminal; without a file it goes to stdout and human to stderr.
func writePlan(cmd *cobra.Command, out string, text []byte, summary any, human func(w io.Writer)) error {
	if out != "" {
		if err := writeFile(out, text, 0o644); err != nil {
			return fmt.Errorf("--out %s: %w", out, err)
		}
	}
	if out != "" || asJSON(cmd) {
		return show(cmd, summary, human)
	}
	_, err := cmd.OutOrStdout().Write(text)
	return err
}

// imported reads --export, and --previous where it is given.
func (f *populationFlags) imported(cmd *cobra.Command) (*population.Population, error) {
	options, err := f.options(cmd)
	if err != nil {
		return nil, err
	}
	pop, err := importExport(options)
	if err != nil {
		return nil, err
	}
	tellBad(cmd.ErrOrStderr(), pop)
	if f.previous != "" {
		err = since(pop, f.previous, options)
	}
	return pop, err
}

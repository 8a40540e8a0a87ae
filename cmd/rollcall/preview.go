//go:build !agentonly

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

// previewFlags are the flags of preview as they were given.
type previewFlags struct {
	who populationFlags

	set, licences, csv, html string
	noGap, force             bool
	gapPlatforms             []string
	language                 lang.Language
}

func previewCommand() *cobra.Command {
	var f previewFlags
	cmd, c := clientCommand(&cobra.Command{
		Use: "preview [--export FOLDER]", Short: "Say what happens if the authority changes now: who moves, stays, is held or stranded", Args: noArgs,
		Long: `Read a tenant's own export and say what a change of its MDM authority would do to every device of every platform: who moves
at once and by which rule, who stays, who is held by Apple's push certificate, who can never move, what mail and settings
are lost, how many licence units are short, and the dates that matter. No server and no plan are needed, and nothing is
changed.

In a tenant that has Basic Mobility and Security alone the question is what adding Intune does; in one that has both, or
Intune, what the next check-ins do. --set asks for another change, --licence-file for other licences.

On the terminal and in --csv devices and users have their names; in --json and --html they have tokens, unless --keep-names
is given. Exit code 2 when the change would be refused as things are.

Without --export a running server is asked about its own devices; --set and --lang alone apply then.`,
		Example: `  rollcall preview --export ./my-tenant
  rollcall preview --export ./my-tenant --csv to-do.csv --html preview.html
  rollcall preview --export ./my-tenant --licence-file licences-after.csv
  rollcall preview --export DevicesWithInventory.csv --coexistence --set intune --json
  rollcall preview --set coexistence --server https://mdm.example.org:8443`,
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.who.export == "" {
			return previewLive(cmd, c, f.set, f.language)
		}
		return preview(cmd, &f)
	}
	flags := cmd.Flags()
	flags.StringVar(&f.who.export, "export", "", "a tenant's own devices: `FOLDER` or FILE.csv")
	f.who.registerReading(cmd)
	flags.StringVar(&f.set, "set", "", "the `AUTHORITY` to change to: intune, sccm, office365 or coexistence")
	flags.StringVar(&f.licences, "licence-file", "", "the users' licences after the change: `FILE`.csv (UserPrincipalName,Licenses) or users.json")
	flags.StringVar(&f.csv, "csv", "", "write device, user, reason and action of every device to `FILE`, or - for stdout")
	flags.StringVar(&f.html, "html", "", "write one page to `FILE`")
	flags.BoolVar(&f.noGap, "no-gap-on-coexistence", false, "adding Intune needs no renewed push certificate (gap.onCoexistence: off)")
	flags.StringSliceVar(&f.gapPlatforms, "gap-platforms", nil, "`PLATFORMS` that wait for a renewed push certificate (default ios,ipados,macos)")
	flags.Var(&f.language, "lang", "`LANGUAGE` of what is told, of page and list: en or nl")
	flags.BoolVar(&f.force, "force", false, "replace files that are there already")
	return cmd
}

func preview(cmd *cobra.Command, f *previewFlags) error {
	begun := time.Now()
	o, want, gap, err := f.question(cmd)
	if err != nil {
		return err
	}
	if err := f.room(); err != nil {
		return err
	}
	named, tokens, err := f.read(cmd, o)
	if err != nil {
		return err
	}
	tellBad(cmd.ErrOrStderr(), named)
	if f.set == "" {
		want = rehearsal.Wanted(&named.Tenant)
	}
	p, err := rehearsal.NewPreview(named, want, gap)
	if err != nil {
		return err
	}
	result := p.Result(tokens)
	result.WallSeconds = time.Since(begun).Seconds()
	cpu, peak := usage()
	result.CPUSeconds, result.PeakRSSBytes = cpu.Seconds(), peak
	if err := f.write(cmd, p, named, tokens, result); err != nil {
		return err
	}
	verdict := result.ErrIn(f.language)
	if p.Refused != nil {
		verdict = &shown{p.Refused} // with its rule
	}
	if f.csv == "-" {
		return verdict
	}
	if asJSON(cmd) {
		err = report.WriteJSON(cmd.OutOrStdout(), result)
	} else {
		out, color := screenOf(cmd.OutOrStdout())
		err = report.Brief(out, result, p.Story(f.language, named), color)
	}
	if err != nil {
		return errors.Join(verdict, err)
	}
	return verdict
}

// read reads the export with names, for the terminal and the list to act on, and with tokens, for what is meant to be passed
// on: once where one of the two is enough, else both at the same time.
func (f *previewFlags) read(cmd *cobra.Command, o population.Options) (named, tokens *population.Population, err error) {
	inside, outside := !asJSON(cmd) || f.csv != "", asJSON(cmd) || f.html != ""
	if o.KeepNames || !inside || !outside {
		o.KeepNames = o.KeepNames || inside
		named, err = importExport(o)
		return named, named, err
	}
	var g errgroup.Group
	for _, of := range []struct {
		into **population.Population
		keep bool
	}{{&named, true}, {&tokens, false}} {
		g.Go(func() (err error) {
			o := o
			o.KeepNames = of.keep
			*of.into, err = importExport(o)
			return err
		})
	}
	err = g.Wait()
	return named, tokens, err
}

// question is what the flags ask.
func (f *previewFlags) question(cmd *cobra.Command) (o population.Options, want *authority.Change, gap authority.GapSettings, err error) {
	switch {
	case f.csv == "-" && asJSON(cmd):
		return o, nil, gap, errors.New("--csv -: stdout has room for one of --csv and --json; write the list to a file")
	}
	if o, err = f.who.options(cmd); err != nil {
		return o, nil, gap, err
	}
	o.LicenceFile = f.licences
	gap.NotOnCoexistence = f.noGap
	for _, name := range f.gapPlatforms {
		var p protocol.Platform
		if err := p.UnmarshalText([]byte(name)); err != nil {
			return o, nil, gap, fmt.Errorf("--gap-platforms: %w", err)
		}
		gap.Platforms = append(gap.Platforms, p)
	}
	if f.set == "" {
		return o, nil, gap, nil
	}
	want = &authority.Change{Coexistence: f.set == "coexistence", Authority: protocol.Office365}
	if !want.Coexistence {
		if want.Authority.UnmarshalText([]byte(f.set)) != nil {
			return o, nil, gap, fmt.Errorf("--set %q: want intune, sccm, office365 or coexistence", f.set)
		}
	}
	return o, want, gap, nil
}

// room refuses to replace files before anything is read (HST-125).
func (f *previewFlags) room() error {
	csv := f.csv
	if csv == "-" { // stdout
		csv = ""
	}
	return cmp.Or(mayWrite("--csv", csv, f.force), mayWrite("--html", f.html, f.force))
}

// write writes the files that were asked for.
func (f *previewFlags) write(cmd *cobra.Command, p *rehearsal.Preview, named, tokens *population.Population, result *report.Result) error {
	language := f.language
	entries := func(f func(rehearsal.Entry) error) error { return p.Entries(language, named, f) }
	switch {
	case f.csv == "-":
		if err := writeEntries(cmd.OutOrStdout(), language, entries); err != nil {
			return err
		}
	case f.csv != "":
		var list bytes.Buffer
		err := writeEntries(&list, language, entries)
		if err == nil {
			err = writeFile(f.csv, list.Bytes(), 0o600)
		}
		if err != nil {
			return fmt.Errorf("--csv %s: %w", f.csv, err)
		}
	}
	if f.html == "" {
		return nil
	}
	var page bytes.Buffer
	err := report.Page(&page, result, p.Story(language, tokens))
	if err == nil {
		err = writeFile(f.html, page.Bytes(), 0o600)
	}
	if err != nil {
		return fmt.Errorf("--html %s: %w", f.html, err)
	}
	return nil
}

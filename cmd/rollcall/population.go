//go:build !agentonly

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/server/authority"
)

// populationFlags say who the devices are: a plan's, or those of a tenant's export. All commands that play a story share
// them.
type populationFlags struct {
	plan     string
	export   string
	previous string
	devices  int
	seed     uint64
	each     int64 // bytes of memory that a device takes, about; 0: those of a lab
	saves    bool  // what follows is a rehearsal of them: see saveMemory

	asOf, licenceDefault, authority, labels string
	coexistence                             bool
	bmsAgent                                []string
	keepNames, lenient                      bool
	apnsTopic, apnsAppleID, apnsExpires     string
}

func (f *populationFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.plan, "plan", "", "`PLAN` to play: a file, or the name of a ready plan (default: the argument, else lab; with --export tenant)")
	flags.StringVar(&f.export, "export", "", "play a tenant's own devices: `FOLDER` or FILE.csv")
	flags.StringVar(&f.previous, "previous", "", "export: an older one of the same tenant, `FOLDER` or FILE.csv: how silent devices come back")
	flags.IntVar(&f.devices, "devices", 0, "`N` devices instead of the plan's; resamples an export")
	flags.Uint64Var(&f.seed, "seed", 0, "another story by the same rules")
	f.registerReading(cmd)
}

// registerReading registers the flags that say how an export is read.
func (f *populationFlags) registerReading(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.asOf, "as-of", "", "export: the `MOMENT` it describes, RFC 3339 (default: what it says, else its latest contact)")
	flags.StringVar(&f.licenceDefault, "licence-default", "", "export: `CLASS` of users that it does not show: basic, intune or none (default basic; intune under coexistence for those with a device there, where no file is about users)")
	flags.BoolVar(&f.coexistence, "coexistence", false, "export: Intune has been added to a BMS tenant; =false: it has not")
	flags.StringVar(&f.authority, "authority", "", "export: the tenant's `AUTHORITY`: intune, sccm or office365")
	flags.StringSliceVar(&f.bmsAgent, "bms-agent", nil, "export: management `AGENT`s that mean BMS")
	flags.BoolVar(&f.keepNames, "keep-names", false, "export: keep names and serial numbers instead of tokens")
	flags.BoolVar(&f.lenient, "lenient", false, "export: leave bad rows out instead of refusing it")
	flags.StringVar(&f.labels, "labels", "", "export: JSON `FILE` with more labels of the console")
	flags.StringVar(&f.apnsTopic, "apns-topic", "", "export: `TOPIC` of the push certificate (UID of its subject)")
	flags.StringVar(&f.apnsAppleID, "apns-apple-id", "", "export: Apple `ID` that the push certificate was made with")
	flags.StringVar(&f.apnsExpires, "apns-expires", "", "export: `MOMENT` at which the push certificate ends, RFC 3339")
}

// load returns the plan, after fit, and the population that args and flags ask for. imported: it is a tenant's own.
func (f *populationFlags) load(cmd *cobra.Command, args []string, fit func(*plan.Plan) (*plan.Plan, error)) (p *plan.Plan, pop *population.Population, imported bool, err error) {
	name := f.plan
	if len(args) > 0 {
		if name != "" {
			return nil, nil, false, fmt.Errorf("a plan was given twice: %s and --plan %s", args[0], name)
		}
		name = args[0]
	}
	if name == "" && f.export != "" {
		name = "tenant"
	}
	if f.devices < 0 || cmd.Flags().Changed("devices") && f.devices == 0 {
		return nil, nil, false, errors.New("--devices: at least 1")
	}
	p, wrong := loadPlan(name)
	if wrong != nil && (f.export == "" || !legible(wrong)) {
		return nil, nil, false, wrong
	}
	var whole plan.Plan          // as it was read: what a run cuts off or puts in is no matter of the export's
	mine := func() (err error) { // p as flags want it
		whole = *p
		if cmd.Flags().Changed("seed") {
			p.Seed = f.seed
		}
		p, err = fit(p)
		return err
	}
	if wrong == nil {
		if err := mine(); err != nil {
			return nil, nil, false, err
		}
	}
	if f.export == "" {
		if err := f.onlyWithExport(cmd); err != nil {
			return nil, nil, false, err
		}
		if f.devices > 0 {
			if p, err = p.WithDevices(f.devices); err != nil {
				return nil, nil, false, err
			}
		}
		if err := f.room(p.Devices()); err != nil {
			return nil, nil, false, err
		}
		if pop, err = makePopulation(cmd.Context(), cmd.ErrOrStderr(), p); err != nil {
			return nil, nil, false, err
		}
		return p, pop, false, pop.Afford(p)
	}
	if pop, err = f.imported(cmd); err != nil {
		return nil, nil, false, err
	}
	if err := f.room(max(f.devices, len(pop.Devices))); err != nil {
		return nil, nil, false, err
	}
	if wrong != nil { // it has no devices or tenant of its own, or is wrong with these too
		if p, err = loadPlanFor(name, pop.Tenancy()); err == nil {
			err = mine()
		}
		if err != nil {
			return nil, nil, false, err
		}
	}
	if f.devices > 0 {
		pop = pop.Resample(f.devices, p.Seed)
	}
	if err := suits(&whole, pop); err != nil {
		return nil, nil, false, err
	}
	pop.Adopt(p)
	pop.Assume(p)
	if err := pop.Afford(p); err != nil {
		return nil, nil, false, fmt.Errorf("the plan does not suit this export: %w; where rollcall plan waves has computed the plan, it did so for other users than the export's: compute it again with --export %s", err, f.export)
	}
	return p, pop, true, nil
}

// legible tells whether a plan was found and could be read, and mistakes in it are all that is wrong.
func legible(wrong error) bool {
	at, ok := errors.AsType[*plan.Error](wrong)
	return ok && at.Line > 0
}

// suits refuses a plan that contradicts the export whose devices are to play it (HST-123).
func suits(p *plan.Plan, pop *population.Population) error {
	t := &pop.Tenant
	if err := p.Suits(pop.Tenancy()); err != nil {
		return fmt.Errorf("the plan does not suit this export, whose authority is %s: %w", (&authority.Tenant{Authority: t.Authority, Coexistence: t.Coexistence}).Name(), err)
	}
	return nil
}

// room sees to it that there is memory for so many devices, before they are made.
func (f *populationFlags) room(devices int) error {
	if err := enoughMemory(devices, f.size(), freeMemory()); err != nil {
		return err
	}
	if f.saves {
		saveMemory(devices)
	}
	return nil
}

// size is how much memory a device takes, about.
func (f *populationFlags) size() int64 {
	if f.each == 0 {
		return labDevice
	}
	return f.each
}

// named is pop, read once more with the names that its export has where pop has tokens; pop itself where there are none others.
func (f *populationFlags) named(cmd *cobra.Command, pop *population.Population) (*population.Population, error) {
	if f.export == "" || f.keepNames || f.devices > 0 {
		return pop, nil
	}
	o, err := f.options(cmd)
	if err != nil {
		return nil, err
	}
	o.KeepNames = true
	return importExport(o)
}

// importExport reads --export.
func importExport(o population.Options) (*population.Population, error) {
	pop, err := population.Import(o)
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		if errors.Is(err, fs.ErrNotExist) && at.Path == o.Path {
			return nil, fmt.Errorf("--export: there is no file or folder %s", o.Path)
		}
		return nil, fmt.Errorf("--export: %w", err)
	}
	return pop, err
}

// since learns from an older export, read as the newer one, how silent devices come back.
func since(pop *population.Population, path string, o population.Options) error {
	o.Path, o.AsOf, o.LicenceFile = path, 0, ""
	old, err := population.Import(o)
	if _, ok := errors.AsType[*fs.PathError](err); err == nil {
		err = pop.Since(old)
	} else if !ok {
		return err // it names the file
	}
	if err != nil {
		return fmt.Errorf("--previous %s: %w", path, err)
	}
	return nil
}

// fewBad is how many bad rows are told one by one.
const fewBad = 20

// tellBad says which rows of an export --lenient left out: their place, and how many there are in all (HST-122).
func tellBad(w io.Writer, pop *population.Population) {
	if pop.Bad == 0 {
		return
	}
	shown := pop.BadRows[:min(fewBad, len(pop.BadRows))]
	for _, e := range shown {
		fmt.Fprintln(w, "left out:", e)
	}
	if pop.Bad > len(shown) {
		fmt.Fprintf(w, "left out: %d rows in all; these are the first %d\n", pop.Bad, len(shown))
	}
}

// loadPlan reads a file, or takes a ready plan; no name means lab.
func loadPlan(name string) (*plan.Plan, error) { return loadPlanFor(name, nil) }

// loadPlanFor is loadPlan for a plan that is applied to a tenant; nil: it is not.
func loadPlanFor(name string, t *plan.Tenancy) (*plan.Plan, error) {
	if name == "" {
		return plan.BuiltIn("lab")
	}
	st, err := os.Stat(name)
	switch {
	case err == nil && st.IsDir():
		return nil, plan.Errors{{File: name, Message: "this is a folder; want the file of a plan"}}
	case err == nil && t != nil:
		return plan.LoadFor(name, t)
	case err == nil:
		return plan.Load(name)
	case strings.ContainsAny(name, "./"+string(filepath.Separator)): // no name of a ready plan
		return nil, plan.Errors{{File: name, Message: "no such file; the ready plans are " + strings.Join(plan.BuiltIns(), ", ")}}
	}
	return plan.BuiltIn(name)
}

// exportFlags mean nothing without --export.
var exportFlags = []string{
	"previous", "as-of", "licence-default", "coexistence", "authority", "bms-agent", "keep-names", "lenient", "labels", "apns-topic", "apns-apple-id", "apns-expires",
}

func (f *populationFlags) onlyWithExport(cmd *cobra.Command) error {
	for _, name := range exportFlags {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s says how an export is read: it needs --export", name)
		}
	}
	return nil
}

func (f *populationFlags) options(cmd *cobra.Command) (o population.Options, err error) {
	o = population.Options{
		Path: f.export, LicenceDefault: f.licenceDefault, BMSAgent: f.bmsAgent, KeepNames: f.keepNames, Lenient: f.lenient,
		APNs: population.APNs{Topic: f.apnsTopic, AppleID: f.apnsAppleID},
	}
	if o.AsOf, err = moment("as-of", f.asOf); err != nil {
		return o, err
	}
	if o.APNs.Expires, err = moment("apns-expires", f.apnsExpires); err != nil {
		return o, err
	}
	if cmd.Flags().Changed("coexistence") {
		o.Coexistence = &f.coexistence
	}
	if f.authority != "" {
		o.Authority = new(protocol.Authority)
		if err := o.Authority.UnmarshalText([]byte(f.authority)); err != nil {
			return o, fmt.Errorf("--authority: %w", err)
		}
	}
	if f.labels != "" {
		b, err := os.ReadFile(f.labels)
		if err != nil {
			return o, fmt.Errorf("--labels: %w", err)
		}
		if o.Labels, err = population.ReadLabels(f.labels, b); err != nil {
			return o, fmt.Errorf("--labels: %w", err)
		}
	}
	return o, nil
}

func moment(flag, text string) (protocol.Time, error) {
	if text == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("--%s: want a moment such as 2026-11-01T08:00:00Z, not %q", flag, text)
	}
	return protocol.At(t), nil
}

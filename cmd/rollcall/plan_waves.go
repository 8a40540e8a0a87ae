//go:build !agentonly

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

type planWavesFlags struct {
	who                    populationFlags
	checkIns, certificates string
	unprotected            time.Duration
	hours                  string
	weekends               bool
	out, csv               string
	language               lang.Language
	unrehearsed            bool
	force                  bool
}

func planWavesCommand() *cobra.Command {
	f := planWavesFlags{who: populationFlags{each: rehearsedDevice}}
	cmd := &cobra.Command{
		Use: "waves [PLAN]", Short: "Compute waves of licences that keep bounds, rehearse them, and write them as a plan", Args: cobra.MaximumNArgs(1),
		Long: `Find the largest waves of licences that keep the bounds, from the devices, users and habits of a plan or an export: a part of the
users each working day, as many every day but the last, a few each minute. Sizes are rehearsed, beside the same story without waves,
until one is found that keeps the bounds while one user more a day does not: a minute or a gap that breaks them without any wave
does not count. Who did not make it in the rehearsal is named, with the reason, and so is every user for whom no licence is left.

The waves come after the plan's last change of authority, push certificate, profiles and licences. Where a plan of a tenant under
office365 changes no authority, as one fresh from plan import, and for an export without a plan, the story before the waves is
made up: Intune is added with a push certificate renewed ten minutes later, and Intune's settings are there before anybody moves.

Waves are for the users that they were computed with. A plan from plan import only draws users like those of the export, so give
the export here too (--export) where the waves are to be rehearsed with it, or applied to its tenant.

The bounds are for the whole rehearsal: what the plan's own changes break before the first wave is told separately, since no size of
waves mends it. Where the story before the waves is made up, the storm that adding Intune makes by itself is told too, and held
against no bound. Exit code 0; 2 if a bound did not hold in the rehearsal, and the plan is written all the same.`,
		Example: `  rollcall plan waves --export ./my-tenant --peak-checkins 100/min --unprotected 30m --hours 08:00-18:00 --out waves.yaml
  rollcall plan waves change.yaml --peak-checkins 500/min --peak-certificates 20/min
  rollcall plan import --export ./my-tenant --out my-tenant.yaml && rollcall plan waves my-tenant.yaml --export ./my-tenant --out waves.yaml
  rollcall rehearse waves.yaml --export ./my-tenant`,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) }
	f.who.register(cmd)
	cmd.Flag("plan").Usage = "`PLAN` to put the waves into: a file, or the name of a ready plan (default: the argument)"
	flags := cmd.Flags()
	flags.StringVar(&f.checkIns, "peak-checkins", "", "at most `N/min` check-ins of all devices in any minute (default: any number)")
	flags.StringVar(&f.certificates, "peak-certificates", "", "at most `N/min` certificates issued in any minute (default: any number)")
	durationVar(flags, &f.unprotected, "unprotected", 0, "how long a device may be without a profile that it should have, such as 30m (default: any time)")
	flags.StringVar(&f.hours, "hours", "08:00-18:00", "working `HOURS`, in UTC")
	flags.BoolVar(&f.weekends, "weekends", false, "Saturdays and Sundays are worked too")
	flags.StringVar(&f.out, "out", "", "`FILE` to write the plan to (default: stdout)")
	flags.StringVar(&f.csv, "csv", "", "write who will not make it, and why, to `FILE`")
	flags.Var(&f.language, "lang", "`LANGUAGE` of what is told and of the list: en or nl")
	flags.BoolVar(&f.unrehearsed, "unrehearsed", false, "rehearse nothing: waves by averages, who will not make it by what is known of them")
	flags.BoolVar(&f.force, "force", false, "replace files that are there already")
	return cmd
}

func (f *planWavesFlags) bounds() (b rehearsal.Bounds, err error) {
	if b.CheckIns, err = aMinute("peak-checkins", f.checkIns); err != nil {
		return b, err
	}
	if b.Certificates, err = aMinute("peak-certificates", f.certificates); err != nil {
		return b, err
	}
	b.Unprotected, b.Weekends = f.unprotected, f.weekends
	from, to, ok := strings.Cut(f.hours, "-")
	b.From, ok = timeOfDay(from, ok)
	b.To, ok = timeOfDay(to, ok)
	if !ok || b.To <= b.From {
		return b, fmt.Errorf("--hours %q: want two times of a day, such as 08:00-18:00", f.hours)
	}
	return b, nil
}

// aMinute reads a bound such as 500/min; empty: 0, which is none.
func aMinute(flag, text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	number, _ := strings.CutSuffix(text, "/min")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n > 0 && n <= 1e9) {
		return 0, fmt.Errorf("--%s %q: want a number a minute, such as 500/min", flag, text)
	}
	return n, nil
}

func timeOfDay(text string, ok bool) (time.Duration, bool) {
	if text == "24:00" {
		return plan.Day, ok
	}
	t, err := time.Parse("15:04", text)
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, ok && err == nil
}

func (f *planWavesFlags) run(cmd *cobra.Command, args []string) error {
	bounds, err := f.bounds()
	if err != nil {
		return err
	}
	if cmd.Flags().Changed("unprotected") && f.unprotected == 0 {
		return errors.New("--unprotected 0: want a length above 0, such as 1m; a device that moves is without its profiles for moments at least")
	}
	if f.who.export == "" && f.who.plan == "" && len(args) == 0 {
		return errors.New("want a plan, or a tenant's --export: rollcall plan waves --export FOLDER")
	}
	if err := cmp.Or(mayWrite("--out", f.out, f.force), mayWrite("--csv", f.csv, f.force)); err != nil {
		return err
	}
	base, pop, madeUp, notes, err := f.base(cmd, args)
	if err != nil {
		return err
	}
	start := fleet.Begin
	if asOf := pop.Tenant.AsOf; asOf != 0 {
		start = asOf
	}
	w, text, err := f.compute(cmd, &rehearsal.WaveSearch{Plan: base, Population: pop, Start: start, Bounds: bounds, MadeUp: madeUp, Watch: f.watch(cmd)}, notes)
	if err != nil {
		return err
	}
	names, err := f.who.named(cmd, pop)
	if err != nil {
		return err
	}
	told := wavesTold{Version: 1, Command: "plan waves", Verdict: "ok", Reasons: []string{}, File: f.out, Movers: w.Movers.Users, Devices: w.Movers.Devices, Left: byRule(w.Left, pop), Exposed: byRule(w.Exposed, pop), NoUnit: len(w.NoUnit), Unserved: upns(w.NoUnit, pop), Plan: string(text)}
	for _, d := range w.Days {
		at := start.Add(d.At)
		told.Waves = append(told.Waves, aWave{at, at.Add(d.Over), d.Users})
	}
	told.Bounds, told.Tried = w.Rehearsed, w.Tried
	for _, b := range told.Bounds {
		if !b.OK {
			told.Verdict, told.Reasons = "failed", append(told.Reasons, b.Bound+": "+b.Got)
		}
	}
	if w.Larger != nil {
		told.Larger = &aLarger{w.Larger.Users, w.Larger.Broken}
	}
	if f.csv != "" {
		var list bytes.Buffer
		err := writeEntries(&list, f.language, func(entry func(rehearsal.Entry) error) error { return w.Entries(f.language, names, entry) })
		if err == nil {
			err = writeFile(f.csv, list.Bytes(), 0o600)
		}
		if err != nil {
			return fmt.Errorf("--csv %s: %w", f.csv, err)
		}
	}
	if err := writePlan(cmd, f.out, text, told, func(out io.Writer) { told.tell(out, f.language, w, names) }); err != nil {
		return err
	}
	if len(told.Reasons) > 0 {
		return broken(told.Reasons)
	}
	return nil
}

// compute finds the waves, and writes them as a plan.
func (f *planWavesFlags) compute(cmd *cobra.Command, s *rehearsal.WaveSearch, notes []population.Note) (w *rehearsal.WavePlan, text []byte, err error) {
	if f.unrehearsed {
		w, err = s.Guess()
	} else {
		w, err = s.Find(cmd.Context())
	}
	if err != nil {
		return nil, nil, err
	}
	in := f.language
	head := in.Say("Waves for %d {user|users} and %d {device|devices} of %s, in the hours %s UTC; rollcall plan waves computed them.", w.Movers.Users, w.Movers.Devices, s.Plan.Name, f.hours)
	said := comments(in, head, notes)
	said[""] = append(said[""], in.Say("It keeps these hours where it begins at %s UTC on a %s: rollcall apply PLAN --start MOMENT.", s.Start.Time().Format("15:04"), in.Say(weekdays[s.Start.Time().Weekday()])))
	if f.who.export == "" {
		said[""] = append(said[""], in.Say("They are for the users that the plan draws: for those of an export, rollcall plan waves wants it too (--export)."))
	}
	text = w.Plan.Encode(said)
	_, err = w.Plan.Edited(cmp.Or(f.out, "the waves"), text)
	return w, text, err
}

// watch shows how far a rehearsal has come.
func (f *planWavesFlags) watch(cmd *cobra.Command) func(aDay int) (func(fleet.Progress), func()) {
	return func(aDay int) (func(fleet.Progress), func()) {
		head := f.language.Say("without waves")
		if aDay > 0 {
			head = f.language.Say("%d {user|users} a day", aDay)
		}
		bar := newProgressOf(cmd.ErrOrStderr(), f.language, head+": ")
		return bar.show, bar.done
	}
}

// base is the story before the waves, whom it is about, and whether it is made up.
func (f *planWavesFlags) base(cmd *cobra.Command, args []string) (p *plan.Plan, pop *population.Population, madeUp bool, notes []population.Note, err error) {
	if f.who.plan != "" || len(args) > 0 {
		p, pop, _, err = f.who.load(cmd, args, func(p *plan.Plan) (led *plan.Plan, err error) {
			made, added, err := rehearsal.Led(p)
			if err != nil || added == nil {
				return made, err
			}
			notes = added
			return p.Edited("the plan with Intune added", made.Encode(nil))
		})
		return p, pop, notes != nil, notes, err
	}
	pop, err = f.who.imported(cmd)
	if err != nil {
		return nil, nil, false, nil, err
	}
	made, notes, err := rehearsal.Prepare(pop)
	if err != nil {
		return nil, nil, false, nil, err
	}
	if cmd.Flags().Changed("seed") {
		made.Seed = f.who.seed
	}
	if f.who.devices > 0 {
		pop, made.Tenant.Units = pop.Resample(f.who.devices, made.Seed), nil // the sample says how many it owns
	}
	p, err = plan.Parse("the story before the waves", made.Encode(nil))
	if err != nil {
		return nil, nil, false, nil, err
	}
	pop.Adopt(p)
	return p, pop, true, notes, pop.Afford(p)
}

// A wavesTold is the object of --json.
type wavesTold struct {
	Version int                        `json:"version"`
	Command string                     `json:"command"`
	Verdict string                     `json:"verdict"`
	Reasons []string                   `json:"reasons"`
	File    string                     `json:"file"`
	Movers  int                        `json:"users"`
	Devices int                        `json:"devices"`
	Waves   []aWave                    `json:"waves"`
	Left    map[protocol.Rule][]string `json:"left_behind"` // tokens of devices
	Exposed map[protocol.Rule][]string `json:"unprotected"` // tokens of devices that are it for too long
	NoUnit  int                        `json:"users_without_a_unit"`

	Unserved []string `json:"without_a_unit"` // who they are, as the seed draws it

	Bounds []rehearsal.BoundResult `json:"bounds"`             // as rehearsed; null: they were not
	Tried  int                     `json:"sizes_rehearsed"`    // of waves
	Larger *aLarger                `json:"one_more,omitempty"` // why the waves are not larger; absent: everybody is in one
	Plan   string                  `json:"plan"`
}

// An aLarger is what waves of so many users a day broke.
type aLarger struct {
	Users  int                     `json:"users"`
	Broken []rehearsal.BoundResult `json:"broken"`
}

type aWave struct {
	From  protocol.Time `json:"from"`
	To    protocol.Time `json:"to"`
	Users int           `json:"users"`
}

func upns(users []int, pop *population.Population) []string {
	list := make([]string, len(users))
	for i, u := range users {
		list[i] = pop.Users[u].UPN
	}
	return list
}

// byRule lists devices by rule.
func byRule(list []rehearsal.Left, pop *population.Population) map[protocol.Rule][]string {
	by := map[protocol.Rule][]string{}
	for _, l := range list {
		by[l.Rule] = append(by[l.Rule], pop.Devices[l.Device].Name)
	}
	return by
}

// fewLeft is how many of those left behind are named on the terminal; --csv names all.
const fewLeft = 20

// fewUsers is how many users without a unit are.
const fewUsers = 200

func (t *wavesTold) tell(out io.Writer, in lang.Language, w *rehearsal.WavePlan, names *population.Population) {
	fmt.Fprintln(out, in.Say("%s: %d {wave|waves} for %d {user|users} and their %d {device|devices}", t.File, len(t.Waves), t.Movers, t.Devices))
	for i, d := range t.Waves {
		fmt.Fprintf(out, "  %s\n", in.Say("wave %d: %s to %s, %d {user|users}", i+1, weekday(in, d.From)+d.From.Time().Format(" 2006-01-02 15:04"), d.To.Time().Format("15:04"), d.Users))
	}
	if t.NoUnit > 0 {
		fmt.Fprintln(out, in.Say("%d {user gets|users get} none: so many licences that entitle Intune are missing (AUTH-09)", t.NoUnit))
		for _, u := range w.NoUnit[:min(fewUsers, t.NoUnit)] {
			fmt.Fprintln(out, "  "+names.Users[u].UPN)
		}
		if t.NoUnit > fewUsers {
			fmt.Fprintln(out, "  "+in.Say("and %d more; --csv names all", t.NoUnit-fewUsers))
		}
	}
	tellLeft(out, in, lang.Key("Will not make it: %d {device|devices}"), w.Left, names)
	tellLeft(out, in, lang.Key("Unprotected for longer than the bound: %d {device|devices}"), w.Exposed, names)
	for _, b := range t.Bounds {
		word := in.Say("held")
		switch {
		case b.Aside:
			word = in.Say("not judged")
		case !b.OK:
			word = in.Say("BROKEN")
		}
		bound, got := b.In(in)
		row(out, in.Say("rehearsed"), bound, got, word)
	}
	if t.Larger == nil {
		return
	}
	var broken []string
	for _, b := range t.Larger.Broken {
		bound, got := b.In(in)
		broken = append(broken, bound+": "+got)
	}
	fmt.Fprintln(out, in.Say("Larger waves there are none: %d {user|users} a day break %s (%d sizes rehearsed)", t.Larger.Users, strings.Join(broken, "; "), t.Tried))
}

// tellLeft prints the first few of a list of devices, what is wrong and what helps.
func tellLeft(out io.Writer, in lang.Language, head lang.Key, list []rehearsal.Left, names *population.Population) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(out, in.Say(head, len(list)))
	for _, l := range list[:min(fewLeft, len(list))] {
		user := "–"
		if u := names.Devices[l.Device].User; u != population.Nobody {
			user = names.Users[u].UPN
		}
		row(out, "  "+names.Devices[l.Device].Name, user, fmt.Sprintf("%s (%s)", in.Say(l.Why), l.Rule), in.Say(l.Action))
	}
	if len(list) > fewLeft {
		fmt.Fprintln(out, "  "+in.Say("and %d more; --csv names all", len(list)-fewLeft))
	}
}

// weekday is the short name of a day.
func weekday(in lang.Language, at protocol.Time) string {
	return in.Say([...]lang.Key{lang.Key("Sun"), lang.Key("Mon"), lang.Key("Tue"), lang.Key("Wed"), lang.Key("Thu"), lang.Key("Fri"), lang.Key("Sat")}[at.Time().Weekday()])
}

// weekdays are the names of days, as a sentence has them.
var weekdays = [...]lang.Key{
	lang.Key("Sunday"), lang.Key("Monday"), lang.Key("Tuesday"), lang.Key("Wednesday"), lang.Key("Thursday"), lang.Key("Friday"), lang.Key("Saturday"),
}

// A broken is that bounds did not hold in the rehearsal.
type broken []string

func (b broken) Error() string { return "bounds that did not hold: " + strings.Join(b, "; ") }

// Verdict is what main makes the exit code of.
func (broken) Verdict() string { return "failed" }

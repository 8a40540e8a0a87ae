//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/fleet/load"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/fleet/target"
	"rollcall/protocol/lang"
)

// fleetRunFlags are the flags of fleet run as they were given.
type fleetRunFlags struct {
	targetFlags
	pushed                                             pushFlags
	language                                           lang.Language
	plan, from, keep, report, baseline, junit, metrics string
	rate, enrolments                                   plan.PerSecond
	length, ramp, everyone, think, drain, calibrate    time.Duration
	poisson, resumed, kept, retries, force, schema     bool
	devices, closed, parallel                          int
	seed                                               uint64
	limits, platforms                                  []string

	unsaid   bool     // the plan does not say when its devices come
	called   bool     // nobody comes but whom the server pushes to because of the plan's acts
	unplayed []string // what a load does not play of the plan
	loading  *load.Load
}

func fleetRunCommand() *cobra.Command {
	var f fleetRunFlags
	cmd := &cobra.Command{
		Use: "run [PLAN] --target URL", Short: "Load a live MDM server and say what it took", Args: cobra.MaximumNArgs(1),
		Long: `Enrol simulated devices with a live server, ours or another's, and have them check in by a plan, whatever the server does.
Latencies count from the moment that was planned for each request, so that a stall shows in all who had to wait. A PLAN says who
the devices are and, in its arrival, when they come. Where it has none, they come when the server pushes to them because of what
the plan does (with --apns-listen and its like), until all have, or else as often as devices of their kind do by themselves.
Without a PLAN it is the ready plan load, with --devices, --rate and --for.

Windows and Android devices take part where a rollcall server is the target, and are not kept; elsewhere a plan's are left out. There
is no directory here: PCs that would bring its token enrol by a link, as all do (rollcall rehearse --wire has one). Where
devices are woken, those take part for which a push service runs: --apns-listen, --wns-listen, --fcm-listen.

After all have enrolled it plays these acts of a plan's timeline: authority, profiles of the group all (with --users), renewed push
certificates (of a rollcall server), and commands for all. Before it starts it says which acts it does not play.

Before the load the generator measures what it can do at most against a server that does nothing. A run in which it was
itself the bottleneck is INVALID and says nothing of the server (exit code 3). Exit code 2: a limit is broken, nothing was done
at all, or some was not done and no limit says how many may be (checkins.failed, checkins.refused). Ctrl-C ends
the run with what is known so far, marked partial (130).

A server that insists on Apple's host name for pushes reaches --apns-listen when that name is an alias of this machine for
it (/etc/hosts: 127.0.0.1 api.push.apple.com, and --apns-listen 127.0.0.1:443) and it trusts the CA of rollcall fleet push-ca.`,
		Example: `  rollcall fleet run --target https://127.0.0.1:8443
  rollcall fleet run --target https://127.0.0.1:8443 --devices 5000 --rate 500/s --for 2m --limit 'checkins.p99 < 50ms'
  rollcall fleet run --target https://mdm.example.org --i-own-this mdm.example.org --server nanomdm --topic com.apple.mgmt.External.x \
    --identity minted --identity-ca ca.pem --identity-key ca.key --rate 200/s --for 1m --report ./first
  rollcall fleet run storm.yaml --target https://127.0.0.1:8443 --fleet kept.fleet --baseline ./first/result.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.schema {
				b, err := load.Schema()
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
				return err
			}
			return fleetRun(cmd, args, &f)
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	f.pushed.register(flags)
	flags.StringVar(&f.plan, "plan", "", "`PLAN`: a file, or the name of a ready plan (default: the argument, else load)")
	flags.StringVar(&f.from, "fleet", "", "take the devices of a kept fleet from `FILE` (rollcall fleet make), keys and certificates included")
	flags.StringVar(&f.keep, "keep", "", "write the devices as they are at the end, keys and certificates included, to `FILE`: Apple's alone, the others then take no part")
	flags.IntVar(&f.devices, "devices", 0, "`N` devices instead of the plan's")
	flags.StringSliceVar(&f.platforms, "platform", nil, "devices of `PLATFORM`s in equal parts instead of the plan's mix, such as ios,windows,android; the last two with a rollcall server alone")
	flags.Uint64Var(&f.seed, "seed", 0, "other devices, and other chance, by the same rules")
	flags.TextVar(&f.rate, "rate", plan.PerSecond(0), "check-ins in a time, such as 500/s or 30/m, instead of the plan's arrival")
	flags.TextVar(&f.enrolments, "enrolments", plan.PerSecond(0), "enrolments in a time, instead of check-ins")
	durationVar(flags, &f.length, "for", 0, "how long the load lasts")
	durationVar(flags, &f.ramp, "ramp", 0, "with --rate: the rate rises from 0 in this time")
	durationVar(flags, &f.everyone, "everyone", 0, "every device checks in once within this time, beside the rate")
	flags.BoolVar(&f.poisson, "poisson", false, "arrivals by chance, not evenly")
	flags.IntVar(&f.closed, "closed", 0, "closed loop: `N` devices at a time, each again as soon as it was answered; hides stalls, and says so")
	durationVar(flags, &f.think, "think", 0, "planned time from one step of a conversation to the next (default 100ms)")
	flags.BoolVar(&f.resumed, "resume", false, "devices resume their TLS sessions instead of making full handshakes")
	flags.BoolVar(&f.kept, "keep-open", false, "devices keep their connections; real ones close them after the empty answer")
	flags.BoolVar(&f.retries, "retries", false, "devices that were turned away come again when they themselves would (on with --everyone)")
	durationVar(flags, &f.drain, "drain", 0, "how long what is under way at the end may take (default 30s)")
	flags.IntVar(&f.parallel, "parallel", 32, "enrolments at a time before the load")
	durationVar(flags, &f.calibrate, "calibrate", 3*time.Second, "how long the generator measures itself before the load")
	flags.StringArrayVar(&f.limits, "limit", nil, "`CONDITION` that must hold, such as 'checkins.p99 < 50ms'; may be given again; added to the plan's, and without a PLAN instead of the ready plan's limit on the same figure")
	flags.StringVar(&f.baseline, "baseline", "", "compare with the result.json of an earlier run in `FILE`")
	flags.Var(&f.language, "lang", "`LANGUAGE` of what is told and of the report: en or nl")
	flags.StringVar(&f.report, "report", "", "write report.html and result.json into `DIR`")
	flags.StringVar(&f.junit, "junit", "", "write the verdict and the limits as JUnit's XML to `FILE`")
	flags.StringVar(&f.metrics, "metrics", "", "serve figures for Prometheus on this `ADDRESS` while the load runs")
	flags.BoolVar(&f.force, "force", false, "replace the report or the kept fleet of an earlier run")
	flags.BoolVar(&f.schema, "schema", false, "print the JSON Schema of the result, and do nothing else")
	return cmd
}

// fleetRun loads a server and says what came of it.
func fleetRun(cmd *cobra.Command, args []string, f *fleetRunFlags) (err error) {
	ctx := cmd.Context()
	p, err := f.load(cmd, args)
	if err != nil {
		return err
	}
	var earlier *load.Section
	if f.baseline != "" {
		if earlier, err = readBaseline(f.baseline); err != nil {
			return err
		}
	}
	if err := f.places(p); err != nil {
		return err
	}
	f.enrolled = f.from != ""
	a, err := f.aim(ctx, p.IOwn)
	if err != nil {
		return err
	}
	config, err := f.config(ctx, cmd.ErrOrStderr(), a, p)
	if err != nil {
		return err
	}
	stop, err := f.pushed.start(ctx, f.language, cmd.ErrOrStderr(), &config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if f.pushed.given() && !f.called {
		config.Wake = func(ctx context.Context, udid string) error {
			_, err := a.order(ctx, udid, target.Order{Kind: target.Sync})
			return err
		}
	}
	for _, text := range f.remarks(p) {
		fmt.Fprintln(cmd.ErrOrStderr(), text)
	}
	bar := newLoadProgress(cmd.ErrOrStderr(), f.language)
	config.Progress = bar.show
	result, story, devices, err := f.run(ctx, a, p, config, earlier)
	bar.done()
	if result == nil {
		return errors.Join(err, f.keepDevices(devices))
	}
	return errors.Join(f.write(cmd, result, story, devices), result.ErrIn(f.language))
}

func readBaseline(name string) (*load.Section, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("--baseline: %w", err)
	}
	defer file.Close()
	x, err := load.ReadBaseline(file)
	if err != nil {
		return nil, fmt.Errorf("--baseline %s: %w", name, err)
	}
	return x, nil
}

// run calibrates, enrols and loads. Without a result there is an error; the devices are those to keep, with one too.
func (f *fleetRunFlags) run(ctx context.Context, a *aim, p *plan.Plan, c load.Config, earlier *load.Section) (*report.Result, *report.Story, []fleet.Device, error) {
	cpu := func() time.Duration {
		used, _ := usage()
		return used
	}
	c.CPU = cpu
	l, err := load.New(c)
	if err != nil {
		return nil, nil, nil, err
	}
	defer l.Close()
	f.loading = l
	defer load.Tune(len(c.Devices), c.Link.KeepOpen)()
	setting := load.Setting{
		Command: "fleet run", Target: f.target, Server: f.kind, Identity: f.identity, SharedHost: a.shared, Sources: f.sources, Seed: p.Seed, Limits: p.Limits,
		Authentication: map[string]string{"mtls": "mutual TLS", "signature": "Mdm-Signature", "header": "header"}[f.auth],
		Handshakes:     p.Arrival.Handshakes.String(),
		KeyExchange:    map[string]string{"x25519": "X25519", "hybrid": "X25519MLKEM768"}[f.exchange],
		Title:          f.language.Say("%s: %d {device|devices} on %s", p.Name, len(c.Devices), f.target), Language: f.language, Baseline: earlier,
	}
	if f.from != "" {
		setting.Identity = "kept"
	}
	if f.metrics != "" {
		stop, err := serveMetrics(f.metrics, l)
		if err != nil {
			return nil, nil, nil, err
		}
		defer stop()
	}
	var calibration *load.Calibration
	if f.calibrate > 0 {
		if calibration, err = load.Calibrate(ctx, c, f.calibrate); err != nil {
			return nil, nil, nil, err
		}
		if calibration.Refuses() != "" {
			result, story, err := l.Tell(setting, load.Enrolled{}, load.Generator{Calibration: calibration})
			return result, story, nil, err
		}
	}
	enrolled, err := l.Enrol(ctx)
	if setting.Interrupted = ctx.Err() != nil; setting.Interrupted {
		result, story, err := l.Tell(setting, enrolled, load.Generator{Calibration: calibration})
		return result, story, l.Enrolled(), err
	}
	if err = f.unsigned(enrolledBefore(err)); err != nil && len(enrolled.Steps) == 0 { // no device has asked the server for anything
		return nil, nil, l.Enrolled(), err
	}
	if err != nil {
		setting.Unenrolled = err.Error()
		result, story, err := l.Tell(setting, enrolled, load.Generator{Calibration: calibration})
		return result, story, l.Enrolled(), err
	}
	watch := load.StartWatch()
	before := cpu()
	err = l.Run(ctx)
	g := watch.End()
	g.Calibration = calibration
	setting.Interrupted = ctx.Err() != nil
	if err != nil && !setting.Interrupted {
		return nil, nil, nil, err
	}
	_, setting.PeakRSS = usage()
	setting.CPU = cpu() - before
	result, story, err := l.Tell(setting, enrolled, g)
	return result, story, c.Devices, err
}

// enrolledBefore says what to do where the server has devices of the same names already.
func enrolledBefore(err error) error {
	if err != nil && strings.Contains(err.Error(), "HST-051") {
		return fmt.Errorf("an earlier run with this seed left its devices on this server, another --seed makes others, --fleet takes those that were kept (--keep): %w", err)
	}
	return err
}

// unsigned says what a server has to do to know devices by their signatures, where one turned them away.
func (f *fleetRunFlags) unsigned(err error) error {
	if no, ok := errors.AsType[*dialect.Failure](err); ok && f.auth == "signature" && no.Status >= 400 && no.Status < 500 {
		return fmt.Errorf("with --auth signature devices show no certificates, so the server has to take Mdm-Signature (rollcall serve --sign-message): %w", err)
	}
	return err
}

// write prints the result and writes what the flags ask for; one that cannot be written hinders no other.
func (f *fleetRunFlags) write(cmd *cobra.Command, result *report.Result, story *report.Story, devices []fleet.Device) error {
	err := present(cmd, result, story)
	if f.report != "" {
		err = errors.Join(err, report.WriteDir(f.report, result, story, nil, f.force))
	}
	if f.junit != "" {
		err = errors.Join(err, report.WriteFile(f.junit, func(w io.Writer) error { return report.WriteJUnit(w, result) }))
	}
	return errors.Join(err, f.keepDevices(devices))
}

// keepDevices does what --keep says, if there are any.
func (f *fleetRunFlags) keepDevices(devices []fleet.Device) error {
	if f.keep == "" || len(devices) == 0 {
		return nil
	}
	return keepFleet(f.keep, devices)
}

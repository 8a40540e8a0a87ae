//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/fleet/load"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// fleetRunFlags are the flags of fleet run as they were given.
type fleetRunFlags struct {
	targetFlags
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
the plan does (with --apns-listen), until all have, or else as often as devices of their kind do by themselves. Without a PLAN it
is the ready plan load, with --devices, --rate and --for.

Windows and Android devices take part where a rollcall server is the target and nobody is woken (without --apns-listen) or kept;
elsewhere a plan's are left out.

After all have enrolled it plays these acts of a plan's timeline: authority, profiles of the group all (with --users), renewed push
certificates (of a rollcall server), and commands for all. Which it does not play, it says before it starts.

Before the load the generator measures what it can do at most against a server that does nothing. A run in which it was
itself the bottleneck is INVALID and says nothing of the server (exit code 3). Exit code 2: a limit is broken, or nothing
was done at all. Ctrl-C ends the run with what is known so far, marked partial (130).

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
	flags.StringVar(&f.plan, "plan", "", "`PLAN`: a file, or the name of a ready plan (default: the argument, else load)")
	flags.StringVar(&f.from, "fleet", "", "take the devices of a kept fleet from `FILE` (rollcall fleet make), keys and certificates included")
	flags.StringVar(&f.keep, "keep", "", "write the devices as they are at the end, keys and certificates included, to `FILE`")
	flags.IntVar(&f.devices, "devices", 0, "`N` devices instead of the plan's")
	flags.StringSliceVar(&f.platforms, "platform", nil, "devices of `PLATFORM`s in equal parts instead of the plan's mix, such as ios,windows,android; the last two with a rollcall server alone")
	flags.Uint64Var(&f.seed, "seed", 0, "other devices, and other chance, by the same rules")
	flags.TextVar(&f.rate, "rate", plan.PerSecond(0), "check-ins in a time, such as 500/s or 30/m, instead of the plan's arrival")
	flags.TextVar(&f.enrolments, "enrolments", plan.PerSecond(0), "in place of check-ins: enrolments in a time")
	durationVar(flags, &f.length, "for", 0, "how long the load lasts")
	durationVar(flags, &f.ramp, "ramp", 0, "with --rate: the rate rises from 0 in this time")
	durationVar(flags, &f.everyone, "everyone", 0, "every device checks in once within this time, beside the rate")
	flags.BoolVar(&f.poisson, "poisson", false, "arrivals by chance, not evenly")
	flags.IntVar(&f.closed, "closed", 0, "closed loop: `N` devices at a time, each again as soon as it was answered; hides stalls, and says so")
	durationVar(flags, &f.think, "think", 0, "planned from a step of a conversation to the next (default 100ms)")
	flags.BoolVar(&f.resumed, "resume", false, "devices resume their TLS sessions instead of making full handshakes")
	flags.BoolVar(&f.kept, "keep-open", false, "devices keep their connections; real ones close them after the empty answer")
	flags.BoolVar(&f.retries, "retries", false, "devices that were turned away come again when they themselves would (on with --everyone)")
	durationVar(flags, &f.drain, "drain", 0, "how long what is under way at the end may take (default 30s)")
	flags.IntVar(&f.parallel, "parallel", 32, "enrolments at a time before the load")
	durationVar(flags, &f.calibrate, "calibrate", 3*time.Second, "how long the generator measures itself before the load")
	flags.StringArrayVar(&f.limits, "limit", nil, "`CONDITION` that must hold, such as 'checkins.p99 < 50ms'; may be given again, beside the plan's")
	flags.StringVar(&f.baseline, "baseline", "", "compare with the result.json of an earlier run in `FILE`")
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
	service, stop, err := f.push(ctx, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	config.Push = service
	if service != nil && !f.called {
		config.Wake = func(ctx context.Context, udid string) error {
			_, err := a.order(ctx, udid, target.Order{Kind: target.Sync})
			return err
		}
	}
	for _, text := range f.remarks(p) {
		fmt.Fprintln(cmd.ErrOrStderr(), text)
	}
	bar := newLoadProgress(cmd.ErrOrStderr())
	config.Progress = bar.show
	result, story, devices, err := f.run(ctx, a, p, config, earlier)
	bar.done()
	if result == nil {
		return errors.Join(err, f.keepDevices(devices))
	}
	return errors.Join(f.write(cmd, result, story, devices), result.Err())
}

// load returns the plan that args and flags ask for; it has an arrival.
func (f *fleetRunFlags) load(cmd *cobra.Command, args []string) (*plan.Plan, error) {
	changed := cmd.Flags().Changed
	if f.parallel < 1 {
		return nil, errors.New("--parallel: at least 1")
	}
	name := f.plan
	if len(args) > 0 {
		if name != "" {
			return nil, fmt.Errorf("a plan was given twice: %s and --plan %s", args[0], name)
		}
		name = args[0]
	}
	own := name == ""
	if own {
		name = "load"
	}
	p, err := loadPlan(name)
	if err != nil {
		return nil, err
	}
	if changed("seed") {
		p.Seed = f.seed
	}
	if changed("platform") {
		if p.Population.Mix, err = evenly(f.platforms); err != nil {
			return nil, err
		}
	}
	length := time.Duration(p.Until)
	if changed("for") {
		if f.length <= 0 {
			return nil, errors.New("--for: without an end; say how long, such as 2m")
		}
		p = p.Squeezed(f.length)
	}
	if changed("rate") || changed("enrolments") || changed("everyone") || changed("closed") {
		was := p.Arrival
		a := &plan.Arrival{CheckIns: f.rate, Enrolments: f.enrolments, Think: plan.Duration(load.DefaultThink), Drain: plan.Duration(30 * time.Second), Handshakes: plan.Full, Connections: plan.Closed}
		if was != nil {
			a.Think, a.Drain, a.Handshakes, a.Connections = was.Think, was.Drain, was.Handshakes, was.Connections
		}
		if f.everyone > 0 {
			a.Everyone, a.Retries = &plan.Wave{Over: plan.Duration(f.everyone)}, true
			if !changed("for") {
				p = p.Squeezed(f.everyone)
			}
		}
		p.Arrival = a
	}
	if p.Arrival == nil {
		f.unsaid, f.called = true, f.apnsListen != "" && f.closed == 0
		p.Arrival = ownArrival(p, length, f.called)
	}
	f.fit(changed, p)
	for _, text := range f.limits {
		var l plan.Limit
		if err := l.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("--limit: %w", err)
		}
		if own {
			p.Limits, own = nil, false
		}
		p.Limits = append(p.Limits, l)
	}
	if f.closed == 0 && !f.called {
		if err := p.Check(); err != nil {
			return nil, err
		}
	}
	if f.devices < 0 || changed("devices") && f.devices == 0 {
		return nil, errors.New("--devices: at least 1")
	}
	if f.devices > 0 && f.from == "" {
		return p.WithDevices(f.devices)
	}
	return p, nil
}

// evenly is a mix of platforms in equal parts, as far as a hundred can be divided so.
func evenly(names []string) (mix plan.ByPlatform, err error) {
	part := map[string]*int{"ios": &mix.IOS, "ipados": &mix.IPadOS, "macos": &mix.MacOS, "android": &mix.Android, "windows": &mix.Windows}
	for i, name := range names {
		of := part[name]
		if of == nil {
			return mix, oneOf("platform", name, slices.Sorted(maps.Keys(part)))
		}
		*of = 100*(i+1)/len(names) - 100*i/len(names)
	}
	return mix, nil
}

// fit makes the arrival what the flags want.
func (f *fleetRunFlags) fit(changed func(string) bool, p *plan.Plan) {
	a := *p.Arrival
	p.Arrival = &a
	if changed("ramp") {
		a.Ramp = plan.Duration(f.ramp)
	}
	if changed("poisson") {
		a.Poisson = f.poisson
	}
	if f.think > 0 {
		a.Think = plan.Duration(f.think)
	}
	if f.drain > 0 {
		a.Drain = plan.Duration(f.drain)
	}
	if changed("retries") {
		a.Retries = f.retries
	}
	if changed("resume") {
		a.Handshakes = map[bool]plan.Handshakes{true: plan.Resumed, false: plan.Full}[f.resumed]
	}
	if changed("keep-open") {
		a.Connections = map[bool]plan.Keeping{true: plan.Kept, false: plan.Closed}[f.kept]
	}
	*p.Arrival = a
}

// places tells whether what is to be written could be, so that nobody learns after the run that there is no place for it.
func (f *fleetRunFlags) places(p *plan.Plan) error {
	if f.report != "" {
		if err := report.CheckDir(f.report, f.force); err != nil {
			return err
		}
	}
	if f.keep != "" {
		devices := p.Devices()
		if st, err := os.Stat(f.from); f.from != "" && err == nil { // they are as big as they were
			devices = int(st.Size() / keptDevice)
		}
		return checkKeep(f.keep, f.force || f.keep == f.from, devices)
	}
	return nil
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

// openFleet reads a kept fleet, the first n devices of it; 0: all.
func openFleet(name string, n int) ([]fleet.Device, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("--fleet: %w", err)
	}
	defer file.Close()
	devices, err := fleet.Open(file)
	if err != nil {
		return nil, fmt.Errorf("--fleet %s: %w", name, err)
	}
	if n > len(devices) {
		return nil, fmt.Errorf("--devices %d: the kept fleet has %d", n, len(devices))
	}
	if n > 0 {
		devices = devices[:n]
	}
	kept := make([]fleet.Device, len(devices))
	for i, d := range devices {
		kept[i] = d
	}
	return kept, nil
}

// wired makes those devices of a plan that take part, as many as the memory holds, until ctx ends; kept: each with its connection
// open.
func (a *aim) wired(ctx context.Context, w io.Writer, p *plan.Plan, kept bool, plays func(protocol.Platform) bool) ([]fleet.Device, error) {
	each := int64(loadedDevice)
	if kept {
		each += keptConnection
	}
	if err := enoughMemory(p.Devices(), each, freeMemory()); err != nil {
		return nil, err
	}
	pop, err := makePopulation(ctx, w, p)
	if err != nil {
		return nil, err
	}
	a.own(pop)
	return fleet.Devices(ctx, pop, p.Seed, plays)
}

// config makes the load that the plan and the flags ask for.
func (f *fleetRunFlags) config(ctx context.Context, w io.Writer, a *aim, p *plan.Plan) (c load.Config, err error) {
	c.Acts = f.acts(a, p)
	if f.called && len(c.Acts) == 0 {
		return c, fmt.Errorf("the plan %s has neither an arrival nor an act after which the server would push to its devices: give it one, or say --rate and --for", p.Name)
	}
	kept := p.Arrival.Connections == plan.Kept
	if f.from != "" {
		c.Devices, err = openFleet(f.from, f.devices)
	} else if err = enoughFiles(p.Devices(), kept); err == nil {
		c.Devices, err = a.wired(ctx, w, p, kept, f.plays(a))
	}
	if err != nil {
		return c, err
	}
	if len(c.Devices) == 0 {
		return c, errors.New("no device of the plan takes part: Windows and Android devices enrol with rollcall servers alone, come by themselves (without --apns-listen) and are not kept")
	}
	arrival := p.Arrival
	c.Enrolments, c.Think, c.Retry, c.Drain = arrival.Enrolments > 0, time.Duration(arrival.Think), arrival.Retries, time.Duration(arrival.Drain)
	c.Closed, c.For, c.Parallel, c.Start = f.closed, time.Duration(p.Until), f.parallel, a.start
	if f.closed == 0 && !f.called {
		c.Pace = load.PaceOf(p, len(c.Devices))
	}
	if c.Enrolments && c.Pace.Total() > float64(len(c.Devices)) {
		return c, fmt.Errorf("--enrolments: %.0f of them are asked for, and there are %d devices; say --devices %.0f", c.Pace.Total(), len(c.Devices), math.Ceil(c.Pace.Total()))
	}
	if f.apnsListen != "" && a.order == nil {
		return c, errors.New("--apns-listen: nobody could ask this server to push; say by --admin-command how")
	}
	if err := enoughFiles(len(c.Devices), kept); err != nil {
		return c, err
	}
	if f.sources == 0 {
		peak := c.Pace.Peak()
		if f.called {
			peak = float64(len(c.Devices)) / 60 // all of them within the minute that a port stays in use
		}
		f.sources = f.sourcesFor(len(c.Devices), kept, peak, a.shared)
	}
	if len(c.Acts) > 0 {
		names := make(map[protocol.Device]string, len(c.Devices))
		for _, d := range c.Devices {
			names[d.Number()] = load.Name(d)
		}
		c.Ledger = ledger.New(ledger.Config{Devices: len(c.Devices), Name: func(d protocol.Device) string { return names[d] }})
	}
	c.Link = a.link(f.sources)
	c.Link.KeepOpen = kept
	if arrival.Handshakes != plan.Full {
		c.Link.Sessions = len(c.Devices)
		c.Link.Resumes = func(d protocol.Device) bool { return arrival.Handshakes.Resumes(uint32(d)) }
	}
	return c, nil
}

// plays tells whose devices take part. Nobody but a server of ours takes the others than Apple's, and here is no push service of theirs,
// nor a file that keeps them.
func (f *fleetRunFlags) plays(a *aim) func(protocol.Platform) bool {
	if a.rollcall != nil && a.mint == nil && f.apnsListen == "" && f.keep == "" {
		return everyPlatform
	}
	return protocol.Platform.Apple
}

// keepFleet writes devices of Apple's to a file.
func keepFleet(name string, devices []fleet.Device) error {
	apples := make([]*dialect.Apple, len(devices))
	for i, d := range devices {
		apples[i] = d.(*dialect.Apple)
	}
	return keep(name, func(w io.Writer) error { return fleet.Keep(w, apples) })
}

// portsOf is how many sockets one source address has for one server, with some to spare.
const portsOf = 20_000

// sourcesFor is how many source addresses the load needs: a port is in use as long as its connection, and a minute longer.
func (f *fleetRunFlags) sourcesFor(devices int, kept bool, peak float64, shared bool) int {
	if !shared {
		return 1 // the system's own addresses
	}
	ports := 60 * peak
	if kept {
		ports = float64(devices)
	}
	return 1 + int(ports/portsOf)
}

// fewFiles are enough for the generator itself: both ends of the connections of its calibration, and of some enrolments.
const fewFiles = 200

// enoughFiles tells whether the system gives as many files as the sockets of these devices need.
func enoughFiles(devices int, kept bool) error {
	limit := openFiles()
	need := uint64(devices) + fewFiles
	switch {
	case limit == 0:
	case limit < fewFiles:
		return fmt.Errorf("the system gives this process %d files, and a fleet needs sockets: raise that (ulimit -n %d)", limit, fewFiles)
	case kept && limit < need:
		return fmt.Errorf("%d devices keep as many sockets open, and the system gives this process %d files: raise that (ulimit -n %d), or take fewer devices", devices, limit, need)
	}
	return nil
}

// run calibrates, enrols and loads. Without a result there is an error; the devices are those to keep, with one too.
func (f *fleetRunFlags) run(ctx context.Context, a *aim, p *plan.Plan, c load.Config, earlier *load.Section) (*report.Result, *report.Story, []fleet.Device, error) {
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
		Title:          fmt.Sprintf("%s: %d devices on %s", p.Name, len(c.Devices), f.target), Baseline: earlier,
	}
	if f.from != "" {
		setting.Identity = "kept"
	}
	cpu := func() time.Duration {
		used, _ := usage()
		return used
	}
	var calibration *load.Calibration
	if f.calibrate > 0 {
		if calibration, err = load.Calibrate(ctx, c, f.calibrate, cpu); err != nil {
			return nil, nil, nil, err
		}
		if calibration.Refuses() != "" {
			result, story, err := l.Tell(setting, load.Enrolled{}, load.Generator{Calibration: calibration})
			return result, story, nil, err
		}
	}
	if f.metrics != "" {
		stop, err := serveMetrics(f.metrics, l)
		if err != nil {
			return nil, nil, nil, err
		}
		defer stop()
	}
	enrolled, err := l.Enrol(ctx)
	if setting.Interrupted = ctx.Err() != nil; setting.Interrupted {
		result, story, err := l.Tell(setting, enrolled, load.Generator{Calibration: calibration})
		return result, story, l.Enrolled(), err
	}
	if err != nil {
		return nil, nil, l.Enrolled(), enrolledBefore(err)
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
	if strings.Contains(err.Error(), "HST-051") {
		return fmt.Errorf("%w: an earlier run with this seed left its devices on this server: another --seed makes others, --fleet takes those that were kept (--keep)", err)
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

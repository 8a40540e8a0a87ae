//go:build !agentonly

package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet/load"
	"rollcall/fleet/plan"
)

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
		f.unsaid, f.called = true, f.pushed.given() && f.closed == 0
		p.Arrival = ownArrival(p, length, f.called)
	}
	f.fit(changed, p)
	if p.Limits, err = f.limited(p.Limits, own); err != nil {
		return nil, err
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

// limited are a plan's limits and those of the flags. Where nobody named the plan, a flag's takes the place of the plan's on the same figure.
func (f *fleetRunFlags) limited(limits []plan.Limit, own bool) ([]plan.Limit, error) {
	given := make([]plan.Limit, len(f.limits))
	for i, text := range f.limits {
		if err := given[i].UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("--limit: %w", err)
		}
	}
	var all []plan.Limit
	for _, l := range limits {
		said := slices.ContainsFunc(given, func(g plan.Limit) bool {
			return slices.ContainsFunc(g.Figures(), func(figure string) bool { return slices.Contains(l.Figures(), figure) })
		})
		if !own || !said {
			all = append(all, l)
		}
	}
	return append(all, given...), nil
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

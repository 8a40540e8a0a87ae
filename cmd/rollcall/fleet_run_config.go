//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/fleet/load"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/protocol"
)

// places tells whether what is to be written could be, so that nobody learns after the run that there is no place for it.
func (f *fleetRunFlags) places(p *plan.Plan) error {
	if f.report != "" {
		if err := report.CheckDir(f.report, f.force); err != nil {
			return err
		}
	}
	if f.junit != "" {
		if err := report.CheckFile(f.junit); err != nil {
			return fmt.Errorf("--junit: %w", err)
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
		return c, errors.New("no device of the plan takes part: Windows and Android devices enrol with rollcall servers alone and are not kept, and where devices are woken only those take part for which a push service runs (--apns-listen, --wns-listen, --fcm-listen)")
	}
	arrival := p.Arrival
	c.Enrolments, c.Think, c.Retry, c.Drain = arrival.Enrolments > 0, time.Duration(arrival.Think), arrival.Retries, time.Duration(arrival.Drain)
	c.Closed, c.For, c.Parallel, c.Start = f.closed, time.Duration(p.Until), f.parallel, a.start
	if f.closed == 0 && !f.called {
		c.Pace = load.PaceOf(p, len(c.Devices))
	}
	if n := c.Pace.Arrivals(); c.Enrolments && n > len(c.Devices) {
		return c, fmt.Errorf("--enrolments: %d of them are asked for, and there are %d devices; say --devices %d", n, len(c.Devices), n)
	}
	if f.pushed.given() && a.order == nil {
		return c, errors.New("--apns-listen, --wns-listen, --fcm-listen: nobody could ask this server to push; say by --admin-command how")
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
		c.Ledger = ledger.New(ledger.Config{Devices: len(c.Devices), Bound: f.bound(p), Asked: !f.called, Name: func(d protocol.Device) string { return names[d] }})
	}
	c.Link = a.link(f.sources)
	c.Link.KeepOpen = kept
	if arrival.Handshakes != plan.Full {
		c.Link.Sessions = len(c.Devices)
		c.Link.Resumes = func(d protocol.Device) bool { return arrival.Handshakes.Resumes(uint32(d)) }
	}
	return c, nil
}

// bound is how long the server may take for what is ordered: as long as what is under way at the end of the load, or a quarter of
// the load where that is longer.
func (f *fleetRunFlags) bound(p *plan.Plan) time.Duration {
	return min(max(time.Duration(p.Arrival.Drain), time.Duration(p.Until)/4, time.Second), ledger.DefaultBound)
}

// plays tells whose devices take part. Nobody but a server of ours takes the others than Apple's, and no file keeps them; where devices
// are woken, nobody comes by himself.
func (f *fleetRunFlags) plays(a *aim) func(protocol.Platform) bool {
	taken := protocol.Platform.Apple
	if a.rollcall != nil && a.mint == nil && f.keep == "" {
		taken = everyPlatform
	}
	return func(p protocol.Platform) bool { return taken(p) && (!f.pushed.given() || f.pushed.wakes(p)) }
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

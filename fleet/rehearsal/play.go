package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
)

// A Config says what is rehearsed, and how.
type Config struct {
	Plan       *plan.Plan
	Population *population.Population
	Start      protocol.Time        // of the story; 0: the export's moment, else [fleet.Begin]
	Source     Source               // of the population, for the log's header
	Log        io.Writer            // takes the event log; nil: nobody does, and its hash is known all the same
	Lines      func(Line)           // called for each line of the log as it comes, by several goroutines; nil: nobody
	Progress   func(fleet.Progress) // called after each window; nil: nobody
	Workers    int                  // partitions played at a time; 0: as many as there are processors. They change no result
	Wire       plan.Share           // of the devices speak: what they say by rule goes over the wire too. It changes no result but [Played.Wire]
	Partition  int                  // devices in a partition; 0: 8,192. They change who is woken first after a change

	fault func(s dialect.Step, answer bool, body []byte) []byte // see [Wire]
	plain bool                                                  // every event has its turn and goes through Server.Handle: the same, slowly
}

const (
	partition = 8192           // devices that one server and one worker have at a time
	window    = 96 * time.Hour // of virtual time, at most, in which partitions need nothing of each other: in a long one a device meets a warm cache
	briefly   = time.Second    // the window after the plan has acted: all devices may have something to say
	many      = 100_000        // lines of the log in a window, or one for two devices, after which windows are shorter
)

// Play plays c's story in virtual time, with the cores that serve real devices and real devices' own: partitions of the
// population by user, each with a server over a store in memory, so that no two need each other but where the plan acts on the
// whole tenant. The same plan, seed and population give the same Played and the same log, whatever the number of workers.
//
// Where ctx ends first there is what was played until then, Partial, and no error. The error says at which moment the plan did
// what the server refuses, and wraps that [protocol.Refusal].
func Play(ctx context.Context, c Config) (*Played, error) {
	p, err := newPlayer(&c)
	if err != nil {
		return nil, err
	}
	err = p.story(ctx)
	if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
		return nil, err
	}
	return p.played(err != nil)
}

// A player plays one story: it coordinates the partitions, and does on all of them at the same moment what the plan does to the
// tenant.
type player struct {
	cfg   *Config
	plan  *plan.Plan
	pop   *population.Population
	cast  fleet.Cast
	draws fleet.Draws

	begin, start, end, now protocol.Time // begin: of the foreword
	span                   time.Duration // of the window to come, at most

	parts []*part
	only  *part  // the partition that is played; nil: all of them
	at    []spot // by device of the population
	acts  []act
	waves []act // of the window that is played
	tenancy

	wire              *Wire // nil: nobody speaks
	speakers          []int // devices that speak where the share is of none of their kind
	down              bool
	drop, reset, busy plan.Share // of requests that meet the fault now
	lose              plan.Share // of pushes

	log      *logWriter
	told     []fleet.Act
	gaps     []fleet.Gap
	silences []fleet.Gap
	lives    []Life // by device of the population
	hours    []Hour
	minutes  []Minute
}

// A spot is where a device of the population is.
type spot struct{ part, index uint32 }

func newPlayer(c *Config) (*player, error) {
	p := &player{cfg: c, plan: c.Plan, pop: c.Population, draws: fleet.DrawsOf(c.Plan)}
	p.start = c.Start
	if p.start == 0 {
		p.start = fleet.Begin
		if asOf := p.pop.Tenant.AsOf; asOf != 0 {
			p.start = asOf
		}
	}
	p.cast = fleet.Cast{Plan: p.plan, Population: p.pop, Start: p.start, Plays: func(protocol.Platform) bool { return true }}
	p.begin = p.start.Add(-p.cast.Foreword())
	p.end = p.start.Add(time.Duration(p.plan.Until))
	p.now, p.span = p.begin, window
	p.apple = slices.ContainsFunc(p.pop.Devices, func(d population.Device) bool { return d.Platform.Apple() })
	var err error
	if p.log, err = newLogWriter(c, p); err != nil {
		return nil, err
	}
	if c.Wire > 0 {
		if p.wire, err = NewWire(p.begin); err != nil {
			return nil, err
		}
		p.wire.fault = c.fault
	}
	p.lives = make([]Life, len(p.pop.Devices))
	p.minutes = make([]Minute, int(p.end.Sub(p.start)/time.Minute)+1)
	p.divide()
	if err := p.heard(); err != nil {
		return nil, err
	}
	return p, nil
}

// divide makes the partitions: a user's devices stay together.
func (p *player) divide() {
	n := max(1, (len(p.pop.Devices)+p.size()-1)/p.size())
	p.at = make([]spot, len(p.pop.Devices))
	of := make([]uint32, n)
	for i := range p.pop.Devices {
		d := &p.pop.Devices[i]
		k := i * n / len(p.pop.Devices)
		if !d.Userless() {
			k = p.partOf(int(d.User), n)
		}
		p.at[i] = spot{uint32(k), of[k]}
		of[k]++
	}
	p.parts = make([]*part, n)
	for k := range p.parts {
		p.parts[k] = &part{player: p, number: k, units: make([]unit, 0, of[k])}
	}
	for i := range p.pop.Devices {
		k := p.parts[p.at[i].part]
		k.units = append(k.units, unit{device: uint32(i)})
	}
	for u := range p.pop.Users {
		k := p.parts[p.partOf(u, n)]
		if k.users == 0 {
			k.first = u
		}
		k.users++
	}
}

// leader is the partition with the lowest number of those that are played.
func (p *player) leader() *part {
	if p.only != nil {
		return p.only
	}
	return p.parts[0]
}

// heard sees to it that of each kind of devices that can speak somebody does where a share is to, however small: else nothing would
// be proven of it, and nobody would know.
func (p *player) heard() error {
	if p.wire == nil {
		return nil
	}
	var heard, first [len(protocol.Platforms)]int // by the kind's platform: how many speak; the first that could, from 1 on
	for i := range p.pop.Devices {
		kind := p.pop.Devices[i].Platform
		if kind.Apple() {
			kind = protocol.IOS
		}
		switch k := kind - 1; {
		case p.speaks(i):
			heard[k]++
		case first[k] == 0 && p.talks(i):
			first[k] = i + 1
		}
	}
	for k := range first {
		if heard[k] == 0 && first[k] > 0 {
			p.speakers = append(p.speakers, first[k]-1)
		}
	}
	if len(p.speakers) == 0 && heard == [len(heard)]int{} {
		return fmt.Errorf("%s of the devices are to speak over the wire, which all can but those that Google manages, and there is none", p.cfg.Wire)
	}
	return nil
}

// talks tells whether there is a voice for device i. A phone with Google's services enrols where the consent for them is granted.
func (p *player) talks(i int) bool {
	d := &p.pop.Devices[i]
	return d.Platform != protocol.Android || !d.Has(population.AndroidAPI) && slices.Contains(p.plan.Tenant.Consents, plan.AndroidEnterprise)
}

// speaks tells whether device i speaks over the wire.
func (p *player) speaks(i int) bool {
	return p.talks(i) && (slices.Contains(p.speakers, i) || p.draws.Speaks(i, p.cfg.Wire))
}

// partOf is which of n partitions has user u, and all of that user's devices.
func (p *player) partOf(u, n int) int { return u * n / len(p.pop.Users) }

// size is how many devices a partition has, about.
func (p *player) size() int {
	if p.cfg.Partition == 0 {
		return partition
	}
	return p.cfg.Partition
}

// workers is how many partitions are played at a time, at most.
func (p *player) workers() int {
	if p.cfg.Workers == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return p.cfg.Workers
}

// each does something in all partitions, by the workers, and whole even if ctx ends meanwhile: a story stops between two windows,
// at one moment for all. The error is that of the partition with the lowest number.
func (p *player) each(ctx context.Context, do func(k *part, ctx context.Context) error) error {
	ctx = context.WithoutCancel(ctx)
	if p.only != nil {
		return do(p.only, ctx)
	}
	errs := make([]error, len(p.parts))
	workers := min(p.workers(), len(p.parts))
	if workers == 1 {
		for k := range p.parts {
			if errs[k] = do(p.parts[k], ctx); errs[k] != nil {
				return errs[k]
			}
		}
		return nil
	}
	var next atomic.Int32
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for k := int(next.Add(1)) - 1; k < len(p.parts); k = int(next.Add(1)) - 1 {
				errs[k] = do(p.parts[k], ctx)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// story plays from the foreword to the end.
func (p *player) story(ctx context.Context) error {
	if err := p.each(ctx, (*part).open); err != nil {
		return err
	}
	if err := p.setUp(ctx); err != nil {
		return err
	}
	if err := p.found(ctx); err != nil {
		return err
	}
	if err := p.script(); err != nil {
		return err
	}
	if err := p.each(ctx, func(k *part, _ context.Context) error { return k.turn(p.now) }); err != nil {
		return err
	}
	for {
		for len(p.acts) > 0 && p.acts[0].at <= p.now {
			a := p.acts[0]
			p.acts = p.acts[1:]
			if err := p.act(ctx, &a); err != nil {
				return err
			}
		}
		if p.now >= p.end {
			return p.run(ctx, p.end+1)
		}
		to := min(p.end, p.now.Add(p.span), p.start.Add((p.now.Sub(p.start)/window+1)*window))
		if p.now < p.start {
			to = min(to, p.start)
		}
		p.waves, to = p.upcoming(to)
		p.waves = slices.Clone(p.waves)
		clear(p.acts[:len(p.waves)]) // what is done is not kept
		p.acts = p.acts[len(p.waves):]
		if err := p.run(ctx, to); err != nil {
			return err
		}
		p.waves = nil
	}
}

// run plays all partitions up to a moment, and not what happens in it: then the plan acts first.
func (p *player) run(ctx context.Context, to protocol.Time) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := p.each(ctx, func(k *part, ctx context.Context) error { return k.through(ctx, to) })
	if err != nil {
		return err
	}
	last := int(min(p.now, p.end).Sub(p.start) / time.Minute)
	p.now = min(to, p.end)
	lines := 0
	for _, k := range p.parts {
		lines += len(k.sheaves[0].lines)
	}
	if err := p.log.take(p.parts); err != nil {
		return err
	}
	switch many := p.many(); {
	case lines > many:
		p.span = max(p.span/4, briefly)
	case lines < many/16:
		p.span = min(8*p.span, window)
	case lines < many/2:
		p.span = min(2*p.span, window)
	}
	p.tally(last)
	p.takeHours(to > p.end)
	p.report()
	return nil
}

// many is how many lines a window should have at most.
func (p *player) many() int { return max(many, len(p.pop.Devices)/2) }

// ended tells whether an identity may have ended by then, since the devices were looked at.
func (p *player) ended(by protocol.Time) bool {
	return slices.ContainsFunc(p.parts, func(k *part) bool { return k.ends <= by })
}

// runTo is run, window by window.
func (p *player) runTo(ctx context.Context, to protocol.Time) error {
	for p.now < to {
		if err := p.run(ctx, min(to, p.now.Add(window))); err != nil {
			return err
		}
	}
	return nil
}

// takeHours takes from the partitions how their devices stood at the end of each hour; ended: also at that of the last, which may not be
// whole.
func (p *player) takeHours(ended bool) {
	n := len(p.hours)
	for _, k := range p.parts {
		for h := range k.hours {
			if n+h == len(p.hours) {
				p.hours = append(p.hours, Hour{})
			}
			k.hours[h].into(&p.hours[n+h])
		}
		k.hours = k.hours[:0]
	}
	if whole := (p.now.Sub(p.start) + time.Hour - 1) / time.Hour; ended && len(p.hours) < int(whole) {
		var h Hour
		for _, k := range p.parts {
			k.census.into(&h)
		}
		p.hours = append(p.hours, h)
	}
}

// act does what the plan does now.
func (p *player) act(ctx context.Context, a *act) error {
	outcome, err := "", error(nil)
	if !a.daily && a.wave == nil {
		p.span = briefly
	}
	if a.renews && p.pushLost(p.now) { // the outcome says what it is in truth
		a.Text = ""
	}
	if a.do != nil {
		if outcome, err = a.do(ctx, p.now); err != nil {
			return fmt.Errorf("at %s: %w", p.now, err)
		}
	}
	if a.turns {
		if err := p.each(ctx, func(k *part, _ context.Context) error { return k.turn(p.now) }); err != nil {
			return err
		}
	}
	if a.Name == "" {
		return nil
	}
	p.told = append(p.told, fleet.Act{At: p.now, Name: a.Name, Text: strings.TrimSpace(a.Text + " " + outcome), Rule: a.Rule, Fault: a.fault})
	p.log.tenant(Line{At: p.now, Side: OfPlan, What: a.Name, Rule: a.Rule})
	return nil
}

// report tells whoever wants to know how far the story has come.
func (p *player) report() {
	if p.cfg.Progress == nil {
		return
	}
	now := fleet.Progress{Start: p.start, Now: p.now, End: p.end, Devices: len(p.pop.Devices), Parts: len(p.plan.Acts)}
	for _, k := range p.parts {
		now.Enrolled += k.census.enrolled()
		now.Counts.Done += k.done
		now.Counts.Refused += k.refused
		now.Counts.Wakes += k.wakes
	}
	if n := len(p.told); n > 0 {
		now.Act = p.told[n-1].Name
	}
	for i, a := range p.plan.Acts {
		if p.now >= p.start.Add(time.Duration(a.At)) {
			now.Part, now.PartName = i+1, a.Name
		}
	}
	now.Gap = len(p.gaps) > 0 && p.gaps[len(p.gaps)-1].Closed == 0
	p.cfg.Progress(now)
}

package rehearsal

import (
	"context"
	"slices"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
)

// A WaveSearch is what waves of licences are looked for.
type WaveSearch struct {
	Plan       *plan.Plan // the story before the waves, checked
	Population *population.Population
	Start      protocol.Time // of the story
	Bounds     Bounds
	MadeUp     bool // the story before the waves is of [Led] or [Prepare]: what adding Intune stirs by itself is told, and held against no bound
	Workers    int  // as in [Config]

	// Watch is called before each rehearsal, with how many users a day its waves have; 0: it has none. What it returns is called after
	// each window, and at the end. nil: nobody watches.
	Watch func(aDay int) (progress func(fleet.Progress), done func())
}

func (s *WaveSearch) waving() (*waving, error) {
	v, err := newWaving(s.Plan, s.Population, s.Start, s.Bounds)
	if err == nil && s.MadeUp {
		v.aside = aside(s.Plan)
	}
	return v, err
}

// Guess computes waves as large as they can be by the averages of check-ins and renewals, and rehearses nothing.
func (s *WaveSearch) Guess() (*WavePlan, error) {
	v, err := s.waving()
	if err != nil {
		return nil, err
	}
	aDay, err := guess(v.movers, s.Bounds)
	if err != nil {
		return nil, err
	}
	return v.of(aDay)
}

// Find returns the largest waves, all of one size but the last, that keep the bounds in their rehearsal: one user more a day breaks one.
// It tries as many sizes as it takes to know, in the same order every time. Where not even the smallest waves keep the bounds it
// returns these; [WavePlan.Rehearsed] says what became of each bound.
func (s *WaveSearch) Find(ctx context.Context) (*WavePlan, error) {
	v, err := s.waving()
	if err != nil {
		return nil, err
	}
	first, err := guess(v.movers, s.Bounds)
	if err != nil {
		return nil, err
	}
	f := finder{WaveSearch: s, waving: v, tried: map[int]*WavePlan{}}
	lo := fewest(v.movers.Users)
	first = max(first, v.movers.Users/10) // many small waves make a long story
	aDay, ok, err := largest(lo, first, v.movers.Users, func(aDay int) (bool, error) { return f.holds(ctx, aDay) })
	if err != nil {
		return nil, err
	}
	if !ok {
		aDay = lo
	}
	w := f.tried[aDay]
	if w.Tried = len(f.tried); f.without.Plan.Until != w.Without.Until { // as long as these waves take, for what a device lacks anyhow
		if f.without, err = f.play(ctx, w.Without, 0); err != nil {
			return nil, err
		}
		w.Rehearsed = w.judge(f.with, f.without)
	}
	if next := f.tried[aDay+1]; next != nil && ok {
		w.Larger = &Larger{Users: aDay + 1}
		for _, r := range next.Rehearsed {
			if r.Over > 0 {
				w.Larger.Broken = append(w.Larger.Broken, r)
			}
		}
	}
	return w, nil
}

// A finder remembers what was rehearsed.
type finder struct {
	*WaveSearch
	*waving
	tried   map[int]*WavePlan // by users a day
	held    bool
	with    *Played // of the largest that held, or, as long as none has, of the latest
	without *Played // the story without waves, at least as long as any so far
}

// holds rehearses waves of so many users a day, and tells whether they keep the bounds that smaller ones could.
func (f *finder) holds(ctx context.Context, aDay int) (bool, error) {
	w, err := f.waving.of(aDay)
	if err != nil {
		return false, err
	}
	written, err := w.Plan.Edited("the waves", w.Plan.Encode(nil)) // as they will be read
	if err == nil {
		err = f.Population.Afford(written)
	}
	if err != nil {
		return false, err
	}
	with, err := f.play(ctx, written, aDay)
	if err != nil {
		return false, err
	}
	if f.without == nil || f.without.Plan.Until < w.Without.Until {
		if f.without, err = f.play(ctx, w.Without, 0); err != nil {
			return false, err
		}
	}
	w.Rehearsed = w.judge(with, f.without)
	w.settle(with)
	f.tried[aDay] = w
	holds := !slices.ContainsFunc(w.Rehearsed, func(r BoundResult) bool { return r.Over > 0 })
	if holds || !f.held {
		f.with, f.held = with, holds
	}
	return holds, nil
}

// play rehearses one story to its end.
func (f *finder) play(ctx context.Context, p *plan.Plan, aDay int) (*Played, error) {
	c := Config{Plan: p, Population: f.Population, Start: f.Start, Workers: f.Workers}
	done := func() {}
	if f.Watch != nil {
		c.Progress, done = f.Watch(aDay)
	}
	played, err := Play(ctx, c)
	done()
	if err == nil {
		err = ctx.Err() // half a rehearsal says nothing about bounds
	}
	return played, err
}

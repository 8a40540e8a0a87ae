package rehearsal

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
	Log        io.Writer            // takes the event log at the end; nil: nobody does, and its hash is known all the same
	Lines      func(Line)           // called for each line of the log as it comes, by several goroutines; nil: nobody
	Progress   func(fleet.Progress) // called after each window of a partition, by one goroutine at a time; nil: nobody
	Workers    int                  // partitions played at a time; 0: as many as there are processors. They change no result
	Wire       plan.Share           // of the devices speak: what they say by rule goes over the wire too. It changes no result but [Played.Wire]
	Partition  int                  // devices in a partition; 0: 8,192. They change who is woken first after a change
	Partitions int                  // that are played, the first ones: see [LogHeader]; 0: all
	Against    *ReadLog             // an earlier log of this story, its lines still to come; Log is to hold it against what it gets, which is all up to the first line that differs, and more. nil: there is none

	fault func(s dialect.Step, answer bool, body []byte) []byte // see [Wire]
	plain bool                                                  // every event has its turn and goes through Server.Handle: the same, slowly
}

const (
	partition = 8192           // devices that one server and one worker have at a time: few enough to stay in a processor's caches
	window    = 96 * time.Hour // of virtual time, at most, after which it is told how far a partition has come
)

// Play plays c's story in virtual time, with the cores that serve real devices and real devices' own: partitions of the
// population by user, each with a server over a store in memory, one after the other from the beginning to the end. No two need each
// other: what the plan does to the tenant it does to each, at the same moment, and what they count adds up. The same plan, seed and
// population give the same Played and the same log, whatever the number of workers.
//
// Where ctx ends first there is what was played until then, Partial, and no error: the first partitions, as far as they are through; where
// not even the first is, that one up to the moment it has come to. The error says at which moment the plan did
// what the server refuses, and wraps that [protocol.Refusal]. Where the story is another than that of Against, it is played no further
// than it takes to know the first line that differs, and what Log says of what it gets is the error.
func Play(ctx context.Context, c Config) (*Played, error) {
	s, err := newStage(&c)
	if err != nil {
		return nil, err
	}
	if c.Against != nil {
		header, err := s.header(s.meant())
		if err == nil && !bytes.Equal(header, c.Against.header) {
			_, err = c.Log.Write(header)
			return nil, err
		}
		if err != nil {
			return nil, err
		}
		if s.was, err = s.recall(c.Against); err != nil {
			return nil, err
		}
	}
	if err := s.play(ctx); err != nil {
		return nil, err
	}
	return s.played()
}

// A player plays the story on one partition.
type player struct {
	*stage
	part *part

	now   protocol.Time
	acts  []act // to come
	waves []act // of the window that is played
	tenancy

	down              bool
	drop, reset, busy plan.Share // of requests that meet the fault now
	lose              plan.Share // of pushes

	told     []told
	gaps     []fleet.Gap
	silences []fleet.Gap
}

// player is who plays partition k. Its lines go where room is, as far as there is any.
func (s *stage) player(k int, room []logged) *player {
	p := &player{stage: s, now: s.begin, tenancy: tenancy{made: map[ownProfile]bool{}, owner: fleet.SlotOf(s.pop)}}
	share := &s.shares[k]
	p.part = &part{player: p, number: k, units: make([]unit, len(share.devices)), first: share.first, users: share.users, minutes: s.noMinutes(), barred: map[protocol.Rule]*bars{}, lines: &sheaf{lines: room[:0]}}
	for i, d := range share.devices {
		p.part.units[i].device = d
	}
	return p
}

// story plays from the foreword to the end.
func (p *player) story(ctx context.Context) error {
	if err := p.part.open(ctx); err != nil {
		return err
	}
	if err := p.setUp(ctx); err != nil {
		return err
	}
	if err := p.found(ctx); err != nil {
		return err
	}
	p.follow()
	p.part.turn(p.now)
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
		to := min(p.end, p.start.Add((p.now.Sub(p.start)/window+1)*window))
		if p.now < p.start {
			to = min(to, p.start)
		}
		p.waves, to = p.upcoming(to)
		p.acts = p.acts[len(p.waves):]
		if err := p.run(ctx, to); err != nil {
			return err
		}
		p.waves = nil
	}
}

// run plays the partition up to a moment, and not what happens in it: then the plan acts first. Where ctx ends it stops between two
// windows.
func (p *player) run(ctx context.Context, to protocol.Time) error {
	err := ctx.Err()
	if err == nil {
		err = p.stops(p)
	}
	if err != nil {
		return err
	}
	if err := p.part.through(context.WithoutCancel(ctx), to); err != nil {
		return err
	}
	p.now = min(to, p.end)
	if to > p.end {
		p.part.lastHour()
	}
	if p.was != nil {
		if at := p.part.compare(p.was); at != 0 {
			p.differs(at)
		}
	}
	p.report(p)
	return nil
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

// act does what the plan does now.
func (p *player) act(ctx context.Context, a *act) error {
	t := told{Act: fleet.Act{At: p.now, Name: a.Name, Text: a.Text, Rule: a.Rule, Fault: a.fault, Main: a.main}, side: OfPlan}
	if a.renews && p.pushLost(p.now) { // the outcome says what it is in truth
		t.Text = ""
	}
	if a.do != nil {
		var err error
		if t.outcome, err = a.do(context.WithoutCancel(ctx), p, p.now); err != nil {
			return fmt.Errorf("at %s: %w", p.now, err)
		}
	}
	if a.turns {
		p.part.turn(p.now)
	}
	if a.Name != "" {
		p.told = append(p.told, t)
	}
	return nil
}

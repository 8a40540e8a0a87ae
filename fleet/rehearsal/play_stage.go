package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/certs"
	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
)

// A stage is what all partitions of a story have in common. It stands before the first is played; only what is behind a lock changes
// then.
type stage struct {
	cfg   *Config
	plan  *plan.Plan
	pop   *population.Population
	cast  fleet.Cast
	draws fleet.Draws

	begin, start, end protocol.Time // begin: of the foreword

	at        []spot  // by device of the population
	shares    []share // by partition
	foundings []founding
	script    []act
	apple     bool             // somebody has a device that needs a push certificate
	owned     population.Units // licences, of the tenant
	ca        *certs.Authority // of push certificates
	pushes    pushes           // certificates that were made so far; guarded by itself
	wire      *Wire            // nil: nobody speaks
	was       *recalled        // nil: there is no earlier log
	speakers  []int            // devices that speak where the share is of none of their kind
	lives     []Life           // by device of the population
	sheaves   []*sheaf         // by partition, of those that are added: their lines
	ending    ending           // guarded by itself
}

// A spot is where a device of the population is.
type spot struct{ part, index uint32 }

// A share is who is in one partition.
type share struct {
	devices      []uint32 // of the population, ascending
	first, users int      // in the population
}

// errElsewhere ends a partition where another one has failed at a sooner moment.
var errElsewhere = errors.New("the story has ended sooner")

func newStage(c *Config) (*stage, error) {
	s := &stage{cfg: c, plan: c.Plan, pop: c.Population, draws: fleet.DrawsOf(c.Plan)}
	s.start = c.Start
	if s.start == 0 {
		s.start = fleet.Begin
		if asOf := s.pop.Tenant.AsOf; asOf != 0 {
			s.start = asOf
		}
	}
	s.cast = fleet.Cast{Plan: s.plan, Population: s.pop, Start: s.start, Plays: func(protocol.Platform) bool { return true }}
	s.begin = s.start.Add(-s.cast.Foreword())
	s.end = s.start.Add(time.Duration(s.plan.Until))
	s.apple = slices.ContainsFunc(s.pop.Devices, func(d population.Device) bool { return d.Platform.Apple() })
	s.owned = s.unitsOwned()
	var err error
	if c.Wire > 0 {
		if s.wire, err = newWire(s.begin); err != nil {
			return nil, err
		}
		s.wire.fault = c.fault
	}
	if s.ca, err = certs.NewIssuer("push", s.begin.Time().Add(-time.Hour)); err != nil {
		return nil, err
	}
	s.lives = make([]Life, len(s.pop.Devices))
	s.divide()
	if err := s.heard(); err != nil {
		return nil, err
	}
	s.gather()
	if err := s.write(); err != nil {
		return nil, err
	}
	s.sheaves, s.ending.reached = make([]*sheaf, len(s.shares)), make([]stood, len(s.shares))
	return s, nil
}

// divide makes the partitions: a user's devices stay together.
func (s *stage) divide() {
	n := max(1, (len(s.pop.Devices)+s.size()-1)/s.size())
	s.at = make([]spot, len(s.pop.Devices))
	of := make([]uint32, n)
	for i := range s.pop.Devices {
		d := &s.pop.Devices[i]
		k := i * n / len(s.pop.Devices)
		if !d.Userless() {
			k = s.partOf(int(d.User), n)
		}
		s.at[i] = spot{uint32(k), of[k]}
		of[k]++
	}
	s.shares = make([]share, n)
	for k := range s.shares {
		s.shares[k].devices = make([]uint32, of[k])
	}
	for i, at := range s.at {
		s.shares[at.part].devices[at.index] = uint32(i)
	}
	for u := range s.pop.Users {
		k := &s.shares[s.partOf(u, n)]
		if k.users == 0 {
			k.first = u
		}
		k.users++
	}
}

// heard sees to it that of each kind of devices that can speak somebody does where a share is to, however small: else nothing would
// be proven of it, and nobody would know.
func (s *stage) heard() error {
	if s.wire == nil {
		return nil
	}
	var heard, first [len(protocol.Platforms)]int // by the kind's platform: how many speak; the first that could, from 1 on
	for i := range s.pop.Devices {
		kind := s.pop.Devices[i].Platform
		if kind.Apple() {
			kind = protocol.IOS
		}
		switch k := kind - 1; {
		case s.speaks(i):
			heard[k]++
		case first[k] == 0 && s.talks(i):
			first[k] = i + 1
		}
	}
	for k := range first {
		if heard[k] == 0 && first[k] > 0 {
			s.speakers = append(s.speakers, first[k]-1)
		}
	}
	if len(s.speakers) == 0 && heard == [len(heard)]int{} {
		return fmt.Errorf("%s of the devices are to speak over the wire, which all can but those that Google manages, and there is none", s.cfg.Wire)
	}
	return nil
}

// talks tells whether there is a voice for device i. A phone with Google's services enrols where the consent for them is granted.
func (s *stage) talks(i int) bool {
	d := &s.pop.Devices[i]
	return d.Platform != protocol.Android || !d.Has(population.AndroidAPI) && slices.Contains(s.plan.Tenant.Consents, plan.AndroidEnterprise)
}

// speaks tells whether device i speaks over the wire.
func (s *stage) speaks(i int) bool {
	return s.talks(i) && (slices.Contains(s.speakers, i) || s.draws.Speaks(i, s.cfg.Wire))
}

// partOf is which of n partitions has user u, and all of that user's devices.
func (s *stage) partOf(u, n int) int { return u * n / len(s.pop.Users) }

// size is how many devices a partition has, about.
func (s *stage) size() int {
	if s.cfg.Partition == 0 {
		return partition
	}
	return s.cfg.Partition
}

// workers is how many partitions are played at a time, at most.
func (s *stage) workers() int {
	if s.cfg.Workers == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return s.cfg.Workers
}

// meant is how many partitions are to be played.
func (s *stage) meant() int {
	if n := s.cfg.Partitions; n > 0 {
		return min(n, len(s.shares))
	}
	return len(s.shares)
}

// noMinutes are the minutes of the story before anything happens.
func (s *stage) noMinutes() []Minute { return make([]Minute, int(s.end.Sub(s.start)/time.Minute)+1) }

// play plays the partitions. The error is that of the earliest moment of the story, and there of the partition with the lowest number.
func (s *stage) play(ctx context.Context) error {
	var next atomic.Int32
	var group sync.WaitGroup
	for range min(s.workers(), s.meant()) {
		group.Go(func() {
			var room []logged // for the lines of one partition
			for k := int(next.Add(1)) - 1; k < s.meant() && !s.ending.stopped(); k = int(next.Add(1)) - 1 {
				p := s.player(k, room)
				err := p.story(ctx)
				room, p.part.lines.lines = p.part.lines.lines, slices.Clone(p.part.lines.lines)
				s.finished(p, err, err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()))
			}
		})
	}
	group.Wait()
	return s.ending.err
}

// An ending is how far the partitions have come.
type ending struct {
	mu          sync.Mutex
	waiting     []*scene // by partition, up to the highest that is through: those that wait for one before them
	through     int      // partitions that are added to total: the first ones
	total       scene
	interrupted bool
	err         error         // that of the earliest moment; nil: none
	at          protocol.Time // of err
	part        int           // that it is of
	differs     protocol.Time // the earliest moment at which a partition is not as the earlier log has it; 0: none
	reached     []stood       // by partition
}

func (e *ending) stopped() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.interrupted
}

// stops tells why p goes no further: another partition has failed before p has come so far, or one differs from the earlier log.
func (s *stage) stops(p *player) error {
	e := &s.ending
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.err != nil && (e.at < p.now || e.at == p.now && e.part < p.part.number):
		return errElsewhere
	case e.differs != 0 && e.differs < p.now:
		return errRecalled
	}
	return nil
}

// differs takes note of a moment at which a partition is not as the earlier log has it.
func (s *stage) differs(at protocol.Time) {
	e := &s.ending
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.differs == 0 || at < e.differs {
		e.differs = at
	}
}

// finished takes note of what became of a partition: it is through, or has failed, or was interrupted.
func (s *stage) finished(p *player, err error, interrupted bool) {
	k, e := p.part.number, &s.ending
	if errors.Is(err, errRecalled) {
		err = nil
	}
	var x *scene
	if err == nil || interrupted && k == 0 {
		x = p.scene()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case interrupted:
		e.interrupted = true
		if k == 0 { // nothing was added
			e.total = *x
			s.sheaves[0] = p.part.lines
		}
	case errors.Is(err, errElsewhere):
	case err != nil:
		if e.err == nil || p.now < e.at || p.now == e.at && k < e.part {
			e.err, e.at, e.part = err, p.now, k
		}
	default:
		for len(e.waiting) <= k {
			e.waiting = append(e.waiting, nil)
		}
		e.waiting[k], s.sheaves[k] = x, p.part.lines
		for ; e.through < len(e.waiting) && e.waiting[e.through] != nil; e.through++ {
			e.total.add(e.waiting[e.through])
			e.waiting[e.through] = nil
		}
	}
}

// stood is how far a partition has come.
type stood struct {
	at       protocol.Time // 0: it was not begun
	enrolled int
	counts   counts
}

// report tells whoever wants to know how far the story has come.
func (s *stage) report(p *player) {
	if s.cfg.Progress == nil {
		return
	}
	e := &s.ending
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reached[p.part.number] = stood{p.now, p.part.census.enrolled(), p.part.counts}
	now := fleet.Progress{Start: s.start, End: s.end, Devices: len(s.pop.Devices), ByLots: len(s.shares) > 1}
	passed := time.Duration(0)
	for k := range e.reached {
		r := &e.reached[k]
		if r.at != 0 {
			passed += r.at.Sub(s.start)
		}
		if r.at >= s.end {
			now.Played += len(s.shares[k].devices)
		}
		now.Enrolled += r.enrolled
		now.Counts.Done += r.counts.done
		now.Counts.Refused += r.counts.refused
		now.Counts.Wakes += r.counts.wakes
	}
	now.Now = s.start.Add(passed / time.Duration(len(e.reached)))
	if !now.ByLots {
		now.Parts = len(s.plan.Acts)
		if n := len(p.told); n > 0 {
			now.Act = p.told[n-1].Name
		}
		for i, a := range s.plan.Acts {
			if p.now >= s.start.Add(time.Duration(a.At)) {
				now.Part, now.PartName = i+1, a.Name
			}
		}
		now.Gap = len(p.gaps) > 0 && p.gaps[len(p.gaps)-1].Closed == 0
	}
	s.cfg.Progress(now)
}

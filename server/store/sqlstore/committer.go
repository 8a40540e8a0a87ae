package sqlstore

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/protocol"
	"rollcall/server/store"
)

// A pace is how long the committer waits for what.
type pace struct {
	gather time.Duration // a group, at most, for as many as came before
	idle   time.Duration // without a change, before it tidies up
}

var usual = pace{gather: time.Millisecond, idle: time.Second}

// checkpointEvery is the number of changes between two checkpoints: about one page each, so that the log stays near 16 MiB,
// and a page that changes often is copied once.
const checkpointEvery = 4096

// A committer takes the changes of all callers and makes each group of them one transaction.
type committer struct {
	pace

	mu      sync.Mutex
	queue   []*job
	since   time.Time     // of the first in the queue
	working time.Time     // since of the group that is being written; zero: none
	want    int           // length of the queue that ends a wait; 0: nobody waits
	stopped error         // why nothing is taken any more
	over    atomic.Bool   // stopped is set
	wake    chan struct{} // holds one
	done    chan struct{} // closed when run has returned

	// The committer's own.
	expect    int           // how many come together of late
	dirty     int           // changes since the last checkpoint
	broke     bool          // the disk failed
	full      bool          // there was no space for the last group
	nextPrune protocol.Time // when old rows are looked for

	groups atomic.Int64 // made durable so far
	tally  tally
}

// A job is a change on its way.
type job struct {
	change change
	err    error
	done   chan error // nil: nobody waits
}

var jobs = sync.Pool{New: func() any { return &job{done: make(chan error, 1)} }}

// commit returns when c is durable, or will never be.
func (s *Store) commit(c change) error {
	j := jobs.Get().(*job)
	j.change = c
	s.mu.Lock()
	if err := s.stopped; err != nil {
		s.mu.Unlock()
		return err
	}
	if len(s.queue) == 0 {
		s.since = time.Now()
	}
	s.queue = append(s.queue, j)
	signal := len(s.queue) == 1 || len(s.queue) == s.want
	s.mu.Unlock()
	if signal {
		s.nudge()
	}
	err := <-j.done
	j.change, j.err = nil, nil
	jobs.Put(j)
	return err
}

func (c *committer) nudge() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake, and looks at the queue before it sleeps
	}
}

// err returns why nothing is taken any more.
func (c *committer) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

// stop refuses all further changes, for the reason err, and has run return after those that wait.
func (c *committer) stop(err error) {
	c.mu.Lock()
	if c.stopped == nil {
		c.stopped = err
	}
	c.over.Store(true)
	c.mu.Unlock()
	c.nudge()
}

// run is the committer's goroutine.
func (s *Store) run() {
	defer close(s.done)
	rest := time.NewTimer(s.idle)
	defer rest.Stop()
	limit := time.NewTimer(s.gather)
	defer limit.Stop()
	var spare []*job
	for {
		select {
		case <-s.wake:
		case <-rest.C:
			s.afterwards(true)
			rest.Reset(s.idle)
			continue
		}
		s.mu.Lock()
		if n := len(s.queue); n < s.expect && n > 0 && s.stopped == nil {
			s.want = s.expect
			s.mu.Unlock()
			s.wait(limit)
			s.mu.Lock()
		}
		group := s.queue
		s.queue, s.want = spare[:0], 0
		if len(group) > 0 {
			s.working = s.since
		}
		stopped := s.stopped != nil
		s.mu.Unlock()
		if len(group) > 0 {
			s.expect = max(len(group), s.expect*3/4)
			s.perform(group)
			rest.Reset(s.idle)
		}
		clear(group)
		spare = group
		if stopped {
			return
		}
	}
}

// wait returns when as many as came before are there again, or after s.gather.
func (s *Store) wait(limit *time.Timer) {
	limit.Reset(s.gather)
	for {
		select {
		case <-limit.C:
			return
		case <-s.wake:
		}
		s.mu.Lock()
		enough := len(s.queue) >= s.want || s.stopped != nil
		s.mu.Unlock()
		if enough {
			limit.Stop()
			return
		}
	}
}

// perform writes a group and tells each caller what became of it.
func (s *Store) perform(group []*job) {
	err := s.settle(group)
	s.groups.Add(1)
	s.tally.group(len(group))
	s.mu.Lock()
	s.working = time.Time{}
	s.mu.Unlock()
	for _, j := range group {
		if err != nil {
			j.err = err
		}
		if j.done != nil {
			j.done <- j.err
		}
	}
	s.dirty += len(group)
	s.afterwards(false)
}

// settle writes a group. An error is everybody's; that of one change alone is in its job.
func (s *Store) settle(group []*job) error {
	if s.broke {
		return s.err()
	}
	err := s.w.transact(group, false)
	if err != nil && classify(err) == itsOwn {
		if len(group) == 1 {
			return err
		}
		err = s.w.transact(group, true)
	}
	return s.judge(err)
}

// judge turns an error of a whole transaction into what callers are told, and ends the store where it must.
func (s *Store) judge(err error) error {
	if err == nil {
		return nil
	}
	switch classify(err) {
	case noSpace:
		s.full = true
		s.tally.full.Store(true)
		return &store.Full{Place: s.folder.path, Err: err}
	case theEnd:
		err = fmt.Errorf("%w: the disk failed, and only a restart can tell what it holds: %w", store.ErrClosed, err)
		s.broke = true
		s.stop(err)
		s.failed <- err
	}
	return err
}

// afterwards does what is not worth a transaction of its own while others wait: after a group when there is much of it, or
// when the store is idle.
func (s *Store) afterwards(quiet bool) {
	if s.broke {
		return
	}
	switch {
	case s.full:
		s.makeRoom()
	case s.tally.full.Load(): // not in quiet moments alone: under load there are none
		s.keepReserve()
	}
	if seen := s.devs.takeSeen(quiet); len(seen) > 0 {
		s.judge(s.w.transact([]*job{{change: seen}}, false))
	}
	if now := protocol.Time(s.clock.Load()); now >= s.nextPrune {
		s.nextPrune = now.Add(pruneEvery)
		s.prune(now)
	}
	if s.dirty >= checkpointEvery || quiet && s.dirty > 0 {
		s.checkpoint()
	}
}

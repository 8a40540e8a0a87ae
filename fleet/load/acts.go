package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/fleet"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// An Act is one thing that is done to the server's tenant while the load runs.
type Act struct {
	At    time.Duration // since the beginning
	Name  string
	Do    func(ctx context.Context) (outcome string, err error) // outcome: in a sentence; may be empty
	Calls bool                                                  // the server then has every device come
}

// played are the acts of a load as they went.
type played struct {
	mu   sync.Mutex
	list []report.Act
	over bool // all were played
	bad  bool // one could not be
	went sync.WaitGroup
}

// play does the acts when they are due, one after another; the load does not wait for them.
func (l *Load) play(ctx context.Context) {
	acts := slices.Clone(l.config.Acts)
	slices.SortStableFunc(acts, func(a, b Act) int { return int(a.At - b.At) })
	if len(acts) == 0 {
		l.played.over = true
		return
	}
	l.played.went.Go(func() {
		for _, a := range acts {
			timer := time.NewTimer(a.At - time.Since(l.begin))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
			done := report.Act{At: time.Since(l.begin), Title: a.Name, Mark: true}
			if a.Calls {
				l.call(done.At)
			}
			outcome, err := a.Do(ctx)
			if done.Text = outcome; err != nil {
				done.Text, done.Failed = err.Error(), true
			}
			l.played.mu.Lock()
			l.played.bad = l.played.bad || done.Failed
			l.played.list = append(l.played.list, done)
			l.played.mu.Unlock()
		}
		l.played.mu.Lock()
		l.played.over = true
		l.played.mu.Unlock()
		l.nudge()
	})
}

// Order asks the administration for a command for each device that is enrolled, some at a time, and keeps account of it. The
// error is the first one; the others were asked for all the same.
func (l *Load) Order(ctx context.Context, kind string, ask func(ctx context.Context, udid string) (id string, err error)) (outcome string, err error) {
	var mu sync.Mutex
	ordered, refused, unnamed := 0, 0, 0
	todo := make(chan fleet.Device)
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			for d := range todo {
				at := protocol.At(l.now())
				id, no := ask(ctx, Name(d))
				if no == nil && id != "" && l.config.Ledger != nil {
					l.config.Ledger.Ordered(at, d.Number(), id, kind, 0)
					l.config.Ledger.Taken(protocol.At(l.now()), d.Number(), id)
				}
				mu.Lock()
				ordered++
				if no == nil && id == "" {
					unnamed++
				}
				if no != nil {
					refused++
					if err == nil {
						err = fmt.Errorf("%s for %s: %w", kind, Name(d), no)
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, d := range l.members {
		select {
		case todo <- d:
		case <-ctx.Done():
		}
	}
	close(todo)
	asking.Wait()
	outcome = lang.English.Say("Asked for %d, of which %d {was|were} refused.", ordered, refused)
	if unnamed > 0 {
		outcome += " " + lang.English.Say("The ids of %d are not known: the ledger cannot follow these.", unnamed)
	}
	return outcome, err
}

// check has the ledger look every second, beside the load, until ctx ends: what is stuck is named while the storm runs.
func (l *Load) check(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.config.Ledger.Check(protocol.At(l.now()))
		case <-ctx.Done():
			return
		}
	}
}

// settle lets devices ask for work once more, after the load and apart from it, so that the ledger can be closed. On a bad network
// some have to ask again and again; nobody does any more when none was answered for as long as the load's end may take.
func (l *Load) settle(ctx context.Context) {
	if l.config.Ledger == nil {
		return
	}
	l.paced = false
	asking, enough := context.WithCancel(ctx)
	defer enough()
	heard := time.AfterFunc(l.config.Drain, enough)
	defer heard.Stop()
	todo := make(chan fleet.Device)
	var talking sync.WaitGroup
	for range l.config.Parallel {
		talking.Go(func() {
			for d := range todo {
				well := l.ask(asking, d)
				if well {
					heard.Reset(l.config.Drain)
				}
				l.mu.Lock()
				l.hears(d)
				if !well {
					l.unheard.devices++
				}
				if !well && ctx.Err() == nil { // else it is we who did not let it
					l.unheard.orders += l.config.Ledger.Unheard(protocol.At(l.now()), d.Number())
				}
				l.mu.Unlock()
			}
		})
	}
	for _, d := range l.config.Devices {
		if d.Phase() == agent.Enrolled {
			todo <- d
		}
	}
	close(todo)
	talking.Wait()
	l.config.Ledger.Close(protocol.At(l.now()))
}

// unheard are the devices that could not ask for work once more at the end, and the orders of which nobody knows for that.
type unheard struct{ devices, orders int }

// ask has d ask for work until a whole conversation went well, and tells whether one did. What comes of it, the ledger hears.
func (l *Load) ask(ctx context.Context, d fleet.Device) bool {
	for try := range mostTries {
		_, err := l.link.Converse(ctx, d, dialect.Synced)
		f, answered := errors.AsType[*dialect.Failure](err)
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil, d.Phase() != agent.Enrolled, answered && f.Status >= 400 && f.Status < 500 && f.Status != http.StatusTooManyRequests:
			return false // it is not to come again
		}
		select {
		case <-time.After(max(patience(err, try), time.Second)):
		case <-ctx.Done():
		}
	}
	return false
}

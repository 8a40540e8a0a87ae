package server_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// TestHST110Clock: a clock that is set two years ahead removes no record and ends no profile until it is set back or
// confirmed; one that is set back does nothing.
func TestHST110Clock(t *testing.T) {
	for _, tt := range []struct {
		name string
		jump time.Duration
		mend func(x *tenant, set *atomic.Int64)
		life delivery.Life // NoLife: removed in the end
	}{
		{"ahead and back", 2 * 365 * day, func(_ *tenant, set *atomic.Int64) { set.Store(0) }, delivery.Enrolled},
		{"ahead and back, and pushed meanwhile", 100 * day, func(_ *tenant, set *atomic.Int64) { set.Store(0) }, delivery.Enrolled},
		{"ahead and confirmed", 2 * 365 * day, func(x *tenant, set *atomic.Int64) {
			x.refused(x.ConfirmClock(x.ctx, x.now, server.Actor{Role: store.Helpdesk}), protocol.RuleRoles)
			x.must(x.ConfirmClock(x.ctx, x.now.Add(time.Duration(set.Load())), boss))
		}, delivery.NoLife},
		{"back", -365 * day, func(*tenant, *atomic.Int64) {}, delivery.Enrolled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newTenant(t)
			p := x.enrolled(1)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				x.ctx = ctx
				began := time.Now()
				var set atomic.Int64
				x.reopen()
				done := make(chan error)
				go func() {
					done <- x.Server.Run(ctx, func() protocol.Time { return x.now.Add(time.Since(began) + time.Duration(set.Load())) })
				}()
				time.Sleep(time.Hour)
				set.Store(int64(tt.jump))
				time.Sleep(50 * time.Hour)
				synctest.Wait()
				if got := p.state().Life; got != delivery.Enrolled {
					t.Errorf("life %s while the clock is in doubt", got)
				}
				if !x.World().Doubt {
					t.Error("nobody doubts the clock")
				}
				tt.mend(x, &set)
				time.Sleep(50 * time.Hour)
				synctest.Wait()
				list, err := x.store.Records(ctx, 0, 10)
				if err == nil && len(list) > 0 {
					if now := x.now.Add(time.Since(began) + time.Duration(set.Load())); !x.World().Doubt && list[0].State.Wake.Due.Sub(now) > day {
						t.Errorf("the next wake-up is due %s after %s", list[0].State.Wake.Due.Sub(now), now)
					}
				}
				if err != nil || (len(list) == 0) != (tt.life == delivery.NoLife) || len(list) > 0 && list[0].State.Life != tt.life {
					t.Errorf("records %+v, %v, want life %s", list, err, tt.life)
				}
				cancel()
				<-done
			})
		})
	}
}

// TestHST110Restart: a clock that is in doubt is so after a restart, until it is right again; one that starts before the
// journal's newest line is as well. After a week without the server a right clock is right (I6).
func TestHST110Restart(t *testing.T) {
	const week, ahead = 7 * day, 2 * 365 * day
	for _, tt := range []struct {
		name   string
		jump   time.Duration   // while the server runs
		starts time.Duration   // what its clock says next time, since the beginning
		then   []time.Duration // what it says a moment later each
		doubt  []bool          // after the start, and after each of then
	}{
		{"ahead", ahead, ahead + 3*time.Hour, []time.Duration{ahead + 50*time.Hour, 3 * time.Hour}, []bool{true, true, false}},
		{"ahead, and set back meanwhile", ahead, week, nil, []bool{false}},
		{"ahead, and set back too far", ahead, -week, []time.Duration{-day, week}, []bool{true, true, false}},
		{"back", -week, 3*time.Hour - week, []time.Duration{3 * time.Hour}, []bool{true, false}},
		{"back, and set right meanwhile", -week, week, nil, []bool{false}},
		{"1970", 0, -50 * 365 * day, []time.Duration{-49 * 365 * day, week}, []bool{true, true, false}},
		{"down for a week", 0, week, nil, []bool{false}},
		{"a minute behind", 0, 2*time.Hour - time.Minute, nil, []bool{false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newTenant(t)
			start := x.now
			x.enrolled(1)
			x.reopen()
			x.WatchClock(x.ctx, start.Add(time.Hour), time.Hour)
			x.now = start.Add(2*time.Hour + tt.jump)
			x.WatchClock(x.ctx, x.now, 2*time.Hour)
			x.must(x.PutToken(x.ctx, x.now, store.Token{Name: "t"})) // a line
			check := func(when string, want bool) {
				t.Helper()
				if got := x.World().Doubt; got != want {
					t.Errorf("%s: doubt %t, want %t", when, got, want)
				}
				x.must(x.Tick(x.ctx, x.now))
				if records, err := x.store.Records(x.ctx, 0, 10); err != nil || len(records) != 1 || records[0].State.Life != delivery.Enrolled {
					t.Fatalf("%s: records %+v, %v", when, records, err)
				}
			}
			x.now = start.Add(tt.starts)
			for range 3 { // the doubt does not wear off
				x.reopen()
				check("started", tt.doubt[0])
			}
			x.WatchClock(x.ctx, x.now, 0)
			for i, says := range tt.then {
				passed := time.Duration(0)
				if says-tt.starts == 47*time.Hour { // it went on
					passed = 47 * time.Hour
				}
				x.now = start.Add(says)
				x.WatchClock(x.ctx, x.now, passed)
				check("later", tt.doubt[i+1])
			}
			if x.World().Doubt {
				x.must(x.ConfirmClock(x.ctx, x.now, boss))
			}
			x.reopen()
			check("in the end", false)
		})
	}
}

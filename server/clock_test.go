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
				if err != nil || (len(list) == 0) != (tt.life == delivery.NoLife) || len(list) > 0 && list[0].State.Life != tt.life {
					t.Errorf("records %+v, %v, want life %s", list, err, tt.life)
				}
				cancel()
				<-done
			})
		})
	}
}

package store_test

import (
	"strconv"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

// A device that is refused again and again costs a store that one goroutine has alone no memory.
func TestAloneForgets(t *testing.T) {
	m := store.NewAlone(10)
	if n := testing.AllocsPerRun(1000, func() {
		tx, err := m.Create(t.Context(), "refused")
		if err != nil {
			t.Fatal(err)
		}
		tx.End()
	}); n != 0 {
		t.Errorf("an enrolment that comes to nothing leaves %v allocations", n)
	}
}

// What holds Apple's devices does not have others stand behind them, and they are due as before when it is over (AUTH-30).
func TestAUTH30WithoutApple(t *testing.T) {
	m := store.NewAlone(3)
	now := protocol.At(time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC))
	for i, p := range []protocol.Platform{protocol.IOS, protocol.Windows, protocol.MacOS} {
		tx, err := m.Create(t.Context(), strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
		out.State.Life, out.State.Platform, out.State.Wake.Due = delivery.Enrolled, p, now.Add(time.Duration(i)*time.Hour)
		if err := tx.Commit(now, &out); err != nil {
			t.Fatal(err)
		}
		tx.End()
	}
	due := func(want string) {
		t.Helper()
		d, at := m.FirstDue()
		next, err := m.NextDue(t.Context(), true)
		if got := m.ID(d); got != want || next != at || err != nil {
			t.Errorf("device %q is first, at %s, want %q; next %s, %v", got, at, want, next, err)
		}
	}
	due("0")
	m.WithoutApple(true)
	due("1")
	d, _ := m.FirstDue()
	m.Lend(d).Wake.Due = now.Add(3 * time.Hour)
	m.Rewoken(d)
	m.Lend(d + 1).Wake.Due = now.Add(time.Minute)
	m.Rewoken(d + 1)
	due("1")
	m.WithoutApple(false)
	due("0")
}

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return store.NewMemory() })
}

package store_test

import (
	"testing"

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

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return store.NewMemory() })
}

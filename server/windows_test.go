package server_test

import (
	"runtime"
	"sync"
	"testing"
)

// TestHST043Tie: of two enrolments of one device of the directory the second waits until the first is over; of two devices neither waits.
func TestHST043Tie(t *testing.T) {
	x := newTenant(t)
	var others sync.WaitGroup
	inside := false // never two at a time
	tie := func(directory string, during func()) {
		x.must(x.Tie(x.ctx, x.now, directory, "hw", "id", func() error { during(); return nil }))
	}
	tie("d1", func() {
		inside = true
		others.Go(func() {
			tie("d1", func() {
				if inside {
					t.Error("two enrolments of one device at the same time")
				}
			})
		})
		tie("", func() {})
		for range 1000 {
			runtime.Gosched()
		}
		inside = false
	})
	others.Wait()
}

package device

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestSpareHeap(t *testing.T) {
	for _, tt := range []struct {
		inUse uint64
		want  int
	}{{0, 600}, {1 << 20, 600}, {8 << 20, 300}, {16 << 20, 150}, {24 << 20, 100}, {1 << 40, 100}} {
		if got := collectAt(tt.inUse); got != tt.want {
			t.Errorf("with %d in use: %d, want %d", tt.inUse, got, tt.want)
		}
	}
	t.Setenv("GOGC", "")
	now := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	runtime.GC() // what is in use is what the last one left
	before := now()
	stop := SpareHeap()
	defer stop()
	if now() <= before {
		t.Errorf("GOGC %d with a small heap", now())
	}
	much := make([]byte, 256<<20) // and never touched
	for try := 0; now() != 100; try++ {
		if try == 1000 {
			t.Fatalf("GOGC %d with %d bytes in use", now(), inUse())
		}
		runtime.GC() // the look after one is another goroutine's
	}
	runtime.KeepAlive(much)
	stop()
	if now() != before {
		t.Errorf("GOGC %d is left, it was %d", now(), before)
	}
	t.Setenv("GOGC", "50")
	defer SpareHeap()()
	if now() != before {
		t.Error("a GOGC of the environment's did not hold")
	}
}

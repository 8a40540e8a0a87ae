package device

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
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
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return int(sample[0].Value.Uint64())
	}
	before := now()
	var used atomic.Uint64 // what other tests have left is in use as well
	stop := spareHeap(used.Load)
	defer stop()
	for _, tt := range []struct {
		inUse uint64
		want  int
	}{{0, 600}, {16 << 20, 150}, {1 << 30, 100}, {1 << 20, 600}} {
		used.Store(tt.inUse)
		for try := 0; now() != tt.want; try++ {
			if try == 1000 {
				t.Fatalf("GOGC %d with %d bytes in use, want %d", now(), tt.inUse, tt.want)
			}
			runtime.GC() // the look after one is another goroutine's
		}
	}
	stop()
	used.Store(16 << 20)
	for range 10 {
		runtime.GC()
	}
	if now() != before {
		t.Errorf("GOGC %d is left, it was %d", now(), before)
	}
	much := make([]byte, 256<<20) // and never touched
	runtime.GC()
	if got := inUse(); got < uint64(len(much)) {
		t.Errorf("%d bytes in use, where there are %d", got, len(much))
	}
	runtime.KeepAlive(much)
	t.Setenv("GOGC", "50")
	defer SpareHeap()()
	if now() != before {
		t.Error("a GOGC of the environment's did not hold")
	}
}

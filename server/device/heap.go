package device

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// spare is how many bytes may be allocated between two garbage collections however few are in use.
const spare = 24 << 20

// SpareHeap has the garbage collector of a server's process wait until 24 MiB were allocated since it last came, or as many as were in
// use then if these are more, as it does by itself. Left alone, it collects the small heap of a server with few devices dozens of
// times a second, which is a tenth of what enrolments cost; so it is a twentieth at most. More would win some hundredths, and cost each machine's
// stream of wake-ups the garbage of its handshake (cmd/rollcall's BenchmarkStreamsOfMachines). Where the environment has a GOGC, that
// holds. stop sets back what was.
func SpareHeap() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	return spareHeap(inUse)
}

func spareHeap(inUse func() uint64) (stop func()) {
	h := &heap{inUse: inUse, percent: collectAt(inUse())}
	h.before = debug.SetGCPercent(h.percent)
	h.watch()
	return h.stop
}

type heap struct {
	inUse  func() uint64 // what the last collection left, in bytes
	before int           // what GOGC was

	mu      sync.Mutex // held while GOGC is set
	percent int
	stopped bool
}

func (h *heap) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.stopped = true
		debug.SetGCPercent(h.before)
	}
}

// watch looks at what is in use after each collection.
func (h *heap) watch() {
	type sign struct{ _ *sign }
	runtime.AddCleanup(new(sign), (*heap).look, h)
}

func (h *heap) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	if now := collectAt(h.inUse()); now*10 < h.percent*9 || now*9 > h.percent*10 { // to set it stops the world
		h.percent = now
		debug.SetGCPercent(now)
	}
	h.watch()
}

// collectAt is the GOGC with which spare is kept, 100 at least.
func collectAt(inUse uint64) int {
	const most = 100 * spare / (4 << 20) // of which the runtime makes a heap of spare, whatever is in use
	return int(min(max(100*spare/max(inUse, 1), 100), most))
}

// inUse is what the last collection left, in bytes.
func inUse() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

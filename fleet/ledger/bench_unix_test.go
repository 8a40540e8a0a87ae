//go:build unix

package ledger

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/protocol"
)

const benchDevices = 1_000_000

// benchLedger has a million devices with two profiles each.
func benchLedger() *Ledger {
	l := New(Config{Devices: benchDevices})
	for d := protocol.Device(1); d <= benchDevices; d++ {
		l.Enrolled(1, d)
		for _, p := range []string{"wifi", "mail"} {
			l.Wanted(1, d, p, "1")
			l.Installed(1, d, p, "1")
		}
	}
	return l
}

// BenchmarkLedger writes five entries for each of b.N commands: ordered, taken, delivered, confirmed, and the empty answer
// after it; and says what a device costs in memory. The time of an entry is CPU time.
func BenchmarkLedger(b *testing.B) {
	list := ids(1 << 16)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l := benchLedger()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime()
	for i := range b.N {
		steady(l, protocol.Time(i+1)*10, protocol.Device(1+uint64(i)*7919%benchDevices), list[i%len(list)])
	}
	used := cpuTime() - start
	b.StopTimer()
	b.ReportMetric(float64(used.Nanoseconds())/5/float64(b.N), "CPU-ns/entry")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchDevices, "B/device")
	if r := l.Result(); r.Faults() != 0 {
		b.Errorf("found %v", r.Findings[0])
	}
}

// BenchmarkMemory fills what is remembered of a million devices' confirmed commands, and says what that costs each at most.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := newMemory(Remembered * benchDevices)
		for i := range uint64(2 * Remembered * benchDevices) {
			m.add(i * 0x9e3779b97f4a7c15)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchDevices, "B/device")
		runtime.KeepAlive(m)
	}
}

// BenchmarkCheck looks once at all devices.
func BenchmarkCheck(b *testing.B) {
	l := benchLedger()
	for b.Loop() {
		l.Check(2)
	}
}

func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

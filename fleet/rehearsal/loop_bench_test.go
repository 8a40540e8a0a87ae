package rehearsal_test

import (
	"runtime"
	"testing"
	"time"

	"rollcall/fleet/rehearsal"
)

// BenchmarkLoop is what the parts of a rehearsal cost in a partition, in processor time since machines are shared: a steady
// check-in with its push and report, an enrolment until the device has its profiles, and a move with the old profiles' removal
// and the new ones' installation.
func BenchmarkLoop(b *testing.B) {
	// each measures what do costs for each of so many.
	each := func(b *testing.B, prepare func(), do func() (ops uint64)) {
		b.Helper()
		b.ReportAllocs()
		var spent time.Duration
		var ops, mallocs uint64
		for b.Loop() {
			b.StopTimer()
			prepare()
			b.StartTimer()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := rehearsal.Processor(b)
			ops += do()
			spent += rehearsal.Processor(b) - began
			runtime.ReadMemStats(&after)
			mallocs += after.Mallocs - before.Mallocs
		}
		b.ReportMetric(float64(spent.Nanoseconds())/float64(ops), "CPU-ns/each")
		b.ReportMetric(float64(mallocs)/float64(ops), "allocs/each")
	}
	settled := func(b *testing.B) *fortnight {
		f := newFortnight(b, partition)
		f.arrive(partition, 4*time.Hour)
		f.windows(30 * time.Hour)
		return f
	}
	b.Run("steady", func(b *testing.B) {
		f := settled(b)
		var heap runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&heap)
		each(b, func() {}, func() uint64 {
			before := f.contacts
			f.must(f.Run(f.Now().Add(8 * time.Hour)))
			return f.contacts - before
		})
		b.ReportMetric(float64(heap.HeapAlloc)/partition, "B/device")
		runtime.KeepAlive(f)
	})
	b.Run("steady, in turns", func(b *testing.B) { // of so many that all of them are cold when their turn comes
		all := make([]*fortnight, 16)
		for i := range all {
			all[i] = settled(b)
		}
		each(b, func() {}, func() (contacts uint64) {
			for _, f := range all {
				contacts -= f.contacts
			}
			for range 48 {
				for _, f := range all {
					f.must(f.Run(f.Now().Add(10 * time.Minute)))
				}
			}
			for _, f := range all {
				contacts += f.contacts
			}
			return contacts
		})
	})
	b.Run("steady, ahead", func(b *testing.B) { // as a rehearsal plays it where the plan does nothing
		f := settled(b)
		each(b, func() {}, func() uint64 {
			before, until := f.contacts, f.Now().Add(4*day)
			f.calm = until
			f.must(f.Run(until))
			f.calm = 0
			return f.contacts - before
		})
	})
	b.Run("enrolment", func(b *testing.B) {
		var f *fortnight
		each(b, func() { f = newFortnight(b, partition) }, func() uint64 {
			f.arrive(partition, time.Second)
			return partition
		})
	})
	b.Run("move", func(b *testing.B) {
		var f *fortnight
		prepare := func() {
			f = settled(b)
			f.adds()
			f.renews()
			f.must(f.Run(f.Now().Add(9 * time.Hour)))
		}
		each(b, prepare, func() uint64 {
			moved := f.moved
			for k := range 5 {
				f.wave(k)
			}
			f.must(f.Run(f.Now().Add(time.Minute)))
			return uint64(f.moved - moved)
		})
	})
}

//go:build unix

package sqlstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// benchDevices enrols n devices together.
func benchDevices(b *testing.B, s *Store, n int) {
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := g; i < n; i += 64 {
				enrol(b, s, fmt.Sprintf("00008103-%012X", i))
			}
		})
	}
	wg.Wait()
}

// tokenUpdate is the whole of what one durable check-in asks of the store, with lines for the journal.
func tokenUpdate(s *Store, out *delivery.Outcome, d protocol.Device, now protocol.Time, lines []delivery.Effect) error {
	tx, err := s.Begin(context.Background(), d)
	if err != nil {
		return err
	}
	defer tx.End()
	out.State = *tx.State()
	out.State.Push.Since, out.State.LastSeen = now, now
	out.State.Wake.Due = now.Add(8 * time.Hour)
	out.Changed, out.Effects = delivery.Core|delivery.Wakes, lines
	return tx.Commit(now, out)
}

func BenchmarkCommitTokenUpdate(b *testing.B) {
	for _, of := range []struct{ callers, lines int }{{1, 0}, {64, 0}, {256, 0}, {256, 1}} {
		b.Run(fmt.Sprintf("callers=%d/lines=%d", of.callers, of.lines), func(b *testing.B) {
			callers, lines := of.callers, make([]delivery.Effect, of.lines)
			for i := range lines {
				lines[i] = delivery.Effect{Kind: delivery.Journal, Device: 1, Rule: "AUTH-21", What: delivery.WhatReported, Detail: "InstallProfile wifi: Acknowledged"}
			}
			s := openTest(b)
			const n = 10000
			benchDevices(b, s, n)
			groups := s.groups.Load()
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			cpu, start := cpuTime(), time.Now()
			var wg sync.WaitGroup
			for g := range callers {
				wg.Go(func() {
					var out delivery.Outcome
					r := rand.New(rand.NewPCG(1, uint64(g)))
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if err := tokenUpdate(s, &out, protocol.Device(1+r.IntN(n)), epoch.Add(time.Duration(i)*time.Second), lines); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			used, took := cpuTime()-cpu, time.Since(start)
			b.ReportMetric(float64(b.N)/used.Seconds(), "rows/CPU-s")
			b.ReportMetric(float64(used.Microseconds())/float64(b.N), "CPU-us/op")
			b.ReportMetric(float64(b.N)/float64(s.groups.Load()-groups), "rows/group")
			b.ReportMetric(float64(b.N)/took.Seconds(), "rows/s")
		})
	}
}

// cpuTime is what this process has used so far, the kernel's share included.
func cpuTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

package rehearsal_test

import (
	"fmt"
	"testing"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
)

// BenchmarkPlay is a fortnight in which Intune is added, a gap opens and closes, and licences come in waves: one op is the whole
// story. The figure in the architecture is that of a million devices.
func BenchmarkPlay(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, err := plan.Load("testdata/fortnight.yaml")
			if err == nil {
				p, err = p.WithDevices(n)
			}
			if err != nil {
				b.Fatal(err)
			}
			pop := population.New(p)
			b.ReportAllocs()
			checkIns := uint64(0)
			for b.Loop() {
				out, err := rehearsal.Play(b.Context(), rehearsal.Config{Plan: p, Population: pop})
				if err != nil {
					b.Fatal(err)
				}
				checkIns += out.CheckIns
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(checkIns), "ns/check-in")
		})
	}
}

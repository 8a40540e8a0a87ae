//go:build !agentonly

package main

import (
	"math"
	"testing"
)

// What grows in proportion has exponent 1, what grows with the square 2, and what does not grow 0.
func TestExponent(t *testing.T) {
	for _, want := range []float64{0, 1, 2} {
		var runs []measured
		for _, n := range []int{10, 100, 1000} {
			runs = append(runs, measured{Devices: n, Seconds: 3 * math.Pow(float64(n), want)})
		}
		if got := exponent(runs, func(m *measured) float64 { return m.Seconds }); math.Abs(got-want) > 1e-9 {
			t.Errorf("exponent %g, want %g", got, want)
		}
	}
}

package load

import (
	"math"
	"slices"
	"testing"
	"time"
)

func instants(p Pace) (all []time.Duration) {
	for c := p.cursor(); ; {
		at, ok := c.next()
		if !ok {
			return all
		}
		all = append(all, at)
	}
}

func TestPace(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name string
		pace Pace
		want []time.Duration // to a microsecond
		peak float64
		text string
	}{
		{"none", Pace{}, nil, 0, ""},
		{"constant", Constant(4, s), []time.Duration{0, s / 4, s / 2, 3 * s / 4}, 4, "4/s for 1s"},
		{"slower than its length", Constant(0.5, 3*s), []time.Duration{0, 2 * s}, 0.5, "0.5/s for 3s"},
		{"ramp", Ramp(0, 4, 2*s), []time.Duration{0, s, 1414214 * time.Microsecond, 1732051 * time.Microsecond}, 4, "0/s to 4/s for 2s"},
		{"ramp down", Ramp(4, 0, 2*s), []time.Duration{0, 267949 * time.Microsecond, 585786 * time.Microsecond, s}, 4, "4/s to 0/s for 2s"},
		{"step", Constant(1, 2*s).Then(Constant(2, 2*s)), []time.Duration{0, s, 2 * s, 5 * s / 2, 3 * s, 7 * s / 2}, 2, "1/s for 2s, then 2/s for 2s"},
		{"spike", Constant(1, s).Then(Constant(4, s)).Then(Constant(1, s)), []time.Duration{0, s, 5 * s / 4, 3 * s / 2, 7 * s / 4, 2 * s}, 4, "1/s for 1s, then 4/s for 1s, then 1/s for 1s"},
		{"everyone", Constant(1, 3*s), []time.Duration{0, s, 2 * s}, 1, "1/s for 3s"},
		{"a fraction carried on", Constant(1.5, s).Then(Constant(1, 2*s)), []time.Duration{0, 2 * s / 3, 3 * s / 2, 5 * s / 2}, 1.5, "1.5/s for 1s, then 1/s for 2s"},
		{"a pause", Constant(1, s).Then(Constant(0, s)).Then(Constant(1, s)), []time.Duration{0, 2 * s}, 1, "1/s for 1s, then 0/s for 1s, then 1/s for 1s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := instants(tt.pace)
			near := func(a, b time.Duration) bool { return (a - b).Abs() <= time.Microsecond }
			if !slices.EqualFunc(got, tt.want, near) {
				t.Errorf("instants %v, want %v", got, tt.want)
			}
			if tt.pace.Peak() != tt.peak || tt.pace.String() != tt.text {
				t.Errorf("peak %v, %q, want %v, %q", tt.pace.Peak(), tt.pace, tt.peak, tt.text)
			}
		})
	}
}

// Whatever its shape, a Pace has its total of instants, in order and inside its length, also by chance, where the spread of
// the numbers is that of Poisson's distribution.
func TestPaceTotals(t *testing.T) {
	p := Ramp(10, 300, 30*time.Second).Then(Constant(200, 10*time.Second)).Then(Constant(2000, 5*time.Second)).Then(Constant(200, 25*time.Second))
	check := func(all []time.Duration, tolerance float64) {
		t.Helper()
		if n := float64(len(all)); math.Abs(n-p.Total()) > tolerance {
			t.Errorf("%v instants, want %v", n, p.Total())
		}
		if !slices.IsSorted(all) || all[0] < 0 || all[len(all)-1] >= p.Length() {
			t.Errorf("not in order, or from %v to %v", all[0], all[len(all)-1])
		}
	}
	check(instants(p), 1)
	drawn := instants(p.Poisson(7))
	check(drawn, 5*math.Sqrt(p.Total()))
	if n := p.Poisson(7).Arrivals(); n != len(drawn) || p.Arrivals() != len(instants(p)) {
		t.Errorf("%d arrivals by chance, %d instants", n, len(drawn))
	}
	if !slices.Equal(drawn, instants(p.Poisson(7))) {
		t.Error("one seed gave two lists of instants")
	}
	if slices.Equal(drawn, instants(p.Poisson(8))) {
		t.Error("two seeds gave one list of instants")
	}

	const rate, seconds = 50, 4000
	count := make([]float64, seconds)
	for _, at := range instants(Constant(rate, seconds*time.Second).Poisson(1)) {
		count[int(at/time.Second)]++
	}
	mean, variance := 0.0, 0.0
	for _, n := range count {
		mean += n / seconds
	}
	for _, n := range count {
		variance += (n - mean) * (n - mean) / seconds
	}
	if math.Abs(mean-rate) > 1 || math.Abs(variance/mean-1) > 0.1 {
		t.Errorf("by chance: mean %.2f, variance %.2f a second, want both %d", mean, variance, rate)
	}
}

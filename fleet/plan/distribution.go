package plan

import (
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// A Distribution is a random length of time: 3d (always), uniform(1d, 3d), or lognormal(3d, 2.5), whose median is
// 3d and of which two thirds lie between 3d/2.5 and 3d*2.5. It is drawn from a table of 256 equally likely steps, so
// that one seed draws the same on every machine; the outermost steps end at the one in a thousand.
type Distribution struct {
	text string
	cuts []time.Duration // 257 ascending cut points; none: always zero
}

const steps = 256

// Draw returns one length of time.
func (d *Distribution) Draw(r *rand.PCG) time.Duration {
	if len(d.cuts) == 0 {
		return 0
	}
	u := r.Uint64()
	i := u >> 56
	low, high := d.cuts[i], d.cuts[i+1]
	const fine = 1 << 20
	within := time.Duration(u >> 16 % fine)
	width := high - low
	return low + width/fine*within + width%fine*within/fine
}

// Shortest and Longest return the ends of d: no draw is below or above them.
func (d *Distribution) Shortest() time.Duration { return d.cut(0) }

// Longest is described at [Distribution.Shortest].
func (d *Distribution) Longest() time.Duration { return d.cut(steps) }

func (d *Distribution) cut(i int) time.Duration {
	if len(d.cuts) == 0 {
		return 0
	}
	return d.cuts[i]
}

// Mean returns the mean of all draws.
func (d *Distribution) Mean() time.Duration {
	var sum time.Duration
	for i := 1; i < len(d.cuts); i++ {
		sum += (d.cuts[i-1] + d.cuts[i]) / (2 * steps)
	}
	return sum
}

func (d Distribution) String() string { return d.text }

// MarshalText gives what UnmarshalText took.
func (d Distribution) MarshalText() ([]byte, error) { return []byte(d.text), nil }

var errDistribution = errors.New("want a length of time (3d), uniform(1d, 3d) or lognormal(3d, 2.5)")

// UnmarshalText takes the three forms.
func (d *Distribution) UnmarshalText(b []byte) error {
	d.text = string(b)
	name, arguments, call := strings.Cut(strings.TrimSuffix(d.text, ")"), "(")
	first, second, two := strings.Cut(arguments, ",")
	if call != strings.HasSuffix(d.text, ")") || call != two {
		return errDistribution
	}
	if !call {
		first = d.text
	}
	a, err := ParseDuration(strings.TrimSpace(first))
	if err != nil {
		return errDistribution
	}
	second = strings.TrimSpace(second)
	switch {
	case !call:
		d.uniform(a, a)
	case name == "uniform":
		z, err := ParseDuration(second)
		if err != nil || z < a {
			return errors.New("want uniform(shortest, longest)")
		}
		d.uniform(a, z)
	case name == "lognormal":
		factor, err := strconv.ParseFloat(second, 64)
		if err != nil || !(factor >= 1 && factor <= 100) || a > 100*365*Day {
			return errors.New("want lognormal(median, factor) with a factor between 1 and 100")
		}
		d.lognormal(a, factor)
	default:
		return errDistribution
	}
	return nil
}

func (d *Distribution) uniform(a, z time.Duration) {
	d.cuts = make([]time.Duration, steps+1)
	for i := range d.cuts {
		d.cuts[i] = a + (z-a)/steps*time.Duration(i) + (z-a)%steps*time.Duration(i)/steps
	}
}

// lognormal uses square roots and single products only, which IEEE 754 rounds the same everywhere.
func (d *Distribution) lognormal(median time.Duration, factor float64) {
	var powers [14]float64 // factor to the power of 2^(i-12)
	powers[12] = factor
	powers[13] = float64(factor * factor)
	for i := 11; i >= 0; i-- {
		powers[i] = math.Sqrt(powers[i+1])
	}
	d.cuts = make([]time.Duration, steps+1)
	for i, z := range normal {
		p := 1.0
		for bit, power := range powers {
			if z>>bit&1 == 1 {
				p = float64(p * power)
			}
		}
		d.cuts[steps/2+i] = whole(float64(float64(median) * p))
		d.cuts[steps/2-i] = whole(float64(float64(median) / p))
	}
}

// whole cuts off to the second: finer would be noise.
func whole(ns float64) time.Duration {
	return time.Duration(min(ns, math.MaxInt64/2)) / time.Second * time.Second
}

// normal holds the upper quantiles (128/256 to 256/256) of the normal distribution in 1/4096 of its
// standard deviation; the last stands for 255.75/256.
var normal = [steps/2 + 1]int16{
	0, 40, 80, 120, 160, 201, 241, 281, 321, 361, 402, 442, 482, 523, 563, 604,
	644, 685, 726, 766, 807, 848, 889, 930, 972, 1013, 1054, 1096, 1137, 1179, 1221, 1263,
	1305, 1347, 1390, 1432, 1475, 1518, 1561, 1604, 1648, 1691, 1735, 1779, 1823, 1868, 1912, 1957,
	2002, 2047, 2093, 2139, 2185, 2231, 2278, 2325, 2372, 2420, 2468, 2516, 2565, 2613, 2663, 2713,
	2763, 2813, 2864, 2916, 2968, 3020, 3073, 3126, 3180, 3235, 3290, 3345, 3402, 3459, 3516, 3575,
	3634, 3694, 3754, 3816, 3878, 3941, 4005, 4071, 4137, 4204, 4273, 4342, 4414, 4486, 4560, 4635,
	4712, 4790, 4871, 4953, 5038, 5124, 5213, 5304, 5399, 5496, 5596, 5700, 5807, 5919, 6035, 6157,
	6284, 6417, 6558, 6706, 6865, 7034, 7216, 7413, 7630, 7870, 8141, 8452, 8822, 9282, 9902, 10896,
	12686,
}

// JSONSchema describes the text.
func (Distribution) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type:        "string",
		Pattern:     "^(" + durationPattern + "|uniform\\([^,]+,[^,]+\\)|lognormal\\([^,]+,[^,]+\\))$",
		Description: "a length of time (3d), uniform(1d, 3d) or lognormal(3d, 2.5)",
	}
}

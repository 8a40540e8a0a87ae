package load

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
)

// A Comparison holds a result against an earlier one. Windows at the same place of both runs are paired; a change is the
// median of the pairs' ratios less 1, in per cent, and its interval is where 95 of 100 such runs would have it, by
// resampling the pairs.
type Comparison struct {
	Comparable bool     `json:"comparable"`
	Why        []string `json:"why" jsonschema_description:"why not: what the two runs did not do alike"`
	Pairs      int      `json:"pairs"`
	P50        Change   `json:"p50"`
	P99        Change   `json:"p99"`
	Done       Change   `json:"done"`
}

// A Change is in per cent; what lies between Least and Most cannot be told from it by these runs.
type Change struct {
	Percent float64 `json:"percent"`
	Least   float64 `json:"least"`
	Most    float64 `json:"most"`
}

// Clear tells whether a change is one: no change at all lies outside its interval.
func (c Change) Clear() bool { return c.Least > 0 || c.Most < 0 }

func (c Change) String() string {
	if !c.Clear() {
		return fmt.Sprintf("no change that these runs could show (%+.1f%%, 95%%: %+.1f%% to %+.1f%%)", c.Percent, c.Least, c.Most)
	}
	return fmt.Sprintf("%+.1f%% (95%%: %+.1f%% to %+.1f%%)", c.Percent, c.Least, c.Most)
}

// Compare holds x against an earlier run.
func Compare(earlier, x *Section) *Comparison {
	c := &Comparison{Why: differences(earlier, x)}
	if len(c.Why) > 0 {
		return c
	}
	var p50, p99, done []float64
	ratio := func(list *[]float64, a, b float64) {
		if a > 0 && b > 0 {
			*list = append(*list, math.Log(b/a))
		}
	}
	for i := range min(len(earlier.Windows), len(x.Windows)) {
		a, b := &earlier.Windows[i], &x.Windows[i]
		const few = 10 // a window with fewer answers has no p99 worth the name
		if a.Count < few || b.Count < few {
			continue
		}
		c.Pairs++
		ratio(&p50, a.P50, b.P50)
		ratio(&p99, a.P99, b.P99)
		ratio(&done, float64(a.Done), float64(b.Done))
	}
	const least = 5
	if c.Pairs < least {
		c.Why = append(c.Why, fmt.Sprintf("only %d pairs of windows with enough answers; %d are needed", c.Pairs, least))
		return c
	}
	c.Comparable = true
	c.P50, c.P99, c.Done = change(p50), change(p99), change(done)
	return c
}

// differences names what two runs did not do alike.
func differences(a, b *Section) (why []string) {
	for _, f := range []struct {
		what string
		a, b any
	}{
		{"loop", a.Loop, b.Loop},
		{"arrivals", a.Arrivals, b.Arrivals},
		{"pace", a.Pace, b.Pace},
		{"server", a.Server, b.Server},
		{"authentication", a.Authentication, b.Authentication},
		{"woken_by", a.WokenBy, b.WokenBy},
		{"connections", a.Connections, b.Connections},
		{"handshakes", a.Handshakes, b.Handshakes},
		{"key_exchange", a.KeyExchange, b.KeyExchange},
		{"think_ms", a.Think, b.Think},
		{"window_seconds", a.WindowSeconds, b.WindowSeconds},
		{"shared_host", a.SharedHost, b.SharedHost},
	} {
		if f.a != f.b {
			why = append(why, fmt.Sprintf("%s: %v then, %v now", f.what, f.a, f.b))
		}
	}
	return why
}

// change is the median of ratios of pairs, given as logarithms, with its bootstrap interval. The resampling is seeded: the
// same two results give the same words.
func change(logs []float64) Change {
	if len(logs) == 0 {
		return Change{}
	}
	percent := func(x float64) float64 { return 100 * math.Expm1(x) }
	const rounds = 2000
	r := rand.New(rand.NewPCG(1, 2))
	medians := make([]float64, rounds)
	sample := make([]float64, len(logs))
	for i := range medians {
		for j := range sample {
			sample[j] = logs[r.IntN(len(logs))]
		}
		medians[i] = median(sample)
	}
	slices.Sort(medians)
	return Change{percent(median(slices.Clone(logs))), percent(medians[rounds*25/1000]), percent(medians[rounds*975/1000])}
}

// median sorts x.
func median(x []float64) float64 {
	slices.SortFunc(x, cmp.Compare[float64])
	if n := len(x); n%2 == 0 {
		return (x[n/2-1] + x[n/2]) / 2
	}
	return x[len(x)/2]
}

// mostResult is what a kept result may weigh.
const mostResult = 64 << 20

// ReadBaseline reads the load section of a kept result. The error says what is wrong with the bytes: a file that was cut off is
// none.
func ReadBaseline(r io.Reader) (*Section, error) {
	b, err := io.ReadAll(io.LimitReader(r, mostResult+1))
	if err != nil {
		return nil, err
	}
	if len(b) > mostResult {
		return nil, fmt.Errorf("larger than %d MiB: no result of a fleet run", mostResult>>20)
	}
	var kept struct {
		Version int      `json:"version"`
		Verdict string   `json:"verdict"`
		Load    *Section `json:"load"`
	}
	err = json.Unmarshal(b, &kept)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(b)):
		return nil, errors.New("the file is cut off: it ends in the middle of the result")
	case err != nil:
		return nil, fmt.Errorf("no result of a fleet run: %w", err)
	case kept.Version != 1 || kept.Load == nil:
		return nil, errors.New("no result of a fleet run: it has no version 1 and load section")
	case kept.Verdict == "invalid" || kept.Verdict == "partial" || kept.Verdict == "error":
		return nil, fmt.Errorf("the verdict of that run is %s: nothing can be compared with it", kept.Verdict)
	}
	return kept.Load, nil
}

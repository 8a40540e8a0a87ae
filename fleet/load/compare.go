package load

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// A Comparison holds a result against an earlier one that was made alike, window by window: those at the same place of both
// runs are a pair. It speaks of these two runs alone: how much a server differs from one run to the next, two cannot tell.
type Comparison struct {
	Comparable bool     `json:"comparable"`
	Why        []string `json:"why" jsonschema_description:"why not: what the two runs did not do alike"`
	Target     string   `json:"target,omitempty" jsonschema_description:"of the earlier run, where that was another"`
	Pairs      int      `json:"pairs" jsonschema_description:"of windows; those without enough answers or with failures are no part of a change of latency"`
	P50        Change   `json:"p50"`
	P99        Change   `json:"p99"`
	Done       Change   `json:"done"`
	Failed     [2]Part  `json:"failed" jsonschema_description:"refused ones included: then and now"`
}

// A Part is so many of all.
type Part struct {
	Count uint64 `json:"count"`
	Of    uint64 `json:"of"`
}

func (p Part) share() float64 { return float64(p.Count) / float64(max(p.Of, 1)) }

// A Change is in per cent: the mean over the pairs, of latencies the geometric one. Between Least and Most lies what the
// wander of the windows within these runs allows at 95 %.
type Change struct {
	Pairs   int     `json:"pairs" jsonschema_description:"that it was made of; 0: it could not be told"`
	Percent float64 `json:"percent"`
	Least   float64 `json:"least"`
	Most    float64 `json:"most"`
}

// Clear tells whether a change is one: no change at all lies outside its interval.
func (c Change) Clear() bool { return c.Pairs > 0 && (c.Least > 0 || c.Most < 0) }

// In says in l what a change comes to.
func (c Change) In(l lang.Language) string {
	if c.Pairs == 0 {
		return l.Say("cannot be told: too few windows with answers enough, or each too much like the one before")
	}
	text := l.Say("%s (%s to %s)", l.Signed(c.Percent), l.Signed(c.Least), l.Signed(c.Most))
	if !c.Clear() {
		return l.Say("no clear change, %s", text)
	}
	return text
}

// String is the comparison in a few sentences of English.
func (c *Comparison) String() string { return c.In(lang.English) }

// In is the comparison in a few sentences of l, short enough for a report to show whole.
func (c *Comparison) In(l lang.Language) string {
	if !c.Comparable {
		why := make([]string, len(c.Why))
		for i := range why {
			why[i] = l.Retell(c.Why[i])
		}
		return l.Say("Not comparable with the baseline: %s.", strings.Join(why, "; "))
	}
	parts := []string{l.Say("Against the baseline")}
	if c.Target != "" {
		parts[0] = l.Say("Against the baseline, which was of %s", c.Target)
	}
	then, now := c.Failed[0], c.Failed[1]
	switch failed := []any{now.Count, now.Of, then.Count, then.Of}; {
	case now.share() > then.share():
		parts = append(parts, l.Say("worse: %d of %d failed, %d of %d then", failed...))
	case now != then:
		parts = append(parts, l.Say("%d of %d failed, %d of %d then", failed...))
	}
	latencies := "p50 " + c.P50.In(l) + "; p99 " + c.P99.In(l)
	if c.P50.Pairs == 0 && c.P99.Pairs == 0 {
		latencies = l.Say("p50 and p99") + " " + c.P50.In(l)
	}
	parts = append(parts, l.Say("done %s", c.Done.In(l))+"; "+latencies+".")
	text := strings.Join(parts, ": ") + " " + l.Say("In brackets: 95%%, by the wander within these two runs.")
	if left := c.Pairs - c.P50.Pairs; c.P50.Pairs > 0 && left > 0 {
		text += " " + l.Say("%d of %d pairs of windows had too few answers, or failures, and do not count for latencies.", left, c.Pairs)
	}
	return text
}

// compare holds x against an earlier run.
func compare(earlier, x *Section) *Comparison {
	c := &Comparison{Why: differences(earlier, x)}
	if earlier.Target != x.Target {
		c.Target = earlier.Target
	}
	c.Pairs = min(len(earlier.Windows), len(x.Windows))
	if len(c.Why) == 0 && c.Pairs < fewestPairs {
		c.Why = append(c.Why, lang.English.Say("only %d {pair|pairs} of windows; %d are needed", c.Pairs, fewestPairs))
	}
	if len(c.Why) > 0 {
		return c
	}
	c.Comparable = true
	var p50, p99, done []float64
	// ratio leaves out a pair with fewer answers than make a quantile, and one with failures: what is turned away is not slow.
	ratio := func(list *[]float64, fewest int64, a, b *Window, x, y float64) {
		if min(a.Count, b.Count) >= fewest && a.Failed == 0 && b.Failed == 0 && x > 0 && y > 0 {
			*list = append(*list, math.Log(y/x))
		}
	}
	then, now := &c.Failed[0], &c.Failed[1]
	var before float64
	for i := range c.Pairs {
		a, b := &earlier.Windows[i], &x.Windows[i]
		then.Count, then.Of = then.Count+a.Failed, then.Of+a.Done+a.Failed
		now.Count, now.Of = now.Count+b.Failed, now.Of+b.Done+b.Failed
		ratio(&p50, 10, a, b, a.P50, b.P50)
		ratio(&p99, 100, a, b, a.P99, b.P99) // of fewer it is their maximum
		done = append(done, float64(b.Done)-float64(a.Done))
		before += float64(a.Done)
	}
	percent := func(x float64) float64 { return 100 * math.Expm1(x) }
	c.P50, c.P99 = change(tamed(p50), percent), change(tamed(p99), percent)
	if before > 0 {
		c.Done = change(done, func(x float64) float64 { return 100 * x * float64(c.Pairs) / before })
	}
	return c
}

// fewestPairs make a change.
const fewestPairs = 5

// differences names what two runs did not do alike.
func differences(a, b *Section) []string {
	why := []string{}
	for _, f := range []struct {
		what lang.Key
		a, b any
	}{
		{lang.Key("devices"), a.devices, b.devices},
		{lang.Key("loop"), a.Loop, b.Loop},
		{lang.Key("arrivals"), a.Arrivals, b.Arrivals},
		{lang.Key("pace"), a.Pace, b.Pace},
		{lang.Key("seconds in all"), a.Seconds, b.Seconds},
		{lang.Key("kind of server"), a.Server, b.Server},
		{lang.Key("identities"), a.Identity, b.Identity},
		{lang.Key("authentication"), a.Authentication, b.Authentication},
		{lang.Key("woken by"), a.WokenBy, b.WokenBy},
		{lang.Key("connections"), a.Connections, b.Connections},
		{lang.Key("TLS handshakes"), a.Handshakes, b.Handshakes},
		{lang.Key("key exchange"), a.KeyExchange, b.KeyExchange},
		{lang.Key("source addresses"), a.Sources, b.Sources},
		{lang.Key("milliseconds from a step to the next"), a.Think, b.Think},
		{lang.Key("devices turned away come again"), a.Retries, b.Retries},
		{lang.Key("seconds of a window"), a.WindowSeconds, b.WindowSeconds},
		{lang.Key("on one host with the server"), a.SharedHost, b.SharedHost},
	} {
		if f.a != f.b {
			why = append(why, lang.English.Say("%s: %s then, %s now", lang.English.Say(f.what), told(f.a), told(f.b)))
		}
	}
	return why
}

// told is one thing that a run did.
func told(x any) string {
	switch x {
	case true:
		return lang.English.Say("yes")
	case false:
		return lang.English.Say("no")
	}
	return fmt.Sprint(x)
}

// sizeOf says how many devices of what platforms took part.
func sizeOf(d *report.Devices) string {
	text := fmt.Sprint(d.Total)
	for _, p := range slices.Sorted(maps.Keys(d.ByPlatform)) {
		text += fmt.Sprintf(", %d %s", d.ByPlatform[p].Total, p)
	}
	return text
}

// change is the mean of x with its interval, both as percent makes per cent of them. A window is much like the one before it,
// so that n of them tell less than n independent ones would: as if a wander of the first order made them, with its correlation
// r estimated and made larger by what such an estimate is too small in short series (Marriott and Pope 1954), they are worth
// n(1-r)/(1+r), and the interval is Student's for so many, with the variance made larger likewise. Worth less than two, they
// tell nothing. Sixty windows with a correlation of 0.9 keep what the interval says in some 92 of 100 cases in place of 95.
func change(x []float64, percent func(float64) float64) Change {
	n := float64(len(x))
	if n < fewestPairs {
		return Change{}
	}
	var mean, squares, products float64
	for _, v := range x {
		mean += v / n
	}
	for i, v := range x {
		squares += (v - mean) * (v - mean)
		if i > 0 {
			products += (v - mean) * (x[i-1] - mean)
		}
	}
	worth := n
	if squares > 0 {
		r := products / squares
		r += (1 + 4*r) / n
		if r >= 1 {
			return Change{}
		}
		worth = min(n, n*(1-r)/(1+r))
	}
	if worth < 2 {
		return Change{}
	}
	half := student(worth-1) * math.Sqrt(squares/n/(worth-1))
	c := Change{len(x), percent(mean), percent(mean - half), percent(mean + half)}
	if width := c.Most - c.Least; math.IsNaN(width) || math.IsInf(width, 0) { // JSON has no such numbers
		return Change{}
	}
	return c
}

// student is what 97.5 % of Student's distribution with f degrees of freedom, at least 1, lie below: Cornish and Fisher's expansion
// about the normal distribution, and between the exact values where that is none (Abramowitz and Stegun, 26.7.5 and table
// 26.10).
func student(f float64) float64 {
	exact := []float64{12.706, 4.303, 3.182, 2.776, 2.571}
	if i := int(f); i < len(exact) {
		return exact[i-1] + (f-float64(i))*(exact[i]-exact[i-1])
	}
	const z = 1.959964
	return z + (z*z*z+z)/(4*f) + (5*math.Pow(z, 5)+16*z*z*z+3*z)/(96*f*f) + (3*math.Pow(z, 7)+19*math.Pow(z, 5)+17*z*z*z-15*z)/(384*f*f*f)
}

// tamed brings values far from the others nearer to them, so that one stall is not the mean of all.
func tamed(x []float64) []float64 {
	if len(x) == 0 {
		return x
	}
	middle := median(slices.Clone(x))
	off := make([]float64, len(x))
	for i, v := range x {
		off[i] = math.Abs(v - middle)
	}
	if far := 5 * median(off); far > 0 { // some 3.4 standard deviations
		for i, v := range x {
			x[i] = min(max(v, middle-far), middle+far)
		}
	}
	return x
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
		Version int            `json:"version"`
		Verdict string         `json:"verdict"`
		Devices report.Devices `json:"devices"`
		Load    *Section       `json:"load"`
	}
	err = json.Unmarshal(b, &kept)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(b)):
		return nil, errors.New("the file is cut off: it ends in the middle of the result")
	case errors.As(err, &kind) && kind.Field == "":
		return nil, fmt.Errorf("no result of a fleet run: it is no JSON object, but one %s", kind.Value)
	case errors.As(err, &kind):
		return nil, fmt.Errorf("no result of a fleet run: %s is %s", kind.Field, kind.Value)
	case err != nil:
		return nil, fmt.Errorf("no result of a fleet run: %w", err)
	case kept.Version != 1 || kept.Load == nil:
		return nil, errors.New("no result of a fleet run: it has no version 1 and load section")
	case kept.Verdict == "invalid" || kept.Verdict == "partial" || kept.Verdict == "error":
		return nil, fmt.Errorf("the verdict of that run is %s: nothing can be compared with it", kept.Verdict)
	case kept.Load.Loop == "" || kept.Load.WindowSeconds <= 0 || len(kept.Load.Windows) == 0:
		return nil, errors.New("nothing can be compared with that run: its load section has no loop, window_seconds and windows")
	}
	kept.Load.devices = sizeOf(&kept.Devices)
	return kept.Load, nil
}

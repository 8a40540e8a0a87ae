package plan

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "90s": 90 * time.Second, "10m": 10 * time.Minute, "14d": 14 * Day, "+200d": 200 * Day, "1d12h": 36 * time.Hour,
		"50ms": 50 * time.Millisecond, "1.5h": 90 * time.Minute, "2w": 14 * Day, "7us": 7 * time.Microsecond, "0.25d": 6 * time.Hour,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "+", "1", "d", "-1d", "1.d", ".5d", "1.2.3d", "1 d", "1dd", "1d-1h", "99999999999999d", "1e3s", "110000d", "106751d47h"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
	for want, d := range map[string]time.Duration{"14d": 14 * Day, "1d12h": 36 * time.Hour, "1m30s": 90 * time.Second, "50ms": 50 * time.Millisecond, "7us": 7 * time.Microsecond, "0s": 0, "1d1ms": Day + time.Millisecond} {
		if got := Duration(d).String(); got != want {
			t.Errorf("Duration(%d).String() = %s, want %s", d, got, want)
		}
	}
}

func TestShare(t *testing.T) {
	for text, want := range map[string]Share{"4%": 40_000, "0.05%": 500, "100%": Whole, "0%": 0, "0.0001%": 1, "12.5%": 125_000} {
		var s Share
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || s.String() != text {
			t.Errorf("share %q: %d (%s), %v; want %d", text, s, s, err, want)
		}
	}
	for _, text := range []string{"", "4", "%", "-4%", "4.%", ".5%", "4%%", "100.0001%", "0.00001%", "١%", "99999999999999999999%"} {
		var s Share
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("share %q is taken as %s", text, s)
		}
	}
	for _, tt := range []struct {
		share   Share
		n, want int
	}{{40_000, 1000, 40}, {10_000, 10, 1}, {500_000, 3, 2}, {0, 10, 0}, {Whole, 7, 7}, {Whole, 1 << 40, 1 << 40}, {10_000, 0, 0}} {
		if got := tt.share.Of(tt.n); got != tt.want {
			t.Errorf("%s of %d = %d, want %d", tt.share, tt.n, got, tt.want)
		}
	}
}

func TestTarget(t *testing.T) {
	for text, want := range map[string]Target{
		"all": {Whole, All}, "40%": {400_000, All}, "macos": {Whole, "macos"}, "5% of sales": {50_000, "sales"}, "0.5% of field force": {5_000, "field force"},
	} {
		var got Target
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want || got.String() != text {
			t.Errorf("target %q: %+v (%s), %v; want %+v", text, got, got, err, want)
		}
	}
	for _, text := range []string{"", "5% of ", "x of sales", "200% of sales", "5%% of a"} {
		var got Target
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("target %q is taken as %+v", text, got)
		}
	}
}

func TestRate(t *testing.T) {
	var r Rate
	for _, text := range []string{"5%/d", "0.5%/h", "20%/w"} {
		if err := r.UnmarshalText([]byte(text)); err != nil || r.String() != text {
			t.Errorf("rate %q: %s, %v", text, r, err)
		}
	}
}

// TestHST124Distribution holds draws against numbers written down: they must be the same on every machine.
func TestHST124Distribution(t *testing.T) {
	for _, tt := range []struct {
		text                  string
		low, median, longest  time.Duration
		first, second, twelve time.Duration
	}{
		{"3d", 3 * Day, 3 * Day, 3 * Day, 3 * Day, 3 * Day, 3 * Day},
		{"uniform(1d, 3d)", Day, 2 * Day, 3 * Day, 193648766899108, 225191201162338, 162438157510757},
		{"lognormal(3d, 2.5)", 15175 * time.Second, 3 * Day, 4427127 * time.Second, 343462904563903, 566383878196716, 225732279554367},
	} {
		var d Distribution
		if err := d.UnmarshalText([]byte(tt.text)); err != nil {
			t.Fatal(err)
		}
		r := rand.NewPCG(7, 1)
		draws := make([]time.Duration, 20_000)
		below := 0
		for i := range draws {
			draws[i] = d.Draw(r)
			if draws[i] < d.cut(steps/2) {
				below++
			}
			if draws[i] < tt.low || draws[i] > tt.longest {
				t.Fatalf("%s draws %v, outside of %v to %v", d, draws[i], tt.low, tt.longest)
			}
		}
		if d.cut(steps/2) != tt.median || d.Longest() != tt.longest || draws[0] != tt.first || draws[1] != tt.second || draws[11] != tt.twelve {
			t.Errorf("%s: median %d, longest %d, draws %d, %d, %d; want %+v", d, d.cut(steps/2), d.Longest(), draws[0], draws[1], draws[11], tt)
		}
		if tt.low != tt.longest && (below < 9_500 || below > 10_500) {
			t.Errorf("%s: %d of %d draws are below the median", d, below, len(draws))
		}
	}
	for _, text := range []string{"", "3", "uniform(3d, 1d)", "uniform(3d)", "normal(1d, 2d)", "lognormal(3d, 0.5)", "lognormal(3d, NaN)", "lognormal(3d, 2", "3d)", "lognormal(3d, 1e9)"} {
		var d Distribution
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("distribution %q is taken", text)
		}
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{"ipad": "ipados", "isos": "ios", "andriod": "android", "window": "windows", "zebra": "", "IOS": "ios"} {
		if got := Nearest(word, []string{"ios", "ipados", "macos", "android", "windows"}); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestHandshakes(t *testing.T) {
	for text, want := range map[string]int{"full": 0, "resumed": 1000, "70% resumed": 700, "0.5% resumed": 5} {
		var h Handshakes
		if err := h.UnmarshalText([]byte(text)); err != nil || h.String() != text {
			t.Errorf("%s is read as %s, %v", text, h, err)
		}
		got := 0
		for n := range uint32(1000) {
			if h.Resumes(n + 1) {
				got++
			}
		}
		if d := got - want; d < -3 || d > 3 || want == 1000 && d != 0 || want == 0 && d != 0 {
			t.Errorf("%s: %d of 1000 devices resume, want %d", text, got, want)
		}
	}
	for _, text := range []string{"", "half", "70%", "101% resumed", "% resumed", "70%resumed"} {
		var h Handshakes
		if err := h.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %s", text, h)
		}
	}
}

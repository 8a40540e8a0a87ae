package population

import (
	"testing"
	"time"

	"rollcall/fleet/plan"
)

// Devices that a plan made have been silent, and come back, as its shares say; the others are there.
func TestSilences(t *testing.T) {
	p, err := plan.Parse("silent.yaml", []byte(`
until: 14d
population:
  already: {ios: 20000}
  silent:
    - {share: 10%, for: "uniform(2d, 20d)", back: 50%/w}
    - {share: 5%, for: 40d}
`))
	if err != nil {
		t.Fatal(err)
	}
	pop := New(p)
	var short, long, never, firstWeek int
	for i := range pop.Devices {
		silent, _, ok := pop.Devices[i].Contact.Silent(Begin)
		after, known := pop.Comeback(i, p.Seed)
		again, _ := pop.Comeback(i, p.Seed)
		if ok != known || again != after {
			t.Fatalf("device %d: silent %v (%v), back after %v (%v), then %v", i, silent, ok, after, known, again)
		}
		switch {
		case !ok:
		case silent == 40*plan.Day:
			long++
			if after == Never {
				never++
			}
		case silent >= 2*plan.Day && silent <= 20*plan.Day:
			short++
			if after < 7*plan.Day {
				firstWeek++
			}
		default:
			t.Fatalf("device %d is silent for %v", i, silent)
		}
	}
	if short < 1850 || short > 2150 || long < 900 || long > 1100 || never != long || firstWeek < short*45/100 || firstWeek > short*55/100 {
		t.Errorf("%d silent for short, %d of them back in a week; %d for long, %d of them for good", short, firstWeek, long, never)
	}
	if after := back(source(1, useReturn, 1), time.Hour, 1, 1); after < 0 || after >= time.Hour {
		t.Errorf("whoever surely comes back within the hour is back after %v", after)
	}
}

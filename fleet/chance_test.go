package fleet

import (
	"slices"
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// What a device draws depends on seed, device, purpose and key alone (HST-124).
func TestHST124Draws(t *testing.T) {
	f, g := DrawsOf(&plan.Plan{Seed: 7}), DrawsOf(&plan.Plan{Seed: 8})
	if a, b := f.draw(3, forSync, 9).Uint64(), f.draw(3, forSync, 9).Uint64(); a != b {
		t.Errorf("the same draw gave %d and %d", a, b)
	}
	seen := map[uint64]string{}
	for name, v := range map[string]uint64{
		"as it is": f.draw(3, forSync, 9).Uint64(), "other seed": g.draw(3, forSync, 9).Uint64(), "other device": f.draw(4, forSync, 9).Uint64(),
		"other purpose": f.draw(3, forSpell, 9).Uint64(), "other key": f.draw(3, forSync, 10).Uint64(),
	} {
		if other, ok := seen[v]; ok {
			t.Errorf("%q drew the same as %q", name, other)
		}
		seen[v] = name
	}
}

func TestMeets(t *testing.T) {
	f := DrawsOf(&plan.Plan{Seed: 1})
	met := 0
	for i := range 10_000 {
		if f.meets(50_000, i, forDrop, 0) { // 5%
			met++
		}
		if f.meets(0, i, forDrop, 0) {
			t.Fatal("a share of nothing was met")
		}
		if !f.meets(plan.Whole, i, forDrop, 0) {
			t.Fatal("a share of all was missed")
		}
	}
	if met < 400 || met > 600 {
		t.Errorf("5%% of 10,000 was met %d times", met)
	}
}

// A night begins at 23 and ends at 7, each device's own half-hour later at most; and a spell off the network takes the
// plan's share of the time.
func TestReach(t *testing.T) {
	f := DrawsOf(&plan.Plan{Seed: 5})
	noon := protocol.At(time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC))
	for i := range 100 {
		begin := f.Night(i, noon, false)
		end := f.Night(i, begin, true)
		if h := begin.Time().Hour(); h != nightFrom || begin.Sub(noon) > 12*time.Hour {
			t.Errorf("device %d: night begins %s", i, begin)
		}
		if h := end.Time().Hour(); h != nightTo || end.Sub(begin) != 8*time.Hour {
			t.Errorf("device %d: night ends %s after %s", i, end, begin)
		}
	}
	if err := f.plan.Population.Offline.Lasts.UnmarshalText([]byte("lognormal(4h, 2)")); err != nil {
		t.Fatal(err)
	}
	f.plan.Population.Offline.Share = 40_000
	var on, off time.Duration
	for i := range 2000 {
		a, b := f.Spell(i, 0)
		on, off = on+a, off+b
	}
	if share := off.Hours() / (on + off).Hours(); share < 0.036 || share > 0.044 {
		t.Errorf("off the network for %.1f%% of the time, want about 4%%", 100*share)
	}
}

// Nights go on through leap days, ends of years and of 32-bit time, whatever the machine's own time zone thinks of summer
// (HST-110, HST-124).
func TestHST110Nights(t *testing.T) {
	defer func(before *time.Location) { time.Local = before }(time.Local)
	f := DrawsOf(&plan.Plan{Seed: 5})
	zones := []*time.Location{time.UTC, time.FixedZone("far east", 14*3600), time.FixedZone("far west", -12*3600)}
	for _, day := range []string{"2028-02-28", "2026-12-31", "2038-01-18", "2049-12-31", "2026-03-28", "2026-10-24", "2100-02-27"} {
		from, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		var first []protocol.Time
		for _, zone := range zones {
			time.Local = zone
			var nights []protocol.Time
			at := protocol.At(from.Add(12 * time.Hour))
			for range 4 {
				begin := f.Night(1, at, false)
				end := f.Night(1, begin, true)
				if begin <= at || end.Sub(begin) != (24-nightFrom+nightTo)*time.Hour || begin.Sub(at) > 24*time.Hour {
					t.Errorf("after %s a night from %s to %s", at, begin, end)
				}
				nights, at = append(nights, begin, end), end
			}
			if first == nil {
				first = nights
			} else if !slices.Equal(first, nights) {
				t.Errorf("%s: nights in %s are %v, elsewhere %v", day, zone, nights, first)
			}
		}
	}
}

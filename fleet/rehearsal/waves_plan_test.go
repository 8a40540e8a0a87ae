package rehearsal

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

func wavesOf(t *testing.T, text string, b Bounds) (*WaveSearch, *plan.Plan) {
	t.Helper()
	base, err := plan.Parse("base.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &WaveSearch{Plan: base, Population: population.New(base), Start: fleet.Begin, Bounds: b}, base
}

// tenantOf400 has fewer licences than users who could have one, and users without any.
const tenantOf400 = `
until: 3d
tenant: {authority: office365, units: 350}
population: {already: {ios: 300, windows: 100, userless: {ipados: 3}}, licences: {basic: 90, none: 10}}
profiles: [{name: mail, family: email}]
timeline:
  - {at: 0s, profiles: {assign: mail}}
  - {at: 1h, authority: {set: coexistence}}
  - {at: 2h, apns: {upload: renewed}}
  - {at: 3h, profiles: {assign: mail}}
`

var tenantOf40 = strings.NewReplacer("350", "30", "300", "30", "100", "10").Replace(tenantOf400)

// Waves are written as licences for parts of whoever has a basic licence and come after the last change; who is left behind is named by
// rule, and so are users for whom there is no licence (AUTH-09).
func TestWaves(t *testing.T) {
	b := Bounds{CheckIns: 16, From: 8 * time.Hour, To: 9 * time.Hour}
	s, _ := wavesOf(t, tenantOf400, b)
	pop := s.Population
	w, err := s.Guess()
	if err != nil {
		t.Fatal(err)
	}
	basic := len(pop.PickUsers(&plan.Licensing{To: plan.Target{Share: plan.Whole, Whom: plan.OnlyBasic}}, pop.Holders(), 0, 0))
	if w.Movers.Users != 350 || len(w.NoUnit) != basic-350 || len(w.Days) < 2 || w.Days[0].At != plan.Day || w.Rehearsed != nil {
		t.Errorf("%+v, %d without a unit of %d, on the days %v", w.Movers, len(w.NoUnit), basic, w.Days)
	}
	by := map[protocol.Rule]int{}
	for _, l := range w.Left {
		by[l.Rule]++
	}
	if by[protocol.RuleUserless] != 3 || by[protocol.RuleNoLicence] != 400-basic {
		t.Errorf("left behind are %v", by)
	}
	named := 0
	if err := w.Entries(lang.Dutch, pop, func(e Entry) error {
		if e.Device == "" && e.User != "" && e.Reason == "voor de gebruiker is geen licentie over die recht geeft op Intune (AUTH-09)" {
			named++
		}
		return nil
	}); err != nil || named != len(w.NoUnit) {
		t.Errorf("%d of %d users without a unit are in the list: %v", named, len(w.NoUnit), err)
	}
	var played [2]*Played
	for i, p := range []*plan.Plan{w.Plan, w.Without} {
		if played[i], err = Play(t.Context(), Config{Plan: p, Population: pop}); err != nil {
			t.Fatal(err)
		}
	}
	if results := w.judge(played[0], played[1]); len(results) != 3 || !results[0].OK || !results[1].OK || results[2].OK {
		t.Errorf("rehearsed: %+v", results)
	}
	// A minute above the bound breaks it, and one above what is there without any wave where that is above it; that itself breaks nothing.
	burst := *played[0]
	burst.Minutes = slices.Clone(burst.Minutes)
	burst.Minutes[33*60].CheckIns = 17
	w.bounds.Certificates, w.bounds.Unprotected = 1, time.Hour
	if results := w.judge(&burst, played[1]); len(results) != 5 || results[0].OK || results[0].Over <= 0 || !results[1].OK || !results[2].OK || !results[3].OK {
		t.Errorf("rehearsed: %+v", results)
	}
	w.bounds = Bounds{CheckIns: 1, From: b.From, To: b.To}
	if results := w.judge(played[1], played[1]); !results[0].OK {
		t.Errorf("without waves: %+v", results)
	}
	burst.Minutes = slices.Clone(played[1].Minutes)
	burst.Minutes[33*60].CheckIns = 40
	if results := w.judge(&burst, played[1]); results[0].OK {
		t.Errorf("a minute of 40: %+v", results)
	}
	w.bounds.From = b.From + time.Minute
	if results := w.judge(played[1], played[1]); results[1].OK {
		t.Errorf("licences at 08:00: %+v", results)
	}
	// Who moves and is unprotected for too long is not among those that will not make it.
	bare, left := *played[0], len(w.Left)
	bare.Lives = slices.Clone(bare.Lives)
	lack := bare.Lives[7].Lack()
	lack.Unprotected[0] += 5 * time.Hour
	bare.Lives[7].lack = &lack
	w.bounds.Unprotected = 4 * time.Hour
	if w.judge(&bare, played[1]); len(w.Left) != left || len(w.Exposed) != 1 || w.Exposed[0].Device != 7 || w.Exposed[0].Action != "assign Intune's profiles before its wave" {
		t.Errorf("exposed: %+v, %d left behind and before %d", w.Exposed, len(w.Left), left)
	}
	lack = Lack{}
	over := &bare.Lives[w.Left[0].Device]
	over.MustEnrol, over.MovedAt, over.lack = true, 0, &Lack{Unprotected: [6]time.Duration{0: 5 * time.Hour}}
	if w.judge(&bare, played[1]); len(w.Exposed) != 1 || w.Exposed[0].Rule != protocol.RuleSevenDays || w.Exposed[0].Action != "enrol it again" {
		t.Errorf("exposed without a move: %+v", w.Exposed)
	}
	// Who was expected to stay and moved has made it; whose user got a licence and which did not move has not.
	lives := slices.Clone(played[0].Lives)
	gone := slices.IndexFunc(lives, func(l Life) bool { return l.MovedAt != 0 })
	lives[w.Left[0].Device].Registered, lives[gone].Registered, lives[gone].Away = protocol.Intune, protocol.Office365, true
	bare.Lives = lives
	first := w.Left[0]
	w.settle(&bare)
	if i := slices.IndexFunc(w.Left, func(l Left) bool { return l.Device == gone }); slices.Contains(w.Left, first) || i < 0 || w.Left[i].Why != "it is off the network when the rehearsal ends" {
		t.Errorf("left behind: %+v", w.Left)
	}
}

// What is made up before the waves breaks no bound: settings are there before the story and wake nobody, and the storm that adding
// Intune makes by itself is told aside (AUTH-20). The plan's own changes, and waves, are held against the bounds all the same.
func TestAUTH20WavesMadeUp(t *testing.T) {
	const bms = "until: 3d\ntenant: {authority: office365}\npopulation: {already: {android: 30, ios: 10}, licences: {basic: 90, intune: 10}}\n"
	parsed := func(text string) *plan.Plan {
		p, err := plan.Parse("base.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	pop := population.New(parsed(bms))
	find := func(p *plan.Plan, pop *population.Population, aDay float64) []BoundResult {
		b := office
		b.CheckIns = aDay
		w, err := (&WaveSearch{Plan: p, Population: pop, Start: fleet.Begin, Bounds: b, MadeUp: true}).Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return w.Rehearsed
	}
	led, notes, err := Led(parsed(bms))
	if err != nil || len(notes) == 0 {
		t.Fatal(notes, err)
	}
	led = parsed(string(led.Encode(nil)))
	out, err := Play(t.Context(), Config{Plan: led, Population: pop})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range out.Minutes[:59] {
		if m.CheckIns > 3 || m.Wakes > 3 { // of 40
			t.Errorf("%d check-ins and %d pushes in minute %d, before anything is changed", m.CheckIns, m.Wakes, i)
		}
	}
	if r := find(led, pop, 3); len(r) != 3 || !r[0].OK || !r[1].OK || !r[2].OK || !r[2].Aside || !strings.Contains(r[2].Got, "by adding Intune itself (AUTH-20)") {
		t.Errorf("made up: %+v", r)
	}
	own := parsed(string(led.Encode(nil)) + "  - {at: 3h, licences: {assign: intune, to: 50% of basic}}\n")
	if r := find(own, pop, 3); len(r) != 4 || !r[2].Aside || r[3].OK || !before(r[3]) {
		t.Errorf("with licences for many at once: %+v", r)
	}
	if r := find(led, pop, 1); r[0].OK {
		t.Errorf("the least waves keep a bound that is below them: %+v", r)
	}
	// Where Intune is there already nothing is left to be made up but its settings, and they wake nobody.
	made := parsed(bms)
	if _, err := lead(made, true); err != nil || len(made.Timeline) != 0 || len(made.Profiles) != 2 || made.Profiles[0].Assigned != plan.All || made.Profiles[1].Assigned != plan.All {
		t.Errorf("before waves of a tenant with Intune: %+v, %+v, %v", made.Timeline, made.Profiles, err)
	}
}

// What a device lacks that never moved is no fault of the plan's own changes, for no move is at fault; of one that moved it is.
func TestWavesBeforeIsAboutMoves(t *testing.T) {
	w := &WavePlan{Days: []WaveDay{{At: time.Hour}}, bounds: Bounds{Unprotected: time.Hour}}
	without := &Played{Population: new(population.Population), Lives: make([]Life, 2)}
	without.Lives[0].lacks().Unprotected[protocol.Email] = 5 * time.Hour
	if broken := w.before(without); len(broken) != 0 {
		t.Errorf("nobody moved, and the plan's own changes broke %+v", broken)
	}
	without.Lives[1].MovedAt = fleet.Begin
	without.Lives[1].lacks().Unprotected[protocol.Email] = 2 * time.Hour
	if broken := w.before(without); len(broken) != 1 || broken[0].OK || broken[0].Got != "2h, 1 device longer than that without any wave, by the plan's own changes" {
		t.Errorf("one moved: %+v", broken)
	}
}

// Of a tenant in coexistence nobody knows the profiles from before the story: until a device moves they are on it, so it is unprotected from its move
// on only, with waves and without (AUTH-25).
func TestAUTH25WavesOfCoexistence(t *testing.T) {
	life := Life{FirstPending: fleet.Begin, MovedAt: fleet.Begin.Add(5 * time.Hour)}
	life.lacks().Unprotected[protocol.Email] = 6 * time.Hour
	for _, coexistence := range []bool{true, false} {
		pop := &population.Population{Tenant: population.Tenant{Coexistence: coexistence}}
		moved, none := &Played{Population: pop, Lives: []Life{life}}, &Played{Population: pop, Lives: make([]Life, 1)}
		w := &WavePlan{Days: []WaveDay{{At: time.Hour}}, bounds: Bounds{Unprotected: 2 * time.Hour}}
		want := 6 * time.Hour
		if coexistence {
			want = time.Hour
		}
		devices, longest := w.exposed(moved, none, 2*time.Hour)
		if longest != want || (len(devices) == 0) != coexistence {
			t.Errorf("coexistence %t: %d exposed, for %s at most; want %s", coexistence, len(devices), longest, want)
		}
		if broken := w.before(moved); (len(broken) == 0) != coexistence {
			t.Errorf("coexistence %t: before the waves %+v", coexistence, broken)
		}
	}
}

// before tells whether a bound is said to be broken before the first wave.
func before(r BoundResult) bool { return strings.Contains(r.Got, "before the first wave") }

// What the made-up story before the waves breaks is said to be broken by it, and not by the waves; whose user is licensed already
// moves there, and has Intune's profiles by then (AUTH-23).
func TestAUTH23WavesBefore(t *testing.T) {
	const licensed = `
until: 3d
tenant: {authority: office365}
population: {already: {android: 30, ios: 10}, licences: {basic: 50, intune: 50}, habits: {profile_fails: 0%}}
`
	p, err := plan.Parse("base.yaml", []byte(licensed))
	if err != nil {
		t.Fatal(err)
	}
	led, _, err := Led(p)
	if err != nil {
		t.Fatal(err)
	}
	b := office
	b.CheckIns, b.Unprotected = 20, 10*time.Minute
	find := func(text string) (broken []BoundResult) {
		s, _ := wavesOf(t, text, b)
		w, err := s.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(w.Rehearsed, func(r BoundResult) bool { return r.OK })
	}
	if broken := find(string(led.Encode(nil))); len(broken) != 1 || !before(broken[0]) || broken[0].Bound != "check-ins <= 20/min" {
		t.Errorf("broken: %+v", broken)
	}
	b.CheckIns = 0
	for i := range led.Timeline {
		if a := &led.Timeline[i]; a.Profiles != nil && a.At > 0 {
			a.At = plan.Duration(2 * time.Hour)
		}
	}
	slices.SortStableFunc(led.Timeline, func(a, b plan.Action) int { return cmp.Compare(a.At, b.At) })
	if broken := find(string(led.Encode(nil))); len(broken) != 1 || broken[0].Bound != "unprotected <= 10m" || !strings.Contains(broken[0].Got, "by the plan's own changes") {
		t.Errorf("with Intune's profiles an hour late: %+v", broken)
	}
}

// The largest waves that keep their bounds: the plan as it is written gives every user one licence, keeps each bound when it is
// rehearsed, and does not with one user more a day, unless all are in one wave; each device that did not move is named.
func TestWavesAreTheLargest(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		bounds Bounds
		one    bool // wave
		short  bool // of licences
	}{
		"too few licences": {tenantOf40, Bounds{CheckIns: 3, From: 8 * time.Hour, To: 8*time.Hour + 10*time.Minute}, false, true},
		"no bound":         {tenantOf40, office, true, true},
		"the plan gives licences too": {`
seed: 3
until: 60h
tenant: {authority: office365}
population: {already: {android: 25, ios: 15}, licences: {basic: 90, intune: 10}, offline: {share: 5%, lasts: 6h}, habits: {unreachable_night: 40%, not_now: 20%}}
timeline:
  - {at: 0s, authority: {set: coexistence}}
  - {at: 1h, apns: {upload: renewed}}
  - {at: 26h, licences: {assign: intune, to: 40% of basic, over: 30h}}
`, Bounds{CheckIns: 2, Certificates: 2, Unprotected: time.Hour, From: 9 * time.Hour, To: 9*time.Hour + 5*time.Minute, Weekends: true}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, base := wavesOf(t, tt.text, tt.bounds)
			var sizes []int
			s.Watch = func(aDay int) (func(fleet.Progress), func()) {
				sizes = append(sizes, aDay)
				return func(fleet.Progress) {}, func() {}
			}
			w, err := s.Find(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			again := len(sizes)
			if !tt.short {
				if other, err := s.Find(t.Context()); err != nil || !slices.Equal(other.Plan.Encode(nil), w.Plan.Encode(nil)) || !slices.Equal(sizes[:again], sizes[again:]) {
					t.Errorf("looked for twice, the waves differ: %v, %v", err, sizes)
				}
			}
			with, err := plan.Parse("with.yaml", w.Plan.Encode(nil))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Population.Afford(with); err != nil {
				t.Error(err)
			}
			// Every user gets one, as far as there are licences.
			v, err := newWaving(base, s.Population, fleet.Begin, tt.bounds)
			if err != nil {
				t.Fatal(err)
			}
			h, given := slices.Clone(v.held), map[int]bool{}
			for i := range with.Timeline {
				l := with.Timeline[i].Licences
				if l == nil || time.Duration(with.Timeline[i].At) < w.Days[0].At {
					continue
				}
				for _, u := range s.Population.PickUsers(l, h, with.Seed, uint64(i)) {
					h.Apply(l, u)
					given[u] = true
				}
			}
			if want := len(v.users) - len(w.NoUnit); len(given) != want || want != v.movers.Users || (len(w.NoUnit) > 0) != tt.short {
				t.Errorf("%d of %d users get a licence, %d are named without one; want %d", len(given), len(v.users), len(w.NoUnit), v.movers.Users)
			}
			// The bounds hold, and with one user more they do not.
			peaks := func(p *plan.Plan) (checkIns, issued uint32, played *Played) {
				played, err := Play(t.Context(), Config{Plan: p, Population: s.Population})
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range played.Minutes[w.Days[0].At/time.Minute:] {
					checkIns, issued = max(checkIns, m.CheckIns), max(issued, m.Issued)
				}
				return checkIns, issued, played
			}
			most := func(bound float64) float64 { return cmp.Or(bound, math.Inf(1)) }
			breaks := func(checkIns, issued uint32) bool {
				return float64(checkIns) > most(tt.bounds.CheckIns) || float64(issued) > most(tt.bounds.Certificates)
			}
			checkIns, issued, played := peaks(with)
			if breaks(checkIns, issued) || slices.ContainsFunc(w.Rehearsed, func(r BoundResult) bool { return !r.OK && !before(r) }) {
				t.Errorf("waves of %d make %d check-ins and %d certificates a minute: %+v", w.Days[0].Users, checkIns, issued, w.Rehearsed)
			}
			if one := len(w.Days) == 1; one != tt.one || one != (w.Larger == nil) {
				t.Errorf("%d waves, and larger ones: %+v", len(w.Days), w.Larger)
			}
			if w.Larger != nil {
				more, err := v.of(w.Larger.Users)
				if err != nil {
					t.Fatal(err)
				}
				checkIns, issued, _ := peaks(more.Plan)
				if w.Larger.Users != w.Days[0].Users+1 || !breaks(checkIns, issued) || len(w.Larger.Broken) == 0 {
					t.Errorf("waves of %d make %d check-ins and %d certificates a minute, and are said to break %+v", w.Larger.Users, checkIns, issued, w.Larger.Broken)
				}
			}
			// Who has not moved is named.
			for i, l := range played.Lives {
				d := &s.Population.Devices[i]
				if d.Registered == protocol.Office365 && l.Registered != protocol.Intune && !slices.Contains(w.NoUnit, int(d.User)) && !slices.ContainsFunc(w.Left, func(l Left) bool { return l.Device == i }) {
					t.Errorf("device %d did not move, and nobody says so: %+v", i, l)
				}
			}
			for _, left := range w.Left {
				if played.Lives[left.Device].Registered == protocol.Intune {
					t.Errorf("%+v did move", left)
				}
			}
		})
	}
}

// Where no licence moves anybody there are no waves.
func TestWavesNowhere(t *testing.T) {
	p, err := plan.BuiltIn("from-intune")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&WaveSearch{Plan: p, Population: population.New(p), Start: fleet.Begin, Bounds: Bounds{To: time.Hour}}).Find(t.Context()); !errors.Is(err, protocol.RuleEntitled) {
		t.Errorf("%v, want a refusal by AUTH-14", err)
	}
	pop := &population.Population{Tenant: population.Tenant{Authority: protocol.Intune}}
	if _, _, err := Prepare(pop); err == nil {
		t.Error("waves are prepared for a tenant of Intune alone")
	}
}

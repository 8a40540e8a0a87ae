package population

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// company is a plan of its own: a change of a ready plan changes no population here.
func company(t testing.TB, devices int) *plan.Plan {
	t.Helper()
	p, err := plan.Load("testdata/company.yaml")
	if err == nil {
		p, err = p.WithDevices(devices)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestHST124 holds a population against a hash written down: any machine, time zone and order of maps must make it.
func TestHST124(t *testing.T) {
	const want = "f072fee6"
	pop := New(company(t, 1000))
	h := sha256.New()
	for i := range pop.Devices {
		d := pop.Devices[i]
		fmt.Fprintf(h, "%s %s %s %s %s %d %s %d %d %d %d %d\n", d.Name, d.Serial, d.UDID, d.Model.Product, d.OSVersion, d.User, d.Platform, d.Ownership, d.Enrolment, d.Traits, d.Habits, d.Joins)
	}
	for _, u := range pop.Users {
		fmt.Fprintf(h, "%+v\n", u)
	}
	for _, i := range pop.Pick(plan.Target{Share: 50_000, Whom: "sales"}, 7, 3) {
		fmt.Fprintln(h, i)
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)[:4]); got != want {
		t.Errorf("the population is %s, was %s: every seed tells another story now", got, want)
	}
	other := company(t, 1000)
	other.Seed++
	if New(other).Devices[0].UDID == pop.Devices[0].UDID {
		t.Error("another seed makes the same devices")
	}
}

func TestNew(t *testing.T) {
	p := company(t, 1000)
	pop := New(p)
	if len(pop.Devices) != 1000 || pop.Total != 1000 {
		t.Fatalf("%d devices", len(pop.Devices))
	}
	by := count(pop, func(*Device) bool { return true })
	if by["ios"] != 576 || by["ipados"] != 240+40 || by["macos"] != 144 {
		t.Errorf("platforms %v; want the mix exactly and 40 iPads", by)
	}
	udid := map[protocol.Platform]*regexp.Regexp{
		protocol.IOS: regexp.MustCompile(`^0000[0-9A-F]{4}-[0-9A-F]{16}$`), protocol.IPadOS: regexp.MustCompile(`^0000[0-9A-F]{4}-[0-9A-F]{16}$`),
		protocol.MacOS: regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`),
	}
	seen := map[string]bool{}
	of := map[int32]int{}
	night := 0
	for i := range pop.Devices {
		d := &pop.Devices[i]
		for _, name := range []string{d.Serial, d.UDID, d.Name} {
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		if !udid[d.Platform].MatchString(d.UDID) || d.Model.Product == "" || d.OSVersion == "" || d.Registered != protocol.Unknown {
			t.Errorf("device %+v", d)
		}
		if d.Userless() != (d.Enrolment == Automated) || d.Userless() && (d.Joins < 2*time.Hour || d.Joins >= 5*time.Hour) || !d.Userless() && (d.Joins < 0 || d.Joins >= 4*time.Hour) {
			t.Errorf("device %s: user %d, enrolment %d, joins at %s", d.Name, d.User, d.Enrolment, d.Joins)
		}
		if !d.Userless() {
			of[d.User]++
		}
		if d.Habits&UnreachableNight != 0 {
			night++
		}
	}
	if night < 250 || night > 350 {
		t.Errorf("%d of 1000 devices are off at night, want about 30%%", night)
	}
	groups := map[int16]int{}
	one := 0
	for u := range pop.Users {
		groups[pop.Users[u].Group]++
		if n := of[int32(u)]; n < 1 || n > 3 {
			t.Errorf("user %d has %d devices", u, n)
		} else if n == 1 {
			one++
		}
		if pop.Users[u].Licence != BMSLicence|IntuneLicence {
			t.Errorf("user %d: %b", u, pop.Users[u].Licence)
		}
	}
	if share := one * 100 / len(pop.Users); share < 63 || share > 77 {
		t.Errorf("%d%% of the users have one device, want about 70%%", share)
	}
	if len(groups) != 3 || groups[-1] != 0 {
		t.Errorf("groups %v of %v", groups, pop.Groups)
	}
}

// TestNewAlready makes devices that are there before, and new ones beside the mix.
func TestNewAlready(t *testing.T) {
	p, err := plan.Parse("a.yaml", []byte(`
until: 2d
tenant: {authority: office365}
population:
  devices: 10
  mix: {ios: 50, windows: 50}
  licences: {none: 50, basic: 50}
  groups: {sales: 50}
  already: {android: 3, userless: {ipados: 4, windows: 1, android: 1}}
timeline:
  - {at: 1d, enrol: {ios: 2, userless: {ipados: 2}, over: 4h}}
`))
	if err != nil {
		t.Fatal(err)
	}
	pop := New(p)
	kinds := map[string]int{}
	for i := range pop.Devices {
		d := &pop.Devices[i]
		kinds[fmt.Sprintf("%s user=%t %s joins=%s enrolment=%d", d.Platform, !d.Userless(), d.Registered, d.Joins.Truncate(time.Hour), d.Enrolment)]++
	}
	expect(t, "devices", kinds, map[string]int{
		"android user=true office365 joins=0s enrolment=0": 3, "ipados user=false office365 joins=0s enrolment=2": 4, "windows user=false office365 joins=0s enrolment=3": 1,
		"android user=false office365 joins=0s enrolment=0": 1, "ios user=true unknown joins=0s enrolment=0": 5, "windows user=true unknown joins=0s enrolment=0": 5,
		"ios user=true unknown joins=24h0m0s enrolment=0": 1, "ios user=true unknown joins=26h0m0s enrolment=0": 1, "ipados user=false unknown joins=25h0m0s enrolment=2": 1, "ipados user=false unknown joins=27h0m0s enrolment=2": 1,
	})
	if d := &pop.Devices[0]; d.Joins != Already || !d.Current {
		t.Errorf("a device that was there: %+v", d)
	}
	if d := &pop.Devices[10]; d.Joins != Never {
		t.Errorf("a device that nothing enrols joins at %s", d.Joins)
	}
}

func TestPick(t *testing.T) {
	p := company(t, 1000)
	pop := New(p)
	for _, tt := range []struct {
		target string
		want   int
	}{{"all", 1000}, {"40%", 400}, {"userless", 40}, {"macos", 144}, {"5% of macos", 7}, {"0.0001%", 1}, {"1% of android", 0}, {"nobody", 0}} {
		var target plan.Target
		must(t, target.UnmarshalText([]byte(tt.target)))
		got := pop.Pick(target, p.Seed, 1)
		if len(got) != tt.want {
			t.Errorf("%s: %d devices, want %d", target, len(got), tt.want)
		}
		for k := 1; k < len(got); k++ {
			if got[k] <= got[k-1] {
				t.Fatalf("%s: not ascending", target)
			}
		}
	}
	share := plan.Target{Share: 400_000, Whom: plan.All}
	a, b, c := pop.Pick(share, 7, 1), pop.Pick(share, 7, 1), pop.Pick(share, 7, 2)
	if fmt.Sprint(a) != fmt.Sprint(b) || fmt.Sprint(a) == fmt.Sprint(c) {
		t.Error("a draw must depend on seed and salt alone")
	}
	for _, i := range pop.Pick(plan.Target{Share: plan.Whole, Whom: "sales"}, 7, 1) {
		if pop.Groups[pop.Users[pop.Devices[i].User].Group] != "sales" {
			t.Errorf("device %d is not of sales", i)
		}
	}
}

// TestResample keeps the shape of an export at another size.
func TestResample(t *testing.T) {
	p := mustImport(t, Options{Path: "testdata/coexistence"})
	for _, n := range []int{0, 1, 14, 15, 1000} {
		got := p.Resample(n, 7)
		if len(got.Devices) != n || got.Total != n || got.Tenant.Authority != p.Tenant.Authority {
			t.Fatalf("Resample(%d): %d devices", n, len(got.Devices))
		}
		seen := map[string]bool{}
		for i := range got.Devices {
			d := &got.Devices[i]
			if seen[d.Serial] || seen[d.UDID] || int(d.User) >= len(got.Users) {
				t.Errorf("device %+v", d)
			}
			seen[d.Serial], seen[d.UDID] = true, true
		}
	}
	got := p.Resample(1500, 7)
	if a, b := count(p, (*Device).Userless)["all"], count(got, (*Device).Userless)["all"]; a*100 != b {
		t.Errorf("%d of 15 devices are userless, %d of 1500", a, b)
	}
	if a, b := count(p, p.entitled)["all"], count(got, got.entitled)["all"]; a*100 != b {
		t.Errorf("%d of 15 devices are of entitled users, %d of 1500: users were torn from their devices", a, b)
	}
	if fmt.Sprint(describe(got)) != fmt.Sprint(describe(p.Resample(1500, 7))) || describe(got) == describe(p.Resample(1500, 8)) {
		t.Error("a sample must depend on its seed alone")
	}
	if empty := new(Population).Resample(10, 1); len(empty.Devices) != 0 || empty.Total != 0 {
		t.Error("devices out of nothing")
	}
}

// TestAUTH09UnitsOfASample gives a sample units in proportion: a tenant that owns some owns some at every size, and what sufficed for
// its users suffices for the sample's.
func TestAUTH09UnitsOfASample(t *testing.T) {
	all := make([]User, 40)
	for i := range 8 {
		all[i].Licence = IntuneLicence
	}
	sample := func(holders, others int) []User {
		return append(slices.Clone(all[:holders]), make([]User, others)...)
	}
	for _, tt := range []struct {
		name   string
		units  Units
		sample []User
		want   Units
	}{
		{"nobody of the sample holds one", Units{true, 10, 2}, sample(0, 5), Units{true, 1, 1}},
		{"ten times as many", Units{true, 12, 4}, slices.Repeat(all, 10), Units{true, 120, 40}},
		{"one for everybody", Units{true, 40, 32}, sample(1, 15), Units{true, 16, 15}},
		{"fewer than are held", Units{true, 4, 0}, slices.Repeat(all, 2), Units{true, 8, 0}},
		{"fewer than are held, in a small sample", Units{true, 1, 0}, sample(0, 5), Units{true, 1, 0}},
		{"none", Units{true, 0, 0}, sample(2, 3), Units{true, 0, 0}},
		{"not known", Units{}, sample(2, 3), Units{}},
	} {
		if got := (&Population{Users: all, Tenant: Tenant{Units: tt.units}}).unitsFor(&Population{Users: tt.sample}); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	p := &Population{Users: all, Devices: make([]Device, len(all)), Tenant: Tenant{Units: Units{true, 12, 4}}}
	for i := range p.Devices {
		p.Devices[i].User = int32(i)
	}
	if got := p.Resample(400, 1).Tenant.Units; got != (Units{true, 120, 40}) {
		t.Errorf("a sample ten times as large owns %+v", got)
	}
}

// TestAdopt lets a plan's groups and habits come over an export.
func TestAdopt(t *testing.T) {
	p := mustImport(t, Options{Path: "testdata/coexistence"}).Resample(1000, 1)
	p.Devices[5].Joins, p.Devices[5].Registered = Never, protocol.Unknown
	p.Adopt(company(t, 1000))
	habits, groups := 0, map[int16]int{}
	for i := range p.Devices {
		if p.Devices[i].Habits != 0 {
			habits++
		}
		if joins := p.Devices[i].Joins; joins != Already && i != 5 || joins != 0 && i == 5 {
			t.Errorf("device %d joins at %s", i, joins)
		}
	}
	for _, u := range p.Users {
		groups[u.Group]++
	}
	if habits < 250 || len(groups) != 3 || len(p.Groups) != 3 {
		t.Errorf("%d devices have habits; groups %v", habits, groups)
	}
}

// TestDraws holds the draws against what they promise.
func TestDraws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)
		n := rapid.IntRange(1, 1<<40).Draw(t, "n")
		if v := below(r, n); v < 0 || v >= n {
			t.Fatalf("below(%d) = %d", n, v)
		}
		parts := rapid.SliceOfN(rapid.IntRange(0, 20), 1, 5).Draw(t, "parts")
		if i := weighted(r, 100, parts...); i >= 0 && parts[i] == 0 {
			t.Fatalf("weighted(%v) = %d, which has no weight", parts, i)
		}
		mix := plan.ByPlatform{IOS: rapid.IntRange(0, 50).Draw(t, "ios"), MacOS: rapid.IntRange(0, 50).Draw(t, "macos"), Windows: 1}
		total := rapid.IntRange(0, 100_000).Draw(t, "total")
		if got := apportion(&mix, total); got.Total() != total || mix.MacOS == 0 && got.MacOS != 0 {
			t.Fatalf("apportion(%+v, %d) = %+v", mix, total, got)
		}
	})
}

func TestArena(t *testing.T) {
	var a arena
	var kept []string
	for i := range 20_000 {
		kept = append(kept, a.keep(fmt.Appendf(nil, "string %d", i)))
	}
	for i, s := range kept {
		if s != fmt.Sprintf("string %d", i) {
			t.Fatalf("string %d became %q", i, s)
		}
	}
	if big := a.keep(make([]byte, 3*arenaChunk)); len(big) != 3*arenaChunk {
		t.Errorf("a long string has %d bytes", len(big))
	}
}

func BenchmarkNew(b *testing.B) {
	p := company(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		New(p)
	}
}

// Everything that is drawn follows the seed, each kind of it by itself (HST-124).
func TestHST124Seed(t *testing.T) {
	made := func(seed uint64) map[string]string {
		p, err := plan.BuiltIn("lab")
		if err != nil {
			t.Fatal(err)
		}
		p.Seed = seed
		pop := New(p)
		drawn := map[string]string{}
		for i := range pop.Devices {
			d := &pop.Devices[i]
			drawn["platform"] += d.Platform.String()
			drawn["id"] += d.UDID
			drawn["version"] += d.OSVersion
			drawn["model"] += d.Model.Name
			drawn["habits"] += fmt.Sprint(d.Habits)
			drawn["user"] += fmt.Sprint(d.User, ",")
		}
		for _, u := range pop.Users {
			drawn["licence"] += fmt.Sprint(u.Licence)
			drawn["group"] += fmt.Sprint(u.Group)
		}
		drawn["picked"] = fmt.Sprint(pop.Pick(plan.Target{Share: plan.Whole / 2, Whom: plan.All}, p.Seed, 3))
		return drawn
	}
	one, again, other := made(1), made(1), made(2)
	for what := range one {
		if one[what] != again[what] {
			t.Errorf("%s: the same seed drew twice, and differently", what)
		}
		if one[what] == other[what] {
			t.Errorf("%s: another seed drew the same", what)
		}
	}
}

// Whoever makes a big population can leave off at any moment.
func TestMakeEnds(t *testing.T) {
	p, err := plan.Parse("big.yaml", []byte("until: 1d\npopulation: {devices: 100000, mix: {ios: 50, windows: 50}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	last := 0
	pop, err := Make(ctx, p, func(made int) {
		last = made
		if made > 20_000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || pop != nil || last > 30_000 {
		t.Errorf("got %v after %d devices", err, last)
	}
}

package plan

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"rollcall/protocol"
)

var update = flag.Bool("update", false, "rewrite the golden files; read the diff before you keep it")

// TestErrors holds every mistake that a plan can have against the text a person gets to read. The sections whose
// names begin with HST-015, HST-016 or HST-123 are those rows.
func TestErrors(t *testing.T) {
	const golden = "testdata/errors.txtar"
	archive, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	out := &txtar.Archive{Comment: archive.Comment}
	want := map[string]string{}
	for _, f := range archive.Files {
		if name, ok := strings.CutSuffix(f.Name, ".errors"); ok {
			want[name] = string(f.Data)
		}
	}
	for _, f := range archive.Files {
		if !strings.HasSuffix(f.Name, ".yaml") {
			continue
		}
		name := strings.TrimSuffix(f.Name, ".yaml")
		t.Run(name, func(t *testing.T) {
			p, err := Parse(f.Name, f.Data)
			if err == nil || p != nil {
				t.Fatalf("Parse took %s", f.Data)
			}
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("Parse gives a %T, want Errors", err)
			}
			if strings.HasPrefix(name, "HST-") && !namesRule(err, name) {
				t.Errorf("no error names the rule of %s:\n%v", name, err)
			}
			got := err.Error() + "\n"
			out.Files = append(out.Files, f, txtar.File{Name: name + ".errors", Data: []byte(got)})
			if !*update && got != want[name] {
				t.Errorf("errors changed (-want +got):\n%s", cmp.Diff(want[name], got))
			}
		})
	}
	if *update {
		if err := os.WriteFile(golden, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHST016 and TestHST123 hold the sections of their rules to this: refused before any run, by line and by the rule.
func TestHST016(t *testing.T) { refused(t, "HST-016") }

func TestHST123(t *testing.T) { refused(t, "HST-123") }

func refused(t *testing.T, rule string) {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		t.Fatal(err)
	}
	sections := 0
	for _, f := range archive.Files {
		name, ok := strings.CutSuffix(f.Name, ".yaml")
		if !ok || !strings.HasPrefix(name, rule) {
			continue
		}
		sections++
		_, err := Parse(f.Name, f.Data)
		var all Errors
		if !errors.As(err, &all) || !namesRule(err, name) {
			t.Errorf("%s: %v, want a refusal by its rule", name, err)
			continue
		}
		for _, e := range all {
			if e.Line == 0 || e.Column == 0 || e.Message == "" {
				t.Errorf("%s: %v: no line or no sentence", name, e)
			}
		}
	}
	if sections == 0 {
		t.Errorf("no section of %s", rule)
	}
}

// TestHST123Follow: faults of one kind may follow one another, and what needs no server may happen while it is down.
func TestHST123Follow(t *testing.T) {
	_, err := Parse("follow.yaml", []byte(`
until: 2d
population: {devices: 10, mix: {ios: 100}}
timeline:
  - {at: 0s, enrol: {}}
  - {at: 90m, ask_users_to_sync: 10%}
  - {at: 150m, restart_server: true}
faults:
  - {at: 1h, for: 1h, server: down}
  - {at: 3h, for: 1h, server: down}
  - {at: 1h, for: 1h, server: busy}
  - {at: 2h, server: busy, share: 10%}
  - {reset: true, share: 1%}
  - {drop_response: true, share: 1%}
`))
	if err != nil {
		t.Error(err)
	}
}

// namesRule tells whether err names the rule of the section (HST-123-AUTH-33: both belong together, AUTH-33
// is what the text shows).
func namesRule(err error, name string) bool {
	rule := name[:len("HST-123")]
	if i := strings.Index(name, "AUTH-"); i > 0 {
		rule = name[i : i+len("AUTH-33")]
	}
	return errors.Is(err, protocol.Rule(rule))
}

// TestHST015 is about what grows: depth, aliases, size. None of it may reach a parser that recurses.
func TestHST015(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 9))
	}
	list := "until: 1d\npopulation: {devices: 10, mix: {ios: 100}}\nprofiles:\n- &p {name: " + strings.Repeat("x", 90) + ", family: email}\n"
	deep := "until: 1d\nlimits:\n- " + strings.Repeat("- ", 200) + "x"
	for name, text := range map[string]string{
		"alias bomb":     bomb,
		"many brackets":  strings.Repeat("[", 500_000),
		"many braces":    strings.Repeat("{a: ", 100_000),
		"many dashes":    strings.Repeat("- ", 500_000) + "x",
		"deep list":      deep,
		"many colons":    strings.Repeat(": ", 500_000),
		"many questions": strings.Repeat("? ", 500_000),
		"many anchors":   strings.Repeat("&a ", 300_000) + "x",
		"many keys":      list + strings.Repeat("- *p\n", 100_000),
		"too large":      list + "#" + strings.Repeat("x", maxBytes),
		"deep blocks":    blocks(200),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("bomb.yaml", []byte(text))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("Parse gives %v, want an *Error", err)
			}
			if e.Line == 0 && name != "too large" {
				t.Errorf("%v: no line", e)
			}
			if len(err.Error()) > 100_000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func blocks(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%sa:\n", strings.Repeat(" ", i))
	}
	return b.String()
}

// TestHST015Aliases shows that aliases themselves are fine, up to the budget of nodes.
func TestHST015Aliases(t *testing.T) {
	const head = "until: 30d\npopulation: {devices: 10, mix: {ios: 100}}\ntimeline:\n- &a {at: 0s, enrol: {ios: 1, userless: {ios: 1, ipados: 1}}}\n"
	p, err := Parse("alias.yaml", []byte(head+strings.Repeat("- *a\n", 3)))
	if err != nil || len(p.Timeline) != 4 || p.Devices() != 10+4*3 {
		t.Fatalf("Parse gives %+v, %v; want four equal actions", p, err)
	}
	d := &decoder{file: "alias.yaml", where: map[string]position{}, nodes: maxNodes - 20}
	d.anchors = nil
	root := d.parse([]byte(head))
	if root == nil {
		t.Fatal(d.errs)
	}
	d = &decoder{file: "alias.yaml", where: map[string]position{}, anchors: d.anchors, nodes: maxNodes - 5}
	d.node(root, reflect.ValueOf(new(Plan)).Elem(), "", 0)
	if err := d.errs.or(); !errors.Is(err, ruleYAML) || len(d.errs) != 1 {
		t.Errorf("beyond %d nodes: %v, want one refusal by HST-015", maxNodes, err)
	}
}

func TestDefaults(t *testing.T) {
	p, err := Parse("dir/small.plan.yaml", []byte("until: 1d12h\npopulation: {devices: 3, mix: {ios: 100}, already: {ios: 2}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "small" || p.Tenant.Authority != protocol.Intune || p.Population.Licences.Intune != 100 ||
		p.Tenant.APNs.Expires.String() != "365d" || p.Tenant.Identity.Window.String() != "42d" || p.Step.String() != "10m" ||
		p.Population.DevicesPerUser[1] != 100 || p.Tenant.BMS.Userless != Accept || p.Until.String() != "1d12h" ||
		p.Population.Already.Registered != protocol.Intune || !strings.HasPrefix(p.Tenant.APNs.Topic, "com.apple.mgmt.External.") {
		t.Errorf("defaults: %+v", p)
	}
	if p, err = Parse("b.yaml", []byte("until: 1d\ntenant: {authority: office365}\npopulation: {devices: 3, mix: {ios: 100}}\n")); err != nil || p.Population.Licences.Basic != 100 {
		t.Errorf("licences of an office365 tenant: %+v, %v", p, err)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if p, err := Load(filepath.Dir(path)); err == nil || p != nil {
		t.Errorf("Load of a folder: %v, %v", p, err)
	}
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of no file: %v", err)
	}
	text := "until: 1d\npopulation: {devices: 3, mix: {ios: 100}}\n" + strings.Repeat("# a long file\n", 10_000)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := Load(path); err != nil || p.Name != "mine" {
		t.Errorf("Load: %+v, %v", p, err)
	}
}

// TestLab holds the ready plan to what it is for.
func TestLab(t *testing.T) {
	p, err := BuiltIn("lab")
	if err != nil {
		t.Fatal(err)
	}
	if p.Devices() != 1000 || p.Until != Duration(14*Day) || p.Tenant.Authority != protocol.Office365 || p.Tenant.Release != 1910 || len(p.Acts) != 5 {
		t.Errorf("lab has %d devices, %s, %s of release %d, %d acts", p.Devices(), p.Until, p.Tenant.Authority, p.Tenant.Release, len(p.Acts))
	}
	kinds := map[string]int{}
	last := Duration(0)
	for i := range p.Timeline {
		a := &p.Timeline[i]
		kinds[a.Kind()]++
		if a.Enrol != nil && a.Enrol.Again {
			last = a.At
		}
		if a.Absence != nil && a.At+Duration(a.Absence.Lasts.Longest()) > Duration(12*Day) {
			t.Errorf("an absence from %s on lasts up to %s: those devices would miss the last enrolment", a.At, a.Absence.Lasts.Longest())
		}
	}
	for _, kind := range []string{"enrol", "authority", "apns", "licences", "profiles", "command", "ask_users_to_sync", "absence", "unenrol"} {
		if kinds[kind] == 0 {
			t.Errorf("the lab never shows %s", kind)
		}
	}
	if end := Duration(p.Population.Offline.Lasts.Longest()) + last; end >= p.Until {
		t.Errorf("a device off line at %s may come back at %s, after the end", last, end)
	}
	if _, err := BuiltIn("labb"); err == nil || !strings.Contains(err.Error(), `did you mean "lab"`) {
		t.Errorf("BuiltIn(labb): %v", err)
	}
}

func TestWithDevices(t *testing.T) {
	lab, err := BuiltIn("lab")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{7, 8, 10, 999, 1000, 1001, 100_000} {
		p, err := lab.WithDevices(n)
		if err != nil || p.Devices() != n || p.Check() != nil {
			t.Errorf("WithDevices(%d): %d devices, %v", n, p.Devices(), err)
		}
	}
	if p, _ := lab.WithDevices(1000); p.Population.Devices != lab.Population.Devices {
		t.Errorf("the same number of devices: %d with a user, %d before", p.Population.Devices, lab.Population.Devices)
	}
	if lab.Devices() != 1000 {
		t.Error("WithDevices changed the plan it was asked of")
	}
	many, err := Parse("many.yaml", []byte("until: 1d\npopulation: {devices: 500, mix: {ios: 100}, already: {ios: 499, macos: 1, userless: {ipados: 1, ios: 1}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for n := 5; n < 20; n++ {
		p, err := many.WithDevices(n)
		if err != nil || p.Devices() != n || len(p.counts()) != 5 {
			t.Errorf("WithDevices(%d) of five numbers: %+v, %v", n, p, err)
		}
	}
	few, err := Parse("few.yaml", []byte("until: 1d\ntenant: {units: 100}\npopulation: {devices: 300, mix: {ios: 100}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := few.WithDevices(10); err != nil || *p.Tenant.Units != 4 || *few.Tenant.Units != 100 {
		t.Errorf("units of ten devices: %d, %v", *p.Tenant.Units, err)
	}
	if _, err := lab.WithDevices(1); err == nil || !strings.Contains(err.Error(), "needs 7") {
		t.Errorf("WithDevices(1): %v", err)
	}
}

func FuzzParse(f *testing.F) {
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		f.Add(file.Data)
	}
	lab, err := builtIn.ReadFile("plans/lab.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(lab)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("fuzz.yaml", data)
		var all Errors
		switch {
		case err == nil && p.Check() != nil:
			t.Errorf("Parse took what Check refuses: %v", p.Check())
		case err == nil:
			text := p.Encode(nil)
			if again, err := Parse("again.yaml", text); err != nil || cmp.Diff(p, again, alike) != "" {
				t.Errorf("written as\n%sit reads %v\n%s", text, err, cmp.Diff(p, again, alike))
			}
		case err != nil && (!errors.As(err, &all) || len(all) == 0):
			t.Errorf("Parse gives %T %v, want Errors", err, err)
		}
	})
}

// TestExample reads the plan of the architecture page, with lengths of time whose comma YAML would take for its own.
func TestExample(t *testing.T) {
	p, err := Parse("example.yaml", []byte(`
name: adding Intune, with a late push certificate
seed: 7
tenant: {authority: office365, release: 1910, apns: {topic: com.apple.mgmt.External.6f1c, expires: +200d}}
population:
  devices: 10000
  mix: {ios: 50, ipados: 10, android: 25, windows: 15}       # no Macs yet: they are never under BMS
  devices_per_user: {1: 70, 2: 25, 3: 5}
  licences: {basic: 65, intune: 35}
  groups: {sales: 30, field: 70}
  already: {userless: {registered: office365, ipados: 300}}
  offline: {share: 4%, lasts: lognormal(3d, 2.5)}
  habits: {not_now: 8%, unreachable_night: 30%, syncs_by_hand: 5%/d, profile_fails: 1%}
timeline:
  - {at: 0s, enrol: {over: 10m}}
  - {at: 1h, authority: {set: coexistence}}
  - {at: 4d, apns: {upload: renewed}}
  - {at: 4d, enrol: {macos: 500, userless: {ipados: 200}, over: 8h}}
  - {at: 5d, licences: {assign: intune, to: 50% of basic, over: 2d}}
  - {at: 6d, ask_users_to_sync: 40%}
faults:
  - {at: 2d, for: 6h, server: down}
  - {share: 1%, drop_response: true}
until: 14d
limits: ["moved.p95 < 12h", "checkins.p99 < 50ms", "invariants.violated == 0"]
`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Population.Offline.Lasts.String() != "lognormal(3d, 2.5)" || p.Devices() != 11_000 || p.Population.Habits.SyncsByHand != (Rate{50_000, Day}) ||
		p.Faults[0].Share != Whole || p.Faults[1].Share != 10_000 || len(p.Limits) != 3 || p.Timeline[0].Enrol.Over.String() != "10m" || !p.Timeline[0].Enrol.All() {
		t.Errorf("the example reads as %+v", p)
	}
	a, added := p.Timeline[1].Authority.Set.Authority()
	if l := p.Timeline[4].Licences; a != protocol.Office365 || !added || l.Assign != IntuneLicence || l.To != (Target{500_000, OnlyBasic}) || l.Over.String() != "2d" {
		t.Errorf("the change reads as %+v, the licences as %+v", p.Timeline[1].Authority, l)
	}
	if s := p.Squeezed(14 * time.Hour); s.Timeline[4].Licences.Over.String() != "2h" || p.Timeline[4].Licences.Over.String() != "2d" {
		t.Errorf("squeezed, the licences take %s; before %s", s.Timeline[4].Licences.Over, p.Timeline[4].Licences.Over)
	}
}

func TestHST127IOwn(t *testing.T) {
	p, err := Parse("own.yaml", []byte("until: 1d\npopulation: {devices: 1, mix: {ios: 100}}\ni_own: [mdm.example.org, 192.0.2.7]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"mdm.example.org", "192.0.2.7"}, p.IOwn); diff != "" {
		t.Errorf("i_own (-want +got):\n%s", diff)
	}
}

// A program that shows a mistake asks the error where it is; of several it is the first.
func TestPlace(t *testing.T) {
	_, err := Parse("two.yaml", []byte("until: 1d\npopulation: {devices: 1, mix: {ios: 100}}\nseed: x\nstep: never\n"))
	var at interface{ Place() (string, int, string) }
	if !errors.As(err, &at) {
		t.Fatalf("%v has no place", err)
	}
	if file, line, field := at.Place(); file != "two.yaml" || line != 3 || field != "seed" {
		t.Errorf("Place() = %s, %d, %s", file, line, field)
	}
}

// What cannot be read hides no contradiction elsewhere, and makes up none.
func TestErrorsOfAllStages(t *testing.T) {
	const whole = "until: 14d\npopulation: {devices: 10, mix: {ios: 100}}\n"
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"a limit and a moment", whole + "timeline:\n  - {at: 20d, enrol: {}}\nlimits: [\"devices.enroled > 1\"]\n", []string{"timeline[0].at", "timeline[0].enrol.over", "limits[0]"}},
		{"a share and a moment", whole + "timeline:\n  - {at: 2d, enrol: {}}\n  - {at: 1d, ask_users_to_sync: 150%}\n", []string{"timeline[1].at", "timeline[1].ask_users_to_sync"}},
		{"a fault and a parts of 100", "until: 14d\npopulation: {devices: 10, mix: {ios: 60}}\ntimeline:\n  - {at: 0s, enrol: {}}\nfaults:\n  - {share: x, reset: true}\n", []string{"population.mix", "faults[0].share"}},
		{"a share and sums", "until: 14d\npopulation: {devices: 10, mix: {ios: 60}, devices_per_user: {1: 90}}\ntimeline:\n  - {at: 0s, enrol: {}}\n  - {at: 1d, ask_users_to_sync: 150%}\n", []string{"population.mix", "population.devices_per_user", "timeline[1].ask_users_to_sync"}},
		{"the end alone", "until: soon\npopulation: {devices: 10, mix: {ios: 100}}\ntimeline:\n  - {at: 1d, enrol: {}}\n", []string{"until"}},
		{"a moment alone", whole + "timeline:\n  - {at: 2d, enrol: {}}\n  - {at: soon, ask_users_to_sync: all}\n", []string{"timeline[1].at"}},
		{"a number of devices alone", "until: 14d\npopulation: {devices: many, mix: {ios: 100}}\ntimeline:\n  - {at: 0s, enrol: {}}\n  - {at: 1d, ask_users_to_sync: ios}\n", []string{"population.devices"}},
		{"an unknown key alone", "until: 14d\npopulatoin: {devices: 10, mix: {ios: 100}}\n", []string{""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(tt.text))
			all, _ := errors.AsType[Errors](err)
			var got []string
			for _, e := range all {
				got = append(got, e.Field)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("wrong are %q, want %q:\n%v", got, tt.want, err)
			}
		})
	}
}

// A byte order mark before the text is no part of its first key (HST-122).
func TestByteOrderMark(t *testing.T) {
	const text = "name: a\nuntil: 1d\npopulation: {devices: 5, mix: {ios: 100}}\n"
	if p, err := Parse("a.yaml", []byte("\ufeff"+text)); err != nil || p.Name != "a" || p.Source() != text {
		t.Errorf("%+v, %v", p, err)
	}
}

// A plan without a length has that one mistake: what it does is not too late besides (HST-123).
func TestHST123NoLength(t *testing.T) {
	_, err := Parse("p.yaml", []byte("tenant: {authority: office365}\npopulation: {devices: 5}\ntimeline:\n  - {at: 0s, enrol: {over: 1m}}\n  - {at: 2d, authority: {set: coexistence}}\n"))
	if err == nil || strings.Contains(err.Error(), "end of the story") || strings.Contains(err.Error(), "after the story") || !strings.Contains(err.Error(), "the story has no length") {
		t.Errorf("%v", err)
	}
}

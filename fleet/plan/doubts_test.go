package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

const company = `until: 7d
tenant: {authority: office365}
population: {devices: 10, mix: {ios: 50, windows: 50}}
timeline:
`

// What can be played and may not be meant is a doubt with its line: nobody enrols, a push certificate is renewed before the change that
// wants it renewed (HST-123, AUTH-30).
func TestHST123Doubts(t *testing.T) {
	const (
		all    = "  - {at: 0s, enrol: {over: 1h}}\n"
		renews = "  - {at: 1d, apns: {upload: renewed}}\n"
		adds   = "  - {at: 2d, authority: {set: coexistence}}\n"
		again  = "  - {at: 3d, apns: {upload: renewed}}\n"
		wrong  = "  - {at: 3d, apns: {upload: not-newer}}\n"
	)
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", all, nil},
		{"nobody enrols", "  - {at: 1h, enrol: {ios: 3}}\n", []string{"3 population.devices HST-123"}},
		{"early", all + renews + adds, []string{"6 timeline[1].apns AUTH-30"}},
		{"early, and a refused one after it", all + renews + adds + wrong, []string{"6 timeline[1].apns AUTH-30"}},
		{"early and after it", all + renews + adds + again, nil},
		{"after it alone", all + adds + again, nil},
		{"never", all + adds, nil},
		{"forced, and after it", all + renews + "  - {at: 2d, authority: {set: intune, force: true}}\n" + again, nil},
		{"forced", all + renews + "  - {at: 2d, authority: {set: intune, force: true}}\n", []string{"6 timeline[1].apns AUTH-30"}},
		{"intune follows coexistence", all + adds + again + "  - {at: 4d, authority: {set: intune}}\n", nil},
	} {
		p, err := Parse("move.yaml", []byte(company+tt.text))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := places(p.Doubts(nil)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	p, err := Parse("move.yaml", []byte(strings.Replace(company, "office365}", "office365, gap: {on_coexistence: false}}", 1)+all+renews+adds))
	if err != nil || p.Doubts(nil) != nil {
		t.Errorf("where coexistence opens no gap: %v, %v", p.Doubts(nil), err)
	}
}

// The change that a doubt names is the one that opened the gap, also where another followed in it (AUTH-30).
func TestAUTH30DoubtNamesTheFirstChange(t *testing.T) {
	p, err := Parse("move.yaml", []byte(company+`  - {at: 0s, enrol: {over: 1h}}
  - {at: 1d, apns: {upload: renewed}}
  - {at: 2d, authority: {set: intune, force: true}}
  - {at: 3d, authority: {set: office365, force: true}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Doubts(nil); len(d) != 1 || !strings.Contains(d[0].In(lang.English), "the change at 2d ") {
		t.Errorf("%v, want a doubt about the change at 2d", d)
	}
}

// The ready plans are meant as they are.
func TestHST123NoDoubtOfReadyPlans(t *testing.T) {
	for _, name := range BuiltIns() {
		p, err := BuiltIn(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range p.Doubts(nil) {
			t.Errorf("%s: %s", name, d.In(lang.English))
		}
	}
}

// Where an export's devices play a plan, what the plan says of another tenant and of more devices is a doubt (HST-123).
func TestHST123DoubtsBesideAnExport(t *testing.T) {
	p, err := Parse("move.yaml", []byte(company+"  - {at: 0s, enrol: {over: 1h}}\n  - {at: 1h, enrol: {ios: 3, userless: {ipados: 2}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	there := &Tenancy{Authority: protocol.Office365, Coexistence: true, Exported: true, Devices: ByPlatform{IOS: 4}}
	if got, want := places(p.Doubts(there)), []string{"2 tenant.authority HST-123", "6 timeline[1].enrol HST-123"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	there.Coexistence = false
	if got, want := places(p.Doubts(there)), []string{"6 timeline[1].enrol HST-123"}; !slices.Equal(got, want) {
		t.Errorf("in a tenant of the same authority: %q, want %q", got, want)
	}
}

func places(doubts []Doubt) (all []string) {
	for _, d := range doubts {
		all = append(all, fmt.Sprintf("%d %s %s", d.Line, d.Field, d.Rule))
	}
	return all
}

// A plan that says nothing of devices and tenant is read for those of an export, and is refused by what contradicts them, all at once
// (HST-123).
func TestHST123PlanForAnExport(t *testing.T) {
	const text = `until: 7d
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 1d, authority: {set: coexistence}}
  - {at: 1d, apns: {upload: renewed}}
  - {at: 2d, ask_users_to_sync: macos}
`
	if _, err := Parse("mine.yaml", []byte(text)); err == nil {
		t.Fatal("it has no devices of its own, and was taken")
	}
	there := Tenancy{Authority: protocol.Office365, Exported: true, Devices: ByPlatform{IOS: 4, Windows: 1}, Userless: ByPlatform{IOS: 1}}
	for _, tt := range []struct {
		name   string
		change func(*Tenancy)
		want   []string
	}{
		{"no Macs", func(*Tenancy) {}, []string{"6 timeline[3].ask_users_to_sync HST-123"}},
		{"Macs", func(t *Tenancy) { t.Devices.MacOS, t.Coexistence = 1, true }, []string{"4 timeline[1].authority.set HST-123"}},
		{"coexistence, no Macs", func(t *Tenancy) { t.Coexistence = true }, []string{"4 timeline[1].authority.set HST-123", "6 timeline[3].ask_users_to_sync HST-123"}},
		{"intune", func(t *Tenancy) { t.Authority = protocol.Intune }, []string{"4 timeline[1].authority.set AUTH-04", "6 timeline[3].ask_users_to_sync HST-123"}},
	} {
		is := there
		tt.change(&is)
		_, err := ParseFor("mine.yaml", []byte(text), &is)
		var errs Errors
		var got []string
		errors.As(err, &errs)
		for _, e := range errs {
			got = append(got, fmt.Sprintf("%d %s %s", e.Line, e.Field, e.Rule))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	p, err := ParseFor("mine.yaml", []byte(strings.Replace(text, "macos", "ios", 1)), &there)
	if err != nil || p.Tenant.Authority != protocol.Office365 || p.Devices() != 6 {
		t.Fatalf("%v", err)
	}
	if q, err := p.Edited("mine.yaml", p.Encode(nil)); err != nil || q.Devices() != 6 {
		t.Errorf("read again as it was read: %v", err)
	}
}

package population

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

var updateFit = flag.Bool("update-fit", false, "rewrite the plans fitted to the sample tenants; read the diff before you keep it")

// Plans fitted to small exports are these, can be played, and name nobody.
func TestFit(t *testing.T) {
	for _, name := range []string{"bms-only", "coexistence", "console"} {
		t.Run(name, func(t *testing.T) {
			p, err := Import(Options{Path: "testdata/" + name})
			if err != nil {
				t.Fatal(err)
			}
			fitted, notes := p.Fit()
			comments := map[string][]string{}
			for _, n := range notes {
				comments[n.Path] = append(comments[n.Path], n.Text.String())
			}
			text := fitted.Encode(comments)
			again, err := plan.Parse(name+".yaml", text)
			if err != nil {
				t.Fatalf("what was fitted cannot be played: %v", err)
			}
			managed(t, New(again))
			for _, u := range p.Users {
				if strings.Contains(string(text), u.UPN) {
					t.Errorf("it names %s", u.UPN)
				}
			}
			golden := "testdata/" + name + ".fitted.yaml"
			if *updateFit {
				if err := os.WriteFile(golden, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, golden, string(text), string(want))
		})
	}
}

// What is fitted are the shares, spells and silences of the population, and with an older export how many come back in a week.
func TestFitComesBack(t *testing.T) {
	p := &Population{Tenant: Tenant{Authority: protocol.Office365, AsOf: Begin}}
	p.Tenant.Units = Units{Known: true, Owned: 50}
	p.Tenant.APNs.Expires = Begin.Add(100 * oneDay)
	for i := range 10_000 {
		p.Users = append(p.Users, User{UPN: "user", Licence: []Licence{NoLicence, BMSLicence, BMSLicence, BMSLicence, BMSLicence | IntuneLicence}[i%5]})
		d := Device{Platform: protocol.IOS, User: int32(i), Registered: protocol.Office365, Joins: Already}
		silent := time.Hour
		switch i % 50 {
		case 1, 2: // 4%, by an hour more each
			silent = time.Duration(10+i/50%100) * time.Hour
		case 3, 4, 5: // 6%
			silent = time.Duration(8+i/50%20) * oneDay
		case 6: // 2%
			silent = time.Duration(100+i/50) * oneDay
		}
		if i%4 == 0 {
			d.Platform = protocol.Windows
			d.Enrolment = []Enrolment{ByUser, Joined}[i/4%2]
		}
		last := Begin.Add(-silent)
		d.Contact = Span{last, last}
		p.Devices = append(p.Devices, d)
		if i%10 == 0 {
			p.Devices = append(p.Devices, d) // a second device of the user
		}
	}
	p.Returns = Returns{Between: 14 * oneDay, Bands: []Return{{oneDay, 7 * oneDay, 10, 9}, {7 * oneDay, 30 * oneDay, 100, 36}, {30 * oneDay, 90 * oneDay, 0, 0}, {90 * oneDay, 0, 100, 0}}}
	fitted, _ := p.Fit()
	text := string(fitted.Encode(nil))
	for _, want := range []string{
		"licences: {none: 20, basic: 60, intune: 20}", "devices_per_user: {1: 90, 2: 10}", "units: 50", "expires: 100d", "already: {ios: 8000, windows: 3000}", "ways: {joined: 50}",
		`offline: {share: 3.64%, lasts: "lognormal(2d12h, 1.6)"}`, `{share: 5.45%, for: "uniform(7d, 27d)", back: 20%/w}`, `{share: 1.82%, for: "uniform(90d, 299d)"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	p.Returns.Bands[1] = Return{From: 7 * oneDay, To: 30 * oneDay}
	if _, notes := p.Fit(); !strings.Contains(fmt.Sprint(notes), "in the older export none was silent for as long") {
		t.Errorf("two exports, and the older one has nobody of a band: %v", notes)
	}
}

// managed holds that each device of a tenant in coexistence is managed as its user's licences say (AUTH-14, AUTH-16, AUTH-46).
func managed(t *testing.T, p *Population) {
	t.Helper()
	for i := range p.Devices {
		d := &p.Devices[i]
		if !p.Tenant.Coexistence || d.Userless() {
			continue
		}
		want := protocol.Office365
		if p.Users[d.User].Licence&IntuneLicence != 0 || d.Platform == protocol.MacOS {
			want = protocol.Intune
		}
		if d.Registered != want {
			t.Errorf("device %d (%s) is managed by %s, want %s", i, d.Platform, d.Registered, want)
		}
	}
}

func TestHundred(t *testing.T) {
	for _, tt := range []struct{ parts, want []int }{
		{[]int{1, 1, 1}, []int{34, 33, 33}}, {[]int{0, 5}, []int{0, 100}}, {[]int{0, 0}, []int{0, 0}}, {[]int{2, 1}, []int{67, 33}}, {[]int{1, 999}, []int{0, 100}},
	} {
		expect(t, "hundred", hundred(tt.parts...), tt.want)
	}
}

// A consent without which nobody could have enrolled what is enrolled is taken as granted, and said to be (AUTH-05).
func TestAUTH05FitAssumesConsents(t *testing.T) {
	p := &Population{
		Tenant:  Tenant{Authority: protocol.Intune, AsOf: Begin, Consents: map[string]bool{"appleMDMPushCertificate": true}},
		Devices: []Device{{Name: "kiosk", Platform: protocol.Android, User: Nobody, Enrolment: Dedicated, Traits: AndroidAPI, Registered: protocol.Intune, Current: true, Joins: Already}},
	}
	fitted, notes := p.Fit()
	said := false
	for _, n := range notes {
		said = said || strings.Contains(n.Text.String(), "the consent androidManagedStore is granted")
	}
	if _, err := plan.Parse("fitted.yaml", fitted.Encode(nil)); err != nil || !said {
		t.Errorf("%v, said %t: %v", err, said, notes)
	}
}

// A plan fitted to a tenant under Configuration Manager can be played: its devices, those without a user too, were enrolled before it was
// given the authority, so Intune has them.
func TestFitUnderConfigurationManager(t *testing.T) {
	p := &Population{
		Tenant: Tenant{Authority: protocol.SCCM, AsOf: Begin},
		Users:  []User{{UPN: "user", Licence: IntuneLicence}},
		Devices: []Device{
			{Name: "own", Platform: protocol.IOS, Registered: protocol.Intune, Joins: Already},
			{Name: "kiosk", Platform: protocol.Windows, User: Nobody, Registered: protocol.Intune, Joins: Already},
		},
	}
	fitted, _ := p.Fit()
	again, err := plan.Parse("fitted.yaml", fitted.Encode(nil))
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range New(again).Devices {
		if d.Registered != protocol.Intune {
			t.Errorf("device %d, without a user %t, is registered with %s, want intune", i, d.Userless(), d.Registered)
		}
	}
}

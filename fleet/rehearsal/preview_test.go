package rehearsal

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

var updatePreviews = flag.Bool("update", false, "rewrite the golden files")

// small is one of the small exports of package population.
func small(t testing.TB, name string, o population.Options) *population.Population {
	t.Helper()
	o.Path = filepath.Join("..", "population", "testdata", name)
	pop, err := population.Import(o)
	if err != nil {
		t.Fatal(err)
	}
	return pop
}

// ask asks what is asked of pop when nobody says otherwise.
func ask(t testing.TB, pop *population.Population, want *authority.Change) *Preview {
	t.Helper()
	p, err := NewPreview(pop, want, authority.GapSettings{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPreviewGolden is the answer as a terminal shows it, for the two small tenants.
func TestPreviewGolden(t *testing.T) {
	for _, name := range []string{"bms-only", "coexistence"} {
		t.Run(name, func(t *testing.T) {
			pop := small(t, name, population.Options{KeepNames: true})
			p := ask(t, pop, Wanted(&pop.Tenant))
			var got bytes.Buffer
			if err := report.Brief(&got, p.Result(pop), p.Story(lang.English, pop), false); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "preview-"+name+".txt")
			if *updatePreviews {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s changed; got:\n%s\nwant:\n%s", golden, got.Bytes(), want)
			}
		})
	}
}

// tenant is a made-up BMS tenant: three users with a phone each (entitled, basic, none), a co-managed user with PC and
// tablet, a userless PC, and a Mac's worth of nothing.
func tenant() *population.Population {
	now := protocol.At(time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC))
	pop := &population.Population{
		Tenant: population.Tenant{Authority: protocol.Office365, Epoch: 1, AsOf: now, Units: population.Units{Known: true, Owned: 5, Free: 1}},
		Users: []population.User{
			{UPN: "in", Licence: population.IntuneLicence | population.BMSLicence},
			{UPN: "basic", Licence: population.BMSLicence},
			{UPN: "none"},
			{UPN: "off", Licence: population.BMSLicence, PlanOff: true},
		},
		Total: 6,
	}
	add := func(name string, platform protocol.Platform, user int32) {
		pop.Devices = append(pop.Devices, population.Device{
			Name: name, Platform: platform, User: user, Registered: protocol.Office365, Current: true, Contact: population.Span{Earliest: now, Latest: now}, CertEnd: now.Add(300 * oneDay),
		})
	}
	add("phone0", protocol.IOS, 0)
	add("phone1", protocol.IOS, 1)
	add("phone2", protocol.Android, 2)
	add("phone3", protocol.Android, 3)
	add("pc", protocol.Windows, population.Nobody)
	pop.Devices = append(pop.Devices, population.Device{Name: "new", Platform: protocol.IOS, User: 1, Traits: population.Enrolling, Joins: population.Never})
	return pop
}

func TestPreviewQuestions(t *testing.T) {
	coexisting := tenant()
	coexisting.Tenant.Coexistence = true
	intune := tenant()
	intune.Tenant.Authority = protocol.Intune
	later := tenant()
	later.Later = append([]population.User{}, later.Users...)
	later.Later[0].Licence, later.Later[1].Licence = population.BMSLicence, population.BMSLicence|population.IntuneLicence
	generous := tenant()
	generous.Later = append([]population.User{}, generous.Users...)
	generous.Later[1].Licence |= population.IntuneLicence
	generous.Later[2].Licence |= population.IntuneLicence
	poor := tenant()
	poor.Tenant.Units = population.Units{Known: true}
	set := func(a protocol.Authority) *authority.Change { return &authority.Change{Authority: a} }
	for _, tt := range []struct {
		name                          string
		pop                           *population.Population
		want                          *authority.Change
		to                            string
		move, stay, pending, stranded int
		short                         int
		refused                       protocol.Rule // as things are
		impossible                    protocol.Rule
	}{
		{"AUTH-35 adding Intune", tenant(), Wanted(&tenant().Tenant), "coexistence", 1, 4, 1, 1, 1, "", ""},
		{"AUTH-09 adding Intune without units", poor, Wanted(&poor.Tenant), "coexistence", 1, 4, 1, 1, 2, "AUTH-09", ""},
		{"AUTH-23 with other licences", later, Wanted(&later.Tenant), "coexistence", 1, 4, 1, 1, 1, "", ""},
		{"AUTH-09 more licences than units", generous, Wanted(&generous.Tenant), "coexistence", 3, 2, 3, 1, 1, "AUTH-09", ""},
		{"next check-ins under coexistence", coexisting, Wanted(&coexisting.Tenant), "coexistence", 1, 4, 1, 1, 1, "", ""},
		{"next check-ins under intune", intune, Wanted(&intune.Tenant), "intune", 4, 1, 4, 1, 1, "", ""},
		{"AUTH-04 only by force", tenant(), set(protocol.Intune), "intune", 4, 1, 4, 1, 1, "AUTH-04", ""},
		{"AUTH-04 users still on BMS", coexisting, set(protocol.Intune), "intune", 4, 1, 4, 1, 1, "AUTH-04", ""},
		{"AUTH-04 no such change", tenant(), set(protocol.SCCM), "", 0, 0, 0, 0, 0, "", "AUTH-04"},
		{"AUTH-03 back to unknown", tenant(), set(protocol.Unknown), "", 0, 0, 0, 0, 0, "", "AUTH-03"},
		{"nothing to change", tenant(), set(protocol.Office365), "office365", 0, 5, 0, 0, 0, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := NewPreview(tt.pop, tt.want, authority.GapSettings{})
			if tt.impossible != "" {
				if !errors.Is(err, tt.impossible) {
					t.Errorf("error %v, want %s", err, tt.impossible)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := [...]int{p.WouldMove, p.WouldStay, p.Pending, p.Stranded, p.Need.Short}
			if want := [...]int{tt.move, tt.stay, tt.pending, tt.stranded, tt.short}; got != want {
				t.Errorf("move, stay, pending, stranded, short: %v, want %v", got, want)
			}
			if p.Scene.After.Name() != tt.to || p.Refused == nil != (tt.refused == "") || p.Refused != nil && p.Refused.Rule != tt.refused {
				t.Errorf("to %s, refused %v; want %s, %q", p.Scene.After.Name(), p.Refused, tt.to, tt.refused)
			}
			r := p.Result(tt.pop)
			if d := r.Devices; d.Enrolled != 5 || d.Enrolling != 1 || d.Total != d.LeftOut+d.Enrolled+d.Enrolling || d.Moved+d.Reregistered != 0 {
				t.Errorf("devices %+v", d)
			}
			if r.Err() == nil != (tt.refused == "") {
				t.Errorf("verdict %s", r.Verdict)
			}
		})
	}
}

// TestPreviewGap: open points 1 and 2, the gap of an earlier change, and the end of the push certificate.
func TestPreviewGap(t *testing.T) {
	earlier, ended := tenant(), tenant()
	earlier.Tenant.Coexistence, earlier.Tenant.ChangedAt = true, earlier.Tenant.AsOf.Add(-oneDay)
	earlier.Tenant.APNs = population.APNs{Modified: earlier.Tenant.ChangedAt.Add(-oneDay), Expires: earlier.Tenant.AsOf.Add(100 * oneDay)}
	ended.Tenant.APNs.Expires = ended.Tenant.AsOf.Add(-31 * oneDay)
	for _, tt := range []struct {
		name              string
		pop               *population.Population
		gap               authority.GapSettings
		blocked, stranded int
	}{
		{"AUTH-30 default", tenant(), authority.GapSettings{}, 2, 1},
		{"AUTH-30 gap.onCoexistence off", tenant(), authority.GapSettings{NotOnCoexistence: true}, 0, 1},
		{"AUTH-30 gap.platforms", tenant(), authority.GapSettings{Platforms: []protocol.Platform{protocol.MacOS}}, 0, 1},
		{"AUTH-30 of an earlier change", earlier, authority.GapSettings{}, 1, 1},
		{"AUTH-33 ended too long ago", ended, authority.GapSettings{NotOnCoexistence: true}, 2, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := NewPreview(tt.pop, Wanted(&tt.pop.Tenant), tt.gap)
			if err != nil {
				t.Fatal(err)
			}
			if p.Blocked != tt.blocked || p.Stranded != tt.stranded {
				t.Errorf("%d blocked, %d stranded; want %d, %d", p.Blocked, p.Stranded, tt.blocked, tt.stranded)
			}
		})
	}
}

// TestPreviewTokens: with names read as tokens, no name of the export is in result and page.
func TestPreviewTokens(t *testing.T) {
	named, tokens := small(t, "bms-only", population.Options{KeepNames: true}), small(t, "bms-only", population.Options{})
	p := ask(t, named, Wanted(&named.Tenant))
	result := p.Result(tokens)
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	page := bytes.NewBuffer(text)
	if err := report.Page(page, result, p.Story(lang.English, tokens)); err != nil {
		t.Fatal(err)
	}
	for _, d := range named.Devices {
		if bytes.Contains(page.Bytes(), []byte(d.Name)) {
			t.Errorf("%s is in the result or the page", d.Name)
		}
	}
	for _, u := range named.Users {
		if u.UPN != "" && bytes.Contains(page.Bytes(), []byte(u.UPN)) {
			t.Errorf("%s is in the result or the page", u.UPN)
		}
	}
}

// tokenised are names that stand for others, and one that no language translates.
var tokenised = regexp.MustCompile(`(user|device)-[A-Z0-9]+|user principal name`)

// Whoever asks in Dutch hears no English: on the page, on the terminal and in the list.
func TestPreviewInDutch(t *testing.T) {
	for _, name := range []string{"bms-only", "coexistence"} {
		pop := small(t, name, population.Options{})
		p := ask(t, pop, Wanted(&pop.Tenant))
		var said []string
		s := p.Story(lang.Dutch, pop)
		said = append(said, s.Headline)
		said = append(append(said, s.Lead...), s.NotShown...)
		for _, f := range s.Figures {
			said = append(said, f.Name, f.Note)
		}
		for _, table := range s.Tables {
			said = append(said, table.Title, table.Caption)
			for _, c := range table.Columns {
				said = append(said, c.Name)
			}
			for _, row := range table.Rows {
				for _, cell := range row {
					if text, ok := cell.(string); ok {
						said = append(said, text)
					}
				}
			}
		}
		if err := p.Entries(lang.Dutch, pop, func(e Entry) error {
			said = append(said, e.Reason, e.Action)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, text := range said {
			text = tokenised.ReplaceAllString(text, "")
			if word := english.FindString(text); word != "" {
				t.Errorf("%s: %q in %q", name, word, text)
			}
		}
	}
}

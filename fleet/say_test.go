package fleet

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

func TestSay(t *testing.T) {
	half := func(whom string) plan.Target { return plan.Target{Share: plan.Whole / 2, Whom: whom} }
	all := plan.Target{Share: plan.Whole, Whom: plan.All}
	lasts := func(text string) (d plan.Distribution) {
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	f := &Cast{Plan: &plan.Plan{}, Population: &population.Population{Devices: []population.Device{{Joins: time.Hour}}}}
	f.Plan.Tenant.Identity.Window = plan.Duration(2 * plan.Day)
	for want, a := range map[string]plan.Action{
		"All devices enrol within 4h":                                                   {Enrol: &plan.Enrol{Over: plan.Duration(4 * time.Hour)}},
		"1 device without a user enrols":                                                {Enrol: &plan.Enrol{Userless: plan.ByPlatform{IPadOS: 1}}},
		"2 PCs enrol through Configuration Manager":                                     {Enrol: &plan.Enrol{CoManaged: 2}},
		"3 more devices enrol":                                                          {Enrol: &plan.Enrol{ByPlatform: plan.ByPlatform{IOS: 3}}},
		`Profile "wifi" is assigned to everybody`:                                       {Profiles: &plan.Assignment{Assign: "wifi", Group: plan.All}},
		`Profile "wifi" is unassigned from group sales`:                                 {Profiles: &plan.Assignment{Unassign: "wifi", Group: "sales"}},
		"All devices are asked for DeviceInformation":                                   {Command: &plan.Command{Kind: protocol.DeviceInformation, To: all}},
		"50% of the Macs are restarted":                                                 {Command: &plan.Command{Kind: protocol.Restart, To: half("macos")}},
		"50% of the devices of group sales are wiped":                                   {Command: &plan.Command{Kind: protocol.Erase, To: half("sales")}},
		"The users of 50% of all devices are asked to sync":                             {AskUsersToSync: &plan.Target{Share: plan.Whole / 2, Whom: plan.All}},
		"50% of the devices without a user leave the network for 3d":                    {Absence: &plan.Absence{Of: half(plan.Userless), Lasts: lasts("3d")}},
		"50% of the iPads leave the network for 1h to 2h":                               {Absence: &plan.Absence{Of: half("ipados"), Lasts: lasts("uniform(1h, 2h)")}},
		"The server is restarted":                                                       {RestartServer: true},
		"The users of 50% of the Macs unenrol them and enrol them again, within 2h":     {Reenrol: &plan.Reenrol{Of: half("macos"), Over: plan.Duration(2 * time.Hour)}},
		"Somebody uploads the push certificate of the beginning again":                  {APNs: &plan.Upload{Upload: plan.NotNewer}},
		"Somebody uploads a push certificate that has ended":                            {APNs: &plan.Upload{Upload: plan.Expired}},
		"Somebody uploads a push certificate made with another Apple ID":                {APNs: &plan.Upload{Upload: plan.OtherAppleID}},
		"50% of the users of iPhones in group sales get a licence that entitles Intune": {Licences: &plan.Licensing{Assign: plan.IntuneLicence, To: half("ios"), In: "sales"}},
		"A renewed push certificate is uploaded":                                        {APNs: &plan.Upload{Upload: plan.Renewed}},
	} {
		got := f.Say(&a)
		if got.Name != want || got.Text == "" {
			t.Errorf("%+v is said as %q with text %q, want %q", a, got.Name, got.Text, want)
		}
		if long := a.Absence != nil && a.Absence.Lasts.Shortest() == 3*plan.Day; long != (got.Rule == protocol.RuleNotRenewed) {
			t.Errorf("%q by %s", got.Name, got.Rule)
		}
	}
	// An export has no other devices than its own.
	f.Population.Tenant.AsOf = 1
	if got := f.Say(&plan.Action{Enrol: &plan.Enrol{ByPlatform: plan.ByPlatform{IOS: 3}}}); got.Name != "" {
		t.Errorf("new devices beside an export: %q", got.Name)
	}
}

// Each thing that a plan does names the rule that it is about.
func TestSayRules(t *testing.T) {
	all := plan.Target{Share: plan.Whole, Whom: plan.All}
	lasts := func(text string) (d plan.Distribution) {
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	regime := func(text string) (r plan.Regime) {
		if err := r.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	f := &Cast{Plan: &plan.Plan{}, Population: &population.Population{Devices: []population.Device{{Joins: time.Hour}}}}
	f.Plan.Tenant.Identity.Window = plan.Duration(2 * plan.Day)
	for _, tt := range []struct {
		rule   protocol.Rule
		action plan.Action
	}{
		{"", plan.Action{Enrol: &plan.Enrol{Over: plan.Duration(4 * time.Hour)}}},
		{"", plan.Action{Enrol: &plan.Enrol{ByPlatform: plan.ByPlatform{MacOS: 3}}}},
		{"AUTH-19", plan.Action{Enrol: &plan.Enrol{Userless: plan.ByPlatform{IPadOS: 2}}}},
		{"AUTH-44", plan.Action{Enrol: &plan.Enrol{Again: true}}},
		{"AUTH-52", plan.Action{Profiles: &plan.Assignment{Assign: "wifi", Group: plan.All}}},
		{"AUTH-55", plan.Action{Profiles: &plan.Assignment{Unassign: "wifi", Group: plan.All}}},
		{"AUTH-52", plan.Action{Command: &plan.Command{Kind: protocol.DeviceInformation, To: all}}},
		{"AUTH-52", plan.Action{Command: &plan.Command{Kind: protocol.Lock, To: all}}},
		{"AUTH-52", plan.Action{Command: &plan.Command{Kind: protocol.Restart, To: all}}},
		{"AUTH-53", plan.Action{Command: &plan.Command{Kind: protocol.Erase, To: all}}},
		{"AUTH-53", plan.Action{Command: &plan.Command{Kind: protocol.Retire, To: all}}},
		{"AUTH-44", plan.Action{Unenrol: &all}},
		{"AUTH-22", plan.Action{AskUsersToSync: &all}},
		{"", plan.Action{Absence: &plan.Absence{Of: all, Lasts: lasts("1d")}}},
		{"AUTH-42", plan.Action{Absence: &plan.Absence{Of: all, Lasts: lasts("3d")}}}, // longer than the window of renewal
		{"AUTH-05", plan.Action{Consent: plan.ApplePush}},
		{"AUTH-04", plan.Action{Authority: &plan.Setting{Set: regime("coexistence")}}},
		{"AUTH-04", plan.Action{Authority: &plan.Setting{Set: regime("sccm")}}},
		{"AUTH-32", plan.Action{APNs: &plan.Upload{Upload: plan.Renewed}}},
		{"AUTH-32", plan.Action{APNs: &plan.Upload{Upload: plan.OtherTopic}}},
		{"AUTH-34", plan.Action{APNs: &plan.Upload{Upload: plan.NotNewer}}},
		{"AUTH-34", plan.Action{APNs: &plan.Upload{Upload: plan.Expired}}},
		{"AUTH-32", plan.Action{APNs: &plan.Upload{Upload: plan.OtherAppleID}}},
		{"AUTH-44", plan.Action{Reenrol: &plan.Reenrol{Of: all}}},
		{"AUTH-23", plan.Action{Licences: &plan.Licensing{Assign: plan.IntuneLicence, To: all}}},
		{"AUTH-24", plan.Action{Licences: &plan.Licensing{Remove: plan.IntuneLicence, To: all}}},
		{"AUTH-18", plan.Action{SupportMove: &all}},
		{"", plan.Action{RestartServer: true}},
	} {
		if got := f.Say(&tt.action); got.Rule != tt.rule || got.Name == "" || got.Text == "" {
			t.Errorf("%s is said as %q by %q, want %q; %q", tt.action.Kind(), got.Name, got.Rule, tt.rule, got.Text)
		}
	}
}

// What goes wrong on purpose is said with its share and its length, and so is its end.
func TestSayFaults(t *testing.T) {
	for _, tt := range []struct {
		fault        plan.Fault
		begins, ends string
	}{
		{plan.Fault{Server: plan.Down, For: plan.Duration(3 * time.Hour)}, "The server is down for 3h", "The server is up again"},
		{plan.Fault{Server: plan.Busy, Share: plan.Whole / 5, For: plan.Duration(time.Hour)}, "The server answers 503 to 20% of the requests for 1h", "The server answers everybody again"},
		{plan.Fault{DropResponse: true, Share: plan.Whole / 200}, "From here on 0.5% of the server's answers are lost on the way", "No answer is lost any more"},
		{plan.Fault{Push: plan.PushDown, For: plan.Duration(5 * time.Hour)}, "The push service is down for 5h", "The push service is up again"},
		{plan.Fault{Push: plan.PushLost, Share: plan.Whole / 5}, "From here on 20% of the pushes are lost", "No push is lost any more"},
		{plan.Fault{Reset: true, Share: plan.Whole}, "From here on all the requests are cut off in the middle", "No request is cut off any more"},
	} {
		begins, ends := SayFault(&tt.fault)
		if begins.Name != tt.begins || ends.Name != tt.ends || begins.Text == "" {
			t.Errorf("%+v begins as %q (%q) and ends as %q", tt.fault, begins.Name, begins.Text, ends.Name)
		}
	}
}

// Lengths of a squeezed plan are told as a person would.
func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		8 * time.Hour: "8h", 36 * time.Hour: "1d12h", 10 * time.Minute: "10m", 1_428_571 * time.Microsecond: "1s", 64_285_714 * time.Microsecond: "1m4s", 3 * time.Millisecond: "3ms", 0: "0s",
	} {
		if got := short(plan.Duration(d)); got != want {
			t.Errorf("%s is told as %s, want %s", d, got, want)
		}
	}
}

// What the ready plans do is retold in Dutch without a word left over.
func TestActsAreRetoldInDutch(t *testing.T) {
	english := regexp.MustCompile(`(?i)\b(the|and|devices?|which|with|they|are|were|not|by|to|from|users?|get|lose|all|enrol|within)\b`)
	for _, name := range plan.BuiltIns() {
		p, err := plan.BuiltIn(name)
		if err != nil {
			t.Fatal(err)
		}
		c := &Cast{Plan: p, Population: &population.Population{Devices: []population.Device{{}}}}
		var all []Words
		for i := range p.Timeline {
			all = append(all, c.Say(&p.Timeline[i]))
		}
		for i := range p.Faults {
			begins, ends := SayFault(&p.Faults[i])
			all = append(all, begins, ends)
		}
		for _, w := range all {
			for _, said := range []string{w.Name, w.Text} {
				if got := lang.Dutch.Retell(said); english.MatchString(got) || got == said && said != "" {
					t.Errorf("%s: %q is retold as %q", name, said, got)
				}
			}
		}
	}
}

// An enrolment of any platform is told in words of none: only Apple's has SCEP and a TokenUpdate.
func TestSayEnrolOfAnyPlatform(t *testing.T) {
	c := &Cast{Plan: &plan.Plan{}, Population: &population.Population{Devices: []population.Device{{Platform: protocol.Android, Joins: time.Hour}}}}
	if w := c.Say(&plan.Action{Enrol: &plan.Enrol{ByPlatform: plan.ByPlatform{Android: 5}}}); w.Name != "5 more devices enrol" || strings.Contains(w.Text, "SCEP") || strings.Contains(w.Text, "TokenUpdate") {
		t.Errorf("said %+v", w)
	}
}

// Devices without a user are told to enrol in their own platform's way and in no other's, in both languages (AUTH-19).
func TestAUTH19SayUserless(t *testing.T) {
	c := &Cast{Plan: &plan.Plan{}, Population: &population.Population{}}
	apple, android, windows := [2]string{"Setup Assistant", "configuratie-assistent"}, [2]string{"dedicated mode", "Toegewezen Android-apparaten"}, [2]string{"provisioning package", "inrichtingspakket"}
	link := [2]string{"opens its", "opent"}
	all := [][2]string{apple, android, windows, link}
	for _, tt := range []struct {
		of   plan.Enrol
		says [][2]string
	}{
		{plan.Enrol{Userless: plan.ByPlatform{IOS: 1}}, [][2]string{apple}},
		{plan.Enrol{Userless: plan.ByPlatform{IPadOS: 1}}, [][2]string{apple}},
		{plan.Enrol{Userless: plan.ByPlatform{MacOS: 1}}, [][2]string{apple}},
		{plan.Enrol{Userless: plan.ByPlatform{Android: 1}}, [][2]string{android}},
		{plan.Enrol{Userless: plan.ByPlatform{Windows: 1}}, [][2]string{windows}},
		{plan.Enrol{Userless: plan.ByPlatform{IPadOS: 1, Android: 1, Windows: 1}}, [][2]string{apple, android, windows}},
		{plan.Enrol{ByPlatform: plan.ByPlatform{MacOS: 8}, Userless: plan.ByPlatform{Windows: 5}}, [][2]string{link, {"5 of them have no user.", "5 daarvan hebben geen gebruiker."}, windows}},
		{plan.Enrol{ByPlatform: plan.ByPlatform{MacOS: 8}}, [][2]string{link}},
	} {
		text := c.Say(&plan.Action{Enrol: &tt.of}).Text
		for l, told := range []string{text, lang.Dutch.Retell(text)} {
			for _, way := range all {
				if want := slices.Contains(tt.says, way); strings.Contains(told, way[l]) != want {
					t.Errorf("%+v: %q: %q said: %t", tt.of, told, way[l], !want)
				}
			}
			for _, way := range tt.says {
				if !strings.Contains(told, way[l]) {
					t.Errorf("%+v: %q does not say %q", tt.of, told, way[l])
				}
			}
		}
	}
}

// What a change is about are the authority and the push certificates that are taken; a refused upload is a lesson beside it.
func TestIsMain(t *testing.T) {
	for _, tt := range []struct {
		action plan.Action
		want   bool
	}{
		{plan.Action{Authority: &plan.Setting{}}, true},
		{plan.Action{APNs: &plan.Upload{Upload: plan.Renewed}}, true},
		{plan.Action{APNs: &plan.Upload{Upload: plan.OtherTopic}}, true},
		{plan.Action{APNs: &plan.Upload{Upload: plan.OtherAppleID}}, false},
		{plan.Action{APNs: &plan.Upload{Upload: plan.Expired}}, false},
		{plan.Action{Profiles: &plan.Assignment{}}, false},
	} {
		if got := IsMain(&tt.action); got != tt.want {
			t.Errorf("%+v: %t, want %t", tt.action, got, tt.want)
		}
	}
}

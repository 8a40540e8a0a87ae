package dialect

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

func TestAPL036(t *testing.T) {
	for _, status := range []int{200, 500, 401, 0} {
		s := enrolled(t, iPhone, plainHabits)
		if !s.d.Begin(s.now, UserRemoves, &s.act) {
			t.Fatal("no CheckOut")
		}
		if m := s.wants(CheckOut); m.Topic != topic {
			t.Errorf("CheckOut of topic %q", m.Topic)
		}
		s.answer(status, nil)
		if s.act.Kind != Rest || s.d.Phase() != agent.Removed || s.d.Due() != 0 || len(s.d.Profiles()) != 0 || s.d.Identity().Serial != "" {
			t.Errorf("after %d: act %d, phase %s, %v", status, s.act.Kind, s.d.Phase(), s.d.Profiles())
		}
		if s.d.Begin(s.now, UserRemoves, &s.act) || s.d.Begin(s.now, Scheduled, &s.act) {
			t.Error("a second CheckOut")
		}
	}
	s := enrolled(t, iPhone, plainHabits, func(p *apple.Profile) { p.Payloads[0].MDM.CheckOutWhenRemoved = false })
	if s.d.Begin(s.now, UserRemoves, &s.act) || s.d.Phase() != agent.Removed {
		t.Errorf("without the flag: act %+v, phase %s", s.act, s.d.Phase())
	}
}

func TestAPL058(t *testing.T) {
	never := []apple.Command{
		apple.DeviceInformation{Queries: []string{"UDID"}},
		apple.ProfileList{},
		apple.DeviceLock{},
		apple.EraseDevice{},
		apple.ClearPasscode{UnlockToken: []byte{1}},
		apple.Unknown{Name: "ProvisioningProfileList"},
		apple.InstalledApplicationList{},
		apple.Unknown{Name: "Restrictions"},
	}
	for _, c := range never {
		s := enrolled(t, iPhone, &Habits{NotNow: 1_000_000})
		s.d.Lock(s.now.Add(time.Hour))
		if m, _ := s.command("1", c); m.Status == protocol.NotNow {
			t.Errorf("%s: NotNow", c.RequestType())
		}
	}
	for _, c := range []apple.Command{mail("a", "A"), apple.SecurityInfo{}, apple.CertificateList{}, apple.Unknown{Name: "InstallApplication"}} {
		s := enrolled(t, iPhone, plainHabits)
		unlocks := s.now.Add(time.Hour)
		s.d.Lock(unlocks)
		if m, _ := s.command("1", c); m.Status != protocol.NotNow {
			t.Errorf("locked, %s: %s, want NotNow", c.RequestType(), m.Status)
		}
		if s.d.Due() != unlocks {
			t.Errorf("%s: due %s, want when it unlocks, %s", c.RequestType(), s.d.Due(), unlocks)
		}
		s.due()
		s.wants(Idle)
		if m, _ := s.give("1", c); m.Status == protocol.NotNow {
			t.Errorf("unlocked, %s: NotNow", c.RequestType())
		}
		s.answer(200, nil)
		if s.d.Due() != 0 {
			t.Errorf("%s: due %s after the last word was another", c.RequestType(), s.d.Due())
		}
	}
	t.Run("not the last word", func(t *testing.T) {
		s := enrolled(t, iPhone, plainHabits)
		s.d.Lock(s.now.Add(time.Hour))
		s.wake()
		s.give("1", apple.SecurityInfo{})
		s.give("2", apple.ProfileList{})
		s.answer(200, nil)
		if s.d.Due() != 0 {
			t.Errorf("due %s, though NotNow was not the last", s.d.Due())
		}
	})
	t.Run("macOS", func(t *testing.T) {
		s := enrolled(t, mac13, plainHabits)
		s.d.Lock(s.now.Add(time.Hour))
		for uuid, tt := range map[string]struct {
			c     apple.Command
			waits bool
		}{
			"1": {apple.DeviceInformation{Queries: []string{"UDID"}}, true}, "2": {apple.DeviceLock{}, false},
			"3": {apple.Unknown{Name: "UserList"}, false}, "4": {apple.ProfileList{}, true},
		} {
			if m, _ := s.command(uuid, tt.c); (m.Status == protocol.NotNow) != tt.waits {
				t.Errorf("%s: %s", tt.c.RequestType(), m.Status)
			}
		}
	})
	t.Run("habit", func(t *testing.T) {
		s := enrolled(t, iPhone, &Habits{NotNow: 1_000_000, Locked: time.Hour})
		m, _ := s.command("1", apple.SecurityInfo{})
		if wait := s.d.Due().Sub(s.now); m.Status != protocol.NotNow || wait < 30*time.Minute || wait > 90*time.Minute {
			t.Errorf("%s for %s, want NotNow for an hour more or less by half", m.Status, wait)
		}
	})
}

func TestAPL059(t *testing.T) {
	for _, reborn := range []bool{false, true} {
		s := enrolled(t, iPhone, plainHabits)
		s.wake()
		m, _ := s.give("AAAA-1", mail("com.example.mail", "Mail"))
		if m.Status != protocol.Acknowledged || s.act.Request.Repeat {
			t.Fatalf("%s, repeat %v", m.Status, s.act.Request.Repeat)
		}
		want := string(s.act.Request.Body)
		for _, status := range []int{0, 503, 400, 404} {
			s.answer(status, nil)
			if s.act.Kind != Rest || s.act.Err == nil {
				t.Fatalf("after %d: %+v", status, s.act)
			}
			if reborn {
				s.reborn()
			}
			s.due()
			s.reported("AAAA-1")
			if string(s.act.Request.Body) != want || !s.act.Request.Repeat || s.act.Request.Command != "InstallProfile" {
				t.Errorf("after %d another report: %+v", status, s.act.Request)
			}
		}
		m, _ = s.give("AAAA-1", mail("com.example.mail", "Mail changed")) // HST-055: the server forgot that it was told
		if m.Status != protocol.Acknowledged {
			t.Errorf("again: %s", m.Status)
		}
		s.answer(200, nil)
		if p := s.d.Profiles(); len(p) != 2 || p[1].UUID != apple.NewProfile("com.example.mail", "Mail", protocol.Email).UUID {
			t.Errorf("the command was carried out twice: %v", p)
		}
		if s.d.Owes() || s.d.task != nil {
			t.Error("the report is kept after its 2xx")
		}
	}
}

// TestAPL059Contents: it is the report that is repeated, with all that it says, not only its status.
func TestAPL059Contents(t *testing.T) {
	for _, status := range []int{0, 400, 403, 404, 413, 429, 500, 503} {
		for _, reborn := range []bool{false, true} {
			s := enrolled(t, iPhone, plainHabits)
			s.command("AAAA-1", mail("com.example.mail", "Mail"))
			s.wake()
			m, _ := s.give("AAAA-2", apple.ProfileList{})
			want := string(s.act.Request.Body)
			if m.Status != protocol.Acknowledged || !strings.Contains(want, "com.example.mail") {
				t.Fatalf("%s: %s", m.Status, want)
			}
			s.answer(status, nil)
			if reborn {
				s.reborn()
			}
			s.due()
			s.reported("AAAA-2")
			if got := string(s.act.Request.Body); got != want {
				t.Errorf("after %d, reborn %t, another report: %s", status, reborn, got)
			}
		}
	}
}

func TestAPL060(t *testing.T) {
	all := []string{"UDID", "DeviceName", "OSVersion", "WiFiMAC", "iTunesStoreAccountIsActive", "NoSuchKey", "IsAppleSilicon"}
	for _, tt := range []struct {
		rights int64
		want   []string
	}{
		{apple.AllRights, []string{"UDID", "DeviceName", "OSVersion", "WiFiMAC", "iTunesStoreAccountIsActive"}},
		{apple.AllRights &^ apple.RightNetworkInfo, []string{"UDID", "DeviceName", "OSVersion", "iTunesStoreAccountIsActive"}},
		{apple.RightNetworkInfo, []string{"UDID", "WiFiMAC"}},
		{apple.RightInspectProfiles, []string{"UDID"}},
	} {
		s := enrolled(t, iPhone, plainHabits, func(p *apple.Profile) { p.Payloads[0].MDM.AccessRights = tt.rights })
		m, r := s.command("1", apple.DeviceInformation{Queries: all})
		if m.Status != protocol.Acknowledged {
			t.Fatalf("rights %d: %s", tt.rights, m.Status)
		}
		var got []string
		for _, key := range all {
			if _, ok := r.QueryResponses[key]; ok {
				got = append(got, key)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("rights %d: %q, want %q", tt.rights, got, tt.want)
		}
	}
	s := enrolled(t, iPhone, plainHabits)
	_, r := s.command("1", apple.DeviceInformation{Queries: []string{"OSVersion", "SerialNumber"}})
	if len(r.QueryResponses) != 2 || r.QueryResponses["OSVersion"] != "17.6" || r.QueryResponses["SerialNumber"] != "ROLLCALL0001" {
		t.Errorf("answers %v, want what was asked and nothing else", r.QueryResponses)
	}
}

func TestRightsOfCommands(t *testing.T) {
	for _, tt := range []struct {
		c     apple.Command
		right int64
	}{
		{apple.ProfileList{}, 1},
		{apple.CertificateList{}, 1},
		{mail("a", "A"), 2},
		{apple.RemoveProfile{Identifier: "a"}, 2},
		{apple.DeviceLock{}, 4},
		{apple.RestartDevice{}, 4},
		{apple.ShutDownDevice{}, 4},
		{apple.EraseDevice{}, 8},
		{apple.InstalledApplicationList{}, 256},
		{apple.SecurityInfo{}, 1024},
	} {
		rights := apple.AllRights &^ tt.right
		if tt.right == 1 {
			rights &^= 2 // to install needs to inspect
		}
		s := enrolled(t, iPhone, &Habits{Doubts: Doubts{NoRight: 99}}, func(p *apple.Profile) { p.Payloads[0].MDM.AccessRights = rights })
		m, _ := s.command("1", tt.c)
		if m.Status != protocol.Failed || len(m.ErrorChain) == 0 || m.ErrorChain[0].Code != 99 || m.ErrorChain[0].Domain != "MCMDMErrorDomain" {
			t.Errorf("%s without right %d: %s %+v", tt.c.RequestType(), tt.right, m.Status, m.ErrorChain)
		}
		if s.d.Phase() != agent.Enrolled {
			t.Errorf("%s was carried out without its right", tt.c.RequestType())
		}
	}
}

func TestAPL061(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits, func(p *apple.Profile) { p.Payloads[0].MDM.AccessRights = 1 })
	_, r := s.command("1", apple.ProfileList{})
	if len(r.ProfileList) != 1 {
		t.Fatalf("ProfileList: %+v", r.ProfileList)
	}
	p := r.ProfileList[0]
	if p.PayloadIdentifier != "com.example.mdm" || p.PayloadUUID != "AAAAAAAA-0000-4000-8000-000000000001" || len(p.PayloadContent) != 3 ||
		p.PayloadContent[0].PayloadType != apple.MDMPayload || p.PayloadContent[2].PayloadUUID != "AAAAAAAA-0000-4000-8000-000000000004" {
		t.Errorf("the MDM profile in ProfileList: %+v", p)
	}
	s.wake()
	m, _ := s.give("2", apple.RemoveProfile{Identifier: "com.example.mdm"}) // no right is needed
	if m.Status != protocol.Acknowledged || s.d.Phase() != agent.Enrolled {
		t.Fatalf("%s, phase %s; want it reported first", m.Status, s.d.Phase())
	}
	s.answer(200, nil)
	s.wants(CheckOut)
	s.answer(200, nil)
	s.rests()
	if s.d.Phase() != agent.Removed || s.d.Begin(s.now, Pushed, &s.act) {
		t.Errorf("phase %s, want removed", s.d.Phase())
	}
	s.enrol(s.profile(), 200) // and it can enrol again (AUTH-44)
}

func TestAPL062(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	install := func(c apple.InstallProfile, want protocol.Status) *apple.Message {
		t.Helper()
		s.now++
		m, _ := s.command(s.now.String(), c)
		if m.Status != want {
			t.Fatalf("InstallProfile: %s %+v, want %s", m.Status, m.ErrorChain, want)
		}
		return m
	}
	uuids := func() (list []string) {
		for _, p := range s.d.Profiles()[1:] {
			list = append(list, p.Identifier+" "+p.UUID)
		}
		return list
	}
	install(mail("com.example.a", "first"), protocol.Acknowledged)
	install(mail("com.example.b", "first"), protocol.Acknowledged)
	install(mail("com.example.a", "second"), protocol.Acknowledged)
	want := []string{
		"com.example.a " + apple.NewProfile("com.example.a", "second", protocol.Email).UUID,
		"com.example.b " + apple.NewProfile("com.example.b", "first", protocol.Email).UUID,
	}
	if got := uuids(); !slices.Equal(got, want) {
		t.Errorf("installed %q, want %q", got, want)
	}
	if f := s.d.Profiles()[1].Family; f != protocol.Email {
		t.Errorf("family %s", f)
	}
	s.d.habits = &Habits{ProfileFails: 1_000_000}
	m := install(mail("com.example.a", "third"), protocol.Failed)
	if len(m.ErrorChain) != 2 || m.ErrorChain[0].Code != 4001 || m.ErrorChain[0].Domain != "MCInstallationErrorDomain" {
		t.Errorf("chain %+v", m.ErrorChain)
	}
	install(apple.InstallProfile{Payload: []byte("<?xml nonsense")}, protocol.Failed)
	s.d.habits = plainHabits
	install(apple.InstallProfile{Payload: apple.EncodeProfile(&apple.Profile{Identifier: "com.example.mdm", UUID: "x"})}, protocol.Failed)
	scep := s.profile()
	install(apple.InstallProfile{Payload: apple.EncodeProfile(&apple.Profile{Identifier: "s", UUID: "x", Payloads: scep.Payloads[1:2]})}, protocol.Failed)
	if got := uuids(); !slices.Equal(got, want) {
		t.Errorf("after failures %q, want the old %q", got, want)
	}
	if m, _ := s.command("r1", apple.RemoveProfile{Identifier: "com.example.a"}); m.Status != protocol.Acknowledged {
		t.Errorf("RemoveProfile: %s", m.Status)
	}
	if m, _ := s.command("r2", apple.RemoveProfile{Identifier: "com.example.a"}); m.Status != protocol.Failed {
		t.Errorf("RemoveProfile again: %s", m.Status)
	}
	if got := uuids(); !slices.Equal(got, want[1:]) {
		t.Errorf("after removal %q, want %q", got, want[1:])
	}
}

func TestAPL063(t *testing.T) {
	for _, tt := range []struct {
		c     apple.Command
		phase agent.Phase
		off   bool
	}{
		{apple.EraseDevice{}, agent.Wiped, false},
		{apple.RestartDevice{}, agent.Enrolled, false},
		{apple.ShutDownDevice{}, agent.Enrolled, true},
	} {
		s := enrolled(t, iPhone, plainHabits)
		s.wake()
		m, _ := s.give("1", tt.c)
		if m.Status != protocol.Acknowledged || s.d.Phase() != agent.Enrolled || s.d.Off() {
			t.Fatalf("%s: %s, phase %s, off %v: want Acknowledged before anything is done", tt.c.RequestType(), m.Status, s.d.Phase(), s.d.Off())
		}
		s.answer(200, apple.EncodeCommand(nil, "2", apple.ProfileList{})) // it has gone down and takes no more
		s.rests()
		if s.d.Phase() != tt.phase || s.d.Off() != tt.off {
			t.Errorf("%s: phase %s, off %v; want %s, %v", tt.c.RequestType(), s.d.Phase(), s.d.Off(), tt.phase, tt.off)
		}
		if tt.off {
			_, _, magic := s.d.Push()
			if s.d.Woken(magic) || s.d.Begin(s.now, Pushed, &s.act) {
				t.Error("woken while off")
			}
			s.reborn()
			s.d.PowerOn(s.now)
			s.wake()
		}
	}
	s := enrolled(t, iPhone, plainHabits)
	s.wake()
	s.give("1", apple.EraseDevice{})
	s.lost()
	if s.d.Phase() != agent.Wiped || s.d.Begin(s.now, Scheduled, &s.act) {
		t.Errorf("phase %s: an erase is reported once, with no retry", s.d.Phase())
	}
}

func TestAPL109(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	_, _, magic := s.d.Push()
	for _, m := range []string{"", "x", magic + "x", "00000000-0000-0000-0000-000000000000"} {
		if s.d.Woken(m) {
			t.Errorf("woken by %q", m)
		}
	}
	if !s.d.Woken(magic) {
		t.Error("not woken by its own magic")
	}
	s.d.Begin(s.now, UserRemoves, &s.act)
	s.answer(200, nil)
	if s.d.Woken(magic) || s.d.Woken("00000000-0000-0000-0000-000000000000") {
		t.Error("woken after its enrolment ended")
	}
	s.enrol(s.profile(), 200) // HST-053: the next enrolment has another magic
	s.answer(200, nil)
	s.answer(200, nil)
	if s.d.Woken(magic) {
		t.Error("woken by the magic of the enrolment before")
	}
}

func TestOtherCommands(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	_, r := s.command("1", apple.CertificateList{})
	if len(r.CertificateList) != 2 || !r.CertificateList[0].IsIdentity || r.CertificateList[1].IsIdentity || r.CertificateList[1].CommonName != "test CA" {
		t.Errorf("CertificateList %+v", r.CertificateList)
	}
	_, r = s.command("2", apple.SecurityInfo{})
	if r.SecurityInfo == nil || r.SecurityInfo.HardwareEncryptionCaps == nil || *r.SecurityInfo.HardwareEncryptionCaps != 3 {
		t.Errorf("SecurityInfo %+v", r.SecurityInfo)
	}
	_, r = s.command("3", apple.InstalledApplicationList{Identifiers: []string{"com.example.maps"}, Items: []string{"Identifier", "Version"}})
	if len(r.InstalledApplicationList) != 1 || r.InstalledApplicationList[0] != (apple.ApplicationItem{Identifier: "com.example.maps", Version: "2"}) {
		t.Errorf("InstalledApplicationList %+v", r.InstalledApplicationList)
	}
	if _, r = s.command("4", apple.InstalledApplicationList{ManagedAppsOnly: true}); len(r.InstalledApplicationList) != 0 {
		t.Errorf("managed: %+v", r.InstalledApplicationList)
	}
	m, r := s.command("5", apple.DeviceLock{Message: "lost"})
	if m.Status != protocol.Acknowledged || r.MessageResult != "Success" {
		t.Errorf("DeviceLock: %s, %q", m.Status, r.MessageResult)
	}
	m, _ = s.command("6", apple.Unknown{Name: "ScheduleOSUpdate"})
	if m.Status != protocol.Failed || m.ErrorChain[0].Domain != "MCMDMErrorDomain" || m.ErrorChain[0].Code != 12021 {
		t.Errorf("unknown command: %s %+v", m.Status, m.ErrorChain)
	}
	if m, _ = s.command("7", apple.ClearPasscode{UnlockToken: s.d.unlockToken()}); m.Status != protocol.Acknowledged {
		t.Errorf("ClearPasscode: %s", m.Status)
	}
	if m, _ = s.command("8", apple.ClearPasscode{UnlockToken: []byte("x")}); m.Status != protocol.Failed {
		t.Errorf("ClearPasscode with another token: %s", m.Status)
	}
	s.wake()
	s.answer(200, []byte(`<plist version="1.0"><dict><key>CommandUUID</key><string>9</string><key>Command</key><dict><key>RequestType</key><string>InstallProfile</string></dict></dict></plist>`))
	if m, _ := s.reported("9"); m.Status != protocol.CommandFormatError {
		t.Errorf("InstallProfile without a payload: %s", m.Status)
	}

	mac := enrolled(t, mac13, &Habits{Locked: time.Hour})
	if m, _ := mac.command("1", apple.DeviceLock{PIN: "123"}); m.Status != protocol.Failed {
		t.Errorf("PIN of three characters: %s", m.Status)
	}
	if m, _ := mac.command("2", apple.DeviceLock{PIN: "123456"}); m.Status != protocol.Acknowledged || mac.d.busy <= mac.now {
		t.Errorf("DeviceLock: %s, locked until %s", m.Status, mac.d.busy)
	}
	mac.d.Lock(0)
	if _, r := mac.command("3", apple.SecurityInfo{}); r.SecurityInfo == nil || r.SecurityInfo.FDEEnabled == nil {
		t.Errorf("SecurityInfo of a Mac: %+v", r.SecurityInfo)
	}
	if _, r := mac.command("4", apple.DeviceInformation{Queries: []string{"IsAppleSilicon", "IMEI"}}); len(r.QueryResponses) != 1 {
		t.Errorf("DeviceInformation of a Mac: %v", r.QueryResponses)
	}
}

// A report's request says which command it is about, and which profile came or went with it.
func TestReportSaysWhatItIsAbout(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	first := apple.NewProfile("com.example.a", "first", protocol.Email).UUID
	for _, tt := range []struct {
		uuid             string
		command          apple.Command
		habits           *Habits
		profile, version string
		status           protocol.Status
	}{
		{"c1", mail("com.example.a", "first"), plainHabits, "com.example.a", first, protocol.Acknowledged},
		{"c2", apple.ProfileList{}, plainHabits, "", "", protocol.Acknowledged},
		{"c3", mail("com.example.b", "first"), &Habits{ProfileFails: 1_000_000}, "com.example.b", apple.NewProfile("com.example.b", "first", protocol.Email).UUID, protocol.Failed},
		{"c4", apple.InstallProfile{Payload: []byte("<?xml nonsense")}, plainHabits, "", "", protocol.Failed},
		{"c5", mail("com.example.b", "first"), &Habits{NotNow: 1_000_000}, "", "", protocol.NotNow},
		{"c6", apple.RemoveProfile{Identifier: "com.example.a"}, plainHabits, "com.example.a", "", protocol.Acknowledged},
		{"c6", apple.RemoveProfile{Identifier: "com.example.a"}, plainHabits, "", "", protocol.Acknowledged}, // carried out before
	} {
		s.d.habits, s.now = tt.habits, s.now+1
		s.wake()
		s.wants(Idle)
		s.give(tt.uuid, tt.command)
		if r := s.act.Request; r.UUID != tt.uuid || r.Profile != tt.profile || r.Version != tt.version || r.Status != tt.status {
			t.Errorf("%s %s is reported as %q, profile %q %q, %s; want %q %q, %s",
				tt.uuid, tt.command.RequestType(), r.UUID, r.Profile, r.Version, r.Status, tt.profile, tt.version, tt.status)
		}
		s.answer(200, nil)
	}
}

// TestHST120ProfilesAreBounded: a server puts no more of profiles onto a device than its state can hold. What is there stays, and a newer
// version takes the place of its older one.
func TestHST120ProfilesAreBounded(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	text := strings.Repeat("d", mostTexts/2-outlineSize*4)
	install := func(name, description string, want protocol.Status) {
		t.Helper()
		s.now++
		p := apple.NewProfile(name, "first", protocol.WiFi)
		p.Description = description
		if m, _ := s.command(s.now.String(), apple.InstallProfile{Payload: apple.EncodeProfile(p)}); m.Status != want {
			t.Fatalf("%s: %s %+v, want %s", name, m.Status, m.ErrorChain, want)
		}
	}
	install("a", text, protocol.Acknowledged)
	install("b", text, protocol.Acknowledged)
	install("c", text, protocol.Failed)
	install("a", text+"2", protocol.Acknowledged)
	install("d", text+text+text, protocol.Failed)
	if n := len(s.d.Profiles()); n != 3 {
		t.Errorf("%d profiles", n)
	}
	b, err := s.d.AppendBinary(nil)
	if err != nil || len(b) > 2*mostTexts {
		t.Errorf("its state has %d bytes, %v", len(b), err)
	}
}

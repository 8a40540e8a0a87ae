package dialect

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/protocol/windows"
)

// windows.md section 11: no key of a network and no password comes out of a device again.
func TestWindowsSecretsAreNotReturned(t *testing.T) {
	const (
		network = csps + "WiFi/Profile/lab/WlanXml"
		account = "./User/Vendor/MSFT/ActiveSync/Accounts/%7B1%7D/"
		xml     = `<WLANProfile><name>lab</name><w:keyMaterial a="b"><![CDATA[hush</x]]></w:keyMaterial></WLANProfile>`
	)
	s := managed(t, plainWindows)
	s.tell(on(windows.Add, network, xml), on(windows.Add, account+"Password", "hush"), on(windows.Add, account+"UserName", "ada"),
		on(windows.Add, csps+"ClientCertificateInstall/SCEP/a/Install/Challenge", "hush"))
	_, results := s.tell(on(windows.Get, network), on(windows.Get, account+"Password"), on(windows.Get, account+"UserName"),
		on(windows.Get, csps+"ClientCertificateInstall/SCEP/a/Install/Challenge"))
	if len(results) != 4 || results[1].Data != "********" || results[2].Data != "ada" || results[3].Data != "********" {
		t.Fatalf("%v", results)
	}
	if got := results[0].Data; got != `<WLANProfile><name>lab</name><w:keyMaterial a="b"></w:keyMaterial></WLANProfile>` {
		t.Error(got)
	}
	for _, x := range []string{"", "keyMaterial", "keyMaterialkeyMaterial", "</keyMaterial<keyMaterial>", "<keyMaterial>", "<open/>"} {
		if got := concealed(leaf{"Device/WiFi/Profile/lab/WlanXml", windows.FormatChr, x}).value; got != x {
			t.Errorf("%q has become %q", x, got)
		}
	}
	if v, _ := s.d.Setting(network); v != xml {
		t.Error("the device itself has lost its key")
	}
}

// windows.md section 4.1: what the provisioning document says of the provider is there to be read.
func TestWindowsKeepsProviderSettings(t *testing.T) {
	s := managed(t, plainWindows, func(p *windows.Provisioning) {
		p.DMClient.SkipUserStatus = true
		for _, name := range []string{
			"SignedEntDMID", "ExchangeID", "PublisherDeviceID", "HelpPhoneNumber", "HelpWebsite", "HelpEmailAddress", "SyncApplicationVersion",
			"AADResourceID", "CommercialID",
		} {
			p.DMClient.Other = append(p.DMClient.Other, windows.Parm{Name: name, Value: "1.0"})
		}
		for _, name := range []string{"RequireMessageSigning", "EnableOmaDmKeepAliveMessage", "AADSendDeviceToken"} {
			p.DMClient.Other = append(p.DMClient.Other, windows.Parm{Name: name, Value: "false", Datatype: "boolean"})
		}
	})
	at := csps + "DMClient/Provider/rollcall/"
	for name, want := range map[string]string{
		"SignedEntDMID": "1.0", "ExchangeID": "1.0", "PublisherDeviceID": "1.0", "HelpPhoneNumber": "1.0", "HelpWebsite": "1.0", "HelpEmailAddress": "1.0",
		"SyncApplicationVersion": "1.0", "AADResourceID": "1.0", "CommercialID": "1.0", "RequireMessageSigning": "false",
		"EnableOmaDmKeepAliveMessage": "false", "AADSendDeviceToken": "false", "FirstSyncStatus/SkipUserStatusPage": "true",
	} {
		if got, ok := s.d.Setting(at + name); !ok || got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// windows.md section 7: a lock that sets another PIN says which, and every kind of wipe is one.
func TestWindowsLockAndResetPIN(t *testing.T) {
	const reset, value = csps + "RemoteLock/LockAndResetPIN", csps + "RemoteLock/NewPINValue"
	s := managed(t, plainWindows)
	if got, _ := s.tell(on(windows.Get, value)); got != "404" {
		t.Error(got)
	}
	got, results := s.tell(on(windows.Exec, reset), on(windows.Get, value))
	if got != "200 200" || len(results[0].Data) != 6 {
		t.Fatalf("%s %v", got, results)
	}
	s.later(time.Minute)
	if _, again := s.tell(on(windows.Exec, reset), on(windows.Get, value)); again[0].Data == results[0].Data {
		t.Error("the same PIN again")
	}
	for _, h := range []*WindowsHabits{{NoPIN: true}, {Seal: "key"}} {
		s.d.Share(s.d.model, h)
		if got, _ := s.tell(on(windows.Exec, reset)); got != "405" {
			t.Errorf("%+v: %s", h, got)
		}
	}
	for _, kind := range []string{"doWipeCloud", "doWipeCloudPersistUserData", "doWipeCloudPersistProvisionedData"} {
		s := managed(t, plainWindows)
		if got, _ := s.tell(on(windows.Exec, csps+"RemoteWipe/"+kind)); got != "200" {
			t.Error(kind, got)
		}
		s.says()
		if s.d.Phase() == agent.Enrolled {
			t.Errorf("%s wiped nothing", kind)
		}
	}
}

// windows.md section 11: what has become of a PFX, its Status says.
func TestWindowsPFXStatus(t *testing.T) {
	s := managed(t, plainWindows)
	at := csps + "ClientCertificateInstall/PFXCertInstall/mail"
	if got, _ := s.tell(on(windows.Add, at+"/KeyLocation", "3", windows.FormatInt), on(windows.Get, at+"/Status")); got != "200 404" {
		t.Error(got)
	}
	got, results := s.tell(on(windows.Add, at+"/PFXCertBlob", "AAAA", windows.FormatB64), on(windows.Get, at+"/Status"), on(windows.Get, at),
		on(windows.Replace, at+"/Status", "1", windows.FormatInt))
	if got != "200 200 200 405" || results[0].Data != "0" || !strings.Contains(results[1].Data, "Status") {
		t.Errorf("%s %v", got, results)
	}
}

// windows.md section 8: a channel is one of a PFN; without one there is none, and another wants another.
func TestWindowsChannelOfPFN(t *testing.T) {
	s := managed(t, plainWindows)
	pfn, channel := csps+"DMClient/Provider/rollcall/Push/PFN", csps+"DMClient/Provider/rollcall/Push/ChannelURI"
	has := func(uri string, change windows.Command) {
		t.Helper()
		s.d.SetChannel(s.now, "https://a.notify.windows.com/1", PushReady)
		s.tell(change)
		if _, results := s.tell(on(windows.Get, channel)); results[0].Data != uri || s.d.Woken("https://a.notify.windows.com/1") != (uri != "") {
			t.Errorf("after %s %s: %v", change.Verb, change.Items[0].Data, results)
		}
	}
	has("https://a.notify.windows.com/1", on(windows.Replace, pfn, "Rollcall.Test_1234"))
	has("", on(windows.Replace, pfn, "Other.Test_1234"))
	if s.d.ChannelDue() != 1 {
		t.Error("it wants no channel for the other name")
	}
	has("", on(windows.Delete, pfn))
	if s.d.ChannelDue() != 0 {
		t.Error("it wants a channel for nobody")
	}
}

// windows.md section 8: the sets of a user's sessions hold while that user is signed in, and beside the others.
func TestWIN057UserPoll(t *testing.T) {
	s := managed(t, plainWindows, func(p *windows.Provisioning) {
		p.DMClient.Poll.OnLogin, p.DMClient.Poll.AllUsersOnFirstLogin = false, false
	})
	start := s.now
	due := func(want time.Duration) {
		t.Helper()
		if got := s.d.Due().Sub(start); got != want {
			t.Errorf("due after %s, want %s", got, want)
		}
	}
	node := csps + "DMClient/Provider/rollcall/MultipleSession/"
	s.later(14 * time.Minute)
	s.tell(on(windows.Add, node+"IntervalForScheduledRetriesForUserSession", "10", windows.FormatInt),
		on(windows.Add, node+"NumberOfScheduledRetriesForUserSession", "2", windows.FormatInt))
	s.ends()
	due(15 * time.Minute) // the sooner of the two
	s.later(time.Minute)
	s.begin(Scheduled)
	s.ends()
	due(20 * time.Minute)
	s.later(5 * time.Minute)
	s.begin(Scheduled)
	s.ends()
	due(30 * time.Minute) // the user's two are over
	s.tell(on(windows.Replace, node+"NumberOfScheduledRetriesForUserSession", "0", windows.FormatInt),
		on(windows.Replace, node+"IntervalForScheduledRetriesForUserSession", "4", windows.FormatInt))
	s.ends()
	due(24 * time.Minute)
	s.d.SignIn(s.now, LoginNone)
	s.later(4 * time.Minute)
	s.begin(Scheduled)
	s.ends()
	due(30 * time.Minute)
	s.d.SignIn(s.now, LoginUser)
	due(28 * time.Minute)
}

// windows.md section 4.1: the status page and the last page of an enrolment are settings like any other, whatever the document said of them.
func TestWindowsKeepsEnrolmentPages(t *testing.T) {
	s := managed(t, plainWindows, func(p *windows.Provisioning) {
		p.DMClient.SkipUserStatus = true
		p.DMClient.Other = []windows.Parm{
			{Name: "CustomEnrollmentCompletePage/Title", Value: "Welcome", Datatype: windows.DatatypeString},
			{Name: "FirstSyncStatus/TimeOutUntilSyncFailure", Value: "90", Datatype: windows.DatatypeInteger},
			{Name: "FirstSyncStatus/ExpectedPolicies", Value: "./Device/Vendor/MSFT/Policy", Datatype: windows.DatatypeString},
		}
	})
	at := csps + "DMClient/Provider/rollcall/"
	codes, results := s.tell(on(windows.Get, at+"CustomEnrollmentCompletePage/Title"), on(windows.Get, at+"FirstSyncStatus/TimeOutUntilSyncFailure"),
		on(windows.Get, at+"FirstSyncStatus/SkipUserStatusPage"), on(windows.Get, at+"FirstSyncStatus"),
		on(windows.Add, at+"FirstSyncStatus/ServerHasFinishedProvisioning", "true", windows.FormatBool),
		on(windows.Replace, at+"FirstSyncStatus/TimeOutUntilSyncFailure", "soon", windows.FormatInt),
		on(windows.Add, at+"FirstSyncStatus/Other", "1"))
	if codes != "200 200 200 200 200 415 404" || len(results) != 4 || results[0].Data != "Welcome" || results[1].Data != "90" || results[2].Data != "true" ||
		results[3].Data != "ExpectedPolicies/SkipUserStatusPage/TimeOutUntilSyncFailure" {
		t.Errorf("%s %+v", codes, results)
	}
}

// windows.md section 4.2: what keeps a device from beginning at all.
func TestWindowsEnrolmentCodes(t *testing.T) {
	start := WindowsStart{Email: "ada@example", Credential: windows.Credential{Kind: windows.JWT, Token: []byte("a.b.c")}}
	for _, tt := range []struct {
		code   windows.HRESULT
		habits *WindowsHabits
		start  WindowsStart
	}{
		{windows.EManagementBlocked, &WindowsHabits{Blocked: true}, winStart},
		{windows.EManagementUnconfigured, plainWindows, start},
	} {
		s := newWinScene(t, tt.habits)
		if err := s.d.Enrol(s.now, tt.start, &s.act); !errors.Is(err, tt.code) || s.act.Kind != Rest || s.d.winTask != nil {
			t.Errorf("%v, act %d, want %s", err, s.act.Kind, tt.code)
		}
	}
	if start.Discovery = winDiscovery; newWinScene(t, plainWindows).d.Enrol(noon, start, new(Act)) != nil {
		t.Error("a directory that names a server is refused")
	}
}

// A register is a directory that says whose token it is asked for.
type register struct{ silent bool }

func (r register) Token(upn, device string) (string, error) {
	if r.silent {
		return "", errors.New("no token")
	}
	return upn + "@" + device, nil
}

// windows.md section 9: AADDeviceID, and the tokens that a device of a directory shows where its server asks for them.
func TestWindowsDirectoryTokens(t *testing.T) {
	at := csps + "DMClient/Provider/rollcall/"
	of := func(id string, h *WindowsHabits) *winScene {
		s := newWinScene(t, h)
		s.d.SignIn(s.now, LoginUser)
		start := winStart
		start.Directory = id
		s.certify(start)
		s.provision(s.provisioning(s.issue()))
		s.ends()
		return s
	}
	shows := func(s *winScene, bearer, device string) {
		t.Helper()
		s.begin(Synced)
		if r := s.act.Request; r.Bearer != bearer || r.DeviceToken != device {
			t.Errorf("it shows %q and %q, want %q and %q", r.Bearer, r.DeviceToken, bearer, device)
		}
	}
	s := of("dev1", &WindowsHabits{Directory: register{}})
	shows(s, "", "")
	codes, results := s.tell(on(windows.Get, at+"AADDeviceID"), on(windows.Replace, at+"AADDeviceID", "x"),
		on(windows.Add, at+"AADResourceID", "https://mdm.example"), on(windows.Add, at+"AADSendDeviceToken", "true", windows.FormatBool))
	if codes != "200 405 200 200" || results[0].Data != "dev1" {
		t.Errorf("%s %v", codes, results)
	}
	s.ends()
	shows(s, "ada@example@dev1", "")
	s.tell(on(windows.Add, at+"ForceAadToken", "3", windows.FormatInt))
	s.ends()
	shows(s, "ada@example@dev1", "@dev1")
	s.ends()
	s.d.SignIn(s.now, LoginOther) // whose token is nobody's business
	shows(s, "@dev1", "@dev1")
	s.tell(on(windows.Replace, at+"ForceAadToken", "4", windows.FormatInt), on(windows.Delete, at+"AADSendDeviceToken"))
	s.ends()
	shows(s, "@dev1", "") // as by AADSendDeviceToken
	s.tell(on(windows.Replace, at+"ForceAadToken", "10", windows.FormatInt))
	s.ends()
	shows(s, "", "") // both are reserved
	s.tell(on(windows.Delete, at+"AADResourceID"), on(windows.Add, at+"AADSendDeviceToken", "true", windows.FormatBool))
	s.ends()
	shows(s, "", "") // for whom, nobody has said

	for name, s := range map[string]*winScene{
		"in no directory": of("", &WindowsHabits{Directory: register{}}), "no directory": of("dev1", plainWindows), "no token": of("dev1", &WindowsHabits{Directory: register{silent: true}}),
	} {
		t.Run(name, func(t *testing.T) {
			s.tell(on(windows.Add, at+"AADResourceID", "x"), on(windows.Add, at+"ForceAadToken", "1", windows.FormatInt))
			s.ends()
			shows(s, "", "")
		})
	}
	s = of("", plainWindows)
	if codes, _ := s.tell(on(windows.Get, at+"AADDeviceID")); codes != "404" {
		t.Errorf("a device of no directory answers %s", codes)
	}
}

// windows.md section 9: CSPVersions is XML that names the settings that there are.
func TestWindowsCSPVersions(t *testing.T) {
	s := managed(t, plainWindows)
	_, results := s.tell(on(windows.Get, csps+"DeviceManageability/Capabilities/CSPVersions"))
	var said struct {
		CSP []struct {
			Node, Version string `xml:",attr"`
		} `xml:"Capabilities>CSPVersions>CSP"`
	}
	if err := xml.Unmarshal([]byte(results[0].Data), &said); err != nil {
		t.Fatal(err)
	}
	s.ends()
	known := map[string]bool{}
	for _, c := range said.CSP {
		known[c.Node] = c.Version != ""
		if codes, _ := s.tell(on(windows.Get, c.Node)); codes != "200" && codes != "406" && codes != "404" {
			t.Errorf("%s answers %s", c.Node, codes)
		}
		s.ends()
	}
	for _, want := range []string{"./DevInfo", "./DevDetail", "./Device/Vendor/MSFT/DMClient", "./User/Vendor/MSFT/ActiveSync"} {
		if !known[want] {
			t.Errorf("%s is not among %v", want, known)
		}
	}
}

// windows.md section 10: of several addresses the next one is taken after each failure, of whatever sort, and kept while it serves.
func TestWindowsNextAddress(t *testing.T) {
	s := managed(t, plainWindows)
	s.tell(on(windows.Replace, csps+"DMClient/Provider/rollcall/ManagementServerAddressList", "<https://a.example/x><https://b.example/x><https://c.example/x>"))
	s.ends()
	goes := func(host string) {
		t.Helper()
		s.begin(Synced)
		if got := s.act.Request.URL; !strings.HasPrefix(got, "https://"+host+".example/x?") {
			t.Errorf("goes to %s, want %s", got, host)
		}
	}
	goes("a")
	s.answer(503, nil)
	goes("b")
	s.answer(0, nil)
	goes("c")
	s.answer(200, []byte("<html>"))
	goes("a")
	s.answer(404, nil)
	goes("b")
	s.ends()
	goes("a")
}

// windows.md section 10: NodeCache lets a server read only what is not as it expects.
func TestWindowsChangedNodes(t *testing.T) {
	s := managed(t, plainWindows)
	const cache = csps + "NodeCache/rollcall"
	node := func(n, uri, expected string) windows.Command {
		list := []windows.Command{on(windows.Add, cache+"/Nodes/"+n, "", windows.FormatNode)}
		if uri != "" {
			list = append(list, on(windows.Add, cache+"/Nodes/"+n+"/NodeURI", uri))
		}
		if expected != "" {
			list = append(list, on(windows.Add, cache+"/Nodes/"+n+"/ExpectedValue", expected))
		}
		return windows.Command{Verb: windows.Sequence, Commands: list}
	}
	changed := func(want string, commands ...windows.Command) {
		t.Helper()
		codes, results := s.tell(append(commands, on(windows.Get, cache+"/ChangedNodes"))...)
		if len(results) == 0 || results[len(results)-1].Data != want {
			t.Errorf("%s %v, want %q", codes, results, want)
		}
		s.ends()
	}
	name := "./DevDetail/Ext/Microsoft/DeviceName"
	policy := csps + "Policy/Config/Camera/AllowCamera"
	changed("", on(windows.Add, cache, "", windows.FormatNode), on(windows.Add, cache+"/Nodes", "", windows.FormatNode))
	changed("n2,n3,n4,n5,n6", node("n6", csps+"DeviceStatus/DomainName", ""), node("n1", name, "SIM-0001"), node("n2", name, "OTHER"), node("n3", policy, "1"), node("n4", "", "1"), node("n5", cache+"/ChangedNodes", "n5"))
	changed("n2,n4,n5,n6", on(windows.Add, policy, "1", windows.FormatInt))
	changed("n4,n5,n6", on(windows.Replace, cache+"/Nodes/n2/AutoSetExpectedValue", ""))
	changed("n3,n4,n5,n6", on(windows.Replace, policy, "0", windows.FormatInt))
	if codes, _ := s.tell(on(windows.Replace, cache+"/ChangedNodes", "x"), on(windows.Get, csps+"NodeCache/other/ChangedNodes")); codes != "405 404" {
		t.Error(codes)
	}
}

// windows.md section 10: a device that takes longer than its server waits loses the session, or keeps it alive where it was told to.
func TestWindowsKeepAlive(t *testing.T) {
	s := managed(t, &WindowsHabits{Slow: 2})
	at := csps + "DMClient/Provider/rollcall/EnableOmaDmKeepAliveMessage"
	s.begin(Synced)
	s.says(on(windows.Add, at, "true", windows.FormatBool), on(windows.Add, csps+"WiFi/Profile/a/WlanXml", "x"))
	s.works()
	s.says()
	s.works()
	s.says()
	if codes, _ := s.codes(); codes != "200 200" || s.body.Commands[1].MsgRef != 1 || s.body.Header.MsgID != 4 {
		t.Errorf("%s %+v", codes, s.body)
	}
	if s.act.Request.Answered != 2 || len(s.act.Request.Orders) == 0 {
		t.Errorf("%+v", s.act.Request)
	}
	s.ends()
	s.begin(Synced)
	s.says(on(windows.Get, at))
	s.works()
	s.says(on(windows.Get, at))
	if s.act.Kind != Rest || !strings.Contains(s.act.Err.Error(), errImpatient.Error()) {
		t.Errorf("commands while it is at work: %v", s.act.Err)
	}
	s.d.habits = &WindowsHabits{}
	s.tell(on(windows.Replace, at, "false", windows.FormatBool))
	s.ends()
	s.d.habits = &WindowsHabits{Slow: 1}
	s.begin(Synced)
	s.says(on(windows.Get, at))
	if s.act.Kind != Rest || s.act.Err == nil || s.d.Phase() != agent.Enrolled || s.d.Due() == 0 {
		t.Errorf("the session outlives a device that is too slow: %v", s.act.Err)
	}
}

// works checks that the device says only that it is still at the server's commands.
func (s *winScene) works() {
	s.Helper()
	m := s.hears()
	if len(m.Commands) != 1 || m.Commands[0].Code != windows.ClientEvent || m.Commands[0].Items[0].Meta.Type != windows.TypeRequestPends || !m.Final {
		s.Fatalf("%+v", m.Commands)
	}
}

// windows.md section 6: a session of the user's alone, by the user's own poll sets, says so and takes nothing of the device's.
func TestWindowsSyncTypeUser(t *testing.T) {
	s := managed(t, plainWindows)
	node := csps + "DMClient/Provider/rollcall/MultipleSession/"
	s.tell(on(windows.Add, node+"IntervalForScheduledRetriesForUserSession", "1", windows.FormatInt), on(windows.Add, node+"NumberOfScheduledRetriesForUserSession", "0", windows.FormatInt))
	s.ends()
	says := func() string {
		for _, c := range s.hears().Commands {
			for _, i := range c.Items {
				if i.Meta.Type == windows.TypeSyncType {
					return i.Data
				}
			}
		}
		return ""
	}
	if s.begin(Synced); says() != "" {
		t.Errorf("a session of the device's says %q", says())
	}
	s.ends()
	s.later(time.Minute)
	if s.begin(Scheduled); says() != windows.SyncUser {
		t.Fatalf("the user's session says %q", says())
	}
	const user, machine = "./User/Vendor/MSFT/Policy/Config/A/B", csps + "Policy/Config/A/B"
	if codes, _ := s.tell(on(windows.Add, user, "1"), on(windows.Add, machine, "1"), on(windows.Get, "./DevInfo/Mod"),
		atomic(on(windows.Add, user+"C", "1"), on(windows.Add, machine, "1"), on(windows.Add, user+"D", "1"))); codes != "200 405 405 507 216 405 215" {
		t.Error(codes)
	}
	s.ends()
	s.later(2 * time.Minute) // its own set is due as well
	if s.begin(Scheduled); says() != "" {
		t.Error("the device's own session is the user's alone")
	}
	s.ends()
	s.later(time.Minute)
	s.d.SignIn(s.now, LoginNone)
	if s.begin(Scheduled); says() != "" {
		t.Error("a session of a user who has gone")
	}
}

// windows.md section 11: to add an account of ActiveSync that is there deletes it, even where all else is rolled back; leaves are replaced.
func TestWindowsActiveSyncAddedAgain(t *testing.T) {
	const at = "./User/Vendor/MSFT/ActiveSync/Accounts/%7B1%7D"
	account := func(v windows.Verb) windows.Command {
		return atomic(on(v, at+"/EmailAddress", "ada@example"), on(v, at+"/ServerName", "mail.example"))
	}
	s := managed(t, plainWindows)
	there := func(want bool, codes string, commands ...windows.Command) {
		t.Helper()
		got, _ := s.tell(commands...)
		_, is := s.d.Setting(at + "/EmailAddress")
		known := s.d.core.Find(id("User/ActiveSync/Accounts/%7B1%7D")) >= 0
		if got != codes || is != want || known != want || (len(s.d.Profiles()) > 0) != want {
			t.Errorf("%s, there %v, profiles %v; want %s, %v", got, is, s.d.Profiles(), codes, want)
		}
		s.ends()
	}
	there(true, "200 200 200", account(windows.Add))
	there(true, "200 200 200", account(windows.Replace))
	there(true, "200", on(windows.Add, at+"/Domain", "example")) // a leaf that was not there
	there(false, "507 418 215", account(windows.Add))
	there(true, "200 200 200", account(windows.Add))
	there(false, "418", on(windows.Add, at, "", windows.FormatNode))
	there(true, "200 200 200", account(windows.Add))
	there(true, "418 200 200 200", on(windows.Add, at+"/EmailAddress", "ada@example"), account(windows.Add))
}

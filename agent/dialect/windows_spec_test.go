package dialect

import (
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

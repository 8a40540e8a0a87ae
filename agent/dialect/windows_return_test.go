package dialect

import (
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// TestWIN061Returns: a device whose identity had ended, and that renews it all the same, comes at once, and by its schedule from then on.
func TestWIN061Returns(t *testing.T) {
	s := managed(t, plainWindows)
	s.tell(on(windows.Add, csps+"CertificateStore/MY/WSTEP/Renew/RetryAfterExpiryInterval", "10", windows.FormatInt))
	s.ends()
	s.now = s.d.core.Identity().NotAfter + 1
	if !s.d.Begin(s.now, Scheduled, &s.act) {
		t.Fatalf("no renewal: %v", s.act.Err)
	}
	s.soap(&found)
	s.request()
	s.provision(&windows.Provisioning{Client: s.issue().Raw, Store: windows.StoreUser, Application: windows.Application{ProviderID: "rollcall"}})
	s.rests()
	if due := s.d.Due(); due == 0 || due > s.now {
		t.Fatalf("with its new identity it comes at %s, and it is %s", due, s.now)
	}
	if !s.d.Begin(s.now, Scheduled, &s.act) {
		t.Fatal("it does not come")
	}
	s.ends()
	if due := s.d.Due(); due <= s.now || due > s.now.Add(8*time.Hour) {
		t.Errorf("then it comes at %s, and it is %s", due, s.now)
	}
}

// TestWIN055Mailbox: an account of POP or IMAP is a profile as any: it is counted as one, and leaves with its authority.
func TestWIN055Mailbox(t *testing.T) {
	const account = "./User/Vendor/MSFT/EMAIL2/%7B10C8E3E5%7D"
	s := managed(t, plainWindows)
	s.d.SignIn(s.now, LoginUser)
	if codes, _ := s.tell(on(windows.Add, account+"/INSERVER", "mail.example"), on(windows.Add, account+"/SERVICETYPE", "IMAP4")); codes != "200 200" {
		t.Fatal(codes)
	}
	s.ends()
	if list := s.d.Profiles(); len(list) != 1 || list[0].Family != protocol.Email || !strings.HasPrefix(list[0].Node, "./User/Vendor/MSFT/EMAIL2/") || list[0].Content == 0 {
		t.Fatalf("profiles %+v", list)
	}
	s.later(time.Hour)
	changed := s.now.Add(-time.Minute)
	changed -= changed % 1_000_000
	notice := windows.NoticeWords(protocol.Intune, protocol.Notice{Epoch: 2, ChangedAt: changed, Rule: protocol.RuleSevenDays})
	s.tell(on(windows.Replace, csps+"DeviceManageability/Provider/rollcall/ConfigInfo", notice, windows.FormatChr))
	s.ends()
	if s.d.Expire(changed.Add(7 * day)); len(s.d.Profiles()) != 0 {
		t.Errorf("WIN-072: after seven days it has %+v", s.d.Profiles())
	}
}

// TestWindowsSignInKept: who was signed in once is known after a restart too: AllUsersPollOnFirstLogin is of the first time.
func TestWindowsSignInKept(t *testing.T) {
	s := newWinScene(t, plainWindows)
	s.certify(winStart)
	s.provision(s.provisioning(s.issue(), func(p *windows.Provisioning) {
		p.DMClient.Poll.OnLogin, p.DMClient.Poll.AllUsersOnFirstLogin = false, true
	}))
	s.ends()
	s.d.SignIn(s.now, LoginOther)
	b, err := s.d.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var d Windows
	if err := d.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	d.Share(desktop, plainWindows)
	for _, tt := range []struct {
		who  Login
		want bool
	}{{LoginOther, false}, {LoginUser, true}} {
		d.scheduled(s.now)
		if d.SignIn(s.now, tt.who); (d.Due() == s.now) != tt.want {
			t.Errorf("login %d: due %s, and it is %s", tt.who, d.Due(), s.now)
		}
	}
}

// TestWindowsMAC: the address of its network card, as real devices write it in a node (windows.md section 11).
func TestWindowsMAC(t *testing.T) {
	s := managed(t, plainWindows)
	if codes, results := s.tell(on(windows.Get, "./DevDetail/Ext/WLANMACAddress")); codes != "200" || results[0].Data != "020000000001" {
		t.Errorf("%s: %+v", codes, results)
	}
}

// TestWIN045SessionID: a session's id has four characters at most, whatever number of session it is, and is hexadecimal by a version, not by
// how that is spelled (MS-MDM).
func TestWIN045SessionID(t *testing.T) {
	s := managed(t, plainWindows)
	for _, tt := range []struct {
		version string
		after   uint16
		want    string
	}{{"", 9998, "9999"}, {"", 9999, "0"}, {"", 65534, "5535"}, {"1.0", 254, "255"}, {"2.0", 254, "FF"}, {"10.0", 254, "FF"}, {"3", 65534, "FFFF"}} {
		s.d.tree = s.d.tree.with(leaf{s.d.node("SyncApplicationVersion"), windows.FormatChr, tt.version})
		s.d.sessions = tt.after
		s.begin(Synced)
		if got := s.hears().Header.SessionID; got != tt.want {
			t.Errorf("version %q, session %d: %s, want %s", tt.version, int(tt.after)+1, got, tt.want)
		}
		s.ends()
	}
}

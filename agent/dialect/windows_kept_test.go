package dialect

import (
	"testing"
	"time"

	"rollcall/protocol/windows"
)

// A session goes on where its server says, but never without TLS (RespURI; HST-120).
func TestWindowsRespURI(t *testing.T) {
	const other = "https://other.example/ManagementServer/MDM.svc"
	for uri, follows := range map[string]bool{other: true, "http://other.example/ManagementServer/MDM.svc": false, "": false} {
		s := managed(t, plainWindows)
		s.begin(Synced)
		want := s.act.Request.URL
		if follows {
			want = other
		}
		h := windows.SyncHdr{SessionID: s.hears().Header.SessionID, MsgID: 1, Target: winID, Source: winServer, RespURI: uri}
		get := on(windows.Get, "./DevInfo/Mod")
		get.CmdID = 5
		s.answer(200, windows.EncodeMessage(nil, &windows.Message{Header: h, Final: true, Commands: []windows.Command{get}}))
		if s.wants(Session); s.act.Request.URL != want {
			t.Errorf("after RespURI %q the device goes on at %s, want %s", uri, s.act.Request.URL, want)
		}
	}
}

// The silence of a server is counted from the last message of its that the device took (WIN-059).
func TestWIN059HeardSince(t *testing.T) {
	s := managed(t, plainWindows, func(p *windows.Provisioning) { p.DMClient.LostContactDays = 3 })
	enrolled := s.now
	s.later(2 * day)
	s.begin(Synced)
	s.ends()
	if got, want := s.d.lost(), s.now.Add(3*day); got != want {
		t.Errorf("it gives its server up at %s, want %s: heard at %s, enrolled at %s", got, want, s.now, enrolled)
	}
	s.later(time.Hour)
	s.begin(Synced)
	s.answer(503, nil)
	if got, want := s.d.lost(), s.now.Add(3*day-time.Hour); got != want {
		t.Errorf("after an answer that is none it gives its server up at %s, want %s", got, want)
	}
}

// The signed-in user's own sets hold where those of the device have run out (windows.md section 6).
func TestWindowsUserPollAlone(t *testing.T) {
	s := managed(t, plainWindows, func(p *windows.Provisioning) {
		p.DMClient.Poll = windows.Poll{First: windows.PollSet{Interval: 1, Retries: 1}}
	})
	node := csps + "DMClient/Provider/rollcall/MultipleSession/"
	s.later(time.Hour)
	if s.begin(Synced); s.act.Kind != Send {
		t.Fatal("no session")
	}
	s.ends()
	if s.d.next != 0 {
		t.Fatalf("its own sets have it come at %s", s.d.next)
	}
	s.tell(on(windows.Add, node+"IntervalForScheduledRetriesForUserSession", "30", windows.FormatInt), on(windows.Add, node+"NumberOfScheduledRetriesForUserSession", "0", windows.FormatInt))
	s.ends()
	if want := s.now.Add(30 * time.Minute); s.d.next != want {
		t.Errorf("the user's have it come at %s, want %s", s.d.next, want)
	}
}

// A renewed certificate goes where the one before is: a document for the other store is none of this identity's (WIN-063).
func TestWIN063DeviceStore(t *testing.T) {
	for store, taken := range map[windows.Store]bool{windows.StoreUser: true, windows.StoreSystem: false} {
		s := managed(t, plainWindows)
		s.now = s.d.renewal.due
		s.d.next = 0
		if !s.d.Begin(s.now, Scheduled, &s.act) {
			t.Fatal("no renewal")
		}
		s.soap(&found)
		s.request()
		was := string(s.d.Certificate(Current))
		s.provision(s.provisioning(s.issue(), func(p *windows.Provisioning) { p.DMClient, p.Renewal, p.Store = nil, nil, store }))
		if got := string(s.d.Certificate(Current)) != was; got != taken {
			t.Errorf("a certificate for the store %s is taken: %t (%v)", store, got, s.act.Err)
		}
	}
}

// However often a server wants it, a renewal that failed is tried again after a day at the earliest (WIN-061).
func TestWIN061AtMostDaily(t *testing.T) {
	s := managed(t, plainWindows)
	s.tell(on(windows.Replace, csps+"CertificateStore/MY/WSTEP/Renew/RetryInterval", "0", windows.FormatInt))
	s.ends()
	failed := s.d.renewal.due
	s.d.renewAfter(failed)
	if got, want := s.d.renewal.due, failed.Add(day); got != want {
		t.Errorf("after a failure at %s it is tried again at %s, want %s", failed, got, want)
	}
}

// A LocURI has so many bytes and no more (windows.md section 6.1).
func TestWindowsLongURI(t *testing.T) {
	s := managed(t, plainWindows)
	uri := func(n int) string {
		b := []byte(csps + "Policy/Config/A/")
		for len(b) < n {
			b = append(b, 'x')
		}
		return string(b)
	}
	if codes, _ := s.tell(on(windows.Add, uri(maxURI), "1"), on(windows.Add, uri(maxURI+1), "1")); codes != "200 414" {
		t.Errorf("nodes of %d bytes and one more: %s", maxURI, codes)
	}
}

package dialect

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// keptWindows are devices in several states, as bytes.
func keptWindows(t testing.TB) map[string][]byte {
	t.Helper()
	kept := map[string][]byte{}
	keep := func(name string, d *Windows) {
		b, err := d.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		kept[name] = b
	}
	keep("new", newWinScene(t, plainWindows).d)
	s := newWinScene(t, plainWindows)
	s.certify(winStart)
	keep("enrolling", s.d)
	s = managed(t, plainWindows)
	s.d.SetChannel(s.now, "https://wns.notify.windows.com/?token=a", PushReady)
	s.d.SetCoManaged(s.now, 67)
	s.tell(on(windows.Add, csps+"WiFi/Profile/a-b/WlanXml", "x"), on(windows.Add, csps+"WiFi/Profile/a/WlanXml", "<&>"))
	s.ends()
	keep("enrolled", s.d)
	s.begin(Synced)
	keep("talking", s.d)
	s.says(on(windows.Exec, csps+"RemoteWipe/doWipe"))
	keep("wiping", s.d)
	s.says()
	keep("wiped", s.d)
	return kept
}

// A device that was kept is the same device: it goes on where it was, and a conversation that was under way comes again.
func TestWindowsKept(t *testing.T) {
	for name, b := range keptWindows(t) {
		var d Windows
		if err := d.UnmarshalBinary(b); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d.Share(desktop, plainWindows)
		if again, err := d.AppendBinary(nil); err != nil || !bytes.Equal(again, b) && name != "talking" && name != "wiping" {
			t.Errorf("%s: another device, %v", name, err)
		}
		s := newWinScene(t, plainWindows)
		s.d = &d
		switch name {
		case "new", "enrolling", "wiped":
			if d.bonded() || d.Due() != 0 || d.Who().Name != "SIM-0001" {
				t.Errorf("%s: %+v", name, d)
			}
			s.certify(winStart)
		case "enrolled", "talking":
			if _, err := d.Signer(Current); err != nil || len(d.Profiles()) != 2 || d.Due() == 0 {
				t.Errorf("%s: %v, %v, due %s", name, err, d.Profiles(), d.Due())
			}
			if got, _ := s.tell(on(windows.Get, csps+"WiFi/Profile/a/WlanXml")); got != "200" {
				t.Errorf("%s: %s", name, got)
			}
			s.ends()
		case "wiping": // the order is carried out, though the session was cut off
			s.now = d.Due()
			s.begin(Scheduled)
			s.ends()
			if d.Phase() != agent.Wiped {
				t.Errorf("%s: %s", name, d.Phase())
			}
		}
		for n := range b { // HST-121
			if err := new(Windows).UnmarshalBinary(b[:n]); !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("%s: %d of %d bytes: %v", name, n, len(b), err)
			}
		}
	}
}

// FuzzWindowsBinary: whatever is still taken for a device can live with what it then is.
func FuzzWindowsBinary(f *testing.F) {
	for _, b := range keptWindows(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d, e Windows
		if err := d.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		once, err := d.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.UnmarshalBinary(once); err != nil {
			t.Fatal(err)
		}
		if twice, _ := e.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatal("decode of encode differs")
		}
		d.Share(desktop, plainWindows)
		_, _, _ = d.Profiles(), d.Due(), d.Identity()
		var act Act
		for _, why := range []Why{Scheduled, Synced} {
			if d.Begin(noon.Add(time.Hour), why, &act) {
				d.Answer(noon.Add(time.Hour), &Response{Status: 200}, &act)
			}
		}
	})
}

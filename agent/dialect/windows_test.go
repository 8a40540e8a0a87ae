package dialect

import (
	"errors"
	"testing"

	"rollcall/protocol/windows"
)

// The whole way once: enrolment, the first session with commands, the end.
func TestWindowsEnrols(t *testing.T) {
	s := managed(t, plainWindows)
	codes, results := s.tell(on(windows.Get, "./DevInfo/Man"), on(windows.Add, csps+"WiFi/Profile/office/WlanXml", "<x/>"))
	if codes != "200 200" || len(results) != 1 || results[0].Data != "rollcall" {
		t.Errorf("%s, %v", codes, results)
	}
	s.ends()
	if p := s.d.Profiles(); len(p) != 1 || p[0].Node != csps+"WiFi/Profile/office" {
		t.Errorf("profiles %+v", p)
	}
	if err := s.d.Enrol(s.now, winStart, &s.act); !errors.Is(err, windows.EAlreadyEnrolled) || !errors.Is(err, ErrManaged) {
		t.Errorf("WIN-027: %v", err)
	}
}

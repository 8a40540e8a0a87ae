package dialect

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"rollcall/protocol/windows"
)

// TestWindowsDialogue writes down what a device says, from its enrolment to its removal. The request for a certificate differs each
// time, and is left out.
func TestWindowsDialogue(t *testing.T) {
	s := newWinScene(t, plainWindows)
	s.d.SignIn(s.now, LoginUser)
	var said bytes.Buffer
	hear := func() {
		t.Helper()
		switch r := s.act.Request; {
		case s.act.Kind == Send && r.Step == Certify:
			fmt.Fprintf(&said, "→ %s: %s %s\n  %s; identity %d\n", r.Step, r.Method, r.URL, r.ContentType, r.Identity)
		case s.act.Kind == Send:
			fmt.Fprintf(&said, "→ %s: %s %s\n  %s; identity %d\n%s\n", r.Step, r.Method, r.URL, r.ContentType, r.Identity, r.Body)
		case s.act.Kind == MakeRequest:
			fmt.Fprintf(&said, "→ makes a request: %q, %d bits, renewal %t\n", s.act.CSR.Subject, s.act.CSR.Bits, s.act.CSR.Renews)
		default:
			fmt.Fprintf(&said, "→ rests (%v), %s\n", s.act.Err, s.d.Phase())
		}
	}
	if err := s.d.Enrol(s.now, winStart, &s.act); err != nil {
		t.Fatal(err)
	}
	hear()
	s.answer(200, nil)
	hear()
	s.soap(&found)
	hear()
	s.soap(&windows.GetPoliciesResponse{Policy: windows.Policy{Schema: 3, MinimalKeyLength: 2048}})
	hear()
	s.request()
	hear()
	s.provision(s.provisioning(s.issue()))
	hear()
	for _, commands := range [][]windows.Command{
		{
			on(windows.Get, csps+"DMClient/Provider/rollcall/Push/ChannelURI"), on(windows.Add, csps+"WiFi/Profile/office/WlanXml", "<WLANProfile/>", windows.FormatChr),
			on(windows.Get, csps+"WiFi/Profile"),
		},
		{atomic(on(windows.Add, csps+"VPNv2/corp/AlwaysOn", "true", windows.FormatBool), on(windows.Get, csps+"VPNv2"))},
		{{Verb: windows.Add, Items: []windows.Item{{Target: csps + "NodeCache/a", Data: "x", MoreData: true, Meta: windows.Meta{Size: 2}}}}},
		nil,
	} {
		s.says(commands...)
		hear()
	}
	s.begin(Pushed)
	hear()
	s.says(on(windows.Exec, csps+"DMClient/Unenroll", "rollcall", windows.FormatChr))
	hear()
	s.says()
	hear()
	const golden = "testdata/windows.dialogue"
	if *update {
		if err := os.WriteFile(golden, said.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(said.Bytes(), want) {
		t.Errorf("%s changed; got:\n%s", golden, said.Bytes())
	}
}

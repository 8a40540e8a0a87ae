package dialect

import (
	"testing"

	"rollcall/agent"
	"rollcall/protocol/windows"
)

// FuzzWindowsAnswer: whatever a server says in a session, the device says something well formed or rests, and keeps its enrolment
// unless it was told to leave.
func FuzzWindowsAnswer(f *testing.F) {
	head := windows.SyncHdr{SessionID: "2", MsgID: 1, Target: winID, Source: winServer}
	for _, commands := range [][]windows.Command{
		{on(windows.Get, "./DevInfo"), on(windows.Add, csps+"WiFi/Profile/a%20b/WlanXml", "x")},
		{atomic(on(windows.Add, csps+"VPNv2/x", "", windows.FormatNode), on(windows.Exec, csps+"ClientCertificateInstall/SCEP/x/Install/Enroll"))},
		{on(windows.Exec, csps+"DMClient/Unenroll", "rollcall")},
		{{Verb: windows.Replace, Items: []windows.Item{{Target: csps + "NodeCache/a", Data: "x", MoreData: true, Meta: windows.Meta{Size: 9}}}}},
		{on(windows.Replace, csps+"DeviceManageability/Provider/rollcall/ConfigInfo", "authority=intune;epoch=2;changedAt=2027-01-15T08:00:00Z")},
	} {
		for i := range commands {
			commands[i].CmdID = int32(i) + 1
		}
		f.Add(windows.EncodeMessage(nil, &windows.Message{Header: head, Commands: commands, Final: true}))
	}
	s := managed(f, plainWindows)
	f.Fuzz(func(t *testing.T, body []byte) {
		d := *s.d
		var act Act
		if !d.Begin(s.now, Synced, &act) {
			t.Fatal("no session")
		}
		for range 3 {
			if act.Kind != Send {
				break
			}
			var m windows.Message
			if err := windows.DecodeMessage(act.Request.Body, &m); err != nil {
				t.Fatalf("%v\n%s", err, act.Request.Body)
			}
			d.Answer(s.now, &Response{Status: 200, Body: body}, &act)
		}
		if p := d.Phase(); p != agent.Enrolled && p != agent.Removed && p != agent.Wiped {
			t.Fatalf("phase %s", p)
		}
		_ = d.Profiles()
		_ = d.Due()
	})
}

package dialect

import (
	"testing"

	"rollcall/protocol/windows"
)

// A session of packages 1 to 4 with three commands, on the device's side: two messages read, two written.
func BenchmarkWindowsSession(b *testing.B) {
	s := managed(b, plainWindows)
	commands := []windows.Command{
		on(windows.Get, csps+"DMClient/Provider/rollcall/Push/ChannelURI"), on(windows.Replace, csps+"WiFi/Profile/office/WlanXml", "<WLANProfile/>", windows.FormatChr),
		on(windows.Replace, csps+"Policy/Config/DeviceLock/MaxInactivityTimeDeviceLock", "15", windows.FormatInt),
	}
	for i := range commands {
		commands[i].CmdID = int32(i) + 5
	}
	var package2, package4 []byte
	var act Act
	var m windows.Message
	b.ReportAllocs()
	for b.Loop() {
		if !s.d.Begin(s.now, Synced, &act) {
			b.Fatal("no session")
		}
		b.StopTimer() // the server's side
		if err := windows.DecodeMessage(act.Request.Body, &m); err != nil {
			b.Fatal(err)
		}
		h := windows.SyncHdr{SessionID: m.Header.SessionID, MsgID: 1, Target: winID, Source: winServer}
		package2 = windows.EncodeMessage(package2[:0], &windows.Message{Header: h, Commands: commands, Final: true})
		h.MsgID = 2
		package4 = windows.EncodeMessage(package4[:0], &windows.Message{Header: h, Final: true})
		b.StartTimer()
		s.d.Answer(s.now, &Response{Status: 200, Body: package2}, &act)
		s.d.Answer(s.now, &Response{Status: 200, Body: package4}, &act)
		if act.Kind != Rest || act.Err != nil {
			b.Fatal(act.Err)
		}
	}
}

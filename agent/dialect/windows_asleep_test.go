package dialect

import (
	"fmt"
	"runtime"
	"testing"

	"rollcall/protocol/windows"
)

// A Windows device asleep holds at most 3 KiB beyond its key, with five profiles on it.
func TestWindowsAsleep(t *testing.T) {
	const many, most = 100, 3 << 10
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	one := func(i int) *Windows {
		s := newWinScene(t, plainWindows)
		s.d = NewWindows(WindowsWho{
			Seed: uint64(i), DeviceID: fmt.Sprintf("%032X", i), HWDevID: fmt.Sprintf("%024X", i), Serial: fmt.Sprintf("SER%06d", i),
			Name: fmt.Sprintf("SIM-%06d", i), MAC: fmt.Sprintf("02-00-00-00-%02X-%02X", i>>8, i&255),
		}, desktop, plainWindows)
		s.d.SignIn(s.now, LoginUser)
		s.certify(winStart)
		handle := fmt.Sprintf("1D8A5C0E-7A0F-4C6B-9A55-%012X", i)
		s.provision(s.provisioning(s.issue(), func(p *windows.Provisioning) {
			p.Application.ServerAuth.Name, p.DMClient.EntDMID = handle, handle
			p.Application.ServerAuth.Secret, p.Application.ClientAuth.Secret = handle[:22], handle[8:30]
		}))
		m := s.hears()
		m.Header.Target, m.Header.Source, m.Commands = m.Header.Source, winServer, nil
		for k := range 5 {
			m.Commands = append(m.Commands, on(windows.Add, fmt.Sprintf("%sWiFi/Profile/office%d/WlanXml", csps, k), "<WLANProfile/>"))
			m.Commands[k].CmdID = int32(k) + 5
		}
		s.answer(200, windows.EncodeMessage(nil, m))
		m.Commands = nil
		s.answer(200, windows.EncodeMessage(nil, m))
		s.rests()
		return s.d
	}
	one(many) // what all have in common
	all := make([]*Windows, many)
	before := heap()
	for i := range all {
		all[i] = one(i)
	}
	each := (heap() - before) / many
	key := len(all[0].self.identity().key)
	if len(all[0].Profiles()) != 5 || each > most+uint64(key) {
		t.Errorf("%d bytes each, with a key of %d and %d profiles; at most %d beyond the key", each, key, len(all[0].Profiles()), most)
	}
	t.Logf("%d bytes each, a key of %d bytes among them", each, key)
	runtime.KeepAlive(all)
}

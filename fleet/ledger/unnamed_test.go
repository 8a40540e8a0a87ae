package ledger

import (
	"strings"
	"testing"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// What the sessions of Windows devices tell: a command is known by its kind, a profile by its node.
func TestExchangedOfWindows(t *testing.T) {
	const wifi = "./Device/Vendor/MSFT/WiFi/Profile/office"
	ack := protocol.Acknowledged
	ran := func(node string) dialect.Order { return dialect.Order{Command: node, Status: ack} }
	failed := func(node string) dialect.Order { return dialect.Order{Command: node, Status: protocol.Failed} }
	has := func(s protocol.Status) dialect.Order {
		return dialect.Order{Command: dialect.ProfileOrder, Profile: wifi, Status: s}
	}
	gone := dialect.Order{Command: dialect.ProfileOrder, Profile: wifi, Gone: true, Status: ack}
	lock, restart, wipe := ran("RemoteLock/Lock"), ran("Reboot/RebootNow"), ran("RemoteWipe/doWipe")
	list := []dialect.Order{ran("./Vendor/MSFT/WiFi/Profile"), ran("./Device/Vendor/MSFT/VPNv2")}
	said := func(status int, orders ...dialect.Order) link.Exchange {
		return link.Exchange{Step: dialect.Session, Status: status, Received: 100, Orders: orders}
	}
	last := func(x link.Exchange) link.Exchange { x.Idle = true; return x }
	probe := link.Exchange{Step: dialect.Probe, Status: 200}
	for _, tt := range []struct {
		name string
		list []link.Exchange
		want string // faults, their devices and kinds, in order
	}{
		{"all is done", []link.Exchange{said(200), last(said(200, has(ack), lock, restart))}, ""},
		{"answer lost, and handed out again", []link.Exchange{said(0, has(ack), lock), last(said(200, has(ack), lock, restart))}, ""},
		{"answer lost, and nothing more to do", []link.Exchange{said(0, has(ack), lock, restart), last(said(200))}, ""},
		{"answer lost, nothing more to do, and handed out again", []link.Exchange{said(0, has(ack), lock, restart), last(said(200)), said(200, lock)}, "doubled D1 DeviceLock"},
		{"503, and handed out again", []link.Exchange{said(503, lock, restart), last(said(200, has(ack), lock, restart))}, ""},
		{"not done, and handed out again", []link.Exchange{said(200, has(ack), failed("RemoteLock/Lock"), restart), last(said(200, lock))}, ""},
		{"not done, and given up", []link.Exchange{last(said(200, has(ack), failed("RemoteLock/Lock"), restart))}, ""},
		{"no work, and much to do", []link.Exchange{last(said(200))}, "lost D1 DeviceLock, lost D1 RestartDevice, never converged D1"},
		{"more to come is no end", []link.Exchange{said(200)}, ""},
		{"one left out", []link.Exchange{last(said(200, has(ack), restart))}, "lost D1 DeviceLock"},
		{"doubled", []link.Exchange{said(200, has(ack), lock, restart), last(said(200, lock))}, "doubled D1 DeviceLock"},
		{"the wrong way round", []link.Exchange{last(said(200, has(ack), restart, lock))}, "reordered D1 DeviceLock"},
		{"another's", []link.Exchange{last(said(200, has(ack), lock, restart, wipe))}, "misdelivered D1 EraseDevice"},
		{"another's, and it came there too", []link.Exchange{last(said(200, has(ack), lock, restart, wipe)), {}, said(200, wipe)}, ""},
		{"two of a kind, both wanted", []link.Exchange{last(said(200, has(ack), lock, restart, lock))}, ""},
		{"two of a kind, one came", []link.Exchange{last(said(200, has(ack), lock, restart))}, "lost D1 DeviceLock"},
		{"a question of several nodes", []link.Exchange{last(said(200, has(ack), lock, restart, list[0], list[1]))}, ""},
		{"a question twice", []link.Exchange{last(said(200, has(ack), lock, restart, list[0], list[1], list[0], list[1]))}, ""},
		{"a question is lost", []link.Exchange{last(said(200, has(ack), lock, restart))}, "lost D1 ProfileList"},
		{"a question overtakes nobody, for it may be the server's own", []link.Exchange{said(200, list...), last(said(200, has(ack), lock, restart))}, ""},
		{"a profile is taken off", []link.Exchange{said(200, has(ack), lock, restart), last(said(200, gone))}, "never converged D1"},
		{"a profile's setting is not taken", []link.Exchange{last(said(200, has(protocol.Failed), lock, restart))}, ""},
		{"a profile is there and then replaced", []link.Exchange{said(200, has(protocol.Failed), lock, restart), last(said(200, has(ack)))}, ""},
		{"enrolled anew: what was ordered before is void", []link.Exchange{probe, said(200), last(said(200, has(ack)))}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := begin()
			talk := func(d protocol.Device, x link.Exchange) { s.Exchanged(s.tick(), s.tick(), d, &x) }
			for d := range protocol.Device(2) {
				talk(d+1, probe)
				talk(d+1, said(200))
			}
			order := func(d protocol.Device, id string, kind protocol.CommandKind) {
				s.Ordered(s.tick(), d, id, kind.String(), 0)
				s.Taken(s.tick(), d, id)
			}
			order(1, one, protocol.Lock)
			order(1, two, protocol.Restart)
			s.Wanted(s.tick(), 1, wifi, "")
			switch {
			case strings.Contains(tt.name, "another's"):
				order(2, three, protocol.Erase)
			case strings.Contains(tt.name, "two of a kind"):
				order(1, three, protocol.Lock)
			case strings.Contains(tt.name, "question"):
				order(1, three, protocol.ProfileList)
			}
			d := protocol.Device(1)
			for _, x := range tt.list {
				if x.Step == dialect.NoStep {
					d = 2
					continue
				}
				talk(d, x)
			}
			if strings.Contains(tt.name, "another's") {
				talk(2, last(said(200)))
			}
			s.ends(t, tt.want, func(f *Finding) string { return strings.TrimSpace(f.Fault.String() + " " + f.Device + " " + f.Kind) }, ", ")
			if c := s.Counts(); strings.Contains(tt.name, "answer lost") && c.Confirmed != 2 {
				t.Errorf("%+v, want both confirmed", c)
			}
		})
	}
}

// A command that comes before its id is known is what was ordered.
func TestOrderedOfWindowsLate(t *testing.T) {
	for _, kind := range []struct{ of, node string }{{"DeviceLock", "RemoteLock/Lock"}, {"ProfileList", "./Vendor/MSFT/WiFi/Profile"}} {
		s := begin(1)
		asked := s.tick()
		x := link.Exchange{Step: dialect.Session, Status: 200, Idle: true, Orders: []dialect.Order{{Command: kind.node, Status: protocol.Acknowledged}}}
		s.Exchanged(s.tick(), s.tick(), 1, &x)
		s.Ordered(asked, 1, one, kind.of, 0)
		s.Taken(s.tick(), 1, one)
		x.Orders = nil
		s.Exchanged(s.tick(), s.tick(), 1, &x)
		s.Close(s.tick())
		if r := s.Result(); r.Faults() != 0 || r.Confirmed != 1 || r.Taken != 1 || r.Open != 0 {
			t.Errorf("%s: %+v", kind.of, r)
		}
	}
}

// Nodes that other servers may use for what ours says in its way.
func TestKindOf(t *testing.T) {
	for node, want := range map[string]protocol.CommandKind{
		"RemoteWipe/doWipeProtected":          protocol.Erase,
		"DMClient/Provider/other/Unenroll":    protocol.Retire,
		"DMClient/Unenroll":                   protocol.Retire,
		"./DevDetail/SwV":                     protocol.DeviceInformation,
		"./Device/Vendor/MSFT/VPNv2":          protocol.ProfileList,
		"./Vendor/MSFT/WiFi/Profile":          protocol.ProfileList,
		"./Vendor/MSFT/WiFi/Profile/a/b":      protocol.NoCommand,
		"./User/Vendor/MSFT/EMAIL2":           protocol.NoCommand,
		"ClientCertificateInstall/SCEP/a/b/c": protocol.NoCommand,
	} {
		if got := kindOf(node); got != want {
			t.Errorf("%s: %s, want %s", node, got, want)
		}
	}
}

package rehearsal

import (
	"slices"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// Each kind of disagreement is named, and what the server cannot know is none.
func TestCompare(t *testing.T) {
	const day = 24 * time.Hour
	profiles := func(state string, identifiers ...string) (list []target.DeviceProfile) {
		for _, i := range identifiers {
			list = append(list, target.DeviceProfile{Name: "the " + i, Identifier: i, State: state})
		}
		return list
	}
	on := func(identifiers ...string) map[string]bool {
		m := map[string]bool{}
		for _, i := range identifiers {
			m[i] = true
		}
		return m
	}
	of := func(f protocol.Family) map[protocol.Family]bool { return map[protocol.Family]bool{f: true} }
	families := func(f protocol.Family) []target.DeviceProfile {
		p := profiles("installed", f.String())
		p[0].Family = f
		return p
	}
	in := now.Add(30 * day)
	for _, tt := range []struct {
		name    string
		device  word
		server  target.Device
		known   bool
		portals int
		want    []string
	}{
		{"they agree", word{agent.Enrolled, in, on("wifi"), nil}, target.Device{Life: enrolled, Profiles: profiles("installed", "wifi")}, true, 1, nil},
		{"a profile on its way", word{agent.Enrolled, in, nil, nil}, target.Device{Life: enrolled, Profiles: profiles("installing", "wifi")}, true, 1, nil},
		{"a profile that is being taken off", word{agent.Enrolled, in, on("wifi"), nil}, target.Device{Life: enrolled, Profiles: profiles("removing", "wifi")}, true, 1, nil},
		{
			"a profile is not there",
			word{agent.Enrolled, in, nil, nil},
			target.Device{Life: enrolled, Profiles: profiles("installed", "wifi")},
			true, 1,
			[]string{"I3: the server holds the wifi for installed, and it is not there"},
		},
		{
			"profiles that the server does not know",
			word{agent.Enrolled, in, on("wifi", "vpn", "mail"), nil},
			target.Device{Life: enrolled, Profiles: profiles("installed", "mail")},
			true, 1,
			[]string{"I3: vpn is there, and the server does not know", "I3: wifi is there, and the server does not know"},
		},
		{"AUTH-55: it stays though it is unassigned", word{agent.Enrolled, in, map[string]bool{"passcode": false}, nil}, target.Device{Life: enrolled}, true, 1, nil},
		{"AUTH-55: such a one is not there", word{agent.Enrolled, in, map[string]bool{"passcode": false}, nil}, target.Device{Life: enrolled, Profiles: profiles("installed", "wifi")}, true, 1, []string{"I3: the server holds the wifi for installed, and it is not there"}},
		{"Windows: one of the family is there", word{agent.Enrolled, in, nil, of(protocol.WiFi)}, target.Device{Life: enrolled, Profiles: families(protocol.WiFi)}, true, 1, nil},
		{
			"Windows: another family is there",
			word{agent.Enrolled, in, nil, of(protocol.VPN)},
			target.Device{Life: enrolled, Profiles: families(protocol.WiFi)},
			true, 1,
			[]string{"I3: the server holds the wifi for installed, and it is not there", "I3: a profile of the family vpn is there, and the server does not know"},
		},
		{"the server has ended it", word{agent.Enrolled, in, nil, nil}, target.Device{Life: ended}, true, 0, []string{"I3: enrolled, and the server lists it as ended"}},
		{"the server has never heard of it", word{agent.Enrolled, in, nil, nil}, target.Device{}, false, 0, []string{"I3: enrolled, and the server does not list it"}},
		{"AUTH-43: its record went after its identity", word{agent.Enrolled, now.Add(-180 * day), on("wifi"), nil}, target.Device{}, false, 0, nil},
		{"its identity has ended, its record is there", word{agent.Enrolled, now.Add(-day), nil, nil}, target.Device{Life: ended}, true, 0, []string{"I3: enrolled, and the server lists it as ended"}},
		{"I7: in two portals", word{agent.Enrolled, in, nil, nil}, target.Device{Life: enrolled}, true, 2, []string{"I7: listed in 2 portals"}},
		{"I7: in none", word{agent.Enrolled, in, nil, nil}, target.Device{Life: enrolled}, true, 0, []string{"I7: listed in 0 portals"}},
		{"it left and nobody could hear", word{agent.Removed, 0, nil, nil}, target.Device{Life: enrolled, Profiles: profiles("installed", "wifi")}, true, 1, nil},
		{"I7: though it left", word{agent.Removed, 0, nil, nil}, target.Device{Life: enrolled}, true, 2, []string{"I7: listed in 2 portals"}},
		{"it never enrolled", word{agent.New, 0, nil, nil}, target.Device{}, false, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, d := range compare(now, "udid-1", &tt.device, &tt.server, tt.known, tt.portals) {
				if d.device != "udid-1" {
					t.Errorf("said of %q", d.device)
				}
				got = append(got, d.what)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

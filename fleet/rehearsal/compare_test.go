package rehearsal

import (
	"slices"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/fleet/target"
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
	in := now.Add(30 * day)
	for _, tt := range []struct {
		name    string
		device  word
		server  target.Device
		known   bool
		portals int
		want    []string
	}{
		{"they agree", word{agent.Enrolled, in, on("wifi")}, target.Device{Life: enrolled, Profiles: profiles("installed", "wifi")}, true, 1, nil},
		{"a profile on its way", word{agent.Enrolled, in, nil}, target.Device{Life: enrolled, Profiles: profiles("installing", "wifi")}, true, 1, nil},
		{"a profile that is being taken off", word{agent.Enrolled, in, on("wifi")}, target.Device{Life: enrolled, Profiles: profiles("removing", "wifi")}, true, 1, nil},
		{
			"a profile is not there",
			word{agent.Enrolled, in, nil},
			target.Device{Life: enrolled, Profiles: profiles("installed", "wifi")},
			true, 1,
			[]string{"I3: the server holds the wifi for installed, and it is not there"},
		},
		{
			"profiles that the server does not know",
			word{agent.Enrolled, in, on("wifi", "vpn", "mail")},
			target.Device{Life: enrolled, Profiles: profiles("installed", "mail")},
			true, 1,
			[]string{"I3: vpn is there, and the server does not know", "I3: wifi is there, and the server does not know"},
		},
		{"the server has ended it", word{agent.Enrolled, in, nil}, target.Device{Life: ended}, true, 0, []string{"I3: enrolled, and the server lists it as ended"}},
		{"the server has never heard of it", word{agent.Enrolled, in, nil}, target.Device{}, false, 0, []string{"I3: enrolled, and the server does not list it"}},
		{"AUTH-43: its record went after its identity", word{agent.Enrolled, now.Add(-180 * day), on("wifi")}, target.Device{}, false, 0, nil},
		{"its identity has ended, its record is there", word{agent.Enrolled, now.Add(-day), nil}, target.Device{Life: ended}, true, 0, []string{"I3: enrolled, and the server lists it as ended"}},
		{"I7: in two portals", word{agent.Enrolled, in, nil}, target.Device{Life: enrolled}, true, 2, []string{"I7: listed in 2 portals"}},
		{"I7: in none", word{agent.Enrolled, in, nil}, target.Device{Life: enrolled}, true, 0, []string{"I7: listed in 0 portals"}},
		{"it left and nobody could hear", word{agent.Removed, 0, nil}, target.Device{Life: enrolled, Profiles: profiles("installed", "wifi")}, true, 1, nil},
		{"I7: though it left", word{agent.Removed, 0, nil}, target.Device{Life: enrolled}, true, 2, []string{"I7: listed in 2 portals"}},
		{"it never enrolled", word{agent.New, 0, nil}, target.Device{}, false, 0, nil},
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

package fleet

import (
	"testing"

	"rollcall/agent/dialect"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

type noDirectory struct{}

func (noDirectory) Token(string, string) (string, error) { return "", nil }

// windows.md section 9: a device of a directory knows what it is called there, has the directory for the tokens of its sessions, and says how it
// came by what is known of its kind.
func TestDirectory(t *testing.T) {
	for way, want := range map[population.Enrolment]dialect.WindowsStart{
		population.Joined:              {Device: true},
		population.DirectoryRegistered: {},
		population.GroupPolicy:         {Device: true, Automatic: true},
		population.ByManager:           {}, // that its user is one, the server knows (AUTH-47)
		population.CoManagement:        {Device: true, Automatic: true},
		population.Autopilot:           {Device: true, Oobe: true, ZeroTouch: "d1"},
		population.SelfDeployed:        {Device: true, Automatic: true, Oobe: true, ZeroTouch: "d1"},
	} {
		if d := (&population.Device{Platform: protocol.Windows, Enrolment: way}); way != population.SelfDeployed && !InDirectory(d) {
			t.Errorf("way %d brings no token of the directory", way)
		}
		got := dialect.WindowsStart{}
		(&Joining{Token: "t", Way: way, Device: "d1"}).directory(&got)
		if string(got.Credential.Token) != "t" || got.Credential.Kind != windows.JWT || got.Directory != "d1" {
			t.Errorf("way %d: %+v", way, got)
		}
		if got.Device != want.Device || got.Automatic != want.Automatic || got.Oobe != want.Oobe || got.ZeroTouch != want.ZeroTouch {
			t.Errorf("way %d: %+v, want %+v", way, got, want)
		}
	}
	m := newMaker(&population.Population{}, 1, noDirectory{})
	for habits, h := range m.habits {
		if h.Directory == nil || !h.Spread || (h.ProfileFails != 0) != (habits == population.ProfileFails) {
			t.Errorf("habits %v: %+v", habits, h)
		}
	}
}

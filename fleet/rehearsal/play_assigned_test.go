package rehearsal_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// From the change on a clock runs for each user who gets another authority until something of it is assigned: what was there before is not
// late, what comes after is by so many hours, and who has nothing at the end is counted. A user with two devices counts once, and
// one who stays under Basic Mobility and Security not at all (AUTH-38).
func TestAUTH38AssignedLate(t *testing.T) {
	const story = `until: 3d
tenant: {authority: office365, units: 100, gap: {on_coexistence: false}}
population:
  already: {ios: 20, windows: 20}
  devices_per_user: {2: 100}
  licences: {basic: 50, intune: 50}
  groups: {sales: 100}
profiles:
  - {name: mail, family: email, assigned: all}
  - {name: restrictions, family: configuration}
timeline:
`
	const change = "  - {at: 1d, authority: {set: coexistence}}\n"
	assigns := func(at, verb, group string) string {
		return fmt.Sprintf("  - {at: %s, profiles: {%s: restrictions, group: %s}}\n", at, verb, group)
	}
	for _, tt := range []struct {
		name, timeline string
		late           bool
		after          time.Duration
	}{
		{"never", change, false, 0},
		{"late", change + assigns("1d6h", "assign", "all"), true, 6 * time.Hour},
		{"late, and taken away again", change + assigns("1d6h", "assign", "all") + assigns("1d8h", "unassign", "all"), true, 6 * time.Hour},
		{"in the moment of the change", change + assigns("1d", "assign", "all"), true, 0},
		{"by a group", change + assigns("2d", "assign", "sales"), true, oneDay},
	} {
		p := parsed(t, story+tt.timeline)
		pop := population.New(p)
		users := 0
		for i := range pop.Users {
			if pop.Users[i].Licence&population.IntuneLicence != 0 {
				users++
			}
		}
		for _, size := range []int{8, 1000} {
			out := played(t, rehearsal.Config{Plan: p, Population: pop, Partition: size})
			never := 0
			if !tt.late {
				never = users
			}
			want := map[time.Duration]int{}
			if tt.after > 0 {
				want[tt.after] = users
			}
			if !maps.Equal(out.Late, want) || out.Unassigned != never || users == 0 {
				t.Errorf("%s, by %d: %v late and %d never, want %v and %d", tt.name, size, out.Late, out.Unassigned, want, never)
			}
		}
	}
}

// Each finding says "assign before" and how many hours late, in both languages (AUTH-38).
func TestAUTH38FindingInHours(t *testing.T) {
	out := &rehearsal.Played{Plan: quiet(t, 1), Population: &population.Population{}, Late: map[time.Duration]int{90 * time.Minute: 3, 50 * time.Hour: 1}, Unassigned: 2}
	for l, want := range map[lang.Language][3]string{
		lang.English: {"To 4 users something was assigned late: to half of them within 1.5 h of the change, to the last 50 h late.", "To 2 users nothing", "assign before"},
		lang.Dutch:   {"Aan 4 gebruikers is te laat iets toegewezen: aan de helft binnen 1,5 u na de wijziging, aan de laatste 50 u te laat.", "Aan 2 gebruikers", "wijs vooraf toe"},
	} {
		found := out.Answer(0).Findings(l)
		if len(found) != 1 || found[0].Rule != "AUTH-38" || found[0].Count != 6 || !strings.HasPrefix(found[0].Consequence, want[0]) ||
			!strings.Contains(found[0].Consequence, want[1]) || !strings.HasPrefix(found[0].Action, want[2]) {
			t.Errorf("%s: %+v", l, found)
		}
	}
}

// Of an export's users whose change was before the story nobody knows what they have assigned (AUTH-38).
func TestAUTH38ChangedBeforeTheExport(t *testing.T) {
	coexists := onBMS
	coexists.Coexistence = true
	pop := exported(10, coexists, func(i int, d *population.Device, u *population.User) {
		if i < 4 {
			u.Licence |= population.IntuneLicence
		}
		d.Registered = protocol.Office365
	})
	out := played(t, rehearsal.Config{Plan: quiet(t, 2, "timeline: [{at: 1d, licences: {assign: intune, to: basic}}]"), Population: pop})
	if out.Unassigned != 6 || len(out.Late) != 0 {
		t.Errorf("%d users have nothing assigned and %v had it late, want the 6 who got a licence", out.Unassigned, out.Late)
	}
}

// A user who stays under Basic Mobility and Security gets no other authority, though the device registers anew: nothing is late, even where
// nothing was ever assigned (AUTH-38).
func TestAUTH38NobodyElseManages(t *testing.T) {
	p := parsed(t, `until: 3d
tenant: {authority: office365, units: 100, gap: {on_coexistence: false}}
population: {already: {ios: 5, windows: 5}, licences: {basic: 100}}
timeline: [{at: 1d, authority: {set: coexistence}}]
`)
	out := played(t, rehearsal.Config{Plan: p})
	anew := out.Answer(0).All.Reregistered
	if anew == 0 || out.Unassigned != 0 || len(out.Late) != 0 {
		t.Errorf("%d registered anew, %d users have nothing assigned, %v had it late; want some, and none late", anew, out.Unassigned, out.Late)
	}
}

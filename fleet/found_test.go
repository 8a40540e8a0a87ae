package fleet

import (
	"testing"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
)

// TestAUTH47Managers: the users of devices that come by an enrolment manager are those that the tenant is given as managers.
func TestAUTH47Managers(t *testing.T) {
	p, err := plan.Parse("managers", []byte("name: managers\nuntil: 1d\npopulation:\n  devices: 40\n  mix: {windows: 100}\n  ways: {manager: 30}\ntimeline:\n  - {at: 0s, enrol: {over: 1h}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := Cast{Plan: p, Population: population.New(p)}
	managers := map[string]bool{}
	for _, d := range c.Population.Devices {
		if d.Enrolment == population.ByManager {
			managers[c.Population.Users[d.User].UPN] = true
		}
	}
	users := c.UsersAs(protocol.Unknown)
	for _, u := range users {
		if u.Manages() != managers[u.UPN] {
			t.Errorf("%s is a manager: %v, want %v", u.UPN, u.Manages(), managers[u.UPN])
		}
	}
	if n := len(managers); n == 0 || n == len(users) {
		t.Errorf("%d of %d users are managers", n, len(users))
	}
}

package authority_test

import (
	"slices"
	"testing"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// fleet is n devices of a BMS tenant, every fifth of an entitled user.
func fleet(n int) []authority.Subject {
	has := []authority.Profile{{Family: protocol.Email, Authority: protocol.Office365}, {Family: protocol.Configuration, Authority: protocol.Office365}}
	all := make([]authority.Subject, n)
	for i := range all {
		u := basic
		if i%5 == 0 {
			u = entitled
		}
		all[i] = of(protocol.Platforms[i%2], protocol.Office365, u)
		all[i].Number, all[i].Owner, all[i].Has = protocol.Device(i+1), uint32(i+1), has
	}
	return all
}

func pointers(all []authority.Subject) func(func(*authority.Subject) bool) {
	return func(yield func(*authority.Subject) bool) {
		for i := range all {
			if !yield(&all[i]) {
				return
			}
		}
	}
}

// TestAUTH35Identity: whoever confirms a preview confirms these devices and no others (I10).
func TestAUTH35Identity(t *testing.T) {
	all := fleet(10)
	first := authority.Plan(&adding, pointers(all), nil)
	later := adding
	later.Now, later.After.ChangedAt = now.Add(day), now.Add(day)
	if got := authority.Plan(&later, pointers(all), nil); got.ID != first.ID {
		t.Error("the same change a day later has another identity")
	}
	open := adding
	open.Push.Gap = false
	units := adding
	units.Units = authority.Units{Known: true}
	for name, scene := range map[string]authority.Scene{"another change": forced, "no gap": open, "other units": units} {
		if got := authority.Plan(&scene, pointers(all), nil); got.ID == first.ID {
			t.Errorf("%s has the same identity", name)
		}
	}
	ended := open
	ended.Push.Ends = now
	if got := authority.Plan(&ended, pointers(all), nil); got.Blocked != 10 || got.ID == authority.Plan(&open, pointers(all), nil).ID {
		t.Errorf("a certificate that has ended, which holds %d devices, has the same identity", got.Blocked)
	}
	for name, change := range map[string]func(*authority.Subject){
		"a licence": func(c *authority.Subject) { c.Is = entitled }, "a registration": func(c *authority.Subject) { c.Registered = protocol.Intune },
		"a retire": func(c *authority.Subject) { c.Leaving = true }, "another device": func(c *authority.Subject) { c.Number = 99 },
		"what is meant for it": func(c *authority.Subject) { c.Gets = []authority.Profile{{Name: "n", Family: protocol.WiFi}} },
		"its last contact":     func(c *authority.Subject) { c.Contact = 1 },
	} {
		other := slices.Clone(all)
		change(&other[3])
		if got := authority.Plan(&adding, pointers(other), nil); got.ID == first.ID {
			t.Errorf("%s changed, and the identity did not", name)
		}
	}
	if got := authority.Plan(&adding, pointers(all[1:]), nil); got.ID == first.ID {
		t.Error("a device is gone, and the identity did not change")
	}
}

func TestAUTH35Groups(t *testing.T) {
	all := fleet(10)
	all = append(all, with(of(protocol.Windows, protocol.Office365, nil), func(c *authority.Subject) { c.Owner = 0 }))
	all = append(all, with(all[1], func(c *authority.Subject) { c.Registered = protocol.Unknown })) // enrolling: no part of it
	p := authority.Plan(&adding, pointers(all), nil)
	if p.Enrolled != 11 || p.WouldMove != 2 || p.WouldStay != 9 || p.Blocked != 10 || p.ReachableBlocked != 2 || p.Prompts != 2 {
		t.Errorf("%+v", p)
	}
	type line struct {
		fate    authority.Fate
		rule    protocol.Rule
		devices int
	}
	var got []line
	for _, g := range p.Groups {
		got = append(got, line{g.Fate, g.Rule, g.Devices})
	}
	want := []line{{authority.Moves, "AUTH-14", 2}, {authority.Strands, "AUTH-18", 1}, {authority.Stays, "AUTH-16", 8}}
	if !slices.Equal(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
	profiles := []authority.ProfileGroup{
		{Fall: authority.Fall{Effect: authority.Removed, Rule: "AUTH-23"}, Family: protocol.Email, Count: 2},
		{Fall: authority.Fall{Effect: authority.Removed, Rule: "AUTH-23"}, Family: protocol.Configuration, Count: 2},
	}
	if !slices.Equal(p.Profiles, profiles) {
		t.Errorf("profiles %+v, want %+v", p.Profiles, profiles)
	}
}

// TestAUTH35NewlyPending: devices that a change makes pending are told apart from those that have been since another.
func TestAUTH35NewlyPending(t *testing.T) {
	all := fleet(10)
	if p := authority.Plan(&adding, pointers(all), nil); p.Pending != 2 || p.NewlyPending != 2 {
		t.Errorf("Intune is added: %d devices are pending, %d of them newly, want 2 and 2", p.Pending, p.NewlyPending)
	}
	licences := adding
	licences.Before = licences.After
	all[1].Is = entitled
	if p := authority.Plan(&licences, pointers(all), nil); p.Pending != 3 || p.NewlyPending != 1 {
		t.Errorf("a licence is assigned afterwards: %d devices are pending, %d of them newly, want 3 and 1", p.Pending, p.NewlyPending)
	}
}

// TestAUTH26Misnamed: an old profile that another of its family, or another of its name, does not overwrite is counted with it.
func TestAUTH26Misnamed(t *testing.T) {
	profile := func(name string, f protocol.Family) authority.Profile {
		return authority.Profile{Name: name, Family: f}
	}
	all := fleet(3)
	for i := range all {
		all[i].Has = []authority.Profile{profile("mail", protocol.Email), profile("set", protocol.Configuration)}
		all[i].Gets, all[i].Assigned = []authority.Profile{profile("post", protocol.Email), profile("set", protocol.WiFi), profile("vpn", protocol.VPN)}, true
	}
	all[2].Gets = append(all[2].Gets, profile("mail", protocol.Email))
	want := []authority.Misnamed{
		{Old: profile("mail", protocol.Email), New: profile("post", protocol.Email), Devices: 2},
		{Old: profile("set", protocol.Configuration), New: profile("set", protocol.WiFi), Devices: 3},
	}
	if got := authority.Plan(&forced, pointers(all), nil).Misnamed; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := authority.Plan(&adding, pointers(all), nil).Misnamed; got != nil {
		t.Errorf("%+v where the check-in removes them", got)
	}
}

// TestAUTH09Need counts a user once, whatever the number of devices.
func TestAUTH09Need(t *testing.T) {
	all := fleet(10)
	all[1].Owner, all[2].Owner = 7, 7
	all[3].PlanOff = true
	all[4].Unsure = true
	scene := adding
	scene.Units = authority.Units{Known: true, Owned: 5, Free: 2}
	want := authority.Need{Users: 4, PlansOff: 1, Units: scene.Units, Short: 2}
	if got := authority.Plan(&scene, pointers(all), nil).Need; got != want {
		t.Errorf("need %+v, want %+v", got, want)
	}
	scene.Units.Free = -3
	if got := authority.Plan(&scene, pointers(all), nil).Need.Short; got != 7 {
		t.Errorf("%d short with more assigned than owned, want 7", got)
	}
}

func BenchmarkPlan(b *testing.B) {
	all := fleet(100_000)
	for b.Loop() {
		authority.Plan(&adding, pointers(all), nil)
	}
}

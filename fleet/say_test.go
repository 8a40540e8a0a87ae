package fleet

import (
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
)

func TestSay(t *testing.T) {
	half := func(whom string) plan.Target { return plan.Target{Share: plan.Whole / 2, Whom: whom} }
	all := plan.Target{Share: plan.Whole, Whom: plan.All}
	lasts := func(text string) (d plan.Distribution) {
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	f := &Fleet{plan: &plan.Plan{}, population: &population.Population{Devices: []population.Device{{Joins: time.Hour}}}}
	f.plan.Tenant.Identity.Window = plan.Duration(2 * plan.Day)
	for want, a := range map[string]plan.Action{
		"All devices enrol within 4h":                                {Enrol: &plan.Enrol{Over: plan.Duration(4 * time.Hour)}},
		"1 device without a user enrols":                             {Enrol: &plan.Enrol{Userless: plan.ByPlatform{IPadOS: 1}}},
		"3 more devices enrol":                                       {Enrol: &plan.Enrol{ByPlatform: plan.ByPlatform{IOS: 3}}},
		`Profile "wifi" is assigned to everybody`:                    {Profiles: &plan.Assignment{Assign: "wifi", Group: plan.All}},
		`Profile "wifi" is unassigned from group sales`:              {Profiles: &plan.Assignment{Unassign: "wifi", Group: "sales"}},
		"All devices are asked for DeviceInformation":                {Command: &plan.Command{Kind: protocol.DeviceInformation, To: all}},
		"50% of the Macs are restarted":                              {Command: &plan.Command{Kind: protocol.Restart, To: half("macos")}},
		"50% of the devices of group sales are wiped":                {Command: &plan.Command{Kind: protocol.Erase, To: half("sales")}},
		"The users of 50% of all devices are asked to sync":          {AskUsersToSync: &plan.Target{Share: plan.Whole / 2, Whom: plan.All}},
		"50% of the devices without a user leave the network for 3d": {Absence: &plan.Absence{Of: half(plan.Userless), Lasts: lasts("3d")}},
		"50% of the iPads leave the network for 1h to 2h":            {Absence: &plan.Absence{Of: half("ipados"), Lasts: lasts("uniform(1h, 2h)")}},
		"The server is restarted":                                    {RestartServer: true},
		"A renewed push certificate is uploaded":                     {APNs: &plan.Upload{Upload: plan.Renewed}},
	} {
		got := f.say(&a)
		if got.name != want || got.text == "" {
			t.Errorf("%+v is said as %q with text %q, want %q", a, got.name, got.text, want)
		}
		if long := a.Absence != nil && a.Absence.Lasts.Shortest() == 3*plan.Day; long != (got.rule == protocol.RuleNotRenewed) {
			t.Errorf("%q by %s", got.name, got.rule)
		}
	}
	// An export has no other devices than its own.
	f.population.Tenant.AsOf = 1
	if got := f.say(&plan.Action{Enrol: &plan.Enrol{ByPlatform: plan.ByPlatform{IOS: 3}}}); got.name != "" {
		t.Errorf("new devices beside an export: %q", got.name)
	}
}

package server_test

import (
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// autoEnrols has Configuration Manager enrol the PC of its client.
func (p *phone) autoEnrols(m delivery.Message) error {
	p.Helper()
	m.Platform, m.Way = protocol.Windows, authority.CoManagement
	if err := p.says(protocol.CheckIn{Verb: protocol.Enrol}, m); err != nil {
		return err
	}
	p.number = p.out.State.Device
	p.must(p.ready("token of " + p.id))
	p.drain()
	return nil
}

func (x *tenant) decide(change func(*server.Settings)) {
	x.Helper()
	x.must(x.ChangeSettings(x.ctx, x.now, boss, "", change))
}

// TestAUTH51AutoEnrolment: Configuration Manager enrols its client by itself: no Intune licence and no place under the limit
// are asked for, but Azure AD Premium is.
func TestAUTH51AutoEnrolment(t *testing.T) {
	x := newTenant(t)
	x.decide(func(set *server.Settings) { set.DeviceLimit = 1 })
	_, err := x.PutUsers(x.ctx, x.now, []store.User{{UPN: "p@example.org"}})
	x.must(err)
	u, _ := x.UserByUPN("p@example.org")
	x.refused(x.newPhone(u.ID).autoEnrols(delivery.Message{}), "AUTH-51")
	x.licences(server.Licence{UPN: "p@example.org", Premium: true})
	for range 3 {
		p := x.newPhone(u.ID)
		x.must(p.autoEnrols(delivery.Message{}))
		p.registered(protocol.Intune, 1)
		if !p.state().CoManaged {
			t.Error("it is not co-managed")
		}
	}
	x.refused(x.newPhone(u.ID).enrol(), protocol.RuleGates) // a phone of the same user is asked for a licence
	other := x.newPhone(1)
	x.refused(other.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: protocol.Windows, Way: authority.Autopilot, OtherMDM: true}), protocol.RuleGates)
	x.must(other.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: protocol.Windows, Way: authority.Autopilot}))
}

// TestAUTH51Switches: which of Intune's profiles a co-managed PC has follows from who decides its workloads; each switch wakes
// co-managed devices alone, and is taken back by the next.
func TestAUTH51Switches(t *testing.T) {
	x := newTenant(t)
	for name, f := range map[string]protocol.Family{"mail": protocol.Email, "vpn": protocol.VPN, "wifi": protocol.WiFi, "certificate": protocol.Certificate, "restrictions": protocol.Configuration} {
		x.profile(protocol.Intune, name, f, "org."+name)
	}
	_, err := x.PutUsers(x.ctx, x.now, []store.User{
		{UPN: "p@example.org", Groups: []string{"all", "pilots"}, User: authority.User{Premium: true}},
		{UPN: "q@example.org", Groups: []string{"all"}, User: authority.User{Premium: true}},
	})
	x.must(err)
	phone, p, q := x.enrolled(1), x.newPhone(3), x.newPhone(4)
	x.must(p.autoEnrols(delivery.Message{}))
	x.must(q.autoEnrols(delivery.Message{}))
	access := []string{"certificate:intune", "mail:intune", "vpn:intune", "wifi:intune"}
	all := []string{"certificate:intune", "mail:intune", "restrictions:intune", "vpn:intune", "wifi:intune"}
	for _, step := range []struct {
		name             string
		resource, device authority.Decider
		pilots, others   []string
	}{
		{"at first Configuration Manager decides", authority.ByConfigMgr, authority.ByConfigMgr, nil, nil},
		{"resource access for the pilot", authority.ByPilot, authority.ByConfigMgr, access, nil},
		{"for all", authority.ByIntune, authority.ByConfigMgr, access, access},
		{"device configuration for the pilot, with resource access", authority.ByConfigMgr, authority.ByPilot, all, nil},
		{"for all", authority.ByConfigMgr, authority.ByIntune, all, all},
		{"and back", authority.ByConfigMgr, authority.ByConfigMgr, nil, nil},
	} {
		t.Run(step.name, func(t *testing.T) {
			x.later(time.Hour)
			n := len(x.since(0))
			x.decide(func(set *server.Settings) {
				set.Pilots, set.Workloads[1], set.Workloads[2] = "pilots", step.resource, step.device
			})
			x.later(time.Second)
			for _, token := range x.since(n) {
				if token == "token of "+phone.id {
					t.Error("a phone was woken for the workloads of PCs")
				}
			}
			p.drain()
			q.drain()
			phone.drain()
			x.equal("the pilot's profiles", p.has(), step.pilots)
			x.equal("the other's", q.has(), step.others)
			x.equal("the phone's", phone.has(), all)
		})
	}
	// What the client says of itself counts more than what the tenant's deciders say.
	x.must(q.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{WorkloadsKnown: true, Workloads: authority.ResourceAccess | authority.Compliance}))
	q.drain()
	x.equal("as the client told", q.has(), access)
	if l := x.last(delivery.WhatWorkloads); l.Rule != "AUTH-51" || l.Detail != "Intune decides compliance, resource_access" {
		t.Errorf("journal %+v", l)
	}
	if c, d := x.World().Compliance(x.now, new(p.state())), x.World().Compliance(x.now, new(q.state())); !c.ConfigMgr || d.ConfigMgr {
		t.Errorf("Configuration Manager decides on compliance: %v and %v, want the first alone", c.ConfigMgr, d.ConfigMgr)
	}
	x.must(q.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{WorkloadsKnown: true}))
	q.drain()
	x.equal("taken back", q.has(), []string(nil))
	// A change between intune and sccm changes no workload.
	x.profile(protocol.SCCM, "wifi", protocol.WiFi, "org.wifi")
	x.set(sccm)
	x.renew()
	q.drain()
	p.drain()
	x.equal("in sccm", q.has(), []string(nil))
	x.decide(func(set *server.Settings) { set.Workloads[1] = authority.ByIntune })
	p.drain()
	x.equal("in sccm, Intune decides", p.has(), []string{"wifi:sccm"})
}

// TestAUTH47LicenceGate: by default an enrolment asks for the user's licence as soon as licences are known; settings have the
// last word.
func TestAUTH47LicenceGate(t *testing.T) {
	x := empty(t)
	x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Intune}, delivery.Settings{}))
	x.upload(topic, 365*day)
	_, err := x.PutUsers(x.ctx, x.now, []store.User{{UPN: "a@example.org"}, {UPN: "b@example.org"}})
	x.must(err)
	x.enrolled(1) // nobody's licences are known
	x.licences(server.Licence{UPN: "b@example.org", Intune: true})
	x.refused(x.newPhone(1).enrol(), protocol.RuleGates)
	x.enrolled(2)
	x.enrolled(0) // of device licences nothing is known
	x.decide(func(set *server.Settings) { set.Licences = delivery.NeverAsked })
	x.enrolled(1)
	x.licences(server.Licence{UPN: "b@example.org"})
	x.decide(func(set *server.Settings) { set.Licences = delivery.Always })
	x.refused(x.newPhone(1).enrol(), protocol.RuleGates)
	x.refused(x.newPhone(0).enrol(), protocol.RuleGates)
	x.decide(func(set *server.Settings) { set.DeviceLicences = true })
	x.enrolled(0)
	x.decide(func(set *server.Settings) {
		set.Licences, set.DeviceLicences, set.UnitsKnown = delivery.WhereKnown, false, true
	})
	x.refused(x.newPhone(1).enrol(), protocol.RuleGates)
	x.refused(x.newPhone(0).enrol(), protocol.RuleGates)
}

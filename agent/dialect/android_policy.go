package dialect

import (
	"slices"
	"strconv"
	"strings"
	"unique"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// believes tells whether a policy is this device's, signed by its server, and not older than the one in force.
func (d *Android) believes(p *android.PolicyUpdate) bool {
	device, enrollment := d.Names()
	if p.Name != "policies/"+device || p.Version < d.ver || android.Decode(p.Policy, new(android.Policy)) != nil {
		return false
	}
	signed := p.Signed(device, enrollment)
	for point := range slices.Chunk([]byte(d.bond.Value().keys), sealPoint) {
		if certs.SealKey(point).VerifiedJWS(android.PolicyType, p.Signature, signed) {
			return true
		}
	}
	return false
}

// settings returns the policy in force.
func (d *Android) settings() (p android.Policy) {
	if d.ver != 0 {
		android.Decode([]byte(d.policy.Value().policy), &p) // was read before
	}
	return p
}

// apply puts a policy in force: what differs is installed, what is not listed any more leaves, but for configuration, which stays
// (AUTH-55), and what has to go by now goes (AUTH-23, AUTH-27). Where a profile does not install, what was there before is there still.
func (d *Android) apply(now protocol.Time, p *android.PolicyUpdate) {
	var settings android.Policy
	android.Decode(p.Policy, &settings) // was read before
	faults := d.evaluate(&settings)
	listed := map[uint64]bool{}
	var fresh []*android.ManifestEntry
	for i := range p.Profiles {
		e := &p.Profiles[i]
		name := id(e.ID)
		listed[name] = true
		at := d.core.Find(name)
		switch {
		case e.RemoveAfter != 0 && e.RemoveAfter <= now:
			if at >= 0 {
				d.core.Uninstall(at)
				d.orders = append(d.orders, Order{Command: ProfileOrder, Profile: e.ID, Gone: true, Status: protocol.Acknowledged})
			}
		case e.RemoveAfter != 0: // it leaves by itself, once the device has heard of the change
		case at >= 0 && d.core.Profiles()[at].Content == uint64(e.Version): // of the authority in force now
			d.core.Install(profileIn(e))
		default:
			fresh = append(fresh, e)
		}
	}
	for at := len(d.core.Profiles()) - 1; at >= 0; at-- {
		if q := d.core.Profiles()[at]; !listed[q.Name] && q.Family != protocol.Configuration {
			d.core.Uninstall(at)
			d.unlisted(q.Name)
		}
	}
	in := policyInForce{policy: string(p.Policy), profiles: string(android.Append(nil, slices.Concat(p.Profiles, d.staying(listed))))}
	d.policy, d.ver = unique.Make(in), p.Version
	for _, e := range fresh {
		o := Order{Command: ProfileOrder, Profile: e.ID, Status: protocol.Acknowledged}
		if o.Why = d.install(now, e, p.Policy); o.Why != "" {
			faults = append(faults, fail(e, android.NotInvalidValue))
			o.Status = protocol.Failed
		}
		d.orders = append(d.orders, o)
	}
	if len(faults) > 0 {
		in.faults = string(android.Append(nil, faults))
		d.policy = unique.Make(in)
	}
}

// install puts a profile of the policy in force on the device, and returns why it could not; empty: it is there.
func (d *Android) install(now protocol.Time, e *android.ManifestEntry, policy []byte) (why string) {
	if d.habits.Fails(&d.core, e.ID, now) {
		return string(android.NotInvalidValue)
	}
	if placer := d.habits.Placer; placer != nil {
		if err := placer.Place(e.ID, uint64(e.Version), policy); err != nil {
			return err.Error()
		}
	}
	d.core.Install(profileIn(e))
	return ""
}

// profileIn is a profile of a policy as the core knows it.
func profileIn(e *android.ManifestEntry) agent.Profile {
	return agent.Profile{Name: id(e.ID), Content: uint64(e.Version), Family: e.Family}
}

// mostStaying bounds the profiles of earlier policies, in bytes.
const mostStaying = android.MaxMessage / 4

// staying are the profiles of the policy in force so far that are on the device though the new one does not list them: of that they set
// nothing. What is more than a message has room for goes (HST-120).
func (d *Android) staying(listed map[uint64]bool) (list []android.ManifestEntry) {
	room := mostStaying
	for _, e := range d.manifest() {
		name := id(e.ID)
		at := d.core.Find(name)
		if at < 0 || listed[name] {
			continue
		}
		if room -= len(android.Append(nil, &e)); room < 0 {
			d.core.Uninstall(at)
			d.unlisted(name)
			continue
		}
		e.Fields = nil
		list = append(list, e)
	}
	return list
}

// unlisted tells of a profile of the policy in force so far that has left since the new one does not list it.
func (d *Android) unlisted(name uint64) {
	for _, e := range d.manifest() {
		if id(e.ID) == name {
			d.orders = append(d.orders, Order{Command: ProfileOrder, Profile: e.ID, Gone: true, Status: protocol.Acknowledged})
		}
	}
}

// fail says that a profile could not be applied, by its first setting.
func fail(e *android.ManifestEntry, why android.NonCompliance) android.NonComplianceDetail {
	setting := "profiles"
	if len(e.Fields) > 0 {
		setting = e.Fields[0]
	}
	return android.NonComplianceDetail{SettingName: setting, FieldPath: "profiles." + e.ID, NonComplianceReason: why}
}

// evaluate says what of a policy the device cannot keep to (android.md, section 2.4).
func (d *Android) evaluate(p *android.Policy) (faults []android.NonComplianceDetail) {
	mode := d.bond.Value().mode
	no := func(setting, path, app string, why android.NonCompliance) {
		faults = append(faults, android.NonComplianceDetail{SettingName: setting, FieldPath: path, PackageName: app, NonComplianceReason: why})
	}
	if p.MinimumAPILevel > d.model.APILevel {
		no("minimumApiLevel", "", "", android.NotOSPermitted)
	}
	if p.SystemUpdate != nil && mode.WorkProfile() {
		no("systemUpdate", "", "", android.NotManagementMode)
	}
	if p.KioskCustomLauncherEnabled && mode.WorkProfile() {
		no("kioskCustomLauncherEnabled", "", "", android.NotManagementMode)
	}
	for i := range p.Applications {
		if a := &p.Applications[i]; a.InstallType == "FORCE_INSTALLED" && !d.google() {
			no("applications", "applications["+strconv.Itoa(i)+"].packageName", a.PackageName, android.NotInstalled)
		}
	}
	if v := p.AlwaysOnVPNPackage; v != nil && !d.hasApp(p, v.PackageName) {
		no("alwaysOnVpnPackage", "alwaysOnVpnPackage.packageName", v.PackageName, android.NotInstalled)
	}
	return faults
}

// hasApp tells whether an app is on the device, or comes with the policy.
func (d *Android) hasApp(p *android.Policy, name string) bool {
	for i := range p.Applications {
		if a := &p.Applications[i]; a.PackageName == name && a.InstallType == "FORCE_INSTALLED" && d.google() {
			return true
		}
	}
	return slices.ContainsFunc(d.model.Apps, func(a android.ApplicationReport) bool { return a.PackageName == name })
}

// appliedPolicy says what the device keeps to.
func (d *Android) appliedPolicy(m *android.CheckIn) {
	if d.ver == 0 {
		return
	}
	m.Applied.PolicyName, m.Applied.PolicyVersion = "policies/"+m.Device, d.ver
	var faults struct {
		Details []android.NonComplianceDetail `json:"details,omitempty"`
	}
	if text := d.policy.Value().faults; text != "" {
		android.Decode([]byte(`{"details":`+text+`}`), &faults) // we wrote it
		m.Compliant, m.NonComplianceDetails = false, faults.Details
	}
	manifest := d.manifest()
	for i := range manifest {
		e := &manifest[i]
		if at := d.core.Find(id(e.ID)); at >= 0 { // else it has left, or was never there
			p := android.AppliedProfile{ID: e.ID, Version: uint32(d.core.Profiles()[at].Content), Status: android.Applied}
			for _, f := range faults.Details {
				if !strings.HasPrefix(f.FieldPath, "profiles.") && slices.Contains(e.Fields, f.SettingName) {
					p.Status, p.Reason = android.Failed, f.NonComplianceReason
				}
			}
			m.Applied.Profiles = append(m.Applied.Profiles, p)
		}
		for _, f := range faults.Details { // what did not install stands beside what it was to replace
			if f.FieldPath == "profiles."+e.ID {
				m.Applied.Profiles = append(m.Applied.Profiles, android.AppliedProfile{ID: e.ID, Version: e.Version, Status: android.Failed, Reason: f.NonComplianceReason})
			}
		}
	}
}

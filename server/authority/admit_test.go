package authority_test

import (
	"errors"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// TestAUTH47Admit walks the gates in their order: each row's device fails this gate and, where it can, all later ones.
func TestAUTH47Admit(t *testing.T) {
	device := func(p protocol.Platform) authority.Enrolment {
		return authority.Enrolment{Device: authority.Device{Platform: p}, Licences: true}
	}
	with := func(p protocol.Platform, change func(*authority.Enrolment)) authority.Enrolment {
		e := device(p)
		change(&e)
		return e
	}
	phone, mac, pc := device(protocol.IOS), device(protocol.MacOS), device(protocol.Windows)
	everything := with(protocol.MacOS, func(e *authority.Enrolment) {
		e.ConsentMissing, e.Push, e.Devices, e.OtherMDM = "appleMDMPushCertificate", authority.PushGap, 99, true
	})
	noConsent, noPlatform, noPush, noLicence := everything, everything, everything, everything
	noPlatform.ConsentMissing = ""
	noPush.ConsentMissing, noPush.Platform = "", protocol.IOS
	noLicence = noPush
	noLicence.Push = authority.PushUsable
	for _, tt := range []struct {
		rule     protocol.Rule // "": admitted
		gate     string
		name     string
		tenant   authority.Tenant
		user     *authority.User
		device   authority.Enrolment
		retrying bool
	}{
		{"AUTH-01", "authority_unset", "all shut", unset, none, everything, false},
		{"AUTH-01", "authority_unset", "userless", unset, nil, pc, false},
		{"AUTH-05", "consent_missing", "the next", coexist, none, noConsent, false},
		{"AUTH-46", "platform_not_offered", "the next", coexist, none, noPlatform, false},
		{"AUTH-46", "platform_not_offered", "Mac", bms, basic, mac, false},
		{"AUTH-46", "platform_not_offered", "Android Management API", bms, basic, with(protocol.Android, func(e *authority.Enrolment) { e.AndroidAPI = true }), false},
		{"AUTH-19", "userless_not_offered", "refuse", bms, nil, phone, false},
		{"AUTH-30", "push_gap", "the next", coexist, none, noPush, true},
		{"AUTH-33", "push_certificate", "the next", coexist, none, with(protocol.IOS, func(e *authority.Enrolment) { e.Push, e.OtherMDM = authority.PushEnded, true }), true},
		{"", "", "the gap is Apple's", intune, entitled, with(protocol.Windows, func(e *authority.Enrolment) { e.Push = authority.PushGap }), false},
		{"", "", "a Mac outside gap.platforms", intune, entitled, with(protocol.MacOS, func(e *authority.Enrolment) {
			e.Push, e.Gap.Platforms = authority.PushGap, []protocol.Platform{protocol.IOS}
		}), false},
		{"AUTH-33", "push_certificate", "userless Mac", intune, nil, with(protocol.MacOS, func(e *authority.Enrolment) { e.Push = authority.PushEnded }), true},
		{"", "", "the certificate is Apple's", intune, entitled, with(protocol.Windows, func(e *authority.Enrolment) { e.Push = authority.PushEnded }), false},
		{"AUTH-47", "licence_missing", "the next", coexist, none, noLicence, false},
		{"AUTH-47", "licence_missing", "Intune without entitlement", intune, basic, phone, false},
		{"AUTH-47", "licence_missing", "BMS without a mailbox", bms, &authority.User{IntuneLicence: true}, phone, false},
		{"AUTH-47", "licence_missing", "AUTH-17", coexist, none, phone, false},
		{"AUTH-47", "licence_missing", "phone of a co-managed user", intune, coManaged, phone, false},
		{"", "", "co-managed PC is exempt", intune, none, with(protocol.Windows, func(e *authority.Enrolment) { e.CoManaged, e.Devices = true, 99 }), false},
		{"", "", "auto-enrolment has a client, so no licence is asked for", intune, premium, with(protocol.Windows, func(e *authority.Enrolment) { e.Way, e.Devices = authority.CoManagement, 99 }), false},
		{"AUTH-51", "premium_missing", "auto-enrolment without Azure AD Premium", intune, none, with(protocol.Windows, func(e *authority.Enrolment) {
			e.Way, e.OtherMDM = authority.CoManagement, true
		}), false},
		{"AUTH-51", "premium_missing", "an Intune licence is none", sccm, entitled, with(protocol.Windows, func(e *authority.Enrolment) { e.Way = authority.CoManagement }), false},
		{"", "", "auto-enrolment where licences are not looked at", intune, none, authority.Enrolment{Device: pc.Device, Way: authority.CoManagement}, false},
		{"", "", "licences not looked at", intune, none, authority.Enrolment{Device: phone.Device}, false},
		{"AUTH-47", "device_licence_missing", "userless", intune, nil, phone, false},
		{"", "", "userless with a device licence", intune, nil, with(protocol.IOS, func(e *authority.Enrolment) { e.DeviceLicence, e.Devices = true, 99 }), false},
		{"", "", "userless under BMS", accepting, nil, phone, false},
		{"AUTH-47", "device_limit", "15 is the default", intune, entitled, with(protocol.IOS, func(e *authority.Enrolment) { e.Devices, e.OtherMDM = 15, true }), false},
		{"", "", "the fifteenth", intune, entitled, with(protocol.IOS, func(e *authority.Enrolment) { e.Devices = 14 }), false},
		{"AUTH-47", "device_limit", "a setting", intune, entitled, with(protocol.IOS, func(e *authority.Enrolment) { e.Devices, e.Limit = 1, 1 }), false},
		{"AUTH-47", "device_limit", "at most 15", intune, entitled, with(protocol.IOS, func(e *authority.Enrolment) { e.Devices, e.Limit = 15, 40 }), false},
		{"", "", "an enrolment manager, whatever the setting", intune, manager, with(protocol.IOS, func(e *authority.Enrolment) { e.Devices, e.Limit = 999, 1 }), false},
		{"AUTH-47", "device_limit", "an enrolment manager's own", intune, manager, with(protocol.IOS, func(e *authority.Enrolment) { e.Devices = 1000 }), false},
		{"", "", "a manager's PC that joins the directory", intune, manager, with(protocol.Windows, func(e *authority.Enrolment) { e.Devices, e.Way = 1000, authority.DirectoryJoin }), false},
		{"AUTH-47", "licence_missing", "an enrolment manager has a licence", intune, &authority.User{Manager: true}, phone, false},
		{"", "", "no limit: GroupPolicy", intune, entitled, with(protocol.Windows, func(e *authority.Enrolment) { e.Devices, e.Way = 99, authority.GroupPolicy }), false},
		{"", "", "no limit: DirectoryJoin", intune, entitled, with(protocol.Windows, func(e *authority.Enrolment) { e.Devices, e.Way = 99, authority.DirectoryJoin }), false},
		{"", "", "no limit: BulkEnrolment", intune, entitled, with(protocol.Windows, func(e *authority.Enrolment) { e.Devices, e.Way = 99, authority.BulkEnrolment }), false},
		{"", "", "no limit: Autopilot", intune, entitled, with(protocol.Windows, func(e *authority.Enrolment) { e.Devices, e.Way = 99, authority.Autopilot }), false},
		{"", "", "BMS has no limit", bms, basic, with(protocol.IOS, func(e *authority.Enrolment) { e.Devices = 99 }), false},
		{"AUTH-47", "other_mdm", "the last", intune, entitled, with(protocol.IOS, func(e *authority.Enrolment) { e.OtherMDM = true }), false},
		{"", "", "open", intune, entitled, mac, false},
	} {
		t.Run(string(tt.rule)+" "+tt.name, func(t *testing.T) {
			gate, no := authority.Admit(tt.tenant, tt.user, tt.device)
			if gate.String() != tt.gate {
				t.Errorf("gate %q, want %q", gate, tt.gate)
			}
			switch {
			case tt.rule == "" && no != nil:
				t.Errorf("refused: %v", no)
			case tt.rule == "":
			case no == nil || !errors.Is(no, tt.rule) || no.Reason == "" || (no.RetryAfter > 0) != tt.retrying:
				t.Errorf("refusal %+v, want %s, retryable %v", no, tt.rule, tt.retrying)
			}
		})
	}
}

// TestAUTH30EnrolmentRefusalsCarryTheNotice: whoever is refused hears of the change, but for the tenant's first authority.
func TestAUTH30EnrolmentRefusalsCarryTheNotice(t *testing.T) {
	changed := coexist
	changed.Epoch, changed.ChangedAt = 2, 77
	e := authority.Enrolment{Device: authority.Device{Platform: protocol.IOS}, Push: authority.PushGap}
	if _, no := authority.Admit(changed, entitled, e); no == nil || no.Notice != (protocol.Notice{Epoch: 2, ChangedAt: 77, Rule: protocol.RuleRegistered}) {
		t.Errorf("refusal %+v", no)
	}
	changed.Epoch = 1
	if _, no := authority.Admit(changed, entitled, e); no == nil || no.Notice != (protocol.Notice{}) {
		t.Errorf("refusal %+v after the first authority", no)
	}
}

func TestAUTH47WhoCounts(t *testing.T) {
	const day = 24 * time.Hour
	now := protocol.At(time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC))
	for _, tt := range []struct {
		name       string
		registered protocol.Authority
		contact    protocol.Time
		want       bool
	}{
		{"today", protocol.Intune, now, true},
		{"90 days ago", protocol.Intune, now.Add(-90 * day), true},
		{"longer ago", protocol.Intune, now.Add(-90*day - time.Second), false},
		{"BMS", protocol.Office365, now, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := authority.Counts(now, tt.registered, tt.contact, 0); got != tt.want {
				t.Errorf("Counts(%s, %s) = %v, want %v", tt.registered, tt.contact, got, tt.want)
			}
		})
	}
}

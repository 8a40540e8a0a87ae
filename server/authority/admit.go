package authority

import (
	"cmp"
	"fmt"
	"time"

	"rollcall/protocol"
)

// A Gate is one of the checks at enrolment (AUTH-47), by its place in their order.
type Gate uint8

// The gates. Open: none is shut.
const (
	Open Gate = iota
	GateUnset
	GateConsent
	GatePlatform
	GateUserless // BMS enrols no userless devices (AUTH-19)
	GateGap
	GatePushEnded
	GateLicence
	GateDeviceLicence
	GatePremium // of the user of a client that Configuration Manager enrols (AUTH-51)
	GateLimit
	GateOtherMDM
)

var gateNames = [...]string{
	"", "authority_unset", "consent_missing", "platform_not_offered", "userless_not_offered", "push_gap", "push_certificate", "licence_missing", "device_licence_missing",
	"premium_missing", "device_limit", "other_mdm",
}

// String is the gate's code; empty: none is shut.
func (g Gate) String() string { return gateNames[g%Gate(len(gateNames))] }

// A Way is how a device enrols, as far as the device limit asks (AUTH-47).
type Way uint8

// The ways. The limit holds for the first only.
const (
	ByUser       Way = iota
	CoManagement     // Configuration Manager enrols its client by itself (AUTH-51)
	GroupPolicy
	DirectoryJoin
	BulkEnrolment
	Autopilot
)

// A PushGate is what the push certificate says to enrolments of Apple devices.
type PushGate uint8

// The states of a push certificate. The zero value is no objection.
const (
	PushUsable PushGate = iota
	PushGap             // not renewed since the change of authority (AUTH-30)
	PushEnded           // none, ended or refused by the push service (AUTH-33)
)

// An Enrolment is what the gates know of a device that wants to enrol. Zero fields are no objection: a caller who does
// not know a fact leaves it out.
type Enrolment struct {
	Device                       // Registered is not looked at
	ConsentMissing string        // Graph's id of the data-sharing consent that is not granted (AUTH-05)
	Push           PushGate      // looked at for the platforms that it is about
	Gap            GapSettings   // platforms for which PushGap holds
	Licences       bool          // look at licences: the user's, or DeviceLicence
	DeviceLicence  bool          // there is a device licence for a userless device
	Way            Way           // who is outside the limit
	Devices        int           // of the user that Counts counts
	Limit          int           // of devices a user; 0: 15; an enrolment manager may have 1,000
	OtherMDM       bool          // it is enrolled elsewhere
	RetryAfter     time.Duration // what a refusal for want of a push certificate says; 0: an hour
}

// Limits of devices a user and an enrolment manager, and how recent contact must be to count. The manager's is Intune's own.
const (
	maxLimit   = 15
	ofManager  = 1000
	limitAfter = 90 * 24 * time.Hour
	enrolAgain = time.Hour
)

// Counts tells whether a user's device counts against the device limit: managed by Intune, and in contact within this time
// before now (0: 90 days).
func Counts(now protocol.Time, registered protocol.Authority, contact protocol.Time, within time.Duration) bool {
	return registered == protocol.Intune && now.Sub(contact) <= cmp.Or(within, limitAfter)
}

// Admit says whether a device may enrol now: [Open] and nil, or the first gate of AUTH-47 that is shut and its refusal, which
// tells of the newest change of authority. A nil u is a userless device.
func Admit(t Tenant, u *User, e Enrolment) (Gate, *protocol.Refusal) {
	e.Registered = protocol.Unknown
	if e.Way == CoManagement { // it has Configuration Manager's client
		e.CoManaged = true
	}
	to := Resolve(t, u, e.Device)
	g := e.shut(&t, u, to)
	if g == Open {
		return Open, nil
	}
	no := &protocol.Refusal{Rule: protocol.RuleGates, Notice: t.Notice()}
	switch g {
	case GateUnset:
		no.Rule, no.Reason = protocol.RuleUnset, "no authority is set yet, so no device can enrol"
	case GateConsent:
		no.Rule, no.Reason = protocol.RuleConsent, fmt.Sprintf("the data-sharing consent %s has not been granted", e.ConsentMissing)
	case GatePlatform:
		no.Rule, no.Reason = protocol.RuleUnsupportedBMS, "basic mobility and security manages no "+e.kind()+" devices"
	case GateUserless:
		no.Rule, no.Reason = protocol.RuleUserlessEnrol, "basic mobility and security enrols no userless devices"
	case GateGap:
		no.Rule, no.Reason = protocol.RulePushGap, "the authority has changed, and its Apple push certificate is not renewed yet"
	case GatePushEnded:
		no.Rule, no.Reason = protocol.RulePushExpired, "there is no usable Apple push certificate, so the device could not be managed"
	case GateLicence:
		no.Reason = "the user has no licence for " + service(to.Authority)
	case GateDeviceLicence:
		no.Reason = "there is no device licence for a device without a user"
	case GatePremium:
		no.Rule, no.Reason = ruleWorkloads, "the user has no Azure AD Premium, which an enrolment by Configuration Manager needs"
	case GateLimit:
		no.Reason = fmt.Sprintf("the user has %d devices already, the most that are allowed", e.Devices)
	case GateOtherMDM:
		no.Reason = "the device is managed elsewhere"
	}
	if g == GateGap || g == GatePushEnded {
		if no.RetryAfter = e.RetryAfter; no.RetryAfter <= 0 {
			no.RetryAfter = enrolAgain
		}
	}
	return g, no
}

// shut returns the first gate that is.
func (e *Enrolment) shut(t *Tenant, u *User, to Resolution) Gate {
	switch {
	case t.Authority == protocol.Unknown:
		return GateUnset
	case e.ConsentMissing != "":
		return GateConsent
	case to.Authority == protocol.Unknown && to.Rule == protocol.RuleUserlessEnrol:
		return GateUserless
	case to.Authority == protocol.Unknown:
		return GatePlatform
	case e.Push == PushGap && e.Gap.Covers(e.Platform):
		return GateGap
	case e.Push == PushEnded && e.Platform.Apple():
		return GatePushEnded
	case e.Licences && u == nil && !e.DeviceLicence && to.Authority == protocol.Intune:
		return GateDeviceLicence
	case e.Licences && u != nil && !e.licensed(u, to):
		return GateLicence
	case e.Licences && u != nil && e.Way == CoManagement && !u.Premium:
		return GatePremium
	case u != nil && to.Authority == protocol.Intune && e.Way == ByUser && !to.CoManaged && e.Devices >= e.limit(u):
		return GateLimit
	case e.OtherMDM:
		return GateOtherMDM
	}
	return Open
}

func (e *Enrolment) licensed(u *User, to Resolution) bool {
	if to.Authority == protocol.Intune {
		return u.IntuneLicence || to.CoManaged
	}
	return u.BasicLicence
}

func (e *Enrolment) limit(u *User) int {
	switch {
	case u.Manager:
		return ofManager
	case e.Limit <= 0:
		return maxLimit
	}
	return min(e.Limit, maxLimit)
}

func (d *Device) kind() string {
	if d.AndroidAPI {
		return "Android Management API"
	}
	return d.Platform.String()
}

func service(a protocol.Authority) string {
	if a == protocol.Intune {
		return "Intune"
	}
	return "basic mobility and security"
}

package android

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Version is the version of the protocol that this package speaks: the member protocol of every request.
const Version = 1

// A Role is what an agent is to its device.
type Role string

// The roles. Companion is an app beside Google's own agent.
const (
	DPC       Role = "dpc" // it owns the device or the work profile
	Companion Role = "companion"
)

var roles = []Role{DPC, Companion}

// UnmarshalText takes the words above; anything else is an error that lists them.
func (r *Role) UnmarshalText(b []byte) error { return oneOf(r, b, roles) }

// A Mode is how a device is managed (android.md, section 3).
type Mode string

// The modes. AOSP devices have no Google services.
const (
	WorkProfilePersonal Mode = "WORK_PROFILE_PERSONAL" // the user's own device, with a work profile
	WorkProfileCompany  Mode = "WORK_PROFILE_COMPANY"  // the company's device, with a work profile
	FullyManaged        Mode = "FULLY_MANAGED"
	Dedicated           Mode = "DEDICATED" // userless
	AOSPUser            Mode = "AOSP_USER"
	AOSPUserless        Mode = "AOSP_USERLESS"
)

// Modes lists them in the order in which reports show them.
var Modes = []Mode{WorkProfilePersonal, WorkProfileCompany, FullyManaged, Dedicated, AOSPUser, AOSPUserless}

// UnmarshalText takes the words above; anything else is an error that lists them.
func (m *Mode) UnmarshalText(b []byte) error { return oneOf(m, b, Modes) }

// Userless tells whether a device of the mode has no user (AUTH-18).
func (m Mode) Userless() bool { return m == Dedicated || m == AOSPUserless }

// WorkProfile tells whether the agent owns a profile beside the user's own, not the device.
func (m Mode) WorkProfile() bool { return m == WorkProfilePersonal || m == WorkProfileCompany }

// CompanyOwned tells whether the device itself is the company's.
func (m Mode) CompanyOwned() bool { return m != WorkProfilePersonal }

// Google tells whether devices of the mode live with Google's services, which takes the consent for them (AUTH-05).
func (m Mode) Google() bool { return m != AOSPUser && m != AOSPUserless }

// Removal returns how management is taken off a device of the mode while personal data stays: [RemoveProfile] or [Release]. Empty: there
// is no such way, only a factory reset (android.md, section 3).
func (m Mode) Removal() Removal {
	switch m {
	case WorkProfilePersonal:
		return RemoveProfile
	case WorkProfileCompany, AOSPUser:
		return Release
	}
	return ""
}

// Wiping returns what a wipe does to a device of the mode.
func (m Mode) Wiping() Removal {
	if m == WorkProfilePersonal {
		return RemoveProfile
	}
	return Reset
}

// Leaves tells whether a device of the mode leaves management this way.
func (m Mode) Leaves(how Removal) bool { return how != "" && (how == m.Removal() || how == m.Wiping()) }

// A Removal is how a device leaves management.
type Removal string

// The removals.
const (
	RemoveProfile Removal = "PROFILE" // the work profile goes, with all that is in it
	Reset         Removal = "RESET"   // the device is reset to its factory state
	Release       Removal = "RELEASE" // management goes, personal data stays
)

// UnmarshalText takes the words above; anything else is an error that lists them.
func (r *Removal) UnmarshalText(b []byte) error {
	return oneOf(r, b, []Removal{RemoveProfile, Reset, Release})
}

// A Reason is why a device checks in.
type Reason string

// The reasons.
const (
	ReasonEnrolled Reason = "ENROLLED" // for the first time
	ReasonSchedule Reason = "SCHEDULE"
	ReasonPush     Reason = "PUSH"
	ReasonUser     Reason = "USER" // a sync by hand (AUTH-22)
	ReasonBoot     Reason = "BOOT"
	ReasonRetry    Reason = "RETRY"
)

var reasons = []Reason{ReasonEnrolled, ReasonSchedule, ReasonPush, ReasonUser, ReasonBoot, ReasonRetry}

// UnmarshalText takes the words above; anything else is an error that lists them.
func (r *Reason) UnmarshalText(b []byte) error { return oneOf(r, b, reasons) }

// A State is how a device stands (android.md, section 3).
type State string

// The states.
const (
	Provisioning State = "PROVISIONING" // its first policy is not applied yet
	Active       State = "ACTIVE"
	Disabled     State = "DISABLED"
	Lost         State = "LOST"
	Deleted      State = "DELETED"
)

var states = []State{Provisioning, Active, Disabled, Lost, Deleted}

// UnmarshalText takes the words above; anything else is an error that lists them.
func (s *State) UnmarshalText(b []byte) error { return oneOf(s, b, states) }

// A ProfileStatus is how far a profile is on a device.
type ProfileStatus string

// The statuses.
const (
	Applied ProfileStatus = "APPLIED"
	Pending ProfileStatus = "PENDING"
	Failed  ProfileStatus = "FAILED"
)

var profileStatuses = []ProfileStatus{Applied, Pending, Failed}

// UnmarshalText takes the words above; anything else is an error that lists them.
func (s *ProfileStatus) UnmarshalText(b []byte) error { return oneOf(s, b, profileStatuses) }

// A NonCompliance is why a device does not keep to a setting. Values that this package does not know are kept: Google adds some.
type NonCompliance string

// The reasons that rollcall's devices give.
const (
	NotAPILevel       NonCompliance = "API_LEVEL"       // its Android is too old for the setting
	NotManagementMode NonCompliance = "MANAGEMENT_MODE" // its mode does not have the setting
	NotUserAction     NonCompliance = "USER_ACTION"     // its user has to do something
	NotInvalidValue   NonCompliance = "INVALID_VALUE"
	NotInstalled      NonCompliance = "APP_NOT_INSTALLED"
	NotSupported      NonCompliance = "UNSUPPORTED"
	NotYet            NonCompliance = "PENDING"
	NotOSPermitted    NonCompliance = "OS_NOT_PERMITTED" // below minimumApiLevel
)

// A Schedule is the phase of the cadence that a device is in (authority.md, table "Schedules").
type Schedule string

// The phases.
const (
	Quick  Schedule = "QUICK"
	Steady Schedule = "STEADY"
)

// UnmarshalText takes the words above; anything else is an error that lists them.
func (s *Schedule) UnmarshalText(b []byte) error { return oneOf(s, b, []Schedule{Quick, Steady}) }

// Seconds is a length of time as Google's JSON has it: "28800s". Fractions are dropped.
type Seconds time.Duration

// MarshalText gives whole seconds.
func (s Seconds) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%ds", time.Duration(s)/time.Second), nil
}

// longestWait bounds what a peer may ask somebody to wait: a century.
const longestWait = 100 * 365 * 24 * time.Hour

// UnmarshalText takes what MarshalText writes, and fractions of up to nine digits; never less than nothing.
func (s *Seconds) UnmarshalText(b []byte) error {
	digits, ok := strings.CutSuffix(string(b), "s")
	d, err := time.ParseDuration(digits + "s")
	if !ok || err != nil || strings.Trim(digits, "0123456789.") != "" || d > longestWait {
		return fmt.Errorf("%.40q is no number of seconds", b)
	}
	*s = Seconds(d)
	return nil
}

func oneOf[T ~string](to *T, b []byte, words []T) error {
	if i := slices.Index(words, T(b)); i >= 0 {
		*to = words[i]
		return nil
	}
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	return fmt.Errorf("%.40q: want one of %s", b, strings.Join(names, ", "))
}

package conformance

import (
	"slices"
	"strings"
)

// A Suite is statements that are asked together.
type Suite string

// The suites.
const (
	Apple Suite = "apple"    // section 15 of the Apple specification, and hostile input
	Gap   Suite = "apns-gap" // what a server does while Apple's push certificate is not renewed

	Android Suite = "android" // what the Android specification says of servers that speak the open agent protocol

	Windows Suite = "windows" // what the Windows specification says of servers

	Device        Suite = "device"         // section 15 again, what it says of devices
	WindowsDevice Suite = "device-windows" // what the Windows specification says of devices
	AndroidDevice Suite = "device-android" // what the Android specification says of devices that speak the open agent protocol
)

// OfDevices tells whether a suite is asked of devices, by [JudgeDevice]; else it is asked of servers, by [Run].
func (s Suite) OfDevices() bool { return s == Device || s == WindowsDevice || s == AndroidDevice }

// A Class says of whom a statement is demanded.
type Class string

// The classes. Intune's are asked of a server that means to be like Intune.
const (
	OfApple  Class = "apple"
	OfIntune Class = "intune"

	OfAndroid Class = "android"
	OfWindows Class = "windows"
)

// A Statement is one promise of a server or of a device.
type Statement struct {
	ID     string // of the specification; with .apple or .android behind it where a rule has a part that binds those servers, .device where it binds both sides
	Suite  Suite
	Class  Class
	Must   bool   // else should
	Says   string // the statement, in one sentence
	Source string // where it is written
	Why    string // what happens to those whose server, or device, does not keep it, with the report that tells
	Report string // that report, where Why has none; or that none is known
	How    string // it is asked
	Fix    string
	Until  string // what it waits for, where it cannot be asked of anybody yet; empty: it is asked

	check  func(a *asking) // of a server
	try    func(t *trial)  // of a device
	serial bool            // it counts what other checks would count among
	passes bool            // minutes pass in it, by which what other checks were just given would end: in its turn, where the clock can be set
	alone  bool            // it changes what other checks stand on: the tenant, or time
	first  bool            // alone, before any other check: of a tenant in which nobody has done anything
	last   bool            // what a device met in any other check decides it too
}

// List returns all statements, by suite and id.
func List() []Statement {
	all := slices.Concat(profileStatements, scepStatements, renewalRequestStatements, enrolmentStatements, identityStatements, checkInStatements, commandStatements, automatedStatements,
		renewalStatements, pushStatements, gapStatements, lapseStatements, laterStatements, androidEnrolStatements, androidCheckInStatements, androidLeaveStatements, androidAloneStatements, androidPushStatements, androidLaterStatements,
		windowsDiscoverStatements, windowsEnrolStatements, windowsPackageStatements, windowsDocumentStatements, windowsSessionStatements, windowsLeaveStatements, windowsPushStatements, windowsProfileStatements, windowsLaterStatements, deviceEnrolStatements, deviceCommandStatements,
		windowsDeviceStatements, windowsDeviceCommandStatements, windowsDeviceLaterStatements, androidDeviceStatements, androidDeviceLaterStatements, androidDeviceAwayStatements)
	for i := range all {
		all[i].Report = reports[all[i].ID]
		switch {
		case all[i].Suite == Android, all[i].Suite == AndroidDevice:
			all[i].Report = noAndroidReport
		case (all[i].Suite == Windows || all[i].Suite == WindowsDevice) && all[i].Report == "" && !strings.Contains(all[i].Why+all[i].Source, "#") && !strings.Contains(all[i].Why+all[i].Source, "CVE-"):
			all[i].Report = noReport
		}
	}
	slices.SortStableFunc(all, func(a, b Statement) int {
		if a.Suite != b.Suite {
			return strings.Compare(string(a.Suite), string(b.Suite))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}

// Find returns the statement with this id; ok is false where there is none.
func Find(id string) (s Statement, ok bool) {
	all := List()
	i := slices.IndexFunc(all, func(s Statement) bool { return strings.EqualFold(s.ID, id) })
	if i < 0 {
		return Statement{}, false
	}
	return all[i], true
}

// inTurn tells whether no other check is asked beside it, on a server whose clock can be set.
func (s *Statement) inTurn() bool { return s.serial || s.passes || s.alone || s.first || s.last }

// Level is must or should.
func (s *Statement) Level() string {
	if s.Must {
		return "must"
	}
	return "should"
}

// Alone tells whether asking changes the whole tenant, or its time.
func (s *Statement) Alone() bool { return s.alone }

// First tells whether it is asked before all others, of a tenant that is new.
func (s *Statement) First() bool { return s.first }

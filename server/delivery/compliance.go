package delivery

import (
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// Defaults of the settings of compliance.
const (
	validity = 30 * 24 * time.Hour // of a report (AUTH-49)
	lag      = 7 * 24 * time.Hour  // of the console's figures after a change (AUTH-29)
)

// A Compliance is what three parties believe of one device. The device's own state and the directory's are right at once;
// the console's may lag after a change of authority (AUTH-29).
type Compliance struct {
	Device       bool          // it has what it should have, as of its latest report
	Reported     protocol.Time // when that was
	Directory    bool          // Device, and it has reported within the validity period (AUTH-49)
	Console      bool          // what the console shows
	ConsoleSince protocol.Time // the report that the console shows: while it lags, the last one before the change; else Reported
	ConfigMgr    bool          // Configuration Manager decides on compliance, and the directory has its word (AUTH-51)
}

// Compliance says how the enrolled device in state s complies at now. This server's device complies when each profile that
// it should have is on it. While the console lags it shows the latest report of before the change.
func (w *World) Compliance(now protocol.Time, s *State) Compliance {
	c := Compliance{Device: w.complies(s), Reported: s.LastSeen}
	valid, late := w.Settings.Validity, w.Settings.Lag
	if valid == 0 {
		valid = validity
	}
	if late == 0 {
		late = lag
	}
	c.Directory = c.Device && now.Sub(s.LastSeen) <= valid
	c.ConfigMgr = s.CoManaged && s.Platform == protocol.Windows && s.Registered != protocol.Office365 && w.Workloads(s)&authority.Compliance == 0
	c.Console, c.ConsoleSince = c.Directory, c.Reported
	if changed := w.Tenant.ChangedAt; w.Tenant.Epoch > 1 && s.EnrolledAt < changed && now < changed.Add(late) {
		before := s.Before
		if s.Heard != w.Tenant.Epoch && s.LastSeen <= changed { // nothing has been heard of it since
			before = s.latest()
		}
		c.Console, c.ConsoleSince = before.Complied && changed.Sub(before.At) <= valid, before.At
	}
	return c
}

// latest is what the device reported last: what it was to have by then was on it.
func (s *State) latest() Report {
	r := Report{At: s.LastSeen, Complied: s.Set != Unsettled && s.Set != Unfinished}
	for i := range s.Profiles {
		switch s.Profiles[i].State {
		case Installing, InstallFailed:
			r.Complied = false
		}
	}
	return r
}

// complies tells whether all that the device should have is on it.
func (w *World) complies(s *State) bool {
	for _, p := range w.Sets[w.SetOf(s)].Profiles {
		on := false
		for i := range s.Profiles {
			on = on || s.Profiles[i].Profile == p && s.Profiles[i].State == Installed
		}
		if !on {
			return false
		}
	}
	return true
}

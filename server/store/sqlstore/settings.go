package sqlstore

import (
	"database/sql/driver"
	"encoding/binary"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

var campaignColumns = []string{"one", "gap_since", "wake_from", "wake_cursor"}

// settingsColumns is the order in which settingsValues and scanSettings have the settings; the first is the key.
var settingsColumns = []string{
	"one", "lifetime", "window", "renew", "attempt_1", "attempt_2", "attempt_3", "gap_not_on_coexistence", "gap_platforms",
	"windows_keeps", "android_api_drops", "validity", "lag", "silent", "units_known", "units", "device_licences", "device_limit",
	"blast", "licences", "workloads", "pilots", "unlicensed_admins", "old_profiles", "records", "push_grace", "push_warnings",
	"cadence", "counted", "reach",
}

func settingsValues(s *delivery.Settings) []driver.Value {
	var platforms []byte // NULL: the default
	if s.Gap.Platforms != nil {
		platforms = make([]byte, len(s.Gap.Platforms))
		for i, p := range s.Gap.Platforms {
			platforms[i] = byte(p)
		}
	}
	var workloads []byte // NULL: all Configuration Manager's
	if s.Workloads != (authority.Deciders{}) {
		for _, d := range s.Workloads {
			workloads = append(workloads, byte(d))
		}
	}
	var warnings []byte // NULL: the default
	for _, days := range s.PushWarnings {
		warnings = binary.BigEndian.AppendUint16(warnings, uint16(days))
	}
	return []driver.Value{
		int64(1), int64(s.Lifetime), int64(s.Window), int64(s.Renew), int64(s.Attempts[0]), int64(s.Attempts[1]), int64(s.Attempts[2]),
		flag(s.Gap.NotOnCoexistence), platforms, flag(s.Leaving.WindowsKeeps), flag(s.Leaving.AndroidAPIDrops),
		int64(s.Validity), int64(s.Lag), int64(s.Silent), flag(s.UnitsKnown), int64(s.Units), flag(s.DeviceLicences), int64(s.DeviceLimit),
		int64(s.Blast), int64(s.Licences), workloads, s.Pilots, flag(s.UnlicensedAdmins),
		int64(s.Old), int64(s.Records), int64(s.PushGrace), warnings,
		int64(s.Cadence), int64(s.Counted), int64(s.Reach),
	}
}

func scanSettings(r *row) delivery.Settings {
	s := delivery.Settings{
		Lifetime: num[time.Duration](r), Window: num[time.Duration](r), Renew: num[time.Duration](r),
		Attempts: [3]time.Duration{num[time.Duration](r), num[time.Duration](r), num[time.Duration](r)},
		Gap:      authority.GapSettings{NotOnCoexistence: r.flag()},
	}
	if b := r.blob(); b != nil {
		s.Gap.Platforms = make([]protocol.Platform, len(b))
		for i := range b {
			s.Gap.Platforms[i] = protocol.Platform(b[i])
		}
	}
	s.Leaving = authority.LeavingSettings{WindowsKeeps: r.flag(), AndroidAPIDrops: r.flag()}
	s.Validity, s.Lag, s.Silent = num[time.Duration](r), num[time.Duration](r), num[time.Duration](r)
	s.UnitsKnown, s.Units, s.DeviceLicences, s.DeviceLimit = r.flag(), int(next[int64](r)), r.flag(), int(next[int64](r))
	s.Blast, s.Licences = int(next[int64](r)), num[delivery.LicenceGate](r)
	for i, d := range r.blob() {
		if i < len(s.Workloads) {
			s.Workloads[i] = authority.Decider(d)
		}
	}
	s.Pilots, s.UnlicensedAdmins = r.text(), r.flag()
	s.Old, s.Records, s.PushGrace = num[time.Duration](r), num[time.Duration](r), num[time.Duration](r)
	for b := r.blob(); len(b) >= 2; b = b[2:] {
		s.PushWarnings = append(s.PushWarnings, int(binary.BigEndian.Uint16(b)))
	}
	s.Cadence, s.Counted, s.Reach = num[time.Duration](r), num[time.Duration](r), num[time.Duration](r)
	return s
}

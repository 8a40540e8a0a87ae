package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

const aDay = 24 * time.Hour

// Settings are all settings of a tenant that change while it is in use.
type Settings struct {
	delivery.Settings
	AcceptUserless bool // bms.userless: accept (AUTH-19)
}

// Settings returns the tenant's.
func (s *Server) Settings() Settings {
	c := s.Content()
	return Settings{c.Settings, c.Tenant.AcceptUserless}
}

// Version stands for the values of all settings.
func (s *Settings) Version() string {
	sum := sha256.Sum256(fmt.Append(nil, *s))
	return hex.EncodeToString(sum[:8])
}

// SetSettings replaces the tenant's settings, but for bms.userless. Values outside what the rules allow are refused by rule.
func (s *Server) SetSettings(ctx context.Context, now protocol.Time, who Actor, set delivery.Settings) error {
	return s.ChangeSettings(ctx, now, who, "", func(to *Settings) { to.Settings = set })
}

// ChangeSettings has change edit the present settings, atomically. Version is that of the settings that the administrator
// has seen, or empty: if they have changed since, the change is refused and the difference named (HST-070). Values
// outside what the rules allow are refused by rule.
func (s *Server) ChangeSettings(ctx context.Context, now protocol.Time, who Actor, version string, change func(*Settings)) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	return s.attempt(ctx, now, who, "settings", who.administers(), func(ctx context.Context) error {
		present := s.Settings()
		if is := present.Version(); version != "" && version != is {
			return s.outdated(ctx, version, &present)
		}
		set := present
		change(&set)
		if err := checkSettings(&set.Settings); err != nil {
			return err
		}
		c := store.Change{Settings: &set.Settings, Lines: line(delivery.WhatSettings, "", differs(&present, &set))}
		if set.AcceptUserless != present.AcceptUserless {
			tenant := s.Content().Tenant
			tenant.AcceptUserless, c.Tenant = set.AcceptUserless, &tenant
		}
		s.keepSettings(ctx, now, &present)
		err := s.change(ctx, now, &c)
		if err == nil && (set.Silent != present.Silent || set.Records != present.Records) {
			s.outbox.sweep.Store(int64(now)) // it may concern some records right now
			s.outbox.nudge()
		}
		return err
	})
}

// settingsID is under what settings of a version are kept, beside the previews.
func settingsID(version string) string { return "settings-" + version }

// keepSettings keeps settings that are about to be others, for whoever changes those of their version: across restarts, and as long as
// a preview. Where they cannot be kept they are changed all the same.
func (s *Server) keepSettings(ctx context.Context, now protocol.Time, set *Settings) {
	b, err := json.Marshal(set)
	if err == nil {
		err = s.store.KeepPreview(ctx, &store.Preview{ID: settingsID(set.Version()), At: now, Shown: b})
	}
	if err != nil {
		s.log.WithError(err).WithField("rule", protocol.RuleOutdated).Warn("settings of before are not kept: nobody can say what is other than in them")
	}
}

// outdated refuses a change of settings of another version than the present ones, and names what is other.
func (s *Server) outdated(ctx context.Context, version string, present *Settings) error {
	kept, err := s.store.Preview(ctx, settingsID(version))
	what := fmt.Sprintf("what has changed nobody can say, it being no version of the past %d days; read the settings again, and change those", int(store.PreviewLife/aDay))
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	default:
		var was Settings
		if err := json.Unmarshal(kept.Shown, &was); err != nil {
			return fmt.Errorf("settings of version %s, as they were kept: %w", version, err)
		}
		what = differs(&was, present)
	}
	return refuse(protocol.RuleOutdated, "the settings are not those of version %s any more, but of %s: %s", version, present.Version(), what)
}

// settingWords are the settings in words, by field.
var settingWords = map[string]string{
	"Lifetime": "lifetime of identities", "Window": "renewal window", "Renew": "pause between renewals", "Attempts": "further wake-ups",
	"NotOnCoexistence": "no gap when Intune is added", "Platforms": "platforms in the gap",
	"WindowsKeeps": "Windows keeps what is unassigned", "AndroidAPIDrops": "Android Management API drops what is unassigned",
	"Validity": "compliance is valid for", "Lag": "lag of the console", "Silent": "silent records are deleted after",
	"Old": "profiles of the authority before stay for", "Records": "records outlive their identity by", "PushGrace": "grace of a push certificate",
	"PushWarnings": "days of warning before a push certificate ends", "AcceptUserless": "userless devices under BMS",
	"Cadence": "Apple devices are woken every", "Counted": "devices count against the limit for", "Reach": "a wipe or retire is repeated after",
	"UnitsKnown": "licence units are known", "Units": "licence units", "DeviceLicences": "device licences", "DeviceLimit": "devices a user may have",
	"Licences": "enrolment asks for licences", "Workloads": "workloads", "Pilots": "pilot group", "Blast": "devices touched in an hour", "UnlicensedAdmins": "administrators need no licence",
}

// differs says in words which settings are others, and what they were; empty: none is.
func differs(was, is *Settings) string {
	return strings.Join(differing(reflect.ValueOf(*was), reflect.ValueOf(*is)), "; ")
}

func differing(was, is reflect.Value) (out []string) {
	for i := range was.NumField() {
		a, b := was.Field(i), is.Field(i)
		switch {
		case a.Kind() == reflect.Struct:
			out = append(out, differing(a, b)...)
		case !reflect.DeepEqual(a.Interface(), b.Interface()):
			out = append(out, fmt.Sprintf("%s: %v, was %v", settingWords[was.Type().Field(i).Name], b.Interface(), a.Interface()))
		}
	}
	return out
}

func checkSettings(set *delivery.Settings) error {
	switch a := set.Attempts; {
	case set.Silent != 0 && (set.Silent < 30*aDay || set.Silent > 270*aDay):
		return refuse(protocol.RuleCleanUp, "records are deleted after 30 to 270 silent days, or never")
	case set.Validity != 0 && (set.Validity < aDay || set.Validity > 120*aDay):
		return refuse(protocol.RuleValidity, "a report of compliance is valid for 1 to 120 days")
	case set.DeviceLimit < 0 || set.DeviceLimit > 15:
		return refuse(protocol.RuleGates, "a user may have 1 to 15 devices")
	case a[0] < 0, a[0] > a[1] && a[1] != 0, a[1] > a[2] && a[2] != 0:
		return refuse(protocol.RuleCampaign, "each further wake-up comes later than the one before")
	case set.Blast < -1:
		return refuse(protocol.RuleBlast, "an hour may touch a number of devices, 0 for the default, or -1 for any number")
	case set.Licences > delivery.NeverAsked:
		return refuse(protocol.RuleGates, "licences are asked for where they are known, always or never")
	case set.Old < 0 || set.Old > 90*aDay:
		return refuse(protocol.RuleSevenDays, "profiles of the authority before stay for 1 to 90 days after a change, or 0 for the default of 7")
	case set.Records < 0 || set.Records > 3650*aDay:
		return refuse(protocol.RuleRecordKept, "records outlive their identity by 1 to 3650 days, or 0 for the default of 180")
	case set.PushGrace < 0 || set.PushGrace > 365*aDay:
		return refuse(protocol.RulePushExpired, "a push certificate that has ended can be renewed for 1 to 365 days, or 0 for the default of 30")
	case !goodWarnings(set.PushWarnings):
		return refuse(protocol.RulePushExpired, "a push certificate is warned of 1 to 365 days before its end, %d times at most, the longest first and none twice; none is the default of 30, 14, 7 and 1", mostWarnings)
	case set.Cadence != 0 && (set.Cadence < time.Hour || set.Cadence > protocol.LongestCadence):
		return refuse(protocol.RuleRegistered, "Apple devices are woken every 1 to 24 hours, or 0 for the default of 8")
	case set.Counted < 0 || set.Counted > 365*aDay:
		return refuse(protocol.RuleGates, "a device counts against the limit of its user for 1 to 365 days after its latest contact, or 0 for the default of 90")
	case set.Reach != 0 && (set.Reach < time.Minute || set.Reach > time.Hour):
		return refuse(protocol.RuleRetire, "a wipe or retire that a device has not heard of is repeated after 1 to 60 minutes, or 0 for the default of 15")
	case set.Lifetime != 0 && (set.Lifetime < time.Hour || set.Lifetime > 3650*aDay):
		return refuse(protocol.RuleLifetime, "an identity lives for 1 hour to 3650 days, or 0 for the default of 365 days")
	case set.Window < 0 || set.Window > 365*aDay, set.Renew < 0 || set.Renew > 90*aDay:
		return refuse(protocol.RuleRenewal, "an identity is renewed within 365 days before its end at most, and asked again after 90 days at most; 0 is the default of 42 and 7 days")
	case set.Lag < 0 || set.Lag > 90*aDay:
		return refuse("AUTH-29", "the console lags for 1 to 90 days, or 0 for the default of 7")
	case set.Units < 0:
		return refuse("AUTH-09", "intune_units: %d: a tenant owns 0 licences that entitle Intune, or more", set.Units)
	}
	for _, p := range set.Gap.Platforms {
		if !p.Apple() {
			return refuse(protocol.RulePushGap, "the gap holds Apple's platforms only, not %s", p)
		}
	}
	return nil
}

// mostWarnings bounds how often the end of a push certificate is warned of.
const mostWarnings = 8

func goodWarnings(days []int) bool {
	for i, d := range days {
		if d < 1 || d > 365 || i > 0 && d >= days[i-1] {
			return false
		}
	}
	return len(days) <= mostWarnings
}

// SetCleanUp sets the clean-up rule: records silent for this many days, 30 to 270, are deleted; 0 switches it off
// (AUTH-48).
func (s *Server) SetCleanUp(ctx context.Context, now protocol.Time, who Actor, days int) error {
	return s.ChangeSettings(ctx, now, who, "", func(set *Settings) { set.Silent = time.Duration(days) * aDay })
}

package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

const aDay = 24 * time.Hour

// A SettingsVersion stands for the values of all settings.
func SettingsVersion(set *delivery.Settings) string {
	sum := sha256.Sum256(fmt.Append(nil, *set))
	return hex.EncodeToString(sum[:8])
}

// SetSettings replaces the tenant's settings. Values outside what the rules allow are refused by rule.
func (s *Server) SetSettings(ctx context.Context, now protocol.Time, who Actor, set delivery.Settings) error {
	return s.ChangeSettings(ctx, now, who, "", func(to *delivery.Settings) { *to = set })
}

// ChangeSettings has change turn the present settings into other ones, with nobody else's change between. Version is the
// version of the settings that the administrator has seen, or empty: where they are others now, the change is refused and
// the difference named (HST-070). Values outside what the rules allow are refused by rule.
func (s *Server) ChangeSettings(ctx context.Context, now protocol.Time, who Actor, version string, change func(*delivery.Settings)) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	return s.attempt(ctx, now, who, "settings", who.administers(), func(ctx context.Context) error {
		present := s.Content().Settings
		if is := SettingsVersion(&present); version != "" && version != is {
			return refuse(protocol.RuleOutdated, "the settings are not those of version %s any more, but of %s: %s", version, is, s.settings.since(version, &present))
		}
		set := present
		change(&set)
		if err := checkSettings(&set); err != nil {
			return err
		}
		s.settings.keep(&present)
		return s.change(ctx, now, &store.Change{Settings: &set, Lines: line(delivery.WhatSettings, "", differs(&present, &set))})
	})
}

// settingsKept is how many settings of before are remembered, to name what has changed since.
const settingsKept = 16

// pastSettings are the latest settings of before, by version. Guarded by Server.admin.
type pastSettings struct {
	versions []string
	of       map[string]delivery.Settings
}

func (p *pastSettings) keep(set *delivery.Settings) {
	v := SettingsVersion(set)
	if _, known := p.of[v]; known {
		return
	}
	if p.of == nil {
		p.of = map[string]delivery.Settings{}
	}
	p.of[v] = *set
	if p.versions = append(p.versions, v); len(p.versions) > settingsKept {
		delete(p.of, p.versions[0])
		p.versions = p.versions[1:]
	}
}

func (p *pastSettings) since(version string, present *delivery.Settings) string {
	was, known := p.of[version]
	if !known {
		return "what has changed, nobody remembers"
	}
	return differs(&was, present)
}

// settingWords are the settings in words, by field.
var settingWords = map[string]string{
	"Lifetime": "lifetime of identities", "Window": "renewal window", "Renew": "pause between renewals", "Attempts": "further wake-ups",
	"NotOnCoexistence": "no gap when Intune is added", "Platforms": "platforms in the gap",
	"WindowsKeeps": "Windows keeps what is unassigned", "AndroidAPIDrops": "Android Management API drops what is unassigned",
	"Validity": "compliance is valid for", "Lag": "lag of the console", "Silent": "silent records are deleted after",
	"UnitsKnown": "licence units are known", "Units": "licence units", "DeviceLicences": "device licences", "DeviceLimit": "devices a user may have",
	"Licences": "enrolment asks for licences", "Workloads": "workloads", "Pilots": "pilot group", "Blast": "devices touched in an hour", "UnlicensedAdmins": "administrators need no licence",
}

// differs says in words which settings are others, and what they were; empty: none is.
func differs(was, is *delivery.Settings) string {
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

// SetCleanUp sets the clean-up rule: records silent for this many days, 30 to 270, are deleted; 0 switches it off
// (AUTH-48).
func (s *Server) SetCleanUp(ctx context.Context, now protocol.Time, who Actor, days int) error {
	err := s.ChangeSettings(ctx, now, who, "", func(set *delivery.Settings) { set.Silent = time.Duration(days) * aDay })
	if err == nil {
		s.outbox.sweep.Store(int64(now)) // it may concern some right now
		s.outbox.nudge()
	}
	return err
}

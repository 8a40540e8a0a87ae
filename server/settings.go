package server

import (
	"context"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

const aDay = 24 * time.Hour

// SetSettings replaces the tenant's settings. Values outside what the rules allow are refused by rule.
func (s *Server) SetSettings(ctx context.Context, now protocol.Time, who Actor, set delivery.Settings) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	return s.attempt(ctx, now, who, "settings", who.administers(), func(ctx context.Context) error {
		if err := checkSettings(&set); err != nil {
			return err
		}
		return s.change(ctx, now, &store.Change{Settings: &set, Lines: line(delivery.WhatSettings, "", "")})
	})
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
	case set.Units < 0:
		return refuse("AUTH-09", "a tenant owns no fewer than 0 licences")
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
	set := s.Content().Settings
	set.Silent = time.Duration(days) * aDay
	err := s.SetSettings(ctx, now, who, set)
	if err == nil {
		s.outbox.sweep.Store(int64(now)) // it may concern some right now
		s.outbox.nudge()
	}
	return err
}

package server

import (
	"context"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/push"
	"rollcall/server/store"
)

// alarmAgain is after how long the same alarm of a push service is raised again: it may be one for each device.
const alarmAgain = 24 * time.Hour

// alarms are what was raised of the push services of Windows and Android.
type alarms struct {
	mu   sync.Mutex
	last map[protocol.Platform]raised
}

type raised struct {
	reason string
	at     protocol.Time
}

// raise tells whether this alarm is to be raised now, and takes note that it is.
func (a *alarms) raise(p protocol.Platform, reason string, now protocol.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was, ok := a.last[p]
	if ok && was.reason == reason && now.Sub(was.at) < alarmAgain && now >= was.at {
		return false
	}
	if a.last == nil {
		a.last = make(map[protocol.Platform]raised)
	}
	a.last[p] = raised{reason, now}
	return true
}

// alarm says once that the push service of a platform refuses us, or what a device gave us as its address: somebody has set
// something up wrong (WIN-042).
func (s *Server) alarm(ctx context.Context, now protocol.Time, p protocol.Platform, a *push.Answer) error {
	if !s.outbox.alarms.raise(p, a.Reason, now) {
		return nil
	}
	log := s.log.WithFields(logrus.Fields{"platform": p, "reason": a.Reason})
	if !a.Suspend {
		log.Error("the push service refuses what a device gave as its address")
		return nil
	}
	log.Error("the push service refuses this server: its devices come by their schedules only")
	s.admin.Lock()
	defer s.admin.Unlock()
	return s.apply(ctx, now, &store.Change{Lines: line(delivery.WhatPushRefused, "", p.String()+": "+a.Reason)})
}

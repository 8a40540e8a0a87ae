package server

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/logs"
	"rollcall/server/store"
)

// What an hour may do to devices (HST-071), unless a setting says otherwise.
const (
	blastHour    = time.Hour
	blastDefault = 1000
	blastNames   = 10 // that the journal has of one act; the others are counted
)

// blasts are what was done to many devices within the last hour. The journal has it too, so that a restart does not begin
// a new hour.
type blasts struct {
	mu   sync.Mutex
	read bool // of the journal
	done []blast
}

type blast struct {
	at      protocol.Time
	devices int
}

// spend holds n more devices against the bound of an hour, and writes into the journal what is about to be done to them,
// before it is. The refusal says how many may be touched now.
func (s *Server) spend(ctx context.Context, now protocol.Time, n int, what string) error {
	b := &s.blasts
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := s.readBlasts(ctx, now); err != nil {
		return err
	}
	most := s.World().Settings.Blast
	if most == 0 {
		most = blastDefault
	}
	b.settle(now)
	b.done = slices.DeleteFunc(b.done, func(x blast) bool { return now.Sub(x.at) >= blastHour })
	used := 0
	for _, x := range b.done {
		used += x.devices
	}
	if most > 0 && used+n > most {
		return refuse(protocol.RuleBlast, "%s touches %d devices, and in an hour %d may be, of which %d were already: wait, or raise the blast limit", what, n, most, used)
	}
	lines := line(delivery.WhatBlast, protocol.RuleBlast, fmt.Sprintf("%d devices: %s", n, what))
	if err := s.apply(ctx, now, &store.Change{Lines: lines}); err != nil {
		return err
	}
	b.done = append(b.done, blast{now, n})
	return nil
}

// settle moves what was done at moments that are still to come, for the clock was set back since and nobody saw it: the latest of
// it counts as done just now, so that an hour later the limit is free again (HST-110).
func (b *blasts) settle(now protocol.Time) {
	var ahead time.Duration
	for _, x := range b.done {
		ahead = max(ahead, x.at.Sub(now))
	}
	for i := range b.done {
		if x := &b.done[i]; x.at > now {
			x.at = x.at.Add(-ahead)
		}
	}
}

// setBlasts has the hour go on where it stands after the clock was set by jumped, to now: set ahead it is not over, set back it
// does not last until the old time comes again (HST-110).
func (s *Server) setBlasts(ctx context.Context, now protocol.Time, jumped time.Duration) error {
	b := &s.blasts
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := s.readBlasts(ctx, now.Add(-jumped)); err != nil {
		return err
	}
	for i := range b.done {
		b.done[i].at = b.done[i].at.Add(jumped)
	}
	return nil
}

// readBlasts reads what the process before this one did within the hour.
func (s *Server) readBlasts(ctx context.Context, now protocol.Time) error {
	if s.blasts.read {
		return nil
	}
	f := store.LineFilter{What: delivery.WhatBlast, Since: now.Add(-blastHour) + 1}
	for {
		lines, err := s.store.Journal(ctx, f, sweepPage)
		if err != nil {
			return err
		}
		for i := range lines {
			text, _, _ := strings.Cut(lines[i].Detail, " ")
			if n, err := strconv.Atoi(text); err == nil {
				s.blasts.done = append(s.blasts.done, blast{lines[i].At, n})
			}
			f.After = lines[i].Seq
		}
		if len(lines) < sweepPage {
			s.blasts.read = true
			return nil
		}
	}
}

// someOf is what the journal names of these devices.
func someOf(devices []string) string {
	some := make([]string, 0, blastNames+1)
	for _, id := range devices[:min(len(devices), blastNames)] {
		some = append(some, logs.Escape(id))
	}
	if more := len(devices) - blastNames; more > 0 {
		some = append(some, fmt.Sprintf("%d more", more))
	}
	return strings.Join(some, ", ")
}

// counted holds the number that an administrator has typed against the devices that an act touches.
func counted(what string, typed, n int) error {
	if n == typed || n == 0 {
		return nil
	}
	devices := "devices"
	if n == 1 {
		devices = "device"
	}
	if typed == 0 {
		return refuse(protocol.RuleBlast, "%s %d %s: say that number to do it (count)", what, n, devices)
	}
	return refuse(protocol.RuleBlast, "%s %d %s, not %d (count)", what, n, devices, typed)
}

// strands holds an act that strands n devices against their number, as typed by whoever wants it, and against what an hour may
// do (HST-071). Act and about are the words for it before and after it is known to be meant.
func (s *Server) strands(ctx context.Context, now protocol.Time, n, typed int, act, about string) error {
	if n == 0 {
		return nil
	}
	if err := counted(act+" strands", typed, n); err != nil {
		return err
	}
	return s.spend(ctx, now, n, about+", which strands them")
}

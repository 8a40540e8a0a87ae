package server

import (
	"context"
	"errors"
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

// counted holds the number that an administrator has typed against the devices that an act touches.
func counted(what string, typed, n int) error {
	if n == typed || n == 0 {
		return nil
	}
	if typed == 0 {
		return refuse(protocol.RuleBlast, "%s %d devices: say that number to do it (count)", what, n)
	}
	return refuse(protocol.RuleBlast, "%s %d devices, not %d (count)", what, n, typed)
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

// A Wiping is one device of a wipe: what was ordered, or would be, or why not.
type Wiping struct {
	Device  protocol.Device
	ID      string
	Command protocol.CommandID
	No      error // it cannot be wiped; nil: it is
}

// PreviewWipe says which of these devices a wipe would erase, without erasing any. The error wraps store.ErrNotFound where
// one is not known.
func (s *Server) PreviewWipe(ctx context.Context, devices []protocol.Device) ([]Wiping, error) {
	out := make([]Wiping, len(devices))
	for i, d := range devices {
		r, err := s.store.Record(ctx, d)
		if err != nil {
			return nil, err
		}
		out[i] = Wiping{Device: d, ID: r.ID}
		if r.State.Life != delivery.Enrolled {
			out[i].No = refuse(protocol.RuleNotRenewed, "the device is not enrolled")
		}
	}
	return out, nil
}

// Wipe erases devices at their next check-in. Of several their number is asked for, as typed by whoever wants it; all count
// against what an hour may do, and before the first order the journal says what is about to be done (HST-071). One that is not
// enrolled is refused by itself, and the others are erased.
func (s *Server) Wipe(ctx context.Context, now protocol.Time, who Actor, devices []protocol.Device, pin string, typed int) (out []Wiping, err error) {
	s.admin.Lock()
	err = s.attempt(ctx, now, who, "wipe", who.helps(), func(ctx context.Context) error {
		if out, err = s.PreviewWipe(ctx, devices); err != nil {
			return err
		}
		if len(devices) > 1 {
			if err := counted("the wipe erases", typed, len(devices)); err != nil {
				return err
			}
		}
		var names []string
		n := 0
		for i := range out {
			if out[i].No != nil {
				continue
			}
			if n++; n <= blastNames {
				names = append(names, logs.Escape(out[i].ID))
			}
		}
		if n > blastNames {
			names = append(names, fmt.Sprintf("%d more", n-blastNames))
		}
		if n == 0 {
			return nil
		}
		return s.spend(ctx, now, n, "about to be wiped: "+strings.Join(names, ", "))
	})
	s.admin.Unlock()
	if err != nil {
		return nil, err
	}
	ctx = As(ctx, who.Name)
	for i := range out {
		if out[i].No != nil && len(out) > 1 {
			continue
		}
		out[i].Command, out[i].No = s.Order(ctx, now, out[i].Device, protocol.Command{Kind: protocol.Erase, PIN: pin})
		if _, refused := errors.AsType[*protocol.Refusal](out[i].No); out[i].No != nil && !refused {
			return out, out[i].No // the caller may ask again: who has the order already gets a second one, which erases nothing more
		}
	}
	return out, nil
}

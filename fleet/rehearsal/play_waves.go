package rehearsal

import (
	"context"
	"fmt"
	"slices"

	"rollcall/fleet"
	"rollcall/protocol"
	"rollcall/server"
)

// A wave is users who get licences at one moment. They concern nobody but their own devices, so no window ends with one: else there would
// be no long ones while licences come hour by hour, and each device's data would have to be fetched again for each of its check-ins.
type wave struct {
	fleet.Wave
	action uint64 // of which it is: a user is in one wave of an action
}

// upcoming are the first of the acts to come, those that are done within a window that ends with to at the latest, and when it ends so that
// the others come in time.
func (p *player) upcoming(to protocol.Time) (waves []act, end protocol.Time) {
	for n := 0; n < len(p.acts); {
		switch a := &p.acts[n]; {
		case a.at >= to:
			return p.acts[:n], to
		case a.daily && p.part.ends > a.at: // no identity has ended since the devices were looked at
			p.acts = slices.Delete(p.acts, n, n+1)
		case a.wave == nil || !p.unseen():
			return p.acts[:n], a.at
		default:
			n++
		}
	}
	return p.acts, to
}

// of are the first and the number after the last of the wave's users who are the partition's.
func (w *wave) of(k *part) (from, to int) {
	from, _ = slices.BinarySearch(w.Users, k.first)
	to, _ = slices.BinarySearch(w.Users, k.first+k.users)
	return from, to
}

// licenses gives the partition's users of a wave their licences.
func (k *part) licenses(ctx context.Context, now protocol.Time, w *wave) error {
	from, to := w.of(k)
	list := make([]server.Licence, 0, to-from)
	for i := from; i < to; i++ {
		l := &w.Licences[i]
		list = append(list, server.Licence{UPN: l.UPN, Intune: l.Intune, Basic: l.Basic, CoManaged: l.CoManaged, Premium: l.Premium})
	}
	return k.license(ctx, now, list, w.Users[from:to])
}

// through plays the partition up to a moment, and not what happens in it, with the waves that come meanwhile.
func (k *part) through(ctx context.Context, to protocol.Time) error {
	k.horizon = to - 1
	k.loop.cools()
	for n := len(k.waves) - 1; n >= 0; n-- {
		k.expect(k.waves[n:], false)
	}
	from := k.now
	for n := range k.waves {
		at := k.waves[n].at
		err := k.upTo(from, at)
		if err == nil {
			err = k.licenses(ctx, at, k.waves[n].wave)
		}
		if err != nil {
			return fmt.Errorf("at %s: %w", at, err)
		}
		k.expect(k.waves[n:], true)
		from = at
	}
	err := k.upTo(from, to)
	k.lines.sort()
	return err
}

// expect notes when the next wave is that concerns the devices of the first of waves: that one or, where it is done, one of another
// action.
func (k *part) expect(waves []act, done bool) {
	if k.licensed == nil {
		k.licensed = make([]protocol.Time, len(k.units))
	}
	w := waves[0].wave
	from, to := w.of(k)
	for _, u := range w.Users[from:to] {
		at := waves[0].at
		if done {
			at = 0
			for i := 1; i < len(waves) && at == 0; i++ {
				if later := waves[i].wave; later.action != w.action {
					if _, its := slices.BinarySearch(later.Users, u); its {
						at = waves[i].at
					}
				}
			}
		}
		for _, i := range k.devicesOf(u) {
			k.licensed[i] = at
		}
	}
}

package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// wakeSpacing spreads the wake-ups of one change.
const wakeSpacing = time.Millisecond

// change makes a change of the catalogue durable, with the wake-ups of all devices whose profiles it changes (AUTH-52), and
// takes it into use. The caller has s.admin.
func (s *Server) change(ctx context.Context, now protocol.Time, c *store.Change) error {
	if s.alone != nil && s.Content().Relicenses(c) {
		return s.relicense(ctx, now, c)
	}
	next := newSnapshot(s.Content().With(c), s.snap.Load())
	old := s.World()
	changed, switched := changedUsers(old, next.world), old.Settings.Workloads != next.world.Settings.Workloads || old.Settings.Pilots != next.world.Settings.Pilots
	s.spread(now, c)
	for {
		c.Wake = nil
		err := s.affected(ctx, changed, switched, c)
		if err == nil {
			err = s.apply(ctx, now, c)
		}
		if errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
			continue // one of them was removed meanwhile
		}
		if err != nil {
			return err
		}
		break
	}
	if c.Push != nil && !c.Push.Suspended {
		if err := s.usePushCertificate(c.Push); err != nil { // before anything is sent under it
			return err
		}
	}
	if s.alone != nil {
		next.content, _ = s.store.Load(ctx) // one for both
	}
	next.world.Doubt = s.doubted
	s.show(next)
	s.outbox.nudge()
	return nil
}

// spread says when the devices that c wakes are woken: after now, the first one too, so that it does not matter which one it is.
func (s *Server) spread(now protocol.Time, c *store.Change) {
	c.WakeAt = now.Add(wakeSpacing * time.Duration(s.cfg.Part+1))
	c.Spacing = wakeSpacing * time.Duration(s.cfg.Others+1)
}

// wakes is a campaign that begins now.
func (s *Server) wakes(now protocol.Time) delivery.Campaign {
	c := delivery.Campaign{From: now, Others: uint32(s.cfg.Others)}
	if s.cfg.Part > 0 {
		c.From = (&delivery.Campaign{From: now}).Turn(protocol.Device(s.cfg.Part))
	}
	return c
}

// affected has c wake the enrolled devices of the users whose profiles change, and, where workloads were switched, the
// co-managed ones.
func (s *Server) affected(ctx context.Context, changed []bool, switched bool, c *store.Change) error {
	if changed == nil && !switched {
		return nil
	}
	return s.store.States(ctx, func(st *delivery.State) {
		if st.Life == delivery.Enrolled && (int(st.User) < len(changed) && changed[st.User] || switched && st.CoManaged) {
			c.Wake = append(c.Wake, st.Device)
		}
	})
}

// line is one journal line of the tenant.
func line(what delivery.What, r protocol.Rule, detail string) []delivery.Effect {
	return []delivery.Effect{{Kind: delivery.Journal, Rule: r, What: what, Detail: detail}}
}

// refuse says no to an administrator.
func refuse(r protocol.Rule, format string, args ...any) error {
	return &protocol.Refusal{Rule: r, Reason: fmt.Sprintf(format, args...)}
}

// Releases that decide how a tenant starts (AUTH-02), where none was given.
const (
	firstAutomatic = 1911
	lastUnset      = 1910
)

// SetUp sets the tenant up, once: its release, its settings and, unless the release decides (AUTH-02), its authority.
// Epoch and ChangedAt of t are not looked at. Setting up again with the same authority, or with none, changes the other
// settings; another authority is refused.
func (s *Server) SetUp(ctx context.Context, now protocol.Time, t authority.Tenant, set delivery.Settings) error {
	return s.SetUpWith(ctx, now, t, func(to *delivery.Settings) { *to = set })
}

// SetUpWith is SetUp where change edits the present settings, atomically.
func (s *Server) SetUpWith(ctx context.Context, now protocol.Time, t authority.Tenant, change func(*delivery.Settings)) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	old, set := s.Content().Tenant, s.Content().Settings
	change(&set)
	switch {
	case t.Release != 0:
	case old.Release != 0:
		t.Release = old.Release
	case t.Authority == protocol.Unknown || t.Authority == protocol.Intune:
		t.Release = firstAutomatic
	default:
		t.Release = lastUnset
	}
	rule := protocol.Rule("AUTH-04")
	initial := authority.Initial(t.Release)
	switch {
	case t.Authority == protocol.Unknown && old.Authority != protocol.Unknown:
		t.Authority, t.Coexistence = old.Authority, old.Coexistence
	case t.Authority == protocol.Unknown:
		t.Authority, rule = initial, protocol.RuleRelease
	case old.Authority == protocol.Unknown && initial != protocol.Unknown && t.Authority != initial:
		return refuse(protocol.RuleRelease, "a tenant of release %d starts as %s by itself", t.Release, initial)
	}
	switch {
	case t.Coexistence && t.Authority != protocol.Office365:
		return refuse("AUTH-04", "coexistence stands beside office365 only")
	case old.Authority != protocol.Unknown && (t.Authority != old.Authority || t.Coexistence != old.Coexistence):
		return refuse("AUTH-04", "the authority is %s; a change of authority changes it", old.Name())
	}
	t.Epoch, t.ChangedAt = old.Epoch, old.ChangedAt
	if t.Authority != old.Authority {
		t.Epoch, t.ChangedAt = old.Epoch+1, now
	}
	return s.change(ctx, now, &store.Change{
		Tenant: &t, Settings: &set, Lines: line(delivery.WhatTenant, rule, fmt.Sprintf("authority %s, release %d", t.Authority, t.Release)),
	})
}

// PutUsers adds users or replaces those that exist, by UPN without case; ID is not looked at. It returns their IDs in the
// same order. Devices whose profiles change are woken (AUTH-52). More licences that entitle Intune than the tenant owns are
// refused (AUTH-09), and so are other licences than before where devices would move by them: SetLicences does that (AUTH-23,
// AUTH-24).
func (s *Server) PutUsers(ctx context.Context, now protocol.Time, users []store.User) ([]delivery.UserID, error) {
	names := make([]string, len(users))
	for i := range users {
		names[i] = users[i].UPN
	}
	return s.PutUsersWith(ctx, now, names, func(i int, u *store.User) { *u = users[i] })
}

// PutUsersWith is PutUsers where change edits each user, a new or an existing one, by its index in names, atomically.
func (s *Server) PutUsersWith(ctx context.Context, now protocol.Time, names []string, change func(i int, u *store.User)) (ids []delivery.UserID, err error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	who := Actor{actorIn(ctx), store.GlobalAdministrator}
	err = s.attempt(ctx, now, who, "users", true, func(ctx context.Context) error {
		ids, err = s.putUsers(ctx, now, names, change)
		return err
	})
	return ids, err
}

func (s *Server) putUsers(ctx context.Context, now protocol.Time, names []string, change func(i int, u *store.User)) ([]delivery.UserID, error) {
	snap := s.snap.Load()
	next := delivery.UserID(len(snap.world.Users))
	fresh := map[string]delivery.UserID{}
	ids := make([]delivery.UserID, len(names))
	c := store.Change{Users: make([]store.User, len(names)), Lines: line(delivery.WhatTenant, "", fmt.Sprintf("%d users", len(names)))}
	for i, name := range names {
		upn := strings.ToLower(name)
		if upn == "" {
			return nil, refuse("HST-014", "a user without a name")
		}
		id, known := snap.users[upn]
		if !known {
			if id, known = fresh[upn]; !known {
				id = next
				fresh[upn] = id
				next++
			}
		}
		u := store.User{UPN: name}
		if was, ok := s.UserByUPN(name); ok {
			u = was
			change(i, &u)
			if u.User != was.User {
				if err := s.unmoved(ctx, &was, &u); err != nil {
					return nil, err
				}
				c.Lines = append(c.Lines, userLines(&was, &u)...)
			}
		} else {
			change(i, &u)
		}
		u.ID, ids[i] = id, id
		c.Users[i] = u
	}
	if err := withinUnits(snap.content, c.Users); err != nil {
		return nil, err
	}
	return ids, s.change(ctx, now, &c)
}

// unmoved refuses other licences of a user whose devices they would move: that goes by SetLicences, which says so before.
func (s *Server) unmoved(ctx context.Context, was, is *store.User) error {
	if !s.Content().Tenant.Coexistence || was.IntuneLicence == is.IntuneLicence && was.CoManaged == is.CoManaged {
		return nil // it moves no device (I9)
	}
	n, err := s.devicesOf(ctx, is.ID)
	if err == nil && n > 0 {
		err = refuse(licenceRule(&was.User, &is.User), "%s has %d enrolled devices that would move: change licences with users licences, which shows it", was.UPN, n)
	}
	return err
}

// devicesOf counts a user's devices that are enrolled, or may be again.
func (s *Server) devicesOf(ctx context.Context, u delivery.UserID) (n int, err error) {
	for _, d := range s.owners.devices(nil, u) {
		r, err := s.store.Record(ctx, d)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
		if err == nil && r.State.User == u && (r.State.Life == delivery.Enrolling || r.State.Life == delivery.Enrolled || r.State.Life == delivery.Deleted) {
			n++
		}
	}
	return n, nil
}

// RemoveUser takes a user with all licences from the tenant. One with enrolled devices is refused: they would have nobody.
// The error wraps store.ErrNotFound when there is no such user.
func (s *Server) RemoveUser(ctx context.Context, now protocol.Time, who Actor, upn string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	return s.attempt(ctx, now, who, "user "+upn, who.administers(), func(ctx context.Context) error {
		u, ok := s.UserByUPN(upn)
		if !ok {
			return fmt.Errorf("user %q: %w", upn, store.ErrNotFound)
		}
		n, err := s.devicesOf(ctx, u.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			return refuse(protocol.RuleRetire, "%s has enrolled devices, %d: retire them first", u.UPN, n)
		}
		gone := store.User{ID: u.ID, UPN: u.UPN, Name: u.Name, Removed: true}
		return s.change(ctx, now, &store.Change{Users: []store.User{gone}, Lines: line(delivery.WhatTenant, "", "user "+u.UPN+" removed")})
	})
}

// PutSerials assigns devices to the tenant for automated enrolment.
func (s *Server) PutSerials(ctx context.Context, now protocol.Time, serials []store.Serial) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	who := Actor{actorIn(ctx), store.GlobalAdministrator}
	return s.attempt(ctx, now, who, "serial numbers", true, func(ctx context.Context) error {
		if len(s.Content().Serials) == 0 { // the first use of automated enrolment
			if err := s.needsConsent(ConsentADE); err != nil {
				return err
			}
		}
		return s.change(ctx, now, &store.Change{Serials: serials, Lines: line(delivery.WhatTenant, "", fmt.Sprintf("%d serial numbers", len(serials)))})
	})
}

// PutToken keeps a token of the admin API, or changes the one with its name.
func (s *Server) PutToken(ctx context.Context, now protocol.Time, t store.Token) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	what := "token " + t.Name
	if t.Revoked {
		what += " revoked"
	}
	return s.change(ctx, now, &store.Change{Tokens: []store.Token{t}, Lines: line(delivery.WhatTenant, "", what)})
}

// Secret returns the server's own secret of this name, made by make and kept at the first call.
func (s *Server) Secret(ctx context.Context, now protocol.Time, name string, make func() ([]byte, error)) ([]byte, error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	if kept, ok := s.Content().Secrets[name]; ok {
		return kept, nil
	}
	secret, err := make()
	if err == nil {
		err = s.change(ctx, now, &store.Change{Secrets: map[string][]byte{name: secret}})
	}
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	return secret, nil
}

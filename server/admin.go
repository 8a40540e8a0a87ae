package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	next := newSnapshot(s.Content().With(c))
	changed := changedSets(s.World(), next.world)
	c.WakeAt, c.Spacing = now.Add(wakeSpacing), wakeSpacing // after now, the first one too: which one it is must not matter
	for {
		c.Wake = nil
		err := s.affected(ctx, changed, c)
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
	s.snap.Store(next)
	s.outbox.nudge()
	return nil
}

// affected has c wake the enrolled devices of the users whose profiles change.
func (s *Server) affected(ctx context.Context, changed []bool, c *store.Change) error {
	if changed == nil {
		return nil
	}
	return s.eachRecord(ctx, func(r *store.Record) {
		if st := &r.State; st.Life == delivery.Enrolled && int(st.User) < len(changed) && changed[st.User] {
			c.Wake = append(c.Wake, st.Device)
		}
	})
}

// eachRecord calls f with every record, by number.
func (s *Server) eachRecord(ctx context.Context, f func(r *store.Record)) error {
	for after := protocol.Device(0); ; {
		page, err := s.store.Records(ctx, after, sweepPage)
		if err != nil {
			return err
		}
		for i := range page {
			f(&page[i])
		}
		if len(page) < sweepPage {
			return nil
		}
		after = page[len(page)-1].State.Device
	}
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
	s.admin.Lock()
	defer s.admin.Unlock()
	old := s.Content().Tenant
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
		return refuse("AUTH-04", "the authority is %s; this server cannot change it yet", old.Authority)
	}
	t.Epoch, t.ChangedAt = old.Epoch, old.ChangedAt
	if t.Authority != old.Authority {
		t.Epoch, t.ChangedAt = old.Epoch+1, now
	}
	return s.change(ctx, now, &store.Change{
		Tenant: &t, Settings: &set, Lines: line(delivery.WhatTenant, rule, fmt.Sprintf("authority %s, release %d", t.Authority, t.Release)),
	})
}

// PutUsers adds users or changes those that exist, by UPN without case; ID is not looked at. It returns their IDs in the
// same order. Devices whose profiles change are woken (AUTH-52).
func (s *Server) PutUsers(ctx context.Context, now protocol.Time, users []store.User) ([]delivery.UserID, error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	snap := s.snap.Load()
	next := delivery.UserID(len(snap.world.Users))
	fresh := map[string]delivery.UserID{}
	ids := make([]delivery.UserID, len(users))
	c := store.Change{Users: make([]store.User, len(users)), Lines: line(delivery.WhatTenant, "", fmt.Sprintf("%d users", len(users)))}
	for i, u := range users {
		upn := strings.ToLower(u.UPN)
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
		u.ID, ids[i] = id, id
		c.Users[i] = u
	}
	return ids, s.change(ctx, now, &c)
}

// ApplyProfile makes payload the newest version of the profile called name, unless it is already, and assigns it to
// groups besides those that have it. A nil payload changes assignments only. Family and identifier belong to the name
// and are those of payload; one identifier belongs to one name.
func (s *Server) ApplyProfile(ctx context.Context, now protocol.Time, name string, family protocol.Family, identifier string, payload []byte, groups []string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	content := s.Content()
	present := content.Newest(name)
	c := store.Change{Lines: line(delivery.WhatTenant, protocol.RuleWake, "profile "+name)}
	for _, g := range groups {
		c.Assign = append(c.Assign, store.Assignment{Profile: name, Group: g})
	}
	switch {
	case payload == nil && present == nil:
		return fmt.Errorf("profile %q: %w", name, store.ErrNotFound)
	case payload == nil, present != nil && string(present.Payload) == string(payload):
		return s.change(ctx, now, &c)
	case name == "" || identifier == "" || family == protocol.NoFamily:
		return refuse("HST-014", "a profile needs a name, an identifier and a family")
	case present != nil && (present.Identifier != identifier || present.Family != family):
		return refuse("AUTH-26", "profile %q is %s with identifier %s; another document needs another name", name, present.Family, present.Identifier)
	}
	for i := range content.Profiles {
		if p := &content.Profiles[i]; p.Identifier == identifier && p.Name != name {
			return refuse("AUTH-26", "identifier %s belongs to profile %q, which it would replace", identifier, p.Name)
		}
	}
	c.Profiles = []store.Profile{{
		Number: protocol.Profile(len(s.World().Profiles)), Name: name, Family: family, Identifier: identifier, Payload: slices.Clone(payload),
	}}
	return s.change(ctx, now, &c)
}

// Unassign takes a profile from a group; RemoveProfile takes it from all and forgets it. The devices of the users drop
// it (AUTH-55). The error wraps store.ErrNotFound when there is no such profile or assignment.
func (s *Server) Unassign(ctx context.Context, now protocol.Time, name, group string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	a := store.Assignment{Profile: name, Group: group}
	if !slices.Contains(s.Content().Assignments, a) {
		return fmt.Errorf("profile %q of group %q: %w", name, group, store.ErrNotFound)
	}
	return s.change(ctx, now, &store.Change{
		Unassign: []store.Assignment{a}, Lines: line(delivery.WhatTenant, protocol.RuleUnassigned, "profile "+name+" unassigned from "+group),
	})
}

// RemoveProfile is described at [Server.Unassign].
func (s *Server) RemoveProfile(ctx context.Context, now protocol.Time, name string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	content := s.Content()
	p := content.Newest(name)
	if p == nil {
		return fmt.Errorf("profile %q: %w", name, store.ErrNotFound)
	}
	removed := *p
	removed.Removed = true
	c := store.Change{Profiles: []store.Profile{removed}, Lines: line(delivery.WhatTenant, protocol.RuleUnassigned, "profile "+name+" removed")}
	for _, a := range content.Assignments {
		if a.Profile == name {
			c.Unassign = append(c.Unassign, a)
		}
	}
	return s.change(ctx, now, &c)
}

// PutSerials assigns devices to the tenant for automated enrolment.
func (s *Server) PutSerials(ctx context.Context, now protocol.Time, serials []store.Serial) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	return s.change(ctx, now, &store.Change{Serials: serials, Lines: line(delivery.WhatTenant, "", fmt.Sprintf("%d serial numbers", len(serials)))})
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

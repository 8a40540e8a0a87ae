package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A ProfileChange is a new version of a profile, new assignments of it, or both.
type ProfileChange struct {
	Authority  protocol.Authority // whose profile it is: Intune, SCCM (Intune's in a co-managed tenant) or Office365; Unknown: of the tenant's
	Name       string
	Family     protocol.Family
	Identifier string
	Payload    []byte // nil: assignments only
	Groups     []string
}

// A ProfileRemoval takes a profile from groups; without groups it takes the profile from all, and forgets it.
type ProfileRemoval struct {
	Authority protocol.Authority // whose profile it is; Unknown: of the tenant's
	Name      string
	Groups    []string
}

// PutProfile makes p.Payload the newest version of the authority's profile called p.Name, unless it is already, and
// assigns it to groups besides those that have it. Family and identifier belong to the name and are those of the
// payload; one identifier belongs to one name, whichever authorities have a profile so called: on the device it is the
// name (AUTH-26). Basic Mobility and Security has email and configuration only (AUTH-46).
//
// Confirm is the ID of a preview of the same change, or empty; AUTH-35 refuses an empty one where devices would end
// without profiles by it. What would happen now comes back with that refusal, and with HST-070.
func (s *Server) PutProfile(ctx context.Context, now protocol.Time, who Actor, p ProfileChange, confirm string) (*Preview, error) {
	return s.changeProfile(ctx, now, who, p.Name, confirm, func(c *store.Content) (*profileStep, error) { return putProfile(c, p) })
}

// PreviewProfile says what [Server.PutProfile] with the same p would do now (AUTH-35).
func (s *Server) PreviewProfile(ctx context.Context, now protocol.Time, p ProfileChange) (*Preview, error) {
	content := s.Content()
	step, err := putProfile(content, p)
	if err != nil {
		return nil, err
	}
	return s.shown(ctx, now)(s.planProfile(ctx, now, content, step))
}

// TakeProfile takes a profile from groups, or from all. The devices of the users drop it (AUTH-55). The error wraps
// store.ErrNotFound when there is no such profile or assignment. Confirm is that of [Server.PutProfile].
func (s *Server) TakeProfile(ctx context.Context, now protocol.Time, who Actor, r ProfileRemoval, confirm string) (*Preview, error) {
	return s.changeProfile(ctx, now, who, r.Name, confirm, func(c *store.Content) (*profileStep, error) { return takeProfile(c, r) })
}

// PreviewRemoval says what [Server.TakeProfile] with the same r would do now (AUTH-35).
func (s *Server) PreviewRemoval(ctx context.Context, now protocol.Time, r ProfileRemoval) (*Preview, error) {
	content := s.Content()
	step, err := takeProfile(content, r)
	if err != nil {
		return nil, err
	}
	return s.shown(ctx, now)(s.planProfile(ctx, now, content, step))
}

// ApplyProfile is PutProfile by the server itself, of the tenant's authority.
func (s *Server) ApplyProfile(ctx context.Context, now protocol.Time, name string, family protocol.Family, identifier string, payload []byte, groups []string) error {
	_, err := s.PutProfile(ctx, now, System, ProfileChange{Name: name, Family: family, Identifier: identifier, Payload: payload, Groups: groups}, "")
	return err
}

// EnrolmentIdentifier is the top-level PayloadIdentifier of every enrolment profile, and of no other: what makes a renewal
// replace the profile of the enrolment, and what a device is told to remove when it is retired.
const EnrolmentIdentifier = "rollcall.enrolment"

// A profileStep is a change of the catalogue of profiles, not made yet.
type profileStep struct {
	store.Change
	of   protocol.Authority // whose profile
	what string             // names the change in its preview's identity
}

// changeProfile makes a change of profiles unless its preview is refused.
func (s *Server) changeProfile(ctx context.Context, now protocol.Time, who Actor, name, confirm string, step func(*store.Content) (*profileStep, error)) (p *Preview, err error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	err = s.attempt(ctx, now, who, "profile "+name, who.administers(), func(ctx context.Context) error {
		content := s.Content()
		c, err := step(content)
		if err != nil {
			return err
		}
		if s.cfg.Unseen {
			return s.change(ctx, now, &c.Change)
		}
		if p, err = s.planProfile(ctx, now, content, c); err != nil {
			return err
		}
		if err := s.confirmed(ctx, now, p, confirm); err != nil {
			return err
		}
		late, err := s.late(ctx, now, content, content.With(&c.Change))
		if err != nil {
			return err
		}
		c.Lines = append(c.Lines, late...)
		return s.change(ctx, now, &c.Change)
	})
	return p, err
}

// putProfile is the step of a PutProfile.
func putProfile(content *store.Content, p ProfileChange) (*profileStep, error) {
	if p.Authority == protocol.Unknown {
		p.Authority = owner(content.Tenant)
	}
	present := content.Newest(p.Authority, p.Name)
	c := &profileStep{of: p.Authority, what: fmt.Sprintf("profile %s %q to %q: %x", p.Authority, p.Name, p.Groups, sha256.Sum256(p.Payload))}
	c.Lines = line(delivery.WhatTenant, protocol.RuleWake, "profile "+p.Name)
	for _, g := range p.Groups {
		c.Assign = append(c.Assign, store.Assignment{Profile: p.Name, Group: g, Authority: p.Authority})
	}
	switch {
	case p.Payload == nil && present == nil:
		return nil, fmt.Errorf("profile %q: %w", p.Name, store.ErrNotFound)
	case p.Payload == nil, present != nil && string(present.Payload) == string(p.Payload):
		return c, nil
	case p.Name == "" || p.Identifier == "" || p.Family == protocol.NoFamily:
		return nil, refuse("HST-014", "a profile needs a name, an identifier and a family")
	case p.Identifier == EnrolmentIdentifier: // installed, it would replace that; removed, it would end the enrolment
		return nil, refuse(protocol.RuleNamesake, "PayloadIdentifier %s is the enrolment profile's", p.Identifier)
	case p.Authority == protocol.Office365 && p.Family != protocol.Email && p.Family != protocol.Configuration:
		return nil, refuse(protocol.RuleUnsupportedBMS, "basic mobility and security has email and configuration profiles only; %q is %s", p.Name, p.Family)
	case present != nil && (present.Identifier != p.Identifier || present.Family != p.Family):
		return nil, refuse(protocol.RuleNamesake, "profile %q is %s with identifier %s; another document needs another name", p.Name, present.Family, present.Identifier)
	}
	number := protocol.Profile(1)
	for i := range content.Profiles {
		q := &content.Profiles[i]
		if q.Identifier == p.Identifier && q.Name != p.Name {
			return nil, refuse(protocol.RuleNamesake, "identifier %s belongs to profile %q, which it would replace", p.Identifier, q.Name)
		}
		number = q.Number + 1 // they are in order
	}
	c.Profiles = []store.Profile{{
		Number: number, Authority: p.Authority, Name: p.Name, Family: p.Family, Identifier: p.Identifier, Payload: slices.Clone(p.Payload),
	}}
	return c, nil
}

// takeProfile is the step of a TakeProfile.
func takeProfile(content *store.Content, r ProfileRemoval) (*profileStep, error) {
	if r.Authority == protocol.Unknown {
		r.Authority = owner(content.Tenant)
	}
	c := &profileStep{of: r.Authority, what: fmt.Sprintf("profile %s %q from %q", r.Authority, r.Name, r.Groups)}
	for _, g := range r.Groups {
		x := store.Assignment{Profile: r.Name, Group: g, Authority: r.Authority}
		if !slices.Contains(content.Assignments, x) {
			return nil, fmt.Errorf("profile %q of group %q: %w", r.Name, g, store.ErrNotFound)
		}
		c.Unassign = append(c.Unassign, x)
		c.Lines = append(c.Lines, line(delivery.WhatTenant, protocol.RuleUnassigned, "profile "+r.Name+" unassigned from "+g)...)
	}
	if len(r.Groups) > 0 {
		return c, nil
	}
	p := content.Newest(r.Authority, r.Name)
	if p == nil {
		return nil, fmt.Errorf("profile %q: %w", r.Name, store.ErrNotFound)
	}
	removed := *p
	removed.Removed = true
	c.Profiles, c.Lines = []store.Profile{removed}, line(delivery.WhatTenant, protocol.RuleUnassigned, "profile "+r.Name+" removed")
	for _, x := range content.Assignments {
		if x.Profile == r.Name && x.Authority == r.Authority {
			c.Unassign = append(c.Unassign, x)
		}
	}
	return c, nil
}

// planProfile previews a change of profiles. It asks for a confirmation only of what is worse after it than before. Of a
// profile that is made for an authority to come it says too what that finds on the devices then.
func (s *Server) planProfile(ctx context.Context, now protocol.Time, content *store.Content, c *profileStep) (*Preview, error) {
	next := content.With(&c.Change)
	p, err := s.look(ctx, now, content, next)
	if err != nil {
		return nil, err
	}
	step := step{what: c.what, empty: empty(next, c.Assign)}
	if p.Unprotected > 0 {
		before, err := s.look(ctx, now, content, content)
		if err != nil {
			return nil, err
		}
		step.unprotected = before.Unprotected
	}
	if a := c.of; !inForce(&content.Tenant, a) && content.Tenant.Authority != protocol.Unknown {
		later := authority.Change{Authority: a, Force: true}
		if a == protocol.Intune && content.Tenant.Authority == protocol.Office365 { // Intune is added, not put in its place
			later = authority.Change{Authority: protocol.Office365, Coexistence: true}
			step.removes = profilesOf(next, protocol.Office365)
		}
		step.later = (&authority.Tenant{Authority: later.Authority, Coexistence: later.Coexistence}).Name()
		then, err := s.planAuthority(ctx, now, next, later)
		if _, refused := errors.AsType[*protocol.Refusal](err); err != nil && !refused {
			return nil, err
		}
		if then != nil {
			step.misnamed = then.Misnamed
		}
	}
	p.finish(next, &step)
	return p, nil
}

// empty lists the groups of assignments that nobody is in.
func empty(c *store.Content, list []store.Assignment) (groups []string) {
	for _, x := range list {
		if !slices.ContainsFunc(c.Users, func(u store.User) bool { return !u.Removed && slices.Contains(u.Groups, x.Group) }) {
			groups = append(groups, x.Group)
		}
	}
	return groups
}

// profilesOf counts a's profiles, whatever their versions.
func profilesOf(c *store.Content, a protocol.Authority) int {
	names := map[string]struct{}{}
	for i := range c.Profiles {
		if p := &c.Profiles[i]; p.Authority == a && c.Newest(a, p.Name) != nil {
			names[p.Name] = struct{}{}
		}
	}
	return len(names)
}

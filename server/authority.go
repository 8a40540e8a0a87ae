package server

import (
	"context"
	"fmt"
	"strings"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// PreviewAuthority says what change would do now, without changing anything (AUTH-35). A refused change comes back as
// its refusal. Change.At is not looked at.
func (s *Server) PreviewAuthority(ctx context.Context, now protocol.Time, change authority.Change) (*Preview, error) {
	content := s.Content()
	p, err := s.planAuthority(ctx, now, content, change)
	if err == nil {
		s.warnAdmin(p, content, actorIn(ctx))
	}
	return s.shown(ctx, now)(p, err)
}

// SetAuthority changes the tenant's authority (AUTH-02 to 04, AUTH-08, AUTH-09): one commit of epoch, time and campaign of
// wake-ups. Devices move later, each at its own completed check-in. Confirm is the ID of a preview of the same change, or
// empty; AUTH-35 refuses an empty one where Preview.Confirm says that it is needed. A refusal changes nothing and is in the
// journal; by HST-070 when what was previewed is not what would happen now: its reason names the difference. What would happen
// now comes back with these two, so that the caller can show it. A change that strands devices needs their number in count,
// and they count against what an hour may do (HST-071).
func (s *Server) SetAuthority(ctx context.Context, now protocol.Time, who Actor, change authority.Change, confirm string, count int) (p *Preview, err error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	what := "authority " + (&authority.Tenant{Authority: change.Authority, Coexistence: change.Coexistence}).Name()
	err = s.attempt(ctx, now, who, what, who.administers(), func(ctx context.Context) error {
		content := s.Content()
		if p, err = s.planAuthority(ctx, now, content, change); err != nil {
			return err
		}
		s.warnAdmin(p, content, who.Name)
		if err := s.confirmed(ctx, now, p, confirm); err != nil {
			return err
		}
		if p.After != p.Before {
			if err := s.strands(ctx, now, p.Stranded, count, "the change", "the authority is about to be "+p.After.Name()); err != nil {
				return err
			}
		}
		switch {
		case p.After == p.Before && p.After.Authority == protocol.Unknown: // it was the choice of none
			return s.change(ctx, now, &store.Change{Lines: line(delivery.WhatTenant, protocol.RuleRelease, "none is chosen: the authority stays unknown")})
		case p.After == p.Before:
			return s.unchanged(ctx, now, fmt.Sprintf("%s: it is that already, in epoch %d", what, p.After.Epoch))
		}
		return s.change(ctx, now, s.authorityChange(now, content, p))
	})
	return p, err
}

// authorityChange is the commit of a change of authority.
func (s *Server) authorityChange(now protocol.Time, content *store.Content, p *Preview) *store.Change {
	detail := fmt.Sprintf("from %s to %s, epoch %d: %d pending, %d stale, %d stranded", p.Before.Name(), p.After.Name(), p.After.Epoch, p.Pending, p.Stale, p.Stranded)
	rule := protocol.Rule("AUTH-04")
	if p.Unsupported {
		detail += ", unsupported and forced"
	}
	c := transition(now, content, p.After, p.OpensGap)
	c.Campaign.Wakes = s.wakes(now)
	c.Lines = line(delivery.WhatAuthority, rule, detail)
	if p.OpensGap && content.Campaign.Gap == 0 { // else it is open already, as the journal says
		c.Lines = append(c.Lines, line(delivery.WhatGapOpened, protocol.RulePushGap, "until a renewed certificate is uploaded for "+p.After.Slot().String())...)
	}
	return c
}

// transition is what a change of authority does to the tenant, whether it is previewed or made (AUTH-35, I10).
func transition(now protocol.Time, content *store.Content, after authority.Tenant, opens bool) *store.Change {
	c := &store.Change{Tenant: &after, Campaign: &store.Campaign{Gap: content.Campaign.Gap, Wakes: content.Campaign.Wakes}}
	switch cert := inUse(content); {
	case c.Campaign.Gap != 0: // it is open already
	case opens:
		c.Campaign.Gap = now
	case cert != nil && cert.Slot != after.Slot(): // the tenant keeps its one certificate (gap.onCoexistence off)
		kept := *cert
		kept.Slot = after.Slot()
		c.Push = &kept
	}
	return c
}

// TokenOf prefixes the name of a token of the admin API to that of its administrator.
const TokenOf = "token:"

// warnAdmin says that the administrator, whose token is called as a user of the tenant, holds no licence that entitles Intune
// (AUTH-08). It is no part of what is confirmed, for it says nothing of the devices.
func (s *Server) warnAdmin(p *Preview, content *store.Content, name string) {
	upn, named := strings.CutPrefix(name, TokenOf)
	u, ok := s.UserByUPN(upn)
	if !named || !ok || u.IntuneLicence || content.Settings.UnlicensedAdmins || p.After == p.Before {
		return
	}
	p.Warnings = append(p.Warnings, Warning{protocol.RuleRoles, fmt.Sprintf(
		"the administrator %s holds no licence that entitles Intune: assign one, or allow unlicensed administrators (rollcall authority settings --unlicensed-admins)", u.UPN)})
}

// planAuthority previews a change of content.
func (s *Server) planAuthority(ctx context.Context, now protocol.Time, content *store.Content, change authority.Change) (*Preview, error) {
	before := content.Tenant
	change.At, change.Kept = now, content.Settings.Old
	users, err := s.onBMS(ctx, content)
	if err != nil {
		return nil, err
	}
	after, no := authority.Transition(before, change, authority.Facts{Unowned: unowned(content), OnBMS: users})
	if no != nil {
		return nil, no
	}
	opens := authority.OpensGap(before, after, content.Settings.Gap)
	return s.plan(ctx, now, content, content.With(transition(now, content, after, opens)), step{
		enables:  after != before && after.Authority == protocol.Office365 && after.Coexistence,
		opensGap: opens, unsupported: authority.Unsupported(before, after), nothing: after == before,
	})
}

// onBMS counts the users whose devices resolve to office365 under coexistence (AUTH-04).
func (s *Server) onBMS(ctx context.Context, content *store.Content) (n int, err error) {
	t := content.Tenant
	if t.Authority != protocol.Office365 || !t.Coexistence {
		return 0, nil
	}
	w := s.World()
	seen := map[delivery.UserID]bool{}
	err = s.store.States(ctx, func(st *delivery.State) {
		if u := w.User(st.User); st.Life == delivery.Enrolled && u != nil && !seen[st.User] {
			if authority.Resolve(t, u, st.Subject()).Authority == protocol.Office365 {
				seen[st.User] = true
			}
		}
	})
	return len(seen), err
}

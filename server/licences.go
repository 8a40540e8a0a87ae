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

// A Licence is what one user holds after a change of licences.
type Licence struct {
	UPN       string // without case
	Intune    bool   // a licence that entitles Intune
	Basic     bool   // a licence that BMS serves
	CoManaged bool   // under co-management (AUTH-15)
	Premium   bool   // Azure AD Premium (AUTH-51)
}

// namesOf are the users of licences, and become what gives each of them its own.
func namesOf(licences []Licence) (names []string, become func(i int, u *authority.User)) {
	names = make([]string, len(licences))
	for i := range licences {
		names[i] = licences[i].UPN
	}
	return names, func(i int, u *authority.User) {
		l := &licences[i]
		*u = authority.User{IntuneLicence: l.Intune, BasicLicence: l.Basic, CoManaged: l.CoManaged, Premium: l.Premium, Manager: u.Manager}
	}
}

// PreviewLicences says what SetLicences with the same list would do now (AUTH-23, AUTH-24, AUTH-35).
func (s *Server) PreviewLicences(ctx context.Context, now protocol.Time, licences []Licence) (*Preview, error) {
	names, become := namesOf(licences)
	return s.PreviewLicencesWith(ctx, now, names, become)
}

// PreviewLicencesWith says what SetLicencesWith with the same names and change would do now.
func (s *Server) PreviewLicencesWith(ctx context.Context, now protocol.Time, names []string, change func(i int, u *authority.User)) (*Preview, error) {
	snap := s.snap.Load()
	users, err := snap.licensed(names, change)
	if err != nil {
		return nil, err
	}
	return s.shown(ctx, now)(s.planUsers(ctx, now, snap.content, users))
}

// SetLicences gives users these licences and takes others away (AUTH-09, AUTH-23, AUTH-24). More Intune licences than the
// units owned are refused. Under coexistence the devices of these users re-resolve at once, are woken, and move at their
// next check-in; elsewhere nothing moves (I9). Confirm is the ID of a preview of the same list, or empty. An unknown user
// is refused by AUTH-09.
func (s *Server) SetLicences(ctx context.Context, now protocol.Time, who Actor, licences []Licence, confirm string) (p *Preview, err error) {
	names, become := namesOf(licences)
	return s.SetLicencesWith(ctx, now, who, names, become, confirm)
}

// SetLicencesWith is SetLicences where change edits what each user holds, by its index in names, atomically. A preview covers
// what they held before, too: if that has changed since, Confirm is refused, and they are named (HST-070).
func (s *Server) SetLicencesWith(ctx context.Context, now protocol.Time, who Actor, names []string, change func(i int, u *authority.User), confirm string) (p *Preview, err error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	err = s.attempt(ctx, now, who, "licences", who.administers(), func(ctx context.Context) error {
		snap := s.snap.Load()
		users, err := snap.licensed(names, change)
		if err != nil {
			return err
		}
		if s.cfg.Unseen {
			err = withinUnits(snap.content, users)
		} else if p, err = s.planUsers(ctx, now, snap.content, users); err == nil {
			err = s.confirmed(ctx, now, p, confirm)
		}
		if err != nil {
			return err
		}
		c := store.Change{Users: users}
		for i := range users {
			was := s.World().Users[users[i].ID].User
			if was == users[i].User {
				continue
			}
			c.Lines = append(c.Lines, licenceLine(&was, &users[i])...)
		}
		if c.Lines == nil {
			return s.unchanged(ctx, now, fmt.Sprintf("licences of %d users: they hold them already", len(users)))
		}
		return s.change(ctx, now, &c)
	})
	return p, err
}

// licenceLine is what the journal says of a change of one user's licences.
func licenceLine(was *authority.User, is *store.User) []delivery.Effect {
	return line(delivery.WhatLicences, licenceRule(was, &is.User), is.UPN+": "+holds(&is.User))
}

// userLines are what the journal says of a user who is another than before.
func userLines(was, is *store.User) (out []delivery.Effect) {
	if was.Manager != is.Manager {
		now := "an enrolment manager"
		if was.Manager {
			now = "no enrolment manager any more"
		}
		out = line(delivery.WhatTenant, protocol.RuleGates, is.UPN+" is "+now)
	}
	held := was.User
	if held.Manager = is.Manager; held != is.User {
		out = append(out, licenceLine(&was.User, is)...)
	}
	return out
}

func licenceRule(was, is *authority.User) protocol.Rule {
	if was.IntuneLicence && !is.IntuneLicence {
		return protocol.RuleLicenceLost
	}
	return protocol.RuleLicenceMoves
}

// holds says a user's licences in a few words.
func holds(u *authority.User) string {
	var out []string
	if u.IntuneLicence {
		out = append(out, "intune")
	}
	if u.BasicLicence {
		out = append(out, "basic")
	}
	if u.CoManaged {
		out = append(out, "co-managed")
	}
	if u.Premium {
		out = append(out, "premium")
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, ", ")
}

// licensed are the users with their new licences.
func (s *snapshot) licensed(names []string, change func(i int, u *authority.User)) ([]store.User, error) {
	users := make([]store.User, len(names))
	for i, name := range names {
		u, ok := s.userByUPN(name)
		if !ok {
			return nil, refuse("AUTH-09", "there is no user %q to hold a licence", name)
		}
		change(i, &u.User)
		users[i] = u
	}
	return users, nil
}

// planUsers previews a change of users. It refuses more licences than there are units (AUTH-09).
func (s *Server) planUsers(ctx context.Context, now protocol.Time, content *store.Content, users []store.User) (*Preview, error) {
	if err := withinUnits(content, users); err != nil {
		return nil, err
	}
	next := content.With(&store.Change{Users: users})
	licensed := make([]Licensed, len(users))
	for i := range users {
		u := &users[i]
		licensed[i] = Licensed{u.UPN, holds(&content.User(u.ID).User), holds(&u.User)}
	}
	return s.plan(ctx, now, content, next, step{what: fmt.Sprintf("%q", licensed), licensed: licensed})
}

// A Licensed is a user whose licences a change sets, and what it holds before and after, in words.
type Licensed struct{ UPN, Was, Is string }

// relicensed names the users who hold something else now than when was was shown, the first few.
func (p *Preview) relicensed(was *Preview) string {
	held := make(map[string]string, len(was.Licensed))
	for _, l := range was.Licensed {
		held[l.UPN] = l.Was
	}
	var words []string
	others := 0
	for _, l := range p.Licensed {
		switch before, shown := held[l.UPN]; {
		case !shown || before == l.Was:
		case len(words) == named:
			others++
		default:
			words = append(words, fmt.Sprintf("%s holds %s by now, and held %s", l.UPN, l.Was, before))
		}
	}
	if others > 0 {
		words = append(words, fmt.Sprintf("and %d more users hold other licences", others))
	}
	return strings.Join(words, "; ")
}

// withinUnits refuses a change of users after which more of them hold an Intune licence than the tenant owns, and more than
// before it.
func withinUnits(content *store.Content, users []store.User) error {
	units := unitsOf(content)
	if !units.Known {
		return nil
	}
	before := units.Free
	seen := make(map[delivery.UserID]bool, len(users))
	for i := len(users) - 1; i >= 0; i-- { // of one who is there twice the last counts
		was := content.User(users[i].ID)
		switch {
		case seen[users[i].ID]:
		case users[i].IntuneLicence && (was == nil || !was.IntuneLicence):
			units.Free--
		case !users[i].IntuneLicence && was != nil && was.IntuneLicence:
			units.Free++
		}
		seen[users[i].ID] = true
	}
	if units.Free < 0 && units.Free < before {
		return refuse("AUTH-09", "the tenant owns %d licences that entitle Intune, and %d users would hold one", units.Owned, units.Owned-units.Free)
	}
	return nil
}

// SetUnits says how many licences that entitle Intune the tenant owns; negative: not known (AUTH-09). While it is known,
// enrolment asks for licences (AUTH-47).
func (s *Server) SetUnits(ctx context.Context, now protocol.Time, who Actor, units int) error {
	return s.ChangeSettings(ctx, now, who, "", func(set *Settings) { set.UnitsKnown, set.Units = units >= 0, max(units, 0) })
}

package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
)

// A wanted is an authority by name, coexistence among them.
type wanted struct {
	authority   protocol.Authority
	coexistence bool
	given       bool // in a request
}

const coexistence = "coexistence"

func (w *wanted) UnmarshalText(b []byte) error {
	if string(b) == coexistence {
		*w = wanted{protocol.Office365, true, true}
		return nil
	}
	*w = wanted{given: true}
	if string(b) == "none" { // AUTH-02: leaves a tenant unknown that is
		return nil
	}
	if w.authority.UnmarshalText(b) != nil {
		return fmt.Errorf("%q is no authority: want intune, sccm, office365, coexistence or none", b)
	}
	return nil
}

func (w wanted) MarshalText() ([]byte, error) {
	if w.coexistence {
		return []byte(coexistence), nil
	}
	return w.authority.MarshalText()
}

// A preview is what a change would do, or did (AUTH-35). All counts but users are devices.
type preview struct {
	ID          string        `json:"id"` // confirms the same change, as long as the world is the same
	Before      wanted        `json:"before"`
	After       wanted        `json:"after"`
	Epoch       uint32        `json:"epoch"`
	ChangedAt   protocol.Time `json:"changed_at"`
	Unsupported bool          `json:"unsupported"` // only force does it
	Confirm     bool          `json:"confirm"`     // the id is needed
	OpensGap    bool          `json:"opens_gap"`

	Enrolled           int            `json:"enrolled"`
	Pending            int            `json:"pending"`
	NewlyPending       int            `json:"newly_pending"` // of these, by this change
	Stale              int            `json:"stale"`
	Blocked            int            `json:"blocked"`
	Stranded           int            `json:"stranded"`
	StrandedBy         []reasonCount  `json:"stranded_by"`
	NeedsSupport       int            `json:"needs_support"`
	MustEnrol          int            `json:"must_enrol_again"`
	Unlicensed         int            `json:"unlicensed"`
	Leaving            int            `json:"leaving"`
	WouldMove          int            `json:"would_move"`
	WouldMoveReachable int            `json:"would_move_reachable"`
	WouldMoveBlocked   int            `json:"would_move_blocked"`
	WouldStay          int            `json:"would_stay"`
	Prompts            int            `json:"mail_prompts"`
	Unprotected        int            `json:"unprotected"`
	Groups             []group        `json:"groups"`
	Devices            []named        `json:"devices"` // those that it concerns, by number; the first thousand
	Profiles           []profileGroup `json:"profiles"`

	UnitsKnown bool      `json:"intune_units_known"`
	Units      int       `json:"intune_units"`
	UnitsFree  int       `json:"intune_units_free"`
	UnitsShort int       `json:"intune_units_short"`
	Users      int       `json:"users_staying"` // whose devices stay for want of a unit
	Warnings   []warning `json:"warnings"`
}

type reasonCount struct {
	Reason  string `json:"reason"`
	Devices int    `json:"devices"`
}

// A group is the devices that one rule treats alike.
type group struct {
	Fate       string             `json:"fate"` // leaves, moves, stranded or stays
	From       protocol.Authority `json:"from"`
	To         protocol.Authority `json:"to"`
	Before     protocol.Rule      `json:"rule_before"`
	Rule       protocol.Rule      `json:"rule"`
	Stranded   string             `json:"stranded"` // why; empty: it is not
	Devices    int                `json:"devices"`
	Reachable  int                `json:"reachable"`
	Blocked    int                `json:"blocked"`
	Stale      int                `json:"stale"`
	MustEnrol  int                `json:"must_enrol_again"`
	Unlicensed int                `json:"unlicensed"`
	Unsure     int                `json:"unsure"`
	Platforms  []platformCount    `json:"platforms"`
}

// A named is one device that the change concerns.
type named struct {
	Device     string             `json:"device"`
	Fate       string             `json:"fate"` // as its group's
	From       protocol.Authority `json:"from"`
	To         protocol.Authority `json:"to"`
	Before     protocol.Rule      `json:"rule_before"`
	Rule       protocol.Rule      `json:"rule"`
	Stranded   string             `json:"stranded"`
	Blocked    protocol.Rule      `json:"blocked"` // what holds it; empty: nothing
	Pending    bool               `json:"pending"`
	Stale      bool               `json:"stale"`
	MustEnrol  bool               `json:"must_enrol_again"`
	Unlicensed bool               `json:"unlicensed"`
	Settings   int                `json:"profiles"` // that come, go, or are replaced
}

// maxNamed bounds the devices that a preview names.
const maxNamed = 1000

type platformCount struct {
	Platform protocol.Platform `json:"platform"`
	Devices  int               `json:"devices"`
}

// A profileGroup is profiles on devices to which the change does the same.
type profileGroup struct {
	Effect  string          `json:"effect"` // removed, replaced, overwritten, redundant, unassigned, installed or updated
	Rule    protocol.Rule   `json:"rule"`
	Family  protocol.Family `json:"family,omitzero"` // left out: outside the five
	Until   protocol.Time   `json:"until"`           // they leave at the latest; empty: no such moment
	Devices int             `json:"devices"`
}

func (h *Handler) preview(ctx context.Context, p *server.Preview) (*preview, error) {
	out := &preview{
		ID: p.ID, Before: wantedOf(&p.Before), After: wantedOf(&p.After), Epoch: p.After.Epoch, ChangedAt: p.After.ChangedAt,
		Unsupported: p.Unsupported, Confirm: p.Confirm, OpensGap: p.OpensGap,
		Enrolled: p.Enrolled, Pending: p.Pending, NewlyPending: p.NewlyPending, Stale: p.Stale, Blocked: p.Blocked, Stranded: p.Stranded, NeedsSupport: p.NeedsSupport,
		MustEnrol: p.MustEnrol, Unlicensed: p.Unlicensed, Leaving: p.Leaving, WouldMove: p.WouldMove, WouldMoveReachable: p.WouldMoveReachable,
		WouldMoveBlocked: p.WouldMoveBlocked, WouldStay: p.WouldStay, Prompts: p.Prompts, Unprotected: p.Unprotected,
		UnitsKnown: p.Need.Units.Known, Units: p.Need.Units.Owned, UnitsFree: p.Need.Units.Free, UnitsShort: p.Need.Short, Users: p.Need.Users,
		StrandedBy: []reasonCount{}, Groups: []group{}, Devices: []named{}, Profiles: []profileGroup{}, Warnings: []warning{},
	}
	for _, r := range authority.Reasons {
		if p.By[r] > 0 {
			out.StrandedBy = append(out.StrandedBy, reasonCount{r.String(), p.By[r]})
		}
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		one := group{
			g.Fate.String(), g.From, g.To, g.Before, g.Rule, g.Stranded.String(), g.Devices, g.Reachable, g.Blocked, g.Stale, g.MustEnrol, g.Unlicensed,
			g.Unsure,
			[]platformCount{},
		}
		for _, x := range protocol.Platforms {
			if g.Platforms[x] > 0 {
				one.Platforms = append(one.Platforms, platformCount{x, g.Platforms[x]})
			}
		}
		out.Groups = append(out.Groups, one)
	}
	for _, g := range p.Profiles {
		out.Profiles = append(out.Profiles, profileGroup{g.Effect.String(), g.Rule, g.Family, g.Until, g.Count})
	}
	for _, w := range p.Warnings {
		out.Warnings = append(out.Warnings, warning{w.Rule, w.Text})
	}
	name := h.names(ctx)
	for i := range p.Devices {
		n := &p.Devices[i]
		if !n.Concerned() {
			continue
		}
		if len(out.Devices) == maxNamed {
			break
		}
		id, err := name(n.Device)
		if err != nil {
			return nil, err
		}
		out.Devices = append(out.Devices, named{
			id, n.Fate.String(), n.From, n.To, n.Before, n.Rule, n.Stranded.String(), n.Blocked, n.Pending, n.Stale, n.MustEnrol, n.Unlicensed, int(n.Settings),
		})
	}
	return out, nil
}

func wantedOf(t *authority.Tenant) wanted {
	return wanted{t.Authority, t.Authority == protocol.Office365 && t.Coexistence, false}
}

// A unconfirmed is a refusal with the preview that would confirm the change.
type unconfirmed struct {
	error
	preview *preview
}

func (u *unconfirmed) Unwrap() error { return u.error }

// answered is the answer of a change that is previewed: the preview, in a refusal too where confirming it would help.
func (h *Handler) answered(ctx context.Context, p *server.Preview, err error) (any, error) {
	confirms := p != nil && (errors.Is(err, protocol.RulePreview) || errors.Is(err, protocol.RuleOutdated))
	if err != nil && !confirms {
		return nil, err
	}
	out, failed := h.preview(ctx, p)
	switch {
	case failed != nil:
		return nil, failed
	case confirms:
		return nil, &unconfirmed{err, out}
	}
	return out, nil
}

// A licence is what one user holds afterwards: all of it, or, with assign or remove, that beside what it holds already.
type licence struct {
	UPN       string     `json:"upn"`
	Intune    bool       `json:"intune,omitempty"`
	Basic     bool       `json:"basic,omitempty"`
	CoManaged bool       `json:"co_managed,omitempty"`
	Premium   bool       `json:"directory_premium,omitempty"` // Azure AD Premium (AUTH-51)
	Assign    []entitles `json:"assign,omitempty"`            // what it holds already stays: nobody else's change is lost (HST-070)
	Remove    []entitles `json:"remove,omitempty"`
}

// An entitles is a licence by name: what it is in a user.
type entitles string

var entitlements = map[entitles]func(u *authority.User) *bool{
	"intune":     func(u *authority.User) *bool { return &u.IntuneLicence },
	"basic":      func(u *authority.User) *bool { return &u.BasicLicence },
	"premium":    func(u *authority.User) *bool { return &u.Premium },
	"co-managed": func(u *authority.User) *bool { return &u.CoManaged },
}

func (e *entitles) UnmarshalText(b []byte) error {
	if entitlements[entitles(b)] == nil {
		return fmt.Errorf("%q is no licence: want intune, basic, premium or co-managed", b)
	}
	*e = entitles(b)
	return nil
}

// check refuses what says two things at once.
func (l *licence) check(at string) error {
	if len(l.Assign)+len(l.Remove) == 0 {
		return nil
	}
	if l.Intune || l.Basic || l.CoManaged || l.Premium {
		return wrongValue(at, "says all that the user holds, and assign or remove beside it")
	}
	for _, e := range l.Remove {
		if slices.Contains(l.Assign, e) {
			return wrongValue(at+".remove", "%s is to be assigned, too", e)
		}
	}
	return nil
}

// become gives a user these licences.
func (l *licence) become(u *authority.User) {
	if len(l.Assign)+len(l.Remove) == 0 {
		*u = authority.User{IntuneLicence: l.Intune, BasicLicence: l.Basic, CoManaged: l.CoManaged, Premium: l.Premium, Manager: u.Manager}
		return
	}
	for _, e := range l.Assign {
		*entitlements[e](u) = true
	}
	for _, e := range l.Remove {
		*entitlements[e](u) = false
	}
}

type licences struct {
	Licences []licence `json:"licences"` // each user once
	Confirm  string    `json:"confirm,omitempty"`
}

// read returns the users, each that there is once, and what gives each of them its licences.
func (h *Handler) read(in *licences) (names []string, become func(i int, u *authority.User), err error) {
	if len(in.Licences) == 0 {
		return nil, nil, missing("licences")
	}
	names = make([]string, len(in.Licences))
	ids := make([]uint64, 0, len(in.Licences))
	for i := range in.Licences {
		l := &in.Licences[i]
		if err := l.check(fmt.Sprintf("licences[%d]", i)); err != nil {
			return nil, nil, err
		}
		if u, ok := h.cfg.Server.UserByUPN(l.UPN); ok {
			ids = append(ids, uint64(u.ID)<<32|uint64(i))
		}
		names[i] = l.UPN
	}
	slices.SortFunc(ids, func(a, b uint64) int { return cmp.Compare(a, b) })
	for i := 1; i < len(ids); i++ {
		if ids[i]>>32 == ids[i-1]>>32 {
			return nil, nil, wrongValue(fmt.Sprintf("licences[%d].upn", uint32(ids[i])), "given twice")
		}
	}
	return names, func(i int, u *authority.User) { in.Licences[i].become(u) }, nil
}

func (h *Handler) previewLicences(c *call) (any, error) {
	names, become, err := h.read(c.body.(*licences))
	if err != nil {
		return nil, err
	}
	p, err := h.cfg.Server.PreviewLicencesWith(c.Context(), c.now, names, become)
	return h.answered(c.Context(), p, err)
}

func (h *Handler) setLicences(c *call) (any, error) {
	in := c.body.(*licences)
	names, become, err := h.read(in)
	if err != nil {
		return nil, err
	}
	p, err := h.cfg.Server.SetLicencesWith(c.Context(), c.now, c.who, names, become, in.Confirm)
	return h.answered(c.Context(), p, err)
}

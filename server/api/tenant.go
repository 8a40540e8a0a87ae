package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

const (
	defaultPage    = 100
	maxPage        = 1000
	maxName        = 256 // runes of a name (HST-010)
	inviteLifetime = 30 * 24 * time.Hour
	linkPath       = "/e/" // an enrolment link is the server's URL, this and a token
	invitesAtOnce  = 64    // a store commits what comes together as one
)

type setUp struct {
	Authority      protocol.Authority `json:"authority"`
	Coexistence    bool               `json:"coexistence,omitempty"`
	Release        uint16             `json:"release,omitempty"`
	AcceptUserless bool               `json:"accept_userless,omitempty"`
	Lifetime       int64              `json:"lifetime_seconds,omitempty"`
	Window         int64              `json:"window_seconds,omitempty"`
	Renew          int64              `json:"renew_seconds,omitempty"`
}

type tenant struct {
	setUp
	Epoch     uint32        `json:"epoch"`
	ChangedAt protocol.Time `json:"changed_at"`
}

func (h *Handler) tenant() tenant {
	c := h.cfg.Server.Content()
	return tenant{
		setUp{
			c.Tenant.Authority, c.Tenant.Coexistence, c.Tenant.Release, c.Tenant.AcceptUserless,
			inSeconds(c.Settings.Lifetime), inSeconds(c.Settings.Window), inSeconds(c.Settings.Renew),
		},
		c.Tenant.Epoch, c.Tenant.ChangedAt,
	}
}

func (h *Handler) setUp(c *call) (any, error) {
	in := c.body.(*setUp)
	var to [3]time.Duration
	for i, d := range []struct {
		field   string
		seconds int64
	}{
		{"lifetime_seconds", in.Lifetime}, {"window_seconds", in.Window}, {"renew_seconds", in.Renew},
	} {
		var err error
		if to[i], err = duration(d.field, d.seconds, maxDuration); err != nil {
			return nil, err
		}
	}
	err := h.cfg.Server.SetUpWith(c.Context(), c.now,
		authority.Tenant{Authority: in.Authority, Coexistence: in.Coexistence, Release: in.Release, AcceptUserless: in.AcceptUserless},
		func(set *delivery.Settings) { set.Lifetime, set.Window, set.Renew = to[0], to[1], to[2] })
	if err != nil {
		return nil, err
	}
	return h.tenant(), nil
}

const maxDuration = 100 * 365 * 24 * time.Hour

func inSeconds(d time.Duration) int64 { return int64(d / time.Second) }

func duration(field string, seconds int64, most time.Duration) (time.Duration, error) {
	if seconds < 0 || seconds > inSeconds(most) {
		return 0, wrongValue(field, "want 0 to %d", inSeconds(most))
	}
	return time.Duration(seconds) * time.Second, nil
}

type clock struct {
	Now    protocol.Time `json:"now"`
	Driven bool          `json:"driven"`
	Next   protocol.Time `json:"next"`  // empty: never
	Doubt  bool          `json:"doubt"` // it was set, and nobody has confirmed it: no record and no profile goes by time (HST-110)
}

type step struct {
	To protocol.Time `json:"to"`
}

func (h *Handler) getClock(c *call) (any, error) {
	next, err := h.cfg.Server.Next(c.Context())
	return clock{protocol.At(h.cfg.Clock.Now()), h.cfg.Clock.Driven(), next, h.cfg.Server.World().Doubt}, err
}

// confirmClock says that a clock which was set is right.
func (h *Handler) confirmClock(c *call) (any, error) {
	if err := h.cfg.Server.ConfirmClock(c.Context(), c.now, c.who); err != nil {
		return nil, err
	}
	return h.getClock(c)
}

func (h *Handler) step(c *call) (any, error) {
	to := c.body.(*step).To
	h.stepping.Lock()
	defer h.stepping.Unlock()
	now := protocol.At(h.cfg.Clock.Now()) // another may have set it since this request came
	switch {
	case !h.cfg.Clock.Driven():
		return nil, &conflict{"this server's clock is the real one"}
	case to == 0:
		return nil, missing("to")
	case to < now:
		return nil, wrongValue("to", "is before the present time %s", now)
	}
	h.cfg.Clock.Step(to.Time())
	if err := h.cfg.Server.Tick(c.Context(), to); err != nil {
		return nil, err
	}
	return h.getClock(c)
}

type user struct {
	UPN           string   `json:"upn"`
	Name          string   `json:"name,omitempty"`
	Groups        []string `json:"groups,omitempty"`
	IntuneLicence bool     `json:"intune_licence,omitempty"`
	BasicLicence  bool     `json:"basic_licence,omitempty"`
	CoManaged     bool     `json:"co_managed,omitempty"`
	Premium       bool     `json:"directory_premium,omitempty"` // Azure AD Premium (AUTH-51)
	Manager       bool     `json:"enrolment_manager,omitempty"` // enrols devices for others (AUTH-47)
}

type userPage struct {
	Users []user `json:"users"`
	Next  string `json:"next"`
}

type putUsers struct {
	Users []putUser `json:"users"`
}

// A putUser is what a user is to be: what is left out stays as it is, and is nothing of a new one.
type putUser struct {
	UPN           string   `json:"upn"`
	Name          *string  `json:"name,omitzero"`
	Groups        []string `json:"groups,omitzero"`
	IntuneLicence *bool    `json:"intune_licence,omitzero"`
	BasicLicence  *bool    `json:"basic_licence,omitzero"`
	CoManaged     *bool    `json:"co_managed,omitzero"`
	Premium       *bool    `json:"directory_premium,omitzero"` // Azure AD Premium (AUTH-51)
	Manager       *bool    `json:"enrolment_manager,omitzero"` // enrols devices for others (AUTH-47)
}

// change makes u what p says.
func (p *putUser) change(u *store.User) {
	u.UPN = p.UPN
	if p.Name != nil {
		u.Name = *p.Name
	}
	if p.Groups != nil {
		u.Groups = p.Groups
	}
	for to, given := range map[*bool]*bool{&u.IntuneLicence: p.IntuneLicence, &u.BasicLicence: p.BasicLicence, &u.CoManaged: p.CoManaged, &u.Premium: p.Premium, &u.Manager: p.Manager} {
		if given != nil {
			*to = *given
		}
	}
}

func (h *Handler) getUsers(c *call) (any, error) {
	after, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	all := h.cfg.Server.Content().Users
	i, _ := slices.BinarySearchFunc(all, after+1, func(u store.User, id uint64) int { return cmp.Compare(uint64(u.ID), id) })
	out := userPage{Users: []user{}}
	for ; i < len(all); i++ {
		u := &all[i]
		if u.Removed {
			continue
		}
		if len(out.Users) == limit {
			out.Next = strconv.FormatUint(uint64(all[i-1].ID), 10)
			break
		}
		out.Users = append(out.Users, user{u.UPN, u.Name, u.Groups, u.IntuneLicence, u.BasicLicence, u.CoManaged, u.Premium, u.Manager})
	}
	return out, nil
}

// removeUser takes a user without devices from the tenant.
func (h *Handler) removeUser(c *call) (any, error) {
	upn := c.query["upn"]
	if upn == "" {
		return nil, missing("upn")
	}
	return done{}, h.cfg.Server.RemoveUser(c.Context(), c.now, c.who, upn)
}

func (h *Handler) putUsers(c *call) (any, error) {
	in := c.body.(*putUsers)
	names := make([]string, len(in.Users))
	seen := make(map[string]bool, len(names))
	for i, u := range in.Users {
		at := fmt.Sprintf("users[%d]", i)
		if err := goodName(at+".upn", u.UPN); err != nil {
			return nil, err
		}
		if upn := strings.ToLower(u.UPN); seen[upn] {
			return nil, wrongValue(at+".upn", "given twice")
		} else {
			seen[upn] = true
		}
		for j, g := range u.Groups {
			if err := goodName(fmt.Sprintf("%s.groups[%d]", at, j), g); err != nil {
				return nil, err
			}
		}
		if u.Name != nil && *u.Name != "" {
			if err := goodName(at+".name", *u.Name); err != nil {
				return nil, err
			}
		}
		names[i] = u.UPN
	}
	if len(names) > 0 {
		if _, err := h.cfg.Server.PutUsersWith(c.Context(), c.now, names, func(i int, u *store.User) { in.Users[i].change(u) }); err != nil {
			return nil, err
		}
	}
	return count{len(names)}, nil
}

// goodName refuses what is no name: nothing, spaces alone, control characters, more than a screen can show.
func goodName(field, s string) error {
	n := 0
	for _, r := range s {
		if n++; r < ' ' || r == 0x7f || r == '\uFFFD' {
			return wrongValue(field, "holds a control character or is not UTF-8")
		}
	}
	switch {
	case strings.TrimSpace(s) == "":
		return missing(field)
	case n > maxName:
		return wrongValue(field, "is longer than %d characters", maxName)
	}
	return nil
}

type invite struct {
	Users    []string `json:"users"` // UPN; empty: userless
	Lifetime int64    `json:"lifetime_seconds,omitempty"`
	Platform string   `json:"platform,omitempty"` // the kind of device that the links are for; empty: any
	Mode     string   `json:"mode,omitempty"`     // of Android devices: how they are to be managed
}

type invitation struct {
	User    string        `json:"user"`
	URL     string        `json:"url"`
	Expires protocol.Time `json:"expires"`

	// Of an Android device, which enrols by its agent and not in a browser.
	Token     string `json:"token,omitempty"`
	QR        string `json:"qr,omitempty"`         // the text of a QR code to scan after a factory reset, JSON
	ZeroTouch string `json:"zero_touch,omitempty"` // dpcExtras of a zero-touch configuration, JSON
}

type invitations struct {
	Invitations []invitation `json:"invitations"`
	CA          string       `json:"ca,omitempty"` // sha256: and the hash of the CA certificate that the server shows, for agents
}

func (h *Handler) invite(c *call) (any, error) {
	in := c.body.(*invite)
	life, err := duration("lifetime_seconds", in.Lifetime, inviteLifetime)
	if err != nil {
		return nil, err
	}
	if life == 0 {
		life = inviteLifetime
	}
	var kind protocol.Platform
	if in.Platform != "" && kind.UnmarshalText([]byte(in.Platform)) != nil {
		return nil, wrongValue("platform", "want ios, ipados, macos, windows or android")
	}
	mode, err := h.modeOf(in, kind)
	if err != nil {
		return nil, err
	}
	ids := make([]delivery.UserID, len(in.Users))
	for i, upn := range in.Users {
		if upn == "" {
			continue
		}
		u, ok := h.cfg.Server.UserByUPN(upn)
		if !ok {
			return nil, wrongValue(fmt.Sprintf("users[%d]", i), "there is no such user")
		}
		ids[i] = u.ID
	}
	out := invitations{make([]invitation, len(ids)), h.cfg.CA}
	g, ctx := errgroup.WithContext(c.Context())
	g.SetLimit(invitesAtOnce)
	for i, id := range ids {
		g.Go(func() error {
			made := &out.Invitations[i]
			*made = invitation{User: in.Users[i], Expires: c.now.Add(life)}
			if mode != "" {
				return h.inviteAndroid(ctx, c.now, id, mode, life, made)
			}
			token, err := h.cfg.Server.Invite(ctx, c.now, id, kind, life)
			made.URL = h.cfg.URL + linkPath + token
			return err
		})
	}
	return out, g.Wait()
}

// modeOf is how Android devices are to be managed that are invited; empty: others are.
func (h *Handler) modeOf(in *invite, kind protocol.Platform) (mode android.Mode, err error) {
	switch {
	case kind != protocol.Android && in.Mode != "":
		return "", wrongValue("mode", "only Android devices have one")
	case kind != protocol.Android:
		return "", nil
	case h.cfg.Provisioning == nil:
		return "", &conflict{"this server does not serve Android devices"}
	case mode.UnmarshalText([]byte(in.Mode)) != nil:
		return "", wrongValue("mode", "want one of %s", strings.Join(modeNames(), ", "))
	}
	for i, upn := range in.Users {
		if mode.Userless() != (upn == "") {
			return "", wrongValue(fmt.Sprintf("users[%d]", i), "a device of mode %s has %s user", mode, map[bool]string{true: "no", false: "a"}[mode.Userless()])
		}
	}
	return mode, nil
}

func modeNames() (names []string) {
	for _, m := range android.Modes {
		names = append(names, string(m))
	}
	return names
}

// inviteAndroid makes an enrolment token for one device, and what a person or a reseller tells the device.
func (h *Handler) inviteAndroid(ctx context.Context, now protocol.Time, user delivery.UserID, mode android.Mode, life time.Duration, out *invitation) error {
	token, err := h.cfg.Server.InviteAndroid(ctx, now, user, mode, life)
	if err != nil {
		return err
	}
	return h.provision(token, mode, out)
}

// provision says in out what a device of a mode, or who sets it up, is told of an enrolment token.
func (h *Handler) provision(token string, mode android.Mode, out *invitation) error {
	p, err := h.cfg.Provisioning(token, mode)
	if err != nil {
		return err
	}
	out.URL, out.Token = h.cfg.URL+linkPath+token, token
	out.QR, out.ZeroTouch = string(android.Append(nil, p)), string(android.Append(nil, p.ZeroTouch()))
	return nil
}

type serial struct {
	Serial   string `json:"serial"`
	User     string `json:"user,omitempty"` // UPN; empty: userless
	Awaiting bool   `json:"awaiting,omitempty"`
}

type putSerials struct {
	Serials []serial `json:"serials"`
}

func (h *Handler) putSerials(c *call) (any, error) {
	in := c.body.(*putSerials)
	out := make([]store.Serial, len(in.Serials))
	for i, s := range in.Serials {
		at := fmt.Sprintf("serials[%d]", i)
		if err := goodName(at+".serial", s.Serial); err != nil {
			return nil, err
		}
		out[i] = store.Serial{Serial: s.Serial, Awaiting: s.Awaiting}
		if s.User != "" {
			u, ok := h.cfg.Server.UserByUPN(s.User)
			if !ok {
				return nil, wrongValue(at+".user", "there is no such user")
			}
			out[i].User = u.ID
		}
	}
	if len(out) > 0 {
		if err := h.cfg.Server.PutSerials(c.Context(), c.now, out); err != nil {
			return nil, err
		}
	}
	return count{len(out)}, nil
}

// page reads the cursor and the size of a page.
func (c *call) page() (after uint64, limit int, err error) {
	limit = defaultPage
	if s, ok := c.query["limit"]; ok {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxPage {
			return 0, 0, wrongValue("limit", "want a number from 1 to %d", maxPage)
		}
	}
	if s, ok := c.query["after"]; ok {
		if after, err = strconv.ParseUint(s, 10, 63); err != nil {
			return 0, 0, wrongValue("after", "is not a cursor of this list")
		}
	}
	return after, limit, nil
}

// names returns a function that tells what the wire calls a device, asking the store once for each.
func (h *Handler) names(ctx context.Context) func(d protocol.Device) (string, error) {
	known := map[protocol.Device]string{0: ""}
	return func(d protocol.Device) (string, error) {
		if id, ok := known[d]; ok {
			return id, nil
		}
		record, err := h.cfg.Server.Store().Record(ctx, d)
		id := record.ID
		if isNotFound(err) { // a record that is gone keeps its journal
			id, err = h.cfg.Server.Store().RemovedID(ctx, d)
		}
		if err != nil && !isNotFound(err) {
			return "", err
		}
		known[d] = id
		return id, nil
	}
}

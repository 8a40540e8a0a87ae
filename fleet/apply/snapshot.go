package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// ErrNoDevices is the error for a tenant without a device to rehearse a plan on.
var ErrNoDevices = errors.New("the tenant has no enrolled devices: there is nothing to rehearse")

// A Snapshot is a live tenant at one moment.
type Snapshot struct {
	At         protocol.Time // by the server's clock
	Population *population.Population
	Facts      map[string]string // what a plan's steps rest on, by what it is of; what changes by itself, such as contacts, is not there
	Doubts     []string          // what a rehearsal of it cannot know

	tenant   plan.Tenant
	profiles []target.Profile
	groups   [][]string // of each user
	journal  uint64     // number of its newest line
}

// Read takes a snapshot. A change of authority in the middle of it is an error: the next one will do.
func Read(ctx context.Context, r *target.Rollcall) (*Snapshot, error) {
	clock, err := r.Clock(ctx)
	if err != nil {
		return nil, err
	}
	state, err := r.Authority(ctx)
	if err != nil {
		return nil, err
	}
	end, err := r.JournalEnd(ctx, 0)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{At: clock.Now, journal: end, Population: &population.Population{}, Facts: map[string]string{}}
	for _, read := range []func() error{
		func() error { return s.settings(ctx, r, &state) },
		func() error { return s.push(ctx, r, &state) },
		func() error { return s.consents(ctx, r) },
		func() error { return s.users(ctx, r) },
		func() error { return s.devices(ctx, r, &state) },
		func() error { return s.readProfiles(ctx, r) },
	} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	after, err := r.Tenant(ctx)
	if err == nil && after.Epoch != state.Epoch {
		err = errors.New("the authority was changed while the tenant was looked at: try again")
	}
	return s, err
}

// fact notes one; values are told by their JSON.
func (s *Snapshot) fact(of string, values ...any) {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		if text, ok := v.(string); ok {
			b.WriteString(text)
			continue
		}
		j, err := json.Marshal(v)
		if err != nil {
			j = fmt.Appendf(nil, "%v", v)
		}
		b.Write(j)
	}
	s.Facts[of] = b.String()
}

func (s *Snapshot) settings(ctx context.Context, r *target.Rollcall, state *target.State) error {
	set, err := r.Settings(ctx)
	if err != nil {
		return err
	}
	set.Version = ""
	s.fact("the authority", state.Name, fmt.Sprintf("epoch %d", state.Epoch))
	s.fact("the settings", set, state.AcceptUserless, state.Lifetime, state.Window)
	t := &s.Population.Tenant
	t.Authority, t.Coexistence, t.Epoch, t.ChangedAt, t.AsOf = state.Authority, state.Coexistence, state.Epoch, state.ChangedAt, s.At
	s.tenant = plan.Tenant{
		Authority: state.Authority, Coexistence: state.Coexistence, Release: int(state.Release),
		Identity:    plan.Identity{Lifetime: plan.Duration(time.Duration(state.Lifetime) * time.Second), Window: plan.Duration(time.Duration(state.Window) * time.Second), Retry: timeOf(set.Renew)},
		BMS:         plan.BMS{Userless: plan.Refuse},
		Gap:         plan.Gap{OnCoexistence: set.GapOnCoexistence, Platforms: set.GapPlatforms},
		DeviceLimit: valueOf(set.DeviceLimit), CleanUp: daysOf(set.CleanUpDays), OldProfiles: daysOf(set.OldProfileDays), Records: daysOf(set.RecordDays),
		Counted: daysOf(set.CountedDays), Cadence: timeOf(set.Cadence), Reach: timeOf(set.Reach),
	}
	s.tenant.APNs.Grace = daysOf(set.PushGraceDays)
	for _, days := range set.PushWarningDays {
		s.tenant.APNs.Warnings = append(s.tenant.APNs.Warnings, daysOf(&days))
	}
	if state.AcceptUserless {
		s.tenant.BMS.Userless = plan.Accept
	}
	if set.Units != nil && *set.Units >= 0 {
		s.tenant.Units = set.Units
	}
	if state.Authority == protocol.Unknown {
		return &protocol.Refusal{Rule: "AUTH-01", Reason: "the tenant has no authority, and so no devices: set one with rollcall authority set"}
	}
	return nil
}

func daysOf(n *int) plan.Duration { return plan.Duration(valueOf(n)) * plan.Duration(plan.Day) }

func timeOf(n *target.Seconds) plan.Duration {
	if n == nil {
		return 0
	}
	return plan.Duration(time.Duration(*n) * time.Second)
}

func valueOf(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// uploaded is a moment that says whether the gap is open as the server does (AUTH-30): before the latest change of authority, or not
// known. The certificate's own beginning does not tell, for one made before the change closes it when it is uploaded after.
func uploaded(state *target.State) protocol.Time {
	if state.Gap.Open {
		return state.ChangedAt - 1
	}
	return 0
}

func (s *Snapshot) push(ctx context.Context, r *target.Rollcall, state *target.State) error {
	p, err := r.Push(ctx)
	if err != nil {
		return err
	}
	s.fact("the push certificate", p.Topic, "until "+p.NotAfter.String(), "in the slot of "+state.Gap.Slot.String(), lifeOf(&p, s.At))
	s.Population.Tenant.APNs = population.APNs{Topic: p.Topic, AppleID: p.AppleID, Modified: uploaded(state), Expires: p.NotAfter}
	s.tenant.APNs.Topic = p.Topic
	switch left := p.NotAfter.Sub(s.At); {
	case p.NotAfter == 0:
		s.Doubts = append(s.Doubts, lang.English.Say("there is no push certificate; the rehearsal begins with one of a year"))
	case left <= 0:
		s.Doubts = append(s.Doubts, lang.English.Say("the push certificate has ended (AUTH-33); the rehearsal begins with one of a year"))
	default:
		s.tenant.APNs.Expires = plan.Duration(left)
	}
	if s.tenant.APNs.Expires == 0 {
		s.Population.Tenant.APNs.Expires, s.tenant.APNs.Expires = 0, plan.Duration(365*plan.Day)
	}
	return nil
}

// lifeOf is where a push certificate is in its life, which is what a renewal and the devices' contacts rest on (AUTH-33).
func lifeOf(p *target.Push, now protocol.Time) string {
	const grace = 30 * plan.Day
	switch {
	case p.NotAfter == 0:
		return "none"
	case now < p.NotAfter:
		return "valid"
	case now < p.NotAfter.Add(grace):
		return "ended, and in its grace"
	}
	return "ended for good"
}

func (s *Snapshot) consents(ctx context.Context, r *target.Rollcall) error {
	list, err := r.Consents(ctx)
	s.tenant.Consents, s.Population.Tenant.Consents = []plan.Consent{}, map[string]bool{}
	for _, c := range list {
		s.fact("the consent "+c.Service, c.Granted)
		s.Population.Tenant.Consents[c.Service] = c.Granted
		if own := new(plan.Consent); c.Granted && own.UnmarshalText([]byte(c.Service)) == nil {
			s.tenant.Consents = append(s.tenant.Consents, *own)
		}
	}
	return err
}

func (s *Snapshot) users(ctx context.Context, r *target.Rollcall) error {
	for u, err := range r.Users(ctx) {
		if err != nil {
			return err
		}
		user := population.User{UPN: u.UPN, Group: -1, CoManaged: u.CoManaged}
		if u.BasicLicence {
			user.Licence |= population.BMSLicence
		}
		if u.IntuneLicence {
			user.Licence |= population.IntuneLicence
		}
		slices.Sort(u.Groups)
		s.fact("user "+u.UPN, licencesOf(&u), "groups "+cmp.Or(strings.Join(u.Groups, " "), "none"))
		s.Population.Users, s.groups = append(s.Population.Users, user), append(s.groups, u.Groups)
	}
	return nil
}

func licencesOf(u *target.User) string {
	var held []string
	for _, l := range []struct {
		name string
		has  bool
	}{{"intune", u.IntuneLicence}, {"basic", u.BasicLicence}, {"co-managed", u.CoManaged}, {"premium", u.Premium}} {
		if l.has {
			held = append(held, l.name)
		}
	}
	return "licences " + cmp.Or(strings.Join(held, " "), "none")
}

func (s *Snapshot) devices(ctx context.Context, r *target.Rollcall, state *target.State) error {
	number, models := map[string]int32{}, map[string]*population.Model{}
	for i := range s.Population.Users {
		number[s.Population.Users[i].UPN] = int32(i)
	}
	for d, err := range r.Devices(ctx, target.Filter{}) {
		if err != nil {
			return err
		}
		s.fact("device "+d.ID, d.Life, d.Platform.String(), "user "+cmp.Or(d.User, "none"), "registered "+d.Registered.String(), fmt.Sprintf("epoch %d", d.Epoch))
		s.Population.Total++
		if d.Life == "ended" || d.Platform == protocol.NoPlatform {
			s.Population.LeftOut = append(s.Population.LeftOut, population.LeftOut{Reason: population.NotManaged, Platform: d.Platform, Records: 1})
			continue
		}
		if models[d.Model] == nil {
			models[d.Model] = &population.Model{Name: d.Model}
		}
		own := population.Device{
			Name: cmp.Or(d.Name, d.ID), Serial: d.Serial, UDID: d.ID, Model: models[d.Model], OSVersion: d.OSVersion, User: population.Nobody, Platform: d.Platform,
			Registered: d.Registered, Current: d.Epoch == state.Epoch, Joins: population.Already,
			Enrolled: d.EnrolledAt, Contact: population.Span{Earliest: d.LastSeen, Latest: d.LastSeen}, CertEnd: d.Identity.NotAfter,
		}
		switch u, known := number[d.User]; {
		case known:
			own.User = u
		case d.User != "":
			return fmt.Errorf("device %s is of user %s, who was not there a moment before: try again", d.ID, d.User)
		case d.Platform == protocol.Windows:
			own.Enrolment = population.Bulk
		case d.Platform == protocol.Android:
			own.Enrolment = population.Dedicated
		}
		if d.Automated {
			own.Enrolment = population.Automated
		}
		if d.Life == "enrolling" {
			own.Traits, own.Registered, own.Joins = population.Enrolling, protocol.Unknown, population.Never
		}
		s.Population.Devices = append(s.Population.Devices, own)
	}
	if len(s.Population.Devices) == 0 {
		return ErrNoDevices
	}
	return nil
}

func (s *Snapshot) readProfiles(ctx context.Context, r *target.Rollcall) (err error) {
	s.profiles, err = r.Profiles(ctx)
	for _, p := range s.profiles {
		slices.Sort(p.Groups)
		s.fact(fmt.Sprintf("profile %s of %s", p.Name, p.Authority), fmt.Sprintf("version %d", p.Number), "groups "+cmp.Or(strings.Join(p.Groups, " "), "none"))
	}
	return err
}

// staged is p as it is rehearsed: on the tenant as it is, whose profiles are there from the beginning. The users are in the first
// of their groups that p or a profile names: a population has no more than one for each.
func (s *Snapshot) staged(p *plan.Plan) *plan.Plan {
	q, pop := *p, s.Population
	q.Tenant = s.tenant
	q.Timeline, q.Profiles = slices.Clone(p.Timeline), slices.Clone(p.Profiles)
	for i := range q.Profiles {
		q.Profiles[i].Assigned = ""
	}
	pop.Adopt(&q)
	several := 0
	pop.Groups = slices.Sorted(maps.Keys(p.Population.Groups))
	for _, l := range s.profiles {
		for _, g := range l.Groups {
			if g != plan.All && !slices.Contains(pop.Groups, g) {
				pop.Groups = append(pop.Groups, g)
			}
		}
	}
	for i, groups := range s.groups {
		u := &pop.Users[i]
		u.Group = -1
		for _, g := range groups {
			k := int16(slices.Index(pop.Groups, g))
			switch {
			case k >= 0 && u.Group >= 0:
				several++
			case k >= 0:
				u.Group = k
			}
		}
	}
	if several > 0 {
		s.Doubts = append(s.Doubts, lang.English.Say("users are in %d groups beside the first of theirs; the rehearsal knows of that one only", several))
	}
	for _, l := range s.profiles {
		if l.Authority != s.slot() {
			continue
		}
		k := slices.IndexFunc(q.Profiles, func(own plan.Profile) bool { return own.Name == l.Name })
		if k < 0 {
			k, q.Profiles = len(q.Profiles), append(q.Profiles, plan.Profile{Name: l.Name, Family: l.Family})
		}
		for _, g := range l.Groups {
			if own := &q.Profiles[k]; own.Assigned == "" {
				own.Assigned = g
				continue
			}
			q.Timeline = append(q.Timeline, plan.Action{Profiles: &plan.Assignment{Assign: l.Name, Group: g}}) // a profile begins with one group
		}
	}
	return &q
}

// Tenancy is what a plan that says nothing of devices is checked against.
func (s *Snapshot) Tenancy() *plan.Tenancy {
	t := &plan.Tenancy{Authority: s.tenant.Authority, Coexistence: s.tenant.Coexistence, Consents: s.tenant.Consents}
	for i := range s.Population.Devices {
		if d := &s.Population.Devices[i]; d.Joins == population.Already {
			t.Add(d.Platform, d.Userless())
		}
	}
	return t
}

// slot is the authority whose profiles and push certificate are in use.
func (s *Snapshot) slot() protocol.Authority {
	if s.tenant.Coexistence {
		return protocol.Intune
	}
	return s.tenant.Authority
}

package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A Tenancy is what a target offers whose tenant a plan can change.
type Tenancy interface {
	PreviewAuthority(ctx context.Context, c target.Change) (target.Preview, error)
	SetAuthority(ctx context.Context, c target.Change) (target.Preview, error)
	PreviewLicences(ctx context.Context, list []target.Licence) (target.Preview, error)
	SetLicences(ctx context.Context, list []target.Licence, confirm string) (target.Preview, error)
	SetSettings(ctx context.Context, s target.Settings) error
	Consent(ctx context.Context, service string) error
	SupportMove(ctx context.Context, device string) error
}

// errNoTenancy refuses a plan that changes what this target does not let change.
var errNoTenancy = errors.New("the plan changes the tenant's authority, licences or consents, which this target's administration cannot")

// permit grants the consents that the plan begins with, and says how many licences there are.
func (f *Fleet) permit(ctx context.Context) error {
	t, ok := f.target.(Tenancy)
	if !ok {
		return nil
	}
	for _, c := range f.plan.Tenant.Consents {
		if err := t.Consent(ctx, c.String()); err != nil {
			return fmt.Errorf("grant the consent %s: %w", c, err)
		}
	}
	s, changed := settingsOf(&f.plan.Tenant)
	if !changed {
		return nil
	}
	if err := t.SetSettings(ctx, s); err != nil {
		return fmt.Errorf("make the tenant's settings: %w", err)
	}
	return nil
}

// workloads are the server's names of a plan's, in their order (AUTH-51).
var workloads = [...]string{"compliance", "resource_access", "device_configuration", "endpoint_protection", "update", "office_apps", "client_apps"}

// settingsOf are the settings that a plan names.
func settingsOf(t *plan.Tenant) (s target.Settings, changed bool) {
	if t.Units != nil {
		devices := true // those without a user have a licence of their own: Units is about users
		s.Units, s.DeviceLicences = t.Units, &devices
	}
	if days := int(time.Duration(t.CleanUp) / plan.Day); days > 0 {
		s.CleanUpDays = &days
	}
	for to, given := range map[**int]plan.Duration{&s.OldProfileDays: t.OldProfiles, &s.RecordDays: t.Records, &s.PushGraceDays: t.APNs.Grace, &s.CountedDays: t.Counted} {
		if days := int(time.Duration(given) / plan.Day); days > 0 {
			*to, changed = &days, true
		}
	}
	for to, given := range map[**target.Seconds]plan.Duration{&s.Cadence: t.Cadence, &s.Reach: t.Reach} {
		if given > 0 {
			*to, changed = new(target.SecondsOf(time.Duration(given))), true
		}
	}
	s.PushWarningDays = t.APNs.WarningDays()
	if t.DeviceLimit > 0 {
		s.DeviceLimit = &t.DeviceLimit
	}
	s.GapOnCoexistence, s.GapPlatforms = t.Gap.OnCoexistence, t.Gap.Platforms
	if c := &t.CoManaged; *c != (plan.CoManagement{}) {
		changed = true
		if c.Pilot != "" {
			s.PilotGroup = &c.Pilot
		}
		for i, by := range c.Deciders() {
			s.Workloads = append(s.Workloads, target.Workload{Workload: workloads[i], Decider: max(by, plan.ByConfigMgr).String()})
		}
	}
	return s, changed || s.PushWarningDays != nil || t.Units != nil || t.CleanUp > 0 || t.DeviceLimit > 0 || t.Gap.OnCoexistence != nil || t.Gap.Platforms != nil
}

// gate says whether an enrolment asks for the user's licence (AUTH-47), where the target knows such a gate.
func (f *Fleet) gate(ctx context.Context, when string) error {
	t, ok := f.target.(Tenancy)
	if !ok {
		return nil
	}
	if err := t.SetSettings(ctx, target.Settings{LicenceGate: &when}); err != nil {
		return fmt.Errorf("say when enrolments ask for licences: %w", err)
	}
	return nil
}

// tenantAction returns how a change of the tenant is done.
func (f *Fleet) tenantAction(a *plan.Action, salt uint64) (do func(context.Context, protocol.Time) error, err error) {
	t, ok := f.target.(Tenancy)
	switch {
	case !ok:
		return nil, errNoTenancy
	case a.Authority != nil:
		do = func(ctx context.Context, now protocol.Time) error { return f.setAuthority(ctx, now, t, a.Authority) }
	case a.Consent != 0:
		do = func(ctx context.Context, _ protocol.Time) error { return t.Consent(ctx, a.Consent.String()) }
	default:
		do = func(ctx context.Context, _ protocol.Time) error { return f.supportMove(ctx, t, *a.SupportMove, salt) }
	}
	return do, nil
}

// setAuthority asks what the change would do, and confirms it (AUTH-35).
func (f *Fleet) setAuthority(ctx context.Context, now protocol.Time, t Tenancy, s *plan.Setting) error {
	c := target.Change{Authority: s.Set.String(), Force: s.Force}
	p, err := t.PreviewAuthority(ctx, c)
	if err == nil {
		c.Confirm, c.Count = p.ID, p.Stranded
		p, err = t.SetAuthority(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("set the authority to %s: %w", s.Set, err)
	}
	if p.OpensGap {
		f.turnGap(now, true)
	}
	f.owner, _ = s.Set.Authority()
	if _, added := s.Set.Authority(); added {
		f.owner = protocol.Intune
	}
	f.outcome = en.Say("Previewed and confirmed: of %d {device|devices} %d {moves|move}, %d {registers|register} anew, %d without a user {stays|stay}.", p.Enrolled, p.Pending, p.Stale, p.NeedsSupport)
	if p.OpensGap {
		f.outcome += " " + en.Say("The gap opens: Apple devices get 503 until a renewed push certificate is uploaded.")
	}
	if f.changed != nil {
		f.changed(now, &p)
	}
	return nil
}

// A Gap is a time in which Apple devices wait for a renewed push certificate (AUTH-30).
type Gap struct{ Opened, Closed protocol.Time } // Closed 0: it is open

// turnGap notes that the gap is open, or not.
func (f *Fleet) turnGap(now protocol.Time, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case open == f.gap():
	case open:
		f.gaps = append(f.gaps, Gap{Opened: now})
	default:
		f.gaps[len(f.gaps)-1].Closed = now
	}
}

// gap tells whether the gap is open. f.mu is held.
func (f *Fleet) gap() bool { return len(f.gaps) > 0 && f.gaps[len(f.gaps)-1].Closed == 0 }

// supportMove has support move those of the devices that have no user and are enrolled.
func (f *Fleet) supportMove(ctx context.Context, t Tenancy, whom plan.Target, salt uint64) error {
	moved := 0
	for _, i := range f.population.Pick(whom, f.seed, salt) {
		d := &f.population.Devices[i]
		if !d.Userless() || !f.enrolled(i) {
			continue
		}
		var no *target.Error
		if err := t.SupportMove(ctx, f.Name(i)); errors.As(err, &no) {
			f.note(f.clock.Now(), i, Refused, "support move: "+no.Message) // it is where it belongs
		} else if err != nil {
			return fmt.Errorf("support move for %s: %w", d.UDID, err)
		} else {
			moved++
		}
	}
	f.outcome = en.Say("%d of them are to move.", moved)
	return nil
}

// waves returns how the users of a get their licence: those of an Over hour by hour, each at an hour of its own. Holders is
// who has what before, and then after, whatever comes later in the plan.
func (f *Fleet) waves(a *plan.Action, salt uint64, holders population.Holders) ([]act, error) {
	t, ok := f.target.(Tenancy)
	if !ok {
		return nil, errNoTenancy
	}
	waves, total := f.cast.Waves(a, salt, holders)
	acts := []act{{at: f.start.Add(time.Duration(a.At)), Words: f.cast.Say(a), do: func(context.Context, protocol.Time) error {
		f.outcome = en.Say("They are %d users.", total)
		return nil
	}}}
	for _, w := range waves {
		acts = append(acts, act{at: f.start.Add(w.At), do: func(ctx context.Context, now protocol.Time) error { return f.license(ctx, now, t, w.Licences) }})
	}
	return acts, nil
}

// A Wave is users who get or lose a licence at one moment.
type Wave struct {
	At       time.Duration // from the beginning of the story
	Users    []int         // by index in the population, ascending
	Licences []target.Licence
}

// Waves returns how the users of a get their licence, and how many they are; salt is the action's index. Holders is who has
// what before, and then after.
func (c *Cast) Waves(a *plan.Action, salt uint64, holders population.Holders) (waves []Wave, total int) {
	l := a.Licences
	n := l.Turns()
	all := make([]Wave, n)
	for _, u := range c.Population.PickUsers(l, holders, c.Plan.Seed, salt) {
		holders.Apply(l, u)
		user := &c.Population.Users[u]
		w := &all[DrawsOf(c.Plan).turn(u, salt, n)]
		w.Users = append(w.Users, u)
		w.Licences = append(w.Licences, target.Licence{
			UPN: user.UPN, Intune: holders[u]&population.IntuneLicence != 0, Basic: holders[u]&population.BMSLicence != 0, CoManaged: user.CoManaged, Premium: user.CoManaged,
		})
		total++
	}
	for k := range all {
		if all[k].At = time.Duration(a.At) + time.Duration(l.Over)*time.Duration(k)/time.Duration(n); len(all[k].Users) > 0 {
			waves = append(waves, all[k])
		}
	}
	return waves, total
}

// license says what some users hold from now on.
func (f *Fleet) license(ctx context.Context, now protocol.Time, t Tenancy, list []target.Licence) error {
	return setLicences(ctx, t, list, func(p *target.Preview) {
		if f.changed != nil {
			f.changed(now, p)
		}
	})
}

// setLicences makes a change of licences that was previewed, and tells, unless it is nil, what it did.
func setLicences(ctx context.Context, t Tenancy, list []target.Licence, did func(*target.Preview)) error {
	p, err := t.PreviewLicences(ctx, list)
	if err == nil {
		p, err = t.SetLicences(ctx, list, p.ID)
	}
	if err != nil {
		return fmt.Errorf("licences of %d users: %w", len(list), err)
	}
	if did != nil {
		did(&p)
	}
	return nil
}

package apply

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Step is one thing to do at one moment, and how far it has come.
type Step struct {
	Number       int           `json:"step"` // from 1
	At           plan.Duration `json:"at"`   // from the beginning of the plan
	Action       string        `json:"action"`
	Field        string        `json:"field"` // of the plan, such as timeline[2].licences
	Text         string        `json:"text"`
	Rule         protocol.Rule `json:"rule,omitempty"`
	Irreversible string        `json:"irreversible,omitempty"` // why it cannot be taken back; empty: it can

	Value   string   `json:"value,omitempty"` // what is set, assigned or removed, uploaded, granted, or ordered
	Force   bool     `json:"force,omitempty"`
	Remove  bool     `json:"remove,omitempty"` // Value is taken away
	Group   string   `json:"group,omitempty"`
	Users   []string `json:"users,omitempty"`
	Devices []string `json:"devices,omitempty"`

	State   State         `json:"state"`
	Allowed bool          `json:"allowed,omitempty"` // somebody has said yes to an irreversible step
	Before  string        `json:"before,omitempty"`  // what was there when it was begun
	Begun   protocol.Time `json:"begun,omitzero"`
	Done    protocol.Time `json:"done,omitzero"`
	Outcome string        `json:"outcome,omitempty"`

	Refused []RefusedDevice `json:"refused,omitempty"` // of Devices: those to which the server did not do it
}

// A RefusedDevice is one to which the server did not do what a step wants.
type RefusedDevice struct {
	Device string `json:"device"`
	Reason string `json:"reason"`
}

// A State is how far a step has come.
type State string

// The states. Of a step that is Begun it is not known whether the server has heard of it.
const (
	Waiting State = "waiting"
	Begun   State = "begun"
	Done    State = "done"
)

// Prepare makes the steps of p's timeline for the tenant of s, and returns p as it is to be rehearsed. Said is what of p counts for
// the rehearsal alone. The error names everything that cannot be done to a live tenant, by line and field.
func Prepare(p *plan.Plan, s *Snapshot) (steps []Step, staged *plan.Plan, said []string, err error) {
	if said, err = possible(p); err != nil {
		return nil, nil, nil, err
	}
	if err := s.provided(p); err != nil {
		return nil, nil, nil, err
	}
	staged = s.staged(p)
	if err := s.Population.Afford(staged); err != nil {
		return nil, nil, nil, err
	}
	m := maker{s, fleet.Cast{Plan: staged, Population: s.Population, Start: s.At, Plays: func(protocol.Platform) bool { return true }}, s.Population.Holders()}
	for i := range p.Timeline {
		made := m.steps(i)
		if len(made) == 0 && p.Timeline[i].Enrol == nil {
			said = append(said, lang.English.Say("%s: it means nobody as the tenant is now, and nothing is done", p.Mistake(p.Path(i), "", "").Where()))
		}
		for _, step := range made {
			step.Field, step.State = p.Path(i), Waiting
			steps = append(steps, step)
		}
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	for i := range steps {
		steps[i].Number = i + 1
	}
	return steps, staged, said, nil
}

// possible refuses what nobody does to a live tenant.
func possible(p *plan.Plan) (said []string, err error) {
	var errs plan.Errors
	fail := func(path, message string) {
		errs = append(errs, p.Mistake(path, "", "%s", message))
	}
	if p.Arrival != nil {
		fail("arrival", "a load is not applied to a live tenant: its devices come by themselves; leave it out")
	}
	for i := range p.Faults {
		fail(fmt.Sprintf("faults[%d]", i), "a fault is not brought about in a live tenant; leave it out")
	}
	if p.Devices() > 0 {
		said = append(said, lang.English.Say("population: the live tenant's own devices and users are meant; its habits count for the rehearsal"))
	}
	if p.Tenant.Authority != protocol.Unknown {
		said = append(said, lang.English.Say("tenant: the live tenant's own state and settings are meant"))
	}
	if len(p.Limits) > 0 {
		said = append(said, lang.English.Say("limits: they are held against the rehearsal"))
	}
	for i := range p.Timeline {
		switch a := &p.Timeline[i]; {
		case a.Enrol != nil && a.Enrol.New() == 0:
			said = append(said, lang.English.Say("%s: who is not enrolled enrols by themselves; nothing is done", p.Path(i)))
		case a.Enrol != nil:
			fail(p.Path(i), "new devices cannot be made in a live tenant; leave it out")
		case a.Absence != nil:
			fail(p.Path(i), "devices leave a live tenant's network by themselves; leave it out")
		case a.RestartServer:
			fail(p.Path(i), "a live server is restarted by whoever runs it; leave it out")
		case a.Unenrol != nil:
			fail(p.Path(i), "users do this to their devices; an administrator's way is command: {kind: Retire}")
		case a.Reenrol != nil && a.Reenrol.Over > 0:
			said = append(said, lang.English.Say("%s: all links are made at once; users open theirs when they come to it", p.Path(i)+".over"))
		case a.APNs != nil && a.APNs.Upload.Refused():
			fail(p.Path(i), "the server refuses this upload; leave it out")
		}
	}
	if errs != nil {
		return nil, errs
	}
	return said, nil
}

// provided refuses profiles that the tenant does not have when the plan assigns them: what is in them is not a plan's to make up.
func (s *Snapshot) provided(p *plan.Plan) error {
	var errs plan.Errors
	for i := range p.Profiles {
		own := &p.Profiles[i]
		for _, l := range s.profiles {
			if l.Name == own.Name && l.Family != own.Family {
				errs = append(errs, p.Mistake(fmt.Sprintf("profiles[%d].family", i), "", "the tenant's profile %q of %s is of the family %s", l.Name, l.Authority, l.Family))
			}
		}
	}
	slot := s.slot()
	for i := range p.Timeline {
		switch a := &p.Timeline[i]; {
		case a.Authority != nil:
			of, added := a.Authority.Set.Authority()
			if slot = of; added {
				slot = protocol.Intune
			}
		case a.Profiles != nil:
			name := cmp.Or(a.Profiles.Assign, a.Profiles.Unassign)
			if !slices.ContainsFunc(s.profiles, func(l target.Profile) bool { return l.Name == name && l.Authority == slot }) {
				errs = append(errs, p.Mistake(p.Path(i), "", "the tenant has no profile %q of %s, which is in force then; put it there first by rollcall profiles apply FILE --authority %s, or, where it is a stand-in of plan waves, name your own profile in its place", name, slot, slot))
			}
		}
	}
	if errs != nil {
		return errs
	}
	return nil
}

// A maker settles who is meant.
type maker struct {
	*Snapshot
	cast    fleet.Cast
	holders population.Holders
}

func (m *maker) steps(i int) []Step {
	p := m.cast.Plan
	a := &p.Timeline[i]
	w := m.cast.Say(a)
	step := Step{At: a.At, Action: a.Kind(), Text: w.Name, Rule: w.Rule}
	switch {
	case a.Licences != nil:
		return m.waves(i, step)
	case a.Authority != nil:
		step.Value, step.Force = a.Authority.Set.String(), a.Authority.Force
		step.Irreversible = lang.English.Say("the authority is not simply set back: devices that have moved stay moved (AUTH-03, AUTH-04)")
	case a.Consent != 0:
		step.Value, step.Irreversible = a.Consent.String(), lang.English.Say("a consent once granted is not revoked (AUTH-05)")
	case a.SupportMove != nil:
		step.Devices = m.devices(*a.SupportMove, i, func(d *population.Device) bool { return d.Userless() })
		step.Irreversible = lang.English.Say("a device without a user does not move back by itself (AUTH-18)")
	case a.Profiles != nil:
		step.Value, step.Remove, step.Group = cmp.Or(a.Profiles.Assign, a.Profiles.Unassign), a.Profiles.Assign == "", a.Profiles.Group
	case a.Command != nil:
		step.Value, step.Devices = a.Command.Kind.String(), m.devices(a.Command.To, i, nil)
		if k := a.Command.Kind; k == protocol.Erase || k == protocol.Retire {
			step.Irreversible = lang.English.Say("what leaves the devices does not come back, and they must enrol again (AUTH-53)")
		}
	case a.APNs != nil:
		step.Value = a.APNs.Upload.String()
		if a.APNs.Upload == plan.OtherTopic {
			step.Irreversible = lang.English.Say("no enrolled Apple device listens to another topic: each must enrol again (AUTH-32)")
		}
	case a.AskUsersToSync != nil:
		step.Devices = m.devices(*a.AskUsersToSync, i, nil)
	case a.Reenrol != nil:
		step.Devices = m.devices(a.Reenrol.Of, i, nil)
		step.Irreversible = lang.English.Say("they are unenrolled at their next check-in, and only their users can enrol them again (AUTH-44)")
	default: // an enrolment: see possible
		return nil
	}
	if step.ofDevices() && len(step.Devices) == 0 {
		return nil
	}
	return []Step{step}
}

// ofDevices tells whether a step is done device by device.
func (s *Step) ofDevices() bool {
	switch s.Action {
	case "support_move", "command", "ask_users_to_sync", "reenrol":
		return true
	}
	return false
}

// waves are the turns at which users get a licence or lose it.
func (m *maker) waves(i int, like Step) (steps []Step) {
	l := m.cast.Plan.Timeline[i].Licences
	like.Value, like.Remove = l.Assign.String(), false
	if l.Assign == 0 {
		like.Value, like.Remove = l.Remove.String(), true
	}
	waves, _ := m.cast.Waves(&m.cast.Plan.Timeline[i], uint64(i), m.holders)
	for k, w := range waves {
		if len(w.Users) == 0 {
			continue
		}
		step := like
		step.At = plan.Duration(w.At)
		for _, u := range w.Users {
			step.Users = append(step.Users, m.Population.Users[u].UPN)
		}
		if len(waves) > 1 {
			step.Text = lang.English.Say("%s (%d of %d)", like.Text, k+1, len(waves))
		}
		steps = append(steps, step)
	}
	return steps
}

// devices are those that t means and that are enrolled.
func (m *maker) devices(t plan.Target, salt int, only func(*population.Device) bool) (ids []string) {
	for _, i := range m.Population.Pick(t, m.cast.Plan.Seed, uint64(salt)) {
		if d := &m.Population.Devices[i]; m.cast.Here(i) && (only == nil || only(d)) {
			ids = append(ids, d.UDID)
		}
	}
	return ids
}

// Whom says who a step is about.
func (s *Step) Whom() lang.Text {
	switch {
	case s.Users != nil:
		return lang.Later("%d {user|users}: %s", len(s.Users), some(s.Users))
	case s.Devices != nil:
		return lang.Later("%d {device|devices}: %s", len(s.Devices), some(s.Devices))
	case s.Group != "":
		return lang.Later("users of group %s", s.Group)
	}
	return lang.Later("the whole tenant")
}

func some(names []string) any {
	const shown = 5
	list := strings.Join(names[:min(len(names), shown)], ", ")
	if n := len(names) - shown; n > 0 {
		return lang.Later("%s and %d more", list, n)
	}
	return list
}

// refusals names the devices that were refused, the first few one by one.
func (s *Step) refusals() string {
	const shown = 5
	names := make([]string, min(shown, len(s.Refused)))
	for i := range names {
		names[i] = s.Refused[i].Device + ": " + s.Refused[i].Reason
	}
	if n := len(s.Refused) - shown; n > 0 {
		return lang.English.Say("%d refused (%s; and %d more)", len(s.Refused), strings.Join(names, "; "), n)
	}
	return lang.English.Say("%d refused (%s)", len(s.Refused), strings.Join(names, "; "))
}

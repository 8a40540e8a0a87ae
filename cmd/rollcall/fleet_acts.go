//go:build !agentonly

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/load"
	"rollcall/fleet/plan"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// acts are what the timeline does to the server's tenant meanwhile, as far as a load plays it; before it, all enrol.
func (f *fleetRunFlags) acts(a *aim, p *plan.Plan) (acts []load.Act) {
	for i := range p.Timeline {
		action := &p.Timeline[i]
		if act := f.act(a, p, action); act.Do != nil {
			act.At = time.Duration(action.At)
			acts = append(acts, act)
		} else if action.Enrol == nil {
			f.unplayed = append(f.unplayed, f.language.Say("%s at %s", action.Kind(), action.At.String()))
		}
	}
	for i := range p.Faults {
		f.unplayed = append(f.unplayed, fmt.Sprintf("faults[%d]", i))
	}
	return acts
}

// act is one action; without Do it is not played.
func (f *fleetRunFlags) act(a *aim, p *plan.Plan, action *plan.Action) load.Act {
	switch r := a.rollcall; {
	case action.Authority != nil && r != nil:
		return load.Act{Name: lang.English.Say("The authority is set to %s", action.Authority.Set), Calls: true, Do: func(ctx context.Context) (string, error) {
			return f.setAuthority(ctx, r, action.Authority)
		}}
	case action.APNs != nil && action.APNs.Upload == plan.Renewed && r != nil:
		return load.Act{Name: lang.English.Say("A renewed push certificate is uploaded"), Calls: true, Do: func(ctx context.Context) (string, error) {
			const life = 400 * 24 * time.Hour // longer than that of any before it
			made, err := r.MakeTestPush(ctx, "", life)
			if err == nil {
				err = r.UploadPush(ctx, target.PushUpload{Certificate: made})
			}
			return "", err
		}}
	case action.Profiles != nil && action.Profiles.Group == plan.All && r != nil && f.users: // without one a device gets none
		return f.assignment(r, p, action.Profiles)
	case action.Command != nil && a.order != nil && action.Command.To == (plan.Target{Share: plan.Whole, Whom: plan.All}):
		kind := action.Command.Kind
		return load.Act{Name: lang.English.Say("%s is ordered for all devices", kind), Calls: true, Do: func(ctx context.Context) (string, error) {
			return f.loading.Order(ctx, kind.String(), func(ctx context.Context, udid string) (string, error) {
				return a.order(ctx, udid, target.Order{Kind: fleet.OrderOf(kind)})
			})
		}}
	}
	return load.Act{}
}

// setAuthority asks what the change would do, and confirms it (AUTH-35).
func (f *fleetRunFlags) setAuthority(ctx context.Context, r *target.Rollcall, s *plan.Setting) (outcome string, err error) {
	c := target.Change{Authority: s.Set.String(), Force: s.Force}
	p, err := r.PreviewAuthority(ctx, c)
	if err == nil {
		c.Confirm, c.Count = p.ID, p.Stranded
		p, err = r.SetAuthority(ctx, c)
	}
	if err != nil {
		return "", err
	}
	f.loading.Changes(p.Epoch)
	outcome = lang.English.Say("Previewed and confirmed: of %d {device|devices} %d {moves|move}, %d {registers|register} anew.", p.Enrolled, p.Pending, p.Stale)
	if p.OpensGap {
		outcome += " " + lang.English.Say("The gap opens: Apple devices get 503 until a renewed push certificate is uploaded.")
	}
	return outcome, nil
}

// assignment gives a profile to all, or takes it from them.
func (f *fleetRunFlags) assignment(r *target.Rollcall, p *plan.Plan, a *plan.Assignment) load.Act {
	if a.Unassign != "" {
		return load.Act{Name: lang.English.Say("The profile %s is taken from all", a.Unassign), Calls: true, Do: func(ctx context.Context) (string, error) {
			f.loading.Assigns(fleet.ProfileOf(p, a.Unassign), false)
			return "", r.Unassign(ctx, a.Unassign, a.Group)
		}}
	}
	_, document := fleet.Document(p, a.Assign)
	return load.Act{Name: lang.English.Say("The profile %s is assigned to all", a.Assign), Calls: true, Do: func(ctx context.Context) (string, error) {
		f.loading.Assigns(fleet.ProfileOf(p, a.Assign), true)
		return "", r.ApplyProfile(ctx, a.Assign, document, []string{a.Group})
	}}
}

// ownArrival is how devices come whose plan does not say it: by pushes alone, or each as often as its platform does by itself,
// in a story that takes whole where it is not told in less.
func ownArrival(p *plan.Plan, whole time.Duration, called bool) *plan.Arrival {
	a := &plan.Arrival{
		Think: plan.Duration(load.DefaultThink), Drain: plan.Duration(30 * time.Second), Handshakes: plan.Full, Connections: plan.Closed, Retries: called,
	}
	if !called {
		every := protocol.ScheduleOf(protocol.IOS).Steady.Seconds() * time.Duration(p.Until).Seconds() / whole.Seconds()
		a.CheckIns = plan.PerSecond(max(1, 1000*float64(p.Devices())/every))
	}
	return a
}

// remarks are what to know of a plan before it is played.
func (f *fleetRunFlags) remarks(p *plan.Plan) (list []string) {
	if len(f.unplayed) > 0 {
		list = append(list, f.language.Say("not played by fleet run, of the plan %s: %s", p.Name, strings.Join(f.unplayed, ", ")))
	}
	if f.unsaid && !f.called {
		list = append(list, f.language.Say("the plan %s has no arrival: its devices come as often as they do by themselves, %s in all; --apns-listen has the server call them, --rate says another rate",
			p.Name, p.Arrival.CheckIns.String()))
	}
	return list
}

package fleet

import (
	"context"
	"errors"
	"fmt"

	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// An inviter is a target that makes enrolment links for a kind of device.
type inviter interface {
	InviteFor(ctx context.Context, upns []string, o target.InviteOptions) ([]target.Invitation, error)
}

// invite asks for what each of these devices enrols with, and has ADE devices assigned. A Windows device's user types in the token of
// a link that any device may open.
func (f *Fleet) invite(ctx context.Context, devices []int) (by map[int]target.Invitation, err error) {
	by = map[int]target.Invitation{}
	var serials []target.Serial
	asked := map[target.InviteOptions][]int{}
	for _, i := range devices {
		d := &f.population.Devices[i]
		switch {
		case f.byDirectory(i):
			by[i] = target.Invitation{URL: f.url} // its directory says so, and gives the token
		case f.packaged(i):
			by[i] = target.Invitation{URL: f.url} // its package says so
		case d.Platform == protocol.Android:
			o := target.InviteOptions{Platform: d.Platform, Mode: modeOf(d)}
			asked[o] = append(asked[o], i)
		case d.Enrolment == population.Automated:
			serials = append(serials, target.Serial{Serial: d.Serial, User: f.upn(i), Awaiting: true})
			by[i] = target.Invitation{URL: f.adeURL}
		default:
			asked[target.InviteOptions{}] = append(asked[target.InviteOptions{}], i)
		}
	}
	if len(serials) > 0 {
		ade, ok := f.target.(interface {
			AddSerials(ctx context.Context, serials []target.Serial) error
		})
		if !ok {
			return nil, errors.New("automated enrolment: this target's devices cannot be assigned from here")
		}
		if err := ade.AddSerials(ctx, serials); err != nil {
			return nil, fmt.Errorf("assign serial numbers: %w", err)
		}
	}
	for o, theirs := range asked {
		users := make([]string, len(theirs))
		for n, i := range theirs {
			users[n] = f.upn(i)
		}
		made, err := f.invited(ctx, users, o)
		if err != nil {
			return nil, fmt.Errorf("invite: %w", err)
		}
		for n, i := range theirs {
			by[i] = made[n]
		}
	}
	return by, nil
}

func (f *Fleet) invited(ctx context.Context, users []string, o target.InviteOptions) ([]target.Invitation, error) {
	if o == (target.InviteOptions{}) {
		return f.target.Invite(ctx, users)
	}
	t, ok := f.target.(inviter)
	if !ok {
		return nil, fmt.Errorf("this target takes no devices of %s", o.Platform)
	}
	return t.InviteFor(ctx, users, o)
}

// upn is the user of device i; empty: it has none.
func (f *Fleet) upn(i int) string {
	if d := &f.population.Devices[i]; !d.Userless() {
		return f.population.Users[d.User].UPN
	}
	return ""
}

// modeOf is how an Android device is managed: what has no user is dedicated or of AOSP, whatever else is said of it.
func modeOf(d *population.Device) android.Mode {
	switch {
	case d.Userless() && d.Enrolment == population.AOSP:
		return android.AOSPUserless
	case d.Userless():
		return android.Dedicated
	case d.Enrolment == population.AOSP:
		return android.AOSPUser
	case d.Enrolment == population.FullyManaged, d.Enrolment == population.Dedicated:
		return android.FullyManaged
	case d.Ownership == population.Company:
		return android.WorkProfileCompany
	}
	return android.WorkProfilePersonal
}

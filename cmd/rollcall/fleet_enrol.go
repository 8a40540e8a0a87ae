//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet"
	"rollcall/fleet/load"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// start says how devices enrol.
func (a *aim) start(ctx context.Context, devices []fleet.Device) ([]load.Start, error) {
	if a.profile != nil {
		return load.ByProfile(a.profile)(ctx, devices)
	}
	upns := make([]string, len(devices)) // without users: nobody has that many devices (AUTH-47)
	if a.flags.users {
		if err := a.addUsers(ctx, devices, upns); err != nil {
			return nil, err
		}
	}
	mode := android.Dedicated
	if a.flags.users {
		mode = android.FullyManaged
	}
	var robots, others []int // by how they are invited
	for i, d := range devices {
		if _, ok := d.(*dialect.Android); ok {
			robots = append(robots, i)
		} else {
			others = append(others, i)
		}
	}
	starts := make([]load.Start, len(devices))
	for _, of := range [...]struct {
		who    []int
		invite func(ctx context.Context, upns []string) ([]target.Invitation, error)
	}{{others, a.invite}, {robots, func(ctx context.Context, upns []string) ([]target.Invitation, error) {
		return a.rollcall.InviteFor(ctx, upns, target.InviteOptions{Platform: protocol.Android, Mode: mode})
	}}} {
		if len(of.who) == 0 {
			continue
		}
		theirs := make([]string, len(of.who))
		for n, i := range of.who {
			theirs[n] = upns[i]
		}
		invitations, err := of.invite(ctx, theirs)
		if err != nil {
			return nil, fmt.Errorf("invite %d devices: %w", len(of.who), err)
		}
		for n, i := range of.who {
			starts[i] = func(ctx context.Context, l *link.Link) (link.Report, error) {
				report, err := fleet.Enrol(ctx, l, devices[i], fleet.Joining{By: invitations[n], User: upns[i], Mode: mode, Now: time.Now()})
				return report, unattested(err)
			}
		}
	}
	return starts, nil
}

// own gives the devices of a population users of their own, or none: an Android device knows whose it is before it enrols.
func (a *aim) own(pop *population.Population) {
	users := make([]population.User, len(pop.Devices))
	for i := range pop.Devices {
		d := &pop.Devices[i]
		users[i].UPN, users[i].Group = userOf(d.UDID), -1
		if d.Platform == protocol.Android { // it is known by its serial number: another seed makes others
			d.Serial = d.UDID
		}
		if d.User = population.Nobody; a.flags.users {
			d.User = int32(i)
		}
	}
	pop.Users = users
}

func userOf(device string) string { return strings.ToLower(device) + "@load.example" }

// addUsers gives each device a user of its own, and says what these are called.
func (a *aim) addUsers(ctx context.Context, devices []fleet.Device, upns []string) error {
	users := make([]target.User, len(devices))
	for i, d := range devices {
		upns[i] = userOf(load.Name(d))
		if a, ok := d.(*dialect.Android); ok { // which knows its user already
			upns[i] = a.Who().UPN
		}
		users[i] = target.User{UPN: upns[i], Groups: []string{plan.All}, IntuneLicence: true, BasicLicence: true}
	}
	if err := a.rollcall.AddUsers(ctx, users); err != nil {
		return fmt.Errorf("add %d users: %w", len(users), err)
	}
	return nil
}

// unattested says what to do where a server takes in no Android device that attests nothing of its key, or whose maker it does not know.
func unattested(err error) error {
	f, _ := errors.AsType[*dialect.Failure](err)
	switch {
	case f == nil:
	case f.Code == android.AttestationMissing:
		return fmt.Errorf("%w: the server wants its key attested; name the CA of the devices' maker by --android-maker", err)
	case f.Code == android.AttestationForeign:
		return fmt.Errorf("%w: the server does not know the maker of --android-maker; name its CA there by --android-attestation-roots", err)
	}
	return err
}

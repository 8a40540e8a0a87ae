package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/agent"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A Server is the power switch of the server under test, where the run owns it.
type Server interface {
	Stop(ctx context.Context) error  // nobody answers from here on
	Start(ctx context.Context) error // the same data, the same address
	// Busy has those requests answered 503 for whose device refuses says so; nil: none any more. refuses may be called by
	// many goroutines.
	Busy(refuses func(protocol.Device) bool)
}

// PushSlot is what a target offers whose push certificate a plan can renew.
type PushSlot interface {
	MakeTestPush(ctx context.Context, topic string, lifetime time.Duration) ([]byte, error)
	UploadPush(ctx context.Context, u target.PushUpload) error
}

// An act is one thing that the plan does at a moment.
type act struct {
	at   protocol.Time
	name string // what progress and report call it
	rule protocol.Rule
	do   func(ctx context.Context, now protocol.Time) error
}

// An Act is one thing that the plan did, for the report.
type Act struct {
	At   protocol.Time
	Name string
	Rule protocol.Rule
}

// errNoSwitch refuses a plan that needs a server of our own.
var errNoSwitch = errors.New("the plan stops or restarts the server, which only lab can do")

// script returns what the plan does, in order of time; at the same time in the plan's order.
func (f *Fleet) script() ([]act, error) {
	var list []act
	add := func(at plan.Duration, name string, rule protocol.Rule, do func(context.Context, protocol.Time) error) {
		list = append(list, act{f.start.Add(time.Duration(at)), name, rule, do})
	}
	for i := range f.plan.Timeline {
		a := &f.plan.Timeline[i]
		salt := uint64(i)
		switch {
		case a.Enrol != nil && a.Enrol.Again:
			add(a.At, "those whose enrolment ended enrol again", "AUTH-44", func(_ context.Context, now protocol.Time) error {
				f.enrolAgain(now, time.Duration(a.Enrol.Over), salt)
				return nil
			})
		case a.Enrol != nil:
			add(a.At, fmt.Sprintf("%s enrol over %s", joining(a.Enrol), a.Enrol.Over), "AUTH-01", nil) // the population knows who and when
		case a.Profiles != nil && a.Profiles.Assign != "":
			add(a.At, fmt.Sprintf("profile %s is assigned to %s", a.Profiles.Assign, a.Profiles.Group), protocol.RuleWake, func(ctx context.Context, _ protocol.Time) error {
				return f.assign(ctx, a.Profiles)
			})
		case a.Profiles != nil:
			add(a.At, fmt.Sprintf("profile %s is unassigned from %s", a.Profiles.Unassign, a.Profiles.Group), protocol.RuleUnassigned, func(ctx context.Context, _ protocol.Time) error {
				return f.unassign(ctx, a.Profiles)
			})
		case a.Command != nil:
			add(a.At, fmt.Sprintf("%s for %s", a.Command.Kind, a.Command.To), protocol.RuleWake, func(ctx context.Context, _ protocol.Time) error {
				return f.order(ctx, a.Command, salt)
			})
		case a.APNs != nil:
			add(a.At, "a renewed push certificate is uploaded", protocol.RuleUpload, f.renewPush)
		case a.AskUsersToSync != nil:
			add(a.At, fmt.Sprintf("users are asked to sync: %s", a.AskUsersToSync), protocol.RuleUserSync, func(_ context.Context, now protocol.Time) error {
				for _, d := range f.population.Pick(*a.AskUsersToSync, f.seed, salt) {
					f.at(d, now.Add(time.Duration(within(f.draw(d, forAsk, salt), uint64(time.Hour)))), asked, 0)
				}
				return nil
			})
		case a.Absence != nil:
			add(a.At, fmt.Sprintf("absent: %s, for %s", a.Absence.Of, a.Absence.Lasts), "AUTH-42", func(_ context.Context, now protocol.Time) error {
				for _, d := range f.population.Pick(a.Absence.Of, f.seed, salt) {
					f.at(d, now, leaves, absence)
					f.at(d, now.Add(a.Absence.Lasts.Draw(f.draw(d, forAbsence, salt))), returns, absence)
				}
				return nil
			})
		case a.Unenrol != nil:
			add(a.At, fmt.Sprintf("users remove management: %s", a.Unenrol), "AUTH-44", func(_ context.Context, now protocol.Time) error {
				for _, d := range f.population.Pick(*a.Unenrol, f.seed, salt) {
					f.at(d, now, unenrols, 0)
				}
				return nil
			})
		case a.RestartServer:
			if f.server == nil {
				return nil, errNoSwitch
			}
			add(a.At, "the server restarts", "", func(ctx context.Context, _ protocol.Time) error { return f.restart(ctx) })
		}
	}
	for i := range f.plan.Faults {
		fault := &f.plan.Faults[i]
		if err := f.addFault(fault, add); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(list, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	return list, nil
}

// addFault adds the beginning of a fault and, where it has one, its end.
func (f *Fleet) addFault(fault *plan.Fault, add func(plan.Duration, string, protocol.Rule, func(context.Context, protocol.Time) error)) error {
	var name string
	var turn func(ctx context.Context, on bool) error
	share := fault.Share
	if share == 0 {
		share = plan.Whole
	}
	switch {
	case fault.Server == plan.Down:
		if f.server == nil {
			return errNoSwitch
		}
		name = "the server is down"
		turn = func(ctx context.Context, on bool) error { return f.power(ctx, !on) }
	case fault.Server == plan.Busy:
		if f.server == nil {
			return errNoSwitch
		}
		name = fmt.Sprintf("the server is busy: 503 for %s", share)
		turn = func(_ context.Context, on bool) error {
			f.busyShare.Store(when(on, share))
			if on {
				f.server.Busy(f.refuses)
			} else {
				f.server.Busy(nil)
			}
			return nil
		}
	case fault.DropResponse:
		name = fmt.Sprintf("answers are lost: %s", share)
		turn = func(_ context.Context, on bool) error { f.drop.Store(when(on, share)); return nil }
	case fault.Reset:
		name = fmt.Sprintf("connections are reset: %s", share)
		turn = func(_ context.Context, on bool) error { f.reset.Store(when(on, share)); return nil }
	}
	add(fault.At, name, "", func(ctx context.Context, _ protocol.Time) error { return turn(ctx, true) })
	if fault.For > 0 {
		add(fault.At+fault.For, name+": over", "", func(ctx context.Context, _ protocol.Time) error { return turn(ctx, false) })
	}
	return nil
}

func when(on bool, share plan.Share) uint32 {
	if on {
		return uint32(share)
	}
	return 0
}

// joining says who an enrolment is about.
func joining(e *plan.Enrol) string {
	if e.All() {
		return "all devices"
	}
	return fmt.Sprintf("%d new devices", e.Total()+e.Userless.Total())
}

// enrolAgain has those enrol whose enrolment has ended, or whose identity has (AUTH-42, AUTH-44).
func (f *Fleet) enrolAgain(now protocol.Time, over time.Duration, salt uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.devices {
		d := &f.devices[i]
		if d.apple == nil || f.population.Devices[i].Joins == population.Never {
			continue
		}
		if phase := d.apple.Phase(); phase == agent.Removed || phase == agent.Wiped || phase == agent.Enrolled && ended(d, now) {
			f.at(i, now.Add(time.Duration(within(f.draw(i, forAgain, salt), max(uint64(over), 1)))), enrols, 0)
		}
	}
}

// power stops or starts the server.
func (f *Fleet) power(ctx context.Context, on bool) error {
	f.down = !on
	if on {
		return f.server.Start(ctx)
	}
	return f.server.Stop(ctx)
}

func (f *Fleet) restart(ctx context.Context) error {
	if err := f.power(ctx, false); err != nil {
		return err
	}
	return f.power(ctx, true)
}

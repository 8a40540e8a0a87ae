package fleet

import (
	"cmp"
	"context"
	"errors"
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
	at protocol.Time
	Words
	fault bool
	main  bool
	do    func(ctx context.Context, now protocol.Time) error // nil: the population knows who and when. It may leave f.outcome
}

// An Act is one thing that the plan did, for the report.
type Act struct {
	At    protocol.Time
	Name  string        // a sentence without its full stop
	Text  string        // why it matters; empty: said before
	Rule  protocol.Rule // empty: none
	Fault bool          // something went wrong on purpose, or ceased to
	Main  bool          // it is what a change is about; see [IsMain]
}

// errNoSwitch refuses a plan that needs a server of our own.
var errNoSwitch = errors.New("the plan stops or restarts the server, which only lab can do")

// IsMain tells whether an action is what a change is about: it sets the authority, or brings a push certificate that is taken.
func IsMain(a *plan.Action) bool {
	return a.Authority != nil || a.APNs != nil && !a.APNs.Upload.Refused()
}

// script returns what the plan does, in order of time; at the same time in the plan's order.
func (f *Fleet) script() ([]act, error) {
	var list []act
	holders := f.population.Holders()
	for i := range f.plan.Timeline {
		a := &f.plan.Timeline[i]
		do, err := f.action(a, uint64(i))
		if err != nil {
			return nil, err
		}
		if a.Licences != nil {
			waves, err := f.waves(a, uint64(i), holders)
			if err != nil {
				return nil, err
			}
			list = append(list, waves...)
			continue
		}
		if w := f.cast.Say(a); w.Name != "" {
			list = append(list, act{at: f.start.Add(time.Duration(a.At)), Words: w, main: IsMain(a), do: do})
		}
	}
	for i := range f.plan.Faults {
		turn, err := f.fault(&f.plan.Faults[i])
		if err != nil {
			return nil, err
		}
		at, length := f.start.Add(time.Duration(f.plan.Faults[i].At)), time.Duration(f.plan.Faults[i].For)
		begins, ends := SayFault(&f.plan.Faults[i])
		list = append(list, act{at: at, Words: begins, fault: true, do: func(ctx context.Context, _ protocol.Time) error { return turn(ctx, true) }})
		if length > 0 {
			list = append(list, act{at: at.Add(length), Words: ends, fault: true, do: func(ctx context.Context, _ protocol.Time) error { return turn(ctx, false) }})
		}
	}
	slices.SortStableFunc(list, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	said := map[string]bool{}
	for i := range list {
		if text := list[i].Text; said[text] {
			list[i].Text = ""
		} else {
			said[text] = true
		}
	}
	return list, nil
}

// action returns how a is done; nil: the population knows who and when. salt tells the draws of one action apart from
// those of another.
func (f *Fleet) action(a *plan.Action, salt uint64) (do func(context.Context, protocol.Time) error, err error) {
	switch {
	case a.Enrol != nil && a.Enrol.Again:
		do = func(_ context.Context, now protocol.Time) error {
			f.enrolAgain(now, time.Duration(a.Enrol.Over), salt)
			return nil
		}
	case a.Profiles != nil && a.Profiles.Assign != "":
		do = func(ctx context.Context, _ protocol.Time) error { return f.assign(ctx, a.Profiles, protocol.Unknown) }
	case a.Profiles != nil:
		do = func(ctx context.Context, _ protocol.Time) error { return f.unassign(ctx, a.Profiles) }
	case a.Command != nil:
		do = func(ctx context.Context, _ protocol.Time) error { return f.order(ctx, a.Command, salt) }
	case a.Authority != nil, a.Consent != 0, a.SupportMove != nil:
		return f.tenantAction(a, salt)
	case a.APNs != nil && a.APNs.Upload.Refused():
		do = func(ctx context.Context, _ protocol.Time) error { return f.failUpload(ctx, a.APNs.Upload) }
	case a.APNs != nil:
		do = func(ctx context.Context, now protocol.Time) error { return f.changePush(ctx, now, a.APNs.Upload) }
	case a.AskUsersToSync != nil:
		do = f.each(*a.AskUsersToSync, salt, func(d int, now protocol.Time) {
			f.at(d, now.Add(f.draws.Asked(d, salt)), asked, 0)
		})
	case a.Absence != nil:
		do = f.each(a.Absence.Of, salt, func(d int, now protocol.Time) {
			if f.cast.Silent(d) {
				return // away it is already, and does not come back
			}
			f.at(d, now, leaves, absence)
			f.at(d, now.Add(f.draws.Absence(d, salt, a.Absence)), returns, absence)
		})
	case a.Unenrol != nil:
		do = f.each(*a.Unenrol, salt, func(d int, now protocol.Time) { f.at(d, now, unenrols, 0) })
	case a.Reenrol != nil:
		do = f.each(a.Reenrol.Of, salt, func(d int, now protocol.Time) {
			f.at(d, now.Add(f.draws.Reenrol(d, salt, time.Duration(a.Reenrol.Over))), reenrols, 0)
		})
	case a.RestartServer && f.server == nil:
		return nil, errNoSwitch
	case a.RestartServer:
		do = func(ctx context.Context, _ protocol.Time) error { return f.restart(ctx) }
	}
	return do, nil
}

// each queues something for each device that t means.
func (f *Fleet) each(t plan.Target, salt uint64, do func(d int, now protocol.Time)) func(context.Context, protocol.Time) error {
	return func(_ context.Context, now protocol.Time) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, d := range f.population.Pick(t, f.seed, salt) {
			do(d, now)
		}
		return nil
	}
}

// fault returns how a fault is turned on and off.
func (f *Fleet) fault(fault *plan.Fault) (turn func(ctx context.Context, on bool) error, err error) {
	share := fault.Share
	if share == 0 {
		share = plan.Whole
	}
	switch {
	case fault.Server != 0 && f.server == nil:
		return nil, errNoSwitch
	case fault.Server == plan.Down:
		turn = func(ctx context.Context, on bool) error { return f.power(ctx, !on) }
	case fault.Server == plan.Busy:
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
		turn = func(_ context.Context, on bool) error { f.drop.Store(when(on, share)); return nil }
	case fault.Push == plan.PushDown:
		turn = func(_ context.Context, on bool) error { f.cutPush(on); return nil }
	case fault.Push == plan.PushLost:
		turn = func(_ context.Context, on bool) error { f.lose.Store(when(on, share)); return nil }
	case fault.Reset:
		turn = func(_ context.Context, on bool) error { f.reset.Store(when(on, share)); return nil }
	}
	return turn, nil
}

func when(on bool, share plan.Share) uint32 {
	if on {
		return uint32(share)
	}
	return 0
}

// enrolAgain has those enrol whose enrolment has ended, or whose identity has (AUTH-42, AUTH-44).
func (f *Fleet) enrolAgain(now protocol.Time, over time.Duration, salt uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.devices {
		d := &f.devices[i]
		if d.Device == nil || f.population.Devices[i].Joins == population.Never {
			continue
		}
		if d.busy || f.mustEnrol(d, now) { // a busy one is looked at when it is due
			f.at(i, now.Add(f.draws.Again(i, salt, over)), enrols, 0)
		}
	}
}

// mustEnrol tells whether d was enrolled and only a new enrolment helps.
func (f *Fleet) mustEnrol(d *device, now protocol.Time) bool {
	phase := d.Phase()
	return phase == agent.Removed || phase == agent.Wiped || phase == agent.Enrolled && f.cut(d, now)
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

package rehearsal

import (
	"context"
	"slices"
	"time"

	"rollcall/fleet/plan"
)

// Shrink returns the least plan it finds that still breaks what p breaks: fewer devices, fewer actions and faults, a shorter
// time. breaks plays a plan and tells whether it does; it is asked of plans that are in order only. The plan that is returned is
// as its text says. The error is that of ctx, or of a plan that cannot be written.
func Shrink(ctx context.Context, p *plan.Plan, breaks func(context.Context, *plan.Plan) bool) (*plan.Plan, error) {
	least, err := written(p)
	if err != nil {
		return nil, err
	}
	try := func(q *plan.Plan) bool {
		q, err := written(q)
		if err != nil || ctx.Err() != nil || !breaks(ctx, q) {
			return false
		}
		least = q
		return true
	}
	for again := true; again && ctx.Err() == nil; {
		again = fewerDevices(least, try)
		for _, part := range []func(*plan.Plan, int, int) (*plan.Plan, bool){withoutActions, withoutFaults, withoutActs} {
			again = fewer(func() *plan.Plan { return least }, part, try) || again
		}
		again = shorter(least, try) || again
	}
	return least, ctx.Err()
}

// written is p as its own text says: what was never a text, such as a plan of other size, becomes one.
func written(p *plan.Plan) (*plan.Plan, error) {
	name := p.Name
	q, err := plan.Parse(name, p.Encode(nil))
	if err == nil {
		q.Name = name
	}
	return q, err
}

// fewerDevices halves the number of devices as long as that goes, then takes off less and less.
func fewerDevices(p *plan.Plan, try func(*plan.Plan) bool) (any bool) {
	n := p.Devices()
	for step := n / 2; step > 0; step /= 2 {
		for n > step {
			q, err := p.WithDevices(n - step)
			if err != nil || !try(q) {
				break
			}
			n, any = n-step, true
		}
	}
	return any
}

// fewer leaves parts of the plan out, many at a time and then one by one.
func fewer(now func() *plan.Plan, without func(p *plan.Plan, from, n int) (*plan.Plan, bool), try func(*plan.Plan) bool) (any bool) {
	for size := 64; size > 0; size /= 2 {
		for from := 0; ; {
			q, ok := without(now(), from, size)
			if !ok {
				break
			}
			if try(q) {
				any = true
			} else {
				from += size
			}
		}
	}
	return any
}

func withoutActions(p *plan.Plan, from, n int) (*plan.Plan, bool) {
	if from+n > len(p.Timeline) {
		return nil, false
	}
	q := *p
	q.Timeline = slices.Delete(slices.Clone(p.Timeline), from, from+n)
	return &q, true
}

func withoutFaults(p *plan.Plan, from, n int) (*plan.Plan, bool) {
	if from+n > len(p.Faults) {
		return nil, false
	}
	q := *p
	q.Faults = slices.Delete(slices.Clone(p.Faults), from, from+n)
	return &q, true
}

func withoutActs(p *plan.Plan, from, n int) (*plan.Plan, bool) {
	if from+n > len(p.Acts) {
		return nil, false
	}
	q := *p
	q.Acts = slices.Delete(slices.Clone(p.Acts), from, from+n)
	return &q, true
}

// shorter ends the plan sooner, at whole hours.
func shorter(p *plan.Plan, try func(*plan.Plan) bool) (any bool) {
	until := time.Duration(p.Until)
	for step := (until / 2).Truncate(time.Hour); step >= time.Hour; step = (step / 2).Truncate(time.Hour) {
		for until > step {
			q := *p
			q.Until = plan.Duration(until - step)
			if !try(&q) {
				break
			}
			until, any = until-step, true
		}
	}
	return any
}

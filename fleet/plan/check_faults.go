package plan

import "fmt"

// faults checks each fault by itself, against those of its kind, and against what the timeline wants of a server that is
// down.
func (c *checker) faults() {
	for i := range c.plan.Faults {
		f := &c.plan.Faults[i]
		path := fmt.Sprintf("faults[%d]", i)
		kinds := 0
		for _, set := range []bool{f.Server != 0, f.DropResponse, f.Reset, f.Push != 0} {
			if set {
				kinds++
			}
		}
		if kinds != 1 {
			c.fail(path, ruleContradiction, "want exactly one of server, drop_response, reset, push")
		}
		if f.At > c.plan.Until {
			c.fail(path+".at", ruleContradiction, "%s is after the end of the story (until: %s)", f.At, c.plan.Until)
		}
		if f.Server == Down && f.For == 0 {
			c.fail(path, ruleContradiction, "a server that stays down to the end; want for: 3h or so")
		}
		if f.Push == PushDown && f.For == 0 {
			c.fail(path, ruleContradiction, "a push service that stays down to the end; want for: 3h or so")
		}
		switch {
		case f.Push == PushDown && f.Share != Whole:
			c.fail(path+".share", ruleContradiction, "a push service is down for everybody; want push: lost for a share of the pushes")
		case f.Server == Down && f.Share != Whole:
			c.fail(path+".share", ruleContradiction, "a server is down for everybody; want server: busy for a share of the requests")
		case f.Share == 0:
			c.fail(path+".share", ruleContradiction, "a fault that no request meets")
		}
		if kinds == 1 {
			c.apart(path, f, c.plan.Faults[:i])
		}
	}
	for i := range c.plan.Timeline {
		c.reachable(i)
	}
}

// apart refuses two faults of one kind at once: the end of the first would be the end of both. One may follow the other
// without a pause where the plan has them in this order, in which the ends and beginnings of one moment are played.
func (c *checker) apart(path string, f *Fault, before []Fault) {
	from, to := c.span(f)
	for i := range before {
		other := &before[i]
		if otherFrom, otherTo := c.span(other); other.kind() == f.kind() && from < otherTo && otherFrom <= to {
			c.fail(path, ruleContradiction, "%s from %s to %s, and from %s to %s by faults[%d]: one ends the other; want one of them, or one after the other",
				f.kind(), from, to, otherFrom, otherTo, i)
			return
		}
	}
}

// reachable refuses an action that needs the server while that is down.
func (c *checker) reachable(i int) {
	a := &c.plan.Timeline[i]
	path := c.plan.Path(i)
	var over Duration
	switch {
	case a.Licences != nil:
		over = a.Licences.Over
	case a.Authority != nil, a.Consent != 0, a.SupportMove != nil, a.Profiles != nil, a.Command != nil, a.APNs != nil, a.RestartServer:
	default:
		return // devices and their users do it, and try again
	}
	for n := range c.plan.Faults {
		f := &c.plan.Faults[n]
		if from, to := c.span(f); f.Server == Down && from <= a.At+over && a.At <= to {
			c.fail(path, ruleContradiction, "the server is down from %s to %s (faults[%d]), so nobody can do this then", from, to, n)
			return
		}
	}
}

// span returns when f begins and ends.
func (c *checker) span(f *Fault) (from, to Duration) {
	if f.For == 0 {
		return f.At, max(f.At, c.plan.Until)
	}
	return f.At, f.At + f.For
}

// kind returns what f is called in a plan, such as "server: down"; of one with two kinds, the first.
func (f *Fault) kind() string {
	switch {
	case f.Server != 0:
		return "server: " + f.Server.String()
	case f.DropResponse:
		return "drop_response"
	case f.Push != 0:
		return "push: " + f.Push.String()
	}
	return "reset"
}

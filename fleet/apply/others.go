package apply

import (
	"context"
	"fmt"
	"strings"

	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A Contested is that somebody else has done what a step of the plan does, since this process last looked: another one may be
// applying a copy of the same record.
type Contested struct {
	Step *Step
	Line target.Line // of the server's journal
}

func (c *Contested) Error() string {
	whom := ""
	if c.Line.Device != "" {
		whom = " for " + c.Line.Device
	}
	return fmt.Sprintf("step %d (%s) is not this process's alone: %s has done the same%s at %s (line %d of the journal, %s: %s); a copy of this plan's state may be applied elsewhere",
		c.Step.Number, c.Step.Field, c.Line.Actor, whom, c.Line.At, c.Line.Seq, c.Line.What, c.Line.Detail)
}

func (c *Contested) Unwrap() error { return refuse("%s", c.Error()) }

// trace is what the journal says of a step that is done: the words of its lines, and which of these are about it. Of a step that
// leaves none, or that is as good done twice, it is empty.
func (s *Step) trace() (what string, mine func(l *target.Line) bool) {
	queued := func(kind string) func(l *target.Line) bool {
		in := set(s.Devices)
		return func(l *target.Line) bool { return in[l.Device] && strings.HasPrefix(l.Detail, kind) }
	}
	switch s.Action {
	case "authority":
		return "authority changed", func(*target.Line) bool { return true }
	case "apns":
		return "push certificate changed", func(*target.Line) bool { return true }
	case "command":
		return "command queued", queued(s.Value)
	case "reenrol":
		return "command queued", queued(protocol.Retire.String())
	case "support_move":
		return "support move", queued("")
	case "licences":
		in := set(s.Users)
		return "licences changed", func(l *target.Line) bool {
			user, _, _ := strings.Cut(l.Detail, ": ")
			return in[user]
		}
	}
	return "", nil
}

func set(names []string) map[string]bool {
	in := make(map[string]bool, len(names))
	for _, n := range names {
		in[n] = true
	}
	return in
}

// alone refuses to go on where an administrator has done what any step that is left does, since this process last looked.
func (r *Runner) alone(ctx context.Context) error {
	if r.Others || r.Record.Journal == 0 {
		return nil
	}
	left := map[string][]*Step{} // by the words of their lines
	for i := range r.Record.Steps {
		if s := &r.Record.Steps[i]; s.State == Waiting {
			if what, _ := s.trace(); what != "" {
				left[what] = append(left[what], s)
			}
		}
	}
	for what, steps := range left {
		for _, s := range steps {
			_, mine := s.trace()
			if err := r.lines(ctx, what, func(l *target.Line) error {
				if mine(l) {
					return &Contested{s, *l}
				}
				return nil
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// only refuses to go on after a step that was done to a device or user twice since this
// process last looked: by it, and by somebody else.
func (r *Runner) only(ctx context.Context, s *Step) error {
	what, mine := s.trace()
	if r.Others || r.Record.Journal == 0 || what == "" {
		return nil
	}
	had := map[string]bool{}
	return r.lines(ctx, what, func(l *target.Line) error {
		of := l.Device + " " + l.Detail
		if mine(l) && had[of] {
			return &Contested{s, *l}
		}
		had[of] = had[of] || mine(l)
		return nil
	})
}

// lines calls f with what administrators did since this process last looked, until f fails.
func (r *Runner) lines(ctx context.Context, what string, f func(l *target.Line) error) error {
	for l, err := range r.Server.Journal(ctx, target.LineFilter{After: r.Record.Journal, What: what}) {
		if err == nil && strings.HasPrefix(l.Actor, "token:") {
			err = f(&l)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// looked notes how far the journal is known. Where the server does not say it the next run begins there anew.
func (r *Runner) looked(ctx context.Context) {
	end, err := r.Server.JournalEnd(ctx, r.Record.Journal)
	if err != nil {
		end = 0
	}
	r.Record.Journal = end
}

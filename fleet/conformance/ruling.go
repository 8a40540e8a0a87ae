package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// A ruling is what is being found out about one statement. As in package testing, what ends a check ends its goroutine.
type ruling struct {
	finding Finding
	last    *Exchange
}

func newRuling(s *Statement) ruling {
	f := newFinding(s)
	f.Outcome = Pass
	return ruling{finding: f}
}

// hold runs a check to its end. One that was cut off because whoever wants the run called it off has come to nothing, for that
// reason and no other.
func (r *ruling) hold(ctx context.Context, check func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		check()
	}()
	<-ended
	if (r.finding.Outcome == Fail || r.finding.Outcome == Unasked) && errors.Is(ctx.Err(), context.Canceled) {
		r.finding.Outcome, r.finding.Reason = Unasked, "interrupted"
	}
}

// found is what came of it.
func (r *ruling) found(took time.Duration) Finding {
	if r.finding.Outcome == Fail || r.finding.Outcome == Unasked {
		r.finding.Exchange = r.last
	}
	r.finding.Seconds = took.Seconds()
	return r.finding
}

func (r *ruling) end(o Outcome, format string, args []any) {
	r.finding.Outcome, r.finding.Reason = o, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// fail ends the check: the statement is not kept. The latest exchange decided.
func (r *ruling) fail(format string, args ...any) { r.end(Fail, format, args) }

// failBy is fail where another exchange decided.
func (r *ruling) failBy(x *Exchange, format string, args ...any) {
	r.last = x
	r.end(Fail, format, args)
}

// skip ends the check: the statement is not asked of this one, or not in this run.
func (r *ruling) skip(format string, args ...any) { r.end(NotApplicable, format, args) }

// unasked ends the check: it could not get as far as its question.
func (r *ruling) unasked(format string, args ...any) { r.end(Unasked, format, args) }

// without takes note of a part of the statement that cannot be asked here, and why.
func (r *ruling) without(format string, args ...any) {
	r.finding.Without = append(r.finding.Without, fmt.Sprintf(format, args...))
}

// saw takes note of something that is worth telling whatever the outcome.
func (r *ruling) saw(format string, args ...any) {
	r.finding.Seen = append(r.finding.Seen, fmt.Sprintf(format, args...))
}

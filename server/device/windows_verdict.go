package device

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server/csp"
	"rollcall/server/delivery"
)

// A verdict is what the statuses of a command's parts say together; the larger wins.
type verdict uint8

const (
	done    verdict = iota
	pending         // the device is at it
	later
	failed    // the next session may try again
	failedAll // for good
)

// verdictOf is what one status says (windows.md section 6.1). userAlone: nothing of the device's own could be done in the session.
func verdictOf(p *part, userAlone bool) verdict {
	switch c := p.Code; {
	case c == windows.NotFound && p.Verb == windows.Delete:
		return done
	case c == windows.NotExecuted, c == windows.OperationCancelled, c == windows.AtomicRolledBack, c == windows.Conflict, c == windows.DeviceFull, c == windows.ServiceUnavailable,
		c == windows.ProcessingError, c == windows.DataStoreFailure, c == windows.ServerFailure:
		return later
	case c < 300:
		return done
	case (p.User || userAlone) && (c == windows.NotAllowed || c == windows.CommandFailed): // the user is not there any more (WIN-037)
		return later
	case c == windows.CommandFailed, c == windows.AtomicFailed, c == windows.RollBackFailed:
		return failed
	}
	return failedAll
}

// flips tells whether a status asks for the other of Add and Replace: what is there already is replaced, what is missing is added.
func (p *part) flips() bool {
	return p.Code == windows.AlreadyExists && p.Verb == windows.Add || p.Code == windows.NotFound && p.Verb == windows.Replace
}

// flips tells whether a part of f, nil: nothing, is to go out once more, as the other of Add and Replace.
func (f *flight) flips() bool {
	return f != nil && slices.ContainsFunc(f.Parts, func(p part) bool { return p.flips() && !p.Flip })
}

// judge says what became of f; false: not all of it is answered, or some of it goes out once more.
func (f *flight) judge(userAlone bool) (v verdict, missing bool, errors string, ok bool) {
	for i := range f.Parts {
		if p := &f.Parts[i]; p.Code == 0 {
			return 0, false, "", false
		}
	}
	again := false
	for i := range f.Parts {
		p := &f.Parts[i]
		if !p.flips() || p.Flip {
			continue
		}
		again = again || !p.Node || p.In != 0
		if p.In != 0 {
			f.repeat(p.In - 1)
		}
		p.turn()
	}
	if again {
		return 0, false, "", false
	}
	v, said, ok := f.checked()
	if !ok {
		return 0, false, "", false
	}
	missing = f.Kind == protocol.RemoveProfile
	for i := range f.Parts {
		p := &f.Parts[i]
		missing = missing && p.Code == windows.NotFound
		if p.In != 0 && (p.Code == windows.NotExecuted || p.Code == windows.AtomicRolledBack) {
			continue // its sibling says why
		}
		if p.Code == windows.AtomicFailed && f.fails(i, userAlone) {
			continue // one of those in it says why
		}
		if one := verdictOf(p, userAlone); one > done && !csp.Reads(f.Kind) {
			v = max(v, one)
			said = append(said, p.said())
		}
	}
	return v, missing, strings.Join(said, "; "), true
}

// said is a status that was no success, and what else it means than a failure (windows.md section 6.1).
func (p *part) said() string {
	text := fmt.Sprintf("%s %d", p.Verb, p.Code)
	switch p.Code {
	case windows.OptionalNotSupported:
		text += ": not applicable to the device"
	case windows.RollBackFailed:
		text += ": the device could not undo its half, look at it"
	}
	return text
}

// fails tells whether a part that is in the Atomic at is the reason why that failed.
func (f *flight) fails(at int, userAlone bool) bool {
	return slices.ContainsFunc(f.Parts, func(p part) bool {
		return p.In == at+1 && p.Code != windows.NotExecuted && p.Code != windows.AtomicRolledBack && verdictOf(&p, userAlone) > done
	})
}

// turn has the part go out once more, as the other of Add and Replace. A node that is there already is as it should be.
func (p *part) turn() {
	p.Cmd, p.Code, p.Flip = 0, 0, true
	if p.Node {
		p.Code = windows.OK
		return
	}
	if p.Verb == windows.Add {
		p.Verb = windows.Replace
	} else {
		p.Verb = windows.Add
	}
}

// repeat has a whole Atomic go out once more, for it is done as a whole or not at all.
func (f *flight) repeat(at int) {
	for i := range f.Parts {
		p := &f.Parts[i]
		if (i == at || p.In == at+1) && !p.flips() && !(p.Node && p.Flip) {
			p.Cmd, p.Code = 0, 0
		}
	}
}

// reports takes the commands that are through out of the session, and says what became of them: of those that are torn, the device has
// carried out a part and could not undo it.
func (s *session) reports(results map[protocol.CommandID]*strings.Builder) (out []delivery.CommandReport, torn []protocol.CommandID) {
	left := s.Flights[:0]
	for i := range s.Flights {
		f := s.Flights[i]
		if s.Object.of(&f) {
			left = append(left, f)
			continue
		}
		v, missing, errors, ok := f.judge(s.User)
		if !ok {
			left = append(left, f)
			continue
		}
		r := delivery.CommandReport{Command: f.ID, Errors: errors, Missing: missing, Status: protocol.Acknowledged}
		switch v {
		case pending, later:
			r.Status, r.Pending = protocol.NotNow, v == pending
		case failed:
			r.Status = protocol.Failed
		case failedAll:
			r.Status, r.Final = protocol.Failed, true
		}
		if b := results[f.ID]; b != nil {
			r.Result = []byte(b.String())
		}
		out = append(out, r)
		if slices.ContainsFunc(f.Parts, func(p part) bool { return p.Code == windows.RollBackFailed }) {
			torn = append(torn, f.ID)
		}
	}
	s.Flights = left
	return out, torn
}

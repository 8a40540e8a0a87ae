package device

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"rollcall/protocol/windows"
)

// A checking is by which node a device says what has become of a command that it has only accepted (windows.md sections 6.1 and 11).
type checking uint8

const (
	unchecked  checking = iota
	checkSCEP           // Status of the profile: Enroll goes on after its answer, and no alert says how it ended
	checkValue          // the effective value of a policy
)

// checkOf tells how a command is verified, and the node to ask.
func checkOf(c *windows.Command) (checking, string) {
	if len(c.Items) == 0 {
		return unchecked, ""
	}
	uri := c.Items[0].Target
	profile, enrols := strings.CutSuffix(uri, "/Install/Enroll")
	switch {
	case c.Verb == windows.Exec && enrols && strings.Contains(uri, "/ClientCertificateInstall/SCEP/"):
		return checkSCEP, profile + "/Status"
	case (c.Verb == windows.Add || c.Verb == windows.Replace) && strings.Contains(uri, "/Policy/Config/"):
		return checkValue, strings.Replace(uri, "/Policy/Config/", "/Policy/Result/", 1)
	}
	return unchecked, ""
}

// A check is a question what has become of a part.
type check struct {
	Part  int   // its index
	Cmd   int32 // CmdID of the question
	Code  windows.Code
	Value string
}

// maxChecked bounds the text of an answer that is kept.
const maxChecked = 64

// checks tells whether a part is to be asked after.
func (p *part) checks() bool {
	switch p.Check {
	case checkSCEP:
		return p.Code == windows.OK || p.Code == windows.AcceptedForProcessing
	case checkValue:
		return p.Code == windows.AcceptedForProcessing
	}
	return false
}

// unasked is the first part that is still to be asked after, once all are answered; -1: there is none.
func (f *flight) unasked() int {
	if slices.ContainsFunc(f.Parts, func(p part) bool { return p.Code == 0 }) {
		return -1
	}
	from := 0
	if n := len(f.Checks); n > 0 {
		from = f.Checks[n-1].Part + 1
	}
	for i := from; i < len(f.Parts); i++ {
		if f.Parts[i].checks() {
			return i
		}
	}
	return -1
}

// ask puts the questions about f that are due into the box. Its commands are all answered.
func (b *box) ask(f *flight, commands []windows.Command) {
	var all []*windows.Command // by part
	for i := range commands {
		all = append(all, &commands[i])
		for k := range commands[i].Commands {
			all = append(all, &commands[i].Commands[k])
		}
	}
	for i := f.unasked(); i >= 0; i = f.unasked() {
		_, uri := checkOf(all[i])
		get := windows.Command{Verb: windows.Get, CmdID: 1 << 30, Items: []windows.Item{{Target: uri}}}
		if size := get.EncodedSize(); size <= b.left {
			b.left -= size
		} else if !b.ample && len(b.out) > 0 {
			return
		}
		get.CmdID = b.next()
		b.out = append(b.out, get)
		f.Checks, f.Msg = append(f.Checks, check{Part: i, Cmd: get.CmdID}), b.msg
	}
}

// check finds the question that a reference means; nil: it is of something else.
func (s *session) check(msg uint32, cmd int32) (found *check) {
	for i := range s.Flights {
		if f := &s.Flights[i]; f.Msg == msg {
			for k := range f.Checks {
				if f.Checks[k].Cmd == cmd {
					found = &f.Checks[k] // the latest: numbers begin anew with each message
				}
			}
		}
	}
	return found
}

// checked is what the answers say together; ok is false while one is missing.
func (f *flight) checked() (v verdict, said []string, ok bool) {
	if f.unasked() >= 0 {
		return 0, nil, false
	}
	for _, c := range f.Checks {
		switch found := c.Code == windows.OK; {
		case c.Code == 0:
			return 0, nil, false
		case found && (c.Value == "2" || c.Value == "32"):
			v, said = max(v, pending), append(said, "SCEP goes on: "+c.Value)
		case !found && f.Parts[c.Part].Cmd == 0: // it was given in a session before
			v, said = max(v, failed), append(said, fmt.Sprintf("SCEP has left nothing: %d", c.Code))
		case f.Parts[c.Part].Check == checkValue && !found:
			said = append(said, "accepted, and not in force yet")
		case f.Parts[c.Part].Check == checkValue, found && c.Value == "1":
		case found && c.Value == "16":
			v, said = max(v, failed), append(said, "SCEP failed")
		default:
			said = append(said, fmt.Sprintf("SCEP does not say how it goes on: %d %s", c.Code, c.Value))
		}
	}
	return v, said, true
}

func (f *flight) appendChecks(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(f.Checks)))
	for _, c := range f.Checks {
		for _, n := range [...]uint64{uint64(c.Part), uint64(c.Cmd), uint64(c.Code)} {
			dst = binary.AppendUvarint(dst, n)
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(c.Value))), c.Value...)
	}
	return dst
}

func (r *reader) checks(f *flight) {
	for range r.length() {
		c := check{Part: int(r.number()), Cmd: int32(r.number()), Code: windows.Code(r.number()), Value: r.text()}
		r.short = r.short || uint(c.Part) >= uint(len(f.Parts))
		if f.Checks = append(f.Checks, c); r.short {
			f.Checks = nil
			return
		}
	}
}

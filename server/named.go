package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/store"
)

// A Named is what a preview says of one enrolled device.
type Named struct {
	Device     protocol.Device
	From, To   protocol.Authority // registered, and who should manage it after the change
	Fate       authority.Fate
	Stranded   authority.Reason
	Pending    bool
	Stale      bool
	MustEnrol  bool
	Unlicensed bool
	Before     protocol.Rule // that decided before the change
	Rule       protocol.Rule // and decides after it
	Blocked    protocol.Rule // AUTH-30 or AUTH-33; empty: not
	Settings   uint16        // profiles that come, go, or are replaced
	Falls      uint64        // stands for what becomes of its profiles
}

func namedOf(c *authority.Subject, j *authority.Judgement) Named {
	return Named{
		c.Number, c.Registered, j.After.Authority, j.Fate, j.Stranded, j.Pending, j.Stale, j.MustEnrol, j.After.Unlicensed, j.Before.Rule, j.After.Rule, j.Blocked, uint16(min(j.Settings, math.MaxUint16)), j.Falls,
	}
}

// Concerned tells whether the change does something to the device or its profiles, or something is wrong with it.
func (n *Named) Concerned() bool {
	return n.Settings > 0 || n.Fate != authority.Stays || n.Pending || n.Stale || n.MustEnrol || n.Blocked != ""
}

// String says in a few words what the device does.
func (n *Named) String() string {
	s := n.Fate.String()
	switch {
	case n.Stranded != authority.NotStranded:
		s += " (" + n.Stranded.String() + ")"
	case n.Fate == authority.Moves:
		s += " to " + n.To.String()
	case n.Stale:
		s = "registers anew"
	}
	if n.Blocked != "" {
		s += ", held by " + string(n.Blocked)
	}
	if n.MustEnrol {
		s += ", must enrol again"
	}
	if n.Unlicensed {
		s += ", unlicensed"
	}
	return s + " (" + string(n.Rule) + ")"
}

// named is how many devices a difference names before it counts the others.
const named = 5

// differing says which devices p treats otherwise than was did, the first few by name; empty: none.
func (s *Server) differing(ctx context.Context, was, p *Preview) (string, error) {
	var words []string
	count := 0
	say := func(d protocol.Device, format string, args ...any) error {
		if count++; count > named {
			return nil
		}
		var name string
		switch r, err := s.store.Record(ctx, d); {
		case err == nil:
			name = r.ID
		case !errors.Is(err, store.ErrNotFound):
			return err
		default: // removed since
			if name, err = s.store.RemovedID(ctx, d); errors.Is(err, store.ErrNotFound) {
				name = fmt.Sprintf("device %d", d)
			} else if err != nil {
				return err
			}
		}
		words = append(words, name+" "+fmt.Sprintf(format, args...))
		return nil
	}
	a, b := was.Devices, p.Devices
	for len(a)+len(b) > 0 {
		var err error
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Device < b[0].Device:
			err = say(a[0].Device, "is no longer enrolled, and it was: %s", &a[0])
			a = a[1:]
		case len(a) == 0 || b[0].Device < a[0].Device:
			err = say(b[0].Device, "is new: %s", &b[0])
			b = b[1:]
		default:
			is, before := b[0].String(), a[0].String()
			switch {
			case is != before:
				err = say(b[0].Device, "%s, was: %s", is, before)
			case a[0].From != b[0].From:
				err = say(b[0].Device, "is registered with %s, was with %s", b[0].From, a[0].From)
			case a[0] != b[0]:
				err = say(b[0].Device, "gets, keeps or loses other profiles")
			}
			a, b = a[1:], b[1:]
		}
		if err != nil {
			return "", err
		}
	}
	if count > named {
		words = append(words, fmt.Sprintf("and %d more", count-named))
	}
	if count == 0 {
		return "", nil
	}
	noun := "devices differ"
	if count == 1 {
		noun = "device differs"
	}
	return fmt.Sprintf("%d %s: %s", count, noun, strings.Join(words, "; ")), nil
}

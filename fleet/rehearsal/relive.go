package rehearsal

import (
	"cmp"
	"context"
	"slices"

	"rollcall/protocol"
)

// What a log leaves out of a device's life: see [Relive].
const (
	checkedIn = "checked in" // the device, and nothing came of it
	noAnswer  = "no answer"  // to a conversation that the device began
	heldBack  = "held"       // by the push certificate, which keeps it from its server (AUTH-30, AUTH-33)
	released  = "released"   // though it did nothing
)

// Relive plays c's story again for the sake of one device of its population: only the partition that has it, which needs no other.
// It returns what the log has about the device, in the log's order, and by time what the log has no line of: conversations of which
// nothing came, and from when to when the push certificate held the device, which would be lines of most of a tenant's devices. c has
// all that the log's header says; its Log, Lines, Progress and Workers are not looked at. Errors as [Play]'s, and ctx's.
func Relive(ctx context.Context, c Config, device int) (logged, quiet []Line, err error) {
	id := c.Population.Devices[device].UDID
	c.Log, c.Progress = nil, nil
	c.Lines = func(l Line) {
		if l.Device == id {
			logged = append(logged, l)
		}
	}
	s, err := newStage(&c)
	if err != nil {
		return nil, nil, err
	}
	at := s.at[device]
	p := s.player(int(at.part), nil)
	p.part.witness = func(c *Contact) {
		if uint32(c.Device) != at.index || c.Began == protocol.NoVerb {
			return
		}
		l := Line{At: c.At, Side: OfDevice, Device: id, What: checkedIn}
		if !c.Done && c.Refusal == "" {
			l.What = noAnswer
		}
		quiet = append(quiet, l)
	}
	var holds []Line
	p.part.holding = func(i int, now protocol.Time, by protocol.Rule) {
		if uint32(i) != at.index {
			return
		}
		l := Line{At: now, Side: OfServer, Device: id, What: released, Rule: by}
		if by != "" {
			l.What = heldBack
		}
		holds = append(holds, l)
	}
	if err := p.story(ctx); err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(logged, func(a, b Line) int { // as the log has them
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Side, b.Side))
	})
	told := map[protocol.Time]bool{}
	for i := range logged {
		told[logged[i].At] = true
	}
	quiet = slices.DeleteFunc(quiet, func(l Line) bool { return told[l.At] })
	return logged, Together(holds, quiet), nil
}

// Together puts what a log leaves out among its lines; both are by time.
func Together(lines, quiet []Line) []Line {
	all := append(slices.Clone(lines), quiet...)
	slices.SortStableFunc(all, func(a, b Line) int { return cmp.Compare(a.At, b.At) })
	return all
}

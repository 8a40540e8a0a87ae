package rehearsal

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A fate is how a device ends, the first that holds.
type fate uint8

const (
	absent fate = iota
	notEnrolled
	mustEnrolAgain
	isStranded
	isBlocked
	hasToCome
	hasMoved
	hasRegistered
	unconcerned
)

var fates = [...]lang.Key{
	absent: lang.Key("not there"), notEnrolled: lang.Key("not enrolled"), mustEnrolAgain: lang.Key("must enrol again"), isStranded: lang.Key("stranded"),
	isBlocked: lang.Key("blocked"), hasToCome: lang.Key("to come"), hasMoved: lang.Key("moved"), hasRegistered: lang.Key("registered anew"), unconcerned: lang.Key("as before"),
}

func (l *Life) fate() fate {
	switch {
	case l == nil:
		return absent
	case l.MustEnrol:
		return mustEnrolAgain
	case !l.Enrolled:
		return notEnrolled
	case l.Stranded:
		return isStranded
	case l.Standing.Blocked:
		return isBlocked
	case l.Pending, l.Stale:
		return hasToCome
	case l.Moved:
		return hasMoved
	case l.Reregistered:
		return hasRegistered
	}
	return unconcerned
}

// leastDifference is what a moment or a length of time must differ by to count.
const leastDifference = time.Minute

// differs tells whether device i ends otherwise in a further column than in the first, or came to it at another time.
func (c *Comparison) differs(i int) bool {
	apart := func(x, y time.Duration) bool { return (x - y).Abs() >= leastDifference }
	a := c.life(0, i)
	for k := 1; k < len(c.Columns); k++ {
		b := c.life(k, i)
		if a.fate() != b.fate() {
			return true
		}
		if b != nil && (apart(c.took(0, a), c.took(k, b)) || apart(c.waited(0, a), c.waited(k, b)) || apart(a.held(), b.held()) || apart(a.bare(), b.bare())) {
			return true
		}
	}
	return false
}

// byLength tells whether a device of two columns may fare differently for no other reason than that one story is longer: it ended alike,
// or moved after the shorter had ended, and what it waited, was held and was without protection for longer fits into the rest.
func (c *Comparison) byLength(i int) bool {
	short, long := 0, 1
	if c.Columns[0].lasted() > c.Columns[1].lasted() {
		short, long = 1, 0
	}
	ended := c.Columns[short].lasted()
	rest := c.Columns[long].lasted() - ended
	a, b := c.life(short, i), c.life(long, i)
	if rest == 0 || a == nil || b == nil {
		return false
	}
	fits := func(a, b, rest time.Duration) bool { return b-a > -leastDifference && b-a < rest+leastDifference }
	alike := a.fate() == b.fate() && (c.took(long, b)-c.took(short, a)).Abs() < leastDifference
	moved := a.fate() == hasToCome && b.fate() == hasMoved && c.took(long, b) >= ended
	return (alike || moved) && fits(c.waited(short, a), c.waited(long, b), rest) && fits(a.held(), b.held(), rest) && fits(a.bare(), b.bare(), rest*time.Duration(len(protocol.Families)))
}

// took is when the device moved first, from the start; 0: it did not.
func (c *Comparison) took(column int, l *Life) time.Duration {
	if l == nil || !l.Moved || l.MovedAt == 0 {
		return 0
	}
	return l.MovedAt.Sub(c.Columns[column].Start)
}

// waited is the device's longest wait for a move, as limits judge it; 0: it was to make none.
func (c *Comparison) waited(column int, l *Life) time.Duration {
	if l == nil {
		return 0
	}
	d, _ := c.Columns[column].wait(l)
	return d
}

// A turn is how many devices end how in the first column, and in the second.
type turn struct {
	ends    [2]fate
	devices int
}

// A difference is what two columns differ in.
type difference struct {
	turns       []turn // of devices that end otherwise; the most first
	devices     int    // of both columns, those that fare differently
	byLength    int    // of these, those that may do so by the length of the stories alone
	lost, added int    // those of the first alone, and of the second alone
}

// difference holds the second column against the first.
func (c *Comparison) difference() (d difference) {
	n := map[[2]fate]int{}
	for i := range c.Columns[0].Lives {
		a, b := c.life(0, i).fate(), c.life(1, i).fate()
		if a != b && !(b == absent && c.Columns[1].Partial) { // which was not played, and has no end
			n[[2]fate{a, b}]++
		}
		switch {
		case b == absent:
			d.lost++
		case c.differs(i):
			d.devices++
			d.byLength += one(c.byLength(i))
		}
	}
	for ends, devices := range n {
		d.turns = append(d.turns, turn{ends, devices})
	}
	slices.SortFunc(d.turns, func(a, b turn) int { return cmp.Or(b.devices-a.devices, slices.Compare(a.ends[:], b.ends[:])) })
	d.added = len(c.Columns[1].Lives) - (len(c.Columns[0].Lives) - d.lost)
	return d
}

// Differences calls f with a row of cells for each device that differs between the columns, after a row of headings, until f fails.
// Names are those of names, by column. Durations are in hours.
func (c *Comparison) Differences(l lang.Language, names []*population.Population, f func(cells []string) error) error {
	head := []string{l.Say("device"), l.Say("user")}
	for _, what := range [...]lang.Key{lang.Key("outcome: %s"), lang.Key("moved after hours: %s"), lang.Key("longest wait hours: %s"), lang.Key("blocked hours: %s"), lang.Key("unprotected hours: %s")} {
		for _, column := range c.Columns {
			head = append(head, l.Say(what, column.Name))
		}
	}
	err := f(head)
	for i := 0; i < len(c.Columns[0].Lives) && err == nil; i++ {
		if !c.differs(i) {
			continue
		}
		lives := make([]*Life, len(c.Columns))
		for k := range lives {
			if lives[k] = c.life(k, i); lives[k] == nil {
				lives[k] = &Life{}
			}
		}
		cells := []string{names[0].Devices[i].Name, userName(names[0], i)}
		for k := range lives {
			cells = append(cells, l.Say(fates[c.life(k, i).fate()]))
		}
		for k, life := range lives {
			cells = append(cells, inHours(c.took(k, life)))
		}
		for k, life := range lives {
			cells = append(cells, inHours(c.waited(k, life)))
		}
		for _, life := range lives {
			cells = append(cells, inHours(life.held()))
		}
		for _, life := range lives {
			cells = append(cells, inHours(life.bare()))
		}
		err = f(cells)
	}
	return err
}

// Entries calls f with a row of cells for each device about which something is to be done, by each column, which the last cell names,
// after a row of headings, until f fails. Names are those of names, by column: the population of each, with or without tokens.
func (c *Comparison) Entries(l lang.Language, names []*population.Population, f func(cells []string) error) error {
	err := f([]string{l.Say("device"), l.Say("user"), l.Say("reason"), l.Say("action"), l.Say("answer")})
	for k, column := range c.Columns {
		if err == nil {
			err = column.Answers.Entries(l, names[k], func(e Entry) error { return f([]string{e.Device, e.User, e.Reason, e.Action, column.Name}) })
		}
	}
	return err
}

func inHours(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return strconv.FormatFloat(d.Hours(), 'f', 2, 64)
}

package rehearsal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A player plays a timeline on the real code and tells the twin what happens.
type player struct {
	loop  *rehearsal.Loop
	watch *rehearsal.Watch
	twin  *twin
	ctx   context.Context

	units  map[protocol.Device]int // by the server's number
	lost   map[int]int             // by device: after so many reports an answer is lost
	cut    map[int]bool            // and the report itself, and the server restarts
	busy   map[int]int             // by device: so many commands it answers NotNow
	fails  map[int]int             // by device: so many profiles do not install, or do not leave
	said   []protocol.Status       // what a device answered in the conversation under way
	looked struct {
		change   authority.Change
		to, id   string
		text     string
		stranded int
	}
	ran     map[int]map[protocol.CommandID]bool // by device: what it has carried out
	stepped bool                                // the server's clock was set: the watch has no other
	err     error
}

// play plays a timeline and returns what does not hold, first things first.
func play(t timeline, change ...func(*rehearsal.LoopConfig)) (broken []string, err error) {
	_, broken, err = playing(t, change...)
	return broken, err
}

// playing is play that returns what has played.
func playing(t timeline, change ...func(*rehearsal.LoopConfig)) (p *player, broken []string, err error) {
	p = &player{
		watch: rehearsal.NewWatch(&rehearsal.Log{}), ctx: context.Background(), units: map[protocol.Device]int{}, lost: map[int]int{}, cut: map[int]bool{}, busy: map[int]int{}, fails: map[int]int{},
		ran: map[int]map[protocol.CommandID]bool{},
	}
	p.twin = &twin{units: -1, limit: 15, now: start, clock: start, calm: start, life: 365 * day, kept: 7, versions: map[string]int{}, assigned: map[string]string{}, workloads: map[string]string{}}
	p.twin.days.old, p.twin.days.records, p.twin.days.grace, p.twin.days.counted = 7, 180, 30, 90
	life := 365
	if len(t) > 0 {
		if f := strings.Fields(t[0]); len(f) == 3 && f[0] == "tenant" {
			life, _ = strconv.Atoi(f[2])
		}
	}
	p.twin.life = time.Duration(life) * day
	cfg := rehearsal.LoopConfig{Start: start, Seed: 1, Lifetime: p.twin.life, Observe: p.observe, Contact: p.contact, Arrives: p.arrives, Obeys: p.obeys}
	for _, f := range change {
		f(&cfg)
	}
	p.loop, err = rehearsal.NewLoop(p.ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	for i, act := range t {
		f := strings.Fields(act)
		if i == 0 && f[0] != "tenant" {
			return nil, nil, fmt.Errorf("act 0 is %q: a timeline begins with its tenant", act)
		}
		err := p.loop.Run(p.loop.Now().Add(time.Second)) // no two acts in one moment
		if err == nil {
			p.time()
			err = p.act(f)
		}
		if err == nil {
			err = p.err
		}
		if err != nil {
			return p, p.twin.broken, fmt.Errorf("act %d, %s: %w", i, act, err)
		}
		p.compare()
		if _, _, first := p.watch.Result(); len(first) > 0 && !(p.stepped && (first[0].Invariant == "I4" || first[0].Invariant == "I8")) {
			p.twin.breaks(first[0].Invariant, "%s (the watch of a rehearsal says so of %s at %s)", first[0].What, first[0].Device, first[0].At)
		}
		if len(p.twin.broken) > 0 {
			p.twin.broken[0] += fmt.Sprintf(" [act %d, %s]", i, act)
			return p, p.twin.broken, nil
		}
	}
	return p, nil, nil
}

// sync gives the twin the time.
func (p *player) time() {
	w := p.twin
	w.now, w.clock = p.loop.Now(), p.loop.Clock()
	for _, u := range w.devices {
		w.expire(u)
	}
}

// refusal is the rule of a refusal; empty: there is none.
func (p *player) refusal(err error) string {
	no := new(protocol.Refusal)
	if errors.As(err, &no) {
		return string(no.Rule)
	}
	if err != nil && p.err == nil {
		p.err = err
	}
	return ""
}

// answered holds an answer to an administrator against the twin's.
func (p *player) answered(name, what string, err error, want string) bool {
	if got := p.refusal(err); got != want {
		p.twin.breaks(name, "%s: %s, want %s", what, orTaken(got), orTaken(want))
		return false
	}
	return want == ""
}

func orTaken(rule string) string {
	if rule == "" {
		return "taken"
	}
	return "refused by " + rule
}

// onDevice are the acts whose first word after is a device.
var onDevice = []string{"again", "leave", "away", "back", "sync", "support", "order", "retire", "delete", "wipe", "lose", "cut", "busy", "fails"}

// act plays one act.
func (p *player) act(f []string) error {
	w, s, now := p.twin, p.loop.Server(), p.loop.Clock()
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	number := func(i int) int { n, _ := strconv.Atoi(arg(i)); return n }
	var u *unit
	d := number(1)
	if slices.Contains(onDevice, f[0]) {
		if d >= len(w.devices) {
			return nil
		}
		u = w.devices[d]
	}
	soon := true
	switch f[0] {
	case "tenant":
		return p.setUp(arg(1))
	case "put", "assign":
		p.put(number(1), arg(2), f[0] == "put")
	case "unassign", "drop":
		p.take(arg(1), arg(2))
	case "set":
		p.set(arg(1), arg(2) == "force")
	case "look":
		c := configurations[arg(1)]
		pre, err := s.PreviewAuthority(p.ctx, now, c)
		if p.answered("AUTH-04", strings.Join(f, " "), err, w.mayChange(arg(1), false)) {
			p.looked.change, p.looked.to, p.looked.id, p.looked.stranded = c, arg(1), pre.ID, pre.Stranded
			p.looked.text, _ = w.foretell(arg(1))
		}
	case "confirm":
		p.confirm()
	case "plans":
		p.plans(number(1), arg(2))
	case "helps":
		who := number(1)
		_, err := s.PutUsersWith(p.ctx, now, []string{upn(who)}, func(_ int, u *store.User) { u.Manager = arg(2) == "yes" })
		if err != nil {
			return err
		}
		w.people[who].helps = arg(2) == "yes"
	case "units":
		if err := s.SetUnits(p.ctx, now, boss, number(1)); err != nil {
			return err
		}
		w.units = number(1)
	case "limit":
		set := s.Content().Settings
		set.DeviceLimit = number(1)
		if err := s.SetSettings(p.ctx, now, boss, set); err != nil {
			return err
		}
		w.limit = number(1)
	case "workload":
		set := s.Content().Settings
		decider, _ := authority.DeciderNamed(arg(2))
		at := slices.Index(authority.WorkloadNames[:], arg(1))
		if at < 0 {
			return fmt.Errorf("there is no workload %q", arg(1))
		}
		set.Workloads[at], set.Pilots = decider, "sales"
		if err := s.SetSettings(p.ctx, now, boss, set); err != nil {
			return err
		}
		w.workloads[arg(1)] = arg(2)
	case "gap":
		set := s.Content().Settings
		set.Gap.NotOnCoexistence = arg(1) == "off"
		if err := s.SetSettings(p.ctx, now, boss, set); err != nil {
			return err
		}
		w.noGap = set.Gap.NotOnCoexistence
	case "days":
		set := s.Content().Settings
		set.Old, set.Records, set.PushGrace = time.Duration(number(1))*day, time.Duration(number(2))*day, time.Duration(number(3))*day
		if err := s.SetSettings(p.ctx, now, boss, set); err != nil {
			return err
		}
		w.days.old, w.days.records, w.days.grace = number(1), number(2), number(3)
	case "counts":
		set := s.Content().Settings
		if set.Counted = time.Duration(number(1)) * day; set.Counted == 90*day {
			set.Counted = 0
		}
		if err := s.SetSettings(p.ctx, now, boss, set); err != nil {
			return err
		}
		w.days.counted = number(1)
	case "every":
		set := s.Content().Settings
		set.Cadence = time.Duration(number(1)) * time.Hour
		if err := s.SetSettings(p.ctx, now, boss, set); err != nil {
			return err
		}
		w.every = max(w.every, set.Cadence)
	case "silent":
		if err := s.SetCleanUp(p.ctx, now, boss, number(1)); err != nil {
			return err
		}
		w.silent = time.Duration(number(1)) * day
	case "upload":
		p.upload(arg(1), number(2), arg(3) == "confirm")
	case "enrol":
		owner := -1
		if arg(2) != "-" {
			owner = number(2)
		}
		p.enrol(arg(1), owner)
	case "again":
		if u.managed && !u.away && !w.down {
			if err := p.loop.Unenrol(d); err != nil {
				return err
			}
		}
		if err := p.loop.Enrol(d); err != nil {
			return err
		}
	case "leave":
		if u.managed && !u.away && !w.down {
			return p.loop.Unenrol(d)
		}
	case "away":
		u.away = true
		p.watch.Reach(now, id(d), false)
		if err := p.loop.Reach(d, false); err != nil {
			return err
		}
	case "back":
		u.away, soon = false, false
		w.settle(false)
		p.watch.Reach(now, id(d), true)
		if err := p.loop.Reach(d, true); err != nil {
			return err
		}
	case "sync":
		if err := p.loop.Sync(d); err != nil {
			return err
		}
	case "support", "order", "retire", "delete", "wipe":
		p.order(f[0], d, u)
	case "lose":
		p.lost[d] = max(1, number(2))
	case "cut":
		p.lost[d], p.cut[d] = max(1, number(2)), true
	case "busy":
		p.busy[d] = number(2)
	case "fails":
		p.fails[d] = number(2)
	case "down", "up":
		if w.down != (f[0] == "down") {
			w.down, soon = f[0] == "down", false
			w.calm = w.clock
			p.loop.Down(w.down)
			if w.down {
				for i := range w.devices {
					p.watch.Reach(now, id(i), false)
				}
				break
			}
			for i, u := range w.devices {
				p.watch.Reach(now, id(i), !u.away)
			}
			p.watch.Up(now)
		}
	case "restart":
		w.restarted()
		soon = false
		if err := p.loop.Restart(); err != nil {
			return err
		}
	case "clock", "confirmclock":
		soon = false
		if err := p.clock(f); err != nil {
			return err
		}
	case "wait":
		span, err := span(arg(1))
		if err != nil {
			return err
		}
		if err := p.loop.Run(p.loop.Now().Add(span)); err != nil {
			return err
		}
		p.time()
		w.overdue()
		return nil
	default:
		return fmt.Errorf("there is no act %q", f[0])
	}
	w.settle(soon && !w.down)
	p.watch.Turn(p.loop.Clock(), p.loop.Server().World())
	return nil
}

func span(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * day, err
	}
	return time.ParseDuration(s)
}

func id(d int) string { return fmt.Sprintf("device-%d", d) }

// losing is the count of reports where it is this one's answer that is lost.
const losing = -1

// arrives loses an answer, or what a device says to a server that is being restarted.
func (p *player) arrives(d int, c *protocol.CheckIn) rehearsal.Passage {
	if p.lost[d] <= 0 || c.Verb != protocol.Report || c.Round < 2 {
		return rehearsal.Whole
	}
	if p.lost[d]--; p.lost[d] > 0 {
		return rehearsal.Whole
	}
	p.lost[d] = losing
	if p.cut[d] {
		return rehearsal.CutOff
	}
	return rehearsal.Unanswered
}

// obeys is what a device says of a command.
func (p *player) obeys(d int, c *protocol.Command) protocol.Status {
	said := protocol.Acknowledged
	switch {
	case p.busy[d] > 0:
		p.busy[d]--
		said = protocol.NotNow
	case p.fails[d] > 0 && (c.Kind == protocol.InstallProfile || c.Kind == protocol.RemoveProfile):
		p.fails[d]--
		said = protocol.Failed
	}
	p.said = append(p.said, said)
	return said
}

// observe sees what the server commits.
func (p *player) observe(now protocol.Time, w *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome) {
	p.watch.Observe(now, w, ev, before, after, out)
	d, known := p.units[after.Device]
	if !known {
		return
	}
	if ev.Kind == delivery.RecordDue && len(out.Effects) > 0 {
		p.time()
		switch {
		case out.Changed&delivery.Gone != 0:
			p.twin.removed(d)
		case before.Life == delivery.Enrolled && after.Life == delivery.Ended:
			p.twin.gone(d)
		case after.Life == delivery.Deleted:
			u := p.twin.devices[d]
			if p.twin.silent == 0 || p.twin.clock < u.seen.Add(p.twin.silent) || p.twin.doubt {
				p.twin.breaks("I6", "device %d is cleaned up, and was heard of at %s", d, u.seen)
			}
			u.life = "deleted"
		}
	}
}

package rehearsal

import (
	"context"
	"slices"
	"time"

	"rollcall/agent"
	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A part is one partition: its devices and their server. One worker has it, from the beginning to the end.
type part struct {
	*player
	number     int
	loop       *Loop
	watch      *Watch
	units      []unit                  // by the loop's index
	first      int                     // of its users in the population
	owned      []uint32                // devices of its users, one user after the other
	owns       []uint32                // where in owned the devices of each user begin
	users      int                     // how many they are; at the server they have the numbers from 1 on
	known      []uint32                // by the server's number: the loop's index plus 1
	moments    moments                 // that are to come
	horizon    protocol.Time           // until then the plan does nothing but the waves of the window
	licensed   []protocol.Time         // by device: when the next of them concerns it; 0: none does; nil: there was none yet
	about      int                     // the device that is logged about
	lines      *sheaf                  // of the log
	compared   int                     // of them, how many the earlier log has alike
	ends       protocol.Time           // no identity ends sooner
	census     census                  // how the devices stand now
	hours      []census                // how they stood at the end of each hour of the story
	waived     bool                    // in the conversation under way a profile left because it was unassigned
	counts                             // since the story began
	minutes    []Minute                // of the story
	minuteNow  *Minute                 // of minutes, the one that was counted in last
	minuteFrom protocol.Time           // its beginning
	issued     uint64                  // identities that were counted
	barred     map[protocol.Rule]*bars // enrolments that the server refused
	again      map[int]protocol.Time   // since when devices wait for a move after their first
	since      []protocol.Time         // by user: since when something of another authority is to be assigned; 0: nothing is
	late       map[time.Duration]int   // users by how late something was
	failedBy   protocol.Rule           // of the enrolment under way
	world      *delivery.World         // that brings is about
	brings     []families              // by set of the world
	witness    func(*Contact)          // sees each conversation; nil: nobody does

	// holding sees by which rule the push certificate holds a device from now on; empty: no more. nil: nobody does.
	holding func(i int, now protocol.Time, by protocol.Rule)
}

// counts are what happened to the devices of a partition.
type counts struct {
	done, refused, failed, enrolments, renewals, removed, wakes uint64
}

// A unit is what a partition keeps of one device beside the device itself: as much as fits into one line of a processor's cache.
type unit struct {
	began    protocol.Time // of its present identity
	seen     protocol.Time // end of its latest conversation that was done
	since    protocol.Time // since when it stands as it does, and lacks what it lacks
	checkIns uint32
	device   uint32 // in the population
	request  fleet.Request
	pushes   fleet.Request // that came
	spells   uint32
	away     reach
	tries    uint8    // enrolments that failed in a row
	had      families // that were on it last
	lacks    families
	late     families // of these, the ones that somebody has assigned a profile of
	lost     families // what a change of authority took off
	managed  bool
	once     bool // it has been
	silenced bool // nobody can reach it since the push certificate has ended
	dated    bool // its identity is of the story or the export, not of the foreword
	locked   bool // its identity's end was noted
}

// A reach is why a device is off the network; several reasons can hold at once.
type reach uint8

const (
	night   reach = 1 << iota // switched off at night
	spell                     // one of the spells that every device has
	absence                   // the plan, or the export, has it away
)

// open makes the devices and their server.
func (k *part) open(ctx context.Context) (err error) {
	k.watch = newWatch(k.line)
	k.watch.lend = func(d protocol.Device) *delivery.State { return k.loop.store.Lend(d) }
	k.watch.name = func(d protocol.Device) string { return k.pop.Devices[k.units[k.known[d]-1].device].UDID }
	var arrives func(int, *protocol.CheckIn) Passage // a device counts its requests only where a fault could strike one
	if slices.ContainsFunc(k.plan.Faults, func(f plan.Fault) bool { return f.Server != plan.Down && f.Push == 0 }) {
		arrives = k.arrives
	}
	var loses func(int) bool
	if slices.ContainsFunc(k.plan.Faults, func(f plan.Fault) bool { return f.Push == plan.PushLost }) {
		loses = k.loses
	}
	k.loop, err = NewLoop(context.WithoutCancel(ctx), LoopConfig{
		Start: k.begin, Seed: k.plan.Seed ^ uint64(k.number)<<32, Lifetime: time.Duration(k.plan.Tenant.Identity.Lifetime),
		Devices: len(k.units), Part: k.number, Others: len(k.shares) - 1, Observe: k.observe, ChangesOnly: true, Unseen: k.unseen(), Calm: k.calm, Fetch: k.fetch, Contact: k.contact, Pushed: k.woke, Arrives: arrives, Loses: loses, Wire: k.wire,
		plain: k.cfg.plain,
	})
	if err != nil {
		return err
	}
	k.ends = k.now.Add(k.loop.cfg.Lifetime - time.Second)
	k.own()
	k.moments.grow(len(k.units))
	for i := range k.units {
		k.loop.Add(k.handset(int(k.units[i].device)))
		k.begins(i)
	}
	return nil
}

// unseen tells whether changes of licences and profiles are made without a preview, and their part of I10 is not asked: in a large
// population it would look at every device each time that somebody gets a licence. Changes of authority are always previewed.
func (s *stage) unseen() bool { return len(s.shares) > 1 }

// fetch reads what a steady check-in of a device is noted in.
func (k *part) fetch(i uint32) uint64 { return uint64(k.units[i].away) }

// calm is until when nothing but its schedule has device i do anything.
func (k *part) calm(i int) protocol.Time {
	until, m := k.horizon, &k.moments
	for _, c := range [...]*store.Calendar{&m.nights, &m.spells, &m.syncs} {
		if at := c.At(uint32(i)); at != 0 {
			until = min(until, at)
		}
	}
	if m.awaited[i] > 0 {
		until = min(until, m.rare[0].at)
	}
	if k.licensed != nil && k.licensed[i] != 0 {
		until = min(until, k.licensed[i]-1)
	}
	return until
}

// own notes which devices each user has.
func (k *part) own() {
	k.owns = make([]uint32, k.users+1)
	k.since, k.late = make([]protocol.Time, k.users), map[time.Duration]int{}
	for i := range k.units {
		if d := &k.pop.Devices[k.units[i].device]; !d.Userless() {
			k.owns[int(d.User)-k.first+1]++
		}
	}
	for u := range k.users {
		k.owns[u+1] += k.owns[u]
	}
	k.owned = make([]uint32, k.owns[k.users])
	next := slices.Clone(k.owns)
	for i := range k.units {
		if d := &k.pop.Devices[k.units[i].device]; !d.Userless() {
			at := &next[int(d.User)-k.first]
			k.owned[*at] = uint32(i)
			*at++
		}
	}
}

// devicesOf are the devices of user u of the population, who is the partition's.
func (k *part) devicesOf(u int) []uint32 {
	return k.owned[k.owns[u-k.first]:k.owns[u-k.first+1]]
}

// handset is what device i of the population is to the loop. Its user's number follows in setUp.
func (k *part) handset(i int) Handset {
	d := &k.pop.Devices[i]
	h := Handset{
		ID: d.UDID, Platform: d.Platform, AndroidAPI: d.Has(population.AndroidAPI), CoManaged: d.Has(population.CoManaged), OtherMDM: d.Has(population.Elsewhere),
		Automated: d.Enrolment == population.Automated && d.Platform.Apple(), Way: ways[d.Enrolment],
		Number: protocol.Device(i + 1), Seed: k.draws.Device(i), Habits: fleet.HabitsOf(d.Habits), Clock: k.draws.Clock(i),
	}
	if h.CoManaged && d.Platform == protocol.Windows {
		w := authority.Workloads(d.Workloads) // the same bits
		h.Workloads = &w
	}
	if k.speaks(i) {
		switch d.Platform {
		case protocol.Android:
			h.Voice = fleet.Phone(k.pop, i, k.plan.Seed)
		case protocol.Windows:
			h.Voice = fleet.PC(k.pop, i, k.plan.Seed)
		default:
			h.Voice = fleet.Apple(k.pop, i, k.plan.Seed)
		}
	}
	if !d.Userless() {
		h.User = delivery.UserID(int(d.User)-k.first) + 1
	}
	return h
}

// ways are how devices enrol, as the gates of AUTH-47 tell them apart.
var ways = map[population.Enrolment]authority.Way{
	population.CoManagement: authority.CoManagement, population.GroupPolicy: authority.GroupPolicy,
	population.Joined: authority.DirectoryJoin, population.Bulk: authority.BulkEnrolment, population.Packaged: authority.BulkEnrolment, population.SelfDeployed: authority.BulkEnrolment, population.Autopilot: authority.Autopilot,
}

// upTo plays the partition from one moment up to another, and not what happens in that.
func (k *part) upTo(from, to protocol.Time) error {
	if since := from.Sub(k.start); since >= 0 {
		for hour := k.start.Add((since/time.Hour + 1) * time.Hour); hour <= min(to, k.end); hour = hour.Add(time.Hour) {
			if err := k.run(hour - 1); err != nil {
				return err
			}
			k.hours = append(k.hours, k.census)
		}
	}
	err := k.run(to - 1)
	if err == nil && to <= k.end {
		err = k.loop.stand(to)
	}
	return err
}

// lastHour takes down how the devices stand at the end of the story's last hour, which may not be whole.
func (k *part) lastHour() {
	if whole := int((k.end.Sub(k.start) + time.Hour - 1) / time.Hour); len(k.hours) < whole {
		k.hours = append(k.hours, k.census)
	}
}

// run plays the partition up to a moment and what happens in it.
func (k *part) run(to protocol.Time) error {
	for {
		m, any := k.next()
		if !any || m.at > to {
			return k.loop.Run(to)
		}
		if err := k.loop.Run(m.at); err != nil {
			return err
		}
		k.moments.take(m)
		if err := k.take(int(m.device), m); err != nil {
			return err
		}
	}
}

// take does what is due to a device.
func (k *part) take(i int, m moment) error {
	u, now := &k.units[i], m.at
	switch {
	case m.kind == leaves || m.kind == returns:
		return k.moves(i, now, m)
	case m.kind == syncs: // the habit goes on whatever becomes of this one
		k.moments.set(&k.moments.syncs, m.device, k.draws.Sync(int(u.device), now))
	}
	enrolled := k.loop.Device(i).Phase() == agent.Enrolled
	switch {
	case u.away != 0:
		if m.kind == enrols || m.kind == unenrols || m.kind == reenrols {
			k.moments.add(moment{at: now.Add(30 * time.Minute), device: m.device, kind: m.kind})
		}
	case m.kind == enrols:
		return k.enrol(i, now)
	case (m.kind == syncs || m.kind == asked) && enrolled:
		return k.loop.Sync(i)
	case m.kind == unenrols && enrolled:
		return k.loop.Unenrol(i)
	case m.kind == reenrols && enrolled:
		if err := k.loop.Unenrol(i); err != nil {
			return err
		}
		return k.enrol(i, now)
	}
	return nil
}

// begins puts the first moment of each habit of a device into the calendar, and when it enrols.
func (k *part) begins(i int) {
	n := int(k.units[i].device)
	d := &k.pop.Devices[n]
	if d.Joins >= 0 {
		k.moments.add(moment{at: k.start.Add(d.Joins), device: uint32(i), kind: enrols})
	}
	if d.Habits&population.UnreachableNight != 0 {
		k.moments.set(&k.moments.nights, uint32(i), k.draws.Night(n, k.start, false))
	}
	if k.plan.Population.Offline.Share > 0 {
		k.spell(i, k.start)
	}
	if k.plan.Population.Habits.SyncsByHand.Share > 0 {
		k.moments.set(&k.moments.syncs, uint32(i), k.draws.Sync(n, k.start))
	}
}

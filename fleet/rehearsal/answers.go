package rehearsal

import (
	"slices"
	"time"

	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
)

// Answers are what a rehearsal is asked (authority.md, "What a rehearsal answers"), in numbers. They name no device but the
// last; [Answers.Findings], [Answers.Entries] and [Answers.Story] say the rest.
type Answers struct {
	*Played
	Lead     string  // of the story, before all else; empty: none
	Capacity float64 // check-ins a second that the server is known to take; 0: nobody measured

	// Who moved, and when.
	All                           Group
	ByPlatform, ByAuthority, Ways []Group       // by whom they are registered with at the end; by how they enrolled
	Began                         protocol.Time // when the first device could move; 0: none was to
	Half, Most, Whole             time.Duration // from Began until 50, 95 and 100 % of the movable had moved first; Never: they did not
	Wait                          Times         // of each device that moved, from when it could until it did; of several moves the longest
	Last                          int           // the device whose first move was the last; -1: none did

	// What the gap, or a push certificate that had ended, held up.
	Held, ByGap, Silenced Times
	Declined              uint64 // attempts to enrol
	Turned                int    // devices that made them

	Stranded map[authority.Reason]int

	Bare      [len(protocol.Families) + 1]Times // without protection, by family
	BareAny   int                               // devices that were, whatever the family
	BareStill int                               // of these, those that are at the end
	BareFor   DeviceTime                        // of all the time, that in which nobody had assigned another profile
	Redundant int                               // profiles left behind
	Lateness  Times                             // of users, from another authority until something of it was assigned to them (AUTH-38)

	Again                 int // enrolments of devices that had one before
	Cut, Lapsed, Reversed int // devices: stranded by another push topic, whatever became of them since; whose identity ended, the others that enrolled again
	Forced                int // of Cut and Lapsed, those that enrolled again

	CheckInPeak, WakePeak, IssuePeak Peak
	Over                             int // minutes with more check-ins than Capacity allows

	Weeks []int // identities that end in each week after the end of the story, while they are not renewed

	concerns []uint16 // by device: a bit for each concern
}

// Never is a time that has not come.
const Never = time.Duration(-1)

// Times are how long something took, or lasted, for a number of devices.
type Times struct {
	Devices       int
	Half, Longest time.Duration // half of the devices took no longer
	NinetyFive    time.Duration
	Total         DeviceTime
}

// DeviceTime is time summed up over devices, in milliseconds. A Duration holds 292 years, and a million devices live those in three hours.
type DeviceTime int64

func (t *DeviceTime) add(d time.Duration) { *t += DeviceTime(d / time.Millisecond) }

// hours are rounded to the nearest; what was there at all is one at least.
func (t DeviceTime) hours() uint64 {
	const hour = DeviceTime(time.Hour / time.Millisecond)
	if t == 0 {
		return 0
	}
	return max(1, uint64((t+hour/2)/hour))
}

// A Peak is the minute in which there was most of something.
type Peak struct {
	At    time.Duration // from Start
	Count uint32
}

// A Group counts devices that have something in common. Of the movable, Returning are those that moved and are pending again, and
// Held those that the push certificate keeps from it at the end; Repeated are those that moved more often than once.
type Group struct {
	Name func(lang.Language) string `json:"-"`

	Devices, Enrolled, Movable, Moved, Returning, Held, Repeated, Reregistered, Pending, Stale, Blocked, Stranded, NeedsSupport, MustEnrol, Unlicensed int
}

func (g *Group) add(l *Life) {
	for _, x := range [...]struct {
		is bool
		n  *int
	}{
		{true, &g.Devices},
		{l.Enrolled, &g.Enrolled},
		{l.movable(), &g.Movable},
		{l.Moved, &g.Moved},
		{l.returning(), &g.Returning},
		{l.movable() && l.Standing.Blocked, &g.Held},
		{l.Moves > 1, &g.Repeated},
		{l.Reregistered, &g.Reregistered},
		{l.Pending, &g.Pending},
		{l.Stale, &g.Stale},
		{l.Standing.Blocked, &g.Blocked},
		{l.Stranded, &g.Stranded},
		{l.NeedsSupport, &g.NeedsSupport},
		{l.MustEnrol, &g.MustEnrol},
		{l.Unlicensed, &g.Unlicensed},
	} {
		if x.is {
			*x.n++
		}
	}
}

// movable tells whether the device moved, or could have without anybody's help.
func (l *Life) movable() bool { return l.Moved || l.Pending && !l.Stranded || l.returning() }

// returning tells whether the device moved, and is pending again.
func (l *Life) returning() bool { return l.Pending && l.Moves > 0 }

// held is how long the push certificate held the device, for want of a renewed one or because it had ended.
func (l *Life) held() time.Duration { return l.Blocked + l.Silenced }

// changeover is how long a device is without a profile in any case, while one takes the place of another in one check-in. What is
// shorter is not called unprotected.
const changeover = time.Minute

// bare is how long the device was without protection, over all families.
func (l *Life) bare() (sum time.Duration) {
	for _, t := range l.Lack().Unprotected {
		if t >= changeover {
			sum += t
		}
	}
	return sum
}

// reason is why the device is stranded, the first that holds.
func (l *Life) reason(d *population.Device) authority.Reason {
	switch {
	case !l.Stranded:
		return authority.NotStranded
	case l.MustEnrol && d.Has(population.Revoked):
		return authority.Revoked
	case l.MustEnrol:
		return authority.Expired
	case l.Why() == protocol.RuleOtherTopic, l.Why() == protocol.RulePushExpired:
		return authority.TopicChanged
	case l.NeedsSupport:
		return authority.Userless
	}
	return authority.Offline
}

// Answer counts what became of the devices. capacity is in check-ins a second; 0: nobody measured the server.
func (p *Played) Answer(capacity float64) *Answers {
	a := &Answers{Played: p, Capacity: capacity, Half: Never, Most: Never, Whole: Never, Last: -1, Stranded: map[authority.Reason]int{}}
	a.Declined, a.Turned = p.Barred[protocol.RulePushGap].Attempts, p.Barred[protocol.RulePushGap].Devices
	a.Ways = make([]Group, len(enrolledBy)+1)
	a.concerns = make([]uint16, len(p.Lives))
	platforms := make([]Group, len(protocol.Platforms))
	registered := make([]Group, int(protocol.Office365)+1)
	var moved, waited, held, gap, silenced []time.Duration
	var bare [len(a.Bare)][]time.Duration
	for i := range p.Lives {
		l, d := &p.Lives[i], &p.Population.Devices[i]
		a.All.add(l)
		platforms[d.Platform-1].add(l)
		registered[l.Registered].add(l)
		way := len(enrolledBy)
		if !d.Userless() {
			way = int(d.Enrolment)
		}
		a.Ways[way].add(l)
		if l.FirstPending != 0 && (a.Began == 0 || l.FirstPending < a.Began) {
			a.Began = l.FirstPending
		}
		if l.Moved && l.MovedAt != 0 { // else before the beginning
			if l.moved() { // else support moved it, or it was pending for nothing
				waited = append(waited, l.longest())
			}
			if a.Last < 0 || l.MovedAt > p.Lives[a.Last].MovedAt {
				a.Last = i
			}
		}
		for _, x := range [...]struct {
			time.Duration
			of *[]time.Duration
		}{{l.held(), &held}, {l.Blocked, &gap}, {l.Silenced, &silenced}} {
			if x.Duration > 0 {
				*x.of = append(*x.of, x.Duration)
			}
		}
		r := l.reason(d)
		if r != authority.NotStranded {
			a.Stranded[r]++
		}
		a.concerns[i] = l.concerns(d, r)
		unprotected := false
		for f, t := range l.Lack().Unprotected {
			if t >= changeover {
				bare[f] = append(bare[f], t)
				unprotected = true
			}
		}
		if unprotected {
			a.BareAny++
			a.BareStill += one(l.Bare)
			a.BareFor.add(l.Lack().Unassigned)
		}
		a.Redundant += int(l.Redundant)
		a.Again += int(l.Again)
		switch again := l.Again > 0; {
		case l.Cut:
			a.Cut++
			a.Forced += one(again)
		case l.Lapsed && again:
			a.Lapsed++
			a.Forced++
		case again:
			a.Reversed++
		}
	}
	for i := range p.Lives {
		if l := &p.Lives[i]; l.Moved {
			moved = append(moved, max(0, l.MovedAt.Sub(a.Began)))
		}
	}
	slices.Sort(moved)
	a.Half, a.Most, a.Whole = reached(moved, a.All.Movable, 50), reached(moved, a.All.Movable, 95), reached(moved, a.All.Movable, 100)
	var late []time.Duration
	for after, users := range p.Late {
		late = append(late, slices.Repeat([]time.Duration{after}, users)...)
	}
	a.Lateness = timesOf(late)
	a.Wait, a.Held, a.ByGap, a.Silenced = timesOf(waited), timesOf(held), timesOf(gap), timesOf(silenced)
	for f := range bare {
		a.Bare[f] = timesOf(bare[f])
	}
	for i := range platforms {
		platforms[i].Name = func(lang.Language) string { return lang.Platform(protocol.Platform(i + 1)) }
	}
	for i := range registered {
		registered[i].Name = func(l lang.Language) string { return l.Authority(protocol.Authority(i)) }
	}
	for i := range a.Ways {
		a.Ways[i].Name = func(l lang.Language) string {
			if i < len(enrolledBy) {
				return l.Say(enrolledBy[i])
			}
			return l.Say("without a user")
		}
	}
	empty := func(g Group) bool { return g.Devices == 0 }
	a.ByPlatform, a.ByAuthority, a.Ways = slices.DeleteFunc(platforms, empty), slices.DeleteFunc(registered, empty), slices.DeleteFunc(a.Ways, empty)
	a.storm()
	a.forecast()
	return a
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// reached returns the time by which so many per cent of all are in times, which are sorted.
func reached(times []time.Duration, all, percent int) time.Duration {
	if need := (all*percent + 99) / 100; all > 0 && need <= len(times) {
		return (times[need-1] + time.Second - 1).Truncate(time.Second) // nobody asks for less
	}
	return Never
}

func timesOf(all []time.Duration) (t Times) {
	slices.Sort(all)
	t.Devices = len(all)
	for _, d := range all {
		t.Total.add(d)
	}
	if n := len(all); n > 0 {
		t.Half, t.NinetyFive, t.Longest = reached(all, n, 50), reached(all, n, 95), all[n-1]
	}
	return t
}

// storm finds the busiest minutes.
func (a *Answers) storm() {
	for i := range a.Minutes {
		m := &a.Minutes[i]
		for _, x := range [...]struct {
			n    uint32
			peak *Peak
		}{{m.CheckIns, &a.CheckInPeak}, {m.Wakes, &a.WakePeak}, {m.Issued, &a.IssuePeak}} {
			if x.n > x.peak.Count {
				*x.peak = Peak{time.Duration(i) * time.Minute, x.n}
			}
		}
		if a.Capacity > 0 && float64(m.CheckIns) > a.Capacity*60 {
			a.Over++
		}
	}
}

const week = 7 * 24 * time.Hour

// forecast counts when the identities end that devices have now (HST-116).
func (a *Answers) forecast() {
	for i := range a.Lives {
		l := &a.Lives[i]
		if !l.Enrolled || l.CertEnd < a.End {
			continue
		}
		n := int(l.CertEnd.Sub(a.End) / week)
		if n >= longestForecast {
			continue
		}
		for len(a.Weeks) <= n {
			a.Weeks = append(a.Weeks, 0)
		}
		a.Weeks[n]++
	}
}

const longestForecast = 520 // weeks

// busiest returns the week in which most identities end, and how many do in all.
func (a *Answers) busiest() (at, most, all int) {
	for i, n := range a.Weeks {
		all += n
		if n > most {
			at, most = i, n
		}
	}
	return at, most, all
}

// slowest returns at most n of so many devices by what they have most of, the first those that have most; of devices that have the
// same the first comes first.
func slowest(n, all int, of func(device int) time.Duration) []int {
	type one struct {
		device int
		time.Duration
	}
	var top []one
	for i := range all {
		d := of(i)
		if d <= 0 || len(top) == n && d <= top[n-1].Duration {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, d, func(x one, d time.Duration) int {
			if x.Duration >= d {
				return -1
			}
			return 1
		})
		top = slices.Insert(top, at, one{i, d})
		top = top[:min(n, len(top))]
	}
	devices := make([]int, len(top))
	for i := range top {
		devices[i] = top[i].device
	}
	return devices
}

// enrolledBy says how devices with a user came under management, by [population.Enrolment].
var enrolledBy = [...]lang.Key{
	population.ByUser: lang.Key("by their user"), population.ByManager: lang.Key("by an enrolment manager"), population.Automated: lang.Key("by automated enrolment"),
	population.Bulk: lang.Key("in bulk"), population.SelfDeployed: lang.Key("self-deploying"), population.Packaged: lang.Key("in bulk, by a certificate"), population.Joined: lang.Key("joined to the directory"),
	population.CoManagement: lang.Key("through Configuration Manager"), population.AppleUser: lang.Key("by Apple user enrolment"),
	population.Dedicated: lang.Key("as a dedicated device"), population.FullyManaged: lang.Key("fully managed"), population.WorkProfile: lang.Key("with a work profile"),
	population.CloudPC: lang.Key("as a cloud PC"), population.GroupPolicy: lang.Key("by group policy"), population.Autopilot: lang.Key("by Autopilot"),
	population.DirectoryRegistered: lang.Key("registered with the directory"), population.AOSP: lang.Key("without Google's services"),
}

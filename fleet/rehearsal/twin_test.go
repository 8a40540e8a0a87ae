package rehearsal_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/protocol"
)

// The twin: the rules of authority.md once more, typed from its tables as words, slow and obvious. It shares no code with
// the server and the device. It is told what happened (an administrator's act, a device that came) and says what must be
// true then.

const day = 24 * time.Hour

// whoManages is the table "Resolving": the first row that fits decides. Apart are Macs and devices of Android Management
// API; new is a device that enrols.
const whoManages = `
AUTH-10 unknown     any                    any     any       | nobody
AUTH-18 any         userless               any     intune    | intune
AUTH-18 any         userless               other   office365 | office365
AUTH-46 bms         userless               apart   new       | nobody
AUTH-19 bms         userless               other   new       | office365
AUTH-19 any         userless               any     new       | intune
AUTH-11 intune      any                    any     any       | intune
AUTH-12 sccm        any                    any     any       | intune
AUTH-24 bms         any                    apart   intune    | intune
AUTH-46 bms         any                    apart   any       | nobody
AUTH-13 bms         any                    other   any       | office365
AUTH-14 both        entitled               any     any       | intune
AUTH-15 both        comanaged              any     any       | intune
AUTH-24 both        basic,none             apart   intune    | intune
AUTH-46 both        basic,none             apart   any       | nobody
AUTH-16 both        basic                  other   any       | office365
AUTH-17 both        none                   other   any       | office365
`

// whatChanges is AUTH-04, with AUTH-03 and AUTH-09: from, to, and what it takes. The first row that fits decides.
const whatChanges = `
any     unknown AUTH-03
unknown both    AUTH-04
unknown any     free
intune  sccm    free
sccm    intune  free
bms     both    units
bms     intune  units,force
intune  bms     force
both    intune  settled
any     any     AUTH-04
`

// A catalogue is every profile that an administrator of a timeline may think of: whose, name, family, identifier.
const profiles = `
0 office365 mail         email         org.mail.bms
1 intune    mail         email         org.mail.intune
2 sccm      mail         email         org.mail.sccm
3 office365 restrictions configuration org.restrictions
4 intune    restrictions configuration org.restrictions
5 sccm      restrictions configuration org.restrictions
6 intune    vpn          vpn           org.vpn
7 sccm      net          wifi          org.net.sccm
8 intune    net          certificate   org.net.intune
9 office365 extra        configuration org.extra
`

// rows are the lines of a table by column; a column may name several words.
func rows(table string) (all [][][]string) {
	for line := range strings.Lines(strings.TrimSpace(table)) {
		var row [][]string
		for _, column := range strings.Fields(line) {
			row = append(row, strings.Split(column, ","))
		}
		all = append(all, row)
	}
	return all
}

var (
	managers = rows(whoManages)
	changes  = rows(whatChanges)
	shelf    = func() (all [][]string) {
		for line := range strings.Lines(strings.TrimSpace(profiles)) {
			all = append(all, strings.Fields(line))
		}
		return all
	}()
)

func fits(column []string, word string) bool {
	return column[0] == "any" || slices.Contains(column, word)
}

func manages(tenant, user, registered string, apart bool) (who, rule string) {
	place := "other"
	if apart {
		place = "apart"
	}
	for _, f := range managers {
		if fits(f[1], tenant) && fits(f[2], user) && fits(f[3], place) && fits(f[4], registered) {
			return f[6][0], f[0][0]
		}
	}
	return "nobody", "no row"
}

// A person is a user.
type person struct {
	plans   string // letters: I INTUNE_A, i the same but disabled, O INTUNE_O365, M EXCHANGE_S_STANDARD, A AAD_PREMIUM
	managed bool   // under co-management
	groups  string
}

func (p *person) class() string {
	switch {
	case strings.Contains(p.plans, "I"):
		return "entitled"
	case p.managed:
		return "comanaged"
	case strings.Contains(p.plans, "M"):
		return "basic"
	}
	return "none"
}

// A setting is a profile on a device.
type setting struct {
	whose, name, family string
	version             string        // "3.2": the second version of the third on the shelf
	dies                protocol.Time // 0: it does not
	maybe               bool          // nobody can tell whether it is there (see hear)
}

// A unit is a device.
type unit struct {
	kind    string // mac, phone, pad, pc, client, android, api
	owner   int    // -1: userless
	life    string // of its record: "", enrolled, ended, deleted, removed
	managed bool   // the device itself thinks so
	away    bool

	registered string
	was        string // registered before its latest check-in
	epoch      int
	topic      string
	from, ends protocol.Time // its identity
	joined     protocol.Time // by its own clock
	revoked    bool
	seen       protocol.Time // by the server's clock
	heard      int           // the epoch of which it was told
	ending     bool          // and that what it had has seven days
	support    bool
	queue      []string // what administrators and the enrolment have ordered, in order
	on         map[string]*setting
	ordered    map[string]*setting // what it was to get when the server spoke to it last, and it may not have heard
	kept       map[string]bool     // identifiers that were unassigned and stay (AUTH-55): settings of nobody
	unsure     bool                // an answer to it was lost: what the server has taken shows at its next contact
	going      string              // and that was to the order that ends its enrolment

	waits protocol.Time // since when it should move and could; 0: it need not or cannot
	soon  bool          // it has been woken for it
}

func (u *unit) apart() bool { return u.kind == "mac" || u.kind == "api" }
func (u *unit) apple() bool { return u.kind == "mac" || u.kind == "phone" || u.kind == "pad" }

// A twin is the model of a tenant.
type twin struct {
	now, clock protocol.Time // of the devices; of the server
	down       bool
	doubt      bool
	trusted    time.Duration // how far the clock was ahead when it was last taken for right
	right      protocol.Time // what it should have said when it was set
	behind     bool          // the server started so: set to that or later it is right
	calm       protocol.Time // since when nothing kept the server from its housekeeping, by its clock
	stepped    time.Duration // how far the clock was set lately

	tenant  string
	epoch   int
	changed protocol.Time
	gap     bool
	topic   string
	ends    protocol.Time
	units   int // -1: not known
	limit   int
	silent  time.Duration
	life    time.Duration

	workloads map[string]bool // that Intune decides
	people    []person
	devices   []*unit
	versions  map[string]int    // by place on the shelf
	assigned  map[string]string // by place on the shelf: groups

	broken []string
}

// breaks notes what does not hold, by the name of the invariant or rule.
func (w *twin) breaks(name, format string, args ...any) {
	w.broken = append(w.broken, name+": "+fmt.Sprintf(format, args...))
}

func (w *twin) class(u *unit) string {
	if u.owner < 0 {
		return "userless"
	}
	return w.people[u.owner].class()
}

// target is who should manage an enrolled device.
func (w *twin) target(u *unit) (who, rule string) { return w.resolve(u, w.class(u)) }

// next is who manages it after its next completed check-in: support has a userless device move (AUTH-18).
func (w *twin) next(u *unit) string {
	class := w.class(u)
	if u.support {
		class = "entitled"
	}
	who, _ := w.resolve(u, class)
	return who
}

func (w *twin) resolve(u *unit, class string) (who, rule string) {
	who, rule = manages(w.tenant, class, u.registered, u.apart())
	if who == "nobody" {
		who = u.registered
	}
	return who, rule
}

// held tells whether the push certificate keeps a device away (AUTH-30, AUTH-33).
func (w *twin) held(u *unit) bool {
	return u.apple() && (w.gap || w.topic == "" || w.clock >= w.ends)
}

// unheard tells whether no push reaches a device any more (AUTH-32; AUTH-33: after the grace only another topic can be had).
func (w *twin) unheard(u *unit) bool {
	return u.apple() && w.topic != "" && (u.topic != w.topic || w.clock > w.ends.Add(30*day))
}

// profilesOf is whose profiles a device should have.
func (w *twin) profilesOf(u *unit) string {
	who := w.next(u)
	if who == "intune" && w.tenant == "sccm" {
		return "sccm"
	}
	return who
}

// brings tells whether Intune, not Configuration Manager, decides a family on its clients (AUTH-12, AUTH-51): device
// configuration includes access to resources.
func (w *twin) brings(family string) bool {
	return w.workloads["device_configuration"] || family != "configuration" && w.workloads["resource_access"]
}

// wanted are the profiles that a device should have, by identifier.
func (w *twin) wanted(u *unit) map[string]*setting {
	all := map[string]*setting{}
	if u.owner < 0 {
		return all // profiles go to groups of users
	}
	whose := w.profilesOf(u)
	for _, f := range shelf {
		groups := w.assigned[f[0]]
		if u.kind == "client" && whose != "office365" && !w.brings(f[3]) {
			continue
		}
		if f[1] != whose || w.versions[f[0]] == 0 {
			continue
		}
		for _, g := range strings.Fields(w.people[u.owner].groups) {
			if slices.Contains(strings.Fields(groups), g) {
				all[f[4]] = &setting{whose: f[1], name: f[2], family: f[3], version: fmt.Sprintf("%s.%d", f[0], w.versions[f[0]])}
			}
		}
	}
	return all
}

// Words are what is true of one device, as authority.md names it.
type words uint16

const (
	enrolled words = 1 << iota
	pending
	stale
	blocked
	stranded
	needsSupport
	mustEnrol
	unlicensed
	leaving
	moves
	movesBlocked
)

var wordNames = [...]string{
	"enrolled", "pending", "stale", "blocked", "stranded", "needs support", "must enrol again", "unlicensed", "leaving", "would move", "would move, blocked",
}

// words says what is true of an enrolled device. Changed: the tenant's authority is about to.
func (w *twin) words(u *unit, changed bool) words {
	is := enrolled
	say := func(x words, holds bool) {
		if holds {
			is |= x
		}
	}
	to, _ := w.target(u)
	user := u.owner >= 0
	expired := u.ends <= w.clock
	say(pending, user && to != u.registered)
	say(stale, user && to == u.registered && (changed || u.epoch < w.epoch))
	say(blocked, is&(pending|stale) != 0 && w.held(u))
	say(mustEnrol, expired || u.revoked)
	would := is&pending != 0
	if !user { // had it an entitled user
		elsewhere, _ := manages(w.tenant, "entitled", u.registered, u.apart())
		would = elsewhere != "nobody" && elsewhere != u.registered
	}
	say(stranded, w.unheard(u) || would && (expired || u.revoked || !user))
	say(needsSupport, would && !user && !expired && !u.revoked && !w.unheard(u))
	if user {
		mail, class := strings.Contains(w.people[u.owner].plans, "M"), w.class(u)
		say(unlicensed, to == "office365" && !mail && class != "entitled" || to == "intune" && (class == "basic" || class == "none") && u.kind != "client")
	}
	say(leaving, slices.ContainsFunc(u.queue, isLeaving))
	say(moves, is&pending != 0 && is&(stranded|leaving) == 0)
	say(movesBlocked, is&(moves|blocked) == moves|blocked)
	return is
}

// foretell says in one text, and in counts, what is true of all enrolled devices right after a change to a tenant. Has is
// what they have then and are to get: the same words and other profiles may or may not come to the same.
func (w *twin) foretell(to string) (text, has string, counts [len(wordNames)]int) {
	before, gap := w.tenant, w.gap
	changes := to != before
	w.tenant, w.gap = to, gap || changes && before != "unknown"
	b, h := fmt.Appendf(nil, "%s %d, gap %t", to, w.epoch, w.gap), []byte(nil)
	if w.units >= 0 {
		held := 0
		for i := range w.people {
			if w.people[i].class() == "entitled" {
				held++
			}
		}
		b = fmt.Appendf(b, ", %d of %d units", held, w.units)
	}
	for i, u := range w.devices {
		if u.life != "enrolled" {
			continue
		}
		w.tenant = before
		_, by := w.target(u)
		w.tenant = to
		is := w.words(u, changes)
		for k := range wordNames {
			if is>>k&1 != 0 {
				counts[k]++
			}
		}
		who, rule := w.target(u)
		b = fmt.Appendf(b, "\n%d %s by %s to %s by %s, %b, held %v, gets %q", i, u.registered, by, who, rule, is, w.held(u), slices.Sorted(maps.Keys(w.wanted(u))))
		h = fmt.Appendf(h, "%d has %q, seen lately %t\n", i, slices.Sorted(maps.Keys(u.on)), w.clock.Sub(u.seen) <= 90*day)
	}
	w.tenant, w.gap = before, gap
	return string(b), string(h), counts
}

// mayChange is the answer to a change of authority: empty, or the rule that refuses it.
func (w *twin) mayChange(to string, force bool) string {
	if to == w.tenant && to != "unknown" {
		return ""
	}
	for _, f := range changes {
		if !fits(f[0], w.tenant) || !fits(f[1], to) {
			continue
		}
		for _, need := range f[2] {
			switch {
			case need == "units" && (w.units == 0 || w.units < 0 && !slices.ContainsFunc(w.people, func(p person) bool { return p.class() == "entitled" })):
				if slices.Contains(f[2], "force") && !force {
					return "AUTH-04"
				}
				return "AUTH-09"
			case need == "force" && !force:
				return "AUTH-04"
			case need == "settled" && !force:
				for _, u := range w.devices {
					if who, _ := w.target(u); u.life == "enrolled" && u.owner >= 0 && who == "office365" {
						return "AUTH-04"
					}
				}
			case strings.HasPrefix(need, "AUTH"):
				return need
			}
		}
		return ""
	}
	return "no row"
}

// change is the tenant's authority from now on (AUTH-20, AUTH-21, AUTH-30).
func (w *twin) change(to string) {
	if to == w.tenant {
		return
	}
	w.gap = w.gap || w.tenant != "unknown"
	w.tenant, w.changed = to, w.clock
	w.epoch++
}

// mayUpload is the answer to an upload (AUTH-32, AUTH-34).
func (w *twin) mayUpload(topic string, begins, ends protocol.Time, confirm bool) string {
	switch {
	case w.tenant == "unknown":
		return "AUTH-01"
	case w.clock < begins, w.clock >= ends, topic == w.topic && ends <= w.ends:
		return "AUTH-34"
	case w.topic != "" && topic != w.topic && !confirm:
		return "AUTH-32"
	}
	return ""
}

func (w *twin) upload(topic string, ends protocol.Time) { w.topic, w.ends, w.gap = topic, ends, false }

// mayEnrol is the answer to a device that enrols: the gates of AUTH-47 in their order.
func (w *twin) mayEnrol(u *unit) string {
	to, rule := manages(w.tenant, w.class(u), "new", u.apart())
	switch {
	case u.life != "" && u.life != "removed" && w.clock < u.from: // the clock was set back: its new identity looks older than the one before
		return "HST-032"
	case w.tenant == "unknown":
		return "AUTH-01"
	case to == "nobody":
		return rule
	case u.apple() && w.gap:
		return "AUTH-30"
	case u.apple() && (w.topic == "" || w.clock >= w.ends):
		return "AUTH-33"
	}
	asked := w.units >= 0 // licences are asked for where they are known
	for i := range w.people {
		asked = asked || strings.ContainsAny(w.people[i].plans, "IM")
	}
	switch {
	case !asked:
	case u.owner < 0:
		if to == "intune" && w.units >= 0 { // a device licence; there are none
			return "AUTH-47"
		}
	case to == "intune" && u.kind == "client":
	case to == "intune" && w.class(u) != "entitled", to == "office365" && !strings.Contains(w.people[u.owner].plans, "M"):
		return "AUTH-47"
	}
	if u.owner < 0 || to != "intune" || u.kind == "client" {
		return ""
	}
	count := 0
	for _, v := range w.devices {
		if v != u && v.owner == u.owner && v.life == "enrolled" && v.registered == "intune" && w.clock.Sub(v.seen) <= 90*day {
			count++
		}
	}
	if count >= w.limit {
		return "AUTH-47"
	}
	return ""
}

// enrolled is the end of an enrolment (AUTH-44).
func (w *twin) enrolled(u *unit) {
	u.registered, _ = manages(w.tenant, w.class(u), "new", u.apart())
	u.life, u.managed, u.epoch, u.heard, u.seen = "enrolled", true, w.epoch, w.epoch, w.clock
	u.topic, u.joined = "", w.now
	if u.apple() {
		u.topic = w.topic
	}
	second := protocol.Time(time.Second / time.Microsecond)
	u.from = w.clock - w.clock%second
	u.ends = u.from.Add(w.life)
	u.support, u.revoked, u.unsure, u.going = false, false, false, ""
	u.queue = []string{"DeviceInformation", "SecurityInfo"}
	u.on, u.kept = map[string]*setting{}, map[string]bool{}
	u.ordered = w.wanted(u)
}

// mayCheckIn is the answer to a device that checks in.
func (w *twin) mayCheckIn(u *unit) string {
	switch {
	case u.life == "removed":
		return "AUTH-43"
	case u.revoked, w.clock >= u.ends:
		return "AUTH-42"
	case w.clock < u.from:
		return "HST-031"
	case u.apple() && w.gap:
		return "AUTH-30"
	}
	return ""
}

// hear is a device that hears of the newest change: the profiles of the authority before have seven days (AUTH-27). What
// the present authority wants to have on it stays. A licence that comes later, while the gap holds the device, makes its
// profiles the authority before's too.
func (w *twin) hear(u *unit) {
	whose, old, newer := w.profilesOf(u), false, u.heard != w.epoch
	for _, s := range u.on {
		old = old || s.whose != whose
	}
	if w.epoch <= 1 || u.kind == "api" || !newer && (u.ending || !old) {
		return
	}
	u.heard, u.ending = w.epoch, old
	for _, s := range u.on {
		switch {
		case s.whose != whose && w.changed < u.joined: // the server's clock was wrong: to the device all that is here came later
		case s.whose != whose && s.dies == 0:
			s.dies = min(w.changed, w.now).Add(7 * day)
		case s.whose == whose && old: // the device is told of the change, not of each profile: until it checks in it takes them for old
			s.maybe = true
		case s.whose == whose:
			s.dies = 0
		}
	}
	w.expire(u)
}

// expire takes from a device what has to go by now.
func (w *twin) expire(u *unit) {
	for id, s := range u.on {
		if s.dies != 0 && s.dies <= w.now && u.kind != "api" {
			delete(u.on, id)
		}
	}
}

// renews tells whether a check-in renews the identity (AUTH-41): in the last 42 days, of a short life in its last third.
func (w *twin) renews(u *unit) bool {
	window := min(42*day, u.ends.Sub(u.from)/3)
	due := u.ends.Add(-window)
	return w.clock >= due-due%protocol.Time(time.Second/time.Microsecond)
}

// checkIn is a completed check-in: who manages the device, and what is on it (AUTH-21, 23 to 27, 55).
func (w *twin) checkIn(u *unit) {
	if u.life == "deleted" {
		u.life = "enrolled" // AUTH-48
	}
	w.hear(u)
	wanted := w.wanted(u)
	whose := w.profilesOf(u)
	namesake := func(s *setting) bool {
		for _, x := range wanted {
			if x.name == s.name && x.family == s.family {
				return true
			}
		}
		return false
	}
	for id, s := range u.on {
		switch {
		case wanted[id] != nil: // replaced or kept below
		case s.whose == whose && s.family == "configuration" && (u.kind == "android" || u.kind == "api"): // AUTH-55
			u.kept[id] = true
			delete(u.on, id)
		case s.whose == whose, w.tenant == "both": // AUTH-55; AUTH-23, AUTH-24
			delete(u.on, id)
		case namesake(s): // AUTH-26
			delete(u.on, id)
		case !w.doubt && w.clock >= w.changed.Add(7*day): // AUTH-27
			delete(u.on, id)
		}
	}
	for id, s := range wanted {
		u.on[id] = s
		delete(u.kept, id)
	}
	for id, s := range u.ordered { // it was on its way when it was unassigned, and is there to stay now
		if wanted[id] == nil && s.family == "configuration" && (u.kind == "android" || u.kind == "api") && s.whose == whose {
			u.kept[id] = true
		}
	}
	u.ordered, u.was = nil, u.registered
	if to := w.next(u); to != u.registered || u.owner >= 0 {
		u.registered, u.epoch = to, w.epoch
	}
	u.support = false
	if w.renews(u) {
		second := protocol.Time(time.Second / time.Microsecond)
		u.from = w.clock - w.clock%second
		u.ends = u.from.Add(w.life)
	}
	u.seen, u.waits, u.unsure = w.clock, 0, false
}

// leaves is the end of an enrolment that the server knows of.
func (w *twin) leaves(u *unit, revoked bool) {
	u.life, u.managed, u.revoked = "ended", false, revoked
	u.on, u.queue, u.support, u.unsure, u.going = map[string]*setting{}, nil, false, false, ""
}

// trust is somebody, or a start of the server, that takes the clock for right (HST-110).
// restarted is the clock of a server that starts: nobody knows how long it was down, so a clock that is behind is right again
// when it comes to where it should have been (HST-110).
func (w *twin) restarted() {
	switch {
	case !w.doubt || w.clock.Sub(w.now) < w.trusted && w.clock >= w.right.Add(-5*time.Minute):
		w.trust()
	case w.clock.Sub(w.now) < w.trusted:
		w.behind = true
	}
}

func (w *twin) trust() {
	w.doubt, w.behind, w.trusted, w.calm = false, false, w.clock.Sub(w.now), w.clock
}

// vague tells whether nobody can say how a device stands.
func (w *twin) vague() bool {
	return slices.ContainsFunc(w.devices, func(u *unit) bool { return u.unsure })
}

// settle notes since when each device should move, and could (I8). Soon: it is woken for what has just happened.
func (w *twin) settle(soon bool) {
	for _, u := range w.devices {
		w.settleOne(u, soon)
	}
}

func (w *twin) settleOne(u *unit, soon bool) {
	could := u.life == "enrolled" && u.managed && !u.away && !w.down && !u.unsure && !w.held(u) && !w.unheard(u) && w.clock >= u.from
	if could {
		is := w.words(u, false)
		could = is&mustEnrol == 0 && (is&(pending|stale) != 0 || u.support && w.next(u) != u.registered)
	}
	switch {
	case !could:
		u.waits = 0
	case u.waits == 0:
		u.waits, u.soon = w.now, soon && u.apple()
	}
}

// Bounds of I8: one scheduled interval, the longest back-off after a contact that failed, and the spread of wake-ups.
const (
	interval = 8*time.Hour + time.Hour + 10*time.Minute
	atOnce   = time.Minute
)

// overdue holds the devices that should have moved by now against I8, and the records that should be gone against AUTH-43.
func (w *twin) overdue() {
	for i, u := range w.devices {
		bound := interval + w.stepped
		if u.soon && w.stepped == 0 {
			bound = atOnce
		}
		if u.waits != 0 && w.now.Sub(u.waits) > bound {
			w.breaks("I8", "device %d could move since %s, and at %s it has not", i, u.waits, w.now)
			u.waits = 0
		}
		due := u.ends.Add(180 * day)
		if u.life != "" && u.life != "removed" && !w.doubt && !w.down && w.clock > max(due, w.calm).Add(25*time.Hour) {
			w.breaks("AUTH-43", "the record of device %d, due at %s, is still there at %s", i, due, w.clock)
			u.life = "removed"
		}
	}
}

// removed is a record that the server removed by itself.
func (w *twin) removed(i int) {
	u := w.devices[i]
	silent := w.silent != 0 && w.clock >= u.seen.Add(w.silent)
	switch {
	case w.doubt:
		w.breaks("I6", "the record of device %d is removed while the clock is in doubt (HST-110)", i)
	case w.clock >= u.ends.Add(180*day), silent && u.life != "enrolled":
		u.life = "removed"
		return
	default:
		w.breaks("I6", "the record of device %d is removed at %s, its identity ended at %s and it was heard of at %s", i, w.clock, u.ends, u.seen)
	}
	u.life = "removed"
}

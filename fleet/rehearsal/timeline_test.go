package rehearsal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/certs"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

var start = protocol.At(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))

// A timeline is a list of acts, each one line of words; the first sets the tenant up. Acts on devices count these in the
// order of their enrol lines; one that is not there is passed over, so that a list stays a timeline whatever is taken out.
//
//	tenant AUTHORITY LIFE     unknown, intune, sccm, bms, both; identities live LIFE days
//	put P GROUP               a new version of a profile of the shelf, assigned
//	assign P GROUP, unassign P GROUP, drop P
//	set AUTHORITY [force]     previewed and confirmed
//	look AUTHORITY, confirm   an administrator's preview, and a later confirmation of the last one
//	plans U LETTERS           a user's service plans, see opened; c: under co-management
//	units N, limit N, silent DAYS, workload W WHO
//	upload TOPIC DAYS [confirm]
//	enrol KIND U              a new device; U -: userless
//	again D, leave D, away D, back D, sync D, support D, order D, retire D, delete D, wipe D
//	lose D                    the next answer to a report of it is lost; cut D: the report itself, and the server restarts
//	down, up, restart
//	clock OFF, confirmclock
//	wait TIME
type timeline []string

func (t timeline) String() string { return strings.Join(t, "; ") }

func parseTimeline(s string) (t timeline) {
	for act := range strings.SplitSeq(s, ";") {
		if act = strings.TrimSpace(act); act != "" {
			t = append(t, act)
		}
	}
	return t
}

// drawTimeline makes the timeline of a seed.
func drawTimeline(seed uint64) timeline {
	r := rand.New(rand.NewPCG(seed, 1))
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	user := func() string { return one("0", "1", "2", "2", "-") }
	plans := func() string { return one("M", "MI", "I", "MO", "O", "A", "-", "Mi", "Mc", "c", "MIc") }
	kind := func() string { return one("phone", "phone", "pad", "mac", "pc", "client", "android", "api") }
	place := func() string { return strconv.Itoa(r.IntN(len(shelf))) }
	device := func() string { return strconv.Itoa(r.IntN(6)) }
	t := timeline{"tenant " + one("unknown", "intune", "sccm", "bms", "bms", "both") + " " + one("365", "365", "30", "6")}
	for i := range shelf {
		if r.IntN(5) < 3 {
			t = append(t, fmt.Sprintf("put %d %s", i, one("all", "all", "sales")))
		}
	}
	if r.IntN(8) > 0 {
		t = append(t, "upload A "+one("300", "300", "12"))
	}
	for range 2 + r.IntN(4) {
		t = append(t, "enrol "+kind()+" "+user())
	}
	acts := []struct {
		weight int
		say    func() string
	}{
		{8, func() string { return "wait " + one("1m", "20m", "2h", "9h", "30h", "3d", "8d") }},
		{6, func() string { return "set " + one("intune", "sccm", "bms", "both") + one("", "", " force") }},
		{5, func() string {
			return "upload " + one("A", "A", "A", "A", "B") + " " + one("365", "365", "9", "0") + one("", " confirm")
		}},
		{5, func() string { return "plans " + one("0", "1", "2") + " " + plans() }},
		{3, func() string { return "enrol " + kind() + " " + user() }},
		{3, func() string { return "away " + device() }},
		{3, func() string { return "back " + device() }},
		{3, func() string { return "sync " + device() }},
		{2, func() string { return "put " + place() + " " + one("all", "sales") }},
		{1, func() string { return "assign " + place() + " " + one("all", "sales") }},
		{2, func() string { return "unassign " + place() + " " + one("all", "sales") }},
		{1, func() string { return "drop " + place() }},
		{2, func() string { return "look " + one("intune", "sccm", "bms", "both") }},
		{2, func() string { return "confirm" }},
		{2, func() string { return "support " + device() }},
		{2, func() string { return "order " + device() }},
		{2, func() string { return "again " + device() }},
		{1, func() string { return "leave " + device() }},
		{1, func() string { return one("retire ", "delete ", "wipe ") + device() }},
		{2, func() string { return "lose " + device() }},
		{2, func() string { return "cut " + device() }},
		{2, func() string { return "restart" }},
		{2, func() string { return one("down", "up", "up") }},
		{1, func() string { return "units " + one("-1", "-1", "0", "2", "5") }},
		{1, func() string {
			return "workload " + one("resource_access", "device_configuration") + " " + one("intune", "intune", "configmgr")
		}},
		{1, func() string { return "limit " + one("1", "2", "15") }},
		{1, func() string { return "silent " + one("0", "30") }},
		{1, func() string { return "clock " + one("1h", "-1h", "8d", "365d", "-365d", "0h", "0h", "0h") }},
		{1, func() string { return "confirmclock" }},
	}
	sum := 0
	for _, a := range acts {
		sum += a.weight
	}
	for range 6 + r.IntN(22) {
		n := r.IntN(sum)
		for _, a := range acts {
			if n -= a.weight; n < 0 {
				t = append(t, a.say())
				break
			}
		}
	}
	switch r.IntN(12) {
	case 0:
		t = append(t, "wait 40d", "wait 200d")
	case 1:
		t = append(t, "wait 40d")
	}
	return append(t, "up", "wait 9h", "wait 8d")
}

// A player plays a timeline on the real code and tells the twin what happens.
type player struct {
	loop  *rehearsal.Loop
	watch *rehearsal.Watch
	twin  *twin
	ctx   context.Context

	units  map[protocol.Device]int // by the server's number
	lost   map[int]bool            // devices whose next answer is lost
	cut    map[int]bool            // and with it the server restarts
	looked struct {
		change authority.Change
		to, id string
		text   string
		has    string
	}
	ran     map[int]map[protocol.CommandID]bool // by device: what it has carried out
	stepped bool                                // the server's clock was set: the watch has no other
	err     error
}

var boss = server.Actor{Name: "boss", Role: store.GlobalAdministrator}

var configurations = map[string]authority.Change{
	"intune": {Authority: protocol.Intune}, "sccm": {Authority: protocol.SCCM}, "bms": {Authority: protocol.Office365}, "both": {Authority: protocol.Office365, Coexistence: true},
	"unknown": {},
}

// play plays a timeline and returns what does not hold, first things first.
func play(t timeline) (broken []string, err error) {
	p := &player{
		watch: rehearsal.NewWatch(&rehearsal.Log{}), ctx: context.Background(), units: map[protocol.Device]int{}, lost: map[int]bool{}, cut: map[int]bool{},
		ran: map[int]map[protocol.CommandID]bool{},
	}
	p.twin = &twin{units: -1, limit: 15, now: start, clock: start, calm: start, life: 365 * day, versions: map[string]int{}, assigned: map[string]string{}, workloads: map[string]bool{}}
	life := 365
	if len(t) > 0 {
		if f := strings.Fields(t[0]); len(f) == 3 && f[0] == "tenant" {
			life, _ = strconv.Atoi(f[2])
		}
	}
	p.twin.life = time.Duration(life) * day
	p.loop, err = rehearsal.NewLoop(p.ctx, rehearsal.LoopConfig{Start: start, Seed: 1, Lifetime: p.twin.life, Observe: p.observe, Contact: p.contact, Arrives: p.arrives})
	if err != nil {
		return nil, err
	}
	for i, act := range t {
		f := strings.Fields(act)
		if i == 0 && f[0] != "tenant" {
			return nil, fmt.Errorf("act 0 is %q: a timeline begins with its tenant", act)
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
			return p.twin.broken, fmt.Errorf("act %d, %s: %w", i, act, err)
		}
		p.compare()
		if _, _, first := p.watch.Result(); len(first) > 0 && !(p.stepped && (first[0].Invariant == "I4" || first[0].Invariant == "I8")) {
			p.twin.breaks(first[0].Invariant, "%s (the watch of a rehearsal says so of %s at %s)", first[0].What, first[0].Device, first[0].At)
		}
		if len(p.twin.broken) > 0 {
			p.twin.broken[0] += fmt.Sprintf(" [act %d, %s]", i, act)
			return p.twin.broken, nil
		}
	}
	return nil, nil
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
var onDevice = []string{"again", "leave", "away", "back", "sync", "support", "order", "retire", "delete", "wipe", "lose", "cut"}

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
			p.looked.change, p.looked.to, p.looked.id = c, arg(1), pre.ID
			p.looked.text, p.looked.has, _ = w.foretell(arg(1))
		}
	case "confirm":
		p.confirm()
	case "plans":
		p.plans(number(1), arg(2))
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
		set.Workloads[at] = decider
		if err := s.SetSettings(p.ctx, now, boss, set); err != nil {
			return err
		}
		w.workloads[arg(1)] = arg(2) == "intune"
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
		p.lost[d] = true
	case "cut":
		p.lost[d], p.cut[d] = true, true
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

func (p *player) setUp(to string) error {
	w, s := p.twin, p.loop.Server()
	c := configurations[to]
	w.tenant = to
	if to != "unknown" {
		w.epoch, w.changed = 1, w.clock
	}
	err := s.SetUp(p.ctx, start, authority.Tenant{Authority: c.Authority, Coexistence: c.Coexistence, Release: 1910, AcceptUserless: true}, delivery.Settings{})
	if err != nil {
		return err
	}
	w.people = []person{{plans: "MI", groups: "all sales"}, {plans: "M", groups: "all"}, {plans: "-", groups: "all"}}
	var users []store.User
	for i := range w.people {
		u := store.User{UPN: upn(i), Groups: strings.Fields(w.people[i].groups)}
		l := licences(i, w.people[i].plans)
		u.User = authority.User{IntuneLicence: l.Intune, BasicLicence: l.Basic}
		users = append(users, u)
	}
	if _, err := s.PutUsers(p.ctx, start, users); err != nil {
		return err
	}
	return errors.Join(s.Consent(p.ctx, start, boss, server.ConsentPush), s.Consent(p.ctx, start, boss, server.ConsentAndroid))
}

func upn(i int) string { return fmt.Sprintf("u%d@example.org", i) }

// opened is what an export's importer makes of each combination of service plans.
var opened = sync.OnceValue(func() map[string]population.Licence {
	ids := map[string][2]string{
		"I": {"c1ec4a95-1f05-45b3-a911-aa3fa01094f5", "Enabled"}, "i": {"c1ec4a95-1f05-45b3-a911-aa3fa01094f5", "Deleted"},
		"O": {"882e1d05-acd1-4ccb-8699-6ee03927d771", "Enabled"}, "M": {"9aaf7827-d63c-4b61-89c3-182f06f82e5c", "Enabled"}, "A": {"41781fb2-bc02-4b7c-bd55-b576c07bb09d", "Enabled"},
	}
	dir, err := os.MkdirTemp("", "plans")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	all := map[string]population.Licence{"": 0}
	var names, users, devices []string
	for _, letters := range []string{"M", "MI", "I", "MO", "O", "A", "Mi"} {
		var plans []string
		for _, l := range strings.Split(letters, "") {
			plans = append(plans, fmt.Sprintf(`{"servicePlanId":%q,"capabilityStatus":%q,"service":"x"}`, ids[l][0], ids[l][1]))
		}
		name := fmt.Sprintf("u%d@example.org", len(names))
		users = append(users, fmt.Sprintf(`{"id":"0000000%d-0000-0000-0000-000000000000","userPrincipalName":%q,"assignedPlans":[%s]}`, len(names), name, strings.Join(plans, ",")))
		devices = append(devices, fmt.Sprintf(`{"id":"1000000%d-0000-0000-0000-000000000000","operatingSystem":"iOS","userPrincipalName":%q,"managementAgent":"mdm","enrolledDateTime":"2026-01-01T00:00:00Z","lastSyncDateTime":"2026-02-01T00:00:00Z"}`, len(names), name))
		names = append(names, letters)
	}
	for file, list := range map[string][]string{"users.json": users, "managedDevices.json": devices} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(`{"value":[`+strings.Join(list, ",")+`]}`), 0o600); err != nil {
			panic(err)
		}
	}
	unset := protocol.Office365
	pop, err := population.Import(population.Options{Path: dir, KeepNames: true, Authority: &unset})
	if err != nil {
		panic(err)
	}
	for i, letters := range names {
		for k := range pop.Users {
			if strings.EqualFold(pop.Users[k].UPN, fmt.Sprintf("u%d@example.org", i)) {
				all[letters] = pop.Users[k].Licence
			}
		}
	}
	if len(all) != len(names)+1 {
		panic(fmt.Sprintf("the importer knows %d of %d users", len(all)-1, len(names)))
	}
	return all
})

// licences are a user's, as the server takes them.
func licences(i int, plans string) server.Licence {
	l := server.Licence{UPN: upn(i), CoManaged: strings.Contains(plans, "c")}
	opens := opened()[strings.Trim(plans, "c-")]
	l.Intune, l.Basic = opens&population.IntuneLicence != 0, opens&population.BMSLicence != 0
	return l
}

func (p *player) plans(i int, plans string) {
	w, s, now := p.twin, p.loop.Server(), p.loop.Clock()
	was := w.people[i]
	next := person{plans: strings.Trim(plans, "c-"), managed: strings.Contains(plans, "c"), groups: was.groups}
	holders := 0
	for k := range w.people {
		if k != i && w.people[k].class() == "entitled" {
			holders++
		}
	}
	want := ""
	if next.class() == "entitled" && was.class() != "entitled" && w.units >= 0 && holders+1 > w.units {
		want = "AUTH-09"
	}
	list := []server.Licence{licences(i, plans)}
	pre, err := s.PreviewLicences(p.ctx, now, list)
	if !p.answered("AUTH-09", "the preview of licences", err, want) {
		if want != "" {
			_, err = s.SetLicences(p.ctx, now, boss, list, "")
			p.answered("AUTH-09", "licences", err, want)
		}
		return
	}
	w.people[i] = next
	_, _, counts := w.foretell(w.tenant)
	p.counts("a preview of licences", pre, counts)
	_, err = s.SetLicences(p.ctx, now, boss, list, pre.ID)
	p.answered("AUTH-09", "licences", err, "")
}

// counts holds a preview's numbers against the twin's (I10).
func (p *player) counts(what string, pre *server.Preview, want [len(wordNames)]int) {
	if p.twin.vague() {
		return
	}
	got := [len(wordNames)]int{
		pre.Enrolled, pre.Pending, pre.Stale, pre.Blocked, pre.Stranded, pre.NeedsSupport, pre.MustEnrol, pre.Unlicensed, pre.Leaving, pre.WouldMove, pre.WouldMoveBlocked,
	}
	for i, name := range wordNames {
		if got[i] != want[i] {
			p.twin.breaks("I10", "%s: %s: %d devices, want %d", what, name, got[i], want[i])
		}
	}
}

func (p *player) put(place int, group string, fresh bool) {
	w, s := p.twin, p.loop.Server()
	f := shelf[place]
	if !fresh && (w.versions[f[0]] == 0 || w.assigned[f[0]] == "gone") {
		return
	}
	c := server.ProfileChange{Authority: configurations[configurationOf(f[1])].Authority, Name: f[2], Identifier: f[4], Groups: []string{group}}
	if err := c.Family.UnmarshalText([]byte(f[3])); err != nil {
		p.err = err
		return
	}
	versions := w.versions[f[0]]
	if fresh {
		versions++
		c.Payload = fmt.Appendf(nil, "%s.%d", f[0], versions)
	}
	if p.answered("AUTH-26", "profile "+f[0], s.PutProfile(p.ctx, p.loop.Clock(), boss, c), "") {
		w.versions[f[0]] = versions
		if !slices.Contains(strings.Fields(w.assigned[f[0]]), group) {
			w.assigned[f[0]] += " " + group
		}
	}
}

func configurationOf(authority string) string {
	return strings.Replace(authority, "office365", "bms", 1)
}

func (p *player) take(place, group string) {
	w, s := p.twin, p.loop.Server()
	n, _ := strconv.Atoi(place)
	f := shelf[n]
	groups := strings.Fields(w.assigned[place])
	if w.versions[place] == 0 || group != "" && !slices.Contains(groups, group) || group == "" && w.assigned[place] == "gone" {
		return
	}
	err := s.TakeProfile(p.ctx, p.loop.Clock(), boss, configurations[configurationOf(f[1])].Authority, f[2], group)
	if !p.answered("AUTH-55", "unassignment of "+place, err, "") {
		return
	}
	w.assigned[place] = strings.Join(slices.DeleteFunc(groups, func(g string) bool { return g == group || group == "" }), " ")
	if group == "" {
		w.assigned[place] = "gone"
	}
}

func (p *player) set(to string, force bool) {
	w, s, now := p.twin, p.loop.Server(), p.loop.Clock()
	c := configurations[to]
	c.Force = force
	want := w.mayChange(to, force)
	pre, err := s.PreviewAuthority(p.ctx, now, c)
	if !p.answered("AUTH-04", "the preview of "+to+" from "+w.tenant, err, want) {
		if want != "" {
			_, err = s.SetAuthority(p.ctx, now, boss, c, "")
			p.answered("AUTH-04", to+" from "+w.tenant, err, want)
		}
		return
	}
	_, _, counts := w.foretell(to)
	p.counts("the preview of "+to+" from "+w.tenant, pre, counts)
	done, err := s.SetAuthority(p.ctx, now, boss, c, pre.ID)
	if p.answered("AUTH-04", to+" from "+w.tenant, err, "") {
		if done.ID != pre.ID {
			w.breaks("I10", "the change to %s names %s, its preview named %s", to, done.ID, pre.ID)
		}
		w.change(to)
	}
}

// confirm is a confirmation of the preview that was looked at some time ago (HST-070).
func (p *player) confirm() {
	w, l := p.twin, &p.looked
	if l.id == "" {
		return
	}
	want := w.mayChange(l.to, false)
	text, has, _ := w.foretell(l.to)
	if want == "" && text != l.text {
		want = "HST-070"
	}
	_, err := p.loop.Server().SetAuthority(p.ctx, p.loop.Clock(), boss, l.change, l.id)
	if want == "" && has != l.has && errors.Is(err, protocol.RuleOutdated) { // other profiles may be another preview
		want = "HST-070"
	}
	if p.answered("I10", "the confirmation of "+l.to+" from "+w.tenant, err, want) {
		w.change(l.to)
	}
	l.id = ""
}

// pushPEM makes push certificates, each once: valid from the day before the timelines begin until a day after.
var pushPEM = func() func(topic string, until int) []byte {
	type key struct {
		topic string
		until int
	}
	var mu sync.Mutex
	made := map[key][]byte{}
	ca := sync.OnceValue(func() *certs.Authority {
		ca, err := certs.NewAuthority(certs.P256, "push", start.Time().Add(-2*day))
		if err != nil {
			panic(err)
		}
		return ca
	})
	return func(topic string, until int) []byte {
		mu.Lock()
		defer mu.Unlock()
		k := key{topic, until}
		if made[k] == nil {
			c, err := certs.MakePush(ca(), topic, start.Add(-day).Time(), start.Add(time.Duration(until)*day).Time())
			if err != nil {
				panic(err)
			}
			if made[k], err = c.PEM(); err != nil {
				panic(err)
			}
		}
		return made[k]
	}
}()

func (p *player) upload(letter string, days int, confirm bool) {
	w := p.twin
	topic := "com.apple.mgmt.External." + letter
	until := int(p.loop.Now().Sub(start)/day) + days
	ends := start.Add(time.Duration(until) * day)
	want := w.mayUpload(topic, start.Add(-day), ends, confirm)
	_, err := p.loop.Server().UploadPush(p.ctx, p.loop.Clock(), pushPEM(topic, until), "", "admin@example.org", confirm)
	if p.answered("AUTH-34", fmt.Sprintf("upload of %s until %s", letter, ends), err, want) {
		w.upload(topic, ends)
	}
}

var kinds = map[string]rehearsal.Handset{
	"mac": {Platform: protocol.MacOS}, "phone": {Platform: protocol.IOS}, "pad": {Platform: protocol.IPadOS}, "pc": {Platform: protocol.Windows},
	"client": {Platform: protocol.Windows, CoManaged: true}, "android": {Platform: protocol.Android}, "api": {Platform: protocol.Android, AndroidAPI: true},
}

func (p *player) enrol(kind string, owner int) {
	h, known := kinds[kind]
	if !known {
		p.err = fmt.Errorf("there is no kind %q", kind)
		return
	}
	if owner >= 0 {
		u, _ := p.loop.Server().UserByUPN(upn(owner))
		h.User = u.ID
	}
	h.ID = id(len(p.twin.devices))
	p.twin.devices = append(p.twin.devices, &unit{kind: kind, owner: owner, on: map[string]*setting{}, kept: map[string]bool{}})
	if err := p.loop.Enrol(p.loop.Add(h)); err != nil && p.err == nil {
		p.err = err
	}
}

// isLeaving tells whether an order ends the enrolment (AUTH-53).
func isLeaving(order string) bool { return order == "retire" || order == "delete" || order == "wipe" }

func (p *player) order(what string, d int, u *unit) {
	w, s, now := p.twin, p.loop.Server(), p.loop.Clock()
	n := p.loop.Number(d)
	if n == 0 || u.life == "" || u.life == "removed" {
		return
	}
	want := ""
	if u.life != "enrolled" {
		want = "AUTH-42"
	}
	leaving := u.life == "enrolled" && slices.ContainsFunc(u.queue, isLeaving)
	again := slices.Contains(u.queue, what) || what == "retire" && slices.Contains(u.queue, "delete")
	if leaving && what != "support" && what != "delete" && (what == "order" || !again) {
		want = "AUTH-53"
	}
	told := slices.Contains(u.queue, "delete")
	var err error
	switch what {
	case "support":
		elsewhere, _ := manages(w.tenant, "entitled", u.registered, u.apart())
		if want == "" && (u.owner >= 0 || elsewhere == "nobody" || elsewhere == u.registered) {
			want = "AUTH-18"
		}
		err = s.SupportMove(p.ctx, now, boss, n)
	case "order":
		_, err = s.Order(p.ctx, now, n, protocol.Command{Kind: protocol.SecurityInfo})
	case "wipe":
		_, err = s.Order(p.ctx, now, n, protocol.Command{Kind: protocol.Erase})
	case "retire":
		_, err = s.Retire(p.ctx, now, boss, n)
	case "delete":
		err = s.Delete(p.ctx, now, n)
		if u.life != "enrolled" {
			want = ""
		}
	}
	if !p.answered("AUTH-53", fmt.Sprintf("%s of device %d", what, d), err, want) {
		return
	}
	switch {
	case what == "support":
		u.support = true
	case what == "delete" && u.life != "enrolled":
		u.life, u.revoked = "removed", true
	case what == "delete" && told: // once is enough
	case what == "order":
		u.queue = append(u.queue, "SecurityInfo")
	default:
		u.queue = append(u.queue, what)
	}
}

// clock sets the server's clock, or has an administrator confirm it (HST-110).
func (p *player) clock(f []string) error {
	w := p.twin
	if f[0] == "confirmclock" {
		w.trust()
		return p.loop.Server().ConfirmClock(p.ctx, p.loop.Clock(), boss)
	}
	to, err := span(f[1])
	if err != nil {
		return err
	}
	was := p.loop.Clock().Sub(p.loop.Now())
	p.loop.SetClock(to)
	p.stepped = true
	p.time()
	switch {
	case w.behind && w.clock >= w.right:
		w.trust()
	case !w.behind: // HST-110
		w.doubt = (to - w.trusted).Abs() > 5*time.Minute
		w.right = p.loop.Now().Add(w.trusted)
	}
	w.calm = w.clock
	w.stepped = (to - was).Abs()
	for _, u := range w.devices {
		u.waits = 0
	}
	return nil
}

// arrives loses an answer, or what a device says to a server that is being restarted.
func (p *player) arrives(d int, c *protocol.CheckIn) (there, back bool) {
	if !p.lost[d] || c.Verb != protocol.Ask && c.Verb != protocol.Report || c.Round < 2 {
		return true, true
	}
	delete(p.lost, d)
	return !p.cut[d], false
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
		case after.Life == delivery.Deleted:
			u := p.twin.devices[d]
			if p.twin.silent == 0 || p.twin.clock < u.seen.Add(p.twin.silent) || p.twin.doubt {
				p.twin.breaks("I6", "device %d is cleaned up, and was heard of at %s", d, u.seen)
			}
			u.life = "deleted"
		}
	}
}

// contact is a conversation that has ended.
func (p *player) contact(c *rehearsal.Contact) {
	w := p.twin
	p.time()
	d := c.Device
	u := w.devices[d]
	if n := p.loop.Number(d); n != 0 {
		p.units[n] = d
	}
	if p.cut[d] && !p.lost[d] {
		delete(p.cut, d)
		w.restarted()
		if err := p.loop.Restart(); err != nil && p.err == nil {
			p.err = err
		}
	}
	if u.away || w.down {
		if c.Done {
			w.breaks("AUTH-22", "device %d is off the network and its conversation succeeded", d)
		}
		if c.Began == protocol.Leave || !p.managed(d) {
			u.managed, u.on = false, map[string]*setting{}
		}
		return
	}
	switch c.Began {
	case protocol.Enrol:
		p.enrolment(d, u, c)
	case protocol.Leave:
		if u.life == "enrolled" && w.mayLeave(u) {
			deleted := slices.Contains(u.queue, "delete") // which waited for any end
			w.leaves(u, false)
			if deleted {
				u.life = "removed"
			}
		}
		u.managed, u.on = false, map[string]*setting{}
	default:
		p.checkIn(d, u, c)
	}
	w.settleOne(u, false)
	if len(w.broken) == 0 {
		p.compareOne(d, u, true)
	}
}

// mayLeave tells whether a farewell is taken.
func (w *twin) mayLeave(u *unit) bool {
	rule := w.mayCheckIn(u)
	return rule == "" || rule == "AUTH-30"
}

func (p *player) managed(d int) bool { return p.loop.Device(d).Phase().String() == "enrolled" }

// gapName is what a wrong answer to a device breaks.
func gapName(got, want string) string {
	if got == "AUTH-30" || want == "AUTH-30" {
		return "I5"
	}
	return "AUTH-47"
}

func (p *player) enrolment(d int, u *unit, c *rehearsal.Contact) {
	w := p.twin
	want := w.mayEnrol(u)
	if got := string(c.Refusal); got != want {
		w.breaks(gapName(got, want), "enrolment of device %d (%s, %s) in %s: %s, want %s", d, u.kind, w.class(u), w.tenant, orTaken(got), orTaken(want))
		return
	}
	if want == "" {
		w.enrolled(u)
	}
}

func (p *player) checkIn(d int, u *unit, c *rehearsal.Contact) {
	w := p.twin
	// What it has carried out counts, whatever became of the conversation.
	ran := p.ran[d]
	if ran == nil {
		ran = map[protocol.CommandID]bool{}
		p.ran[d] = ran
	}
	gone := ""
	for i := range c.Executed {
		cmd := &c.Executed[i]
		if ran[cmd.ID] {
			w.breaks("I3", "device %d carried out %s %s twice", d, cmd.Kind, cmd.ID)
		}
		ran[cmd.ID] = true
		said := cmd.Kind.String()
		switch cmd.Kind {
		case protocol.InstallProfile, protocol.RemoveProfile, protocol.RenewIdentity:
			continue
		case protocol.Retire:
			said = "retire"
			if cmd.Text == delivery.AndDelete {
				said = "delete"
			}
			gone = said
		case protocol.Erase:
			said, gone = "wipe", "wipe"
		}
		if len(u.queue) == 0 || u.queue[0] != said {
			w.breaks("I3", "device %d carried out %s; the orders are %q", d, said, u.queue)
			return
		}
		u.queue = u.queue[1:]
	}
	want := w.mayCheckIn(u)
	got := string(c.Refusal)
	if gone == "" && u.unsure && c.Done && !p.managed(d) {
		gone = u.going // its last word, which was lost before, has arrived now
	}
	if gone != "" && slices.Contains(u.queue, "delete") {
		gone = "delete" // which waited for that
	}
	switch {
	case gone != "" && (c.Done || got != ""): // it has left
		w.leaves(u, true)
		if gone == "delete" {
			u.life = "removed"
		}
	case got != want:
		if u.unsure && (u.going == "delete" && got == "AUTH-43" || u.going != "" && got == "AUTH-42") {
			going := u.going
			w.leaves(u, true) // its last word had arrived
			u.managed = p.managed(d)
			if going == "delete" {
				u.life = "removed"
			}
			return
		}
		w.breaks(gapName(got, want), "check-in of device %d (%s) in %s: %s, want %s", d, u.kind, w.tenant, orTaken(got), orTaken(want))
	case got == "AUTH-30":
		w.hear(u)
	case got != "":
	case !c.Done: // an answer was lost
		if id := p.loop.Device(d).Identity(); id.NotAfter != 0 { // it has renewed it before that
			u.from, u.ends = id.NotBefore, id.NotAfter
		}
		u.unsure, u.going, u.managed = true, gone, p.managed(d)
		if u.ordered == nil {
			u.ordered = map[string]*setting{}
		}
		maps.Copy(u.ordered, w.wanted(u))
	default:
		if len(u.queue) > 0 {
			w.breaks("I3", "device %d was not asked for %q", d, u.queue)
		}
		w.checkIn(u)
	}
}

// compare holds the real devices and records against the twin.
func (p *player) compare() {
	w := p.twin
	if len(w.broken) > 0 {
		return
	}
	p.time()
	portals := map[protocol.Device]string{}
	for _, a := range []protocol.Authority{protocol.Intune, protocol.Office365, protocol.SCCM, protocol.Unknown} {
		list, err := p.loop.Server().Portal(p.ctx, a, 0, 100)
		if err != nil && p.err == nil {
			p.err = err
		}
		for i := range list {
			portals[list[i].State.Device] += a.String()
		}
	}
	for d, u := range w.devices {
		if u.unsure {
			continue
		}
		p.compareOne(d, u, false)
		want := ""
		if u.life == "enrolled" {
			want = u.registered
		}
		if in := portals[p.loop.Number(d)]; in != want && p.loop.Number(d) != 0 {
			w.breaks("I7", "device %d is %q, and listed in %q, want %q", d, u.life, in, want)
		}
	}
}

// compareOne holds one device and its record against the twin; contact: after a contact of it.
func (p *player) compareOne(d int, u *unit, contact bool) {
	w := p.twin
	if u.unsure {
		return
	}
	when := ""
	if contact {
		when = fmt.Sprintf(" after a contact at %s", w.now)
	}
	n := p.loop.Number(d)
	life, registered, epoch := "", "unknown", 0
	if r, err := p.loop.Server().Store().Record(p.ctx, n); err == nil {
		life, registered, epoch = r.State.Life.String(), r.State.Registered.String(), int(r.State.Epoch)
	} else if n != 0 {
		life = "removed"
	}
	if want := u.life; life != want && !(life == "none" && want == "") {
		w.breaks("AUTH-43", "the record of device %d is %q, want %q%s", d, life, want, when)
		return
	}
	if u.life != "enrolled" {
		return
	}
	if registered != u.registered || epoch != u.epoch {
		name := "I2"
		switch {
		case registered == "unknown":
			name = "I1"
		case contact && (epoch < u.epoch || registered == u.was && registered != u.registered):
			name = "I8"
		case registered != u.registered && epoch == u.epoch:
			name = "I9"
		}
		w.breaks(name, "device %d (%s of %s) is registered with %s in epoch %d, want %s in %d%s", d, u.kind, w.class(u), registered, epoch, u.registered, u.epoch, when)
	}
	p.standing(d, u, when)
	if got, want := p.settings(d, u); !slices.Equal(got, want) {
		name := "AUTH-23 to 27"
		if slices.ContainsFunc(got, func(s string) bool { return !slices.Contains(want, s) }) && u.managed && w.clock >= w.changed.Add(7*day) {
			name = "I4"
		}
		w.breaks(name, "device %d (%s) of %s has %q, want %q%s", d, u.kind, w.tenant, got, want, when)
	}
}

// standing holds what a rehearsal says of a device against the words.
func (p *player) standing(d int, u *unit, when string) {
	w := p.twin
	if u.support {
		return // the words are about those that nobody helps
	}
	s := p.watch.Standing(w.clock, id(d))
	is := w.words(u, false)
	for i, got := range [...]bool{s.Pending, s.Stale, s.Blocked, s.Stranded, s.NeedsSupport} {
		if want := is>>(i+1)&1 != 0; got != want {
			w.breaks("AUTH Words", "device %d (%s of %s) in %s, registered with %s: %s is %v, want %v%s", d, u.kind, w.class(u), w.tenant, u.registered, wordNames[i+1], got, want, when)
		}
	}
	if want := is&unlicensed != 0; s.Unlicensed != want {
		w.breaks("AUTH Words", "device %d (%s of %s) in %s: unlicensed is %v, want %v%s", d, u.kind, w.class(u), w.tenant, s.Unlicensed, want, when)
	}
}

// settings are the versions of the profiles on a device, and those that should be.
func (p *player) settings(d int, u *unit) (have, should []string) {
	world := p.loop.Server().World()
	for _, a := range p.loop.Device(d).Profiles() {
		x := &world.Profiles[a.Content]
		if s := u.on[x.Identifier]; s == nil && !u.kept[x.Identifier] || s != nil && !s.maybe {
			have = append(have, string(x.Payload))
		}
	}
	for _, s := range u.on {
		if !s.maybe {
			should = append(should, s.version)
		}
	}
	slices.Sort(have)
	slices.Sort(should)
	return have, should
}

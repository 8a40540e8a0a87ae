package rehearsal_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/certs"
	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

var boss = server.Actor{Name: "boss", Role: store.GlobalAdministrator}

var configurations = map[string]authority.Change{
	"intune": {Authority: protocol.Intune}, "sccm": {Authority: protocol.SCCM}, "bms": {Authority: protocol.Office365}, "both": {Authority: protocol.Office365, Coexistence: true},
	"unknown": {},
}

func configurationOf(authority string) string {
	return strings.Replace(authority, "office365", "bms", 1)
}

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
	_, counts := w.foretell(w.tenant)
	p.counts("a preview of licences", pre, counts)
	_, err = s.SetLicences(p.ctx, now, boss, list, pre.ID)
	p.answered("AUTH-09", "licences", err, "")
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
	pre, err := s.PreviewProfile(p.ctx, p.loop.Clock(), c)
	if err == nil {
		_, err = s.PutProfile(p.ctx, p.loop.Clock(), boss, c, pre.ID)
	}
	if p.answered("AUTH-26", "profile "+f[0], err, "") {
		w.versions[f[0]] = versions
		if !slices.Contains(strings.Fields(w.assigned[f[0]]), group) {
			w.assigned[f[0]] += " " + group
		}
		_, counts := w.foretell(w.tenant)
		p.counts("the preview of profile "+f[0], pre, counts)
	}
}

func (p *player) take(place, group string) {
	w, s := p.twin, p.loop.Server()
	n, _ := strconv.Atoi(place)
	f := shelf[n]
	groups := strings.Fields(w.assigned[place])
	if w.versions[place] == 0 || group != "" && !slices.Contains(groups, group) || group == "" && w.assigned[place] == "gone" {
		return
	}
	x := server.ProfileRemoval{Authority: configurations[configurationOf(f[1])].Authority, Name: f[2]}
	if group != "" {
		x.Groups = []string{group}
	}
	pre, err := s.PreviewRemoval(p.ctx, p.loop.Clock(), x)
	if err == nil {
		_, err = s.TakeProfile(p.ctx, p.loop.Clock(), boss, x, pre.ID)
	}
	if !p.answered("AUTH-55", "unassignment of "+place, err, "") {
		return
	}
	w.assigned[place] = strings.Join(slices.DeleteFunc(groups, func(g string) bool { return g == group || group == "" }), " ")
	if group == "" {
		w.assigned[place] = "gone"
	}
	_, counts := w.foretell(w.tenant)
	p.counts("the preview without profile "+place, pre, counts)
}

func (p *player) set(to string, force bool) {
	w, s, now := p.twin, p.loop.Server(), p.loop.Clock()
	c := configurations[to]
	c.Force = force
	want := w.mayChange(to, force)
	pre, err := s.PreviewAuthority(p.ctx, now, c)
	if !p.answered("AUTH-04", "the preview of "+to+" from "+w.tenant, err, want) {
		if want != "" {
			_, err = s.SetAuthority(p.ctx, now, boss, c, "", 0)
			p.answered("AUTH-04", to+" from "+w.tenant, err, want)
		}
		return
	}
	_, counts := w.foretell(to)
	p.counts("the preview of "+to+" from "+w.tenant, pre, counts)
	done, err := s.SetAuthority(p.ctx, now, boss, c, pre.ID, pre.Stranded)
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
	text, _ := w.foretell(l.to)
	if want == "" && text != l.text {
		want = "HST-070"
	}
	_, err := p.loop.Server().SetAuthority(p.ctx, p.loop.Clock(), boss, l.change, l.id, l.stranded)
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
		ca, err := certs.NewIssuer("push", start.Time().Add(-2*day))
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
	pem := pushPEM(topic, until)
	up, _ := p.loop.Server().PreviewPush(p.ctx, p.loop.Clock(), pem, "")
	_, err := p.loop.Server().UploadPush(p.ctx, p.loop.Clock(), pem, "", "admin@example.org", confirm, up.Stranded)
	if p.answered("AUTH-34", fmt.Sprintf("upload of %s until %s", letter, ends), err, want) {
		w.upload(topic, ends)
	}
}

var kinds = map[string]rehearsal.Handset{
	"mac": {Platform: protocol.MacOS}, "phone": {Platform: protocol.IOS}, "pad": {Platform: protocol.IPadOS}, "pc": {Platform: protocol.Windows},
	"client": {Platform: protocol.Windows, CoManaged: true}, "android": {Platform: protocol.Android}, "api": {Platform: protocol.Android, AndroidAPI: true},
	"auto":    {Platform: protocol.Windows, Way: authority.CoManagement},                               // Configuration Manager enrols it
	"told":    {Platform: protocol.Windows, CoManaged: true, Workloads: new(authority.ResourceAccess)}, // says who decides its workloads
	"grouped": {Platform: protocol.Windows, Way: authority.GroupPolicy},
	"taken":   {Platform: protocol.Windows, OtherMDM: true}, // managed elsewhere
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
	p.twin.devices = append(p.twin.devices, &unit{kind: kind, owner: owner, on: map[string]*setting{}})
	if err := p.loop.Enrol(p.loop.Add(h)); err != nil && p.err == nil {
		p.err = err
	}
}

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
	leaving := u.life == "enrolled" && u.isLeaving()
	again := u.awaits(what) || what == "retire" && (u.awaits("delete") || u.awaits("farewell"))
	if leaving && what != "support" && what != "delete" && (what == "order" || !again) {
		want = "AUTH-53"
	}
	told := u.awaits("delete")
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
		_, err = s.Delete(p.ctx, now, boss, []protocol.Device{n}, 1)
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
		u.order("SecurityInfo")
	default:
		u.order(what)
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
	w.stepped = max(w.stepped, (to - was).Abs()) // what was due by the clock of before may still be
	for _, u := range w.devices {
		u.movable = 0
	}
	return nil
}

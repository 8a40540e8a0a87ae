package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/push"
	"rollcall/server/store"
)

// A handset is a phone that keeps what it holds: it installs, removes, drops what has to go (AUTH-27), and answers
// wake-ups while it is reachable.
type handset struct {
	*phone
	user     delivery.UserID
	platform protocol.Platform
	away     bool
	notice   protocol.Notice
	on       map[string]held // profiles by identifier
}

type held struct {
	authority protocol.Authority
	epoch     uint32 // what it knew of the authority then
}

// A timeline is a tenant with handsets, and what must always hold.
type timeline struct {
	*tenant
	rt       *rapid.T
	handsets []*handset
	mu       sync.Mutex
	woken    []string
}

// A pusher takes every wake-up.
type pusher func(n push.Notification)

func (p pusher) Push(_ context.Context, n push.Notification) push.Answer {
	p(n)
	return push.Answer{Result: delivery.Accepted}
}

// TestTimelines plays changes of authority, licences, uploads, enrolments, absence, restarts and support moves at random and
// holds I1 to I10 against everything that is committed.
func TestTimelines(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := &timeline{tenant: empty(t), rt: rt}
		x.cfg.Observe = x.observe
		x.cfg.Push = pusher(func(n push.Notification) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.woken = append(x.woken, string(n.Token))
		})
		x.reopen()
		first := rapid.SampledFrom([]protocol.Authority{protocol.Office365, protocol.Intune, protocol.SCCM}).Draw(rt, "first")
		x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: first, Release: 1910, AcceptUserless: true}, delivery.Settings{}))
		x.upload(topic, 300*day)
		var users []store.User
		for i := range 3 {
			users = append(users, store.User{UPN: fmt.Sprintf("u%d@example.org", i), Groups: []string{"all"}, User: authority.User{BasicLicence: true, IntuneLicence: i == 0}})
		}
		_, err := x.PutUsers(x.ctx, x.now, users)
		x.must(err)
		for _, a := range []protocol.Authority{protocol.Office365, protocol.Intune, protocol.SCCM} {
			x.profile(a, "mail", protocol.Email, "org.mail."+a.String())
			x.profile(a, "restrictions", protocol.Configuration, "org.restrictions") // the same document's name on the device
			if a != protocol.Office365 {
				x.profile(a, "vpn "+a.String(), protocol.VPN, "org.vpn."+a.String())
			}
		}
		for i := range 4 {
			x.enrol(delivery.UserID(i), protocol.IOS)
		}
		pick := func() *handset { return rapid.SampledFrom(x.handsets).Draw(rt, "device") }
		actions := map[string]func(*rapid.T){
			"change": func(rt *rapid.T) {
				x.change(rapid.SampledFrom([]authority.Change{
					coexistence, sccm, intune, {Authority: protocol.Office365}, {Authority: protocol.Office365, Force: true}, {Authority: protocol.Intune, Force: true},
				}).Draw(rt, "to"))
			},
			"upload": func(*rapid.T) { x.renew() },
			"licences": func(rt *rapid.T) {
				u := rapid.IntRange(0, 2).Draw(rt, "user")
				l := server.Licence{UPN: users[u].UPN, Basic: rapid.Bool().Draw(rt, "basic"), Intune: rapid.Bool().Draw(rt, "intune"), CoManaged: rapid.IntRange(0, 5).Draw(rt, "co-managed") == 0}
				x.must(second(x.SetLicences(x.ctx, x.now, boss, []server.Licence{l}, "")))
			},
			"enrol": func(rt *rapid.T) {
				if len(x.handsets) < 8 {
					x.enrol(delivery.UserID(rapid.IntRange(0, 3).Draw(rt, "user")), rapid.SampledFrom([]protocol.Platform{protocol.IOS, protocol.IPadOS, protocol.MacOS}).Draw(rt, "platform"))
				}
			},
			"support": func(*rapid.T) { x.SupportMove(x.ctx, x.now, boss, pick().number) },
			"away":    func(*rapid.T) { h := pick(); h.away = !h.away },
			"late report": func(*rapid.T) { // the rest of a conversation that was cut off
				h := pick()
				h.says(protocol.CheckIn{Verb: protocol.Report, Command: protocol.CommandID{9}, Status: protocol.Acknowledged}, delivery.Message{})
			},
			"sync":    func(*rapid.T) { pick().talk() },
			"restart": func(*rapid.T) { x.reopen() },
			"time": func(rt *rapid.T) {
				d := rapid.SampledFrom([]time.Duration{time.Minute, 20 * time.Minute, 2 * time.Hour, 3 * day}).Draw(rt, "time")
				for end := x.now.Add(d); x.now < end; {
					x.step(min(end.Sub(x.now), 10*time.Minute))
				}
			},
			"": func(*rapid.T) { x.check() },
		}
		rt.Repeat(actions)
		x.settle()
	})
}

func (x *timeline) enrol(u delivery.UserID, p protocol.Platform) {
	h := &handset{phone: x.newPhone(u), user: u, platform: p, on: map[string]held{}}
	err := h.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: p, Topic: topic})
	if err != nil {
		return // a gate is shut
	}
	h.number = h.out.State.Device
	if err := h.ready("token of " + h.id); err != nil {
		return
	}
	x.handsets = append(x.handsets, h)
	h.talk()
}

// change previews and makes a change: both name the same devices (I10).
func (x *timeline) change(c authority.Change) {
	p, err := x.PreviewAuthority(x.ctx, x.now, c)
	if err != nil {
		x.refusal(err)
		return
	}
	done, err := x.SetAuthority(x.ctx, x.now, boss, c, p.ID)
	if err != nil {
		x.rt.Fatalf("the change that was previewed: %v", err)
	}
	v, err := x.Verify(x.ctx, x.now)
	x.must(err)
	if done.ID != p.ID || v.Pending != p.Pending || v.Stale != p.Stale {
		x.rt.Fatalf("I10: previewed %d pending and %d stale, now %d and %d", p.Pending, p.Stale, v.Pending, v.Stale)
	}
}

func (x *timeline) refusal(err error) {
	if no := new(protocol.Refusal); !errors.As(err, &no) {
		x.rt.Fatal(err)
	}
}

// observe holds what is committed against the invariants.
func (x *timeline) observe(now protocol.Time, w *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome) {
	moved := after.Registered != before.Registered || after.Epoch != before.Epoch
	switch {
	case moved && !out.Completed:
		x.rt.Errorf("I2: device %d went from %s/%d to %s/%d outside a completed check-in", after.Device, before.Registered, before.Epoch, after.Registered, after.Epoch)
	case after.Life == delivery.Enrolled && after.Registered == protocol.Unknown:
		x.rt.Errorf("I1: device %d is enrolled under nobody", after.Device)
	case w.Gap != 0 && ev.Kind == delivery.CheckInRound && out.Refusal.Rule == "":
		x.rt.Errorf("I5: %s of device %d succeeded in the gap", ev.Verb, after.Device)
	case out.Changed&delivery.Gone != 0 && before.Life != delivery.NoLife && before.Life != delivery.Enrolling && now < before.Identity.NotAfter.Add(180*day):
		x.rt.Errorf("I6: the record of device %d is removed too early", after.Device)
	case moved && before.Life == delivery.Enrolled && after.Epoch == before.Epoch && !(w.Tenant.Authority == protocol.Office365 && w.Tenant.Coexistence) && !before.Support:
		x.rt.Errorf("I9: device %d moved in the epoch of a tenant %s", after.Device, w.Tenant.Name())
	}
}

// talk is a check-in of the handset.
func (h *handset) talk() {
	check := protocol.CheckIn{Verb: protocol.Ask}
	m := delivery.Message{}
	for range 100 {
		err := h.says(check, m)
		if err != nil {
			if h.out.Refusal.Rule != protocol.RulePushGap {
				h.Fatalf("%s: %v", h.id, err)
			}
			h.learn(h.out.Refusal.Notice)
			return
		}
		h.learn(h.out.Reply.Notice)
		if h.out.Reply.Kind != protocol.Work {
			return
		}
		c := h.out.Reply.Command
		check, m = protocol.CheckIn{Verb: protocol.Report, Command: c.ID, Status: protocol.Acknowledged}, delivery.Message{}
		switch c.Kind {
		case protocol.InstallProfile:
			p := h.World().Profiles[c.Profile]
			h.on[p.Identifier] = held{p.Authority, h.notice.Epoch}
		case protocol.RemoveProfile:
			if _, ok := h.on[c.Text]; !ok {
				check.Status, m.Missing = protocol.Failed, true
			}
			delete(h.on, c.Text)
		}
	}
	h.Fatalf("%s: the conversation does not end", h.id)
}

// learn takes a notice, and drops what is over.
func (h *handset) learn(n protocol.Notice) {
	if n.Epoch >= h.notice.Epoch {
		h.notice = n
	}
	h.expire()
}

func (h *handset) expire() {
	if h.notice.Rule != protocol.RuleSevenDays || h.now < h.notice.ChangedAt.Add(7*day) {
		return
	}
	for identifier, p := range h.on {
		if p.epoch < h.notice.Epoch {
			delete(h.on, identifier)
		}
	}
}

// step lets time pass; whoever is woken checks in.
func (x *timeline) step(d time.Duration) {
	x.woken = nil
	x.later(d)
	woken := x.woken
	for _, h := range x.handsets {
		h.expire()
		if !h.away && slices.Contains(woken, "token of "+h.id) {
			h.talk()
		}
	}
}

// check holds what stands still against the invariants.
func (x *timeline) check() {
	w := x.World()
	portals := map[protocol.Device]int{}
	for _, a := range []protocol.Authority{protocol.Intune, protocol.Office365, protocol.SCCM, protocol.Unknown} {
		list, err := x.Portal(x.ctx, a, 0, 100)
		x.must(err)
		for _, r := range list {
			portals[r.State.Device]++
		}
	}
	for _, h := range x.handsets {
		st := h.state()
		if st.Life == delivery.Enrolled && portals[st.Device] != 1 {
			x.rt.Fatalf("I7: device %d is in %d portals", st.Device, portals[st.Device])
		}
		if w.Tenant.Authority == protocol.Office365 && (w.Tenant.Coexistence || h.platform == protocol.MacOS) {
			continue // licences decide; a Mac stays with Intune, and so do its profiles
		}
		for identifier, p := range h.on {
			if h.notice.Epoch == w.Tenant.Epoch && x.now > w.Tenant.ChangedAt.Add(7*day) && p.epoch < h.notice.Epoch && p.authority != w.Tenant.Authority {
				x.rt.Fatalf("I4: %s of %s is on device %d %s after the change", identifier, p.authority, st.Device, x.now.Sub(w.Tenant.ChangedAt))
			}
		}
	}
}

// settle closes the gap, brings everybody back, and lets one scheduled interval pass: all devices with a user are where
// they belong (I8), with the profiles that they should have.
func (x *timeline) settle() {
	x.renew()
	for _, h := range x.handsets {
		h.away = false
	}
	for end := x.now.Add(8*time.Hour + 20*time.Minute); x.now < end; {
		x.step(10 * time.Minute)
	}
	w := x.World()
	for _, h := range x.handsets {
		st := h.state()
		want := x.belongs(h, st.Registered)
		if st.Registered != want || h.user != 0 && st.Epoch != w.Tenant.Epoch {
			x.rt.Errorf("I8: device %d of user %d is registered with %s in epoch %d, want %s in %d", st.Device, h.user, st.Registered, st.Epoch, want, w.Tenant.Epoch)
		}
		for _, a := range st.Profiles {
			p := w.Profiles[a.Profile]
			if p.Authority != x.owner(h) {
				continue // of the authority before: the device may have dropped it already
			}
			if on, ok := h.on[p.Identifier]; a.State == delivery.Installed && (!ok || on.authority != p.Authority) {
				x.rt.Errorf("device %d: the server lists %s of %s, the device has %v %v", st.Device, p.Name, p.Authority, on, ok)
			}
		}
	}
	for end := x.now.Add(7*day + 9*time.Hour); x.now < end; {
		x.step(10 * time.Minute)
	}
	for _, h := range x.handsets {
		if h.user == 0 {
			continue
		}
		owner := x.owner(h)
		for _, a := range h.state().Profiles {
			if p := w.Profiles[a.Profile]; p.Authority != owner {
				x.rt.Errorf("device %d of %s: the server still lists %s of %s", h.number, owner, p.Name, p.Authority)
			}
		}
		want := []string{"org.mail." + owner.String(), "org.restrictions"}
		if owner != protocol.Office365 {
			want = append(want, "org.vpn."+owner.String())
		}
		var got []string
		for identifier, p := range h.on {
			if got = append(got, identifier); p.authority != owner {
				x.rt.Errorf("device %d of %s has %s of %s", h.number, owner, identifier, p.authority)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			x.rt.Errorf("device %d of %s has %v, want %v", h.number, owner, got, want)
		}
	}
}

// owner is whose profiles a settled handset should have.
func (x *timeline) owner(h *handset) protocol.Authority {
	if x.World().Tenant.Authority == protocol.SCCM {
		return protocol.SCCM
	}
	return h.state().Registered
}

// belongs says plainly who should manage a handset.
func (x *timeline) belongs(h *handset, now protocol.Authority) protocol.Authority {
	t := x.World().Tenant
	switch {
	case h.user == 0:
		return now
	case t.Authority != protocol.Office365:
		return protocol.Intune
	case h.platform == protocol.MacOS:
		return protocol.Intune // it could enrol under nothing else
	case !t.Coexistence:
		return protocol.Office365
	}
	if u := x.World().Users[h.user]; u.IntuneLicence || u.CoManaged {
		return protocol.Intune
	}
	return protocol.Office365
}

package delivery_test

import (
	"cmp"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// A model is what a device's queue should hold and what the device should have, said as plainly as can be.
type model struct {
	waiting  []protocol.CommandID // not yet answered for good, oldest first
	answered map[protocol.CommandID]int
	on       map[string]protocol.Profile // profiles that the device really has, by identifier
}

// TestRandomEvents plays random events against Decide and the model. After each: no command is lost, doubled or out of
// order (I3), authority and epoch change only inside a completed check-in (I1, I2), no record goes before its time (I6),
// what the state says of profiles is true of the device, and every change of the state is in a part that is written.
func TestRandomEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPhone(t)
		m := model{answered: map[protocol.CommandID]int{}, on: map[string]protocol.Profile{}}
		version := uint32(100)
		step := func(name string, f func()) {
			before, seen := p.s, len(p.history)
			f()
			m.check(t, name, p, &before, p.history[seen:])
		}
		device := func(id protocol.CommandID, kind protocol.CommandKind, profile protocol.Profile, s protocol.Status) {
			// The device acts when it answers.
			if identifier := p.w.Profiles[profile].Identifier; s == protocol.Acknowledged && kind == protocol.InstallProfile {
				m.on[identifier] = profile
			} else if s == protocol.Acknowledged && kind == protocol.RemoveProfile {
				delete(m.on, identifier)
			}
		}
		statuses := []protocol.Status{protocol.Acknowledged, protocol.Acknowledged, protocol.Acknowledged, protocol.Failed, protocol.CommandFormatError, protocol.NotNow}
		t.Repeat(map[string]func(*rapid.T){
			"enrol": func(t *rapid.T) {
				if p.s.Life == delivery.Enrolled && rapid.IntRange(0, 3).Draw(t, "rarely") != 0 {
					return
				}
				p.cred = p.issue(delivery.ForEnrolment)
				step("enrol", func() {
					if p.enrol(); p.out.Refusal.Rule == "" {
						clear(m.on) // a device that enrols anew was wiped or removed its management
					}
				})
				step("ready", func() { p.ready() })
			},
			"ready": func(t *rapid.T) { step("ready", func() { p.ready() }) },
			"ask":   func(t *rapid.T) { step("ask", func() { p.ask() }) },
			"conversation": func(t *rapid.T) {
				step("ask", func() { p.ask() })
				for n := 0; p.out.Reply.Kind == protocol.Work; n++ {
					if n > 2*len(p.s.Queue)+40 {
						t.Fatalf("the conversation does not end")
					}
					c, s := p.out.Reply.Command, rapid.SampledFrom(statuses).Draw(t, "status")
					device(c.ID, c.Kind, c.Profile, s)
					step("report", func() { p.reportOf(c.ID, s) })
					if rapid.IntRange(0, 9).Draw(t, "our answer is lost") == 0 {
						step("repeat", func() { p.reportOf(c.ID, s) })
					}
				}
			},
			"stray report": func(t *rapid.T) {
				id := protocol.CommandID{9, byte(rapid.IntRange(0, 255).Draw(t, "id"))}
				step("stray", func() { p.reportOf(id, rapid.SampledFrom(statuses).Draw(t, "status")) })
			},
			"order": func(t *rapid.T) {
				kinds := []protocol.CommandKind{protocol.NoCommand, protocol.Lock, protocol.Restart, protocol.SecurityInfo, protocol.ProfileList}
				step("order", func() { p.order(protocol.Command{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}) })
			},
			"assign": func(t *rapid.T) {
				var set []protocol.Profile
				for _, one := range [][]protocol.Profile{{0, wifi1, wifi2}, {0, mail}, {0, restrictions}} {
					if q := rapid.SampledFrom(one).Draw(t, "profile"); q != 0 {
						set = append(set, q)
					}
				}
				version++
				want(p.w, version, set...)
			},
			"leave": func(t *rapid.T) {
				if rapid.IntRange(0, 5).Draw(t, "rarely") == 0 {
					step("leave", func() {
						if p.leave(); p.out.Refusal.Rule == "" {
							clear(m.on)
						}
					})
				}
			},
			"retire": func(t *rapid.T) {
				if rapid.IntRange(0, 5).Draw(t, "rarely") == 0 {
					step("retire", func() { p.order(protocol.Command{Kind: protocol.Retire}) })
				}
			},
			"push": func(t *rapid.T) {
				step("push", func() {
					p.push(rapid.SampledFrom([]delivery.PushResult{delivery.Accepted, delivery.TryLater, delivery.BadAddress}).Draw(t, "result"))
				})
			},
			"time": func(t *rapid.T) {
				p.now = p.now.Add(time.Duration(rapid.IntRange(1, 60*24*60).Draw(t, "minutes")) * time.Minute)
			},
			"clean up": func(t *rapid.T) { step("clean up", func() { p.event(delivery.Event{Kind: delivery.RecordDue}) }) },
			"renewed": func(t *rapid.T) {
				if p.s.Rare.Read().Renewal.Command != (protocol.CommandID{}) && p.s.Life == delivery.Enrolled && p.now < p.s.Identity.NotAfter {
					p.cred = p.issue(delivery.ForRenewal)
					step("renewed", func() { p.enrol() })
				}
			},
		})
	})
}

func (m *model) check(t *rapid.T, name string, p *phone, before *delivery.State, changes []delivery.CommandChange) {
	for _, c := range changes {
		switch i := slices.Index(m.waiting, c.ID); {
		case c.Status == protocol.NoStatus && !c.Final: // queued
			if i >= 0 || m.answered[c.ID] > 0 {
				t.Fatalf("%s: command %s is queued twice", name, c.ID)
			}
			m.waiting = append(m.waiting, c.ID)
		case c.Final:
			if i < 0 {
				t.Fatalf("%s: command %s is answered and was not waiting", name, c.ID)
			}
			m.waiting = slices.Delete(m.waiting, i, i+1)
			if m.answered[c.ID]++; m.answered[c.ID] > 1 {
				t.Fatalf("%s: command %s is answered twice (I3)", name, c.ID)
			}
		}
	}
	if fields := unwritten(before, &p.s, p.out.Changed); len(fields) > 0 {
		t.Fatalf("%s: %v changed, and only the parts %b are written", name, fields, p.out.Changed)
	}
	s := &p.s
	var queue []protocol.CommandID
	for i, q := range s.Queue {
		queue = append(queue, q.ID)
		if i > 0 && q.Seq <= s.Queue[i-1].Seq {
			t.Fatalf("%s: queue out of order: %+v", name, s.Queue)
		}
	}
	if !slices.Equal(queue, m.waiting) {
		t.Fatalf("%s: the queue holds %v, want %v (I3)", name, queue, m.waiting)
	}
	if reply := &p.out.Reply; reply.Kind == protocol.Work && !slices.Contains(m.waiting, reply.Command.ID) {
		t.Fatalf("%s: handed out %s, which does not wait", name, reply.Command.ID)
	}
	if (s.Registered != before.Registered || s.Epoch != before.Epoch) && !p.out.Completed {
		t.Fatalf("%s: registered %s in epoch %d, was %s in %d, outside a completed check-in (I2)", name, s.Registered, s.Epoch, before.Registered, before.Epoch)
	}
	if s.Life == delivery.Enrolled && s.Registered == protocol.Unknown {
		t.Fatalf("%s: enrolled under nobody (I1)", name)
	}
	if p.out.Changed&delivery.Gone != 0 && s.Life != delivery.Enrolling && p.now < s.Identity.NotAfter.Add(180*day) {
		t.Fatalf("%s: the record is removed before its time (I6)", name)
	}
	if s.Life != delivery.Enrolled && (len(s.Queue) > 0 || s.Wake.Due != 0) {
		t.Fatalf("%s: %s, and there are commands or a wake-up: %+v", name, s.Life, s)
	}
	if s.Life == delivery.Enrolled && s.Wake.Due == 0 {
		t.Fatalf("%s: enrolled and never woken", name)
	}
	if s.Life != delivery.Enrolled {
		return
	}
	for _, a := range s.Profiles {
		there := m.on[p.w.Profiles[a.Profile].Identifier] == a.Profile
		if a.State == delivery.Installed && !there || a.State == delivery.InstallFailed && there || a.State == delivery.RemoveFailed && !there {
			t.Fatalf("%s: profile %d is %s, on the device: %v", name, a.Profile, a.State, m.on)
		}
	}
	for identifier, on := range m.on {
		if !slices.ContainsFunc(s.Profiles, func(a delivery.Assigned) bool { return a.Profile == on }) {
			t.Fatalf("%s: %s is on the device as %d, and the state does not know: %+v", name, identifier, on, s.Profiles)
		}
	}
}

// unwritten returns the fields that changed and are in no part that is to be durable.
func unwritten(before, after *delivery.State, named delivery.Parts) (fields []string) {
	if named&delivery.Gone != 0 {
		return nil
	}
	parts := map[string]delivery.Parts{
		"Profiles": delivery.Profiles, "Unlock": delivery.Secrets, "Escrow": delivery.Secrets, "Wake": delivery.Core | delivery.Counts | delivery.Wakes,
		"Push": delivery.Core | delivery.Address, "Seq": delivery.Core | delivery.Counts, "Reports": delivery.Core | delivery.Counts,
	}
	a, b := *before, *after
	rareA, rareB := *a.Rare.Read(), *b.Rare.Read()
	a.Push.Since, a.LastSeen, a.Pace, rareA.Strays, a.Queue = b.Push.Since, b.LastSeen, b.Pace, rareB.Strays, b.Queue // may lag, are not kept, or are Commands
	a.Rare, b.Rare = nil, nil
	for _, x := range [][2]reflect.Value{{reflect.ValueOf(a), reflect.ValueOf(b)}, {reflect.ValueOf(rareA), reflect.ValueOf(rareB)}} {
		for i := range x[0].NumField() {
			f := x[0].Type().Field(i).Name
			if named&cmp.Or(parts[f], delivery.Core) == 0 && !reflect.DeepEqual(x[0].Field(i).Interface(), x[1].Field(i).Interface()) {
				fields = append(fields, f)
			}
		}
	}
	return fields
}

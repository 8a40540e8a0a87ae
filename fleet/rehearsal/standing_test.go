package rehearsal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// Users of the worlds below.
const (
	licensed delivery.UserID = iota + 1
	basic
	nothing
)

func worldOf(t authority.Tenant) *delivery.World {
	return &delivery.World{
		Tenant: t, Push: delivery.PushSlot{Topic: "topic", NotAfter: now.Add(365 * plan.Day)},
		Users: []delivery.User{{}, {User: authority.User{IntuneLicence: true, BasicLicence: true}}, {User: authority.User{BasicLicence: true}}, {}},
		Profiles: []delivery.Profile{
			{}, {Name: "mail", Family: protocol.Email, Authority: protocol.Office365}, {Name: "wifi", Family: protocol.WiFi, Authority: protocol.Intune},
		},
	}
}

// deviceOf is an iPhone of a user that was enrolled under BMS alone, in the first epoch.
func deviceOf(u delivery.UserID) delivery.State {
	return delivery.State{
		Device: 1, User: u, Platform: protocol.IOS, Life: delivery.Enrolled, Registered: protocol.Office365, Epoch: 1,
		Push: delivery.Push{Topic: "topic", Token: []byte("token")}, Identity: delivery.Identity{NotAfter: now.Add(300 * plan.Day)},
	}
}

var (
	alone   = authority.Tenant{Authority: protocol.Office365, Epoch: 1}
	coexist = authority.Tenant{Authority: protocol.Office365, Coexistence: true, Epoch: 2, ChangedAt: now}
	round   = delivery.Event{Kind: delivery.CheckInRound, Device: 1, ID: "udid-1", Message: delivery.Message{CheckIn: protocol.CheckIn{Verb: protocol.Ask}}}
)

// broken returns the invariants that a Watch found broken.
func broken(w *Watch) string {
	_, _, first := w.Result()
	var names []string
	for _, v := range first {
		names = append(names, v.Invariant)
	}
	return strings.Join(names, " ")
}

func TestWatchGapAndLicences(t *testing.T) {
	gap := worldOf(coexist)
	gap.Gap = now
	refused := delivery.Outcome{Refusal: protocol.Refusal{Rule: protocol.RulePushGap}}
	registered := func(a protocol.Authority, epoch uint32) (s delivery.State) {
		s = deviceOf(basic)
		s.Registered, s.Epoch = a, epoch
		return s
	}
	for _, tt := range []struct {
		name          string
		world         *delivery.World
		platform      protocol.Platform
		before, after delivery.State
		out           delivery.Outcome
		want          string
	}{
		{"I5: an iPhone is answered in the gap", gap, protocol.IOS, deviceOf(basic), deviceOf(basic), delivery.Outcome{}, "I5"},
		{"I5: an iPhone is refused in the gap", gap, protocol.IOS, deviceOf(basic), deviceOf(basic), refused, ""},
		{"I5: a PC is answered in the gap", gap, protocol.Windows, deviceOf(basic), deviceOf(basic), delivery.Outcome{}, ""},
		{"I5: a PC is refused for the gap", gap, protocol.Windows, deviceOf(basic), deviceOf(basic), refused, "I5"},
		{"I5: an iPhone is refused after the gap", worldOf(coexist), protocol.IOS, deviceOf(basic), deviceOf(basic), refused, "I5"},
		{"I9: a licence moves a device of BMS alone, where it does not belong (I8)", worldOf(alone), protocol.IOS, registered(protocol.Office365, 1), registered(protocol.Intune, 1), delivery.Outcome{Completed: true}, "I9 I8"},
		{"I9: a licence moves a device under coexistence", worldOf(coexist), protocol.IOS, registered(protocol.Intune, 2), registered(protocol.Office365, 2), delivery.Outcome{Completed: true}, ""},
		{"I8: a completed check-in leaves it pending", worldOf(coexist), protocol.IOS, deviceOf(licensed), deviceOf(licensed), delivery.Outcome{Completed: true}, "I8"},
		{"I8: a completed check-in leaves it stale", worldOf(coexist), protocol.IOS, deviceOf(basic), deviceOf(basic), delivery.Outcome{Completed: true}, "I8"},
		{"I8: a round that did not complete", worldOf(coexist), protocol.IOS, deviceOf(licensed), deviceOf(licensed), delivery.Outcome{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWatch(&Log{})
			tt.before.Platform, tt.after.Platform = tt.platform, tt.platform
			w.Observe(now, tt.world, &round, &tt.before, &tt.after, &tt.out)
			if got := broken(w); got != tt.want {
				t.Errorf("broken: %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWatchI4(t *testing.T) {
	intune := authority.Tenant{Authority: protocol.Intune, Epoch: 3, ChangedAt: now}
	managed := authority.Tenant{Authority: protocol.SCCM, Epoch: 3, ChangedAt: now}
	for _, tt := range []struct {
		name    string
		tenant  authority.Tenant
		user    delivery.UserID
		profile protocol.Profile
		heard   uint32
		at      protocol.Time
		waits   *delivery.Queued
		want    string
	}{
		{"in time", intune, licensed, 1, 3, now.Add(7*plan.Day) - 1, nil, ""},
		{"too late", intune, licensed, 1, 3, now.Add(7 * plan.Day), nil, "I4"},
		{"too late, and does not know", intune, licensed, 1, 2, now.Add(7 * plan.Day), nil, ""},
		{"of the authority in force", intune, licensed, 2, 3, now.Add(7 * plan.Day), nil, ""},
		{"co-managed now", managed, licensed, 2, 3, now.Add(7 * plan.Day), nil, "I4"},
		{"userless", intune, 0, 1, 3, now.Add(7 * plan.Day), nil, "I4"},
		{"what replaces it was put off", intune, licensed, 1, 3, now.Add(7 * plan.Day), &delivery.Queued{Command: protocol.Command{Profile: 1}, NotNow: true}, ""},
		{"what replaces it waits", intune, licensed, 1, 3, now.Add(7 * plan.Day), &delivery.Queued{Command: protocol.Command{Profile: 1}}, "I4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWatch(&Log{})
			s := deviceOf(tt.user)
			s.Registered, s.Epoch, s.Heard = protocol.Intune, 3, tt.heard
			if tt.user == 0 {
				s.Registered, s.Epoch = protocol.Office365, 1
			}
			s.Profiles = []delivery.Assigned{{Profile: tt.profile, State: delivery.Installed}}
			if tt.waits != nil {
				s.Queue = []delivery.Queued{*tt.waits}
			}
			w.Observe(tt.at, worldOf(tt.tenant), &round, &s, &s, &delivery.Outcome{Completed: true})
			if got := broken(w); got != tt.want {
				t.Errorf("broken: %q, want %q", got, tt.want)
			}
		})
	}
}

// A device is enrolled under BMS, Intune is added, and it registers late: what it was kept from does not count.
func TestWatchI8(t *testing.T) {
	late := now.Add(bound + time.Minute)
	for _, tt := range []struct {
		name  string
		story func(w *Watch, coexisting *delivery.World)
		at    protocol.Time // when it registers; 0: never
		want  string
	}{
		{"in time", nil, now.Add(bound), ""},
		{"too late", nil, late, "I8"},
		{"never", nil, 0, "I8"},
		{"off the network meanwhile", func(w *Watch, _ *delivery.World) {
			w.Reach(now.Add(time.Hour), "udid-1", false)
			w.Reach(now.Add(2*time.Hour), "udid-1", true)
		}, late, ""},
		{"off the network for good", func(w *Watch, _ *delivery.World) { w.Reach(now.Add(time.Hour), "udid-1", false) }, 0, ""},
		{"the server was down", func(w *Watch, _ *delivery.World) { w.Up(now.Add(time.Hour)) }, late, ""},
		{"held by the gap", func(w *Watch, coexisting *delivery.World) {
			gap := *coexisting
			gap.Gap = now
			w.Turn(now, &gap)
			w.Turn(now.Add(2*time.Hour), coexisting)
		}, late, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWatch(&Log{})
			before, after := deviceOf(licensed), deviceOf(licensed)
			w.Observe(now-1, worldOf(alone), &round, &before, &before, &delivery.Outcome{Completed: true})
			coexisting := worldOf(coexist)
			w.Turn(now, coexisting)
			if s := w.Standing(now, "udid-1"); !s.Pending || s.Stale || s.Moved {
				t.Fatalf("after the change it stands so: %+v", s)
			}
			if tt.story != nil {
				tt.story(w, coexisting)
			}
			if tt.at != 0 {
				after.Registered, after.Epoch = protocol.Intune, 2
				w.Observe(tt.at, coexisting, &round, &before, &after, &delivery.Outcome{Completed: true})
				if s := w.Standing(now, "udid-1"); !s.Moved || s.Pending {
					t.Errorf("after the move it stands so: %+v", s)
				}
			}
			w.Close(late)
			if got := broken(w); got != tt.want {
				t.Errorf("broken: %q, want %q", got, tt.want)
			}
		})
	}
}

func TestStanding(t *testing.T) {
	other, ended := deviceOf(licensed), deviceOf(licensed)
	other.Push.Topic = "another"
	ended.Identity.NotAfter = now
	gap := worldOf(coexist)
	gap.Gap = now
	for _, tt := range []struct {
		name  string
		world *delivery.World
		state delivery.State
		want  Standing
	}{
		{"AUTH-14", worldOf(coexist), deviceOf(licensed), Standing{Pending: true}},
		{"AUTH-16", worldOf(coexist), deviceOf(basic), Standing{Stale: true}},
		{"AUTH-17", worldOf(coexist), deviceOf(nothing), Standing{Stale: true, Unlicensed: true}},
		{"AUTH-18", worldOf(coexist), deviceOf(0), Standing{Stranded: true, NeedsSupport: true}},
		{"AUTH-18 before the change", worldOf(alone), deviceOf(0), Standing{}},
		{"AUTH-18 ordered to move", worldOf(coexist), func() delivery.State {
			s := deviceOf(0)
			s.Support = true
			return s
		}(), Standing{}},
		{"AUTH-42 before AUTH-18", worldOf(coexist), func() delivery.State {
			s := deviceOf(0)
			s.Identity.NotAfter = now
			return s
		}(), Standing{Stranded: true}},
		{"AUTH-46 a Mac of nobody entitled", worldOf(coexist), func() delivery.State {
			s := deviceOf(basic)
			s.Platform, s.Registered, s.Epoch = protocol.MacOS, protocol.Intune, 2
			return s
		}(), Standing{Unlicensed: true}},
		{"AUTH-24", worldOf(authority.Tenant{Authority: protocol.Intune, Epoch: 1}), func() delivery.State {
			s := deviceOf(basic)
			s.Registered = protocol.Intune
			return s
		}(), Standing{Unlicensed: true}},
		{"AUTH-30", gap, deviceOf(licensed), Standing{Pending: true, Blocked: true}},
		{"AUTH-32", worldOf(coexist), other, Standing{Pending: true, Stranded: true}},
		{"AUTH-42", worldOf(coexist), ended, Standing{Pending: true, Stranded: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWatch(&Log{})
			w.Observe(now, tt.world, &round, &tt.state, &tt.state, &delivery.Outcome{})
			if got := w.Standing(now, "udid-1"); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// Two phones under BMS: one's user holds an Intune licence, the other's does not. A third, of the first user, is away.
func TestWatchI10(t *testing.T) {
	moves := target.Named{Device: "udid-1", Fate: "moves", Pending: true}
	anew := target.Named{Device: "udid-2", Fate: "stays", Stale: true}
	preview := func(change func(p *target.Preview)) *target.Preview {
		p := target.Preview{Enrolled: 2, Pending: 1, Stale: 1, Devices: []target.Named{moves, anew}}
		change(&p)
		return &p
	}
	for _, tt := range []struct {
		name    string
		preview *target.Preview
		want    string
	}{
		{"as previewed", preview(func(*target.Preview) {}), ""},
		{"one more", preview(func(p *target.Preview) { p.Pending = 2 }), "I10"},
		{"others enrolled", preview(func(p *target.Preview) { p.Enrolled = 3 }), "I10"},
		{"blocked, and they are not", preview(func(p *target.Preview) { p.Blocked = 2 }), "I10"},
		{"as many, but the other one moves", preview(func(p *target.Preview) {
			p.Devices[0].Device, p.Devices[1].Device = "udid-2", "udid-1"
		}), "I10 I10"},
		{"one is not named", preview(func(p *target.Preview) { p.Devices = p.Devices[:1] }), "I10"},
		{"one is named that is not there", preview(func(p *target.Preview) {
			p.Devices = append(p.Devices, target.Named{Device: "udid-3", Fate: "stranded", Stranded: "userless"})
		}), "I10"},
		{"stranded, and it is not", preview(func(p *target.Preview) { p.Devices[0].Stranded = "topic_changed" }), "I10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWatch(&Log{})
			for i, u := range []delivery.UserID{licensed, basic} {
				s, ev := deviceOf(u), round
				s.Device, ev.ID = protocol.Device(i+1), fmt.Sprintf("udid-%d", i+1)
				w.Observe(now, worldOf(alone), &ev, &s, &s, &delivery.Outcome{})
			}
			w.Turn(now, worldOf(coexist))
			w.Previewed(now, tt.preview)
			if got := broken(w); got != tt.want {
				t.Errorf("broken: %q, want %q", got, tt.want)
			}
		})
	}
}

// TestStandingOffline: who is off the network when the story ends, and not only for a night, is stranded, if pending.
func TestStandingOffline(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   delivery.UserID
		left protocol.Time
		back protocol.Time // 0: it does not come back
		want bool
	}{
		{"since days", licensed, now, 0, true},
		{"for a night", licensed, now.Add(2*plan.Day - 8*time.Hour), 0, false},
		{"back again", licensed, now, now.Add(plan.Day), false},
		{"it has nowhere to move", basic, now, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWatch(&Log{})
			s := deviceOf(tt.of)
			w.Observe(now, worldOf(coexist), &round, &s, &s, &delivery.Outcome{})
			w.Reach(tt.left, "udid-1", false)
			if tt.back != 0 {
				w.Reach(tt.back, "udid-1", true)
			}
			end := now.Add(2 * plan.Day)
			if w.Standing(end, "udid-1").Stranded {
				t.Error("stranded before the story has ended")
			}
			w.Close(end)
			if got := w.Standing(end, "udid-1"); got.Stranded != tt.want {
				t.Errorf("%+v, want stranded: %v", got, tt.want)
			}
		})
	}
}

// TestAUTH32Cut: who was stranded by another topic stays counted, though it enrol again.
func TestAUTH32Cut(t *testing.T) {
	w := NewWatch(&Log{})
	for i := range 3 {
		s, ev := deviceOf(basic), round
		s.Device, ev.ID = protocol.Device(i+1), fmt.Sprintf("udid-%d", i+1)
		if i == 2 {
			s.Platform = protocol.Windows
		}
		w.Observe(now, worldOf(coexist), &ev, &s, &s, &delivery.Outcome{})
	}
	renewed := worldOf(coexist)
	renewed.Push.NotAfter = now.Add(700 * plan.Day)
	if w.Turn(now, renewed); w.Cut() != 0 {
		t.Errorf("%d stranded by the same topic", w.Cut())
	}
	other := worldOf(coexist)
	other.Push.Topic = "other"
	if w.Turn(now, other); w.Cut() != 2 {
		t.Errorf("%d stranded, want both iPhones", w.Cut())
	}
	s, ev := deviceOf(basic), round
	s.Push.Topic = "other"
	if w.Observe(now, other, &ev, &s, &s, &delivery.Outcome{}); w.Cut() != 2 || w.Standing(now, "udid-1").Stranded {
		t.Errorf("%d stranded after one has enrolled again; it stands so: %+v", w.Cut(), w.Standing(now, "udid-1"))
	}
}

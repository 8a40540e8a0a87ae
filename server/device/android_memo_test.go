package device

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// signed is a JWS, by its payload: each lab has a key of its own.
var signed = regexp.MustCompile(`eyJ[\w-]+\.([\w-]+)\.[\w-]+`)

// A side is a lab with one Android device, played by a script.
type side struct {
	*lab
	p       *phone
	message []byte // the device's usual one
	main    *line
	forgets bool       // nothing is known of a connection at its next message
	known   int        // how many messages were answered by their bytes
	seen    int        // rounds that the observer saw
	drawn   *rand.Rand // what commands are called by: anew for each happening, since an answer from what is kept draws nothing
}

// newSide is watched at each round where it is observed.
func newSide(t *testing.T, observed, forgets bool) *side {
	s := &side{lab: newDroidLab(t), forgets: forgets, drawn: rand.New(rand.NewPCG(0, 0))}
	s.p, s.message = s.android("d-0123456789abcdef0000")
	cfg := server.Config{Store: s.store, Renewal: s.h.cfg.Enrolment.Renewal, Rand: func() uint64 { return s.drawn.Uint64() }}
	if observed {
		cfg.Observe = func(protocol.Time, *delivery.World, *delivery.Event, *delivery.State, *delivery.State, *delivery.Outcome) {
			s.seen++
		}
	}
	var err error
	s.core, err = server.Open(context.Background(), s.pnow(), cfg)
	s.must(err)
	with := s.h.cfg
	with.Server, with.Handle = s.core, nil
	s.h, err = New(with)
	s.must(err)
	s.main = s.line(s.p)
	return s
}

// hears is what the device is answered on its usual connection, where an answer from what is kept ends with a space.
func (s *side) hears(message []byte, id string) string {
	if s.forgets {
		*s.main.peer = peer{}
	} else if m := s.main.peer.steady; m != nil && !bytes.HasSuffix(m.answer, []byte(" ")) {
		m.answer = append(m.answer, ' ')
	}
	answer := s.main.says(message, id)
	if strings.HasSuffix(answer, " ") {
		s.known++
	}
	return strings.TrimSuffix(answer, " ")
}

// looks is all that the server knows of the device and has written, but for what no two labs have in common.
func (s *side) looks() (store.Record, protocol.Time, int) {
	r := s.record(s.p.id)
	r.State.Identity.Fingerprint = delivery.Fingerprint{}
	end, err := s.store.JournalEnd(context.Background())
	s.must(err)
	return r, protocol.Time(end), s.seen
}

// A droidStep is one thing that happens; what it needs of chance it takes from r, the same on both sides.
type droidStep func(s *side, r *rand.Rand)

var droidSteps = []droidStep{
	func(*side, *rand.Rand) {},
	func(s *side, _ *rand.Rand) { s.setClock(s.now().Add(time.Second)) },
	func(s *side, r *rand.Rand) { s.setClock(s.now().Add(time.Duration(r.Int64N(int64(6 * time.Hour))))) },
	func(s *side, _ *rand.Rand) { s.setClock(s.now().Add(-time.Second)) },
	func(s *side, r *rand.Rand) { s.setClock(s.now().Add(-time.Duration(r.Int64N(int64(time.Hour))))) },
	func(s *side, r *rand.Rand) { // the last weeks of its identity
		if r.IntN(8) == 0 {
			s.setClock(s.now().Add(335 * 24 * time.Hour))
		}
	},
	func(s *side, r *rand.Rand) {
		n := r.IntN(100) + 1
		s.must(s.core.ChangeSettings(context.Background(), s.pnow(), server.System, "", func(set *server.Settings) { set.Blast = n }))
	},
	func(s *side, r *rand.Rand) { s.wifi(fmt.Sprint("org.wifi", r.IntN(3))) },
	func(s *side, r *rand.Rand) {
		to := []protocol.Authority{protocol.Intune, protocol.SCCM}[r.IntN(2)]
		s.core.SetAuthority(context.Background(), s.pnow(), server.System, authority.Change{Authority: to}, "", -1) // refused where it is that one
	},
	func(s *side, r *rand.Rand) {
		s.core.SetLicences(context.Background(), s.pnow(), server.System, []server.Licence{{UPN: "ada@example.org", Intune: r.IntN(2) > 0, Basic: true}}, "") // that needs a preview
		_, err := s.core.PutUsers(context.Background(), s.pnow(), []store.User{{UPN: "ada@example.org", Groups: []string{"all"}, User: authority.User{IntuneLicence: r.IntN(3) > 0}}})
		s.must(err)
	},
	func(s *side, r *rand.Rand) {
		kind := []protocol.CommandKind{protocol.Restart, protocol.Lock, protocol.DeviceInformation}[r.IntN(3)]
		s.core.Order(context.Background(), s.pnow(), s.record(s.p.id).State.Device, protocol.Command{Kind: kind})
	},
	func(s *side, _ *rand.Rand) {
		s.core.SupportMove(context.Background(), s.pnow(), server.System, s.record(s.p.id).State.Device)
	},
	func(s *side, r *rand.Rand) { // rarely: nothing much follows
		if r.IntN(30) == 0 {
			s.core.Retire(context.Background(), s.pnow(), server.System, s.record(s.p.id).State.Device)
		}
	},
	func(s *side, r *rand.Rand) {
		st := s.record(s.p.id).State
		ev := delivery.Event{Kind: delivery.PushReport, Device: st.Device}
		ev.Token, ev.Told, ev.Sent, ev.PushedAt = st.Push.Token, st.Push.Since, st.Wake, s.pnow()
		ev.Push, ev.RetryAfter = delivery.PushResult(r.IntN(4)+1), s.pnow()
		s.core.Handle(context.Background(), s.pnow(), &ev, new(delivery.Outcome))
	},
}

// obeys says the second round of a device that does all that it is told in the first.
func obeys(message []byte, answer string, m *android.CheckIn) (second []byte) {
	var a android.CheckInAnswer
	if android.Decode([]byte(strings.TrimPrefix(answer, "200 ")), &a) != nil || a.Complete {
		return nil
	}
	if u := a.Policy; u != nil {
		m.Applied = android.AppliedPolicy{State: android.Active, PolicyName: u.Name, PolicyVersion: u.Version}
		for _, e := range u.Profiles {
			m.Applied.Profiles = append(m.Applied.Profiles, android.AppliedProfile{ID: e.ID, Version: e.Version, Status: android.Applied})
		}
	}
	said := *m
	said.Round, said.Results = 2, nil
	for _, c := range a.Commands {
		said.Results = append(said.Results, android.Result{Command: c.ID, State: android.ResultDone})
	}
	return android.Append(nil, &said)
}

// TestAND073AnyScript: whatever happens to a device and its tenant, one whose connection is remembered is answered as one of whose
// connection nothing is, and leaves the server as that one does.
func TestAND073AnyScript(t *testing.T) {
	const scripts, steps = 12, 40
	known := 0
	for seed := range uint64(scripts) {
		sides := [2]*side{newSide(t, seed%4 == 3, false), newSide(t, seed%4 == 3, true)}
		r := rand.New(rand.NewPCG(seed, 2))
		var m android.CheckIn
		if err := android.Decode(sides[0].message, &m); err != nil {
			t.Fatal(err)
		}
		last := ""
		// say has the device say something on both sides, on its usual connection or another.
		say := func(step int, what string, message []byte, id string, other bool) string {
			t.Helper()
			var answers [2]string
			draw := r.Uint64()
			for i, s := range sides {
				s.drawn = rand.New(rand.NewPCG(draw, 1))
				if other {
					answers[i] = s.line(s.p).says(message, id)
				} else {
					answers[i] = s.hears(message, id)
				}
				answers[i] = signed.ReplaceAllString(answers[i], "$1")
			}
			if answers[0] != answers[1] {
				t.Fatalf("script %d, step %d, %s: answered\n%s\nwhere nothing is kept\n%s", seed, step, what, answers[0], answers[1])
			}
			ar, aj, as := sides[0].looks()
			br, bj, bs := sides[1].looks()
			if !reflect.DeepEqual(ar, br) || aj != bj || as != bs {
				t.Fatalf("script %d, step %d, %s: %d lines, %d seen, left\n%+v\nwhere nothing is kept %d lines, %d seen\n%+v", seed, step, what, aj, as, ar, bj, bs, br)
			}
			return answers[0]
		}
		for step := range steps {
			n, draw := r.IntN(3*len(droidSteps)), r.Uint64()
			if n < len(droidSteps) {
				for _, s := range sides {
					s.drawn = rand.New(rand.NewPCG(draw, 4))
					droidSteps[n](s, rand.New(rand.NewPCG(draw, 3)))
				}
			}
			if r.IntN(12) == 0 {
				m.Compliant = !m.Compliant
				m.NonComplianceDetails = nil
				if !m.Compliant {
					m.NonComplianceDetails = []android.NonComplianceDetail{{SettingName: "passwordPolicies", NonComplianceReason: android.NotUserAction}}
				}
			}
			if r.IntN(12) == 0 {
				m.Push = &android.Push{Kind: "fcm", FID: fmt.Sprint("f-", r.IntN(2))}
			}
			for _, other := range []bool{true, false, false} {
				if other && r.IntN(4) > 0 {
					continue
				}
				now := m
				switch {
				case other && r.IntN(2) == 0:
					now.NonComplianceDetails = []android.NonComplianceDetail{{SettingName: "keyguard", NonComplianceReason: android.NotUserAction}}
				case other && r.IntN(2) == 0:
					now.Push = &android.Push{Kind: "fcm", FID: "f-other"}
				}
				id := fmt.Sprintf("c-%d-%d-%t", step, r.IntN(1<<20), other)
				if last != "" && r.IntN(10) == 0 {
					id = last
				}
				if other && r.IntN(2) == 0 { // a while before and after
					for _, s := range sides {
						s.setClock(s.now().Add(time.Second))
					}
				}
				now.CheckIn, now.Time = "c-0000000000000002", sides[0].pnow()
				message := android.Append(nil, &now)
				answer := say(step, fmt.Sprintf("%d", n), message, id, other)
				last = id
				if second := obeys(message, answer, &m); second != nil && r.IntN(4) > 0 {
					say(step, "round 2", second, id, other)
				}
				if other && r.IntN(2) == 0 {
					for _, s := range sides {
						s.setClock(s.now().Add(-time.Second))
					}
				}
			}
		}
		known += sides[0].known
		if sides[1].known > 0 {
			t.Fatalf("script %d: %d messages of connections that are forgotten were known by their bytes", seed, sides[1].known)
		}
	}
	if known < scripts*steps/4 {
		t.Errorf("%d messages were known by their bytes", known)
	}
}

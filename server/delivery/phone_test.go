package delivery_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

const (
	day   = 24 * time.Hour
	topic = "com.apple.mgmt.External.6f1c"
)

var start = protocol.At(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))

// The profiles of the tests' world by number.
const (
	wifi1 protocol.Profile = iota + 1
	wifi2
	mail
	restrictions
)

// newWorld is an intune tenant. User 1 has wifi1 and mail, user 2 nothing.
func newWorld() *delivery.World {
	return &delivery.World{
		Tenant: authority.Tenant{Authority: protocol.Intune, Epoch: 1, ChangedAt: start},
		Users:  []delivery.User{{}, {Sets: [4]uint32{protocol.Intune: 1}}, {}},
		Sets:   []delivery.Set{{}, {Version: 11, Profiles: []protocol.Profile{wifi1, mail}}},
		Profiles: []delivery.Profile{
			{},
			{Name: "wifi", Family: protocol.WiFi, Authority: protocol.Intune, Identifier: "org.wifi"},
			{Name: "wifi", Family: protocol.WiFi, Authority: protocol.Intune, Identifier: "org.wifi"},
			{Name: "mail", Family: protocol.Email, Authority: protocol.Intune, Identifier: "org.mail"},
			{Name: "restrictions", Family: protocol.Configuration, Authority: protocol.Intune, Identifier: "org.restrictions"},
		},
		Push: delivery.PushSlot{Topic: topic, NotAfter: start.Add(1000 * day)},
	}
}

// want changes what user 1's devices should have.
func want(w *delivery.World, version uint32, profiles ...protocol.Profile) {
	w.Sets = []delivery.Set{{}, {Version: version, Profiles: profiles}}
}

// fatal is what the helpers need of a testing.T or a rapid.T.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// A phone is a device in front of Decide. It keeps what a store would: state, credentials, journal, history.
type phone struct {
	t       fatal
	w       *delivery.World
	now     protocol.Time
	s       delivery.State
	id      string
	cred    delivery.Credential // what it speaks with
	bound   map[delivery.Fingerprint]protocol.Device
	revoked map[delivery.Fingerprint]bool
	out     delivery.Outcome
	seed    uint64
	lines   []delivery.Effect // journal
	history []delivery.CommandChange
}

// newPhone has an identity that was issued to user 1 and has said nothing yet.
func newPhone(t fatal) *phone {
	p := &phone{
		t: t, w: newWorld(), now: start, s: delivery.State{Device: 1, Place: 1 << 31}, id: "UDID-1",
		bound: map[delivery.Fingerprint]protocol.Device{}, revoked: map[delivery.Fingerprint]bool{},
	}
	p.cred = p.issue(delivery.ForEnrolment)
	return p
}

// issue makes a credential for user 1, valid for a year from now.
func (p *phone) issue(purpose delivery.Purpose) delivery.Credential {
	p.seed++
	c := delivery.Credential{
		Identity: delivery.Identity{
			Fingerprint: delivery.Fingerprint{byte(p.seed), byte(p.seed >> 8), 1}, NotBefore: p.now.Add(-10 * time.Minute), NotAfter: p.now.Add(365 * day),
		},
		Purpose: purpose, User: 1,
	}
	if purpose == delivery.ForRenewal {
		p.bound[c.Fingerprint] = 1
	}
	return c
}

// event has Decide decide, commits the outcome, and fails when what must only be read was changed.
func (p *phone) event(in delivery.Event) *delivery.Outcome {
	p.t.Helper()
	p.seed++
	in.Seed = [2]uint64{p.seed, 7}
	before := p.s
	before.Queue, before.Profiles = slices.Clone(p.s.Queue), slices.Clone(p.s.Profiles)
	if p.s.Rare != nil {
		rare := *p.s.Rare
		before.Rare = &rare
	}
	delivery.Decide(p.now, p.w, &p.s, &in, &p.out)
	if !reflect.DeepEqual(before, p.s) {
		p.t.Fatalf("Decide changed the state that it was given:\n%s", cmp.Diff(before, p.s))
	}
	if p.out.Changed == 0 && p.out.Refusal.Rule == "" {
		after := p.out.State // what may change without being written
		after.LastSeen, after.Pace, after.Push.Since = before.LastSeen, before.Pace, before.Push.Since
		if len(p.out.Effects) > 0 {
			after.Rare = before.Rare
		}
		after.Queue = slices.Clone(after.Queue)
		for i := range min(len(after.Queue), len(before.Queue)) {
			after.Queue[i].Offers, after.Queue[i].NotNow = before.Queue[i].Offers, before.Queue[i].NotNow
		}
		if !reflect.DeepEqual(before, after) {
			p.t.Fatalf("%s changed the state and does not say so:\n%s", in.Kind, cmp.Diff(before, after))
		}
	}
	for _, e := range p.out.Effects {
		switch e.Kind {
		case delivery.Bind:
			p.bound[e.Fingerprint] = e.Device
		case delivery.Revoke, delivery.Supersede:
			p.revoked[e.Fingerprint] = true
		case delivery.Journal:
			p.lines = append(p.lines, e)
		}
	}
	p.history = append(p.history, p.out.Commands...)
	p.s = p.out.State
	return &p.out
}

// says sends one round with the phone's identity.
func (p *phone) says(c protocol.CheckIn, m delivery.Message) *delivery.Outcome {
	p.t.Helper()
	m.CheckIn = c
	m.Credential = p.cred
	m.Credential.Device = p.bound[p.cred.Fingerprint]
	m.Credential.Revoked = p.revoked[p.cred.Fingerprint]
	return p.event(delivery.Event{Kind: delivery.CheckInRound, ID: p.id, Message: m})
}

func (p *phone) enrol() *delivery.Outcome {
	p.t.Helper()
	return p.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{
		Platform: protocol.IOS, Topic: topic, Facts: &delivery.Facts{Name: "phone", Serial: "C02"},
	})
}

func (p *phone) ready() *delivery.Outcome {
	p.t.Helper()
	return p.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Topic: topic, Magic: "magic", Token: []byte("token"), Unlock: []byte("unlock")})
}

func (p *phone) ask() *delivery.Outcome {
	p.t.Helper()
	return p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{})
}

func (p *phone) leave() *delivery.Outcome {
	p.t.Helper()
	return p.says(protocol.CheckIn{Verb: protocol.Leave}, delivery.Message{})
}

// report answers the command that is in p.out.
func (p *phone) report(s protocol.Status) *delivery.Outcome {
	p.t.Helper()
	if p.out.Reply.Kind != protocol.Work {
		p.t.Fatalf("there is no command to report on")
	}
	return p.reportOf(p.out.Reply.Command.ID, s)
}

func (p *phone) reportOf(id protocol.CommandID, s protocol.Status) *delivery.Outcome {
	p.t.Helper()
	return p.says(protocol.CheckIn{Verb: protocol.Report, Command: id, Status: s}, delivery.Message{Result: []byte("<plist/>")})
}

func (p *phone) order(c protocol.Command) *delivery.Outcome {
	p.t.Helper()
	return p.event(delivery.Event{Kind: delivery.Administered, Message: delivery.Message{Order: c}})
}

// push reports that the pending wake-up was sent now, with this result.
func (p *phone) push(r delivery.PushResult) *delivery.Outcome {
	p.t.Helper()
	return p.event(reportTo(&p.s, delivery.Message{Push: r, PushedAt: p.now, Sent: p.s.Wake}))
}

// reportTo is the report m of a wake-up that went to the address that s has.
func reportTo(s *delivery.State, m delivery.Message) delivery.Event {
	m.Topic, m.Magic, m.Token, m.Told = s.Push.Topic, s.Push.Magic, s.Push.Token, s.Push.Since
	return delivery.Event{Kind: delivery.PushReport, Message: m}
}

// drain holds a conversation in which everything is acknowledged, and returns what was handed out.
func (p *phone) drain() (kinds []protocol.CommandKind) {
	p.t.Helper()
	p.ask()
	for p.out.Reply.Kind == protocol.Work {
		kinds = append(kinds, p.out.Reply.Command.Kind)
		if len(kinds) > 2000 {
			p.t.Fatalf("the conversation does not end")
		}
		p.report(protocol.Acknowledged)
	}
	return kinds
}

// settled is a phone that is enrolled and has everything it should have.
func settled(t fatal) *phone {
	p := newPhone(t)
	p.enrol()
	p.ready()
	p.drain()
	p.lines, p.history = nil, nil
	return p
}

// refused checks that the latest round was refused by rule and changed nothing.
func (p *phone) refused(rule protocol.Rule, what delivery.What) {
	p.t.Helper()
	if p.out.Refusal.Rule != rule {
		p.t.Fatalf("refusal %+v, want %s", p.out.Refusal, rule)
	}
	unchanged := delivery.Parts(0)
	if p.s.Life == delivery.NoLife {
		unchanged = delivery.Gone // a refusal makes no record
	}
	if p.out.Changed != unchanged || len(p.out.Commands) != 0 || p.out.Reply.Kind != protocol.Done || p.out.Completed {
		p.t.Fatalf("a refused round changed something: %+v", p.out)
	}
	if !p.noted(what, string(rule)) {
		p.t.Fatalf("journal %+v, want a line %q by %s", p.out.Effects, what, rule)
	}
}

// noted tells whether the latest outcome has a journal line with this What and, in rule or detail, this text.
func (p *phone) noted(what delivery.What, text string) bool {
	return slices.ContainsFunc(p.out.Effects, func(e delivery.Effect) bool {
		return e.Kind == delivery.Journal && e.What == what && strings.Contains(string(e.Rule)+" "+e.Detail, text)
	})
}

// count counts journal lines.
func (p *phone) count(what delivery.What) (n int) {
	for _, e := range p.lines {
		if e.What == what {
			n++
		}
	}
	return n
}

// profiles are the entries of the state, as text.
func (p *phone) profiles() string {
	var b strings.Builder
	for _, a := range p.s.Profiles {
		b.WriteString(p.w.Profiles[a.Profile].Name)
		b.WriteByte('0' + byte(a.Profile))
		b.WriteString(" " + a.State.String() + "; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

package server_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/push"
	"rollcall/server/store"
)

const (
	day   = 24 * time.Hour
	topic = "com.apple.mgmt.External.6f1c"
)

var start = protocol.At(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))

// pushCA signs the tests' push certificates.
var pushCA = sync.OnceValue(func() *certs.Authority {
	ca, err := certs.NewIssuer("push", start.Time())
	if err != nil {
		panic(err)
	}
	return ca
})

// A tenant is a server over a store in memory, at a time of the test's choosing.
type tenant struct {
	*testing.T
	*server.Server
	ctx     context.Context
	store   store.Store
	cfg     server.Config
	pushes  push.Recorder
	now     protocol.Time
	topics  []string // of the push certificates that were taken into use
	serial  int
	ids     int
	renewal string // what Config.Renewal was asked for last
}

// empty is a tenant that was never set up.
func empty(t *testing.T) *tenant {
	x := &tenant{T: t, ctx: t.Context(), store: store.NewMemory(), now: start}
	if x.ctx == nil { // a benchmark's
		x.ctx = context.Background()
	}
	var seed atomic.Uint64
	x.cfg = server.Config{
		Store: x.store, Push: push.Services{Apple: &x.pushes},
		Renewal: func(_ context.Context, _ protocol.Time, s *delivery.State, challenge string) ([]byte, error) {
			x.renewal = challenge
			return fmt.Appendf(nil, "profile of %d with %s", s.Device, challenge), nil
		},
		Rand: func() uint64 { return seed.Add(1) },
	}
	x.cfg.SetPushCertificate = func(_ tls.Certificate, topic string) { x.topics = append(x.topics, topic) }
	x.reopen()
	return x
}

// reopen is a restart of the server.
func (x *tenant) reopen() {
	x.Helper()
	s, err := server.Open(x.ctx, x.now, x.cfg)
	x.must(err)
	x.Server = s
}

// newTenant is set up as intune, with a push certificate and two users: a (groups sales, all) and b (all).
func newTenant(t *testing.T) *tenant {
	x := empty(t)
	x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Intune}, delivery.Settings{}))
	x.upload(topic, 365*day)
	_, err := x.PutUsers(x.ctx, x.now, []store.User{
		{UPN: "a@example.org", Groups: []string{"sales", "all"}, User: authority.User{IntuneLicence: true}},
		{UPN: "b@example.org", Groups: []string{"all"}, User: authority.User{IntuneLicence: true}},
	})
	x.must(err)
	return x
}

func (x *tenant) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// refused checks that err is a refusal by this rule.
func (x *tenant) refused(err error, r protocol.Rule) {
	x.Helper()
	no, ok := errors.AsType[*protocol.Refusal](err)
	if !ok || no.Rule != r || no.Reason == "" {
		x.Errorf("error %v, want a refusal by %s", err, r)
	}
}

// pem makes a push certificate that is valid from an hour ago.
func (x *tenant) pem(topic string, life time.Duration) []byte {
	x.Helper()
	p, err := certs.MakePush(pushCA(), topic, x.now.Add(-time.Hour).Time(), x.now.Add(life).Time())
	x.must(err)
	b, err := p.PEM()
	x.must(err)
	return b
}

func (x *tenant) upload(topic string, life time.Duration) {
	x.Helper()
	x.must(x.Consent(x.ctx, x.now, server.System, server.ConsentPush))
	_, err := x.UploadPush(x.ctx, x.now, x.pem(topic, life), "", "admin@example.org", false, 0)
	x.must(err)
}

func (x *tenant) wifi(payload string, groups ...string) {
	x.Helper()
	x.must(x.ApplyProfile(x.ctx, x.now, "wifi", protocol.WiFi, "org.wifi", []byte(payload), groups))
}

func (x *tenant) tick() {
	x.Helper()
	x.must(x.Tick(x.ctx, x.now))
}

func (x *tenant) next() protocol.Time {
	x.Helper()
	next, err := x.Next(x.ctx)
	x.must(err)
	return next
}

// later lets time pass and does what is due.
func (x *tenant) later(d time.Duration) {
	x.Helper()
	x.now = x.now.Add(d)
	x.tick()
}

func (x *tenant) journal(what delivery.What) (lines []store.Line) {
	x.Helper()
	all, err := x.store.Journal(x.ctx, store.LineFilter{}, 1<<20)
	x.must(err)
	for _, l := range all {
		if l.What == what {
			lines = append(lines, l)
		}
	}
	return lines
}

// A phone is a device of the tenant, in front of Handle.
type phone struct {
	*tenant
	id     string
	number protocol.Device
	cert   delivery.Fingerprint
	out    delivery.Outcome
}

// claim asks for the certificate of a challenge with a key that nobody had.
func (x *tenant) claim(challenge string) server.Claim {
	x.serial++
	der := fmt.Appendf(nil, "certificate %d", x.serial)
	now := x.now
	return server.Claim{
		Challenge: challenge, Transaction: fmt.Sprintf("t%d", x.serial), Request: sha256.Sum256(der), Key: sha256.Sum256(append([]byte("key"), der...)),
		Make: func(*store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			return der, now.Add(-10 * time.Minute), now.Add(365 * day), nil
		},
	}
}

// newPhone has a certificate that was issued for user and has said nothing yet.
func (x *tenant) newPhone(user delivery.UserID) *phone {
	x.Helper()
	x.ids++
	p := &phone{tenant: x, id: fmt.Sprintf("UDID-%d", x.ids)}
	p.certify(store.Grant{Purpose: delivery.ForEnrolment, User: user})
	return p
}

func (p *phone) certify(g store.Grant) {
	p.Helper()
	challenge, err := p.Grant(p.ctx, p.now, g)
	p.must(err)
	der, err := p.Issue(p.ctx, p.now, p.claim(challenge))
	p.must(err)
	p.cert = sha256.Sum256(der)
}

// says sends one round.
func (p *phone) says(c protocol.CheckIn, m delivery.Message) error {
	p.Helper()
	cred, err := p.Credential(p.ctx, p.cert)
	p.must(err)
	m.CheckIn, m.Credential = c, cred
	return p.Handle(p.ctx, p.now, &delivery.Event{Kind: delivery.CheckInRound, ID: p.id, Message: m}, &p.out)
}

func (p *phone) enrol() error {
	p.Helper()
	err := p.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: protocol.IOS, Topic: topic, Facts: &delivery.Facts{Name: p.id}})
	p.number = p.out.State.Device
	return err
}

func (p *phone) ready(token string) error {
	p.Helper()
	return p.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Topic: topic, Magic: "magic " + token, Token: []byte(token)})
}

// drain holds a conversation in which everything is acknowledged.
func (p *phone) drain() (commands []protocol.Command) {
	p.Helper()
	p.must(p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{}))
	for p.out.Reply.Kind == protocol.Work {
		c := p.out.Reply.Command
		commands = append(commands, c)
		p.must(p.says(protocol.CheckIn{Verb: protocol.Report, Command: c.ID, Status: protocol.Acknowledged}, delivery.Message{}))
	}
	return commands
}

// enrolled is a phone of user that is enrolled and has what it should have.
func (x *tenant) enrolled(user delivery.UserID) *phone {
	x.Helper()
	p := x.newPhone(user)
	p.must(p.enrol())
	p.must(p.ready("token of " + p.id))
	p.tick()
	p.drain()
	return p
}

func (p *phone) state() delivery.State {
	p.Helper()
	r, err := p.store.Record(p.ctx, p.number)
	p.must(err)
	return r.State
}

// since returns the tokens of the pushes after the first n.
func (x *tenant) since(n int) (tokens []string) {
	for _, p := range x.pushes.Sent()[n:] {
		tokens = append(tokens, string(p.Token))
	}
	return tokens
}

func (x *tenant) equal(what string, got, want any) {
	x.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		x.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func fingerprint(der []byte) delivery.Fingerprint { return sha256.Sum256(der) }

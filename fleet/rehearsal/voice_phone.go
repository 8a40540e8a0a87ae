package rehearsal

import (
	"crypto/x509"
	"errors"
	"net/http"
	"slices"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/certs/est"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// A phone is what of a double is Android's.
type phone struct{ device *dialect.Android }

func (x *phone) dialogue() dialogue { return x.device }

// invited has the device ask for its enrolment with a token, up to the certificate.
func (x *phone) invited(f *double) error {
	l, user, mode := f.loop, f.loop.places[f.index].user, android.WorkProfileCompany // which takes orders of both kinds, to leave and to be erased
	if user == 0 {
		mode = android.Dedicated
	}
	token, err := l.server.InviteAndroid(l.ctx, l.Clock(), user, mode, linkLife)
	if no := new(protocol.Refusal); errors.As(err, &no) {
		return nil
	}
	if err == nil {
		err = x.device.Enrol(f.now(), dialect.AndroidStart{URL: wireURL, Token: token, Mode: mode}, &f.act)
	}
	if err != nil {
		return err
	}
	return f.asks()
}

// renewed has the device get its certificate by EST: the first with the challenge that it was given, the next by the one in use.
func (x *phone) renewed(f *double) *x509.Certificate {
	f.said = dialect.Identify
	f.spoke.Messages[dialect.Identify]++
	key, err := certs.GenerateKey(certs.P256)
	var cert *x509.Certificate
	if err == nil {
		e, client := &f.act.EST, est.Client{URL: f.act.EST.URL, HTTP: &http.Client{Transport: &f.edge}}
		if e.Challenge != "" {
			cert, err = client.Enroll(f.loop.ctx, key, e.Subject, e.User, e.Challenge)
		} else {
			var who certs.Signer
			if who, err = x.device.Signer(dialect.Current); err == nil {
				client.HTTP.Transport = &presenting{&f.edge, who.Certificate}
				cert, err = client.Reenroll(f.loop.ctx, key, e.Subject)
			}
		}
	}
	if err != nil {
		f.differs("certificate", "issued", err)
		return nil
	}
	f.issued(cert)
	x.device.GotIdentity(f.now(), key, cert, nil, &f.act)
	return cert
}

// begin has it come by itself where it is due.
func (x *phone) begin(f *double, why dialect.Why) {
	now, due := f.now(), x.device.Due()
	switch { // after a failure it comes by its own rule, and now because the rule has it come
	case why != dialect.Scheduled || due != 0 && due <= now:
	case x.device.Phase() == agent.Enrolling: // whom nobody else can have come
		now = max(now, due)
	default:
		why = dialect.Synced
	}
	x.device.Begin(now, why, &f.act)
}

func (x *phone) pauses(f *double) bool { return f.act.Kind == dialect.GetIdentity }

// hello says the first word under the certificate that it has.
func (x *phone) hello(f *double) error {
	l := f.loop
	if f.act.Kind != dialect.Send || f.act.Request.Step != dialect.CheckIn { // it was turned away before
		return f.turnedAway()
	}
	f.decided = false
	r, err := f.sends()
	if err != nil || !f.decided {
		f.differs("gate", "let in", orStatus(err, &r))
		return l.round()
	}
	if f.broke != nil {
		return f.broke
	}
	f.failed = r.Status != http.StatusOK
	x.device.Answer(f.now(), &r, &f.act)
	return nil
}

// rests holds when it comes again, and what it owes, against the rule.
func (x *phone) rests(f *double) {
	core := f.loop.Device(f.index)
	f.check("next contact", core.Due(), x.device.Due())
	f.check("owing", core.Owes(), x.owes())
	id := x.device.Identity()
	f.check("identity", span(core.Identity().NotBefore, core.Identity().NotAfter), span(id.NotBefore, id.NotAfter))
}

func (x *phone) owes() bool { return x.device.Owes() }

func (x *phone) drops(f *double) (rule, wire protocol.Time) {
	return f.loop.Device(f.index).Drops(), x.device.Drops()
}

func (x *phone) profiles(f *double) (rule, wire []string) {
	for _, p := range f.loop.Device(f.index).Profiles() {
		rule = append(rule, f.loop.server.World().Profiles[p.Content].Identifier+" ("+p.Family.String()+")")
	}
	for _, p := range x.device.Profiles() {
		wire = append(wire, p.Identifier+" ("+p.Family.String()+")")
	}
	slices.Sort(rule)
	slices.Sort(wire)
	return rule, wire
}

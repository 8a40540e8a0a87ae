package rehearsal

import (
	"cmp"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server/authority"
	"rollcall/server/csp"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A pc is what of a double is Windows'. It says its first word with the request for its certificate. It comes when the rule has it come: its
// first polls count from its enrolment, and by rule from its last contact. A renewal begins with the server's order, in a session of which
// that is the end; the next one is under the new identity.
type pc struct {
	device *dialect.Windows
	over   map[overwritten]bool
}

// overwritten is a setting of a profile of the authority before that a new profile has written: it has no end of its own any more, and leaves
// with the new one (AUTH-27). By rule a profile is one thing, and stays.
type overwritten struct {
	profile uint64 // its name
	leaf    string
}

func (x *pc) dialogue() dialogue { return x.device }

// invited has the device ask where and how to enrol.
func (x *pc) invited(f *double) error {
	l, p := f.loop, &f.loop.places[f.index]
	s := dialect.WindowsStart{Discovery: wireURL + windows.DiscoveryPath, Device: p.user == 0, Automatic: p.way == authority.GroupPolicy || p.way == authority.CoManagement}
	if p.user != 0 {
		users := l.server.Content().Users
		at, _ := slices.BinarySearchFunc(users, p.user, func(u store.User, id delivery.UserID) int { return cmp.Compare(u.ID, id) })
		s.Email = users[at].UPN
		x.device.SignIn(f.now(), dialect.LoginUser)
	}
	if p.way == authority.ByUser {
		token, err := l.server.Invite(l.ctx, l.Clock(), p.user, protocol.Windows, linkLife)
		if err != nil {
			return err
		}
		s.Credential = windows.Credential{Kind: windows.Password, Username: s.Email, Password: token}
	} else {
		s.Device, s.Oobe = true, p.way == authority.Autopilot
		s.Credential = windows.Credential{Kind: windows.JWT, Token: []byte(entraToken(s.Email, x.device.DeviceID()))}
	}
	if err := x.device.Enrol(f.now(), s, &f.act); err != nil {
		return err
	}
	return f.asks()
}

// hello asks for the certificate: to that, the server takes the device.
func (x *pc) hello(f *double) error {
	l := f.loop
	if f.act.Kind != dialect.MakeRequest {
		return f.turnedAway()
	}
	f.decided = false
	r, err := x.request(f)
	switch {
	case err != nil:
		f.differs("gate", "let in", err)
		return l.round()
	case !f.decided: // a gate was shut: it must be by rule as well
		x.device.Answer(f.now(), r, &f.act)
		f.failed = true
		return f.turnedAway()
	case f.broke != nil:
		return f.broke
	}
	f.failed = r.Status != http.StatusOK
	x.device.Answer(f.now(), r, &f.act)
	if f.failed != (l.out.Refusal.Rule != "") || !f.failed && x.device.Phase() != agent.Enrolled {
		f.differs("enrolment", cmp.Or(string(l.out.Refusal.Rule), "let in"), cmp.Or(f.wants(), r.ContentType))
	}
	return nil
}

// request makes the key and the request that the device wants, and sends it.
func (x *pc) request(f *double) (*dialect.Response, error) {
	f.said = dialect.Certify
	want := &f.act.CSR
	key, err := certs.GenerateKey(certs.P256)
	var old certs.Signer
	if err == nil && want.Renews {
		f.spoke.Signatures++
		old, err = x.device.Signer(dialect.Current)
	}
	var der []byte
	if err == nil {
		der, err = want.Sign(key, old)
	}
	if err != nil {
		return nil, err
	}
	x.device.GotRequest(f.now(), key, der, nil, &f.act)
	if f.act.Kind != dialect.Send {
		return nil, errors.New(f.wants())
	}
	r, err := f.sends()
	return &r, err
}

// begin has it come, whether its own poll sets do or not.
func (x *pc) begin(f *double, why dialect.Why) {
	if why == dialect.Scheduled {
		why = dialect.Synced
	}
	x.device.Begin(f.now(), why, &f.act)
}

// pauses tells whether the server has ordered a renewal, which comes after the session.
func (x *pc) pauses(f *double) bool {
	due := x.device.Due()
	return f.act.Kind == dialect.Rest && f.act.Err == nil && x.device.Phase() == agent.Enrolled && due != 0 && due <= f.now()
}

// renewed renews the identity, and opens a session under the new one.
func (x *pc) renewed(f *double) *x509.Certificate {
	was := x.device.Identity()
	x.device.Begin(f.now(), dialect.Scheduled, &f.act)
	err := f.asks()
	if err == nil && f.act.Kind == dialect.MakeRequest {
		var r *dialect.Response
		if r, err = x.request(f); err == nil {
			x.device.Answer(f.now(), r, &f.act)
		}
	}
	cert, parseErr := x509.ParseCertificate(x.device.Certificate(dialect.Current))
	if err = errors.Join(err, parseErr, f.act.Err); err != nil || x.device.Identity() == was {
		f.differs("certificate", "renewed", cmp.Or(text(err), f.wants()))
		return nil
	}
	f.issued(cert)
	f.again = true
	x.device.Begin(f.now(), dialect.Synced, &f.act)
	return cert
}

// longestPoll is the longest of the poll sets that the server gives.
const longestPoll = 8 * time.Hour

// rests holds it against the rule that it comes again within the cadence.
func (x *pc) rests(f *double) {
	if due := x.device.Due(); due == 0 || due > f.now().Add(longestPoll) {
		f.differs("next contact", "within "+longestPoll.String(), due)
	}
	core, id := f.loop.Device(f.index), x.device.Identity()
	f.check("identity", span(core.Identity().NotBefore, core.Identity().NotAfter), span(id.NotBefore, id.NotAfter))
}

// owes says no: its sessions keep nothing for the next.
func (x *pc) owes() bool { return false }

// drops are of the profiles themselves: a device that got another in the same conversation looks after the first all the same.
func (x *pc) drops(f *double) (rule, wire protocol.Time) {
	x.overwrites(f)
	for _, p := range f.loop.Device(f.index).Profiles() {
		if slices.ContainsFunc(writtenBy(f, &p), func(c *windows.Command) bool { return !x.over[overwritten{p.Name, c.Items[0].Target}] }) {
			rule = rule.Sooner(p.Until)
		}
	}
	for _, p := range x.device.Profiles() {
		wire = wire.Sooner(p.Until)
	}
	return rule, wire
}

// profiles are the nodes of the profiles that it has by rule, and those that are there; a node whose value is another counts as not there.
func (x *pc) profiles(f *double) (rule, wire []string) {
	for _, p := range x.device.Profiles() {
		wire = append(wire, p.Node)
	}
	x.overwrites(f)
	for _, p := range f.loop.Device(f.index).Profiles() {
		for _, c := range writtenBy(f, &p) {
			target := c.Items[0].Target
			if x.over[overwritten{p.Name, target}] {
				continue
			}
			at := slices.IndexFunc(wire, func(node string) bool { return strings.HasPrefix(target, node+"/") || target == node })
			value, there := x.device.Setting(target)
			if at >= 0 && there && value == c.Items[0].Data {
				target = wire[at]
			}
			rule = append(rule, target)
		}
	}
	slices.Sort(rule)
	return slices.Compact(rule), wire
}

// overwrites notes what new profiles have written of those that have an end.
func (x *pc) overwrites(f *double) {
	fresh := map[string]bool{}
	for _, ends := range []bool{false, true} {
		for _, p := range f.loop.Device(f.index).Profiles() {
			if ends != (p.Until != 0) {
				continue
			}
			for _, c := range writtenBy(f, &p) {
				switch leaf := c.Items[0].Target; {
				case !ends:
					fresh[leaf] = true
					delete(x.over, overwritten{p.Name, leaf})
				case fresh[leaf]:
					if x.over == nil {
						x.over = map[overwritten]bool{}
					}
					x.over[overwritten{p.Name, leaf}] = true
				}
			}
		}
	}
}

// writtenBy are the commands of a profile that write a leaf; none: nothing of it has a counterpart.
func writtenBy(f *double, p *agent.Profile) []*windows.Command {
	read, err := csp.Read(f.loop.server.World().Profiles[p.Content].Payload)
	if err != nil {
		return nil
	}
	return leavesOf(read.Commands)
}

// leavesOf are the commands that write a leaf.
func leavesOf(commands []windows.Command) (out []*windows.Command) {
	for i := range commands {
		switch c := &commands[i]; {
		case c.Verb == windows.Atomic:
			out = append(out, leavesOf(c.Commands)...)
		case (c.Verb == windows.Add || c.Verb == windows.Replace) && c.Items[0].Meta.Format != windows.FormatNode:
			out = append(out, c)
		}
	}
	return out
}

// entraToken stands for a token of the directory's that a device enrols with by itself: whose it is, and of which device.
func entraToken(upn, device string) string { return upn + " " + device }

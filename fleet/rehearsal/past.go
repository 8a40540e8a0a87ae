package rehearsal

import (
	"crypto/sha256"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/server/store"
)

// What follows has a loop begin with what is older than itself. The server finds it so from its next Restart on.

// ages gives a device that is enrolled another identity, and has the server have heard of it last when it was seen; 0: as it was.
func (l *Loop) ages(i int, id agent.Identity, seen protocol.Time) {
	p := &l.places[i]
	s := l.store.Lend(p.number)
	if cert := l.voices.ages(i, id); cert != nil {
		older := *p.cert
		older.Fingerprint = sha256.Sum256(cert.Raw)
		p.cert, s.Identity.Fingerprint = l.store.Admit(&older), older.Fingerprint
	}
	p.cert.NotBefore, p.cert.NotAfter = id.NotBefore, id.NotAfter
	s.Identity.NotBefore, s.Identity.NotAfter = id.NotBefore, id.NotAfter
	l.devices[i].SetIdentity(id)
	if seen != 0 {
		s.LastSeen = seen
	}
}

// openGap has the gap be open since a moment.
func (l *Loop) openGap(since protocol.Time) error {
	campaign := l.server.Content().Campaign
	campaign.Gap = since
	return l.store.Apply(l.ctx, l.Clock(), &store.Change{Campaign: &campaign})
}

// endPush has the push certificate in use have ended at a moment.
func (l *Loop) endPush(at protocol.Time) error {
	content := l.server.Content()
	cert := *content.Latest()
	cert.NotAfter = at
	return l.store.Apply(l.ctx, l.Clock(), &store.Change{Push: &cert})
}

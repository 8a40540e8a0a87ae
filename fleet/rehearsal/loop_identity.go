package rehearsal

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// invite gets the device an identity to enrol with.
func (l *Loop) invite(i int) error {
	p := &l.places[i]
	delete(l.renewed, i)
	v, f := l.voices.of(i), l.voices.double(i)
	if v != nil || l.cfg.plain && f.silent() {
		challenge, err := l.server.Grant(l.ctx, l.Clock(), store.Grant{Purpose: delivery.ForEnrolment, User: p.user, ID: p.id, Automated: p.automated})
		if err != nil {
			return err
		}
		if v != nil {
			v.fetches(challenge)
		}
		return l.certify(i, challenge)
	}
	key, id := l.identity()
	if cert := f.invites(&id); cert != nil {
		l.identified(i, cert.Raw)
		return nil
	}
	c := delivery.Credential{Identity: id, Purpose: delivery.ForEnrolment, User: p.user, ID: p.id, Automated: p.automated}
	if l.store.Lend(p.number) != nil {
		c.Device = p.number
	}
	c.Fingerprint = sha256.Sum256(key[:])
	l.install(i, l.store.Admit(&c))
	return nil
}

// identity is the next identity, and its key.
func (l *Loop) identity() (key [32]byte, id delivery.Identity) {
	l.issued++
	binary.BigEndian.PutUint64(key[:], l.issued)
	now := l.Clock()
	now -= now % perSecond // as X.509 keeps it
	id.NotBefore, id.NotAfter = now.Add(-certs.Backdate), now.Add(l.cfg.Lifetime)
	return key, id
}

// topicOf is which of the loop's topics one is.
func (l *Loop) topicOf(topic string) uint16 {
	i := slices.Index(l.topics, topic)
	if i < 0 {
		i = len(l.topics)
		l.topics = append(l.topics, topic)
	}
	return uint16(i)
}

// certify gets the device the identity that a challenge stands for.
func (l *Loop) certify(i int, challenge string) error {
	key, id := l.identity()
	if v := l.voices.of(i); v != nil {
		if cert := v.identifies(challenge, &id); cert != nil {
			l.identified(i, cert.Raw)
			return nil
		}
	}
	if cert := l.voices.double(i).renews(&id); cert != nil {
		l.identified(i, cert.Raw)
		return nil
	}
	der, err := l.server.Issue(l.ctx, l.Clock(), server.Claim{
		Challenge: challenge, Request: key, Key: key,
		Make: func(*store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			return key[:], id.NotBefore, id.NotAfter, nil
		},
	})
	if err != nil {
		return err
	}
	l.identified(i, der)
	return nil
}

// identified gives the device the certificate that the server has issued. In a renewal the old one stands until the server has
// taken the first word of the new.
func (l *Loop) identified(i int, der []byte) {
	l.stale = true
	cert := l.store.LendCredential(sha256.Sum256(der))
	if l.devices[i].Phase() == agent.Enrolled {
		l.renewed[i] = cert
		return
	}
	l.install(i, cert)
}

// install has the device use an identity from now on.
func (l *Loop) install(i int, cert *delivery.Credential) {
	l.places[i].cert, l.places[i].settled = cert, false
	l.devices[i].SetIdentity(agent.Identity{NotBefore: cert.NotBefore, NotAfter: cert.NotAfter})
}

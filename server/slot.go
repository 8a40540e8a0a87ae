package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/renewal"
	"rollcall/server/store"
)

// A PushUpload is what an upload of a push certificate did or would do.
type PushUpload struct {
	First      bool     // there was none
	OtherTopic bool     // than the present one: AUTH-32
	ClosesGap  bool     // AUTH-31
	Stranded   int      // enrolled Apple devices that the new topic cannot reach
	Preview    *Preview // what it does to all devices; nil: it was refused before that was looked at
}

// UploadPush takes data (see certs.ReadPush) as the push certificate of the slot of the authority in force (AUTH-34). One
// with another topic than the devices know is refused without confirm (AUTH-32), and needs, in count, the number of
// devices that it strands; they count against what an hour may do (HST-071). The result says what it does, also when it
// is refused. An upload closes the gap, and held wake-ups go out at once (AUTH-31); so do those of devices whose topic is
// back.
func (s *Server) UploadPush(ctx context.Context, now protocol.Time, data []byte, password, appleID string, confirm bool, count int) (PushUpload, error) {
	return s.takePush(ctx, now, data, password, appleID, count, func(context.Context, *PushUpload) (bool, error) { return confirm, nil })
}

// UploadPushShown is UploadPush of what was previewed: id is that of PreviewPush for the same upload, or empty. Where something
// else would happen now, it is refused and the difference named (HST-070).
func (s *Server) UploadPushShown(ctx context.Context, now protocol.Time, data []byte, password, appleID, id string, count int) (PushUpload, error) {
	return s.takePush(ctx, now, data, password, appleID, count, func(ctx context.Context, up *PushUpload) (bool, error) {
		if id == "" {
			return false, nil
		}
		return true, s.confirmed(ctx, now, up.Preview, id)
	})
}

// takePush takes a certificate. Confirmed tells whether the administrator means what it does.
func (s *Server) takePush(ctx context.Context, now protocol.Time, data []byte, password, appleID string, count int, confirmed func(context.Context, *PushUpload) (bool, error)) (up PushUpload, err error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	who := Actor{actorIn(ctx), store.GlobalAdministrator}
	err = s.attempt(ctx, now, who, "push certificate", true, func(ctx context.Context) error {
		up, err = s.uploadPush(ctx, now, data, password, appleID, func(ctx context.Context, up *PushUpload, topic string) error {
			means, err := confirmed(ctx, up)
			switch {
			case err != nil || !up.OtherTopic:
				return err
			case !means:
				if up.Preview != nil {
					s.keepShown(ctx, now, up.Preview)
				}
				return refuse(protocol.RuleOtherTopic, "the certificate has another topic than the present one: %d devices could not be reached any more and would have to enrol again", up.Stranded)
			}
			return s.strands(ctx, now, up.Stranded, count, "the certificate has another topic than the present one and", "a push certificate with topic "+topic+" is about to be taken")
		})
		return err
	})
	return up, err
}

// A consenter consents to an upload, or refuses it.
type consenter func(ctx context.Context, up *PushUpload, topic string) error

// errPreviewed ends an upload that was only to be previewed.
var errPreviewed = errors.New("previewed")

// PreviewPush says what an upload would do, and changes nothing (AUTH-35); one that would be refused whoever confirmed it
// comes back as its refusal.
func (s *Server) PreviewPush(ctx context.Context, now protocol.Time, data []byte, password string) (PushUpload, error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	up, err := s.uploadPush(ctx, now, data, password, "", nil)
	if errors.Is(err, errPreviewed) {
		err = nil
		s.keepShown(ctx, now, up.Preview)
	}
	return up, err
}

// uploadPush takes a certificate; without consent it stops before that.
func (s *Server) uploadPush(ctx context.Context, now protocol.Time, data []byte, password, appleID string, consent consenter) (up PushUpload, err error) {
	content := s.Content()
	read, err := s.readPush(data, password)
	if err != nil {
		return up, err
	}
	key, err := certs.KeyPEM(read.Key)
	if err != nil {
		return up, err
	}
	if content.Tenant.Authority == protocol.Unknown {
		return up, refuse(protocol.RuleUnset, "no authority is set yet, so there is no slot for a push certificate")
	}
	if len(content.Push) == 0 { // its first use
		if err := s.needsConsent(ConsentPush); err != nil {
			return up, err
		}
	}
	cert := store.PushCertificate{
		Slot: content.Tenant.Slot(), Topic: read.Topic, AppleID: appleID, UploadedAt: now,
		NotBefore: protocol.At(read.Certificate.NotBefore), NotAfter: protocol.At(read.Certificate.NotAfter),
		Certificate: certs.CertificatesPEM(append([]*x509.Certificate{read.Certificate}, read.Chain...)...), Key: key,
	}
	var present renewal.Push
	up.First = content.Latest() == nil
	if p := content.Latest(); p != nil { // in the gap it is another slot's: that one is to be renewed
		cert.UploadedAt = max(now, p.UploadedAt+1) // the clock may have been set back since (HST-110)
		present = renewal.Push{Topic: p.Topic, NotBefore: p.NotBefore, NotAfter: p.NotAfter}
		if cert.AppleID == "" && p.Topic == cert.Topic {
			cert.AppleID = p.AppleID // renewed under the same one
		}
	}
	other, no := renewal.CheckUpload(now, present, renewal.Push{Topic: cert.Topic, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter})
	if no != nil {
		return up, no
	}
	up.OtherTopic = other
	rule, detail := protocol.RuleUpload, "topic "+cert.Topic+", valid until "+cert.NotAfter.String()
	back := false // devices were enrolled with this topic before
	if other {
		err := s.store.States(ctx, func(st *delivery.State) {
			switch {
			case st.Life != delivery.Enrolled || !st.Platform.Apple():
			case st.Push.Topic == cert.Topic:
				back = true
			default:
				up.Stranded++
			}
		})
		if err != nil {
			return up, err
		}
		rule = protocol.RuleOtherTopic
		detail += fmt.Sprintf(", another one: %d devices stranded", up.Stranded)
	}
	c := store.Change{Push: &cert, Lines: line(delivery.WhatPushCertificate, rule, detail)}
	since := content.Campaign.Gap
	passed := s.wakesOthers() && content.Campaign.Wakes.From != 0 && !s.World().Push.Usable(now) // a change's wake-ups went on without Apple's devices
	if since != 0 || back || passed {
		c.Campaign = &store.Campaign{Wakes: s.wakes(now)}
	}
	if up.ClosesGap = since != 0; up.ClosesGap {
		c.Lines = append(c.Lines, line(delivery.WhatGapClosed, protocol.RuleGapClosed, "it was open since "+since.String())...)
	}
	if consent == nil || !s.cfg.Unseen {
		if up.Preview, err = s.planPush(ctx, now, content, content.With(&c)); err != nil {
			return up, err
		}
	}
	if consent == nil {
		return up, errPreviewed
	}
	if err := consent(ctx, &up, cert.Topic); err != nil {
		return up, err
	}
	if err := s.change(ctx, now, &c); err != nil {
		return up, err
	}
	s.outbox.held.Store(false)
	s.outbox.nudge()
	return up, nil
}

// planPush previews an upload: who is held no more (AUTH-31), who still is, and who is stranded.
func (s *Server) planPush(ctx context.Context, now protocol.Time, before, after *store.Content) (*Preview, error) {
	was, err := s.look(ctx, now, before, before)
	if err != nil {
		return nil, err
	}
	return s.plan(ctx, now, before, after, step{what: "push certificate " + inUse(after).Topic, blocked: was.Blocked})
}

// readPush reads an upload: a certificate with its key, or one for a key that PushCSR made, whichever slot that was asked for: a
// request may be made before the change of authority that needs the certificate (AUTH-30).
func (s *Server) readPush(data []byte, password string) (*certs.Push, error) {
	if !bytes.Contains(data, []byte("-----BEGIN CERTIFICATE-----")) || bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return certs.ReadPush(data, password)
	}
	content := s.Content()
	for _, slot := range [...]protocol.Authority{protocol.Intune, protocol.SCCM, protocol.Office365} {
		key := content.Secrets[pendingKey(slot)]
		if key == nil {
			continue
		}
		read, err := certs.ReadPush(append(append(bytes.Clone(data), '\n'), key...), password)
		if !errors.Is(err, certs.ErrKeyMismatch) {
			return read, err
		}
	}
	return nil, refuse(protocol.RuleUpload, "the certificate comes without its private key, and is for none that the latest certificate requests of this server were made with: "+
		"add the key to the file, or make a request (rollcall apns csr) and upload the certificate for that one")
}

// usePushCertificate tells who sends wake-ups under which certificate.
func (s *Server) usePushCertificate(cert *store.PushCertificate) error {
	if s.cfg.SetPushCertificate == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(cert.Certificate, cert.Key)
	if err != nil {
		return fmt.Errorf("push certificate: %w", err)
	}
	s.cfg.SetPushCertificate(pair, cert.Topic)
	return nil
}

// PushStatus returns the push certificate in use, nil: none, and the warning of renewal.Warning.
func (s *Server) PushStatus(now protocol.Time) (cert *store.PushCertificate, warning int) {
	content := s.Content()
	cert = inUse(content)
	if cert == nil {
		return nil, 0
	}
	return cert, renewal.Warning(now, cert.NotAfter, content.Settings.PushWarnings)
}

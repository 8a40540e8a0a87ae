package conformance

import (
	"context"
	"crypto/x509"
	"sync"
	"time"

	"rollcall/certs"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// portal makes push certificates, as Apple's portal does for whoever asks with the same Apple ID. Only a simulated push
// service takes them.
var portal = sync.OnceValues(func() (*certs.Authority, error) {
	return certs.NewAuthority(certs.P256, "rollcall conform push", time.Now().AddDate(-1, 0, 0))
})

// makePush makes a push certificate with its key, as PEM.
func makePush(topic string, from, until time.Time) ([]byte, error) {
	ca, err := portal()
	if err != nil {
		return nil, err
	}
	p, err := certs.MakePush(ca, topic, from, until)
	if err != nil {
		return nil, err
	}
	return p.PEM()
}

// pushPEM is makePush in a check.
func (a *asking) pushPEM(topic string, from, until time.Time) []byte {
	pem, err := makePush(topic, from, until)
	if err != nil {
		a.unasked("no push certificate: %v", err)
	}
	return pem
}

// restorePush leaves the server with a good push certificate, whatever became of a check.
func (r *run) restorePush(ctx context.Context, topic string) {
	until := r.now().AddDate(0, 0, 500)
	if r.Steps.PushState != nil {
		if state, err := r.Steps.PushState(ctx); err == nil && !until.After(state.NotAfter.Time()) {
			until = state.NotAfter.Time().AddDate(0, 0, 1)
		}
	}
	if pem, err := makePush(topic, r.now().Add(-time.Hour), until); err == nil {
		_ = r.Steps.UploadPush(ctx, pem, true) // whoever comes next will say so
	}
}

// topicless is a certificate with its key that is none for pushes.
func (a *asking) topicless(now time.Time) []byte {
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		a.unasked("no key: %v", err)
	}
	c := selfSigned(a, key, "APSP:none", func(t *x509.Certificate) { t.NotAfter = now.Add(a.days(700)) })
	pem, err := certs.KeyPEM(key)
	if err != nil {
		a.unasked("no key: %v", err)
	}
	return append(certs.CertificatesPEM(c), pem...)
}

// upload gives the server a push certificate and returns its refusal.
func (a *asking) upload(pem []byte, confirm bool) error {
	a.needs(a.Steps.UploadPush != nil, "upload a push certificate")
	ctx, cancel := a.administrator()
	defer cancel()
	err := a.Steps.UploadPush(ctx, pem, confirm)
	a.pass(time.Second) // no two uploads at the same moment
	return err
}

// pushState is what the server says of its push certificate.
func (a *asking) pushState() target.Push {
	a.needs(a.Steps.PushState != nil, "tell about its push certificate")
	ctx, cancel := a.administrator()
	defer cancel()
	s, err := a.Steps.PushState(ctx)
	if err != nil {
		a.unasked("the push certificate: %v", err)
	}
	return s
}

// present is the topic of the push certificate in use, and when that ends; zero: the server does not tell.
func (a *asking) present() (topic string, notAfter time.Time) {
	if a.Steps.PushState == nil {
		return a.invited(protocol.IOS).mdm.Topic, time.Time{}
	}
	s := a.pushState()
	return s.Topic, s.NotAfter.Time()
}

// keeps wants the server to tell of the same topic as before, where it does.
func (a *asking) keeps(topic, after string) {
	if a.Steps.PushState == nil {
		return
	}
	if got := a.pushState().Topic; got != topic {
		a.fail("after %s the topic is %q, was %q", after, got, topic)
	}
}

// alarmed tells whether the server says that something is wrong with its push certificate.
func (a *asking) alarmed() bool {
	s := a.pushState()
	return s.Suspended || len(s.Warnings) > 0
}

// freshPush renews a push certificate that would end soon, under its topic.
func (a *asking) freshPush() {
	s := a.pushState()
	if s.NotAfter.Time().After(a.now().AddDate(0, 0, 400)) {
		return
	}
	if err := a.upload(a.pushPEM(s.Topic, a.now().Add(-time.Hour), a.now().AddDate(0, 0, 500)), false); err != nil {
		a.unasked("the push certificate could not be renewed: %v", err)
	}
}

// days are days on a server whose clock can be set, and seconds elsewhere.
func (a *asking) days(n float64) time.Duration {
	if a.Steps.Step != nil {
		return time.Duration(n * 24 * float64(time.Hour))
	}
	return time.Duration(n * float64(time.Second))
}

// wait lets time go by, really where it cannot be set.
func (a *asking) wait(d time.Duration) {
	if a.Steps.Step == nil {
		a.sleep(d)
		return
	}
	a.pass(d)
}

// endsIn sees to it that the push certificate ends in d. One that ends sooner than the present one is taken only behind
// one with another topic. It returns the topic.
func (a *asking) endsIn(d time.Duration) string {
	a.needs(a.Steps.UploadPush != nil, "upload a push certificate")
	topic, end := a.present()
	a.restore = func(ctx context.Context) { a.restorePush(ctx, topic) }
	until := a.now().Add(d).Truncate(time.Second)
	if !until.After(end) {
		if err := a.upload(a.pushPEM(topic+".other", a.now().Add(-time.Hour), until), true); err != nil {
			a.unasked("the push certificate could not be replaced by one that ends sooner: %v", err)
		}
	}
	if err := a.upload(a.pushPEM(topic, a.now().Add(-time.Hour), until), true); err != nil {
		a.unasked("the push certificate could not be replaced: %v", err)
	}
	return topic
}

// renewed uploads a renewed certificate of the topic.
func (a *asking) renewed(topic string) {
	until := a.now().Add(a.days(500)).Truncate(time.Second)
	if _, end := a.present(); !until.After(end) {
		until = end.Add(a.days(1))
	}
	if err := a.upload(a.pushPEM(topic, a.now().Add(-time.Hour), until), false); err != nil {
		a.fail("a renewed certificate with the same topic was refused: %v", err)
	}
}

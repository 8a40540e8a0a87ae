package link

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/certs/est"
	"rollcall/certs/scep"
)

// identify makes a key and obtains its certificate by SCEP (apple.md section 3.3) or EST (android.md section 9), or is given both.
func (c *conversation) identify(ctx context.Context) (crypto.Signer, *x509.Certificate, error) {
	x := Exchange{Step: dialect.Identify, Status: http.StatusOK, Begun: time.Now()}
	defer func() {
		x.Took = time.Since(x.Begun)
		c.watch(&x)
	}()
	var key crypto.Signer
	var certificate *x509.Certificate
	var err error
	apple, isApple := c.device.(*dialect.Apple)
	switch mint := c.link.config.Identity; {
	case mint != nil && isApple:
		key, certificate, err = mint(apple, &c.act.SCEP)
	case c.act.EST.URL != "":
		key, certificate, err = c.est(ctx)
	default:
		key, certificate, err = c.scep(ctx)
	}
	if err != nil {
		x.Status, x.Err = 0, err
		if status, ok := errors.AsType[*scep.StatusError](err); ok {
			x.Status = status.Status
		} else if status, ok := errors.AsType[*est.StatusError](err); ok {
			x.Status = status.Status
		}
	}
	return key, certificate, err
}

// est makes a P-256 key and obtains its certificate by EST: the first with name and challenge, the next over a connection of the identity
// in use, or with its certificate in a header.
func (c *conversation) est(ctx context.Context) (key crypto.Signer, certificate *x509.Certificate, err error) {
	l, e := c.link, &c.act.EST
	trust, err := l.trusts.of(&l.config, c.act.Trust)
	if err != nil {
		return nil, nil, err
	}
	if key, err = c.newKey(&dialect.SCEP{URL: e.URL, Subject: e.Subject, Challenge: e.Challenge}); err != nil {
		return nil, nil, err
	}
	client := est.Client{URL: e.URL, HTTP: trust.client}
	if e.Challenge != "" {
		certificate, err = client.Enroll(ctx, key, e.Subject, e.User, e.Challenge)
		return key, certificate, err
	}
	signer, err := c.device.Signer(dialect.Current)
	if err != nil {
		return nil, nil, err
	}
	if name := l.config.CertificateHeader; name != "" {
		client.Header = http.Header{name: {inHeader(signer.Certificate.Raw)}}
		certificate, err = client.Reenroll(ctx, key, e.Subject)
		return key, certificate, err
	}
	transport := trust.client.Transport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{signer.Certificate.Raw}, PrivateKey: signer.Key, Leaf: signer.Certificate}, nil
	}
	client.HTTP = &http.Client{Transport: transport, Timeout: trust.client.Timeout, CheckRedirect: trust.client.CheckRedirect}
	certificate, err = client.Reenroll(ctx, key, e.Subject)
	return key, certificate, err
}

// newKey makes the P-256 key of an identity, or returns the one that was made for it; a renewal after it has another.
func (c *conversation) newKey(s *dialect.SCEP) (crypto.Signer, error) {
	attested := c.attested
	c.attested = nil
	switch made := c.link.config.Keys; {
	case attested != nil:
		return attested, nil
	case made != nil:
		return made(c.device, s)
	}
	return certs.GenerateKey(certs.P256)
}

func (c *conversation) scep(ctx context.Context) (crypto.Signer, *x509.Certificate, error) {
	l, s := c.link, &c.act.SCEP
	trust, err := l.trusts.of(&l.config, c.act.Trust)
	if err != nil {
		return nil, nil, err
	}
	request := scep.EnrolRequest{
		Subject: s.Subject, Extensions: s.KeyUsage, Challenge: s.Challenge, Retries: s.Retries, RetryDelay: s.RetryDelay,
		Now: l.config.Now(),
	}
	if _, is := c.device.(*dialect.Android); is && s.Challenge == "" { // a renewal
		current, err := c.device.Signer(dialect.Current)
		if err != nil {
			return nil, nil, err
		}
		request.Renew = &current
	}
	var own *rsa.PrivateKey
	if c.attested == nil {
		if own, err = l.rsaKey(c.device); err != nil {
			return nil, nil, err
		}
	}
	if own != nil {
		request.Key = own
	} else {
		if request.Transport, err = l.transport(); err != nil {
			return nil, nil, err
		}
		if request.Key, err = c.newKey(s); err != nil {
			return nil, nil, err
		}
	}
	client := scep.Client{URL: s.URL, Name: s.Name, CAFingerprint: s.CAFingerprint, HTTP: trust.client, Cache: &l.cas}
	certificate, err := client.Enrol(ctx, request)
	return request.Key, certificate, err
}

// rsaKey is the RSA key of d's next identity; nil: it is to be another.
func (l *Link) rsaKey(d Device) (*rsa.PrivateKey, error) {
	if l.config.RSAKeys == nil {
		return nil, nil
	}
	key, err := l.config.RSAKeys(d)
	if err != nil {
		err = fmt.Errorf("RSA key: %w", err)
	}
	return key, err
}

// transport returns the transport key whose turn it is.
func (l *Link) transport() (*scep.Transport, error) {
	l.first.Do(func() {
		if len(l.transports) > 0 {
			return
		}
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err == nil {
			var t *scep.Transport
			if t, err = scep.NewTransport(key, l.config.Now()); err == nil {
				l.transports = []*scep.Transport{t}
			}
		}
		l.firstErr = err
	})
	if l.firstErr != nil {
		return nil, fmt.Errorf("transport key: %w", l.firstErr)
	}
	return l.transports[int(l.turn.Add(1))%len(l.transports)], nil
}

package link

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"io"
	"net/http"
	"time"

	"rollcall/agent/dialect"
	"rollcall/certs"
)

// csr makes a key and the request for its certificate that a Windows device wants.
func (c *conversation) csr() (key crypto.Signer, der []byte, err error) {
	l, want := c.link, &c.act.CSR
	kept := l.config.Keys != nil
	big, err := l.rsaKey(c.device)
	switch {
	case err != nil:
	case big != nil:
		key = big
	case kept:
		key, err = l.config.Keys(c.device, &dialect.SCEP{})
	default:
		key, err = certs.GenerateKey(certs.P256)
	}
	if err != nil {
		return nil, nil, err
	}
	var old certs.Signer
	if want.Renews {
		if old, err = c.device.Signer(dialect.Current); err != nil {
			return nil, nil, err
		}
	}
	der, err = want.Sign(key, old)
	if own, ok := key.(*ecdsa.PrivateKey); ok && err == nil && kept && l.config.Requests != nil {
		der, err = l.config.Requests(own, der)
	}
	return key, der, err
}

var errNobody = errors.New("nobody is there to sign in")

func (c *conversation) signIn(ctx context.Context) ([]byte, error) {
	if c.link.config.SignIn == nil {
		return nil, errNobody
	}
	return c.link.config.SignIn(ctx, c.device, c.act.Page)
}

// plainly asks over plain HTTP whether there is a redirect to follow (windows.md section 1). Nothing of the device's goes out.
func (c *conversation) plainly(ctx context.Context, r *dialect.Request) (dialect.Response, error) {
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, nil)
	if err != nil {
		return dialect.Response{}, err
	}
	request.Header.Set("User-Agent", r.UserAgent)
	transport := &http.Transport{DialContext: c.link.config.Dial, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader}
	client := http.Client{
		Transport: transport, Timeout: c.link.config.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(request)
	if err != nil {
		return dialect.Response{}, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxHeader))
	return dialect.Response{
		Status: resp.StatusCode, Location: resp.Header.Get("Location"), RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}, err
}

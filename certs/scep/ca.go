package scep

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"

	"rollcall/certs"
)

// Errors of [Client.Enrol] beside [*Failure], [ErrPending], [*StatusError] and those of the network.
var (
	ErrCA     = errors.New("SCEP: the CA is not to be trusted") // fingerprint, or a registration authority of another CA
	ErrCaps   = errors.New("SCEP: the CA does not have the required capability")
	ErrAnswer = errors.New("SCEP: answer refused") // an acceptance check of APL-009 failed; the text says which
)

// An authority is what GetCACaps and GetCACert told.
type authority struct {
	caps         map[string]bool
	certificates []*x509.Certificate // the CA and what it vouches for; one of them must sign each answer
	ca           *x509.Certificate
	recipient    *x509.Certificate // what requests are encrypted to
}

// fetch asks for capabilities and certificates.
func (c *Client) fetch(ctx context.Context) (*authority, error) {
	a := &authority{caps: make(map[string]bool)}
	// An error or an empty answer means no capabilities (RFC 8894, section 3.5.1), but no network is no answer.
	body, _, err := c.get(ctx, "GetCACaps", c.Name)
	if status := (*StatusError)(nil); err != nil && !errors.As(err, &status) {
		return nil, err
	}
	for _, word := range strings.Fields(string(body)) {
		a.caps[word] = true
	}
	if !a.caps["SCEPStandard"] && !(a.caps["AES"] && (a.caps["SHA-256"] || a.caps["SHA-512"])) {
		return nil, fmt.Errorf("%w: neither SCEPStandard nor AES with SHA-256", ErrCaps)
	}
	body, contentType, err := c.get(ctx, "GetCACert", c.Name)
	if err != nil {
		return nil, err
	}
	if media, _, _ := mime.ParseMediaType(contentType); media == typeCARA {
		a.certificates, err = certs.ParseDegenerate(body)
	} else {
		var one *x509.Certificate
		one, err = x509.ParseCertificate(body)
		a.certificates = []*x509.Certificate{one}
	}
	if err != nil {
		return nil, fmt.Errorf("SCEP: GetCACert: %w", err)
	}
	return a, a.choose()
}

// choose tells CA and recipient apart. A certificate that the CA did not sign makes the whole set suspect.
func (a *authority) choose() error {
	for _, c := range a.certificates {
		if c.IsCA && a.ca == nil {
			a.ca = c
		}
	}
	if a.ca == nil && len(a.certificates) == 1 {
		a.ca = a.certificates[0] // some old CAs do not say that they are one
	}
	if a.ca == nil {
		return fmt.Errorf("%w: no CA among %d certificates", ErrCA, len(a.certificates))
	}
	for _, c := range a.certificates {
		if c == a.ca {
			continue
		}
		if !c.IsCA && c.CheckSignatureFrom(a.ca) != nil {
			return fmt.Errorf("%w: registration authority %.80q is not the CA's", ErrCA, c.Subject.CommonName)
		}
		if _, ok := c.PublicKey.(*rsa.PublicKey); ok && !c.IsCA && (c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageKeyEncipherment != 0) {
			a.recipient = c
		}
	}
	if a.recipient == nil {
		a.recipient = a.ca
	}
	return nil
}

// check compares the CA with a fingerprint: MD5, SHA-1 or SHA-256 by its length (apple.md section 2.3). The
// weak ones are the profile's choice.
func (a *authority) check(fingerprint []byte) error {
	var got []byte
	switch len(fingerprint) {
	case 0:
		return nil
	case md5.Size:
		h := md5.Sum(a.ca.Raw)
		got = h[:]
	case sha1.Size:
		h := sha1.Sum(a.ca.Raw)
		got = h[:]
	case sha256.Size:
		h := sha256.Sum256(a.ca.Raw)
		got = h[:]
	}
	if !bytes.Equal(got, fingerprint) {
		return fmt.Errorf("%w: fingerprint %x, want %x", ErrCA, got, fingerprint)
	}
	return nil
}

// A CACache remembers what GetCACaps and GetCACert told, for clients that share it; whoever comes first
// asks, the others wait. The zero CACache is ready. Failures are not remembered, and an answer signed by
// somebody else makes it ask again.
type CACache struct {
	mu      sync.Mutex
	entries map[string]*cacheEntry
}

type cacheEntry struct {
	turn chan struct{} // holds one token: whose turn it is
	ca   *authority
}

// authority returns what is remembered under key or fetches it.
func (cache *CACache) authority(ctx context.Context, key string, fetch func(context.Context) (*authority, error)) (*authority, error) {
	cache.mu.Lock()
	e := cache.entries[key]
	if e == nil {
		if cache.entries == nil {
			cache.entries = make(map[string]*cacheEntry)
		}
		e = &cacheEntry{turn: make(chan struct{}, 1)}
		cache.entries[key] = e
	}
	ca := e.ca
	cache.mu.Unlock()
	if ca != nil {
		return ca, nil
	}
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	cache.mu.Lock()
	ca = e.ca
	cache.mu.Unlock()
	if ca != nil {
		return ca, nil
	}
	ca, err := fetch(ctx)
	if err != nil {
		return nil, err
	}
	cache.mu.Lock()
	e.ca = ca
	cache.mu.Unlock()
	return ca, nil
}

func (cache *CACache) forget(key string) {
	cache.mu.Lock()
	delete(cache.entries, key)
	cache.mu.Unlock()
}

// authority returns the CA of c, remembered or asked for, once its fingerprint is right.
func (c *Client) authority(ctx context.Context) (*authority, error) {
	var ca *authority
	var err error
	if c.Cache == nil {
		ca, err = c.fetch(ctx)
	} else {
		ca, err = c.Cache.authority(ctx, c.cacheKey(), c.fetch)
	}
	if err != nil {
		return nil, err
	}
	return ca, ca.check(c.CAFingerprint)
}

func (c *Client) cacheKey() string { return c.URL + " " + c.Name }

// A StatusError is an HTTP answer other than 200.
type StatusError struct {
	Operation  string
	Status     int
	RetryAfter string // the header as it came; may be empty
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("SCEP: %s: %d %s", e.Operation, e.Status, http.StatusText(e.Status))
}

package est

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/certs"
)

// ErrAnswer is wrapped by the errors of answers that are none of an EST server's, or not to what was asked.
var ErrAnswer = errors.New("EST: unusable answer")

// A StatusError is the refusal of a request, or a 202: not yet.
type StatusError struct {
	Operation  string
	Status     int           // HTTP
	RetryAfter time.Duration // 0: not said
	Text       string        // what the server says of it, one line
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("EST: %s: status %d: %q", e.Operation, e.Status, e.Text)
}

// A Client asks one EST server. Safe for concurrent use.
type Client struct {
	URL    string       // https://host/.well-known/est
	HTTP   *http.Client // for a renewal it presents the certificate in use; nil: http.DefaultClient
	Header http.Header  // of a renewal: what a proxy in front of the server would pass on of that certificate; nil: nothing
}

// Enroll obtains the first certificate for key, with the name and the challenge that the server gave (RFC 7030, section 4.2.1). The same
// again makes the same request.
func (c *Client) Enroll(ctx context.Context, key crypto.Signer, subject pkix.Name, user, challenge string) (*x509.Certificate, error) {
	return c.certificate(ctx, "simpleenroll", key, subject, func(r *http.Request) { r.SetBasicAuth(user, challenge) })
}

// Reenroll obtains the next certificate, for another key, over a connection that presents the one in use. Subject is that one's (RFC 7030,
// section 4.2.2).
func (c *Client) Reenroll(ctx context.Context, key crypto.Signer, subject pkix.Name) (*x509.Certificate, error) {
	return c.certificate(ctx, "simplereenroll", key, subject, func(r *http.Request) { maps.Copy(r.Header, c.Header) })
}

func (c *Client) address(operation string) string {
	return strings.TrimSuffix(c.URL, "/") + "/" + operation
}

func (c *Client) certificate(ctx context.Context, operation string, key crypto.Signer, subject pkix.Name, sign func(*http.Request)) (*x509.Certificate, error) {
	// Without a random source ECDSA signs deterministically (RFC 6979).
	csr, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	body := base64.StdEncoding.EncodeToString(csr)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address(operation), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", typeRequest)
	r.Header.Set("Content-Transfer-Encoding", "base64")
	sign(r)
	list, err := c.do(r, operation)
	if err != nil {
		return nil, err
	}
	mine, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	for _, certificate := range list {
		if ok && mine.Equal(certificate.PublicKey) {
			return certificate, nil
		}
	}
	return nil, fmt.Errorf("%w: the certificate is for another key", ErrAnswer)
}

func (c *Client) do(r *http.Request, operation string) ([]*x509.Certificate, error) {
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("EST: %s: %w", operation, err)
	case resp.StatusCode != http.StatusOK:
		line, _, _ := bytes.Cut(body[:min(len(body), 200)], []byte("\n"))
		no := &StatusError{Operation: operation, Status: resp.StatusCode, Text: string(bytes.ToValidUTF8(line, nil))}
		if n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 32); err == nil {
			no.RetryAfter = time.Duration(n) * time.Second
		}
		return nil, no
	case len(body) > maxMessage:
		return nil, fmt.Errorf("%w: %s: more than %d bytes", ErrAnswer, operation, maxMessage)
	}
	list, err := decodeAnswer(resp.Header.Get("Content-Type"), body)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrAnswer, operation, err)
	}
	return list, nil
}

// decodeAnswer reads the certificates of an answer.
func decodeAnswer(contentType string, body []byte) ([]*x509.Certificate, error) {
	if media, _, err := mime.ParseMediaType(contentType); err != nil || media != typeCerts {
		return nil, fmt.Errorf("%w: Content-Type %.40q", certs.ErrMalformed, contentType)
	}
	der, err := decodeText(body)
	if err != nil {
		return nil, err
	}
	return certs.ParseDegenerate(der)
}

package cloud

import (
	"crypto/tls"
	"errors"
	"net/url"
	"time"
)

// A Face is where clients reach a service over TLS.
type Face struct {
	Host string // and port, of its URL
	TLS  *tls.Config
	CA   []byte // PEM, of a certificate that [NewFace] made; nil: one was given
}

// NewFace makes the face of a service at a URL, https with a host and nothing else: with a given certificate, or with one for that host
// and more hosts, under a CA of its own. Certificates are judged by now.
func NewFace(service, at string, given *tls.Certificate, now func() time.Time, hosts ...string) (f Face, err error) {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" {
		return f, errors.New("URL of the service: want https://host or https://host:port")
	}
	f.Host = u.Host
	if given == nil {
		if given, f.CA, err = Certificate(service, now(), append([]string{u.Hostname()}, hosts...)...); err != nil {
			return f, err
		}
	}
	f.TLS = &tls.Config{Certificates: []tls.Certificate{*given}, MinVersion: tls.VersionTLS12, Time: now}
	return f, nil
}

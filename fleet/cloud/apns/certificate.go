package apns

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"
)

var (
	oidUID         = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1} // subject attribute: topic
	oidTopics      = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 6} // extension: all topics of a certificate with several
	oidDevelopment = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 1} // extension: for the sandbox
	oidProduction  = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 2} // extension: for the production service
	appleNames     = []string{"api.push.apple.com", "api.development.push.apple.com"}
)

// A provider is who pushes: what the client's certificate allows.
type provider struct {
	cert   *x509.Certificate // nil: none was shown
	topics []string
	reason Reason // not empty: the certificate is good for nothing
}

func providerOf(cert *x509.Certificate) provider {
	p := provider{cert: cert}
	if cert == nil {
		return p
	}
	for _, a := range cert.Subject.Names {
		if uid, ok := a.Value.(string); ok && a.Type.Equal(oidUID) && goodTopic(uid) {
			p.topics = append(p.topics, uid)
		}
	}
	var development, production bool
	for _, e := range cert.Extensions {
		switch {
		case e.Id.Equal(oidTopics):
			p.topics = append(p.topics, listedTopics(e.Value)...)
		case e.Id.Equal(oidDevelopment):
			development = true
		case e.Id.Equal(oidProduction):
			production = true
		}
	}
	slices.Sort(p.topics)
	p.topics = slices.Compact(p.topics)
	switch {
	case len(p.topics) == 0:
		p.reason = BadCertificate
	case development && !production:
		p.reason = BadCertificateEnvironment
	}
	return p
}

// listedTopics reads a sequence of pairs: a topic, and a sequence of what it is for. What cannot be read is
// no topic.
func listedTopics(der []byte) []string {
	var pairs []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &pairs); err != nil || len(rest) > 0 {
		return nil
	}
	var topics []string
	for _, v := range pairs {
		if v.Class == asn1.ClassUniversal && v.Tag == asn1.TagUTF8String && goodTopic(string(v.Bytes)) {
			topics = append(topics, string(v.Bytes))
		}
	}
	return topics
}

// goodTopic tells whether t can be a topic: a bundle identifier, perhaps with a suffix.
func goodTopic(t string) bool {
	return t != "" && len(t) <= 255 && strings.Trim(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == ""
}

// current returns an error unless cert is valid at now.
func current(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(cert.NotBefore):
		return fmt.Errorf("push certificate is not valid before %s", cert.NotBefore.UTC().Format(time.RFC3339))
	case now.After(cert.NotAfter):
		return fmt.Errorf("push certificate expired on %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

func (s *Service) tlsConfig(cert *tls.Certificate, issuers *x509.CertPool) *tls.Config {
	c := &tls.Config{
		Certificates: []tls.Certificate{*cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2"},
		CipherSuites: []uint16{ // of TLS 1.2: those that HTTP/2 permits (RFC 9113, appendix A)
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		Time:       s.cfg.Now,
		ClientAuth: tls.RequestClientCert,
		VerifyConnection: func(state tls.ConnectionState) error { // of a resumed connection too
			if len(state.PeerCertificates) == 0 {
				return nil // 403 MissingProviderToken comes later, in words
			}
			return current(state.PeerCertificates[0], s.cfg.Now())
		},
	}
	if issuers != nil {
		c.ClientAuth = tls.VerifyClientCertIfGiven
		c.ClientCAs = issuers
	}
	return c
}

package certs

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// ReadForwarded reads a certificate that a proxy puts into a header, in both forms of apple.md section 4.1: a byte sequence (RFC 9440, section 2.1; RFC 8941, section 3.3.5) of the
// certificate's DER, or its PEM with percent signs.
func ReadForwarded(value string) (*x509.Certificate, error) {
	value = strings.Trim(value, " ")
	if inner, ok := strings.CutPrefix(value, ":"); ok {
		inner, ok = strings.CutSuffix(inner, ":")
		if !ok {
			return nil, errors.New("a byte sequence without its end")
		}
		der, err := base64.StdEncoding.DecodeString(inner)
		if err != nil {
			return nil, err
		}
		return x509.ParseCertificate(der)
	}
	text, err := url.PathUnescape(value) // not a query's: a + is of the base64
	if err != nil {
		return nil, err
	}
	list, err := ReadCertificatesPEM([]byte(text))
	if err != nil {
		return nil, err
	}
	if len(list) > 1 {
		return nil, errors.New("more than one certificate")
	}
	return list[0], nil
}

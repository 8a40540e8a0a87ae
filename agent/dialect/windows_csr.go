package dialect

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"rollcall/certs"
)

// A CSR is what a Windows device wants asked of a certificate authority (windows.md section 4).
type CSR struct {
	Subject  string // the common name, with the NUL that Windows writes
	DeviceID string
	Bits     int  // the least that an RSA key must have
	Renews   bool // inside CMS by the identity in use (windows.md section 5)
}

var (
	oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidExtUsage   = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidClientAuth = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	oidDeviceID   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 66, 1, 0}
)

// Sign makes the request with a new key: PKCS#10 as Windows writes it, its subject a PrintableString with characters that such a string
// must not have (WIN-011), and its device ID in an extension that is no ASN.1 inside. A renewal is signed by old as well.
func (c *CSR) Sign(key crypto.Signer, old certs.Signer) ([]byte, error) {
	var subject cryptobyte.Builder
	subject.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidCommonName)
				b.AddASN1(cbasn1.PrintableString, func(b *cryptobyte.Builder) { b.AddBytes([]byte(c.Subject)) })
			})
		})
	})
	raw, err := subject.Bytes()
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{oidClientAuth})
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: raw, ExtraExtensions: []pkix.Extension{
		{Id: oidExtUsage, Value: usage}, {Id: oidDeviceID, Value: []byte(c.DeviceID + "\x00")},
	}}, key)
	if err != nil || !c.Renews {
		return der, err
	}
	return (&certs.Message{Content: der}).Sign(old)
}

package scep

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/smallstep/scep/x509util"
)

// TestCSRIsTheLibrarys: the same request to the letter, whichever of the two makes it.
func TestCSRIsTheLibrarys(t *testing.T) {
	usage := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: []byte{3, 2, 5, 0xa0}}
	names := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: []byte{0x30, 0x03, 0x82, 0x01, 'a'}}
	for name, key := range map[string]crypto.Signer{"P-256": ecKey(), "RSA": rsaKey()} {
		for _, subject := range []pkix.Name{{}, {CommonName: "device"}, {CommonName: "Gerät", Organization: []string{"a", "b"}, Country: []string{"NL"}}} {
			for _, extensions := range [][]pkix.Extension{nil, {usage}, {usage, names}} {
				for _, challenge := range []string{"", "abc", "zoë*"} {
					template := x509.CertificateRequest{Subject: subject, ExtraExtensions: extensions}
					want := must(x509util.CreateCertificateRequest(nil, &x509util.CertificateRequest{CertificateRequest: template, ChallengePassword: challenge}, key))
					if got := must(CSR(key, subject, extensions, challenge)); !bytes.Equal(got, want) {
						t.Errorf("%s, %v, %d extensions, challenge %q:\n got %x\nwant %x", name, subject, len(extensions), challenge, got, want)
					}
				}
			}
		}
	}
}

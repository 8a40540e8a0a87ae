package conformance

import (
	"crypto/x509"
	"fmt"
	"mime"
	"net/http"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var profileStatements = []Statement{
	{
		ID: "APL-001", Suite: Apple, Class: OfApple, Must: true, check: checkAPL001,
		Says:   "The enrolment profile has every required key, the push certificate's topic, a key size of 2048 bits or more, and its MIME type.",
		Source: "apple.md 2.1 to 2.3; Apple, Deploying MDM Enrollment Profiles",
		Why:    "A device shows its user only that the profile is invalid. Servers have left Keysize out, whose default is 1024, and have written keys in the wrong case (micromdm#1083).",
		How:    "A new device asks for a profile and reads it as a device would; the topic is held against what the server says of its push certificate, where the adapter can ask.",
		Fix:    "Send application/x-apple-aspen-config, an XML property list, Keysize 2048, and the UID of the push certificate's subject as Topic.",
	},
	{
		ID: "APL-002", Suite: Apple, Class: OfApple, Must: true, check: checkAPL002,
		Says:   "A signed profile verifies as CMS SignedData with its content inside and the chain of its signer.",
		Source: "apple.md 2.6; RFC 5652",
		Why:    "Without the chain a device shows the profile as unverified, and users learn to accept what is not verified.",
		How:    "The signature of the profile is verified, and its signer's chain is followed to what the profile brings, the roots that the run was given, or the system's.",
		Fix:    "Put the signer's certificate and its intermediates into the certificates of the SignedData; keep the content attached.",
	},
}

func checkAPL001(a *asking) {
	p := a.phone(protocol.IOS)
	if err := p.fetch(); err != nil {
		if p.a.last == nil || p.a.last.Status != http.StatusOK {
			a.unasked("no enrolment profile: %v", err)
		}
		a.fail("a device would refuse the profile: %v", err)
	}
	if p.from != nil {
		if kind, _, _ := mime.ParseMediaType(p.from.header.Get("Content-Type")); kind != apple.ProfileType {
			a.failBy(p.from, "the profile came as %q, want %s", p.from.header.Get("Content-Type"), apple.ProfileType)
		}
	}
	topic := p.mdm.Topic
	if a.Steps.PushState != nil {
		ctx, cancel := a.administrator()
		defer cancel()
		state, err := a.Steps.PushState(ctx)
		if err != nil {
			a.unasked("the push certificate: %v", err)
		}
		topic = state.Topic
	}
	if err := p.document.CheckEnrolment(topic); err != nil {
		a.failBy(p.from, "%v", err)
	}
}

func checkAPL002(a *asking) {
	p := a.invited(protocol.IOS)
	if !p.signed {
		a.skip("the profile is not signed, which is allowed")
	}
	signed, err := certs.VerifyAttached(p.raw, certs.Policy{})
	if err != nil {
		a.failBy(p.from, "%v", err)
	}
	middle, issuer := x509.NewCertPool(), false
	for _, c := range signed.Certificates {
		if sameCertificate(c, signed.Signer) {
			continue
		}
		middle.AddCert(c)
		issuer = issuer || signed.Signer.CheckSignatureFrom(c) == nil
	}
	// A device has its own roots, whatever else it is given.
	for _, roots := range []*x509.CertPool{a.trusts(p.anchors), beside(systemRoots(), p.anchors)} {
		if _, err = signed.Signer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: a.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
			break
		}
	}
	if err != nil {
		a.failBy(p.from, "the signer's chain: %v", err)
	}
	if !issuer {
		a.failBy(p.from, "the certificates carry the signer alone, not who issued it: %s", fmt.Sprint(signed.Signer.Issuer))
	}
}

package windows

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// ErrSignature is that a message's XML signature is not of the one shape that is taken, or does not verify.
var ErrSignature = errors.New("XML signature is refused")

// DecodeRequest is DecodeEnvelope for servers: a request may be signed with a bootstrap certificate (AuthPolicy Certificate, windows.md
// section 2), and then its credential is [X509]: the key of that certificate has signed its Timestamp, token and Body. Whose certificate it
// is, and whether the Timestamp is of today, are the caller's to look at. Of a signature that is not exactly so the error wraps
// [ErrSignature] too.
func DecodeRequest(b []byte) (*Envelope, error) {
	return decodeEnvelope(b, (*scanner).readSignature, (*scanner).verified)
}

// The algorithms of a signature: these, and no other (HST-036).
const (
	algorithmCanonical = "http://www.w3.org/2001/10/xml-exc-c14n#"
	algorithmRSASHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	algorithmSHA256    = "http://www.w3.org/2001/04/xmlenc#sha256"
)

// The parts of a request that a signature covers: all of what is believed of it. They are known by their places, and the ids are only
// held against those: nothing is looked for by an id.
const (
	partTimestamp = iota
	partToken
	partBody
	parts
)

// A part is an element that may be signed.
type part struct {
	at int    // byte at which its tag begins
	id string // u:Id; empty: none
}

// A signature is the Signature of a security header, as read.
type signature struct {
	info  int // byte at which SignedInfo begins
	refs  []signedReference
	value []byte
	key   string // id of the token that has the certificate
}

// A signedReference is a Reference of SignedInfo.
type signedReference struct {
	id     string
	digest []byte
}

// mark remembers the element whose tag was read last as a part.
func (s *scanner) mark(n int) {
	if s.err == nil {
		s.parts[n] = part{at: s.open[len(s.open)-1].at, id: s.attr(nsUtility, "Id")}
	}
}

// The fields of a Signature.
const (
	fSignedInfo fields = 1 << iota
	fSignatureValue
	fKeyInfo
	fCanonicalization
	fMethod
	fTransforms
	fDigestMethod
	fDigestValue
)

// readSignature reads a Signature.
func (s *scanner) readSignature() {
	was := s.err
	s.signature = &signature{}
	var seen fields
	for e := range s.children() {
		switch {
		case e.is(nsSignature, "SignedInfo"):
			s.once(&seen, fSignedInfo)
			s.signature.info = s.open[len(s.open)-1].at
			s.signedInfo()
		case e.is(nsSignature, "SignatureValue"):
			s.once(&seen, fSignatureValue)
			s.signature.value = s.bytes()
		case e.is(nsSignature, "KeyInfo"):
			s.once(&seen, fKeyInfo)
			s.only(nsSecurity, "SecurityTokenReference", func() {
				s.only(nsSecurity, "Reference", func() {
					s.signature.key = strings.TrimPrefix(s.attr(nsSecurity, "URI"), "#")
					s.nothing()
				})
			})
		default:
			s.fail("something that a signature does not have")
		}
	}
	if s.err == nil && seen != fSignedInfo|fSignatureValue|fKeyInfo {
		s.fail("want SignedInfo, SignatureValue and KeyInfo")
	}
	if was == nil && s.err != nil {
		s.err = fmt.Errorf("%w: %w", ErrSignature, s.err)
	}
}

func (s *scanner) signedInfo() {
	var seen fields
	for e := range s.children() {
		switch {
		case e.is(nsSignature, "CanonicalizationMethod"):
			s.once(&seen, fCanonicalization)
			s.algorithm(algorithmCanonical)
		case e.is(nsSignature, "SignatureMethod"):
			s.once(&seen, fMethod)
			s.algorithm(algorithmRSASHA256)
		case e.is(nsSignature, "Reference") && len(s.signature.refs) < parts:
			s.signature.refs = append(s.signature.refs, s.signedReference())
		default:
			s.fail("something that SignedInfo does not have, or a reference too many")
		}
	}
	if s.err == nil && (seen != fCanonicalization|fMethod || len(s.signature.refs) != parts) {
		s.fail("want two methods and a reference each to Timestamp, token and Body")
	}
}

func (s *scanner) signedReference() (r signedReference) {
	uri := s.attr(nsNone, "URI")
	id, local := strings.CutPrefix(uri, "#")
	if !local || id == "" {
		s.fail("a reference to something outside, or to everything")
	}
	r.id = id
	var seen fields
	for e := range s.children() {
		switch {
		case e.is(nsSignature, "Transforms"):
			s.once(&seen, fTransforms)
			s.only(nsSignature, "Transform", func() { s.algorithm(algorithmCanonical) })
		case e.is(nsSignature, "DigestMethod"):
			s.once(&seen, fDigestMethod)
			s.algorithm(algorithmSHA256)
		case e.is(nsSignature, "DigestValue"):
			s.once(&seen, fDigestValue)
			r.digest = s.bytes()
		default:
			s.fail("something that a Reference does not have")
		}
	}
	if s.err == nil && seen != fTransforms|fDigestMethod|fDigestValue {
		s.fail("want Transforms, DigestMethod and DigestValue")
	}
	return r
}

// algorithm demands that an element names this algorithm, and gives it no parameters.
func (s *scanner) algorithm(want string) {
	if s.attr(nsNone, "Algorithm") != want {
		s.fail("an algorithm that is not taken (HST-036)")
	}
	s.nothing()
}

// only demands that an element has exactly one child, of this name.
func (s *scanner) only(ns namespace, local string, read func()) {
	n := 0
	for e := range s.children() {
		if n++; n > 1 || !e.is(ns, local) {
			s.fail("want one " + local + " and nothing else")
			return
		}
		read()
	}
	if s.err == nil && n == 0 {
		s.fail("want one " + local)
	}
}

func (s *scanner) nothing() {
	for range s.children() {
		s.fail("an element where none is")
	}
}

func (s *scanner) bytes() []byte {
	b, ok := base64Of(s.text())
	if !ok || len(b) == 0 {
		s.fail("want base64")
	}
	return b
}

// verified demands that e, which was read to its end, is what the key of its token's certificate signed: the Timestamp, the token and the
// Body, each at its one place. Whether that certificate may do anything is not looked at. encoding/xml or another parser has no part in
// it: what is digested comes from the scanner that read the values.
func (s *scanner) verified(e *Envelope) error {
	no := func(what string) error { return fmt.Errorf("%w: %w: %s", ErrSignature, s.malformed(), what) }
	c := &e.Header.Credential
	switch {
	case c.Kind != UserToken && c.Kind != OtherToken:
		return no("it goes with a certificate as the token, and no other credential")
	case e.Header.Created.IsZero() || e.Header.Expires.IsZero():
		return no("it goes with a Timestamp of Created and Expires")
	}
	sig := s.signature
	var sums [parts]hash.Hash
	var digests [parts][]byte
	wanted := make(map[int]hash.Hash, parts+1)
	for i, p := range s.parts {
		n := 0
		for _, r := range sig.refs {
			if p.id != "" && r.id == p.id {
				n++
				digests[i] = r.digest
			}
		}
		if n != 1 {
			return no("each of Timestamp, token and Body must be signed, once, by an id of its own")
		}
		sums[i] = sha256.New()
		wanted[p.at] = sums[i]
	}
	if sig.key != s.parts[partToken].id {
		return no("KeyInfo is not of the token")
	}
	cert, err := x509.ParseCertificate(c.Token)
	if err != nil {
		return no("the token is no certificate")
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < leastSigner || key.N.BitLen() > mostSigner {
		return no("the certificate's key is not RSA of 2048 to 4096 bits (HST-040)")
	}
	info := sha256.New()
	wanted[sig.info] = info
	again := scanner{kind: s.kind, encoding: s.encoding, b: s.b}
	again.prologue()
	if err := again.canonicalize(wanted); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, info.Sum(nil), sig.value) != nil {
		return no("it is not of the certificate's key, or SignedInfo was changed")
	}
	for i, sum := range sums {
		if !bytes.Equal(sum.Sum(nil), digests[i]) {
			return no("what was signed was changed")
		}
	}
	c.Kind = X509
	return nil
}

// Bits of the key of a bootstrap certificate.
const (
	leastSigner = 2048
	mostSigner  = 4096
)

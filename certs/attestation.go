package certs

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Why an attestation is refused, beside [ErrMalformed], [ErrKey] and [ErrForeign].
var (
	ErrRevoked   = errors.New("a certificate of the attestation was revoked by its maker")
	ErrChallenge = errors.New("the attestation answers another challenge")
	ErrSoftware  = errors.New("the key is not kept by secure hardware")
)

// keyDescription is the extension in which a key store says what it knows of a key and its device
// (source.android.com, "Key and ID attestation").
var keyDescription = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}

// An AttestationLevel is what keeps a key.
type AttestationLevel int

// The levels.
const (
	Software AttestationLevel = iota
	TrustedEnvironment
	StrongBox
)

func (l AttestationLevel) String() string {
	switch l {
	case TrustedEnvironment:
		return "trusted environment"
	case StrongBox:
		return "strong box"
	}
	return "software"
}

// An Attestation is what an Android device's key store says of a key and of the device that keeps it.
type Attestation struct {
	Key    crypto.PublicKey
	Level  AttestationLevel
	Locked bool   // the boot loader
	Boot   string // VERIFIED, SELF_SIGNED, UNVERIFIED or FAILED; empty: it does not say

	challenge []byte
}

// Limits of an attestation: those of devices have four or five certificates of about a KiB.
const (
	mostAttesting   = 8
	largestAttested = 8 << 10
)

// VerifyAttestation reads a chain of DER certificates, the attested key's first, which must end at one of roots, the makers' own; revoked
// are the serial numbers that count no more. The key must answer challenge and be kept by secure hardware (android.md, section 9). The
// error is one of those above.
func VerifyAttestation(chain [][]byte, roots []*x509.Certificate, revoked Revoked, challenge []byte, now time.Time) (*Attestation, error) {
	if len(chain) == 0 || len(chain) > mostAttesting {
		return nil, fmt.Errorf("attestation: %w: %d certificates, want 1 to %d", ErrMalformed, len(chain), mostAttesting)
	}
	list := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		if len(der) > largestAttested {
			return nil, fmt.Errorf("attestation: %w: certificate %d has %d bytes", ErrMalformed, i+1, len(der))
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("attestation: %w: certificate %d: %v", ErrMalformed, i+1, err)
		}
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits { // HST-026
			return nil, fmt.Errorf("attestation: certificate %d: %w: RSA of %d bits", i+1, ErrKey, k.N.BitLen())
		}
		list[i] = c
	}
	trusted, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range roots {
		trusted.AddCert(c)
	}
	for _, c := range list[1:] {
		between.AddCert(c)
	}
	_, err := list[0].Verify(x509.VerifyOptions{Roots: trusted, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, fmt.Errorf("attestation: %w: %v", ErrForeign, err)
	}
	for _, c := range list {
		if revoked[c.SerialNumber.Text(16)] {
			return nil, fmt.Errorf("attestation: %w: %s", ErrRevoked, c.SerialNumber.Text(16))
		}
	}
	for _, e := range list[0].Extensions { // of no other: a key that was attested signs no certificates
		if !e.Id.Equal(keyDescription) {
			continue
		}
		a, err := readKeyDescription(e.Value)
		if err != nil {
			return nil, fmt.Errorf("attestation: %w", err)
		}
		a.Key = list[0].PublicKey
		switch {
		case subtle.ConstantTimeCompare(a.challenge, challenge) != 1:
			return nil, fmt.Errorf("attestation: %w", ErrChallenge)
		case a.Level != TrustedEnvironment && a.Level != StrongBox:
			return nil, fmt.Errorf("attestation: %w", ErrSoftware)
		}
		return a, nil
	}
	return nil, fmt.Errorf("attestation: %w: the first certificate describes no key", ErrMalformed)
}

// Places in a KeyDescription, and the tag of what its lists say of how the device was started.
const (
	attestationLevel = 1
	attestationText  = 4
	byHardware       = 7
	rootOfTrust      = 704
)

var bootStates = []string{"VERIFIED", "SELF_SIGNED", "UNVERIFIED", "FAILED"}

// readKeyDescription reads the extension's value. What software says of the start of the device counts for nothing.
func readKeyDescription(der []byte) (*Attestation, error) {
	parts, err := sequence(der)
	if err != nil || len(parts) <= byHardware {
		return nil, fmt.Errorf("%w: a description of %d parts", ErrMalformed, len(parts))
	}
	a := &Attestation{Level: AttestationLevel(enumerated(parts[attestationLevel])), challenge: parts[attestationText].Bytes}
	for rest := parts[byHardware].Bytes; len(rest) > 0; {
		var item asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &item); err != nil {
			return nil, fmt.Errorf("%w: what hardware enforces: %v", ErrMalformed, err)
		}
		if item.Class != asn1.ClassContextSpecific || item.Tag != rootOfTrust {
			continue
		}
		root, err := sequence(item.Bytes)
		if err != nil || len(root) < 3 {
			return nil, fmt.Errorf("%w: root of trust", ErrMalformed)
		}
		a.Locked = len(root[1].Bytes) == 1 && root[1].Bytes[0] != 0
		if n := enumerated(root[2]); n >= 0 && n < len(bootStates) {
			a.Boot = bootStates[n]
		}
	}
	return a, nil
}

// sequence returns the elements of one SEQUENCE.
func sequence(der []byte) (list []asn1.RawValue, err error) {
	var whole asn1.RawValue
	behind, err := asn1.Unmarshal(der, &whole)
	if err != nil || len(behind) > 0 || whole.Class != asn1.ClassUniversal || whole.Tag != asn1.TagSequence {
		return nil, ErrMalformed
	}
	for rest := whole.Bytes; len(rest) > 0; {
		var item asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &item); err != nil {
			return nil, ErrMalformed
		}
		list = append(list, item)
	}
	return list, nil
}

// enumerated is the value of an ENUMERATED of few values; negative: it is none.
func enumerated(v asn1.RawValue) int {
	if v.Tag != asn1.TagEnum || len(v.Bytes) != 1 || v.Bytes[0] > 0x7f {
		return -1
	}
	return int(v.Bytes[0])
}

// Revoked are serial numbers of attesting certificates, in hexadecimal without leading zeros, that count no more.
type Revoked map[string]bool

// ReadRevoked reads a list of revoked attesting certificates as Google publishes it: JSON with one object, entries, by serial number.
// Whatever the status says, a certificate that is listed is not to be trusted. The error wraps [ErrMalformed].
func ReadRevoked(text []byte) (Revoked, error) {
	var list struct {
		Entries map[string]json.RawMessage `json:"entries"`
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&list); err != nil || list.Entries == nil {
		return nil, fmt.Errorf("revoked attestations: %w: want {\"entries\":{SERIAL:{…}}}", ErrMalformed)
	}
	out := make(Revoked, len(list.Entries))
	for serial := range list.Entries {
		out[strings.TrimLeft(strings.ToLower(serial), "0")] = true
	}
	return out, nil
}

package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strings"
)

// A seal also signs in the form of a compact JWS (RFC 7515) by ES256 (RFC 7518, section 3.4), for clients of other people's. The protected
// header is always the same for a key and a type, so that there is nothing in it to be believed: who verifies compares it to the byte.

// KID names the seal's key in a JWS: twelve hexadecimal digits.
func (s *Seal) KID() string { return s.Key().KID() }

// Key is the public half of the seal.
func (s *Seal) Key() SealKey {
	point, err := s.key.PublicKey.Bytes()
	if err != nil { // a seal's key is on P-256
		panic(err)
	}
	return SealKey(point)
}

// KID names the key in a JWS.
func (k SealKey) KID() string {
	sum := sha256.Sum256([]byte(k))
	return hex.EncodeToString(sum[:6])
}

// SPKI is the key as SubjectPublicKeyInfo, DER; nil: k is no key.
func (k SealKey) SPKI() []byte {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), []byte(k))
	if err != nil {
		return nil
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil
	}
	return der
}

// SealKeyOfSPKI reads what SPKI gives. The error is [ErrMalformed], or [ErrKey] for a key other than P-256.
func SealKeyOfSPKI(der []byte) (SealKey, error) {
	if err := checkBER(der, maxCSR); err != nil {
		return "", err
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return "", ErrMalformed
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return "", ErrKey
	}
	point, err := key.Bytes()
	return SealKey(point), err
}

// JWS signs a payload of a type. The same payload gives the same text (RFC 6979).
func (s *Seal) JWS(typ string, payload []byte) (string, error) {
	header := jwsHeader(s.KID(), typ)
	body := base64.RawURLEncoding.EncodeToString(payload)
	signature, err := s.jws(header, body)
	return header + "." + body + "." + signature, err
}

// DetachedJWS is JWS without the payload between the dots (RFC 7515, appendix F).
func (s *Seal) DetachedJWS(typ string, payload []byte) (string, error) {
	header := jwsHeader(s.KID(), typ)
	signature, err := s.jws(header, base64.RawURLEncoding.EncodeToString(payload))
	return header + ".." + signature, err
}

func (s *Seal) jws(header, body string) (string, error) {
	sum := sha256.Sum256([]byte(header + "." + body))
	der, err := s.key.Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		return "", err
	}
	var both struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &both); err != nil {
		return "", err
	}
	var raw [2 * jwsNumber]byte
	both.R.FillBytes(raw[:jwsNumber])
	both.S.FillBytes(raw[jwsNumber:])
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// jwsNumber is the length of each half of an ES256 signature, maxJWS bounds a statement that is read, in bytes.
const (
	jwsNumber = 32
	maxJWS    = 4 << 10
)

func jwsHeader(kid, typ string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"` + kid + `","typ":"` + typ + `"}`))
}

// OpenJWS returns the payload of what [Seal.JWS] made with this key, of this type; false: it is nothing of the kind.
func (k SealKey) OpenJWS(typ, text string) (payload []byte, ok bool) {
	if len(text) > maxJWS {
		return nil, false
	}
	header, rest, _ := strings.Cut(text, ".")
	body, signature, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || !k.verifiedJWS(typ, header, body, signature) {
		return nil, false
	}
	return payload, true
}

// VerifiedJWS tells whether text is what [Seal.DetachedJWS] made of payload with this key, as this type.
func (k SealKey) VerifiedJWS(typ, text string, payload []byte) bool {
	if len(text) > maxJWS {
		return false
	}
	header, signature, ok := strings.Cut(text, "..")
	return ok && k.verifiedJWS(typ, header, base64.RawURLEncoding.EncodeToString(payload), signature)
}

func (k SealKey) verifiedJWS(typ, header, body, signature string) bool {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), []byte(k))
	if err != nil || header != jwsHeader(k.KID(), typ) {
		return false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || len(raw) != 2*jwsNumber {
		return false
	}
	sum := sha256.Sum256([]byte(header + "." + body))
	r, s := new(big.Int).SetBytes(raw[:jwsNumber]), new(big.Int).SetBytes(raw[jwsNumber:])
	return ecdsa.Verify(key, sum[:], r, s)
}

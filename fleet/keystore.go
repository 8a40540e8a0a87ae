package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

	"rollcall/certs"
)

// A KeyStore keeps the keys that simulated Android devices enrol with, and has their maker vouch for them (android.md, section 9). Safe for
// concurrent use.
type KeyStore struct {
	maker  *certs.Authority
	secret []byte // that keys are made of
}

// NewKeyStore makes the store of devices whose maker is an authority of a lab's own.
func NewKeyStore(maker *certs.Authority) *KeyStore {
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // never fails
	return &KeyStore{maker, secret}
}

// Attest returns the key that goes with an enrolment token, the same one whenever it is asked for, and what the store says of it: a chain
// of certificates, DER. A device whose enrolment broke off asks for a certificate again, and only the attested key gets one.
func (s *KeyStore) Attest(token string) (key *ecdsa.PrivateKey, chain [][]byte, err error) {
	for n := byte(0); key == nil; n++ { // hardly ever twice: almost every number is a key
		mac := hmac.New(sha256.New, s.secret)
		mac.Write(append([]byte(token), n))
		key, _ = ecdsa.ParseRawPrivateKey(elliptic.P256(), mac.Sum(nil))
	}
	challenge := sha256.Sum256([]byte(token))
	chain, err = s.maker.Attest(key.Public(), challenge[:], certs.TrustedEnvironment)
	return key, chain, err
}

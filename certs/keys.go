package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"sync"
)

// A KeyKind is a kind of key that this package makes.
type KeyKind int

// The kinds of keys an authority or an identity may have (apple.md section 3.6).
const (
	P256 KeyKind = iota
	RSA2048
)

// GenerateKey makes a private key: *ecdsa.PrivateKey for P256 (some 10 µs), *rsa.PrivateKey for RSA2048
// (50 ms and more).
func GenerateKey(kind KeyKind) (crypto.Signer, error) {
	switch kind {
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, fmt.Errorf("key kind %d: %w", kind, ErrKey)
}

// Bounds of the RSA keys that are taken. Above, one verification costs more than a request is worth (HST-026).
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// CheckPublicKey refuses with [ErrKey] every key that may not sign to us or be certified by us: anything
// but P-256 and RSA of 2048 to 4096 bits, RSA exponents other than odd ones from 65537, and RSA moduli that
// are known to be weak by their shape (a small factor; the ROCA fingerprint, CVE-2017-15361). It takes
// microseconds whatever the key (HST-026, HST-040).
func CheckPublicKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return fmt.Errorf("%w: EC curve %s, want P-256", ErrKey, curveName(k.Curve))
		}
		if _, err := k.ECDH(); err != nil { // the only exported way to ask whether a point is on its curve
			return fmt.Errorf("%w: the point is not on the curve", ErrKey)
		}
		return nil
	case *rsa.PublicKey:
		return checkRSA(k)
	}
	return fmt.Errorf("%w: type %T, want RSA or P-256", ErrKey, pub)
}

func curveName(c elliptic.Curve) string {
	if c == nil {
		return "none"
	}
	return c.Params().Name
}

func checkRSA(k *rsa.PublicKey) error {
	if k.N == nil {
		return fmt.Errorf("%w: RSA without a modulus", ErrKey)
	}
	if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
		return fmt.Errorf("%w: RSA of %d bits, want %d to %d", ErrKey, n, minRSABits, maxRSABits)
	}
	if k.E < 65537 || k.E%2 == 0 {
		return fmt.Errorf("%w: RSA exponent %d, want an odd one from 65537", ErrKey, k.E)
	}
	roca := true
	for _, p := range smallPrimes() {
		r := new(big.Int).Mod(k.N, p.prime).Uint64()
		if r == 0 {
			return fmt.Errorf("%w: RSA modulus divisible by %s", ErrKey, p.prime)
		}
		roca = roca && p.powers[r]
	}
	if roca {
		return fmt.Errorf("%w: RSA modulus has the ROCA fingerprint (CVE-2017-15361)", ErrKey)
	}
	return nil
}

// A smallPrime carries the subgroup that 65537 generates modulo the prime. A ROCA modulus lies in that
// subgroup for every prime up to 167; a random one for all 39 of them about once in 2^27.
type smallPrime struct {
	prime  *big.Int
	powers map[uint64]bool
}

var smallPrimes = sync.OnceValue(func() []smallPrime {
	var list []smallPrime
	for p := uint64(2); p <= 167; p++ {
		prime := new(big.Int).SetUint64(p)
		if !prime.ProbablyPrime(0) { // exact below 2^64
			continue
		}
		powers := make(map[uint64]bool)
		for x := uint64(1); !powers[x]; x = x * 65537 % p {
			powers[x] = true
		}
		list = append(list, smallPrime{prime, powers})
	}
	return list
})

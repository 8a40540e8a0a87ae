package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"testing"
)

// modulus is a number of bits bits without small factors, to stand for an RSA modulus.
func modulus(bits int) *big.Int {
	for {
		n := must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1))))
		n.SetBit(n, bits-1, 1)
		if new(big.Int).GCD(nil, nil, n, primorial()).Cmp(big.NewInt(1)) == 0 {
			return n
		}
	}
}

// primorial is the product of the primes up to 167.
func primorial() *big.Int {
	product := big.NewInt(1)
	for _, p := range smallPrimes() {
		product.Mul(product, p.prime)
	}
	return product
}

// rocaModulus lies, modulo every prime up to 167, among the powers of 65537.
func rocaModulus() *big.Int {
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(123_456_789), primorial())
	k := new(big.Int).Lsh(big.NewInt(3), uint(2047-primorial().BitLen()))
	return n.Add(n, k.Mul(k, primorial()))
}

func TestHST040Keys(t *testing.T) {
	honest := rsaKey().PublicKey
	ec := func(c elliptic.Curve) crypto.PublicKey { return must(ecdsa.GenerateKey(c, rand.Reader)).Public() }
	exponent := func(e int) crypto.PublicKey { return &rsa.PublicKey{N: honest.N, E: e} }
	off := *ec(elliptic.P256()).(*ecdsa.PublicKey)
	//lint:ignore SA1019 a broken point is what is wanted
	off.X = new(big.Int).Add(off.X, big.NewInt(1))
	for _, tt := range []struct {
		name string
		key  crypto.PublicKey
		want string // in the error; empty: taken
	}{
		{"RSA-2048", &honest, ""},
		{"RSA-4096", &rsa.PublicKey{N: modulus(4096), E: 65537}, ""},
		{"P-256", ec(elliptic.P256()), ""},
		{"P-224", ec(elliptic.P224()), "P-224"},
		{"P-384", ec(elliptic.P384()), "P-384"},
		{"P-256 off the curve", &off, "curve"},
		{"EC without a curve", &ecdsa.PublicKey{}, "none"},
		{"Ed25519", must2(ed25519.GenerateKey(rand.Reader)), "ed25519"},
		{"none", nil, "nil"},
		{"RSA without modulus", &rsa.PublicKey{E: 65537}, "modulus"},
		{"RSA-1024", &rsa.PublicKey{N: modulus(1024), E: 65537}, "bits"},
		{"RSA-16384", &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 16_383), E: 65537}, "16384 bits"},
		{"e=1", exponent(1), "exponent 1,"},
		{"e=3", exponent(3), "exponent 3,"},
		{"e even", exponent(65538), "exponent 65538,"},
		{"divisible by 157", &rsa.PublicKey{N: new(big.Int).Mul(modulus(2048), big.NewInt(157)), E: 65537}, "divisible by 157"},
		{"ROCA", &rsa.PublicKey{N: rocaModulus(), E: 65537}, "ROCA"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckPublicKey(tt.key)
			if tt.want == "" {
				if err != nil {
					t.Errorf("CheckPublicKey = %v", err)
				}
				return
			}
			if !errors.Is(err, ErrKey) || !mentions(err, tt.want) {
				t.Errorf("CheckPublicKey = %v, want %v naming %q", err, ErrKey, tt.want)
			}
		})
	}
}

func must2[K any](pub crypto.PublicKey, _ K, err error) crypto.PublicKey { return must(pub, err) }

func TestGenerateKey(t *testing.T) {
	if _, ok := must(GenerateKey(P256)).(*ecdsa.PrivateKey); !ok {
		t.Error("P256 is not ECDSA")
	}
	if _, err := GenerateKey(7); !errors.Is(err, ErrKey) {
		t.Errorf("GenerateKey(7) = %v", err)
	}
}

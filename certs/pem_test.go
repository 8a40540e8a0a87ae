package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestHST013PEM(t *testing.T) {
	cert := CertificatesPEM(ecAuthority().Certificate())
	key := must(KeyPEM(ecKey()))
	headers := []byte("-----BEGIN CERTIFICATE-----\n" + strings.Repeat("Comment: x\n", 10<<20) + "\n-----END CERTIFICATE-----\n")
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("secret")})
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("not a certificate")})
	brokenKey := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("top secret")})
	hugeKey := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: make([]byte, 100_000)})
	damaged := bytes.Replace(cert, []byte("\n"), []byte("\n!"), 2)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, tt := range []struct {
		name  string
		data  []byte
		certs bool // a certificate file is due, else a key file
		want  string
	}{
		{"certificates", join(cert, []byte("# text between\n"), cert), true, ""},
		{"key", key, false, ""},
		{"EC parameters before the key", join(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{1}}), key), false, ""},
		{"100 MB of headers", headers, true, "bytes, at most"},
		{"private key where a certificate is due", join(cert, key), true, "private key where only certificates"},
		{"wrong type", pem.EncodeToMemory(&pem.Block{Type: "PGP MESSAGE", Bytes: []byte{1}}), true, `"PGP MESSAGE"`},
		{"no blocks", []byte("hello"), true, "no CERTIFICATE"},
		{"not a certificate inside", broken, true, "block 1"},
		{"not a key inside", brokenKey, false, "block 1"},
		{"huge key", hugeKey, false, "100000 bytes"},
		{"encrypted", encrypted, false, "encrypted"},
		{"first of two damaged", join(damaged, cert), true, "damaged"},
		{"second cut", join(cert, cert[:len(cert)/2]), true, "cut short"},
		{"unknown kind of key", pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte{1}}), false, "OPENSSH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			if tt.certs {
				_, err = ReadCertificatesPEM(tt.data)
			} else {
				_, err = readKeyPEM(tt.data)
			}
			if tt.want == "" {
				if err != nil {
					t.Errorf("error %v", err)
				}
				return
			}
			if !errors.Is(err, ErrPEM) || !mentions(err, tt.want) {
				t.Fatalf("error %v, want %v naming %q", err, ErrPEM, tt.want)
			}
			if mentions(err, "secret") || len(err.Error()) > 200 {
				t.Errorf("the error quotes what it read: %v", err)
			}
		})
	}
}

func TestKeyPEMForms(t *testing.T) {
	ec, r := ecKey(), rsaKey()
	for name, block := range map[string]*pem.Block{
		"PKCS #8": must1(pem.Decode(must(KeyPEM(r)))),
		"PKCS #1": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)},
	} {
		got, err := readKeyPEM(pem.EncodeToMemory(block))
		if err != nil || !r.PublicKey.Equal(got.Public()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sec1 := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(ec))})
	if _, err := readKeyPEM(sec1); !errors.Is(err, ErrPEM) {
		t.Errorf("PKCS #8 under the name of SEC 1: %v", err)
	}
}

// readKeyPEM reads the one private key of data.
func readKeyPEM(data []byte) (crypto.Signer, error) {
	_, keys, err := readPEM(data)
	if err == nil && len(keys) != 1 {
		err = fmt.Errorf("%d private keys, want 1", len(keys))
	}
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

func must1(b *pem.Block, _ []byte) *pem.Block { return b }

func FuzzReadPEM(f *testing.F) {
	f.Add(CertificatesPEM(ecAuthority().Certificate()))
	f.Add(must(KeyPEM(ecKey())))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nA: b\n\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if list, err := ReadCertificatesPEM(data); err == nil {
			again, err := ReadCertificatesPEM(CertificatesPEM(list...))
			if err != nil || len(again) != len(list) {
				t.Errorf("written and read again: %d of %d, %v", len(again), len(list), err)
			}
		}
		if _, err := readKeyPEM(data); err != nil && len(data) > 64 {
			if secret := base64.StdEncoding.EncodeToString(data[:32]); mentions(err, secret) {
				t.Error("the error quotes the key")
			}
		}
	})
}

package certs

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"errors"
	"io"
	"testing"
)

func TestHST036Envelope(t *testing.T) {
	mac, body := macSigner(t), read(t, "body.plist")
	ours := must(Encrypt(body, mac.Certificate))
	if !bytes.Contains(ours, []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02}) {
		t.Error("Encrypt does not use AES-128-CBC (APL-012)")
	}
	for _, tt := range []struct {
		name   string
		data   []byte
		policy Policy
		want   error
		size   int
	}{
		{"ours", ours, Policy{}, nil, len(body)},
		{"AES-128", read(t, "enveloped-aes128.der"), Policy{}, nil, len(body)},
		{"AES-192", read(t, "enveloped-aes192.der"), Policy{}, nil, len(body)},
		{"AES-256", read(t, "enveloped-aes256.der"), Policy{}, nil, len(body)},
		{"AES-128, BER in parts", read(t, "enveloped-streamed.der"), Policy{}, nil, 13_893},
		{"3DES", read(t, "enveloped-des3.der"), Policy{}, ErrAlgorithm, 0},
		{"3DES, legacy", read(t, "enveloped-des3.der"), Policy{Legacy: true}, nil, len(body)},
		{"DES, legacy", read(t, "enveloped-des.der"), Policy{Legacy: true}, ErrAlgorithm, 0},
		{"signed, not enveloped", read(t, "attached.der"), Policy{}, ErrMalformed, 0},
		{"empty", nil, Policy{}, ErrMalformed, 0},
		{"trailing byte", append(bytes.Clone(ours), 0), Policy{}, ErrMalformed, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decrypt(tt.data, mac, tt.policy)
			if !errors.Is(err, tt.want) || len(got) != tt.size {
				t.Errorf("Decrypt = %d bytes, %v, want %d, %v", len(got), err, tt.size, tt.want)
			}
		})
	}
	if _, err := Encrypt(body, identity(t, ecAuthority(), ecKey()).Certificate); !errors.Is(err, ErrKey) {
		t.Errorf("Encrypt to an EC key: %v", err)
	}
}

// Whatever fails once keys are at work fails alike, in words too: the encrypted key, the padding, the length of
// the last block, the recipient.
func TestHST036OneErrorForDecryption(t *testing.T) {
	mac := macSigner(t)
	data := must(Encrypt(bytes.Repeat([]byte("x"), 40), mac.Certificate)) // three blocks, the last 8 of padding
	flip := func(i int) []byte {
		b := bytes.Clone(data)
		b[i] ^= 0x55
		return b
	}
	key := bytes.Index(data, []byte{0x04, 0x82, 0x01, 0x00}) + 4 // 256 bytes of encrypted key
	cases := map[string][]byte{
		"first byte of the key": flip(key),
		"last byte of the key":  flip(key + 255),
		"padding":               flip(len(data) - 17), // changes the last byte of the last block
		"last block":            flip(len(data) - 1),
		"key above the modulus": bytes.Replace(data, data[key:key+256], bytes.Repeat([]byte{0xff}, 256), 1),
	}
	texts := make(map[string]bool)
	for name, b := range cases {
		_, err := Decrypt(b, mac, Policy{})
		if !errors.Is(err, ErrDecrypt) {
			t.Errorf("%s: %v, want %v", name, err, ErrDecrypt)
			continue
		}
		texts[err.Error()] = true
	}
	other := identity(t, ecAuthority(), rsaKey())
	_, err := Decrypt(data, other, Policy{})
	texts[err.Error()] = true
	half := bytes.Clone(read(t, "enveloped-aes128.der")) // shortened by a byte, all lengths mended
	_, err = Decrypt(shorten(half), mac, Policy{})
	texts[err.Error()] = true
	if len(texts) != 1 {
		t.Errorf("failures can be told apart: %v", texts)
	}
}

// shorten removes the last byte of an EnvelopedData by openssl, whose outer lengths have two bytes and whose
// last one has one.
func shorten(der []byte) []byte {
	w := berWalker{data: der}
	for {
		e, ok, err := w.next()
		if err != nil || !ok {
			return der[:len(der)-1]
		}
		if e.end == len(der) {
			defer func(i int) { der[i]-- }(e.content - 1)
		}
	}
}

// An oracle answers a wrong padding with an error, as a bare RSA key does.
type spyKey struct {
	*rsa.PrivateKey
	options []crypto.DecrypterOpts
}

func (k *spyKey) Decrypt(rand io.Reader, msg []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	k.options = append(k.options, opts)
	return k.PrivateKey.Decrypt(rand, msg, opts)
}

func TestHST036NoPaddingOracle(t *testing.T) {
	mac := macSigner(t)
	for name, want := range map[string]int{"enveloped-aes128.der": 16, "enveloped-aes192.der": 24, "enveloped-aes256.der": 32} {
		spy := &spyKey{PrivateKey: mac.Key.(*rsa.PrivateKey)}
		if _, err := Decrypt(read(t, name), Signer{Certificate: mac.Certificate, Key: spy}, Policy{}); err != nil {
			t.Fatal(err)
		}
		//lint:ignore SA1019 see guardedKey
		o, ok := spy.options[0].(*rsa.PKCS1v15DecryptOptions)
		if !ok || o.SessionKeyLen != want {
			t.Errorf("%s: decrypted with %#v, want SessionKeyLen %d", name, spy.options[0], want)
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	mac := macSigner(f)
	for _, name := range []string{"enveloped-aes128.der", "enveloped-aes192.der", "enveloped-des3.der", "enveloped-streamed.der"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		Decrypt(data, mac, Policy{Legacy: true})
	})
}

package certs

import (
	"bytes"
	"errors"
	"testing"

	"go.mozilla.org/pkcs7"
)

// nested is depth SEQUENCEs, each in the one before; the innermost holds a NULL.
func nested(depth int, indefinite bool) []byte {
	if indefinite {
		return append(append(bytes.Repeat([]byte{0x30, 0x80}, depth), 0x05, 0x00), make([]byte, 2*depth)...)
	}
	der := []byte{0x05, 0x00}
	for range depth {
		der = append(appendLength([]byte{0x30}, len(der)), der...)
	}
	return der
}

func TestHST004BERGate(t *testing.T) {
	for _, tt := range []struct {
		name string
		ber  []byte
		want string // in the error; empty: passes
	}{
		{"NULL", []byte{0x05, 0x00}, ""},
		{"depth 64", nested(64, false), ""},
		{"depth 64, indefinite", nested(64, true), ""},
		{"depth 65", nested(65, false), "deeper than 64"},
		{"depth 65, indefinite", nested(65, true), "deeper than 64"},
		{"depth 500,000 (1 MB)", nested(500_000, true)[:maxCMS], "deeper than 64"},
		{"over the cap", make([]byte, maxCMS+1), "at most 1048576"},
		{"empty", nil, "cut short"},
		{"tag alone", []byte{0x30}, "cut short"},
		{"length cut", []byte{0x30, 0x82, 0x01}, "cut short"},
		{"longer than the input", []byte{0x30, 0x03, 0x05, 0x00}, "longer than what holds it"},
		{"child longer than its parent", []byte{0x30, 0x02, 0x04, 0x01, 0x00}, "longer than what holds it"},
		{"4 GiB", []byte{0x04, 0x84, 0xff, 0xff, 0xff, 0xff, 0}, "longer than what holds it"},
		{"length of 5 bytes", []byte{0x04, 0x85, 0, 0, 0, 0, 1, 0}, "length of 5 bytes"},
		{"trailing byte", []byte{0x05, 0x00, 0x00}, "1 bytes after the end"},
		{"second value", []byte{0x05, 0x00, 0x05, 0x00}, "2 bytes after the end"},
		{"primitive of indefinite length", []byte{0x04, 0x80, 0x00, 0x00}, "primitive of indefinite length"},
		{"never ended", []byte{0x30, 0x80, 0x05, 0x00}, "cut short"},
		{"ended in a definite one", []byte{0x30, 0x02, 0x00, 0x00}, "end of contents"},
		{"parent ends before its indefinite child", []byte{0x30, 0x04, 0x30, 0x80, 0x05, 0x00, 0x00, 0x00}, "cut short"},
		{"high tag number", []byte{0x1f, 0x81, 0x01, 0x00}, "tag number above 30"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := checkBER(tt.ber, maxCMS)
			if tt.want == "" {
				if err != nil {
					t.Errorf("checkBER = %v", err)
				}
				return
			}
			if !errors.Is(err, ErrMalformed) || !mentions(err, tt.want) {
				t.Errorf("checkBER = %v, want %v naming %q", err, ErrMalformed, tt.want)
			}
		})
	}
}

func TestReadCMS(t *testing.T) {
	for _, tt := range []struct {
		name      string
		ber, want []byte
	}{
		{"DER stays", []byte{0x30, 0x02, 0x05, 0x00}, []byte{0x30, 0x02, 0x05, 0x00}},
		{"indefinite", []byte{0x30, 0x80, 0x05, 0x00, 0x00, 0x00}, []byte{0x30, 0x02, 0x05, 0x00}},
		{"empty indefinite", []byte{0x30, 0x80, 0x00, 0x00}, []byte{0x30, 0x00}},
		{"definite around indefinite", []byte{0x30, 0x06, 0x30, 0x80, 0x05, 0x00, 0x00, 0x00}, []byte{0x30, 0x04, 0x30, 0x02, 0x05, 0x00}},
		{"octets in parts", []byte{0x24, 0x80, 0x04, 0x01, 'a', 0x04, 0x00, 0x04, 0x02, 'b', 'c', 0x00, 0x00}, []byte{0x04, 0x03, 'a', 'b', 'c'}},
		{"octets in parts of parts", []byte{0x24, 0x08, 0x24, 0x03, 0x04, 0x01, 'a', 0x04, 0x01, 'b'}, []byte{0x04, 0x02, 'a', 'b'}},
		{"siblings", []byte{0x30, 0x80, 0x31, 0x80, 0x05, 0x00, 0x00, 0x00, 0x02, 0x01, 0x07, 0x00, 0x00}, []byte{0x30, 0x07, 0x31, 0x02, 0x05, 0x00, 0x02, 0x01, 0x07}},
	} {
		got, err := readCMS(tt.ber)
		if err != nil || !bytes.Equal(got, tt.want) {
			t.Errorf("%s: readCMS(%x) = %x, %v, want %x", tt.name, tt.ber, got, err, tt.want)
		}
	}
	if _, err := readCMS([]byte{0x24, 0x80, 0x02, 0x01, 0x00, 0x00, 0x00}); !errors.Is(err, ErrMalformed) {
		t.Errorf("an INTEGER as part of an octet string: %v", err)
	}
	long := append(append([]byte{0x24, 0x80}, bytes.Repeat(append([]byte{0x04, 0x82, 0x01, 0x00}, make([]byte, 256)...), 1000)...), 0, 0)
	if got, err := readCMS(long); err != nil || len(got) != 256_000+5 {
		t.Errorf("256,000 octets in parts became %d bytes, %v", len(got), err)
	}
	// The library reads BER too, if in its own way: what both read must be the same.
	raw := read(t, "macos.der")
	ours, err := readCMS(raw)
	if err != nil {
		t.Fatal(err)
	}
	a, b := must(pkcs7.Parse(raw)), must(pkcs7.Parse(ours))
	if !a.GetOnlySigner().Equal(b.GetOnlySigner()) || !bytes.Equal(a.Signers[0].EncryptedDigest, b.Signers[0].EncryptedDigest) {
		t.Error("the library reads something else in the BER than we do")
	}
	for n := range raw { // HST-002
		if _, err := readCMS(raw[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("signature cut to %d of %d bytes: %v", n, len(raw), err)
		}
	}
}

func FuzzReadCMS(f *testing.F) {
	f.Add(read(f, "macos.der"))
	f.Add(read(f, "streamed.der"))
	f.Add(nested(65, true))
	f.Add([]byte{0x24, 0x80, 0x24, 0x80, 0x04, 0x01, 'a', 0x00, 0x00, 0x04, 0x00, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		der, err := readCMS(data)
		if err != nil {
			return
		}
		if ber, err := gate(der, maxCMS); ber || err != nil {
			t.Errorf("readCMS(%x) = %x, which is BER still: %t, %v", data, der, ber, err)
		}
		if again, err := readCMS(der); err != nil || !bytes.Equal(again, der) {
			t.Errorf("read again: %x, %v, want %x", again, err, der)
		}
	})
}

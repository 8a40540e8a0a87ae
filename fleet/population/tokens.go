package population

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"io"
	"strings"

	"rollcall/protocol"
)

// tokens replaces what names a person or a piece of hardware by a keyed token: the same value gives the same
// token, and without the export nobody can try values out.
type tokens struct {
	mac  hash.Hash
	keep bool // the values themselves
	sum  [sha256.Size]byte
}

var tokenText = base32.NewEncoding("ABCDEFGHJKLMNPQRSTUVWXYZ23456789").WithPadding(base32.NoPadding)

// newTokens makes the key of the content of files.
func newTokens(files []input, keep bool) (*tokens, error) {
	content := sha256.New()
	for _, f := range files {
		r, err := f.fsys.Open(f.name)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(content, r)
		r.Close()
		if err != nil {
			return nil, err
		}
	}
	return &tokens{mac: hmac.New(sha256.New, content.Sum(nil)), keep: keep}, nil
}

func (t *tokens) of(kind, value string) string {
	t.hash(kind, value)
	return tokenText.EncodeToString(t.sum[:])[:12]
}

func (t *tokens) hash(kind, value string) {
	t.mac.Reset()
	io.WriteString(t.mac, kind)
	t.mac.Write([]byte{0})
	io.WriteString(t.mac, value)
	t.mac.Sum(t.sum[:0])
}

// name returns a name's token; kind is what it begins with.
func (t *tokens) name(kind, value string) string {
	if t.keep || value == "" {
		return clean(value)
	}
	return kind + "-" + t.of(kind, value)
}

// upn returns a user principal name's token, which is still an address.
func (t *tokens) upn(value string) string {
	if t.keep || value == "" {
		return clean(value)
	}
	return "user-" + t.of("user", strings.ToLower(value)) + "@example.com"
}

// serial returns a serial number's token; where the export has none it is made of the device's key.
func (t *tokens) serial(value, key string) string {
	switch {
	case value == "":
		return t.of("serial of", key)
	case t.keep:
		return clean(value)
	}
	return t.of("serial", value)
}

// udid returns an identifier in the platform's own form.
func (t *tokens) udid(scratch []byte, p protocol.Platform, value, key string) []byte {
	if t.keep && value != "" {
		return append(scratch, clean(value)...)
	}
	t.hash("udid", value+"\x00"+key)
	return appendUDID(scratch, p, 0, binary.BigEndian.Uint64(t.sum[:]), binary.BigEndian.Uint64(t.sum[8:]))
}

// clean makes s fit for reports: valid UTF-8, one line, at most 256 runes (HST-010).
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if n := 0; len(s) > 256 {
		for i := range s {
			if n++; n > 256 {
				return s[:i]
			}
		}
	}
	return s
}

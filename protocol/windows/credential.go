package windows

import (
	"crypto/md5" // what OMA DM's syncml:auth-md5 is made of; who is who is decided by TLS
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

// Types of a [Cred] and a [Chal].
const (
	AuthMD5   = "syncml:auth-md5"
	AuthBasic = "syncml:auth-basic"
)

// A Cred is how the sender of a message proves itself beside TLS (windows.md section 6).
type Cred struct {
	Type   string
	Format string
	Data   string
}

// A Chal asks for a [Cred].
type Chal struct {
	Type      string
	Format    string
	NextNonce []byte // out of its base64
}

// NewCred makes the credential of a user: AuthMD5 over a nonce, or AuthBasic.
func NewCred(kind, user, password string, nonce []byte) *Cred {
	c := &Cred{Type: kind, Format: FormatB64}
	plain := user + ":" + password
	if kind == AuthBasic {
		c.Data = base64.StdEncoding.EncodeToString([]byte(plain))
		return c
	}
	inner := md5.Sum([]byte(plain))
	outer := md5.Sum(append([]byte(base64.StdEncoding.EncodeToString(inner[:])+":"), nonce...))
	c.Data = base64.StdEncoding.EncodeToString(outer[:])
	return c
}

// Proves tells whether c is what [NewCred] makes of these.
func (c *Cred) Proves(user, password string, nonce []byte) bool {
	if c.Type != AuthMD5 && c.Type != AuthBasic {
		return false
	}
	want := NewCred(c.Type, user, password, nonce)
	return subtle.ConstantTimeCompare([]byte(strings.TrimSpace(c.Data)), []byte(want.Data)) == 1
}

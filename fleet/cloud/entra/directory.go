// Package entra is a simulated directory of Microsoft Entra, as far as Windows devices and MDM servers see it: tokens with which a device
// that joined, registered, or is set up by Autopilot enrols, and the keys by which a server believes them (windows.md section 9).
//
// Start with [New]; [Directory.Token] gives a token, [Directory.Keys] what the server is told. It answers no requests of its own: the
// sign-in before a token is the person's and the directory's business, and no part of an MDM protocol.
package entra

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// The names of the simulated directory.
const (
	Tenant   = "6f1c2b9e-0000-4000-8000-726f6c6c6361"
	Audience = "https://mdm.rollcall.invalid" // of the MDM application
)

// life is how long a token is good.
const life = time.Hour

const keyID = "rollcall-lab"

// A Directory gives tokens. Its methods are safe for concurrent use.
type Directory struct {
	now    func() time.Time
	signer jose.Signer
	keys   []byte
}

// New makes a directory with a key of its own; now is its clock.
func New(now func() time.Time) (*Directory, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	d := &Directory{now: now}
	if d.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", keyID)); err != nil {
		return nil, err
	}
	d.keys, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: keyID, Algorithm: string(jose.RS256), Use: "sig"}}})
	return d, err
}

// Keys are the keys that tokens are signed with, a JWKS (RFC 7517).
func (d *Directory) Keys() []byte { return d.keys }

// claims are those of a version 1 access token.
type claims struct {
	jwt.Claims
	Tenant string `json:"tid"`
	UPN    string `json:"upn,omitempty"`
	Scope  string `json:"scp,omitempty"` // in tokens of users alone
	Device string `json:"deviceid,omitempty"`
}

// Token gives a token for the MDM application: of a user on a device of the directory, or with an empty upn of the device alone.
func (d *Directory) Token(upn, device string) (string, error) {
	now := d.now()
	c := claims{
		Claims: jwt.Claims{
			Issuer: "https://sts.windows.net/" + Tenant + "/", Audience: jwt.Audience{Audience},
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-5 * time.Minute)), Expiry: jwt.NewNumericDate(now.Add(life)),
		},
		Tenant: Tenant, UPN: upn, Device: device,
	}
	if upn != "" {
		c.Scope = "mdm_delegation"
	}
	return jwt.Signed(d.signer).Claims(c).Serialize()
}

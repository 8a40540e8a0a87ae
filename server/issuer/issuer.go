package issuer

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/server/store"
)

// Prefix begins every token, so that people and secret scanners recognise one.
const Prefix = "rollcall_"

const secretBytes = 32 // 256 bits of crypto/rand

// ErrToken is the one answer to a token that opens nothing, whatever the reason: who guesses learns nothing.
var ErrToken = errors.New("no such token, or it is revoked or expired")

// New makes a token. It is shown once, to whoever asked for it, and kept nowhere: the store gets the second result,
// which has its hash. A lifetime of 0 never ends.
func New(name string, role store.Role, now protocol.Time, lifetime time.Duration) (token string, kept store.Token) {
	var secret [secretBytes]byte
	rand.Read(secret[:]) // never fails: it ends the process instead
	token = Prefix + base64.RawURLEncoding.EncodeToString(secret[:])
	kept = store.Token{Name: name, Role: role, Hash: sha256.Sum256([]byte(token)), Made: now}
	if lifetime > 0 {
		kept.Expires = now.Add(lifetime)
	}
	return token, kept
}

// Verify returns the one of known that token opens at now; else the error is [ErrToken]. It takes the same time
// whichever of known it is, or none.
func Verify(token string, known []store.Token, now protocol.Time) (store.Token, error) {
	if len(token) != len(Prefix)+base64.RawURLEncoding.EncodedLen(secretBytes) || !strings.HasPrefix(token, Prefix) {
		return store.Token{}, ErrToken
	}
	hash := sha256.Sum256([]byte(token))
	at := -1
	for i := range known {
		if subtle.ConstantTimeCompare(known[i].Hash[:], hash[:]) == 1 {
			at = i
		}
	}
	if at < 0 || known[at].Revoked || known[at].Expires != 0 && now >= known[at].Expires {
		return store.Token{}, ErrToken
	}
	return known[at], nil
}

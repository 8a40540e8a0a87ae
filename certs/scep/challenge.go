package scep

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

// NewChallenge makes a random challenge of 128 bits, 32 characters that every plist, PrintableString and
// shell takes (HST-037).
func NewChallenge() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// A ChallengeHash is what a store keeps of a challenge: its SHA-256. A challenge has 128 random bits, so the
// hash needs neither salt nor stretching, and a store can look it up.
type ChallengeHash [sha256.Size]byte

// HashChallenge hashes a challenge, as issued or as a request brought it.
func HashChallenge(challenge string) ChallengeHash { return sha256.Sum256([]byte(challenge)) }

// Matches compares in constant time. An empty challenge matches nothing, not even its own hash.
func (h ChallengeHash) Matches(challenge string) bool {
	other := HashChallenge(challenge)
	return subtle.ConstantTimeCompare(h[:], other[:]) == 1 && challenge != ""
}

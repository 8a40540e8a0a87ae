package certs

import "errors"

// The reasons for which this package says no. Every error it returns wraps exactly one of them or comes
// from making a key or a signature; [errors.Is] tells which.
var (
	ErrMalformed   = errors.New("malformed")                                // bytes that cannot be read
	ErrPEM         = errors.New("bad PEM")                                  // HST-013
	ErrKeyMismatch = errors.New("the private key is not the certificate's") // HST-046, HST-047
	ErrKey         = errors.New("public key refused")                       // type, size or weakness: HST-026, HST-040
	ErrAlgorithm   = errors.New("algorithm refused")                        // digest or cipher: HST-036, APL-007
	ErrSignature   = errors.New("the signature does not verify")            // HST-035, APL-021
	ErrDecrypt     = errors.New("cannot be decrypted")                      // one text for every reason: HST-036
	ErrForeign     = errors.New("not issued by this authority")             // HST-030, APL-022
	ErrNotIdentity = errors.New("not a client identity")                    // HST-030
	ErrExpired     = errors.New("certificate expired")                      // HST-031, AUTH-42
	ErrNotYetValid = errors.New("certificate not yet valid")                // HST-031
	ErrLifetime    = errors.New("validity ends before it begins")           // a template, not a certificate
	ErrPushTopic   = errors.New("no MDM push topic in the subject UID")     // AUTH-34
)

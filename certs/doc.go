// Package certs holds all that is certificate and CMS in rollcall: the authority that issues and verifies the
// identities of devices, push certificates, and signed and enveloped messages. It knows no device and no
// tenant, does no I/O, reads no clock and keeps no state: what was revoked or superseded, and which challenge
// was spent, is the caller's to know.
//
// Start with [NewAuthority], [Authority.Issue] and [Authority.Verify]; with [ReadPush] for push certificates; with
// [VerifyDetached] for Mdm-Signature, [VerifyAttached] for signed profiles and [VerifyMachineInfo]; with [Seal] for short
// statements signed without CMS, or as JWS; with [ParseSigned], [Message], [Encrypt] and [Decrypt] to build a protocol of CMS
// messages, as certs/scep does.
//
// # The gate
//
// The CMS library reads BER by recursion, without bound, and in quadratic time where lengths are indefinite.
// No byte from outside reaches it, or any other ASN.1 reader, but through one linear pass (ber.go), which
// refuses depth above 64, size above a cap and anything after the outermost value, and hands on BER with
// definite lengths and whole octet strings.
//
// # Which library does what
//
// go.mozilla.org/pkcs7 encodes and decodes CMS. Three things it does not do for us:
//
//   - Signatures are verified here: the library judges by the wall clock, allows no skew and cannot be asked for SHA-1 alone.
//   - Signed attributes are made here: the library takes the signing time from the wall clock, and ours may be a driven one.
//   - The key of an envelope is decrypted here, and only its content by the library. The library reports wrong padding of that
//     key, which would be an oracle; ours goes on with a random key instead (HST-036).
//
// # Divergences
//
//   - A signer named by subject key identifier (RFC 5652, version 3) is refused: no device is known to send it.
//   - A signed attribute twice, or with two values, is refused, and so is a detached signature that carries a
//     content: nothing may be read in two ways.
//   - The signing time of an Mdm-Signature is the one time of a device that decides anything: HST-058 gives way to HST-035
//     and APL-022 here. Whether the certificate holds is judged by our own clock all the same, so the check keeps nobody
//     out who has the key; it refuses a signature that was plainly made for another time. No Mac sends a signing
//     time. An Apple TV whose clock is off by more than validity allows is answered 400, keeps its enrolment, and is served
//     again once its clock is set; over TLS without signatures, whatever its clock says.
//   - Identities and signers are RSA of 2048 to 4096 bits with an exponent from 65537, or P-256. There is no
//     list of known-weak keys; small factors and the ROCA fingerprint are tested by arithmetic.
//   - [VerifyMachineInfo] takes SHA-1 and RSA-1024, whatever legacyCMS says: a factory identity is for life.
//   - Rounds of key derivation that stand inside an encrypted part of a PKCS #12 file are not bounded; those
//     of its MAC and of its parts are.
package certs

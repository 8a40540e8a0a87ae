// Package est speaks EST (RFC 7030), both sides: [Server] answers cacerts, simpleenroll and simplereenroll, [Client] asks. Identities
// are P-256 keys. Making challenges and keeping them, as hashes only, is the server's (HST-037).
//
// Start with [Server.Issue], the one decision that is asked of the caller, and with [Client.Enroll].
//
// # What decides
//
// [Server] takes a request only where who asks is known: by HTTP Basic authentication in simpleenroll, which is a device's name and
// its challenge, by the TLS client certificate in simplereenroll. Then it reads the PKCS #10 request, checks its key and its
// signature, and holds a renewal's subject against the present certificate's; only then is Issue asked. What is issued is the
// caller's: of the request only the key counts (HST-039). A repeat is Issue's to recognise, by the request's hash: a client here makes
// the same request of the same key again, since it signs deterministically.
//
// # Divergences
//
//   - serverkeygen, fullcmc and csrattrs are not served (404): keys are made where they are used.
//   - Content-Transfer-Encoding is written and not read: bodies are base64 whatever it says (RFC 8951, section 3.1).
//   - Only P-256 keys are taken: RSA identities come by SCEP.
//   - A refusal is a line of text with its status: 400 for a request that is wrong, 401 where nobody is known, 403 for who may not,
//     413 above 128 KiB, 503 with Retry-After for what is ours to mend.
package est

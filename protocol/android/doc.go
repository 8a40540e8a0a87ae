// Package android has the messages of rollcall's agent protocol for Android: bytes to values and back, both sides of the wire, and the
// compiler that makes one policy of many profiles. It is pure: no I/O, no clock, no key, no signature.
//
// Start with [Decode] and [Append]; then [EnrollRequest], [CheckIn] and [CheckInAnswer]; then [Compile].
//
// Android has no open protocol between a device and its management. This is one, in Google's words (policies, states, reasons and
// commands are those of Android Management API), for devices whose agent is their owner: AOSP, lab and legacy devices. What follows is
// all that a stranger needs to write a client; openapi.json says the same for programs, and a test holds it against the types.
//
// # Transport
//
// HTTPS, TLS 1.2 or later, HTTP/1.1, JSON in UTF-8. A request has at most 1 MiB, and may be gzipped. Paths begin with /android/v1/.
// Every request has protocol, now 1. Members that a side does not know it ignores; a member twice, a number beyond its range, bytes
// behind the object, or more than 64 levels are refused. Integers of 64 bits that come from Google's types travel as text ("7"),
// lengths of time as "28800s", instants as RFC 3339 in UTC. Member names are compared to the letter. What names a device, an enrolment,
// a check-in or a command has 1 to 64 letters, digits, hyphens, dots and underscores.
//
// Discovery and enrolment need the server's certificate alone. All else comes with the device's identity certificate (mutual TLS). The
// certificate decides which device it is; the member device must agree, else 403 DEVICE_MISMATCH, and nothing happened.
//
// # From a token to a managed device
//
// 1. An administrator makes an enrolment token, which stands in a QR code, a zero-touch configuration ([ProvisioningData]) or a link. It
// is for one device, one mode and one user or none. With rollcall.CA_SHA256 the server is known by that authority alone: who has not got
// its certificate takes it from GET /.well-known/est/cacerts, believing nobody yet, and compares (RFC 7030, section 4.1.1).
//
// 2. GET /android/v1/discovery gives a [Discovery]. The policy keys in it are kept: nothing that they did not sign ends management. So are
// the identity keys: a certificate that none of them signed, the first or a renewed one, is not the server's.
//
// 3. POST /android/v1/enroll with "Authorization: Bearer TOKEN" and an [EnrollRequest] gives an [EnrollAnswer]. The same request again
// gets the same answer, until the device has checked in; another device's gets 401 TOKEN_USED.
//
// A server may want the attestation of a key, by the device's key store, before it takes the device: the chain of certificates of a key
// that was made with the SHA-256 of the token as its challenge. It must end at an authority that the server trusts, none of it may be
// revoked, and the key must be kept by secure hardware: else 403 ATTESTATION_MISSING, ATTESTATION_MALFORMED, ATTESTATION_FOREIGN_ROOT,
// ATTESTATION_REVOKED, ATTESTATION_WRONG_CHALLENGE or ATTESTATION_SOFTWARE_LEVEL. The certificate is then for that key alone: a request
// with another is refused like one with a wrong challenge.
//
// 4. The device makes a key, unless it has an attested one, and a PKCS #10 request with the subject of the [Offer], and gets its
// certificate by the method that the offer names. Method est: POST URL/simpleenroll, Content-Type application/pkcs10, the request in
// base64, HTTP Basic authentication with the member device of the [EnrollAnswer] and the challenge (RFC 7030, section 4.2). A challenge is
// for one request: if that got no answer, the same bytes are sent again. EST refuses with a line of text; the status is 403 for a wrong
// challenge and for a common name other than the offer's. Method scep: RFC 8894 with the challenge as challengePassword and the subject of
// the offer, and RenewalReq for a renewal; a challenge for another name, and a renewal before its time, are FAILURE.
//
// 5. POST /android/v1/checkin, reason ENROLLED. Round 1 brings a whole [StatusReport], and push where the device can be woken: of what
// the device is, the server keeps what is said here. The answer brings the first policy. Round 2 says what became of it, and with its
// answer the device is enrolled. A device that gets no policy in five minutes has not enrolled, and is reset.
//
// # A check-in
//
// A check-in is one or more rounds with one checkin id, which the device makes. Each says what the device keeps to ([AppliedPolicy], in
// the state of the last answer, PROVISIONING before any), round 1 also what it owes: results, and push when that is another one. The
// [CheckInAnswer] to round 1 brings the policy where what the device keeps to is not the right one, by its name, its version or its
// profiles (one is missing, has failed, is there in another version or twice, or nobody knows it); a device that has none says neither name
// nor version. A version that was not given to the device counts for nothing. The answer also brings commands, and the request to
// renew. The device does all that and says in the next round what came of it: a status for each profile of the policy, a [Result] for each command. REQUEST_DEVICE_INFO asks for a whole status
// report there; no other is owed. complete:true ends the check-in; only with it does a device move from one authority to another. At most
// 16 rounds.
//
// A round that got no answer is sent again as it was, before any other: for a day the server answers with the bytes of the first time, and
// nothing is done twice. It keeps a device's 16 latest answers that brought or changed something, as many as a check-in has rounds: of an
// older one, or one that brought and changed nothing, it says what is so now.
// The device keeps the names of the commands that it carried out, a thousand at least, and reports one that comes again without
// carrying it out again. createTime is when it was ordered. A command past its expireTime is not carried out: EXPIRED.
//
// A policy is whole, never a difference, and has a higher version than any before, up to the largest of 64 bits. Of what it lists,
// the device changes what differs. A profile that is not listed any more leaves, except those of family configuration, which stay
// (AUTH-55). The device drops a profile with removeAfter by itself at that time, or at once if it is past, and does not install it
// anew (AUTH-27). What has left is not reported any more. A policy whose signature is
// wrong, or whose version is below the one in force, is not applied. WIPE and RELINQUISH_OWNERSHIP are carried out only with an [Order]
// in order, and after their result was taken: no further round follows, and no good-bye.
//
// When to come: at once after the enrolment, then after next.after. In QUICK (every 3 min for 15 min, every 15 min for 2 h) that is the
// interval; in STEADY, 8 h, each device keeps a place of its own in the interval. A push brings no content: it is a hint to check in.
// A device that was off the network and missed contacts or pushes makes up for them with one check-in, by chance within five minutes of its
// return, so that those that an outage kept away do not come back together.
//
// # What a device does with an answer
//
//   - 200: as above.
//   - 401: it is not recognised (NOT_RECOGNISED), or the token is not: TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_USED. It keeps everything and
//     tries again as after a 503; after three in a row it tries once to renew its certificate. It never removes itself.
//   - 403: a refusal that stands, with a reason and mostly a rule: AUTHORITY_UNKNOWN, CONSENT_MISSING, UNLICENSED, DEVICE_LIMIT,
//     MODE_NOT_ALLOWED, DEVICE_MISMATCH, REFUSED, or one of those that begin with ATTESTATION. It keeps everything and comes back by its schedule.
//   - 410: only with an order, in a detail of @type rollcall/unenrollOrder, that is signed by a policy key of its enrolment and names this
//     device and enrolment does it leave. It says good-bye and removes management as mode says: PROFILE takes the work profile of a
//     WORK_PROFILE_PERSONAL, RELEASE leaves the data of a WORK_PROFILE_COMPANY or AOSP_USER, RESET resets any but the first. Without an
//     order, or with another kind's, it is a 503.
//   - 429, 5xx, no answer: keep everything; Retry-After where there is one, else 1 min doubling up to 30 min, each more or less by a fifth.
//   - anything else, an HTML page among it: a failed request, as after a 5xx. Of ours are 400 MALFORMED and PROTOCOL_UNSUPPORTED, 413
//     TOO_LARGE and 415 MALFORMED, which sending the same again does not mend.
//   - a TLS alert about its certificate: the identity has ended, and the device enrols again.
//
// 503 with metadata epoch, changedAt and notice tells of a change of authority; the device takes the notice when its signature holds.
//
// # Signed statements
//
// Orders, notices and policies are compact JWS by ES256 with a policy key. The protected header is always
// {"alg":"ES256","kid":KID,"typ":TYPE}, to the byte, so that nothing is to be negotiated: compare it and verify. An order, of TYPE
// rollcall-order, has an [Order] as its payload, a notice, rollcall-notice, a [Notice].
//
// The signature of a policy, rollcall-policy, leaves its payload out (two dots side by side; RFC 7515, appendix F). It is five texts with
// a line feed between them: the device's name, its enrolment, the version in digits, and the members policy and profiles of the
// [PolicyUpdate], to the byte as they stand in the message. So no policy passes for another device's, nor for that of an enrolment before.
//
// # Renewal and leaving
//
// Renew in an answer asks for a renewal in the last 42 days of the certificate, by the method that its [Offer] names, for a new key. Method
// est: POST URL/simplereenroll over mutual TLS with the certificate in use, with its subject or that of the offer. Method scep, which is
// offered only to a device that enrolled by it with an RSA key: a RenewalReq that the certificate in use signs, with its subject. The
// old certificate holds until the new one was used once (AUTH-41); then it gets 403. The device takes a certificate only for its own key, with the subject that it has, and signed by one of the identity keys. The common name
// of a subject is the device's name, its organizational unit the enrolment, whatever the request says: a server that was restored from a
// backup knows by it whether the certificate is of the enrolment that it knows (HST-101).
//
// POST /android/v1/unenroll with an [UnenrollRequest] says good-bye; the certificate is revoked with the answer.
//
// # Divergences
//
//   - android.md, section 8, gives the policy's signature as "k1.…"; here it is a JWS like the others, so that a client verifies one
//     thing.
//   - The server writes no expireTime of a command, which section 8 shows: no order has an end, it waits until its device has heard of it,
//     however long that is silent. A client keeps to an expireTime all the same.
//   - A member null is as if it were not there, and refused where it must be there. NUL and half surrogate pairs are refused in strings.
package android

// Package device has the endpoints that devices call, one file per platform, each with its protocol's own way to
// say no. A handler decodes, calls the server core and encodes; it decides nothing about a device.
//
// Start with [New]. [Handler.TLSConfig] and [HTTPServer] put it on a listener: identity comes from the TLS client
// certificate, which is held against the authority and the store at every handshake, resumed ones too, and against the
// message on every request (HST-033). Where Config.SignMessage is set, an Mdm-Signature header may stand in for it; from
// Config.Proxies a header with the certificate may (APL-024). [Admission] stands before all of it when more devices come than
// can be served.
// [Enrolment] writes the profiles with which devices enrol and renew.
//
// Paths: PUT /apple/mdm and PUT /apple/checkin (either takes both kinds of message), GET /e/{ticket} and
// /apple/enrol?ticket= for people, POST /apple/ade for devices of automated enrolment, /scep. Where Config.Windows is set, the
// paths of package protocol/windows too, and a page to sign in at.
//
// # Windows
//
// A user enrols with his UPN and, as the password, the token of an enrolment link; without a link's user a device is nobody's. The
// certificate is issued after all gates, the enrolment is complete with the first session, and a session's state is in the exchange
// record of its latest answer: whoever serves the next message goes on from it, after a crash too. A message of the device's may
// report on many commands and its answer hold many (delivery.Batch); one that has only Status ends the session, and only that
// registers the device. Profiles are said in Windows' words by package server/csp.
//
// Android devices (Config.Android) are served as package protocol/android's page says: GET /android/v1/discovery, POST /android/v1/enroll,
// /android/v1/checkin and /android/v1/unenroll, EST below /.well-known/est. [Handler.Provisioning] writes their QR codes. A round of a
// check-in is one decision of delivery's with a Batch; what a document says to Android, package server/policy knows, and package
// protocol/android makes one policy of them. A device is enrolled when it has applied its first policy; it moves with the round that ends a
// check-in. A steady round is decided afresh when it comes again; any other gets its bytes again (AND-073). When a device says the
// same of itself for the third time on one connection, the bytes are not parsed again; and while neither the device nor the world
// has changed, its answer is the previous one. BenchmarkAndroid shows what that is worth.
//
// # The notice
//
// Any answer may tell a device of a change of authority, in the header Rollcall-Notice (package protocol/apple). The notice is
// signed with a key of the server's own, whose certificate is in the enrolment profile.
//
// A request with the header Rollcall-Authority asks who manages the device, since when and by which rule; the answer says so in a
// header of the same name. While a device enrols, it says since when another was enrolled whose place this one takes (HST-032).
//
// # What a device never hears
//
// 401, 410 and the body com.apple.unrecognized.device make a device give up its management. No path of this
// package answers a device with one of them, whatever went wrong (APL-094, HST-027): nobody can lose a fleet by a mistake
// here. Retiring a device is a command like any other; where an administrator orders that a device be dropped instead, the
// command's place in its queue is taken by the 403 with that body, and by nothing else. With each answer by which a device is to
// leave goes the header Rollcall-Order, signed for that device under that identity: a real machine believes no other. There is one
// 410: it answers UserAuthenticate, where it says that this user is not managed (APL-038).
//
// Android's protocol has answers of its own. 401 is no end there, and 410 is one only with an order that is signed for this device in this
// enrolment, which an administrator's order alone brings.
//
// # Enrolments are bounded
//
// Where Config.EnrolRate is set, a network has so many enrolment profiles a second and as many certificates, and a link,
// serial number or challenge a few uses (HST-045). One too many is refused by 503 with a time to come again, before anything
// of it is read or used up. Networks are told by the socket's address: behind a proxy all devices are one.
// Whoever is refused a profile by rule stands in the journal, once an hour for each rule and so many together, the others in
// the log only.
//
// # Slow bodies
//
// A request takes one of the places of [Admission] with its whole body, so that whoever is slow to bring one keeps nobody from being served
// (HST-020). Up to 4 KiB have room as long as their connection does; what is larger shares 256 MiB where the request comes with a
// certificate, 64 MiB where it does not, a message with a signature alone among them. Where that is used up, those give way who have
// been at it for three seconds, the oldest first; without such a one the newcomer is refused. Both hear 503 and a time to come again.
//
// # Sessions end with the process
//
// The keys of TLS session tickets are Go's: made at the start, changed every day, kept nowhere. A restart costs each device one
// full handshake, which is no trouble: wake-ups and admission follow what the server gets through. Keys on the disk would be: a
// ticket holds the client certificate, so whoever has the key can write one for any device and be it, without the key of that
// device or of the authority, and reads what TLS 1.2 sessions said. A stolen backup must not be every device.
//
// # Windows devices of a directory
//
// With Windows.Verify a device may enrol with a token of its directory: a user's, a package's or its own (WIN-067). Which way that is
// decides whether the device limit counts it (AUTH-47), and only what it says tells: Autopilot by ZeroTouchProvisioning, a group policy by
// UXInitiated, registered by EnrollmentType Full, joined else. Configuration Manager's client says the same as a group policy: it is
// taken for that where the user is under co-management (AUTH-15), and asked in each session. Whether the user is an enrolment manager no
// device says: the tenant has a list of them (enrolment_manager of a user). Tokens that come with a session (Authorization, DeviceToken)
// are not looked at: the certificate says who it is (WIN-030). With Windows.Terms a user is shown the terms
// of use first; what that page gives comes back as EnrollmentData, and without it, or after an hour, the answer is InvalidEnrollmentData.
//
// # Divergences
//
// A request by AuthPolicy Certificate is taken in one shape alone: the certificate of a package that is known here has signed Timestamp,
// token and Body, by their ids, with RSA and SHA-256. Microsoft's example digests by an id "envelop" what it does not say, and has SHA-1
// in one place: neither is taken; nor is a request for policies that only shows the certificate. What a PC says of its hardware ends only
// an enrolment of the same user, or of the same package (WIN-024, HST-051). Whether anybody sits at a device of the directory only the
// device says (UXInitiated): who has it say false sees no terms of use, and is none the more entitled. A large object comes in 64 pieces
// at most.
//
// The user channel of a Mac is not managed: UserAuthenticate is answered 410, so that no digest is ever asked for; the
// other messages are answered and change nothing, once their certificate is the device's. GetToken and
// DeclarativeManagement are answered 404 until there is something to give. Of a malformed message the log has its
// elements and keys, its length and its SHA-256, not its bytes: they may hold secrets. HTTP/2 is not offered: devices
// hold one connection with one request at a time, and HTTP/1.1 costs less.
// A request with chunks and a Content-Length is read by its chunks and answered, not refused by 400 (HST-022): net/http hides the
// length. RFC 9112, section 6.3, allows that where the connection is closed afterwards, as it is after every request with
// chunks. Two equal Content-Lengths are one (RFC 9110, section 8.6); two that differ are refused.
package device

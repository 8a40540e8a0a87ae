// Package interop holds rollcall against what other people wrote: its device against their MDM server, their device
// against its server, their SCEP and push clients against its services and the reverse, and openssl against its
// CMS. It has nothing but tests, in a module of its own, so that their dependencies never reach the product:
//
//	(cd fleet/interop && go test ./...)
//
// Start with nanohub_test.go and server_test.go. Everything runs in one process over loopback, by TLS except for
// micromdm's SCEP client, which cannot be told whom to trust; the tests with openssl or Python skip themselves where it is not
// installed. The peers are micromdm's nanohub (server), nanomdm (push client, device) and scep (client and server), Google's client
// of FCM with its signing of access tokens, and naive clients in Python: of WNS and a Windows device, written from the published specifications
// alone, and an agent of our own protocol for Android, written from its page, its OpenAPI document and RFC 7030 alone. Where
// that one stumbles, the page is wrong.
// Commands for nanohub are made, and results and our commands read, by mdmcommands, which is generated from Apple's
// schema by yet another hand.
//
// BenchmarkPeer measures our server beside nanomdm's, in memory and on a PostgreSQL of its own where one is installed, and
// BenchmarkFleet our devices beside a client that is nothing else:
//
//	(cd fleet/interop && go test -run xxx -bench Peer -benchtime 1x -timeout 30m)
//	(cd fleet/interop && go test -run xxx -bench Fleet -benchtime 1x -timeout 30m)
//
// # Divergences
//
// Where a peer is wrong, a test asserts its fault and names the statement that it breaks, so that it fails when the peer
// was mended and this list is to be shortened:
//
//   - nanopush sends no header but apns-expiration, and glues PushMagic into its JSON (APL-100).
//   - scep signs with SHA-1 and encrypts with single DES, client and server, whatever the other side announces (APL-007,
//     APL-012). Only package globals of its CMS library, which its programs do not set, change that; the tests do.
//   - scep's client encrypts to every certificate of GetCACert unless a selector is given, and by GET sends an alphabet
//     of base64 that RFC 8894 does not have (APL-005).
//   - scep's server copies the request's senderNonce into its answer (APL-006), and its static challenge is wanted of a
//     renewal too (APL-011).
//   - nanohub takes the Authenticate of a renewed identity for a new enrolment and empties the queue (APL-035), and lets any
//     certificate of its CA take over an enrolled UDID (APL-023). The certificate that is bound to nobody gets 500, not 400.
//   - nanomdm's store in memory still hands out the push address of a device that checked out (APL-036).
//   - nanomdm's device makes a certificate of its own and push tokens of 64 bytes. The tests sign and connect with an
//     identity that the server issued, and have a recorder in the place of APNs.
package interop

// Package interop holds rollcall against what other people wrote: its device against their MDM server, their device
// against its server, their SCEP and push clients against its services and the reverse, and openssl against its
// CMS. It has nothing but tests, in a module of its own, so that their dependencies never reach the product:
//
//	(cd fleet/interop && go test ./...)
//
// Everything runs in one process over TLS on loopback; the tests with openssl skip themselves where it is not
// installed. The peers are micromdm's nanomdm (push client, device), nanohub (server) and scep (client and server).
//
// # Where they differ
//
// A test that meets a peer's fault asserts the fault and names the statement that it breaks, so that it says when the
// peer was mended:
//
//   - nanopush sends neither apns-topic nor apns-push-type nor apns-priority, and glues PushMagic into its JSON
//     (APL-100).
//   - scep, client and server, signs with SHA-1 and encrypts with single DES, whatever the other side announces
//     (APL-007, APL-012); package globals of its CMS library change that. Its client encrypts to every certificate of
//     GetCACert unless told to choose. Its server copies the request's senderNonce into its answer (APL-006).
//   - nanohub answers a broken or unauthorised request but goes on and writes the body of the answer as well; an
//     Authenticate clears the queue and forgets the bootstrap token even when it only renews an identity (APL-035).
//   - nanomdm's device signs with SHA-1 as Macs do, and its certificate cannot be chosen: the tests sign again with one
//     that the server issued.
package interop

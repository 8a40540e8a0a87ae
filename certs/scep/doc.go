// Package scep speaks SCEP (RFC 8894; apple.md section 3), both sides: [Server] answers, [Client] enrols. Making
// challenges and keeping them, as hashes only, is the server's (HST-037).
//
// Start with [Server.Issue], the one decision that is asked of the caller, and with [Client.Enrol]. A P-256
// identity comes through SCEP with an RSA [Transport]; a fleet shares a few of them, and one [CACache].
//
// # What decides
//
// The server verifies the outer signature, refuses every message type that it does not know, verifies
// who may send a RenewalReq, opens the envelope and checks the CSR, in this order; only then is Issue asked.
// What an alteration breaks between signature and CSR has one answer in one text (HST-036). A repeat is Issue's to
// recognise, by TransactionID and CSRHash: a client here makes the same of both when it asks again, since it
// signs CSRs deterministically.
//
// # Divergences
//
//   - Messages are framed by ours, from the parts of package certs; github.com/smallstep/scep reads the
//     challengePassword and is the second opinion in tests. It signs CSRs twice, dates signatures by the wall clock,
//     cannot read CertPoll nor SHA-1 (which legacyCMS may allow), copies the senderNonce into its answers and
//     knows no PENDING.
//   - The client sends AES only. A CA without AES and SHA-256 is refused, as iOS 18 does, not served with 3DES.
//   - Messages must be signed by RSA keys, for the answer is encrypted to the signer: a P-256 identity cannot
//     sign a RenewalReq.
//   - Whoever asks for a certificate of a P-256 key gets it under a P-256 signature, the authority's own, where its certificate
//     may sign messages (those made here may): an RSA signature is a third of what an enrolment costs a server. All
//     others, and every refusal, are answered under RSA.
//   - UpdateReq, GetCert, GetCRL and GetNextCACert are not served.
//   - RFC 8894 has no failInfo for most refusals. Ours: badAlg for algorithms and non-RSA signers,
//     badMessageCheck for signature and envelope, badRequest for the rest, with the reason as failInfoText.
package scep

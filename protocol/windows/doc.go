// Package windows turns the bytes of Windows' enrolment and management protocols into Go values and back, both sides of the wire:
// the SOAP messages of discovery, policy and certificates (MS-MDE2, MS-XCEP, MS-WSTEP), the provisioning document, and SyncML
// (OMA DM 1.2, MS-MDM). It is pure: no I/O, no clock, no identity. PKCS#10 and CMS inside the messages are package certs'.
//
// Start with [Envelope], [DecodeEnvelope], for a server [DecodeRequest], and [EncodeEnvelope] for the enrolment phase; then
// [Provisioning], [DecodeDocument] and [ReadProvisioning] for what it brings; then [Message], [DecodeMessage] and [EncodeMessage] for a
// management session. [Fault] and [HRESULT] are how either side says what went wrong.
//
// # The reader
//
// Everything from outside goes through one strict scan of our own, which checks as it reads and builds nothing in between. It takes
// XML 1.0 in UTF-8 or in UTF-16 with a byte order mark, and refuses what two readers might see in two ways or what costs more than
// it says: messages of more than 1 MiB, elements more than 64 deep or more than 32,768, document types, entities other than XML's five,
// processing instructions, attributes or single elements that come twice, a second root, anything after the first, characters
// that XML forbids, prefixes that stand for nothing. Elements are known by namespace and name, whatever their prefix, and mean
// something at their one place alone; credentials and tokens at any other place refuse the message (HST-018). Errors name the byte
// and the element, never a value.
//
// # Signatures
//
// No library verifies the XML signature of such a request. The one that is maintained, goxmldsig, takes only signatures that stand
// inside what they sign and name their certificate in X509Data; it accepts SHA-1; and its parser is not the one that would read
// the values, which is how its own signature-wrapping faults came about (CVE-2020-15216, GHSA-479m-364c-43vc). So [DecodeRequest]
// digests what the scan above has read, each part at its one place and never found by its id, and accepts only the transforms,
// algorithms and keys named under Divergences.
//
// # Divergences
//
//   - Names of elements and attributes are ASCII; no message of these protocols has others.
//   - XML inside Data must be escaped or in CDATA: markup there refuses the whole message (WIN-039).
//   - Children of Meta may be in metinf's namespace, in SyncML's own or in the misspelt "syncml:metinfo"; in others they are ignored.
//   - SOAP 1.1 is taken in answers alone, and SYNCML:SYNCML1.1 as 1.2.
//   - Numbers beyond their range become the largest one (HST-009), except where a length of time would.
//   - A SessionID may have 16 characters; MS-MDM says 4 bytes.
//   - WBXML is not spoken: a server answers 415 (windows.md section 13). Messages of sessions are not signed (MS-Signature).
//   - A bootstrap certificate's XML signature (AuthPolicy Certificate) is read in the one shape that [SignEnvelope] writes: RSA and SHA-256
//     over Timestamp, token and Body by their ids, in exclusive canonicalization. Microsoft's own example does not say what it digests, and
//     no independent client was seen.
//   - [ReadProvisioning] refuses settings that windows.md section 4.1 does not list, though real devices may know more.
package windows

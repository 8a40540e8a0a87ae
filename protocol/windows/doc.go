// Package windows turns the bytes of Windows' enrolment and management protocols into Go values and back, both sides of the wire:
// the SOAP messages of discovery, policy and certificates (MS-MDE2, MS-XCEP, MS-WSTEP), the provisioning document, and SyncML
// (OMA DM 1.2, MS-MDM). It is pure: no I/O, no clock, no identity. PKCS#10 and CMS inside the messages are package certs'.
//
// Start with [Envelope] for the enrolment phase, [Provisioning] and [Document] for what it brings, and [Message] for a management
// session. [Fault] and [HRESULT] are how either side says what went wrong.
package windows

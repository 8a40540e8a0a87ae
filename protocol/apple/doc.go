// Package apple turns the bytes of Apple's MDM protocol into Go values and back, both sides of the wire:
// check-in messages, reports and results, commands, profiles, MachineInfo, the body of a push and the bodies of
// a 403. It is pure: no I/O, no clock, no identity. CMS around a profile or a MachineInfo is taken off by package
// certs; whose certificate a message came with is for the server to compare with [Message.ID].
//
// Start with [Message], [DecodeMessage] and [EncodeMessage], which both endpoints see; then [Command] and
// [Result]; then [Profile]. [EncodeReply] and [Message.CheckIn] translate from and to the words of package protocol.
//
// # The gate
//
// Everything from outside passes one strict scan, written for this, before anything else looks at it. It takes
// XML property lists only and refuses whatever two parsers might read differently: binary lists, bytes before or
// after the document, a second root, duplicate keys in any dictionary, dictionaries and arrays more than 64 deep,
// more than half a million elements, document types that declare something or name a file, entities other than
// XML's five, processing instructions, attributes, encodings other than UTF-8 and UTF-16 with a byte order mark,
// characters that XML forbids, numbers and dates that do not exist. [DecodeMessage] fills its message in the
// same scan, since it runs at every check-in; all other property lists go to github.com/micromdm/plist behind
// the gate. A fuzz test holds the two ways against each other.
//
// Keys that this package does not know are ignored, because Apple adds keys; a key in another case is such a key.
//
// # The notice
//
// Apple's protocol cannot tell a device of a change of authority. Rollcall's server does it in a header of its own on any
// answer, refusals included ([NoticeHeader]), which other devices ignore. It is signed; the key's certificate comes as an
// ordinary certificate payload of the enrolment profile ([NoticeIdentifier]): every Apple device knows that type and merely
// stores it, whereas a key added to the MDM payload or a payload type of our own might be refused. The key is not the
// authority's that issues identities, so a notice can stand for nothing else, and each tenant has its own (HST-057).
//
// # Divergences
//
//   - Attributes other than version of plist, processing instructions and CDATA between elements are refused;
//     no device writes them.
//   - A document type with SYSTEM is refused (HST-003), though the oldest Macs wrote such files.
//   - Integers: [DecodeMessage] takes what Apple takes, -2^63 to 2^64-1 with either sign, and stops at 2^63-1
//     where it keeps one. Behind the gate they end at 2^63-1 and have no plus sign, because the library would wrap
//     the one and refuse the other.
//   - Dates are years 1 to 9999 in whole seconds UTC, written with Z; there is no leap second.
//   - DeviceName, Model, ModelName and UserLongName are brought to NFC and cut after 256 characters (HST-010).
//   - UDID and EnrollmentID may have letters, digits and - _ . only: what Apple sends, and nothing that means
//     something in a path, a query or the colon of [Message.ID].
//   - The macOS-only keys of the SCEP payload are not modelled, nor are ConsentText and
//     expiry of a profile: they are dropped when a profile is read.
package apple

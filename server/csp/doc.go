// Package csp says profiles and orders in the words of Windows' configuration service providers: as the SyncML commands that install
// and remove them (windows.md section 11). Pure: no I/O, clock or goroutines.
//
// Start with [Read], which takes a document as an administrator uploads it. [Profile.Install] and [Profile.Remove] are the two
// directions, and [Before] is what they are told of the device; [Order] says the other commands of the server.
//
// A document is either SyncML, a SyncBody of Add, Replace, Exec and Atomic in the order in which they are to be done, for Windows
// alone; or a configuration profile of Apple's, of which what has a counterpart on Windows is translated.
//
// It will not send anything, and does not know what is on a device: [Before] says which profiles were there.
//
// # Divergences
//
//   - What a version before wrote is read from its document again, which the server keeps under its number for ever, and not from a list
//     kept for each device: a million of those would say no more. So a translation that comes to name other nodes must delete the former
//     ones too; testdata shows each node that one has.
package csp

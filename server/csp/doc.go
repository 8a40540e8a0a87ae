// Package csp translates profiles and orders for Windows' configuration service providers: into the SyncML commands that install and
// remove them (windows.md section 11). Pure: no I/O, clock or goroutines.
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
//   - What an earlier version wrote is read again from its document, which the server keeps for ever under its number, and not from a
//     list kept for each device: a million of those would say no more. So a translation that changes to other nodes must still delete
//     the former ones; testdata shows the nodes of each.
package csp

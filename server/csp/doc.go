// Package csp says profiles and orders in the words of Windows' configuration service providers: as the SyncML commands that install
// and remove them (windows.md section 11). Pure: no I/O, clock or goroutines.
//
// Start with [Read], which takes a document as an administrator uploads it. [Profile.Install] and [Profile.Remove] are the two
// directions; [Order] says the other commands of the server.
//
// A document is either SyncML, a SyncBody of Add, Replace, Exec and Atomic in the order in which they are to be done, for Windows
// alone; or a configuration profile of Apple's, of which what has a counterpart on Windows is translated.
//
// It will not send anything, and does not know what is on a device: [Profile.Install] is told which version was there.
package csp

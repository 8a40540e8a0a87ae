// Package policy translates profiles into parts of Android's policies (android.md, section 5): which settings of a device's one policy
// come from which document. Pure: no I/O, clock or goroutines.
//
// Start with [Read], which takes a document as an administrator uploads it: either JSON, a part of a policy in Google's words, for
// Android alone; or a configuration profile of Apple's, of which what has a counterpart on Android is translated.
//
// It will not merge documents: package protocol/android compiles them.
package policy

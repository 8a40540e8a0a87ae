// Package link is the HTTP over mutual TLS of a device: it carries out what package dialect wants done, one request at
// a time, over a connection that it makes for the conversation and closes after it, as real devices do.
//
// Start with [New]; one [Link] serves any number of devices, each from its own goroutine. [Link.Enrol] and
// [Link.Converse] run one conversation from beginning to end.
//
// It speaks HTTP/1.1 by itself, with the standard library's reader of responses: a client of net/http keeps 36 KB for each
// device. Redirects are followed within the same host and never remembered; what an answer may cost in memory is
// capped (HST-120). TLS is the standard library's, with the device's clock.
//
// # Divergences
//
// SCEP requests of different devices share connections, since they carry no identity. Real devices make their own.
package link

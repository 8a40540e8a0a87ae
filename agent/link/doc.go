// Package link is the HTTP over mutual TLS of a device: it carries out what package dialect wants done, one request at
// a time, over a connection that it makes for the conversation and closes after it.
//
// Start with [New]; one [Link] serves any number of devices, each from its own goroutine.
package link

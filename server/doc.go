// Package server is a tenant's MDM server without sockets and clock: it decides, commits, then acts.
//
// Start with [Open] and [Server.Handle]: everything that happens to a device is an event, decided by package delivery,
// made durable by a store in one commit, and only then answered. [Server.Tick] does what is due (wake-ups,
// clean-up); [Server.Next] says when. Administration is one commit for each change as well.
//
// It will not speak any protocol: packages device and api above it do.
package server

// Package rehearsal is the one roof over both towers: it sees what devices did and what the server decided, keeps the
// event log, and holds every event against the invariants of the authority specification.
//
// Start with [Watch], whose Observe hangs on a server, and [Log]. lab uses both over a real wire; virtual time comes on
// top of the same two. [NewPreview] needs neither: it asks an export what a change of the authority would do.
package rehearsal

// Package push wakes devices through the vendors' push services: the port [Pusher], one file for each service
// ([APNs] so far), and a [Recorder] for tests and rehearsals.
//
// Start with [Pusher] and [New]. An [Answer] says what a service's reply means for the device's address and for
// the slot of the push certificate; nobody above needs to know a status code. The package keeps no queue: the
// caller has one that survives a crash, and is told in every case whether and when to try again. One [APNs] serves one
// slot, with a breaker of its own, so that one authority's bad certificate stops nobody else.
//
// It will not decide whom to wake or when, and it never takes an answer of 200 for a delivery.
package push

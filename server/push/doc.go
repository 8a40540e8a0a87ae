// Package push wakes devices through the vendors' push services: the port [Pusher], one file for each service
// ([APNs], [WNS], [FCM]), and a [Recorder] for tests and rehearsals.
//
// Start with [Pusher] and [New], [NewWNS] or [NewFCM]. An [Answer] says what a service's reply means for the device's address and
// for the sender's certificate or key; nobody above needs to know a status code. The package keeps no queue: the
// caller has one that survives a crash, and is told in every case whether and when to try again. One [APNs] serves one
// slot, with a breaker of its own, so that one authority's bad certificate stops nobody else.
//
// WNS and FCM are called with an access token, which their keys are exchanged for (OAuth 2): one for all notifications, asked for
// again when it ends or is refused; where the key itself is refused, only after a while. What one device's address does is held
// against that address alone; a WNS channel is data from a device: its URI is checked before anything is sent there, and so is
// the address of its host at each call (HST-080).
//
// FCM is called without Google's own client library: a wake-up is five fields of one call, and that library would bring its
// own retries, gRPC and six megabytes. It is the second opinion in fleet/interop instead.
//
// It will not decide whom to wake or when, and it never takes an answer of 200 for a delivery.
package push

// Package apns is a simulated Apple Push Notification service as its clients see it: HTTP/2 over TLS, the
// push certificate's topic checked, every documented refusal, store-and-forward of the last notification, and
// dials that make it misbehave on purpose. Any APNs client can be pointed at it; on its other side stand devices
// of the same process, and others by a stream each.
//
// Start with [New] and [Service.Serve]; devices call [Service.Register] and [Service.Connect]. A push to a
// connected device has been handed to it before the 200 leaves, so a process whose clients have all been
// answered has no notification in flight. What the service saw is in [Service.Counters].
//
// [Service.Doorman] takes the streams. Apple's protocol is not public: this one is package protocol/wake's
// (wake.APNs). Who has the token, 32 bytes that only the device, its server and the service see, is the device; a
// newer stream takes the place of an older one. A notification that the device has not said to have is kept for its
// next stream, so that it may come twice and never gets lost by a broken line. Streams of tokens that nobody pushed
// to leave nothing behind.
//
// It follows section 13 of the Apple specification, which rests on Apple's "Sending notification requests to
// APNs" and "Handling notification responses from APNs". It keeps nothing on disk, knows no provider tokens
// (MDM has none) and no broadcast channels, and shares no code with the server that pushes through it.
//
// # Divergences
//
// Where Apple's pages are silent or the real service is laxer, this one does as follows:
//
//   - A missing apns-topic means the certificate's topic if it has just one (Apple), a missing apns-push-type
//     or apns-priority is let pass (Apple). [Config.RequireHeaders] refuses the first two.
//   - The device token must be lower-case hexadecimal, and a topic of com.apple.mgmt takes no push type but mdm.
//   - A topic that no topic can be is BadTopic; a good one that the certificate lacks is TopicDisallowed.
//   - Without apns-expiration a notification is kept for [MaxKept].
//   - Apple publishes no rate per token; [Config.PerToken] is ours.
//   - A push certificate that has ended fails the handshake, and is 403 BadCertificate if it ends later; both by
//     [Config.Now]. The alert tells the cause only if [Config.Issuers] is set.
//   - 429 and the refusals that a fault makes up carry Retry-After.
//   - A connection with very many frames that ask for no push (resets, settings, pings) is cut (HST-021).
//   - Requests are checked in a fixed order: path, method, certificate, headers, body, token, rate.
package apns

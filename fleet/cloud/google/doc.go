// Package google is the simulated Google as the sender of wake-ups sees it: Firebase Cloud Messaging by its HTTP v1 interface, with
// the token endpoint of service accounts, registrations of devices, store-and-forward, collapsing, throttling and doze, and dials that
// make it misbehave on purpose. Google's own client library can be pointed at it; on its other side stand devices of the same process.
//
// Start with [New], [Service.NewAccount] and [Service.Serve]; devices call [Service.Register] and [Service.Connect]. A message to a
// device that can have it at once has been handed to it before the 200 leaves. What waits for a moment (the end of a throttle, a
// window of doze) is delivered by [Service.Tick]. What the service saw is in [Service.Counters].
//
// It follows section 10 of the Android specification, which rests on the discovery document of fcm/v1 and Google's pages on
// throttling, message priority and registration tokens. It keeps nothing on disk and shares no code with the server that sends
// through it.
//
// # Divergences
//
// How a device registers, and how it hears of a message, is not public: here both are calls. Where Google's pages are silent or the
// real service is laxer, this one does as follows:
//
//   - Requests are checked in a fixed order: path, access token, project, body, registration, rate.
//   - Messages to topics and conditions are accepted, and nobody is subscribed.
//   - Of five collapse keys the oldest is lost.
//   - Windows of doze open 1, 2 and 4 hours after it began and then every 6, for 5 minutes; it begins after an hour without use.
//   - [Config.Demote] is the share of messages with high priority and without a notification that are taken for normal ones.
//   - 429 and 503 carry Retry-After.
//   - An access token may be a JWT that the account has signed by itself, as Google takes it too.
//   - androidV2, webpush, apns and fcmOptions are taken and mean nothing.
package google

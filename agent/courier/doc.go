// Package courier is the device's end of the stream to a push service: it stays connected, and says when a wake-up came.
//
// Start with [Run]. The stream is that of package protocol/wake: TLS, the device's token as proof of who it is, frames. A stream
// that breaks is made again after a wait that doubles and is drawn by chance, so that a thousand machines whose service starts anew
// do not come in one moment. A quiet stream costs one exchange a beat, and no timer or probe in between; [Together] moves whatever
// else the agent waits for to that moment.
//
// It knows nothing of the device but its topic, token and magic, acts on nothing but a wake-up with that magic, and says nothing to
// anybody else. What a service sends is bounded and never trusted: the worst that it can do is to wake, or not to.
package courier

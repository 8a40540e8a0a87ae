package push

import (
	"context"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// KeepWork is how long Apple's push service is asked to keep a notification that announces work. A notification that only
// asks whether a device is there is not kept: its Expires is zero.
const KeepWork = 7 * 24 * time.Hour

// A Notification wakes one device. The device asks what for when it comes.
type Notification struct {
	Topic   string    // that the device was enrolled with; Apple's alone have one
	Magic   string    // Apple's PushMagic, as the device gave it; any text
	Token   []byte    // address of the device, as it gave it: Apple's token, a WNS channel URI or the id of an FCM registration
	Expires time.Time // the push service forgets it then, to the second; zero: it tries once and keeps nothing
	Attempt int       // how often this notification was tried before; a later one is told to wait longer
}

// An Answer is what became of one notification. A Pusher always has one: whatever went wrong on the way is a
// [delivery.TryLater] with its Reason, so that a notification is never lost.
type Answer struct {
	Result        delivery.PushResult
	Suspend       bool          // the fault is the sender's (its certificate, topic or key): hold all its notifications until it is mended
	Alarm         bool          // the address is refused because something is set up wrong: somebody should look
	RetryAfter    time.Duration // TryLater: not before; includes its jitter
	InactiveSince time.Time     // Inactive: the address is unusable since then
	Reason        string        // the service's own word or one line of ours, for journal and log; empty with Accepted
}

// A Pusher delivers notifications to one push service. Safe for concurrent use. It returns when the service has
// answered, when it gave up or when ctx ends. A device that was enrolled with another topic than the certificate's is
// [delivery.TryLater]: the fault is not its address's (AUTH-32).
type Pusher interface {
	Push(ctx context.Context, n Notification) Answer
}

// Services are a server's push services, by whose devices they wake. Nil: none. One that wakes all platforms' devices, as a
// rehearsal's does, is held whenever Apple's is.
type Services struct{ Apple, Windows, Android Pusher }

// Of returns the service that wakes p's devices; nil: there is none.
func (s *Services) Of(p protocol.Platform) Pusher {
	switch {
	case p.Apple():
		return s.Apple
	case p == protocol.Windows:
		return s.Windows
	case p == protocol.Android:
		return s.Android
	}
	return nil
}

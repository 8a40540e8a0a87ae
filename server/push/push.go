package push

import (
	"context"
	"time"

	"rollcall/server/delivery"
)

// KeepWork is how long a push service is asked to keep a notification that announces work. A notification that only
// asks whether a device is there is not kept: its Expires is zero.
const KeepWork = 7 * 24 * time.Hour

// A Notification wakes one device. What it is wanted for, the device asks when it comes.
type Notification struct {
	Topic   string    // that the device was enrolled with
	Magic   string    // Apple's PushMagic, as the device gave it; any text
	Token   []byte    // address of the device, as it gave it
	Expires time.Time // the push service forgets it then, to the second; zero: it tries once and keeps nothing
	Attempt int       // how often this notification was tried before; a later one is told to wait longer
}

// An Answer is what became of one notification. A Pusher always has one: whatever went wrong on the way is a
// [delivery.TryLater] with its Reason, so that a notification is never lost.
type Answer struct {
	Result        delivery.PushResult
	Suspend       bool          // the fault is the slot's (its certificate or topic): hold all its notifications until it is mended
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

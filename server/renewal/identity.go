package renewal

import (
	"cmp"
	"errors"
	"time"

	"rollcall/protocol"
)

// Defaults of the settings (AUTH-41).
const (
	defaultWindow = 42 * 24 * time.Hour // before the end of an identity in which it renews
	defaultRetry  = 7 * 24 * time.Hour  // between two tries to renew
)

// Kept is how long a device's record outlives its identity certificate, where no setting says otherwise (AUTH-43).
const Kept = 180 * 24 * time.Hour

// Unfinished is how long an enrolment may wait for its first Ready after the device was last heard of (HST-045).
const Unfinished = 24 * time.Hour

// ErrLifetime is wrapped when a certificate ends before it begins.
var ErrLifetime = errors.New("validity ends before it begins")

// DueAt returns when an identity becomes due for renewal: window before notAfter, but at most a third of its life
// before, so that an identity with a short life is not due all of it (AUTH-41; window 0 means 42 days). Whole seconds,
// as X.509 keeps them (RFC 5280, section 4.1.2.5). The error wraps [ErrLifetime] when notAfter is not after notBefore;
// DueAt has no other error.
func DueAt(notBefore, notAfter protocol.Time, window time.Duration) (protocol.Time, error) {
	if notAfter <= notBefore {
		return 0, ErrLifetime
	}
	if window <= 0 {
		window = defaultWindow
	}
	due := max(notAfter.Add(-window), notAfter-(notAfter-notBefore)/3) // a life until 9999 is longer than a Duration
	return due - due%protocol.Time(time.Second/time.Microsecond), nil
}

// Due tells whether an identity that ends at notAfter is to be renewed at now: inside its window and not after its end,
// when only a new enrolment helps (AUTH-42); never while a renewal is outstanding, and not sooner than retry after the
// one before was asked (0 means 7 days; asked 0: there was none).
func Due(now, notBefore, notAfter, asked protocol.Time, outstanding bool, window, retry time.Duration) bool {
	if outstanding || now >= notAfter {
		return false
	}
	due, err := DueAt(notBefore, notAfter, window)
	if err != nil || now < due {
		return false
	}
	if retry <= 0 {
		retry = defaultRetry
	}
	return asked == 0 || now >= asked.Add(retry)
}

// RemovedAt returns when the record of a device is removed whose identity ends at notAfter (AUTH-43, I6; kept 0 means 180
// days).
func RemovedAt(notAfter protocol.Time, kept time.Duration) protocol.Time {
	return notAfter.Add(cmp.Or(kept, Kept))
}

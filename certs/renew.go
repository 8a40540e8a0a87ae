package certs

import (
	"fmt"
	"time"
)

// RenewalWindow is how long before its end an identity is renewed unless a plan says otherwise (AUTH-41).
const RenewalWindow = 42 * day

// DueAt returns when an identity certificate becomes due for renewal: window before notAfter, but at most a
// third of its life before (AUTH-41). The third leaves a year's 42 days alone and keeps certificates that a
// plan made short-lived from being due all their life; a window of zero or less means [RenewalWindow].
// Whole seconds, as X.509 keeps them (RFC 5280, section 4.1.2.5). The error wraps [ErrLifetime] when
// notAfter is not after notBefore; DueAt has no other error.
func DueAt(notBefore, notAfter time.Time, window time.Duration) (time.Time, error) {
	if !notAfter.After(notBefore) {
		return time.Time{}, fmt.Errorf("valid from %s to %s: %w", notBefore.Format(time.RFC3339), notAfter.Format(time.RFC3339), ErrLifetime)
	}
	if window <= 0 {
		window = RenewalWindow
	}
	window = min(window, notAfter.Sub(notBefore)/3)
	return notAfter.Add(-window).Truncate(time.Second), nil
}

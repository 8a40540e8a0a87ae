// Package mischief makes a server break a statement on purpose, so that the check of it can be seen to fail. Its faults
// are in one layer before the endpoints of a server of ours, device and administration alike; the server behind it is
// as it always is.
//
// Start with [New], [Mischief.Before] and [Mischief.Set]. Each fault is a mistake that servers make, as small as it can
// be: exactly the statement whose id it has is to fail. One with a word behind a stroke (APL-031/pushed) breaks a part of its
// statement, and may break others too. A fault is made for the order in which the check asks, one check at
// a time; a server with one is good for nothing else.
//
// Those against servers of Android devices are in android.go, of Windows devices in windows.go and syncml.go.
//
// The faults of devices (APL-003 and its like) are in the same layer, put between a device of ours and who judges it:
// [NewHandset], [Mischief.BeforeJudge]. Those of Windows devices are in machine.go, of Android devices in handheld.go.
//
// A fault that no such layer can have is asked of whoever holds the other end: [Mischief.LosesAfterGoAway],
// [Mischief.PushesAtOnce], [Mischief.PushesOnce], [Mischief.PushesTheDead], [Mischief.SendsToTheDead], [Mischief.WakesAtAnything],
// [Mischief.EnrolsTwice], [Mischief.KeepsEnded], [Mischief.KeepsToken], [Mischief.PressesOn].
package mischief

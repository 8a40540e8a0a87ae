// Package authority decides who manages a device, who may enrol, and what a change of authority does: pure functions for
// AUTH-01 to 19, 23 to 28, 30, 33, 35 to 37, 46, 47, 51, 52 and 55. No I/O, clock or goroutines.
//
// Start with [Resolve] (who should manage this device?), [Admit] (may this device enrol now?), [Transition] (may the
// tenant's authority change so?) and [Plan] (what would this change do?). A preview and the change that it previews call
// the same [Plan] (AUTH-35, I10); it asks [Scene.Judge] about each device.
//
// It counts nobody's licences and reads no certificate: facts come in as small structs whose zero fields mean "no
// objection", so that a caller who does not know a fact yet passes nothing.
//
// # Divergences
//
// Where authority.md leaves room: the device limit is asked of devices that Intune would manage, for only those count
// against it; the move from coexistence to intune opens no gap in the push certificates, for the slot that AUTH-30 waits for
// is Intune's already, and a gap that is open stays so; where the latest change of an intune tenant is past, a stale device's
// profiles are taken as those of AUTH-21. authority.md takes enrolment managers out of the device limit and names no other;
// Intune gives each 1,000 devices, and so does [Admit].
package authority

// Package population says who the devices and users are: made from a plan's mix and seed ([New]) or read from a
// tenant's own export ([Import]). Either way the result is one [Population], which the fleet plays.
//
// Start with [Population] and [Device]. Both ways are deterministic: the same plan and seed, or the same files
// and options, give the same population on every machine.
//
// An import takes nothing for granted: each row is taken, left out with a reason, or taken with a [Doubt]
// that says what the other reading would change; what the files cannot say is listed as [Assumption]. It decides
// no authority: who should manage a device is the server's to say, from the facts given here.
//
// [Population.Fit] goes the way back: a plan that makes devices like those of an import, in proportion, and says what it read and what
// it assumes.
//
// # Privacy
//
// Names, user principal names, serial numbers and IMEIs of an export are replaced by keyed tokens as they are read,
// unless [Options.KeepNames] is set. The key is a hash of the export itself: the same files give the same tokens,
// and who does not hold them cannot compute any.
package population

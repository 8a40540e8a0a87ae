// Package conformance asks the numbered statements of the specifications of a live MDM server, from outside: by devices
// that behave, and by devices that do not. It knows the server by its messages alone, and its administrator's steps
// (package fleet/target) by what they are called; so any server can be asked.
//
// Start with [Run] and [List]. A [Statement] is a promise with an id, where it comes from, why it matters, how it is asked
// and how to keep it; its check runs exchanges on devices of its own and ends with pass, fail (with the exchange that
// decided), or not applicable (with the reason). What could not be asked, because the server gave no answer or the way
// to the question was barred, is told as such and is neither. One file holds one kind of statement: profile.go, scep.go,
// identity.go, checkin.go, commands.go, ade.go, renewal.go, push.go, gap.go (with pushcert.go, which makes and uploads the certificates). What is asked of devices
// is in device_enrol.go and device_commands.go; device.go, offer.go, issuer.go and trial.go are the judge.
//
// A run is bounded in time, whatever the server does: each request, each check and the whole have their limits. At its end
// every device that it enrolled checks out, and the administrator's step forget, where there is one, removes it; the
// server's other devices are listed before and after, and what changed on them is told.
//
// # Checks that can fail
//
// A check that no server fails says nothing. Package fleet/conformance/mischief has a fault for each statement, in a layer
// before a server's device endpoints; a test plants them one by one and holds that exactly this statement then fails.
//
// # Divergences
//
//   - APL-023 and HST-033 are one promise. Here the first is asked by check-in messages, the second by the queue of commands.
//   - APL-094 and HST-027 are one promise too. Here the first is asked by a device that is who it says, whatever nonsense
//     it sends, the second by whoever is not let in.
//   - Results of devices are bare: no QueryResponses, no lists. What a server reads out of them is its own affair.
//   - A statement about logs, disks or a server that is killed cannot be asked from outside: APL-054 is asked by a device that
//     never hears the answer.
package conformance

// Package conformance asks the numbered statements of the specifications of a live MDM server, from outside: by devices
// that behave, and by devices that do not; and of a device, by a server that plays the other side for it. It knows both by
// their messages alone, and what an administrator does (package fleet/target) or whoever holds the device ([Hands]) by
// what it is called; so any server and any device can be asked.
//
// Start with [Run], [JudgeDevice] and [List]. A [Statement] is a promise with an id, where it comes from, why it matters, how
// it is asked and how to keep it; its check runs exchanges and ends with pass, fail (with the exchange that decided), or
// not applicable (with the reason). What could not be asked, because there was no answer or the way to the question was
// barred, is told as such and is neither; a part of a statement that cannot be asked here is told beside its outcome.
//
// One file holds one kind of statement, and some files hold the devices and judges that ask them:
//
//	of servers               profile, scep, renewalreq, identity, enrolling, checkin, commands, ade, renewal, push, lapse; gap with pushcert
//	of servers of Android    android_enrol, android_checkin, android_push, android_leave; asked by droid, with the identities of droid_identity
//	of servers of Windows    windows_discover, _enrol, _package, _document, _session, _profiles, _leave, _push, _later; asked by pc and pc_talk
//	of Apple's devices       device_enrol, device_commands; asked by the judge of device, offer, declare, issuer and trial
//	of Windows devices       device_windows_enrol, _commands, _later; asked by desk and device_host
//	of Android devices       device_android_checks, _later, _away; asked by booth
//
// A file later.go, android_later.go and so on holds what a run cannot ask yet, and says what it would take.
//
// The judge reads what devices say by a reader of its own (plist.go) and holds it against Apple's schema (schema.go), so that
// one wrong idea of ours does not judge itself; CMS is that of package certs on both sides, which fleet/interop tries with
// other people's. What it says to them is written by protocol/apple and certs.
//
// A run is bounded in time, whatever the server does: each request, each check and the whole have their limits. At its end
// every device that it enrolled checks out, with whichever of its identities the server takes for its own, and is then removed
// by the administrator's step forget, where there is one. The server's other devices are listed before and after, and what
// changed on them is told. A device that was judged is taken out of management by command, or by the person who holds it;
// where that fails, the report says so.
//
// # Checks that can fail
//
// A check that no server fails says nothing. Package fleet/conformance/mischief has faults for each statement, in a layer
// before a server's device endpoints, or between a device and the judge; tests plant them one by one and hold that exactly this
// statement then fails. Further faults against a statement (APL-031/pushed) show that each part of it is asked.
//
// # Divergences
//
//   - APL-023 and HST-033 are one promise. Here the first is asked by check-in messages, the second by the queue of commands.
//   - APL-094 and HST-027 are one promise too. Here the first is asked by a device that is who it says, whatever nonsense
//     it sends, the second by whoever is not let in. What any check's device is told decides the first too, so that AUTH-30.apple,
//     which is its part in the gap, does not fail alone.
//   - Results of devices are bare: no QueryResponses, no lists. What a server reads out of them is its own affair.
//   - A statement about logs, disks or a server that is killed cannot be asked from outside: APL-054 is asked by a device that
//     never hears the answer.
//   - That an UnlockToken survives (APL-032, APL-092) is not seen from outside: no adapter orders the command that has it.
//   - The subject under which a renewal is issued (APL-011) is the CA's affair, as that of an enrolment is (HST-039).
//   - An identity that has ended (APL-011, APL-094) is had by setting the server's clock ahead, or, where it has its own, by
//     waiting for one that lives no longer than half a check; else that part is not asked.
//   - What becomes of an upload after the grace (AUTH-33) depends on Apple's portal alone: no server can know, so that what is asked
//     is the way out that is left, another topic (AUTH-33.grace).
//   - Statements on Android are those of the open agent protocol, stage 1 of android.md, and of servers: what a device does with an answer
//     (AND-076, AND-077, an HTML 404) is for devices to show. AND-080 and HST-033 are one promise there, AND-060.gates and AND-061.version
//     are parts of their statements that are asked apart.
//   - Statements on servers of Windows devices are asked with the bytes of protocol/windows, but for what a document must say, which is
//     read here. WIN-064 is asked with WIN-065. That a tenant without an authority enrols nobody (WIN-022) is not asked: none goes back to
//     that. What a server keeps of what a device says of itself (WIN-015) is not seen from outside, only that it takes it.
//   - What a Windows device shows its user (WIN-026, WIN-027) is not seen by its server: what is asked is what it says next. When it comes
//     (WIN-057, WIN-058) is told by its own clock, LocalTime, so that a device whose time is not the true one can be asked too.
//   - That a device drops by itself what an authority before set (WIN-072) is rollcall's own, and a should: Windows has no such clock.
//   - That a device carries no command out twice (APL-059) is not seen from outside: what is asked is that it repeats its report
//     and does not ask for the command again.
//   - Of what android.md says of FCM, a device's server sees two things: that the device tells a push id that has changed (AND-093) and comes
//     without a push (AND-094). What a sender hears (AND-090) is between a server and FCM. That ten wake-ups of a device that is off the
//     network become one push, and a late one none (AND-091), and that pushes wait for the window of a sleeping device (AND-092), FCM and
//     Android do before the device hears of it; what it makes of what it missed is AND-082, which asks whoever holds it for a day.
//   - The judge does not ask for the challenge of its profiles: whoever has the link may enrol, as often as the checks want.
package conformance

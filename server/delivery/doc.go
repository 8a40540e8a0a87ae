// Package delivery decides what happens to one device: its queue of commands, its profiles, its wake-ups, its
// identity on every message and the way its enrolment begins, renews and ends. Pure: no I/O, clock or goroutines.
//
// Start with [Decide]. [Event] goes in, [State] is what is known, [World] is what the tenant wants, and
// [Outcome] is everything that one decision decided: the server commits it as one, then answers.
//
// One file, one idea: binding.go holds certificates against devices, enrolment.go begins and ends enrolments, queue.go
// hands out commands, profiles.go keeps a device's profiles as they should be, wake.go says when to wake it, move.go
// registers it with another authority and refuses it in the gap, compliance.go says who believes what of it.
//
// A device moves at the end of a completed round of its own. Until then it is pending or stale, which nothing stores: it
// follows from the tenant and the state ([World.Target]). Its profiles are those of the authority that it moves to from the
// first round on, so that the check-in that moves it brings them.
//
// A round is one command and one report. Platforms whose messages hold many of each bring a [Batch] instead; the endpoint, which
// alone knows what takes several messages, says so by the batch's Phase and by the commands that are not finished yet.
//
// It will not resolve authorities (package authority does), read certificates or know any wire.
//
// # Divergences
//
//   - Which device a message is from, the certificate decides. A certificate that a renewal issued is bound to its device
//     from the start, and counts from its first use on, whatever message that is; the one before is then refused by
//     name. NanoMDM takes any certificate of the authority for an Authenticate, and keeps old ones for ever.
//   - A second enrolment of an enrolled identifier is taken only from the same kind of device, with a certificate that is this very
//     device's, its user's or one for which its factory vouched ([State.Yields]); else it is refused and noted (HST-051), and the first
//     device goes on undisturbed. A device without a user that was set up anew must leave, or be deleted, first.
//   - That a device was wiped and comes back under its old identity is told by AwaitingConfiguration and nothing else.
//   - At most one command about a profile is outstanding. What is unassigned before it is installed is installed and then
//     removed: a command that may be on its way is never taken back, because nobody could tell what the device did.
//   - The end of an enrolment empties its queue; nothing of it is delivered to the next one.
//   - A device that left is still answered, with nothing, until its certificate ends: refusing it would teach it nothing.
//   - Repeats of a report and reports of commands that never were look alike here, and are noted alike.
//   - In the gap (AUTH-30) a farewell (CheckOut) is still taken: it is no check-in, and a device leaves whatever it hears.
//     The journal has the first refusal of each device and change, not all of them.
//   - When a user gets a licence while the gap still holds the device, the profiles of Basic Mobility and Security end seven
//     days after the tenant's change, or at once if those days are over: AUTH-25 and I4 disagree here, and I4 wins. A device that
//     has registered in the epoch gets no notice of seven days under coexistence; its next check-in removes what is old.
//   - A profile belongs to one of Intune, SCCM (Intune's in a co-managed tenant) and Office365. A tenant that goes back to
//     an authority finds that one's profiles assigned as they were.
//   - A device that did not register in an epoch gets all its profiles once more: nobody knows which notices it heard meanwhile,
//     nor what it dropped because of them (AUTH-27).
package delivery

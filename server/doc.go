// Package server is a tenant's MDM server without sockets and clock: it decides, commits, then acts.
//
// Start with [Open] and [Server.Handle]: everything that happens to a device is an event, decided by package delivery,
// made durable by a store in one commit, and only then answered. [Server.Tick] does what is due (wake-ups,
// clean-up); [Server.Next] says when; [Server.Run] is the two on a real clock. Administration is one commit for each change
// as well: it makes the next [Server.World], a snapshot that decisions read without a lock.
//
// The outbox is the wake-up in each device's state: one row, however many reasons there are to wake the device. A
// notification is sent first and its report kept afterwards, so that a crash in between sends it again and loses none. It
// goes out by the push service of the device's platform. While the push certificate is refused or has ended, Apple's wake-ups
// are held, and an upload lets them go without a restart. What is wrong with another service is said once, and its devices
// come by themselves: they poll.
//
// What an administrator changes is previewed by the code that makes it: the authority, licences, push certificates, profiles.
//
// A change of authority ([Server.SetAuthority], previewed by [Server.PreviewAuthority] with the same code) is one commit of the
// tenant's row and a campaign: whose turn it is to be woken follows from a device's number and the campaign's cursor. While
// Apple's push certificate is not renewed, delivery refuses Apple's devices, and the campaign passes them by until the upload
// begins another one; where no other service is configured it waits for the upload.
//
// Grants and links are kept as hashes. The challenge of a renewal is derived from its command under a kept secret, so that
// a renewal that is handed out again brings the same bytes.
//
// Where the store was restored from a backup (HST-101), [Open] begins a new epoch, far above any that devices heard of since:
// each device is woken, gets its profiles again and says what is on it; what can harm it and was ordered before the backup is
// taken back. A certificate that was issued since is taken again ([Server.Recall]) when its subject, which only this server can
// make, names the device that uses it. A device that enrolled since is refused, stays enrolled, and has to enrol again: the
// journal says which.
//
// It will not speak any protocol: packages device and api above it do. It keeps no secret in a log.
//
// # Divergences
//
//   - A device that has another topic than the push certificate is not pushed at all: Apple's service would refuse the
//     certificate for it, and the slot of all others with it.
//   - While a campaign runs, wake-ups for other reasons wait for its end: ten thousand devices have their turn in a second.
//   - A clock that is set while the process runs needs [Server.ConfirmClock] or to be set back, after a restart too. Nobody
//     knows how long a process was down, so one that starts takes a clock that is ahead as right, and doubts only one that is
//     before the journal's newest line (HST-110).
//   - Consents are asked for before the first push certificate, the first serial number and each enrolment; a tenant that has a
//     certificate or a serial number already goes on (AUTH-05). Android asks for Google's only where its Management API enrols.
//   - What was previewed is kept for seven days, the latest hundred and 64 MiB of it: a confirmation that is outdated is refused
//     whenever it comes, and after that the refusal can count but not name the devices (HST-070, I10).
//   - Enrolment asks for the user's licence where licences are known: the units are ([Server.SetUnits]), or any user holds one
//     (AUTH-47). Otherwise a tenant whose licences nobody has entered would enrol nobody; the settings can ask always, or
//     never. No device licences are assumed: userless devices are asked for one where the units are known, or always.
//   - Workloads begin as Configuration Manager's, as there (AUTH-51). What the client tells of its own counts more than the
//     tenant's deciders. Nobody tells us which settings Configuration Manager has put on a PC, so nothing is known here of
//     its endpoint protection, which stays until Intune's overwrites it.
//   - A key gets one certificate, ever: a renewal with the old key is refused like any other reuse (HST-040).
//   - After a restoration whatever was revoked since the backup (an identity, a token, a role) is good again, and the journal
//     says so: nobody remembers it. A device whose enrolment was half done at the backup has to enrol again.
//   - Groups are names in the users' rows; a group without users does not exist.
package server

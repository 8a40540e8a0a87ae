// Package host runs one device of package agent for real: the machine that it is on is the device, a folder holds its state, and its
// clock, facts and network are the machine's.
//
// Start with [Open], which takes the folder for this process; then [Host.Enrol] with the line that somebody pasted, [Host.Run] for a
// daemon, or [Host.CheckIn] for one conversation. [Read] is for looking at the folder of an agent that runs, [Ask], [Set] and [Stream] for
// having it check in or leave, go on otherwise, or say whether it can be woken, by a socket in that folder, and [Examine] for finding
// what is wrong.
//
// # What is on disk, and when
//
// One file, agent.json, is all that must not be half there: the enrolment with its identity, and what is on the way to one. It is
// replaced as a whole (written beside, synced, renamed, the folder synced), so that a crash leaves the state before a step or after
// it. What is kept comes before what is sent: the enrolment profile and the key before SCEP, the certificate before the first word
// with it, a report before it goes out. A crash between any two steps therefore repeats a step with the same key and the same
// challenge, which the server answers as before: there is never a second identity (HST-121). The pending enrolment goes with the very
// write that makes the server's yes last. The file before is kept beside it for a disk that damages one.
//
// journal.jsonl tells people what was asked of the machine; it is capped, so that no server fills the disk (HST-120).
//
// # Profiles
//
// Each profile that the server installs is kept as files in the folder profiles, by package apply, which also makes files of the system
// of those families that the machine's owner named ([Join.Apply]). One whose files cannot be made is reported as failed, with the reason,
// and leaves nothing behind (HST-092). They follow the device's list: after each change of it, after each conversation, and when the
// folder is opened, so that a crash is made good.
//
// # Being woken
//
// [Host.Run] keeps a stream of package courier to the push service of its server, at the port of the same host that the server's answers
// name (wake.Header), or where [Join.Courier] says, with the same trust. It polls all the same: a push may be lost. After each
// conversation a stream whose own address has left the machine is made anew, and so is one that waits while the server can be reached.
// A push is followed at once, and the next a second later at the earliest; sixty that brought nothing are followed by one in five seconds,
// until one brings a command: a push service without measure keeps no machine busy (HST-120).
// A machine that starts checks in at once; an Android device that was away past its time spreads that over five minutes (AND-082).
//
// As a Windows or an Android device it has a stream to a service that simulates their vendors', where its server has one: that says at
// which address it reaches the machine, and the machine tells its server.
//
// # As what it is managed
//
// A machine is managed as one of Apple's devices, or as a Windows or an Android one, each by that system's own protocol: what is different
// stands in apple.go, windows.go and android.go, behind one small interface. Profiles of the latter two are kept, and become files, as
// the same settings in the keys of Apple's payloads, where these have them. Of a Windows or an Android device the server signs the end of
// management too, and by nothing else does the machine leave it (HST-027).
//
// # No harm
//
// DeviceLock, RestartDevice, ShutDownDevice and EraseDevice are acknowledged, written down and shown, and nothing is done, unless a
// command was given for the act by name ([Join.Allow]). Erasing takes the agent's own state away, never anything else. The agent
// talks to the one host that it enrolled at, whatever a profile or a redirect names, and believes the CA that the pasted line
// names, or the system's without one, and what the enrolment profile brings.
//
// # The machine and its names
//
// The UDID is made of the system's machine id, by a hash, so that a machine that is enrolled anew is the same device. Two machines with one
// id, as clones have, cannot be told apart: the one that enrols later takes the place of the other, which is refused from then on and told so
// (HST-032). The newcomer is told as well, with the first answers to its identity, if the other was managed until then ([Status].Replaced): it
// may be the same machine, whose farewell was not heard. [Join.Draw] gives one a name by chance.
package host

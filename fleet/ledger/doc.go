// Package ledger checks a server's correctness while a storm runs: for every device it knows what the administration asked
// for and what the device saw, in order, and names each command and profile that was lost, doubled, reordered, stuck,
// misdelivered or never arrived.
//
// Start with [New]. A runner writes into the [Ledger] from any number of goroutines, in the order in which things
// happened to each device:
//
//   - what was intended, from what the administration adapter asked for and never from what the server says of itself:
//     [Ledger.Ordered] before a command is asked for (or as soon as its id is known, where the server chooses it),
//     [Ledger.Taken] or [Ledger.NotTaken] when the administration has answered; [Ledger.Wanted] and [Ledger.Unwanted] for
//     profiles, before they are asked for, and [Ledger.MayStay] where a platform may keep one;
//   - what the device saw: [Ledger.Delivered], [Ledger.Answered] and [Ledger.NoWork], or for devices of package agent/link
//     [Ledger.Exchanged] alone, which makes these and the next two of each request; [Ledger.Installed] and
//     [Ledger.Removed] for profiles;
//   - who can be asked for an answer: [Ledger.Enrolled] and [Ledger.Ended], [Ledger.Left] and [Ledger.Returned] for devices
//     off the network, [Ledger.Held] and [Ledger.Resumed] while the whole server is down on purpose.
//
// [Ledger.Check] names what is beyond its bound now; [Ledger.Close] judges everything, once, at the end: before it, stop
// ordering, let the devices ask for work once more, and name those that could not ([Ledger.Unheard]). [Ledger.Result] may be
// read at any time.
//
// # What is no fault
//
// A command handed out again before the server confirmed its report is a retry, as is a report sent twice: connections
// break, answers get lost, servers answer 503. NotNow is the device's own doing, and starts the bound anew. A question need
// not arrive at an Android device whose report has answered it already. What a server does by itself (an enrolment's first
// questions, say) was not ordered and is only counted. A command that the administration refused, or of which it never said
// that it took it, need not arrive.
//
// # What it does not see
//
// Some faults are seen within bounds only:
//
//   - doubled: for the latest confirmed commands, [Few] in all or [Remembered] for each device;
//   - misdelivered: while the command is open or, when its order became known late, if it is among the latest [Strays]
//     deliveries that nobody had ordered. One id may be shared by many devices, if each of them was ordered to have it;
//   - reordered: not between commands that were asked for at the same time, nor between those of different lanes.
//
// A command to a Windows device has no id on the wire, so the ledger knows it by its kind alone. It cannot tell which of two
// waiting commands of a kind was lost; it takes a question that came twice for one of the server's own; and it sees that a
// command went to another device only where that device was to have none of the kind. Of Windows profiles it follows those
// that have a node of their own.
//
// It holds commands and profiles only. The invariants of the authority (I1 to I10) are package rehearsal's, which looks into
// a server of ours; the ledger asks any server, from outside.
//
// The package has no clock, goroutine or logger: time comes in with every call.
package ledger

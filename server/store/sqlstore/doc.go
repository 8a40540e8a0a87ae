// Package sqlstore keeps the server's state in a SQL database: SQLite, in a folder that one process owns.
//
// Start with [Open]. Everything that is asked on every request (device states, certificates, due wake-ups) is held in
// memory and written through, so that a round reads no disk and costs one row of one shared transaction. What rounds rarely need
// (grants, tickets, answers to be repeated) is looked up in the database, and lists and history on connections of
// their own, so that a slow list holds up nobody (HST-100).
//
// # What is promised
//
// When a method that changes something returns nil, the change was written and synced. All changes go through one
// goroutine, the committer: those that arrive together share one transaction and one sync. It waits up to a millisecond for as
// many as came before, and not at all for a caller who is alone. A group first runs without savepoints, because a change
// that fails is a defect or an attack, and savepoints cost a tenth of the whole; if one does fail, the group is rolled back and
// run again with a savepoint for each, so that it fails alone.
//
// A disk without space fails the group with store.ErrFull; the next one tries again (HST-092). A sync that fails ends the
// store: nothing is acknowledged any more, see [Store.Failed] (HST-093).
//
// # What is not
//
// LastSeen alone is not worth a sync: it goes along with whatever else of the device is written, and a round that changed
// nothing writes it when the disk lags by a quarter of an hour, which is the shortest cadence of a device, in batches, at
// leisure. After a crash it may lag by more.
//
// # What is kept, and for how long
//
//   - answers for repeated messages: the last 8 of each device;
//   - commands without a final answer: until they have one; with one: the last 100 to 116 of each device;
//   - grants and tickets: 7 days beyond their end;
//   - certificates: a year beyond their end;
//   - enrolments that were begun and not finished: the server ends them after a day (HST-045);
//   - everything else, the journal too: for good.
//
// The age of these is told by the newest time that a caller gave.
//
// # The journal
//
// Each line carries a hash over itself and the line before. Where the chain ends is kept apart from it, signed under a
// secret that only this database has, and written with the lines of each transaction; [Store.VerifyJournal] names the first
// line that is not as it was written (HST-074). After lines were cut off or slipped in at the end, the chain goes on from the
// end that was signed, and after the end itself was forged from nowhere: a later line does not heal the place, nor does a new
// secret where the old one is gone. A line has only the number of its device; what that is called is in the line of its
// enrolment, and compared with its record. Who can read the secret can forge all of it.
//
// # Restoring
//
// [Backup] copies the database while the server runs (HST-101); a copy of rollcall.db alone made while the server is
// stopped is as good, one made while it runs is not: what is in the log would be missing. A damaged folder is refused and
// left as it is: put the copy, alone, into an empty folder and start with that. A copy that Backup made knows that it is
// one, and a folder knows that its database was put there alone: [Open] then ends unused enrolment links and notes a
// restoration (store.Content.Restored), of which the server makes a new epoch. A database that only starts again has
// neither mark.
package sqlstore

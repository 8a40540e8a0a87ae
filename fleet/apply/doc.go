// Package apply plays the timeline of a plan against a live tenant: what an administrator would do by hand at its moments, and only
// what a rehearsal of this plan on this tenant has shown.
//
// Start at [Read], which takes the live tenant by the server's API as a [Snapshot]: a population for the rehearsal, and the facts
// by which a later look tells what has changed. [Prepare] makes a plan's [Step]s of it: everything that a draw decides (which users,
// which devices) is settled there, once, so that what is done is what was rehearsed. A [Record] keeps both on disk with how
// far the plan has come; [Runner] does the steps.
//
// A step is written down as begun before the server is asked and as done after its answer. Of a step that is begun and not done
// nobody knows whether the server heard of it: it is looked up there first, and what is done already is not done again.
//
// What is not an administrator's is not done: devices that enrol, leave the network or are unenrolled by their users, faults, loads.
// [Prepare] refuses such a plan by line and field; that a plan says who its population is counts for the rehearsal alone.
package apply

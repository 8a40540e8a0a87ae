// Package delivery decides what happens to one device: its queue of commands, its profiles, its wake-ups, its
// identity on every message and the way its enrolment begins, renews and ends. Pure: no I/O, clock or goroutines.
//
// Start with [Decide]. [Event] goes in, [State] is what is known, [World] is what the tenant wants, and
// [Outcome] is everything that one decision decided: the server commits it as one, then answers.
package delivery

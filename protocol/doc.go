// Package protocol holds the words that devices and servers share: authorities, platforms, profile families,
// rules and refusals, and one round of a conversation in terms that every platform has ([CheckIn], [Reply]).
// Values only: no I/O, no clock, no bytes of any wire; those are in the packages below it.
//
// Start with [CheckIn] and [Reply]; [Rule] and [Refusal] are how rollcall says no.
package protocol

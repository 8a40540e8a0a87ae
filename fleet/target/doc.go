// Package target is a live server's administration as seen from outside. The fleet sets up tenants, users and
// profiles through it and holds what the server says against what its devices saw; the commands of an
// administrator are its clients too.
//
// Start with [Target], the little that a fleet needs of any server, and [Rollcall], the client of our own server's
// JSON API under /rollcall/v1, which can do the rest as well. The package shares no code with the server: a wrong
// idea in one must not be hidden by the same wrong idea in the other.
//
// It does not try again what failed, and it keeps no copy of what a server said.
package target

// Package load is load on an MDM server that can be trusted: devices of package dialect that check in at moments that a
// [Pace] fixed beforehand, and a result that convicts itself where the generator, not the server, was the limit.
//
// # Open loop
//
// Arrivals follow the [Pace] whatever the server does.
package load

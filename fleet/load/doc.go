// Package load is load on an MDM server that can be trusted: devices of package dialect that check in at moments that a
// [Pace] fixed beforehand, and a result that convicts itself where the generator, not the server, was the limit.
//
// # Open loop
//
// Arrivals follow the [Pace] whatever the server does. The latency of a request counts from the moment that was planned for
// it; in a conversation that moment follows the planned answer to the step before, never the actual one, so that a stall cannot
// hide in a device that had to wait. A closed loop is there for comparison and says that it is one.
package load

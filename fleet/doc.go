// Package fleet is many simulated devices in one process and the story they play against a live server.
//
// Start with [New] and [Fleet.Run]. A [Config] names the population (who the devices are), the plan (what happens when),
// the server's administration ([target.Target]), the way to it ([link.Link]) and the device side of a push service
// ([Push]). A device that has something to do is a goroutine for as long as that takes; one asleep is a record of about
// a kilobyte and an entry in a queue of due times.
//
// What a plan does to the tenant (authority, licences, push certificate) goes through the target's administration where it
// offers that ([Tenancy], [PushSlot]), previewed and confirmed as an administrator would.
//
// What was ordered and assigned, and what the devices saw of it, goes into a [ledger.Ledger] where [Config] has one.
//
// # Two clocks
//
// On the real clock everything happens when it is due. A driven [Clock] steps to the next moment at which anybody,
// device, server or plan, has something to do; what is due within one step is taken together, and the clock stands still
// while a request is in flight, so weeks take seconds and no timeout of the network is ever shortened. A device that polls more
// often than a step is long, as one does that has just enrolled, comes once in a step: with steps of ten minutes a run counts
// fewer check-ins than a rehearsal of the same plan, and with short ones the same.
//
// # Chance
//
// Every draw is a pure function of seed, device, purpose and a key such as the day: how often a device had to try again
// changes nothing about the rest of its life. So one plan and seed tell the same history of each device, whatever the
// network did in between.
//
// On the real clock that holds for what is drawn, not for the moments at which it takes effect.
//
// # Before the story
//
// Devices that are there when the story begins enrol in the hours before it ([Cast.Foreword]), registered as the population
// says, while nothing fails; what an export shows silent, expired or revoked is then off the network to the end.
//
// # Whose server
//
// A target that is not loopback is refused unless the plan names its host ([Own]).
//
// The package decides nothing that a device would decide; that is agent and its dialect.
package fleet

// Package load is load on an MDM server that can be trusted: devices of package dialect that check in at moments that a
// [Pace] fixed beforehand, and a result that convicts itself where the generator, not the server, was the limit.
//
// Start with [New]; [Load.Enrol] enrols the devices that are not, [Load.Run] is the load, and [Load.Tell] says what came of it.
// [Calibrate] goes before that and a [Watch] beside it. [PaceOf] makes the pace of a plan, a [Comparison] is a result beside an
// earlier one, [Schema] describes it, and [Load.Metrics] shows the load while it runs.
//
// # Open loop
//
// Arrivals follow the [Pace] whatever the server does. The latency of a request counts from the moment that was planned for
// it; in a conversation that moment follows the planned answer to the step before, never the actual one, so that a stall cannot
// hide in a device that had to wait. An arrival for which no device is free waits, and counts from its own moment. A request
// that was never begun, never answered, or answered in part counts with the time that it was waited for. There is a closed
// loop too, for comparison; its result says that it is one.
//
// # Who was the bottleneck
//
// What the generator itself adds is measured apart: how late a step began although nothing else held it back, how long the
// generator's goroutines waited for a processor, pauses of its garbage collector, steps of the clock, sockets and files that
// ran out. One of them beyond its bound makes the result invalid. So do too few devices for the rate, and a rate above the
// generator's ceiling.
//
// Calibration finds that ceiling against a server in this process that does nothing; with the target on another machine the
// true one is higher (HST-126). It makes the handshakes of the load, and enrols by SCEP and orders commands if the load does.
// Where conversations of the load then take more processor time than those of the calibration, as other platforms' do, the
// ceiling is lowered by as much after the run.
//
// # Whom the server calls
//
// Arrivals may be left to the server: with a push service and no pace, nobody comes but whom it pushes to because of what is done
// to it ([Act]), and the result says how long it took until the last of them had come ([Called]). What the server orders by itself
// is in the ledger too, as far as it follows from what was asked for: of a change of authority every device hears ([Load.Changes]),
// a profile that was assigned gets onto each ([Load.Assigns]).
//
// # Where devices come from
//
// Identities come by SCEP from the server, are minted from a CA that it trusts ([Mint]), or were kept from an earlier fleet. A
// device that has just enrolled has one conversation before the load: a server has first questions, which are no part of it.
// What the server pushed meanwhile is answered before the load too.
// Devices close their connections after the empty answer, as real ones do, unless the link keeps them.
//
// # What it does not do
//
// It plays no story (package fleet does) and knows no administration: how devices are invited, woken and given commands comes
// in as functions. Connections have no faults and no distance but those of the network in between.
package load

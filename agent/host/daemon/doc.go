// Package daemon has the system start the agent: it writes the definition of a service, takes it away again, and runs under the
// system's service manager.
//
// Start with [Service.Definition], which says what would be written, for any system; [Service.Install] writes just that by the
// library that knows the three managers, and starts it.
//
// systemd gives the agent a user of its own, made when it starts, and shuts it in: nothing but its state folder can be written. An
// agent that is to act on the machine, by --allow, has to be root there; it is asked for by name. launchd and the Windows service
// manager have no user that is made for a service, so there it is root and LocalSystem.
//
// Its log is the journal of systemd, the event log of Windows, and on macOS a file in /var/log, because that system's own takes nothing
// from a program without C.
//
// There is one service a machine, by its name, and one agent a state folder, by its lock. Where Linux has no systemd nothing is
// installed: its owner starts rollcall agent run as that system does it.
package daemon

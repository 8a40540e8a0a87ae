// Package agent is one managed device as a state machine without network, disk and clock, neutral as to platform:
// when it gets in touch, how one conversation with its server runs, which profiles it holds, how long its identity
// lives and what it has heard of a change of authority.
//
// Start with [Device.Step]: an [Event] and the time go in, [Actions] come out, and [Device.Due] says when the
// device wants to be called next. A rehearsal carries the actions out in memory; the packages below this one
// (dialect, link) turn them into the messages of a real wire and back.
//
// It does not know any platform's messages, documents or keys. Whoever carries an action out knows those.
//
// # Choices
//
// Back-off after a contact that failed is 1 min, doubling to 1 h, each less up to a quarter of it by chance, so that
// devices that failed together do not come back together. A Retry-After is waited for in full, but never longer
// than [MaxWait] (HST-120). Real Apple devices are not documented on either point (apple.md section 12).
package agent

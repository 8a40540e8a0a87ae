// Package rehearsal is the one roof over both towers: it sees what devices did and what the server decided, keeps the
// event log, and holds every event against the invariants of the authority specification.
//
// Start with [Watch], whose Observe hangs on a server, and [Log]. lab uses both over a real wire; virtual time comes on
// top of the same two: a [Loop] is devices of all five platforms and the server in one process, with time, chance and pushes as
// arguments, and no goroutine or socket of its own. [NewPreview] needs neither: it asks an export what a change of the authority would do.
//
// What a rehearsal has to say is all made of a [Played]: [Played.Answer] counts, [Answers.Findings], [Answers.Entries] and
// [Answers.Story] tell, in English or Dutch by the catalogue of package lang; [Compare] puts rehearsals side by side. An event
// log is read by [OpenLog]; [Explain] says one of its lines in words, and [Shrink] makes a plan small that breaks something.
//
// [Waves] computes waves of licences for a plan and a population ([PlanWaves] is its arithmetic, pure), and [WavePlan.Judge] holds
// their bounds against a rehearsal.
package rehearsal

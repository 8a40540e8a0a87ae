// Package rehearsal is the one roof over both towers: it sees what devices did and what the server decided, keeps the
// event log, and holds every event against the invariants of the authority specification.
//
// Start with [Watch], whose Observe hangs on a server, and [Log]. lab uses both over a real wire; virtual time comes on
// top of the same two: a [Loop] is devices of all five platforms and the server in one process, with time, chance and pushes as
// arguments, and no goroutine or socket of its own. What is steady runs in lanes of it: decided in place, without a lock or a map
// ([delivery.World.Rest], [server.Server.Round], [store.NewAlone]); a test holds them against Server.Handle. [NewPreview] needs neither: it asks an export what a change of the authority would do.
//
// [Play] plays a plan that way, with the very population and draws of a live fleet: partitions by user, each a Loop of its own that is played
// from the beginning to the end and let go, one on each processor; what the plan does to the tenant it does to each of them, and what it
// counts adds up. So there are never many devices in memory, only what became of them. Nothing depends on how many workers there are. How large a partition is decides by milliseconds who is woken first after a change, and with that what a
// device draws just then; what becomes of it does not hang on it.
//
// The event log is JSON lines: a [LogHeader] with all that it takes to play the story again, then one [Line] for each thing that
// changed, as devices, the server and the plan saw it. Steady check-ins are counted, not logged. Its sum is over exactly the bytes of
// the file. What leaves the house has the names that the population has: an export's are tokens unless it was read with its names.
//
// With [Config.Wire] a share of the devices speaks as well. The device's real dialect gets the same events at the same times as
// its core; what it sends goes through the handler that serves real devices, and is held there against what was meant; the server
// decides once, and the bytes of its answer must leave the dialect as the core is left ([Spoken]). So there is no second
// outcome that could be preferred, and the story is the same to the byte. Of a device of Android or Windows, which says in one message what takes many by
// rule, a conversation is had on a copy of its record as well, its first word and its certificates are the only ones, and device and record must be as by rule at its end. A fault
// amid a conversation cuts one of the two in two: they are held against each other again as soon as they are the same ([Spoken].Parted: the others). What is left out: sockets, TLS,
// pushes, the enrolment page, whose place the profile takes that it would give out, and when a PC would come by itself in its first
// hours: its polls count from its enrolment then, and by rule from its last contact.
//
// What a rehearsal has to say is all made of a [Played]: [Played.Answer] counts, [Answers.Findings], [Answers.Entries] and
// [Answers.Story] tell, in English or Dutch by the catalogue of package lang; [Compare] puts rehearsals side by side. An event
// log is read by [OpenLog]; [Explain] says one of its lines in words, [Relive] fills in what it leaves out of a life, and [Shrink] makes a plan small that breaks something.
//
// [Waves] computes waves of licences for a plan and a population ([PlanWaves] is its arithmetic, pure), and [WavePlan.Judge] holds
// their bounds against a rehearsal.
package rehearsal

// Package rehearsal is the one roof over both towers: it sees what devices did and what the server decided, keeps the
// event log, and holds every event against the invariants of the authority specification.
//
// Start with [Watch], whose Observe hangs on a server, and [Log]. lab uses both over a real wire; virtual time comes on
// top of the same two: a [Loop] is devices of all five platforms and the server in one process, with time, chance and pushes as
// arguments, and no goroutine or socket of its own. What is steady runs in lanes of it: decided in place, without a lock or a map
// ([delivery.World.Rest], [server.Server.Round], [store.NewAlone]); a test holds them against Server.Handle. [NewPreview] needs
// neither: it asks an export what a change of the authority would do.
//
// [Play] plays a plan that way, with the very population and draws of a live fleet: partitions by user, each a Loop of its own that is played
// from the beginning to the end and let go, one on each processor; what the plan does to the tenant it does to each of them, and what it
// counts adds up. So there are never many devices in memory, only what became of them. Nothing depends on the number of workers.
// The size of a partition shifts by milliseconds who is woken first after a change, and so what a device draws at that moment,
// but not what becomes of it.
//
// The event log is JSON lines: a [LogHeader] with all that it takes to play the story again, then one [Line] for each thing that
// changed, as devices, the server and the plan saw it. Steady check-ins are counted, not logged. Its sum is over exactly the bytes of
// the file. What leaves the house has the names that the population has: an export's are tokens unless it was read with its names.
//
// With [Config.Wire] a share of the devices speaks as well. The device's real dialect gets the same events at the same times as
// its core; what it sends goes through the handler that serves real devices, and is held there against what was meant; the server
// decides once, and the bytes of its answer must leave the dialect as the core is left ([Spoken]). So there is no second
// outcome that could be preferred, and the story is the same to the byte.
//
// Android and Windows devices say in one message what takes many rounds by rule. So the conversation of such a device also runs
// on a copy of its record, and at its end device and record must be as they are by rule; its first message and its certificates
// exist once, for both. A fault in the middle of a conversation can cut one of the two short and not the other: they are compared
// again once they agree, and [Spoken].Parted counts those that never did.
//
// What the wire leaves out: sockets, TLS and pushes; the enrolment page, since the device gets its profile directly; and when a
// PC comes by itself in its first hours, where its polls count from its enrolment, and by rule from its last contact.
//
// What a rehearsal has to say is all made of a [Played]: [Played.Answer] counts, [Answers.Findings], [Answers.Entries] and
// [Answers.Story] tell, in English or Dutch by the catalogue of package lang; [Compare] puts rehearsals side by side. An event
// log is read by [OpenLog]; a [Step] is one of its lines in words, [Relive] fills in what it leaves out of a life, and
// [Shrink] reduces a plan that breaks something to the least that still does.
//
// [WaveSearch.Find] computes the largest waves of licences for a plan and a population that keep their bounds in a rehearsal;
// [WaveSearch.Guess] is the arithmetic alone, and rehearses nothing.
package rehearsal

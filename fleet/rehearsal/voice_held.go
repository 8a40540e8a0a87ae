package rehearsal

import (
	"fmt"
	"slices"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/server/delivery"
)

// What follows holds a double against what the rule makes of it.

// compare holds the first word of an enrolment against what was meant.
func (f *double) compare(meant, came *delivery.Event) {
	f.check("word", meant.Verb, came.Verb)
	f.check("device", meant.ID, came.ID)
	f.check("platform", meant.Platform, came.Platform)
	f.check("identity", meant.Credential.Identity, came.Credential.Identity)
	f.check("user", meant.Credential.User, came.Credential.User)
	f.check("epoch", meant.Epoch, came.Epoch)
}

// ends holds device and state at the end of a conversation against what the rule has made of them.
func (f *double) ends() {
	if f.silent() {
		return
	}
	if f.torn && f.owed { // it was to have another identity, and the fault that cut the rule's conversation in two has kept that from it
		f.dialogue().Abandon(f.now())
		f.act, f.owed = dialect.Act{}, false
	}
	if f.act.Kind != dialect.Rest {
		f.differs("end of the conversation", "", f.wants())
		return
	}
	state := f.loop.store.Lend(f.loop.places[f.index].number)
	if f.torn {
		f.mends(state)
		return
	}
	if f.stands(); f.silent() || !f.twice || state == nil {
		return
	}
	mine := &f.state
	f.check("life", state.Life, mine.Life)
	f.check("authority", state.Registered, mine.Registered)
	f.check("epoch of the record", state.Epoch, mine.Epoch)
	f.check("change heard of", state.Heard, mine.Heard)
	f.check("seen", state.LastSeen, mine.LastSeen)
	f.check("enrolled", state.EnrolledAt, mine.EnrolledAt)
	f.check("identity of the record", state.Identity, mine.Identity)
	if f.early {
		return
	}
	f.check("commands left", len(state.Queue), len(mine.Queue))
	f.check("profiles of the record", f.assigned(state), f.assigned(mine))
	reports := mine.Reports
	if f.again {
		reports.Failed -= more(reports.Failed, state.Reports.Failed, f.began.Failed)
		reports.NotNow -= more(reports.NotNow, state.Reports.NotNow, f.began.NotNow)
	}
	f.check("reports", state.Reports, reports)
	f.whole = true
}

// more is how many reports of a kind there are over the wire beside those by rule, where so many may come once more as there have been since
// began.
func more(wire, rule, began uint32) uint32 {
	if wire <= rule {
		return 0
	}
	return min(wire-rule, rule-began)
}

// mends looks whether the two are the same again after a fault that cut a conversation of one of them in two: the commands that it kept
// from one have come again.
func (f *double) mends(state *delivery.State) {
	core, d, mine := f.loop.Device(f.index), f.dialogue(), &f.state
	if core.Phase() != d.Phase() { // one was told to leave, and the other has yet to be
		f.parts()
		return
	}
	rule, wire := f.profiles(f)
	if core.Phase() == agent.Enrolled && f.twice && !f.early && state != nil && f.abreast() && slices.Equal(rule, wire) &&
		state.Identity == mine.Identity && len(state.Queue) == len(mine.Queue) && f.assigned(state) == f.assigned(mine) && !core.Owes() && !f.owes() {
		f.torn = false
	}
}

// abreast tells whether the device knows of the changes that its core knows of. Who enrols after one need not be told of it.
func (f *double) abreast() bool {
	core, told := f.loop.Device(f.index), f.dialogue().Epoch()
	return told == core.Epoch() || told == 0 && core.EnrolledAt() >= f.loop.server.World().Tenant.Notice().ChangedAt
}

// assigned are the profiles of a record as text.
func (f *double) assigned(s *delivery.State) string {
	list := make([]string, len(s.Profiles))
	for i, a := range s.Profiles {
		list[i] = f.loop.server.World().Profiles[a.Profile].Identifier + " " + a.State.String()
	}
	return fmt.Sprint(list)
}

// stands holds all that a device is against its core.
func (f *double) stands() {
	core, d := f.loop.Device(f.index), f.dialogue()
	if f.torn {
		return
	}
	f.check("phase", core.Phase(), d.Phase())
	if core.Phase() != agent.Enrolled {
		return
	}
	rule, wire := f.drops(f)
	f.check("end of the old profiles", rule, wire)
	if !f.abreast() {
		f.differs("epoch", core.Epoch(), d.Epoch())
	}
	if f.early {
		return
	}
	if !f.failed {
		f.rests(f)
	}
	mine, theirs := f.profiles(f)
	f.check("profiles", fmt.Sprint(mine), fmt.Sprint(theirs))
}

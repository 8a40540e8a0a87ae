package rehearsal

import (
	"time"

	"rollcall/protocol"
)

// stopped is the clock of a user that runs no more: something was assigned, or the change was before the story.
const stopped protocol.Time = -1

// clock runs for the user of device i, which is enrolled, from the moment when the device gets another authority until something of that is
// assigned to the user (AUTH-38). Nobody knows what an export's users had assigned whose change was before the story.
func (k *part) clock(i int, d *watched, life *Life, now protocol.Time) {
	of := &k.pop.Devices[k.units[i].device]
	if of.Userless() {
		return
	}
	since := &k.since[int(of.User)-k.first]
	changes := d.stands.Pending || d.stands.Moved || life.FirstPending != 0 || (d.stands.Stale || d.stands.Reregistered) && d.state.Registered == protocol.Intune
	if *since == stopped || *since == 0 && !changes {
		return
	}
	switch assigned := k.due(d.state) != 0; {
	case *since == 0 && !assigned && now > k.start:
		*since = now
		return
	case *since == 0:
	case !assigned:
		return
	case now > *since: // in the moment of the change is in time
		k.late[now.Sub(*since)]++
	}
	*since = stopped
}

// unassigned is how many users wait for something to be assigned.
func (k *part) unassigned() (n int) {
	for _, since := range k.since {
		n += one(since > 0)
	}
	return n
}

// lateness adds users, by how late something was assigned to them, to all.
func lateness(all, more map[time.Duration]int) map[time.Duration]int {
	for late, users := range more {
		if all == nil {
			all = map[time.Duration]int{}
		}
		all[late] += users
	}
	return all
}

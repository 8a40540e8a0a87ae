package ledger

import (
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// Exchanged takes what one request of d tells: reports that it delivered and whether the server confirmed them, the profiles
// that came or went with them, or that there was no work; of an Android or Windows device also that it has enrolled. begun and now are
// the clock of the run when the request began and when it ended.
func (l *Ledger) Exchanged(begun, now protocol.Time, d protocol.Device, x *link.Exchange) {
	heard := x.Status >= 200 && x.Status < 300
	if x.Status != 0 {
		l.answeredAt(begun, d)
	}
	switch x.Step {
	case dialect.Report:
		l.reported(begun, d, x, heard)
	case dialect.Enroll, dialect.Probe: // of Android and Windows: at their first check-in or session they are enrolled, and get profiles
		if heard {
			l.Ended(now, d)
		}
	case dialect.CheckIn:
		l.checkedIn(begun, now, d, x, heard)
	case dialect.Session:
		l.session(begun, now, d, x, heard)
	}
	if heard && (x.Idle || x.Received == 0 && (x.Step == dialect.Idle || x.Step == dialect.Report)) {
		l.NoWork(begun, d)
	}
}

func (l *Ledger) reported(now protocol.Time, d protocol.Device, x *link.Exchange, heard bool) {
	if !x.Repeat {
		l.Delivered(now, d, x.UUID, x.Command)
		switch {
		case x.Profile == "":
		case x.Command == "RemoveProfile":
			l.Removed(d, x.Profile) // or it was not there
		case x.Reported == protocol.Acknowledged:
			l.Installed(now, d, x.Profile, x.Version)
		default:
			l.NotInstalled(d, x.Profile)
		}
	}
	l.Answered(now, d, x.UUID, x.Reported, heard)
}

// checkedIn takes a round of an Android device's check-in, which reports all that the one before it brought.
func (l *Ledger) checkedIn(begun, now protocol.Time, d protocol.Device, x *link.Exchange, heard bool) {
	if heard {
		l.enrolledAt(now, d)
	}
	for i := range x.Orders {
		o := &x.Orders[i]
		switch {
		case o.Profile == "":
			if !x.Repeat {
				l.Delivered(begun, d, o.UUID, o.Command)
			}
			l.Answered(begun, d, o.UUID, o.Status, heard)
		case x.Repeat:
		case o.Gone:
			l.Removed(d, o.Profile)
		case o.Status == protocol.Acknowledged:
			l.Installed(begun, d, o.Profile, "")
		default:
			l.NotInstalled(d, o.Profile)
		}
	}
	if heard && x.Whole {
		l.told(now, d)
	}
}

// questions are the kinds of commands that ask and do nothing, by name.
var questions = map[string]bool{
	protocol.DeviceInformation.String(): true, protocol.SecurityInfo.String(): true, protocol.ProfileList.String(): true,
	protocol.CertificateList.String(): true, protocol.InstalledApplicationList.String(): true,
}

// told notes that d has told the server all that it could be asked: what was still to be asked is answered, and may not come any more.
func (l *Ledger) told(now protocol.Time, d protocol.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.knows[d] = now
	for last := &l.account(d).orders; *last != 0; {
		o := &l.orders.list[*last]
		if !questions[l.kinds.list[o.kind]] || o.is&named != 0 {
			last = &o.next
			continue
		}
		if o.is&delivered == 0 {
			l.counts.Delivered++
		}
		l.counts.Confirmed++
		l.free(last)
	}
}

// answeredAt notes that the server answered a request of d in whatever way.
func (l *Ledger) answeredAt(begun protocol.Time, d protocol.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(d).answered = begun
}

// enrolledAt notes that d is enrolled, if that is news.
func (l *Ledger) enrolledAt(now protocol.Time, d protocol.Device) {
	l.mu.Lock()
	enrolled := l.account(d).enrolled
	l.mu.Unlock()
	if !enrolled {
		l.Enrolled(now, d)
	}
}

package ledger

import (
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// Exchanged takes what one request of d tells: a report that it delivered and whether the server confirmed it, the profile
// that came or went with it, or that there was no work. begun and now are the clock of the run when the request began and
// when it ended.
func (l *Ledger) Exchanged(begun, now protocol.Time, d protocol.Device, x *link.Exchange) {
	heard := x.Status >= 200 && x.Status < 300
	if x.Step == dialect.Report {
		l.reported(begun, d, x, heard)
	}
	if heard && x.Received == 0 && (x.Step == dialect.Idle || x.Step == dialect.Report) {
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

package host

import (
	"context"
	"math/rand/v2"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
	"rollcall/protocol/wake"
)

// An appleDevice is the machine as an iPad, an iPhone or a Mac.
type appleDevice struct{ *dialect.Apple }

func (d *appleDevice) enrol(ctx context.Context, h *Host) (link.Report, error) {
	who := dialect.Who{Number: 1, Seed: rand.Uint64(), UDID: h.rec.UDID, Serial: h.facts.Serial, Name: h.facts.Name}
	d.Apple = dialect.NewApple(who, &dialect.Model{Platform: h.rec.Kind}, nil)
	d.share(h)
	return h.link.Enrol(ctx, d.Apple, dialect.Start{Profile: h.rec.Pending.Profile})
}

// share: a machine never pleads that it is locked, leaves by its server's signed order alone (HST-027), and makes files of profiles.
// Queries are answered with what holds when they are asked.
func (d *appleDevice) share(h *Host) {
	model := h.facts.model(h.rec.Kind, func(query string) any { return h.facts.answer(query, h.rec.Kind) })
	d.Share(model, &dialect.Habits{Ordered: true, Ahead: h.rec.Clock.Offset, Placer: placer{h}})
}

func (d *appleDevice) taken() bool {
	return d.Phase() == agent.Enrolled || d.Phase() == agent.Enrolling
}

// Begin begins a conversation. An enrolment that is not complete has its TokenUpdate to say, whoever asks, and at once.
func (d *appleDevice) Begin(now protocol.Time, why dialect.Why, out *dialect.Act) bool {
	if why == dialect.Synced && d.Phase() == agent.Enrolling {
		now, why = max(now, d.Due()), dialect.Scheduled
	}
	return d.Apple.Begin(now, why, out)
}

func (*appleDevice) back(protocol.Time) (wait bool) { return false }

// settled: a machine that was to be shut down was not.
func (d *appleDevice) settled(now protocol.Time) {
	if d.Off() {
		d.PowerOn(now)
	}
}

func (d *appleDevice) listed() string { return "" }

func (d *appleDevice) organization() string {
	_, name := d.Manager()
	return name
}

func (d *appleDevice) push() address {
	topic, token, magic := d.Push()
	if token == nil {
		return address{}
	}
	return address{service: wake.APNs, topic: topic, token: token, magic: magic}
}

func (d *appleDevice) woken(magic string) bool { return d.Woken(magic) }

func (d *appleDevice) reached(*Host, string) bool { return true } // by its token

func (d *appleDevice) profiles() []dialect.Profile { return d.Profiles() }

func (d *appleDevice) document(*dialect.Profile) []byte { return nil }

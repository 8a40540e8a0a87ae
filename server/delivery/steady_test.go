package delivery_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// vary changes something about the state, the world or the moment of a settled device, at random.
func vary(r *rand.Rand, p *phone, now *protocol.Time, c *delivery.Credential) {
	s, w := &p.s, p.w
	switch r.IntN(24) {
	case 0:
		s.Life = delivery.Life(r.IntN(5))
	case 1:
		s.Awaiting = r.IntN(2) == 0
	case 2:
		s.Support, s.User = r.IntN(2) == 0, delivery.UserID(r.IntN(2))
	case 3:
		s.Wake = delivery.Wake{Due: *now, Reason: delivery.WakeReason(r.IntN(4)), Attempt: uint8(r.IntN(5))}
	case 4:
		s.Queue = []delivery.Queued{{Command: protocol.Command{ID: protocol.CommandID{1}, Kind: protocol.SecurityInfo}, Seq: 1, NotNow: r.IntN(2) == 0}}
	case 5:
		w.Gap = *now - 5
	case 6:
		w.Tenant.Epoch += uint32(r.IntN(2))
		w.Tenant.ChangedAt = now.Add(-time.Duration(r.IntN(20)) * 24 * time.Hour)
	case 7:
		s.Epoch = uint32(r.IntN(4))
	case 8:
		s.Heard = w.Tenant.Epoch - uint32(r.IntN(2))
	case 9:
		w.Tenant.Authority = protocol.Authority(r.IntN(4))
	case 10:
		w.Tenant.Authority, w.Tenant.Coexistence = protocol.Office365, true
	case 11:
		s.Registered = protocol.Authority(r.IntN(4))
	case 12:
		w.Users[1].User = authority.User{IntuneLicence: r.IntN(2) == 0, BasicLicence: r.IntN(2) == 0}
	case 13:
		c.Fingerprint[0]++
	case 14:
		c.Revoked = r.IntN(2) == 0
	case 15:
		*now = now.Add(time.Duration(r.IntN(400)) * 24 * time.Hour)
	case 16:
		*now = now.Add(-time.Duration(r.IntN(3)) * time.Hour)
	case 17:
		s.Rare = &delivery.Rare{Renewal: delivery.Renewal{Asked: now.Add(-time.Duration(r.IntN(10)) * 24 * time.Hour)}}
	case 18:
		s.Set = []uint32{0, 7, delivery.Unsettled, delivery.Unfinished, delivery.Leftover}[r.IntN(5)]
	case 19:
		s.Pace = delivery.Pace{Since: now.Add(-time.Duration(r.IntN(100)) * time.Second), Times: []uint32{1, 59_999, 60_000}[r.IntN(3)]}
	case 20:
		w.Wakes.From = now.Add(-time.Duration(r.IntN(600)) * time.Minute)
	case 21:
		s.Platform = protocol.Platforms[r.IntN(len(protocol.Platforms))]
	case 22:
		s.Fresh = uint32(r.IntN(4))
	case 23:
		s.Push.Since = now.Add(time.Duration(r.IntN(3)-1) * time.Hour)
	}
}

// What is done in place is what Decide decides, whatever the state; and nothing is where Decide decides more.
func TestSteadyInPlaceIsWhatDecideSays(t *testing.T) {
	rested, woken := 0, 0
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 0))
		p, ev := steady(t)
		now := p.now.Add(time.Hour)
		p.s.Wake = delivery.Wake{Due: now, Reason: delivery.Scheduled}
		for range r.IntN(4) {
			vary(r, p, &now, &ev.Credential)
		}
		delivery.Decide(now, p.w, &p.s, &ev, &p.out)
		s := p.s
		told, ok := p.w.Rest(now, &s, &ev.Credential)
		switch {
		case !ok && !cmp.Equal(s, p.s):
			t.Fatalf("seed %d: Rest says that it is not sure, and has changed the state:\n%s", seed, cmp.Diff(p.s, s))
		case ok && (!p.out.Steady() || p.out.Changed != 0 || !p.out.Completed || p.out.Reply.Kind != protocol.Done || told != p.out.Reply.Notice || !cmp.Equal(s, p.out.State)):
			t.Fatalf("seed %d: Rest tells %+v, Decide %+v:\n%s", seed, told, p.out, cmp.Diff(p.out.State, s))
		case ok:
			rested++
		}

		report := reportTo(&p.s, delivery.Message{PushedAt: now, Push: delivery.Accepted, Sent: p.s.Wake})
		delivery.Decide(now, p.w, &p.s, &report, &p.out)
		s = p.s
		switch ok := p.w.Woken(now, &s); {
		case !ok && !cmp.Equal(s, p.s):
			t.Fatalf("seed %d: Woken says that it is not sure, and has changed the state:\n%s", seed, cmp.Diff(p.s, s))
		case ok && (!p.out.Steady() || !cmp.Equal(s, p.out.State)):
			t.Fatalf("seed %d: Woken does not what Decide says:\n%s", seed, cmp.Diff(p.out.State, s))
		case ok:
			woken++
		}
	}
	if rested < 1000 || woken < 1000 {
		t.Errorf("of 4000 states %d rested and %d were woken in place: hardly any", rested, woken)
	}
}

//go:build unix

package device

import (
	"context"
	"sync/atomic"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
	"rollcall/server/store/sqlstore"
)

const benchDevices = 64 // as many connections

// BenchmarkCheckIn measures a check-in part by part and whole: half TokenUpdates with a new token, each one durable, and
// half Idles; durable is TokenUpdates alone. The last two run over mutual TLS, kept alive, against a server process of its
// own, over SQLite; their figure is check-ins for one CPU-second of that process.
func BenchmarkCheckIn(b *testing.B) {
	p := &phone{id: udid(1)}
	bodies := [][]byte{encode(p.tokenUpdate()), encode(p.idle())}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		var m apple.Message
		for i := 0; b.Loop(); i++ {
			if err := apple.DecodeMessage(bodies[i&1], &m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decide", func(b *testing.B) {
		l := newLab(b)
		p := l.phone(udid(1)).enrol()
		state, world := l.record(p.id).State, l.core.World()
		cred, err := l.core.Credential(context.Background(), state.Identity.Fingerprint)
		if err != nil {
			b.Fatal(err)
		}
		var out delivery.Outcome
		ev := delivery.Event{Kind: delivery.CheckInRound, Device: state.Device}
		ev.Credential, ev.Round, ev.Topic, ev.Magic, ev.Token = cred, 1, testTopic, "magic", []byte("token of some length, as they are")
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			ev.Verb = protocol.Ask
			if i&1 == 0 {
				ev.Verb = protocol.Ready
				ev.Token[0]++
			}
			delivery.Decide(l.pnow(), world, &state, &ev, &out)
		}
		if out.Refusal.Rule != "" {
			b.Fatal(&out.Refusal)
		}
	})
	b.Run("commit", func(b *testing.B) {
		kept, err := sqlstore.Open(context.Background(), b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { kept.Close() })
		devices := make([]protocol.Device, benchDevices)
		for i := range devices {
			tx, err := kept.Create(context.Background(), udid(i))
			if err != nil {
				b.Fatal(err)
			}
			out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core}
			out.State.Life = delivery.Enrolled
			if err := tx.Commit(1, &out); err != nil {
				b.Fatal(err)
			}
			devices[i] = tx.State().Device
			tx.End()
		}
		var next atomic.Uint32
		b.ReportAllocs()
		b.SetParallelism(benchDevices)
		b.RunParallel(func(pb *testing.PB) {
			d := devices[next.Add(1)%benchDevices]
			var out delivery.Outcome
			for n := protocol.Time(2); pb.Next(); n++ {
				tx, err := kept.Begin(context.Background(), d)
				if err != nil {
					b.Error(err)
					return
				}
				out.State, out.Changed = *tx.State(), 0
				if out.State.LastSeen = n; n&1 == 0 {
					out.State.Push.Since, out.Changed = n, delivery.Core
				}
				err = tx.Commit(n, &out)
				tx.End()
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("encode", func(b *testing.B) {
		replies := []protocol.Reply{{}, {Kind: protocol.Work, Command: protocol.Command{Kind: protocol.SecurityInfo, ID: noCommand}}}
		var buf []byte
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			buf = apple.EncodeReply(buf[:0], &replies[i&1])
		}
	})
	b.Run("whole", func(b *testing.B) { benchCheckIns(b, false) })
	b.Run("durable", func(b *testing.B) { benchCheckIns(b, true) })
}

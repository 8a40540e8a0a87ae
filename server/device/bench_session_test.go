//go:build unix

package device

import (
	"context"
	"net/http"
	"syscall"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
	"rollcall/server/store"
	"rollcall/server/store/sqlstore"
)

// BenchmarkSession is a session of packages 1 to 4 with three commands beside an Apple round with the same three: the CPU time of this
// process between a request that is read and its answer, decoding, decision, commit and encoding, without TLS and HTTP/1.1, which
// an Apple round needs twice as often. The first figure counts, ns of CPU for each of them.
//
//	go test ./server/device -run xxx -bench Session -benchtime 2000x
func BenchmarkSession(b *testing.B) {
	kinds := []protocol.CommandKind{protocol.DeviceInformation, protocol.SecurityInfo, protocol.Restart}
	stores := map[string]func(b *testing.B) store.Store{
		"memory": func(*testing.B) store.Store { return store.NewMemory() },
		"sqlite": func(b *testing.B) store.Store {
			kept, err := sqlstore.Open(context.Background(), b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { kept.Close() })
			return kept
		},
	}
	for _, name := range []string{"memory", "sqlite"} {
		b.Run(name+"/apple", func(b *testing.B) {
			l := newLabOn(b, stores[name](b))
			p := l.phone(udid(1)).enrol()
			client := &timed{bare: newBare(l.h, p.who.Certificate)}
			b.ReportAllocs()
			for b.Loop() {
				for _, kind := range kinds {
					l.order(p.id, kind)
				}
				answer := client.do(b, http.MethodPut, commandPath, apple.CommandType, encode(p.idle()))
				for range kinds {
					id, _, err := apple.DecodeCommand(answer)
					if err != nil {
						b.Fatal(err)
					}
					answer = client.do(b, http.MethodPut, commandPath, apple.CommandType, encode(apple.Message{UDID: p.id, Status: protocol.Acknowledged, CommandUUID: id}))
				}
				if len(answer) > 0 {
					b.Fatal("the round does not end")
				}
			}
			client.report(b)
		})
		b.Run(name+"/windows", func(b *testing.B) {
			l := newLabOn(b, stores[name](b), func(c *Config) { c.Windows = &Windows{} })
			p := l.pc(pcID(1)).enrol()
			client := &timed{bare: newBare(l.h, p.who.Certificate)}
			var in windows.Message
			b.ReportAllocs()
			for b.Loop() {
				for _, kind := range kinds {
					l.order(p.id, kind)
				}
				if err := windows.DecodeMessage(client.do(b, http.MethodPost, windows.ManagementPath, windows.SyncMLContentType, windows.EncodeMessage(nil, p.begin())), &in); err != nil {
					b.Fatal(err)
				}
				p.told = p.told[:0]
				if err := windows.DecodeMessage(client.do(b, http.MethodPost, windows.ManagementPath, windows.SyncMLContentType, windows.EncodeMessage(nil, p.obey(&in))), &in); err != nil {
					b.Fatal(err)
				}
				if p.more(&in) {
					b.Fatal("the session does not end")
				}
			}
			client.report(b)
		})
	}
}

// do posts what must be answered 200, and counts what that costs.
func (c *timed) do(b *testing.B, method, path, kind string, body []byte) []byte {
	before := cpu()
	w := c.send(method, path, kind, body)
	c.used += cpu() - before
	if w.Code != http.StatusOK {
		b.Fatalf("answered %d %s", w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// A timed client knows what its requests cost.
type timed struct {
	*bare
	used time.Duration
}

func (c *timed) report(b *testing.B) {
	b.ReportMetric(float64(c.used.Nanoseconds())/float64(b.N), "cpu-ns/conversation")
}

// cpu is what this process has computed.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

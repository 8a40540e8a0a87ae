//go:build !agentonly

package main

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/authority"
	"rollcall/server/store"
)

// BenchmarkLabAndroid has b.N Android devices of all modes in turn, AOSP's two among them, enrol by EST at once, each with its first policy:
// over TLS, at a server over SQLite as a lab's is. s is how long it took, invitations not counted, cpu-s what it cost both sides.
//
//	go test ./cmd/rollcall -run xxx -bench LabAndroid -benchtime 1000x
func BenchmarkLabAndroid(b *testing.B) {
	if b.N < 10 {
		return // says nothing
	}
	l := newAndroidLab(b, onSQLite)
	l.assign("office", protocol.WiFi, "1")
	const each = 12 // devices of a user
	users := make([]store.User, b.N/each+1)
	for i := range users {
		users[i] = store.User{UPN: fmt.Sprintf("user-%d@example.test", i), Groups: []string{"all"}, User: authority.User{IntuneLicence: true}}
	}
	ids, err := l.core.PutUsers(b.Context(), l.pnow(), users)
	l.check(err)
	devices, starts := make([]*dialect.Android, b.N), make([]dialect.AndroidStart, b.N)
	for i := range devices {
		mode := android.Modes[i%len(android.Modes)]
		l.user = ids[i/each]
		devices[i], starts[i] = l.deviceOf(i+1, mode, users[i/each].UPN), l.start(l.invite(mode), mode)
	}
	var group errgroup.Group
	group.SetLimit(32)
	before, _ := usage()
	began := time.Now()
	for i, d := range devices {
		group.Go(func() error {
			_, err := l.link.EnrolAndroid(b.Context(), d, starts[i])
			return err
		})
	}
	l.check(group.Wait())
	took := time.Since(began)
	after, _ := usage()
	for i, d := range devices {
		if _, version := d.Policy(); d.Phase() != agent.Enrolled || version == 0 {
			b.Fatalf("device %d, %s, is %s with policy %d", i, starts[i].Mode, d.Phase(), version)
		}
	}
	b.ReportMetric(0, "ns/op") // with the invitations and the server's start
	b.ReportMetric(took.Seconds(), "s")
	b.ReportMetric((after - before).Seconds(), "cpu-s")
}

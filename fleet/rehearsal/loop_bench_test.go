package rehearsal_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// BenchmarkLoop is a day of steady check-ins, pushes and their reports included: one op is one check-in.
func BenchmarkLoop(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			contacts := 0
			l, err := rehearsal.NewLoop(b.Context(), rehearsal.LoopConfig{Start: start, Seed: 1, Contact: func(*rehearsal.Contact) { contacts++ }})
			must := func(err error) {
				if err != nil {
					b.Fatal(err)
				}
			}
			must(err)
			s := l.Server()
			must(s.SetUp(b.Context(), start, authority.Tenant{Authority: protocol.Intune}, delivery.Settings{}))
			must(s.Consent(b.Context(), start, boss, server.ConsentPush))
			_, err = s.UploadPush(b.Context(), start, pushPEM("com.apple.mgmt.External.A", 300), "", "", false, 0)
			must(err)
			ids, err := s.PutUsers(b.Context(), start, []store.User{{UPN: upn(0), User: authority.User{IntuneLicence: true}}})
			must(err)
			platforms := []protocol.Platform{protocol.IOS, protocol.IOS, protocol.IPadOS, protocol.Android, protocol.Windows}
			for i := range n {
				user := delivery.UserID(0)
				if i == 0 {
					user = ids[0] // one for all would make the device limit slow
				}
				must(l.Enrol(l.Add(rehearsal.Handset{ID: fmt.Sprintf("device-%d", i), Platform: platforms[i%len(platforms)], User: user})))
				if i%100 == 99 {
					must(l.Run(l.Now().Add(8 * time.Hour / time.Duration(n/100))))
				}
			}
			must(l.Run(l.Now().Add(20 * time.Hour)))
			b.ReportAllocs()
			contacts = 0
			b.ResetTimer()
			for contacts < b.N {
				must(l.Run(l.Now().Add(time.Minute)))
			}
		})
	}
}

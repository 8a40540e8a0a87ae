package server_test

import (
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
	"rollcall/server/store/sqlstore"
)

// BenchmarkChange is a change of authority for a hundred thousand enrolled devices in SQLite, on a disk of this machine:
// previewed, committed, and the first wake-up out.
func BenchmarkChange(b *testing.B) {
	x := crowd(b)
	to := []authority.Change{sccm, intune}
	var previewed, committed, first time.Duration
	n := 0
	for b.Loop() {
		change := to[n%2]
		n++
		began := time.Now()
		shown, err := x.PreviewAuthority(x.ctx, x.now, change)
		x.must(err)
		previewed += time.Since(began)
		began = time.Now()
		p, err := x.SetAuthority(x.ctx, x.now, boss, change, shown.ID, shown.Stranded)
		x.must(err)
		committed += time.Since(began)
		if p.Stale != crowded {
			b.Fatalf("%d stale", p.Stale)
		}
		x.upload(topic, x.Content().Latest().NotAfter.Sub(x.now)+day)
		began = time.Now()
		x.reopen() // a crash after the commit
		x.now = x.now.Add(time.Millisecond)
		woken := len(x.pushes.Sent())
		x.must(x.Tick(x.ctx, x.now))
		if len(x.pushes.Sent()) == woken {
			b.Fatal("nobody was woken")
		}
		first += time.Since(began)
	}
	b.ReportMetric(previewed.Seconds()/float64(n), "s/preview")
	b.ReportMetric(committed.Seconds()/float64(n), "s/commit")
	b.ReportMetric(first.Seconds()/float64(n), "s/first-wake-up")
}

// BenchmarkPreview is a preview alone, of a change of authority and of one of a profile that all of them get: how long it takes,
// how much memory the whole process has from the system at its peak, and how much of that was not there before.
func BenchmarkPreview(b *testing.B) {
	x := crowd(b)
	for name, preview := range map[string]func() (*server.Preview, error){
		"authority": func() (*server.Preview, error) { return x.PreviewAuthority(x.ctx, x.now, sccm) },
		"profile":   func() (*server.Preview, error) { return x.PreviewProfile(x.ctx, x.now, wifi("2", "all")) },
	} {
		b.Run(name, func(b *testing.B) {
			var before, most uint64
			for b.Loop() {
				b.StopTimer()
				debug.FreeOSMemory()
				before = resident()
				b.StartTimer()
				most = max(most, during(func() {
					p, err := preview()
					x.must(err)
					if p.Enrolled != crowded {
						b.Fatalf("%d devices", p.Enrolled)
					}
				}))
			}
			b.ReportMetric(float64(most)/1e6, "MB-peak")
			b.ReportMetric(float64(most-min(before, most))/1e6, "MB-added")
		})
	}
}

// BenchmarkStatus is what authority show and apns status look at all devices for.
func BenchmarkStatus(b *testing.B) {
	x := crowd(b)
	for name, look := range map[string]func() error{
		"verify": func() error { return second(x.Verify(x.ctx, x.now)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.must(look())
			}
		})
	}
}

// during calls do and returns the most memory that the process had meanwhile, looked at each millisecond.
func during(do func()) uint64 {
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		for {
			most = max(most, resident())
			select {
			case <-done:
				peak <- most
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	do()
	close(done)
	return <-peak
}

// resident is the memory that the runtime has from the system.
func resident() uint64 {
	m := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	return m[0].Value.Uint64() - m[1].Value.Uint64()
}

const crowded = 100_000

// crowd is a tenant of so many enrolled devices with a profile each, in SQLite on a disk of this machine.
func crowd(b *testing.B) *tenant {
	const devices, users = crowded, 60_000
	x := empty(&testing.T{})
	db, err := sqlstore.Open(x.ctx, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	x.store, x.cfg.Store = db, db
	x.reopen()
	x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Intune}, delivery.Settings{}))
	x.upload(topic, 365*day)
	list := make([]store.User, users)
	for i := range list {
		list[i] = store.User{UPN: fmt.Sprintf("u%d@example.org", i), Groups: []string{"all"}, User: authority.User{IntuneLicence: true}}
	}
	_, err = x.PutUsers(x.ctx, x.now, list)
	x.must(err)
	x.wifi("wifi", "all")
	var g errgroup.Group
	g.SetLimit(256)
	for i := range devices {
		g.Go(func() error { return plant(x, db, i, users) })
	}
	x.must(g.Wait())
	return x
}

// plant puts one enrolled device with its profile into a store.
func plant(x *tenant, db store.Store, i, users int) error {
	tx, err := db.Create(x.ctx, fmt.Sprintf("UDID-%d", i))
	if err != nil {
		return err
	}
	defer tx.End()
	out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core | delivery.Wakes | delivery.Profiles}
	s := &out.State
	s.User, s.Platform, s.Life, s.Registered, s.Epoch = delivery.UserID(1+i%users), protocol.IOS, delivery.Enrolled, protocol.Intune, 1
	s.Push = delivery.Push{Topic: topic, Magic: "magic", Token: fmt.Appendf(nil, "%032d", i), Since: x.now}
	s.Identity = delivery.Identity{Fingerprint: delivery.Fingerprint{byte(i), byte(i >> 8), byte(i >> 16), 1}, NotBefore: x.now, NotAfter: x.now.Add(365 * day)}
	s.LastSeen, s.EnrolledAt = x.now, x.now
	s.Wake = delivery.Wake{Due: x.now.Add(8 * time.Hour), Reason: delivery.Scheduled}
	s.Profiles = []delivery.Assigned{{Profile: 1, State: delivery.Installed, At: x.now}}
	return tx.Commit(x.now, &out)
}

package rehearsal_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A fortnight is one partition of a rehearsal: a tenant under Basic Mobility and Security adds Intune after an hour, its push
// certificate is renewed a day later, and a fifth of the users without Intune's licence get one on each of five days.
type fortnight struct {
	*rehearsal.Loop
	tb       testing.TB
	users    int
	contacts uint64
	lines    uint64
	moved    int
	calm     protocol.Time // see [rehearsal.LoopConfig]
}

// partition is how many devices one partition of a rehearsal has at most, and partitions how many a million of them make.
const (
	partition  = 8192
	partitions = (1_000_000 + partition - 1) / partition
)

func (f *fortnight) must(err error) {
	if err != nil {
		f.tb.Fatal(err)
	}
}

// newFortnight makes the devices, nobody enrolled. Each third user has one device more.
func newFortnight(tb testing.TB, devices int) *fortnight {
	f := &fortnight{tb: tb, users: devices * 3 / 4}
	loop, err := rehearsal.NewLoop(tb.Context(), rehearsal.LoopConfig{
		Start: start, Seed: 1, Devices: devices, ChangesOnly: true, Unseen: true,
		Contact: func(*rehearsal.Contact) { f.contacts++ },
		Calm:    func(int) protocol.Time { return f.calm },
		Observe: func(_ protocol.Time, _ *delivery.World, _ *delivery.Event, _, _ *delivery.State, out *delivery.Outcome) {
			for i := range out.Effects {
				if e := &out.Effects[i]; e.Kind == delivery.Journal {
					f.lines++
					if e.What == delivery.WhatMoved {
						f.moved++
					}
				}
			}
		},
	})
	f.must(err)
	f.Loop = loop
	s, ctx := f.Server(), tb.Context()
	f.must(s.SetUp(ctx, start, authority.Tenant{Authority: protocol.Office365, Release: 1910, AcceptUserless: true}, delivery.Settings{DeviceLimit: 15}))
	f.must(s.Consent(ctx, start, boss, server.ConsentPush))
	_, err = s.UploadPush(ctx, start, pushPEM("com.apple.mgmt.External.A", 200), "", "", false, 0)
	f.must(err)
	users := make([]store.User, f.users)
	for i := range users {
		users[i] = store.User{UPN: upn(i), Groups: []string{"all"}, User: authority.User{BasicLicence: true, IntuneLicence: i%3 == 0}}
	}
	ids, err := s.PutUsers(ctx, start, users)
	f.must(err)
	for _, of := range []protocol.Authority{protocol.Office365, protocol.Intune} {
		for i, name := range []string{"mail", "restrictions"} {
			family := []protocol.Family{protocol.Email, protocol.Configuration}[i]
			p := server.ProfileChange{Authority: of, Name: name, Identifier: "com.example." + name, Family: family, Payload: []byte(name), Groups: []string{"all"}}
			_, err = s.PutProfile(ctx, start, boss, p, "")
			f.must(err)
		}
	}
	platforms := []protocol.Platform{protocol.IOS, protocol.IOS, protocol.IPadOS, protocol.Android, protocol.Windows}
	for i := range devices {
		f.Add(rehearsal.Handset{ID: fmt.Sprintf("device-%d", i), Platform: platforms[i%len(platforms)], User: ids[i%len(ids)]})
	}
	return f
}

// arrive has all devices enrol over a span of time.
func (f *fortnight) arrive(devices int, over time.Duration) {
	const steps = 64
	for k := range steps {
		for i := devices * k / steps; i < devices*(k+1)/steps; i++ {
			f.must(f.Enrol(i))
		}
		f.must(f.Run(f.Now().Add(over / steps)))
	}
}

// windows lets time pass in the steps in which a rehearsal takes its partitions.
func (f *fortnight) windows(until time.Duration) {
	for end := start.Add(until); f.Now() < end; {
		f.must(f.Run(min(end, f.Now().Add(10*time.Minute))))
	}
}

// adds changes the authority.
func (f *fortnight) adds() {
	s, ctx := f.Server(), f.tb.Context()
	change := authority.Change{Authority: protocol.Office365, Coexistence: true}
	pre, err := s.PreviewAuthority(ctx, f.Clock(), change)
	f.must(err)
	_, err = s.SetAuthority(ctx, f.Clock(), boss, change, pre.ID, pre.Stranded)
	f.must(err)
}

// renews closes the gap.
func (f *fortnight) renews() {
	_, err := f.Server().UploadPush(f.tb.Context(), f.Clock(), pushPEM("com.apple.mgmt.External.A", 300), "", "", false, 0)
	f.must(err)
}

// wave gives one in five of the users a licence that entitles Intune.
func (f *fortnight) wave(k int) {
	s, ctx := f.Server(), f.tb.Context()
	var list []server.Licence
	for i := k; i < f.users; i += 5 {
		list = append(list, server.Licence{UPN: upn(i), Intune: true, Basic: true})
	}
	_, err := s.SetLicences(ctx, f.Clock(), boss, list, "")
	f.must(err)
}

// play plays it whole.
func (f *fortnight) play(devices int) {
	f.arrive(devices, 30*time.Minute)
	f.windows(time.Hour)
	f.adds()
	f.windows(day)
	f.renews()
	for k := range 5 {
		f.windows(time.Duration(2+k) * day)
		f.wave(k)
	}
	f.windows(14 * day)
}

// BenchmarkFortnight plays one partition for fourteen days and says how long a million devices in as many partitions would take
// two cores, and how much memory they would.
func BenchmarkFortnight(b *testing.B) {
	b.ReportAllocs()
	var contacts uint64
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f := newFortnight(b, partition)
		b.StartTimer()
		began := rehearsal.Processor(b)
		f.play(partition)
		spent += rehearsal.Processor(b) - began
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		contacts += f.contacts
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/partition, "B/device")
		b.ReportMetric(float64(f.lines)/partition, "lines/device")
		b.ReportMetric(float64(f.moved)/partition, "moved/device")
		runtime.KeepAlive(f)
		b.StartTimer()
	}
	b.ReportMetric(float64(contacts)/float64(b.N)/partition, "check-ins/device")
	b.ReportMetric(spent.Seconds()/float64(b.N)*partitions/2, "CPU-s/2/million")
	b.ReportMetric(float64(spent.Nanoseconds())/float64(contacts), "CPU-ns/check-in")
}

package delivery_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// orders queues commands of these kinds.
func (p *phone) orders(kinds ...protocol.CommandKind) (ids []protocol.CommandID) {
	p.t.Helper()
	for _, k := range kinds {
		p.order(protocol.Command{Kind: k})
		ids = append(ids, p.s.Queue[len(p.s.Queue)-1].ID)
	}
	return ids
}

func (p *phone) got(id protocol.CommandID) {
	p.t.Helper()
	if p.out.Reply.Kind != protocol.Work || p.out.Reply.Command.ID != id {
		p.t.Fatalf("handed out %+v, want command %s", p.out.Reply, id)
	}
}

func (p *phone) gotNothing() {
	p.t.Helper()
	if p.out.Reply.Kind != protocol.Done || !p.out.Completed {
		p.t.Fatalf("handed out %+v, completed %v, want the end of the conversation", p.out.Reply, p.out.Completed)
	}
}

func TestAPL050NoWork(t *testing.T) {
	p := settled(t)
	p.now = p.now.Add(time.Hour)
	out := p.ask()
	p.gotNothing()
	if out.Changed != 0 || len(out.Effects) != 0 || len(out.Commands) != 0 {
		t.Errorf("a steady Ask wants to be written: %+v", out)
	}
	if p.s.LastSeen != p.now {
		t.Errorf("last seen %s, want %s", p.s.LastSeen, p.now)
	}
}

func TestAPL051SameAgainAndInOrder(t *testing.T) {
	p := settled(t)
	ids := make([]protocol.CommandID, 0, 1000)
	for range 1000 { // within one second
		ids = append(ids, p.orders(protocol.DeviceInformation)...)
	}
	p.ask()
	for i, id := range ids {
		p.got(id)
		if i%100 == 0 { // the connection breaks before the report
			p.ask()
			p.got(id)
			p.ask()
			p.got(id)
		}
		p.report(protocol.Acknowledged)
	}
	p.gotNothing()
	seen := map[protocol.CommandID]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	if len(seen) != 1000 || p.s.Reports.Acknowledged != 4+1000 {
		t.Errorf("%d different ids, %d acknowledged", len(seen), p.s.Reports.Acknowledged)
	}
}

func TestAPL052DuplicateReport(t *testing.T) {
	p := settled(t)
	ids := p.orders(protocol.DeviceInformation, protocol.SecurityInfo)
	p.ask()
	p.report(protocol.Acknowledged)
	p.got(ids[1])
	before := p.s.Reports
	for range 3 {
		p.reportOf(ids[0], protocol.Acknowledged)
		if p.s.Reports != before || len(p.s.Queue) != 1 || !p.noted(delivery.WhatUnknownReport, "HST-052") {
			t.Fatalf("a repeated report changed something: %+v", p.out)
		}
	}
	p.ask()
	p.got(ids[1])
}

func TestAPL053HST052UnknownReport(t *testing.T) {
	for _, s := range []protocol.Status{protocol.Acknowledged, protocol.Failed, protocol.CommandFormatError, protocol.NotNow} {
		p := settled(t)
		ids := p.orders(protocol.DeviceInformation)
		before := p.s.Reports
		p.reportOf(protocol.CommandID{1}, s) // never sent, or another device's
		p.got(ids[0])
		if p.out.Refusal.Rule != "" || p.s.Reports != before {
			t.Errorf("%s: %+v", s, p.out)
		}
	}
	p := settled(t)
	ids := p.orders(protocol.DeviceInformation)
	p.leave()
	before := p.s
	if out := p.reportOf(ids[0], protocol.Acknowledged); out.Refusal.Rule != "" || out.Reply.Kind != protocol.Done || !p.noted(delivery.WhatUnknownReport, "HST-052") {
		t.Errorf("report after CheckOut = %+v, want it answered", out)
	}
	before.Rare = p.s.Rare
	equal(t, "state after CheckOut", p.s, before)
}

// TestHST052JournalIsBounded: each is answered, and a device that says them all day long fills no disk.
func TestHST052JournalIsBounded(t *testing.T) {
	for name, after := range map[string]func(p *phone){"enrolled": func(*phone) {}, "after CheckOut": func(p *phone) { p.leave() }} {
		t.Run(name, func(t *testing.T) {
			p := settled(t)
			after(p)
			for i := range 3 * 24 * 60 { // one a minute
				p.now = p.now.Add(time.Minute)
				out := p.reportOf(protocol.CommandID{1, byte(i), byte(i >> 8)}, protocol.Acknowledged)
				if out.Refusal.Rule != "" || out.Reply.Kind != protocol.Done {
					t.Fatalf("report %d = %+v, want it answered", i, out)
				}
				if len(out.Effects) == 0 && (out.Changed != 0 || len(out.Commands) != 0) {
					t.Fatalf("report %d, of which the journal hears nothing, is written: %+v", i, out)
				}
			}
			if n := p.count(delivery.WhatUnknownReport); n != 3*20 {
				t.Errorf("%d lines in three days, want 20 a day", n)
			}
		})
	}
}

func TestHST055AfterRestart(t *testing.T) {
	p := settled(t)
	ids := p.orders(protocol.DeviceInformation, protocol.SecurityInfo)
	p.ask()
	p.got(ids[0])
	for i := range p.s.Queue { // what a store does not keep
		p.s.Queue[i].Offers = 0
	}
	p.ask() // delivered again
	p.got(ids[0])
	p.report(protocol.Acknowledged)
	p.got(ids[1])
	p.reportOf(ids[0], protocol.Acknowledged) // our answer was lost: the device says it again
	if p.s.Reports.Acknowledged != 4+1 {
		t.Errorf("%d acknowledged, want the report counted once", p.s.Reports.Acknowledged)
	}
}

func TestAPL055ErrorsRemoveAndKeepTheChain(t *testing.T) {
	for _, s := range []protocol.Status{protocol.Failed, protocol.CommandFormatError} {
		p := settled(t)
		ids := p.orders(protocol.Restart, protocol.SecurityInfo)
		p.ask()
		const chain = "MCMDMErrorDomain 12021: unknown; X 1: inner"
		p.says(protocol.CheckIn{Verb: protocol.Report, Command: ids[0], Status: s}, delivery.Message{Result: []byte("raw"), Errors: chain})
		p.got(ids[1])
		c := p.out.Commands
		if len(c) != 1 || !c[0].Final || c[0].Status != s || c[0].Errors != chain || string(c[0].Result) != "raw" || c[0].ID != ids[0] {
			t.Errorf("%s: history %+v", s, c)
		}
		if !p.noted(delivery.WhatReported, chain) {
			t.Errorf("%s: journal %+v", s, p.out.Effects)
		}
		if r := p.s.Reports; r.Failed+r.FormatError != 1 {
			t.Errorf("%s: counts %+v", s, r)
		}
	}
}

func TestFormatErrorWithoutCommandIsTheLast(t *testing.T) {
	p := settled(t)
	ids := p.orders(protocol.Restart, protocol.SecurityInfo, protocol.ProfileList)
	p.ask()
	p.report(protocol.NotNow)
	p.got(ids[1])
	p.reportOf(protocol.CommandID{}, protocol.CommandFormatError)
	if c := p.out.Commands; len(c) != 1 || c[0].ID != ids[1] || !c[0].Final {
		t.Errorf("charged %+v, want %s", c, ids[1])
	}
	p.got(ids[2])
	p.reportOf(protocol.CommandID{}, protocol.Acknowledged) // of any other status it is a report of nothing
	if len(p.out.Commands) != 0 {
		t.Errorf("an acknowledgement without a command was taken for %+v", p.out.Commands)
	}
}

// A NotNow whose answer was lost comes again, and counts once (apple.md section 6.3).
func TestAPL052NotNowTwice(t *testing.T) {
	p := settled(t)
	ids := p.orders(protocol.SecurityInfo, protocol.CertificateList)
	p.ask()
	p.reportOf(ids[0], protocol.NotNow)
	p.got(ids[1])
	p.reportOf(ids[0], protocol.NotNow)
	p.got(ids[1])
	if p.s.Reports.NotNow != 1 || len(p.out.Commands) != 0 || p.s.Rare.Read().Strays.Times != 1 {
		t.Errorf("counts %+v, %d strays, commands %+v; want one NotNow", p.s.Reports, p.s.Rare.Read().Strays.Times, p.out.Commands)
	}
	p.ask() // a new conversation: it is offered again, and another NotNow is another
	p.reportOf(ids[0], protocol.NotNow)
	if p.s.Reports.NotNow != 2 {
		t.Errorf("counts %+v, want two NotNow", p.s.Reports)
	}
}

// What a device that is not Apple's puts off is handed out once in a conversation, whatever it says after it, as in one message of many
// commands (WIN-036).
func TestWIN036PutOffOnce(t *testing.T) {
	for _, platform := range []protocol.Platform{protocol.Windows, protocol.Android, protocol.IOS} {
		p := settled(t)
		p.s.Platform = platform
		ids := p.orders(protocol.InstalledApplicationList, protocol.CertificateList)
		p.ask()
		p.got(ids[0])
		p.report(protocol.NotNow)
		p.got(ids[1])
		p.report(protocol.Acknowledged)
		if platform.Apple() {
			p.got(ids[0])
			continue
		}
		p.gotNothing()
		p.ask()
		p.got(ids[0])
	}
}

func TestAPL056BothNotNow(t *testing.T) {
	p := settled(t)
	ids := p.orders(protocol.InstalledApplicationList, protocol.CertificateList)
	for range 3 {
		p.ask()
		p.got(ids[0]) // oldest first, on each connection
		p.report(protocol.NotNow)
		p.got(ids[1])
		p.report(protocol.NotNow)
		p.gotNothing()
	}
	if len(p.s.Queue) != 2 || p.s.Reports.NotNow != 6 {
		t.Errorf("queue %+v, counts %+v, want both still there", p.s.Queue, p.s.Reports)
	}
	p.reportOf(protocol.CommandID{1}, protocol.Acknowledged) // a device that does not stop
	p.got(ids[0])
	p.report(protocol.NotNow)
	p.reportOf(protocol.CommandID{1}, protocol.Acknowledged)
	p.got(ids[1])
	p.report(protocol.NotNow)
	p.reportOf(protocol.CommandID{1}, protocol.Acknowledged)
	p.gotNothing()
	// However it is answered, nothing is offered more than twice.
	for _, answers := range [][]protocol.Status{
		{protocol.NotNow, protocol.NotNow}, {protocol.NotNow, protocol.Acknowledged}, {protocol.Acknowledged, protocol.NotNow},
	} {
		q := settled(t)
		q.orders(protocol.InstalledApplicationList, protocol.CertificateList, protocol.SecurityInfo)
		offers := map[protocol.CommandID]int{}
		q.ask()
		for i := 0; q.out.Reply.Kind == protocol.Work; i++ {
			if offers[q.out.Reply.Command.ID]++; offers[q.out.Reply.Command.ID] > 2 {
				t.Fatalf("answers %v: a command was offered three times", answers)
			}
			q.report(answers[i%2])
		}
	}
}

func TestAPL057EndsOnNotNow(t *testing.T) {
	p := settled(t)
	ids := p.orders(protocol.InstalledApplicationList, protocol.SecurityInfo)
	p.ask()
	p.report(protocol.NotNow)
	p.got(ids[1])
	p.report(protocol.Acknowledged)
	p.got(ids[0]) // once more, so that the device comes back by itself
	p.report(protocol.NotNow)
	p.gotNothing()
	p.push(delivery.Accepted) // for the orders
	if got := p.s.Wake.Due.Sub(p.now); p.s.Wake.Reason != delivery.Retry || got > 15*time.Minute {
		t.Errorf("wake-up %+v in %s, want a retry as well", p.s.Wake, got)
	}
}

func TestHST056AsksTooFast(t *testing.T) {
	p := settled(t)
	p.orders(protocol.SecurityInfo)
	p.now = p.now.Add(time.Hour)
	p.ask()
	if p.s.Pace != (delivery.Pace{Since: p.now, Times: 1}) {
		t.Fatalf("pace %+v after one Ask", p.s.Pace)
	}
	p.s.Pace.Times = 59_999
	if p.ask(); p.out.Refusal.Rule != "" {
		t.Fatalf("refused at the 60,000th time: %+v", p.out.Refusal)
	}
	p.now = p.now.Add(20 * time.Second)
	before := p.s
	for i := range 3 {
		p.ask()
		if no := p.out.Refusal; no.Rule != "HST-056" || no.RetryAfter != 40*time.Second || p.out.Changed != 0 {
			t.Fatalf("refusal %+v, want HST-056 for 40 s", no)
		}
		if want := 1 - min(i, 1); len(p.out.Effects) != want {
			t.Errorf("%d lines in the journal at refusal %d, want %d", len(p.out.Effects), i+1, want)
		}
	}
	equal(t, "queue", p.s.Queue, before.Queue)
	if p.reportOf(p.s.Queue[0].ID, protocol.Acknowledged); p.out.Refusal.Rule != "" {
		t.Errorf("a report is refused: %+v", p.out.Refusal)
	}
	p.now = p.now.Add(40 * time.Second)
	if p.ask(); p.out.Refusal.Rule != "" {
		t.Errorf("refused after the time it was told: %+v", p.out.Refusal)
	}
}

func TestHST068JournalOfADevicesWords(t *testing.T) {
	p := settled(t)
	ids := p.orders(protocol.Restart)
	p.says(protocol.CheckIn{Verb: protocol.Report, Command: ids[0], Status: protocol.Failed}, delivery.Message{
		Errors: "a\r\nb\x1b[31m\xff" + strings.Repeat("é", 5000),
	})
	for _, e := range p.out.Effects {
		if strings.ContainsAny(e.Detail, "\r\n\x1b") || len(e.Detail) > 1024 || !utf8.ValidString(e.Detail) {
			t.Errorf("detail of %d bytes: %.80q", len(e.Detail), e.Detail)
		}
	}
	if len(p.out.Commands[0].Errors) < 10000 {
		t.Error("the error chain in the history was cut")
	}
}

// TestAND035SecondLock: a second lock of an Android device is refused in words that are true of it.
func TestAND035SecondLock(t *testing.T) {
	p := settled(t)
	p.s.Platform = protocol.Android
	p.order(protocol.Command{Kind: protocol.Lock})
	p.order(protocol.Command{Kind: protocol.Lock})
	p.refused("AND-035", delivery.WhatRefused)
	if strings.Contains(p.out.Refusal.Reason, "PIN") {
		t.Errorf("it has none: %s", p.out.Refusal.Reason)
	}
}

func TestAPL064Lock(t *testing.T) {
	p := settled(t)
	p.order(protocol.Command{Kind: protocol.Lock, PIN: "123456", Text: "call us"})
	if q := p.s.Queue[0]; q.PIN != "123456" || p.out.Commands[0].PIN != "123456" || p.out.Reply.Kind != protocol.Done {
		t.Errorf("queued %+v, want the PIN stored before delivery", q)
	}
	p.order(protocol.Command{Kind: protocol.Lock, PIN: "654321"})
	p.refused("APL-064", delivery.WhatRefused)
	p.ask()
	if c := p.out.Reply.Command; c.PIN != "123456" || c.Text != "call us" {
		t.Errorf("handed out %+v", c)
	}
	p.report(protocol.Acknowledged)
	if out := p.order(protocol.Command{Kind: protocol.Lock, PIN: "654321"}); out.Refusal.Rule != "" {
		t.Errorf("a lock after the first was answered is refused: %+v", out.Refusal)
	}
}

func TestAPL065TwoConnections(t *testing.T) {
	p := settled(t)
	ids := p.orders(protocol.DeviceInformation, protocol.SecurityInfo)
	p.ask() // on one connection
	p.got(ids[0])
	p.ask() // on another
	p.got(ids[0])
	p.reportOf(ids[0], protocol.Acknowledged)
	p.got(ids[1])
	p.reportOf(ids[0], protocol.Acknowledged)
	p.got(ids[1])
	p.reportOf(ids[1], protocol.Acknowledged)
	p.gotNothing()
	if p.s.Reports.Acknowledged != 4+2 {
		t.Errorf("%d acknowledged, want each once", p.s.Reports.Acknowledged)
	}
}

func TestAUTH53RetireAndErase(t *testing.T) {
	for kind, text := range map[protocol.CommandKind]string{protocol.Retire: "retired", protocol.Erase: "erased"} {
		p := settled(t)
		p.orders(kind, protocol.SecurityInfo)
		if p.s.Life != delivery.Enrolled {
			t.Fatalf("%s: %s before the device knows", kind, p.s.Life)
		}
		p.ask()
		p.report(protocol.Acknowledged)
		if p.s.Life != delivery.Ended || !p.revoked[p.cred.Fingerprint] || len(p.s.Queue) != 0 || p.out.Reply.Kind != protocol.Done {
			t.Errorf("%s: %+v", kind, p.s)
		}
		if !p.noted(delivery.WhatEnded, "AUTH-53 "+text) || !p.noted(delivery.WhatRevoked, text) {
			t.Errorf("%s: journal %+v", kind, p.out.Effects)
		}
		hears := protocol.Time(0)
		if kind == protocol.Retire { // a wiped device has nothing left to say farewell with
			hears = p.now.Add(time.Hour)
		}
		if i := slices.IndexFunc(p.out.Effects, func(e delivery.Effect) bool { return e.Kind == delivery.Revoke }); p.out.Effects[i].Farewell != hears {
			t.Errorf("%s: farewell until %v, want %v", kind, p.out.Effects[i].Farewell, hears)
		}
		p.ask()
		p.refused("AUTH-42", delivery.WhatRefused)
		if out := p.leave(); out.Refusal.Rule != "" {
			t.Errorf("%s: the device's farewell is refused: %+v", kind, out.Refusal)
		}
	}
	droid := settled(t)
	droid.s.Platform = protocol.Android
	droid.orders(protocol.Retire)
	droid.ask()
	droid.report(protocol.Acknowledged)
	if i := slices.IndexFunc(droid.out.Effects, func(e delivery.Effect) bool { return e.Kind == delivery.Revoke }); i < 0 || droid.out.Effects[i].Farewell != 0 {
		t.Errorf("an Android device says no farewell after the result of the order: %+v", droid.out.Effects)
	}
	p := settled(t)
	p.orders(protocol.Erase)
	p.ask()
	p.report(protocol.Failed)
	if p.s.Life != delivery.Enrolled {
		t.Error("ended by an erase that failed")
	}
}

func TestAUTH53Delete(t *testing.T) {
	p := settled(t)
	p.order(protocol.Command{Kind: protocol.Retire, Text: delivery.AndDelete})
	if p.out.Changed&delivery.Gone != 0 {
		t.Fatal("the record of an enrolled device is gone before the device knows")
	}
	p.ask()
	if p.report(protocol.Acknowledged); p.out.Changed&delivery.Gone == 0 || !p.noted(delivery.WhatRecordRemoved, "administrator") {
		t.Errorf("outcome %+v, want the record gone", p.out)
	}
	q := settled(t)
	q.leave()
	if q.order(protocol.Command{Kind: protocol.Retire, Text: delivery.AndDelete}); q.out.Changed&delivery.Gone == 0 {
		t.Errorf("outcome %+v, want the record of an ended device gone at once", q.out)
	}
}

// TestAUTH53Leaving: what is ordered of a device that is leaving already is refused, for it would never hear of it; but a
// record is deleted once the device has left, by whatever way.
func TestAUTH53Leaving(t *testing.T) {
	deletion := protocol.Command{Kind: protocol.Retire, Text: delivery.AndDelete}
	for _, first := range []protocol.Command{{Kind: protocol.Retire}, {Kind: protocol.Erase}, deletion} {
		name := first.Kind.String() + " " + first.Text
		p := settled(t)
		p.order(first)
		for _, kind := range []protocol.CommandKind{protocol.Retire, protocol.Erase, protocol.Lock, protocol.SecurityInfo} {
			if kind != first.Kind { // which says the same again
				p.order(protocol.Command{Kind: kind})
				p.refused("AUTH-53", delivery.WhatRefused)
			}
		}
		if p.order(protocol.Command{}); p.out.Refusal.Rule != "" {
			t.Errorf("%s: a sync is refused: %+v", name, p.out.Refusal)
		}
		p.order(deletion)
		p.order(deletion)
		if n := len(p.s.Queue); n > 2 {
			t.Errorf("%s: %d commands wait", name, n)
		}
		p.ask()
		p.report(protocol.Acknowledged)
		if p.out.Changed&delivery.Gone == 0 || p.count(delivery.WhatRecordRemoved) != 1 {
			t.Errorf("%s, then delete: outcome %+v, want the record gone, once", name, p.out)
		}
	}
	p := settled(t)
	p.order(deletion)
	if p.leave(); p.out.Changed&delivery.Gone == 0 {
		t.Error("delete, then the device leaves by itself: the record stays")
	}
	p = settled(t)
	p.order(protocol.Command{Kind: protocol.Erase})
	p.ask()
	p.report(protocol.Failed)
	if p.order(protocol.Command{Kind: protocol.Retire}); p.out.Refusal.Rule != "" || len(p.s.Queue) != 1 {
		t.Errorf("after an erase that failed: %+v, want a retire", p.out.Refusal)
	}
}

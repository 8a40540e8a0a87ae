package delivery_test

import (
	"testing"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// asks begins a conversation of a platform that takes many commands at once.
func (p *phone) asks(b delivery.Batch) *delivery.Outcome {
	p.t.Helper()
	return p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{Batch: &b})
}

func (p *phone) tells(b delivery.Batch) *delivery.Outcome {
	p.t.Helper()
	return p.says(protocol.CheckIn{Verb: protocol.Report}, delivery.Message{Batch: &b})
}

// given are the commands of the latest answer.
func (p *phone) given() (out []protocol.Command) {
	if p.out.Reply.Kind == protocol.Work {
		out = append(append(out, p.out.Reply.Command), p.out.Reply.More...)
	}
	return out
}

func TestBatch(t *testing.T) {
	p := settled(t)
	restart, info := protocol.Command{Kind: protocol.Restart}, protocol.Command{Kind: protocol.DeviceInformation}
	p.order(restart)
	p.order(info)
	p.order(protocol.Command{Kind: protocol.SecurityInfo})
	p.asks(delivery.Batch{})
	all := p.given()
	if len(all) != 3 || p.out.Completed {
		t.Fatalf("given %+v", all)
	}
	// One is through, one failed, of the third nothing is heard: it is not given again in this conversation (WIN-036).
	p.tells(delivery.Batch{Reports: []delivery.CommandReport{
		{Command: all[0].ID, Status: protocol.Acknowledged}, {Command: all[1].ID, Status: protocol.Failed, Errors: "Get 500", Result: []byte("r")},
	}})
	if !p.out.Completed || len(p.given()) != 0 || len(p.s.Queue) != 1 || p.s.Reports.Acknowledged+p.s.Reports.Failed < 2 {
		t.Fatalf("completed %v, given %+v, queue %+v", p.out.Completed, p.given(), p.s.Queue)
	}
	p.asks(delivery.Batch{})
	if left := p.given(); len(left) != 1 || left[0].ID != all[2].ID {
		t.Fatalf("the next conversation gives %+v", left)
	}
	// A command that is not through is given once more when its endpoint says so.
	p.tells(delivery.Batch{Again: []protocol.CommandID{all[2].ID}})
	if left := p.given(); len(left) != 1 || p.out.Completed {
		t.Fatalf("again: %+v", left)
	}
	p.tells(delivery.Batch{Reports: []delivery.CommandReport{{Command: all[2].ID, Status: protocol.NotNow}}})
	if len(p.given()) != 0 || !p.out.Completed || len(p.s.Queue) != 1 {
		t.Fatalf("put off: %+v", p.given())
	}
	p.asks(delivery.Batch{})
	p.tells(delivery.Batch{Reports: []delivery.CommandReport{{Command: all[2].ID, Status: protocol.Acknowledged}, {Command: all[2].ID, Status: protocol.Failed}}})
	if len(p.s.Queue) != 0 || !p.noted(delivery.WhatUnknownReport, "HST-052") {
		t.Errorf("a second report of one command: %+v", p.out.Effects)
	}
}

func TestBatchPhases(t *testing.T) {
	p := settled(t)
	p.order(protocol.Command{Kind: protocol.Restart})
	for _, phase := range []delivery.Phase{delivery.Partial, delivery.Inquiring} {
		p.asks(delivery.Batch{Phase: phase})
		if len(p.given()) != 0 || p.out.Completed {
			t.Errorf("phase %d: given %+v, completed %v", phase, p.given(), p.out.Completed)
		}
	}
	want(p.w, 12, wifi1, mail, restrictions)
	p.tells(delivery.Batch{Late: true})
	if got := p.given(); len(got) != 2 || got[0].Kind != protocol.Restart || got[1].Profile != restrictions {
		t.Fatalf("after the inquiry: %+v", got)
	}
	p.asks(delivery.Batch{Phase: delivery.Asking})
	reports := []delivery.CommandReport{}
	for _, c := range p.given() {
		reports = append(reports, delivery.CommandReport{Command: c.ID, Status: protocol.Acknowledged})
	}
	p.tells(delivery.Batch{Reports: reports})
	if !p.out.Completed || p.profiles() != "wifi1 installed; mail3 installed; restrictions4 installed" {
		t.Fatalf("completed %v, %s", p.out.Completed, p.profiles())
	}
	p.asks(delivery.Batch{Phase: delivery.Asking})
	if p.out.Completed {
		t.Error("a conversation in which the endpoint asks is over at once")
	}
}

// TestWIN037Held: what is its user's waits for the user, in whatever conversation.
func TestWIN037Held(t *testing.T) {
	p := settled(t)
	p.w.Profiles[mail].UserScope = true
	want(p.w, 12, wifi1)
	p.asks(delivery.Batch{SignedOut: true})
	if len(p.given()) != 0 || !p.out.Completed || len(p.s.Queue) != 1 {
		t.Fatalf("given %+v, queue %+v", p.given(), p.s.Queue)
	}
	p.asks(delivery.Batch{})
	if got := p.given(); len(got) != 1 || got[0].Kind != protocol.RemoveProfile || got[0].Profile != mail {
		t.Errorf("given %+v", got)
	}
}

// TestAUTH21UserAlone: a conversation that is its user's alone completes nothing while the device has something to be done, or to be told.
func TestAUTH21UserAlone(t *testing.T) {
	p := settled(t)
	alone := func(completed bool) {
		t.Helper()
		if p.asks(delivery.Batch{UserAlone: true}); p.out.Completed != completed || len(p.given()) != 0 {
			t.Errorf("completed %v, given %+v", p.out.Completed, p.given())
		}
	}
	alone(true)
	want(p.w, 12, wifi1) // mail goes
	alone(false)
	p.asks(delivery.Batch{})
	p.tells(delivery.Batch{Reports: []delivery.CommandReport{{Command: p.given()[0].ID, Status: protocol.Acknowledged}}})
	alone(true)
	p.w.Tenant.Epoch++
	p.w.Tenant.ChangedAt = p.now
	alone(false)
	if p.s.Heard == p.w.Tenant.Epoch {
		t.Error("it has heard of the change")
	}
}

// TestWIN038Final: what failed for good is not tried again, what failed otherwise is, three times.
func TestWIN038Final(t *testing.T) {
	for _, tt := range []struct {
		final bool
		want  int
	}{{true, 1}, {false, 3}} {
		p := settled(t)
		want(p.w, 12, wifi1, mail, restrictions)
		tries := 0
		for range 6 {
			p.asks(delivery.Batch{})
			for _, c := range p.given() {
				tries++
				p.tells(delivery.Batch{Reports: []delivery.CommandReport{{Command: c.ID, Status: protocol.Failed, Final: tt.final}}})
			}
		}
		if tries != tt.want {
			t.Errorf("final %v: tried %d times, want %d", tt.final, tries, tt.want)
		}
	}
}

func TestBatchLeaves(t *testing.T) {
	p := settled(t)
	p.order(protocol.Command{Kind: protocol.Retire})
	p.asks(delivery.Batch{})
	p.says(protocol.CheckIn{Verb: protocol.Leave}, delivery.Message{Batch: &delivery.Batch{}})
	if p.s.Life != delivery.Ended || !p.revoked[p.cred.Fingerprint] || !p.noted(delivery.WhatReported, "Retire: Acknowledged") {
		t.Errorf("%s, %+v", p.s.Life, p.out.Effects)
	}
	moved := settled(t)
	moved.event(delivery.Event{Kind: delivery.Displaced})
	if moved.s.Life != delivery.Ended || !moved.revoked[moved.cred.Fingerprint] {
		t.Errorf("displaced: %s", moved.s.Life)
	}
	moved.event(delivery.Event{Kind: delivery.Displaced})
	if len(moved.out.Effects) != 0 {
		t.Errorf("displaced twice: %+v", moved.out.Effects)
	}
}

// Documents for Windows or Android alone are nothing for other devices (windows.md section 11, android.md section 5).
func TestDocumentsOfOnePlatform(t *testing.T) {
	w := newWorld()
	w.Sets = []delivery.Set{{}, {Version: 11, Profiles: []protocol.Profile{wifi1, mail}, Mixed: true, Elsewhere: 2, OnWindows: 3, OnAndroid: 4}, {Version: 12, Profiles: []protocol.Profile{wifi1}}, {Version: 13}, {Version: 14}}
	for platform, want := range map[protocol.Platform]int{protocol.Windows: 3, protocol.IOS: 2, protocol.Android: 4} {
		if got := w.SetOf(&delivery.State{User: 1, Platform: platform, Registered: protocol.Intune, Epoch: 1}); got != want {
			t.Errorf("%s: set %d, want %d", platform, got, want)
		}
	}
}

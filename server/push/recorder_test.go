package push

import (
	"testing"
	"time"

	"rollcall/server/delivery"
)

func TestRecorder(t *testing.T) {
	var r Recorder
	var p Pusher = &r
	if a := p.Push(t.Context(), notification()); a.Result != delivery.Accepted {
		t.Errorf("Push = %+v, want it accepted", a)
	}
	r.Answer = func(n Notification) Answer { return Answer{Result: delivery.TryLater, Reason: n.Magic} }
	if a := p.Push(t.Context(), notification()); a.Reason != notification().Magic {
		t.Errorf("Push = %+v, want Answer's answer", a)
	}
	if sent := r.Sent(); len(sent) != 2 || sent[0].Topic != topic {
		t.Errorf("Sent = %+v, want both", sent)
	}
}

func TestBackOffGrowsAndJitters(t *testing.T) {
	for attempt, limit := range map[int]time.Duration{-1: firstWait, 0: firstWait, 3: 8 * firstWait, 9: 512 * firstWait, 300: longWait} {
		var longest time.Duration
		seen := make(map[time.Duration]bool)
		for range 200 {
			w := backOff(attempt)
			longest = max(longest, w)
			seen[w] = true
		}
		if longest >= limit || longest < limit/2 || len(seen) < 100 {
			t.Errorf("attempt %d: longest of 200 waits is %s, %d different; want them spread below %s", attempt, longest, len(seen), limit)
		}
	}
}

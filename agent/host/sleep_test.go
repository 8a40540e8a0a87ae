package host

import (
	"testing"
	"testing/synctest"
	"time"

	"rollcall/agent/courier"
	"rollcall/protocol"
)

// An agent that has nothing to do sleeps at most its poll interval, not much less, and up to the minute in which it does whatever else it
// does; not every time as long.
func TestSleepEndsOnTheMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where time stands still
		time.Sleep(courier.Together(time.Now(), time.Minute))
		for _, poll := range []time.Duration{2 * time.Minute, DefaultPoll, 24 * time.Hour} {
			h, seen := &Host{rec: &record{Poll: poll}}, map[time.Duration]bool{}
			for range 1000 {
				wait := h.sleep()
				seen[wait] = true
				if end := time.Now().Add(wait); wait > poll || wait < poll-poll/10-time.Minute || courier.Together(end, time.Minute) != time.Minute {
					t.Fatalf("of %v it sleeps %v, until %v", poll, wait, end)
				}
			}
			if len(seen) == 1 {
				t.Errorf("of %v it always sleeps as long", poll)
			}
		}
	})
}

// An overdue is a device whose time has come.
type overdue struct{ device }

func (overdue) Due() protocol.Time { return 1 }

// A device that is always due keeps no machine busy (HST-120).
func TestHST120AnAgentAlwaysSleeps(t *testing.T) {
	h := &Host{cfg: Config{Now: time.Now}, rec: &record{}, device: overdue{}}
	if got := h.sleep(); got != soonest {
		t.Errorf("it sleeps %v, want %v", got, soonest)
	}
}

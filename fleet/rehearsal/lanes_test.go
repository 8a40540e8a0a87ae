package rehearsal_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A tape is all that shows of a story: what the server committed, what it told devices, what it pushed, and what there is at the end.
type tape struct {
	Commits  map[protocol.Device][]string // of each device: pushes go out at once to many, and which report is first is open
	Contacts []string
	Pushes   map[string]int
	Records  []store.Record
	Devices  []string
}

// inFull is all of a state.
func inFull(s *delivery.State) string {
	rest := *s
	rest.Rare = nil
	return fmt.Sprintf("%+v %+v", rest, *s.Rare.Read())
}

// record plays a timeline and takes down what shows of it, with what is steady or without.
func record(t *testing.T, line timeline, steady bool, change ...func(*rehearsal.LoopConfig)) *tape {
	t.Helper()
	x := &tape{Commits: map[protocol.Device][]string{}, Pushes: map[string]int{}}
	p, broken, err := playing(line, append(change, func(c *rehearsal.LoopConfig) {
		observe, contact := c.Observe, c.Contact
		c.Observe = func(now protocol.Time, w *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome) {
			observe(now, w, ev, before, after, out)
			if !steady && out.Steady() {
				return
			}
			x.Commits[after.Device] = append(x.Commits[after.Device], fmt.Sprintf("%s %s %s -> %s: %+v %+v", now, ev.Kind, inFull(before), inFull(after), out.Effects, out.Refusal))
		}
		c.Contact = func(c *rehearsal.Contact) {
			contact(c)
			said := *c
			said.Executed = slices.Clone(c.Executed)
			for i := range said.Executed {
				said.Executed[i].Payload = nil // a renewal's challenge is secret
			}
			x.Contacts = append(x.Contacts, fmt.Sprintf("%+v", said))
		}
		c.Pushed = func(device int, r delivery.PushResult) { x.Pushes[fmt.Sprint(device, r)]++ }
	})...)
	if err != nil || len(broken) > 0 {
		t.Fatalf("%s: %v %v", line, broken, err)
	}
	var all []store.Record
	for after := protocol.Device(0); ; after = all[len(all)-1].State.Device {
		if all, err = p.loop.Server().Store().Records(t.Context(), after, 100); err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			break
		}
		x.Records = append(x.Records, all...)
	}
	for i := range p.twin.devices {
		d := *p.loop.Device(i)
		x.Devices = append(x.Devices, fmt.Sprintf("%+v", d))
	}
	return x
}

// Whatever the story, the lanes of a loop, in which steady rounds and wake-ups are decided in place and identities are not asked for,
// leave what Server.Handle leaves over a store that many could use: the same states, commits, answers and pushes.
// ROLLCALL_LANES says how many stories.
func TestLanes(t *testing.T) {
	for seed := range uint64(number(t, "ROLLCALL_LANES", 8)) {
		line := drawTimeline(seed)
		plain := record(t, line, true, (*rehearsal.LoopConfig).Plainly)
		quiet := record(t, line, false, (*rehearsal.LoopConfig).Plainly)
		for name, x := range map[string]struct{ got, want *tape }{
			"all that is committed is observed": {record(t, line, true), plain},
			"changes only are observed":         {record(t, line, false, func(c *rehearsal.LoopConfig) { c.ChangesOnly = true }), quiet},
		} {
			if diff := cmp.Diff(x.want, x.got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("seed %d, %s: %s\nwith lanes (+) and without (-):\n%s", seed, name, line, diff)
			}
		}
	}
}

package dialect

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// TestEachCommandOnce plays random commands over a network that loses answers, with a server that keeps the rules of
// apple.md section 6.3, across restarts of the device: each command is carried out once, and its result is
// reported until a 2xx (APL-059, HST-055).
func TestEachCommandOnce(t *testing.T) {
	base := enrolled(t, iPhone, plainHabits)
	kept, err := base.d.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		d := new(Apple)
		if err := d.UnmarshalBinary(kept); err != nil {
			r.Fatal(err)
		}
		d.Share(iPhone, plainHabits)
		type command struct {
			uuid string
			c    apple.Command
		}
		var queue []command
		installed := map[string]int{} // identifier: version that is there
		versions := rapid.IntRange(1, 12).Draw(r, "commands")
		for i := range versions {
			identifier := fmt.Sprintf("com.example.%d", rapid.IntRange(0, 2).Draw(r, "profile"))
			c := command{fmt.Sprintf("00000000-0000-4000-8000-%012d", i), mail(identifier, fmt.Sprint("version ", i))}
			switch rapid.IntRange(0, 3).Draw(r, "kind") {
			case 0:
				c.c = apple.RemoveProfile{Identifier: identifier}
			case 1:
				c.c = apple.ProfileList{}
			default:
				installed[identifier] = i
			}
			if _, removes := c.c.(apple.RemoveProfile); removes {
				delete(installed, identifier)
			}
			queue = append(queue, c)
		}
		now, sent := noon, map[string]string{}
		var act Act
		talking := d.Begin(now, Pushed, &act)
		for step := 0; len(queue) > 0 || d.Owes(); step++ {
			if step > 2000 {
				r.Fatalf("no end: %d commands left", len(queue))
			}
			if !talking {
				why := Scheduled
				if now = max(now, d.Due()); d.Due() == 0 {
					why = Pushed // the server wakes a device that has work
				}
				if rapid.IntRange(0, 3).Draw(r, "restart") == 0 {
					b, _ := d.AppendBinary(nil)
					d = new(Apple)
					if err := d.UnmarshalBinary(b); err != nil {
						r.Fatal(err)
					}
					d.Share(iPhone, plainHabits)
				}
				talking = d.Begin(now, why, &act)
				continue
			}
			var m apple.Message
			if err := apple.DecodeMessage(act.Request.Body, &m); err != nil {
				r.Fatal(err)
			}
			if act.Request.Step == Report {
				if before, again := sent[m.CommandUUID]; again && before != string(act.Request.Body) {
					// a command that the server handed out again is answered anew, but never carried out anew
					if m.Status != protocol.Acknowledged {
						r.Fatalf("another result for %s: %s", m.CommandUUID, m.Status)
					}
				}
				sent[m.CommandUUID] = string(act.Request.Body)
			}
			now = now.Add(time.Second)
			answer := Response{Status: 200}
			switch rapid.IntRange(0, 5).Draw(r, "network") {
			case 0: // the request is lost
				answer = Response{Err: errLost}
			case 1: // the server cannot store it
				answer = Response{Status: 503}
			default:
				if len(queue) > 0 && m.CommandUUID == queue[0].uuid {
					queue = queue[1:]
				}
				if len(queue) > 0 {
					answer.Body = apple.EncodeCommand(nil, queue[0].uuid, queue[0].c)
				}
				if rapid.IntRange(0, 3).Draw(r, "answer lost") == 0 {
					answer = Response{Err: errLost}
				}
			}
			d.Answer(now, &answer, &act)
			talking = act.Kind != Rest
		}
		if d.Phase() != agent.Enrolled {
			r.Fatalf("phase %s", d.Phase())
		}
		got := map[string]string{}
		for _, p := range d.Profiles()[1:] {
			got[p.Identifier] = p.UUID
		}
		for identifier, v := range installed {
			want := apple.NewProfile(identifier, fmt.Sprint("version ", v), protocol.Email).UUID
			if got[identifier] != want {
				r.Errorf("%s: %q, want version %d", identifier, got[identifier], v)
			}
			delete(got, identifier)
		}
		if len(got) > 0 {
			r.Errorf("left on the device: %v", got)
		}
	})
}

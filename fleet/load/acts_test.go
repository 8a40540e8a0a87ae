package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/fleet/ledger"
	"rollcall/fleet/report"

	"rollcall/protocol/apple"
)

// Acts are played while the load runs, and what they ordered is held against what the devices saw: a server that takes an
// order and forgets it fails, whatever its percentiles say.
func TestActs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		forgets bool
		mute    bool // says no ids
		fails   error
		verdict string
		reason  string
	}{
		{name: "kept", verdict: report.OK},
		{name: "forgotten", forgets: true, verdict: report.Failed, reason: "the ledger found 1 fault: 1 lost"},
		{name: "without ids", mute: true, verdict: report.OK},
		{name: "refused", fails: errors.New("not today"), verdict: report.Failed, reason: "an order: SecurityInfo for "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				queue := map[string][]string{}
				r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
					var m apple.Message
					body, err := io.ReadAll(r.Body)
					if err == nil {
						err = apple.DecodeMessage(body, &m)
					}
					if err != nil || m.MessageType != apple.NoMessageType {
						return
					}
					mu.Lock()
					defer mu.Unlock()
					q := queue[m.UDID]
					if len(q) > 0 && m.CommandUUID == q[0] {
						q = q[1:]
						queue[m.UDID] = q
					}
					if len(q) > 0 {
						w.Write(apple.EncodeCommand(nil, q[0], apple.SecurityInfo{}))
					}
				})
				defer r.close()
				var l *Load
				n := 0
				l = r.load(6, Config{
					Link: kept, Pace: Constant(10, 3*time.Second), Ledger: ledger.New(ledger.Config{Devices: 6}),
					Acts: []Act{
						{At: 2 * time.Second, Name: "another", Do: func(context.Context) (string, error) { return "It went well.", nil }},
						{At: time.Second, Name: "an order", Do: func(ctx context.Context) (string, error) {
							return l.Order(ctx, "SecurityInfo", func(_ context.Context, udid string) (string, error) {
								mu.Lock()
								defer mu.Unlock()
								if n++; n == 3 && tt.fails != nil {
									return "", tt.fails
								}
								id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
								if n != 3 || !tt.forgets {
									queue[udid] = append(queue[udid], id)
								}
								if tt.mute {
									return "", nil
								}
								return id, nil
							})
						}},
					},
				})
				defer l.Close()
				e, err := l.Enrol(t.Context())
				if err == nil {
					err = l.Run(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
				got, story, err := l.Tell(plain, e, Generator{})
				if err != nil {
					t.Fatal(err)
				}
				conforms(t, got)
				if got.Verdict != tt.verdict || !strings.Contains(strings.Join(got.Reasons, "; "), tt.reason) {
					t.Errorf("%s %q, want %s %q", got.Verdict, got.Reasons, tt.verdict, tt.reason)
				}
				found := got.Sections["ledger"].(ledger.Result)
				want := uint64(6)
				if tt.forgets || tt.fails != nil {
					want = 5
				}
				if tt.mute {
					want = 0
				}
				if found.Confirmed != want {
					t.Errorf("%+v, want %d confirmed", found.Counts, want)
				}
				if a := story.Acts; len(a) != 2 || a[0].Title != "an order" || a[0].At < time.Second || a[0].Failed != (tt.fails != nil) || a[1].Text != "It went well." {
					t.Errorf("acts %+v", a)
				} else if tt.mute != strings.Contains(a[0].Text, "The ids of 6 are not known: the ledger cannot follow these") {
					t.Errorf("the order: %q", a[0].Text)
				}
			})
		})
	}
}

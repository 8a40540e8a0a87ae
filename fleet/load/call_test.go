package load

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/fleet/report"
)

// Where nobody comes but whom the server pushes to, the load is over when all whom the last act called have come, or when its
// time is; who did not come is told.
func TestCalled(t *testing.T) {
	for _, tt := range []struct {
		name   string
		forget int // devices that the server does not push to
		fails  error
		over   time.Duration
		reason string
	}{
		{"all", 0, nil, 3*time.Second + 200*time.Millisecond, ""},
		{"but one", 1, nil, 10 * time.Second, "of 5 devices that the server was to call, 1 did not come"},
		{"no call", 1, errors.New("not today"), 3*time.Second + 200*time.Millisecond, "they come again: not today"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Millisecond) })
				defer r.close()
				service := &post{devices: map[string]func([]byte){}, kept: map[string][]byte{}}
				var l *Load
				push := func(n int, fails error) func(context.Context) (string, error) {
					return func(context.Context) (string, error) {
						time.Sleep(50 * time.Millisecond)
						for _, d := range l.config.Devices[:n] {
							service.push(d)
							time.Sleep(10 * time.Millisecond)
						}
						return "", fails
					}
				}
				l = r.load(5, Config{
					Link: kept, For: 10 * time.Second, Drain: time.Second, Push: service,
					Acts: []Act{
						{At: time.Second, Name: "all come", Calls: true, Do: push(5, nil)},
						{At: 3 * time.Second, Name: "they come again", Calls: true, Do: push(5-tt.forget, tt.fails)},
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
				got, _, err := l.Tell(plain, e, Generator{})
				if err != nil {
					t.Fatal(err)
				}
				conforms(t, got)
				x := got.Sections["load"].(*Section)
				if c := x.Called; c == nil || c.Devices != 5 || c.Came != 5-tt.forget || tt.forget == 0 && (c.Seconds < 0.1 || c.Seconds > 0.15) {
					t.Errorf("%+v", c)
				}
				if l.ended < tt.over-200*time.Millisecond || l.ended > tt.over+time.Second {
					t.Errorf("over after %v, want about %v", l.ended, tt.over)
				}
				if failed := got.Verdict == report.Failed; failed != (tt.reason != "") || !strings.Contains(strings.Join(got.Reasons, "; "), tt.reason) {
					t.Errorf("%s %q, want %q", got.Verdict, got.Reasons, tt.reason)
				}
				if want := uint64(10 - tt.forget); got.CheckIns.Offered != want || got.CheckIns.Done != want {
					t.Errorf("%+v, want %d", got.CheckIns, want)
				}
			})
		})
	}
}

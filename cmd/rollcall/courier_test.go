//go:build !agentonly

package main

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/agent/host"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/logs"
)

// lines is a log whose messages a test waits for.
type lines chan string

func (l lines) Levels() []logrus.Level { return logrus.AllLevels }

func (l lines) Fire(e *logrus.Entry) error {
	l <- e.Message
	return nil
}

func (l lines) wait(message string) {
	for got := range l {
		if got == message {
			return
		}
	}
}

// A lock that an administrator orders reaches a machine that sleeps by its push service, and not at its next poll a day later: as whatever
// it is managed (WIN-041, AND-091). Its agent starts anew before, which is no news to anybody.
func TestAMachineIsWoken(t *testing.T) {
	for name, tt := range map[string]struct {
		kind   protocol.Platform
		invite target.InviteOptions
		asked  string
	}{
		"ipad":    {protocol.IPadOS, target.InviteOptions{}, "DeviceLock"},
		"windows": {protocol.Windows, otherKinds["windows"].invite, otherKinds["windows"].lock},
		"android": {protocol.Android, otherKinds["android"].invite, otherKinds["android"].lock},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			acknowledged, told := make(chan string, 1000), make(chan string, 1000)
			cfg := serveConfig{Clock: realClock{}, Log: logs.New(io.Discard, true)}
			cfg.Observe = func(_ protocol.Time, _ *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome) {
				for _, c := range out.Commands {
					if c.Final && c.Status == protocol.Acknowledged {
						acknowledged <- c.ID.String()
					}
				}
				if token := string(after.Push.Token); token != string(before.Push.Token) {
					told <- token
				}
			}
			own, err := startOwnPush(t.Context(), &cfg, "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(own.stop)
			m := newLabMachine(t, cfg)
			own.wake(m.s.face)

			heard := make(lines, 1000)
			log := logrus.New()
			log.SetOutput(io.Discard)
			log.AddHook(heard)
			list, err := m.api.InviteFor(t.Context(), []string{m.user}, tt.invite)
			if err != nil {
				t.Fatal(err)
			}
			run := func(enrol bool) (stop func()) {
				h, err := host.Open(t.Context(), m.dir, host.Config{
					Facts: func(context.Context) host.Facts { return m.facts }, Machine: func(context.Context) string { return m.id },
					Transport: transportKey(), Log: log,
				})
				if err != nil {
					t.Fatal(err)
				}
				if enrol {
					err = h.Enrol(t.Context(), host.Join{URL: list[0].URL, CA: "sha256:" + m.s.Fingerprint, As: tt.kind, Poll: 24 * time.Hour})
				}
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- h.Run(ctx, nil) }()
				heard.wait("wake-ups come by a stream now")
				return func() {
					cancel()
					if err := <-ended; err != nil {
						t.Error(err)
					}
					h.Close()
				}
			}
			stop := run(true)
			where := <-told
			stop()
			stop = run(false)
			ordered := time.Now()
			id, err := m.api.Order(t.Context(), m.device().ID, target.Order{Kind: target.Lock})
			if err != nil {
				t.Fatal(err)
			}
			for got := range acknowledged {
				if got == id {
					break
				}
			}
			t.Logf("acknowledged %v after the order, at %q", time.Since(ordered), where)
			stop()
			if e := m.status().Asked; e == nil || e.What != tt.asked {
				t.Errorf("asked %+v", e)
			}
			if len(told) > 0 {
				t.Errorf("it told another address: %q", <-told)
			}
		})
	}
}

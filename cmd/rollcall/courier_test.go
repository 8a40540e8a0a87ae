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

// A lock that an administrator orders reaches a machine that sleeps by the push service, and not at its next poll a day
// later.
func TestAMachineIsWoken(t *testing.T) {
	t.Parallel()
	acknowledged := make(chan string, 1000)
	cfg := serveConfig{Clock: realClock{}, Log: logs.New(io.Discard, true)}
	cfg.Observe = func(_ protocol.Time, _ *delivery.World, ev *delivery.Event, _, _ *delivery.State, _ *delivery.Outcome) {
		if ev.Kind == delivery.CheckInRound && ev.Status == protocol.Acknowledged {
			acknowledged <- ev.Command.String()
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
	h, err := host.Open(t.Context(), m.dir, host.Config{
		Facts: func(context.Context) host.Facts { return m.facts }, Machine: func(context.Context) string { return m.id },
		Transport: transportKey(), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if err := h.Enrol(t.Context(), host.Join{URL: m.invite(), CA: "sha256:" + m.s.Fingerprint, Poll: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, nil) }()
	heard.wait("wake-ups come by a stream now")
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
	t.Logf("acknowledged %v after the order", time.Since(ordered))
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if e := m.status().Asked; e == nil || e.What != "DeviceLock" {
		t.Errorf("asked %+v", e)
	}
}

//go:build !agentonly

package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/agent/host"
)

// A machine that starts checks in at once; as an Android device that was away past its time it waits up to five minutes first, so that
// not all come at once whom one outage kept away, but hears a wake-up meanwhile (AND-082).
func TestAND082AMachineThatWasAway(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind  string
		away  time.Duration
		waits bool
	}{
		"overdue":     {"android", 30 * time.Hour, true},
		"not yet due": {"android", 0, false},
		"a PC":        {"windows", 30 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := kindMachine(t, tt.kind, nil)
			if err == nil {
				err = b.h.CheckIn(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			b.h.Close()
			b.ahead = tt.away
			var said waits
			talks := 0
			log := logrus.New()
			log.SetOutput(io.Discard)
			log.AddHook(&said)
			h, err := host.Open(t.Context(), b.dir, host.Config{
				Now:       func() time.Time { return time.Now().Add(b.ahead) },
				Facts:     func(context.Context) host.Facts { talks++; return b.facts }, // asked for each conversation
				Machine:   func(context.Context) string { return b.id },
				Transport: transportKey(), Log: log,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			talks = 0
			ctx, stop := context.WithCancel(t.Context())
			wakes, ended := make(chan string), make(chan error)
			magic := h.Magic()
			go func() { ended <- h.Run(ctx, wakes) }()
			wakes <- magic // taken once it has begun
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			want := 2
			if tt.waits {
				want = 1
			}
			if talks != want || (len(said) > 0) != tt.waits {
				t.Errorf("%d conversations until a wake-up is heard, want %d; it waits %v", talks, want, said)
			}
			for _, wait := range said {
				if wait <= 0 || wait > 5*time.Minute {
					t.Errorf("it waits %v", wait)
				}
			}
		})
	}
}

// waits are how long an agent says that it waits with its first check-in.
type waits []time.Duration

func (w *waits) Levels() []logrus.Level { return logrus.AllLevels }

func (w *waits) Fire(e *logrus.Entry) error {
	if !strings.Contains(e.Message, "AND-082") {
		return nil
	}
	in, err := time.ParseDuration(e.Data["in"].(string))
	*w = append(*w, in)
	return err
}

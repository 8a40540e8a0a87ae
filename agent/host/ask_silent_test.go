package host

import (
	"bufio"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/agent/courier"
)

// Who comes to the socket and says nothing, or not all, or takes no answer, holds nothing of the agent for long; who waits for what takes long, hears it
// (HST-120).
func TestHST120ASilentGuestIsLeft(t *testing.T) {
	for name, tt := range map[string]struct {
		says  string
		takes time.Duration // to do what is asked
		hears bool
		want  time.Duration
	}{
		"says nothing":                  {"", 0, false, sayFor},
		"says half a word":              {"check", 0, false, sayFor},
		"takes no answer":               {"stream\n", 0, false, sayFor},
		"takes no answer to nonsense":   {"dance\n", 0, false, sayFor},
		"takes no answer to a request":  {"check-in\n", time.Hour, false, time.Hour + sayFor},
		"waits for what takes an hour":  {"check-in\n", time.Hour, true, time.Hour},
		"says more than a request ever": {string(make([]byte, maxAsk+1)), 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &desk{asks: make(chan asking), stream: new(atomic.Pointer[courier.State])}
				ours, theirs := net.Pipe()
				begun := time.Now()
				go io.WriteString(theirs, tt.says)
				go func() {
					select {
					case a := <-d.asks:
						time.Sleep(tt.takes)
						a.done <- nil
					case <-t.Context().Done():
					}
				}()
				heard := make(chan string, 1)
				if tt.hears {
					go func() {
						line, _ := bufio.NewReader(theirs).ReadString('\n')
						heard <- line
					}()
				}
				d.serve(t.Context(), ours)
				if took := time.Since(begun); took != tt.want {
					t.Errorf("it is served for %v, want %v", took, tt.want)
				}
				if tt.hears {
					if line := <-heard; line != "{}\n" {
						t.Errorf("it hears %q", line)
					}
				}
			})
		})
	}
}

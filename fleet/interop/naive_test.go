package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"rollcall/server/store"
)

// naive returns the Python that runs the naive clients; without it, or openssl, which they use, the test is skipped.
func naive(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	return python
}

// A stranger is a naive client in Python, on a device of its own. It does one thing a line.
type stranger struct {
	testing.TB
	in     io.Writer
	out    *bufio.Reader
	device string // as the server named it
}

// startStranger starts a client of testdata.
func startStranger(t testing.TB, python, script string, arguments ...string) *stranger {
	t.Helper()
	script = filepath.Join("testdata", script)
	must(os.Stat(script))(t) // the test is run again when it changes
	cmd := exec.Command(python, append([]string{script}, arguments...)...)
	cmd.Stderr = os.Stderr
	in, out := must(cmd.StdinPipe())(t), must(cmd.StdoutPipe())(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the client: %v", err)
		}
	})
	return &stranger{TB: t, in: in, out: bufio.NewReader(out)}
}

// told is what the client says of something that it did.
type told map[string]any

// does has the client do something.
func (s *stranger) does(call ...any) (answer told) {
	s.Helper()
	if err := json.NewEncoder(s.in).Encode(call); err != nil {
		s.Fatal(err)
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		s.Fatalf("%v: %v", call, err)
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		s.Fatalf("%v: %v in %s", call, err, line)
	}
	return answer
}

// tells has the client do something, of which it must tell this at least.
func (s *stranger) tells(want told, call ...any) {
	s.Helper()
	got := s.does(call...)
	for k, v := range want {
		if fmt.Sprint(got[k]) != fmt.Sprint(v) {
			s.Errorf("%v: %v, want %v", call, got, want)
			return
		}
	}
}

// recordOf is what the server knows of the client's device.
func (h *house) recordOf(s *stranger) store.Record {
	h.Helper()
	n := must(h.core.Store().Device(context.Background(), s.device))(h)
	return must(h.core.Store().Record(context.Background(), n))(h)
}

// ahead sets the server's clock.
func (h *house) ahead(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.off = d
}

// answers has something else answer the device in the server's place, as a proxy might; nil: the server again.
func (h *house) answers(f func(http.ResponseWriter, *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.instead = f
}

package host

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/agent/courier"
	"rollcall/protocol"
)

// What the doctor says of a server that cannot be found, is somebody else, or keeps another time.
func TestDoctorOfServers(t *testing.T) {
	t.Parallel()
	drifts := make(chan time.Time, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case at := <-drifts:
			w.Header().Set("Date", at.UTC().Format(http.TimeFormat))
		default:
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that only try the port
	server.StartTLS()
	defer server.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	here := strings.TrimPrefix(server.URL, "https://")
	_, port, _ := strings.Cut(here, ":")
	good := pasted{URL: server.URL, Host: here, Pin: pinOf(server.Certificate())}
	for name, tt := range map[string]struct {
		link  pasted
		date  time.Duration // by which the server is ahead
		check string
		want  string // of what is said and what to do; empty: it is well
	}{
		"well":                        {good, 0, "authority", ""},
		"the clock is well":           {good, 0, "clock", ""},
		"a server ahead":              {good, time.Hour, "clock", "behind the server's"},
		"a server behind":             {good, -time.Hour, "clock", "ahead of the server's"},
		"a name that is none":         {pasted{Host: "lab..example:" + port}, 0, "name", "check this machine's name servers"},
		"no port":                     {pasted{Host: "lab.example"}, 0, "name", "no host and port"},
		"another authority":           {pasted{Host: here, Pin: pinPrefix + strings.Repeat("ab", 32)}, 0, "authority", "ask for a new line"},
		"no authority in the line":    {pasted{Host: here}, 0, "authority", "paste the whole line, with --ca"},
		"a name of another":           {pasted{Host: "localhost:" + port, Pin: good.Pin}, 0, "authority", "start the server with --name localhost"},
		"no TLS at all":               {pasted{Host: strings.TrimPrefix(plain.URL, "http://")}, 0, "authority", "does not speak TLS"},
		"an enrolment that was begun": {good, 0, "enrolment", "rollcall agent check-in goes on with it"},
	} {
		f := take(t)
		if err := f.save(&record{Link: &tt.link, Pending: &pending{}, Poll: time.Minute, Good: protocol.At(time.Now())}); err != nil {
			t.Fatal(err)
		}
		if tt.date != 0 {
			drifts <- time.Now().Add(tt.date)
		}
		found := false
		for _, x := range Examine(t.Context(), f.dir, Config{Machine: func(context.Context) string { return "" }}) {
			if x.Check != tt.check {
				continue
			}
			found = true
			if x.OK != (tt.want == "") || !strings.Contains(x.Says+" | "+x.Do, tt.want) || strings.Contains(x.Says, "\n") {
				t.Errorf("%s: %+v, want %q", name, x, tt.want)
			}
		}
		if !found {
			t.Errorf("%s: nothing of the %s", name, tt.check)
		}
	}
}

// What root writes into the folder of an agent that is not root is that agent's at once: root may be killed before it is done.
func TestHST121WhatRootWritesIsTheAgents(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	t.Parallel()
	first := take(t)
	dir := first.dir
	saved(t, first, "one")
	first.close()
	root, err := os.OpenRoot(dir)
	if err == nil {
		err = errors.Join(root.Chown(".", 65534, -1), root.Chown(stateFile, 65534, -1), root.Chown(lockFile, 65534, -1), root.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := takeFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	saved(t, f, "two")
	if says, do := folderTrouble(dir); says != "" {
		t.Errorf("after a state is saved: %s | %s", says, do)
	}
	if err := f.note(Entry{What: "ended"}); err != nil {
		t.Fatal(err)
	}
	if says, _ := folderTrouble(dir); says != "" {
		t.Errorf("after a line of the journal: %s", says)
	}
	if err := os.Chown(filepath.Join(dir, stateFile), 0, -1); err != nil {
		t.Fatal(err)
	}
	if says, do := folderTrouble(dir); !strings.Contains(says, "not of the user") || !strings.Contains(do, "chown -R 65534") {
		t.Errorf("of root's: %s | %s", says, do)
	}
}

// Whether a machine can be woken is asked of the agent that runs; only a stream that cannot be made is wrong.
func TestDoctorOfWakeUps(t *testing.T) {
	t.Parallel()
	f := take(t)
	var stream atomic.Pointer[courier.State]
	desk, err := newDesk(t.Context(), f, &stream)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.close()
	for name, tt := range map[string]struct {
		state   *courier.State
		courier string
		ok      bool
		says    string
	}{
		"not wanted": {nil, NoCourier, true, "--courier none"},
		"not yet":    {nil, "", true, "being made"},
		"up":         {&courier.State{Service: "192.0.2.1:5223", Since: time.Now()}, "", true, "by a stream of 192.0.2.1:5223"},
		"no streams": {&courier.State{Why: "none", None: true}, "", true, "has no streams"},
		"blocked":    {&courier.State{Why: "i/o timeout"}, "", false, "i/o timeout"},
	} {
		stream.Store(tt.state)
		d := &doctor{dir: f.dir, rec: &record{Courier: tt.courier, Poll: DefaultPoll}}
		d.wakeUps(t.Context())
		if len(d.list) != 1 || d.list[0].OK != tt.ok || !strings.Contains(d.list[0].Says, tt.says) || (d.list[0].Do == "") != tt.ok {
			t.Errorf("%s: %+v", name, d.list)
		}
	}
}

package courier

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"regexp"
	"testing"
)

// The system sends no probes over a stream, which would wake the machine between two beats: the socket has no timer of theirs.
func TestNoProbesWakeTheMachine(t *testing.T) {
	s := newScene(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.config.Address = func(context.Context) (string, error) { return l.Addr().String(), nil }
	s.config.TLS.ServerName, s.config.Dial = "push.example.org", nil
	up := make(chan State, 1)
	s.config.Changed = func(x State) { up <- x }
	go func() {
		if conn, err := l.Accept(); err == nil {
			s.services <- tls.Server(conn, s.serves)
		}
	}()
	stop := s.run()
	defer stop()
	c := s.welcome()
	if x := <-up; x.Since.IsZero() || x.Local.String() != "127.0.0.1" {
		t.Fatalf("it stands as %+v", x)
	}
	sockets, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Skip(err)
	}
	// Fields, all hexadecimal: local and remote address, state, queues, which timer and when (proc(5)).
	own := fmt.Sprintf(`(?m)^ *\d+: 0100007F:%04X \S+ 01 \S+ (\d\d):`, c.RemoteAddr().(*net.TCPAddr).Port)
	if timer := regexp.MustCompile(own).FindSubmatch(sockets); timer == nil || string(timer[1]) == "02" {
		t.Errorf("its socket has the timer %s in\n%s", timer, sockets)
	}
}

package host

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// socketFile is where the agent that runs is asked: a Unix socket, which Windows has too. Who gets into the state folder may ask.
const socketFile = "socket"

const (
	maxAsk  = 64               // bytes of a request
	sayFor  = 10 * time.Second // to say what is wanted, and to take the answer
	askFull = 1 << 16          // bytes of an answer
)

// A Request is what a person at this machine wants of the agent that runs.
type Request string

const (
	RequestCheckIn Request = "check-in"
	RequestUnenrol Request = "unenroll"
)

// An asking is a request that waits for its answer.
type asking struct {
	what Request
	done chan error // takes one
}

// An askedAnswer is what came of it, as JSON on one line.
type askedAnswer struct {
	Error string `json:"error,omitempty"`
}

// Ask has the agent that runs on the folder dir do what is wanted, and returns what came of it, as [Host.CheckIn] and [Host.Unenrol]
// would.
func Ask(ctx context.Context, dir string, what Request) error {
	conn, err := dialAgent(ctx, dir)
	if err != nil {
		return fmt.Errorf("%w (%s) and cannot be asked: stop it first: %w", ErrRuns, dir, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var a askedAnswer
	_, err = fmt.Fprintln(conn, what)
	if err == nil {
		err = json.NewDecoder(io.LimitReader(conn, askFull)).Decode(&a)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("the agent ended before it answered: try again: %w", err)
	case a.Error != "":
		return errors.New(a.Error)
	}
	return nil
}

func dialAgent(ctx context.Context, dir string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, socketFile))
}

// A desk is where requests come in while the agent runs.
type desk struct {
	asks     chan asking
	listener net.Listener
	stop     context.CancelFunc
	open     sync.WaitGroup
}

// newDesk opens the socket. What is there of it is of an agent that was killed: this process has the folder.
func newDesk(ctx context.Context, dir string) (*desk, error) {
	name := filepath.Join(dir, socketFile)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	d := &desk{asks: make(chan asking), listener: l}
	ctx, d.stop = context.WithCancel(ctx)
	d.open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			d.open.Go(func() { d.serve(ctx, conn) })
		}
	})
	return d, nil
}

// close ends it once everybody has an answer whose request was taken.
func (d *desk) close() {
	d.stop()
	d.listener.Close()
	d.open.Wait()
}

func (d *desk) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	hangUp := context.AfterFunc(ctx, func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(sayFor))
	line, err := bufio.NewReader(io.LimitReader(conn, maxAsk)).ReadString('\n')
	if err != nil {
		return
	}
	a := asking{Request(line[:len(line)-1]), make(chan error, 1)}
	if a.what != RequestCheckIn && a.what != RequestUnenrol {
		json.NewEncoder(conn).Encode(askedAnswer{fmt.Sprintf("the agent that runs does not know %.20q: restart it, it is of another version", a.what)})
		return
	}
	select {
	case d.asks <- a:
	case <-ctx.Done():
		return
	}
	hangUp() // who was taken gets an answer, even of an agent that ends
	var answer askedAnswer
	if err := <-a.done; err != nil {
		answer.Error = err.Error()
	}
	conn.SetDeadline(time.Now().Add(sayFor))
	json.NewEncoder(conn).Encode(answer)
}

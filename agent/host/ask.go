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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/agent/courier"
)

// socketFile is where the agent that runs is asked: a Unix socket, which Windows has too. Who gets into the state folder may ask.
const socketFile = "socket"

const (
	maxAsk  = 1 << 16          // bytes of a request
	sayFor  = 10 * time.Second // to say what is wanted, and to take the answer
	askFull = 1 << 16          // bytes of an answer
)

// A Request is what a person at this machine wants of the agent that runs.
type Request string

const (
	RequestCheckIn Request = "check-in"
	RequestUnenrol Request = "unenroll"

	requestStream Request = "stream"  // how it stands; answered at once
	requestChange Request = "change " // and a Change as JSON
)

// An asking is a request that waits for its answer.
type asking struct {
	what Request
	done chan error // takes one
}

// An askedAnswer is what came of it, as JSON on one line.
type askedAnswer struct {
	Error  string         `json:"error,omitempty"`
	Stream *courier.State `json:"stream,omitempty"`
}

// Ask has the agent that runs on the folder dir do what is wanted, and returns what came of it, as [Host.CheckIn] and [Host.Unenrol]
// would.
func Ask(ctx context.Context, dir string, what Request) error {
	_, err := ask(ctx, dir, what)
	return err
}

// Stream asks the agent that runs on the folder dir how its stream of wake-ups stands; nil: it has none. runs is that one does.
func Stream(ctx context.Context, dir string) (s *courier.State, runs bool) {
	ctx, cancel := context.WithTimeout(ctx, sayFor)
	defer cancel()
	a, err := ask(ctx, dir, requestStream)
	return a.Stream, err == nil
}

func ask(ctx context.Context, dir string, what Request) (a askedAnswer, err error) {
	conn, err := dialAgent(ctx, dir)
	if err != nil {
		return a, fmt.Errorf("%w (%s) and cannot be asked: stop it first: %w", ErrRuns, dir, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, err = fmt.Fprintln(conn, what)
	if err == nil {
		err = json.NewDecoder(io.LimitReader(conn, askFull)).Decode(&a)
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err != nil:
		err = fmt.Errorf("the agent ended before it answered: try again: %w", err)
	case a.Error != "":
		err = errors.New(a.Error)
	}
	return a, err
}

func dialAgent(ctx context.Context, dir string) (net.Conn, error) {
	name, done, err := socketIn(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	return new(net.Dialer).DialContext(ctx, "unix", name)
}

// A desk is where requests come in while the agent runs.
type desk struct {
	asks     chan asking
	folder   *folder
	stream   *atomic.Pointer[courier.State]
	listener net.Listener
	stop     context.CancelFunc
	open     sync.WaitGroup
}

// newDesk opens the socket. What is there of it is of an agent that was killed: this process has the folder.
func newDesk(ctx context.Context, f *folder, stream *atomic.Pointer[courier.State]) (*desk, error) {
	if err := f.ours(); err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(f.dir, socketFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	short, done, err := socketIn(f.dir)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.Listen("unix", short)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by a name that may hold no more
	d := &desk{asks: make(chan asking), folder: f, stream: stream, listener: l}
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
	if d.folder.ours() == nil { // else it is another agent's
		os.Remove(filepath.Join(d.folder.dir, socketFile))
	}
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
	switch change := strings.HasPrefix(string(a.what), string(requestChange)); {
	case change, a.what == RequestCheckIn, a.what == RequestUnenrol:
	case a.what == requestStream:
		json.NewEncoder(conn).Encode(askedAnswer{Stream: d.stream.Load()})
		return
	default:
		json.NewEncoder(conn).Encode(askedAnswer{Error: fmt.Sprintf("the agent that runs does not know %.20q: restart it, it is of another version", a.what)})
		return
	}
	select {
	case d.asks <- a:
	case <-ctx.Done():
		return
	}
	hangUp() // who was taken gets an answer, even of an agent that ends
	var answer askedAnswer
	if err := <-a.done; errors.Is(err, context.Canceled) {
		answer.Error = "the agent was stopped before it was done: start it, and try again"
	} else if err != nil {
		answer.Error = err.Error()
	}
	conn.SetDeadline(time.Now().Add(sayFor))
	json.NewEncoder(conn).Encode(answer)
}

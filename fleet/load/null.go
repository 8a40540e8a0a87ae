package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol/apple"
)

// A null is a server that does next to nothing, with as little work as TLS allows: what a fleet gets out of it is the fleet's own limit. Its
// answers are empty, but where identities are asked for by SCEP, and where it orders.
type null struct {
	orders bool // each device that has nothing to do gets a command
	scep   *scep.Server

	listener net.Listener
	ca       *certs.Authority
	config   *tls.Config
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil: closed
}

var (
	nullAnswer = []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	nullOrder  = whole(apple.EncodeCommand(nil, "00000000-0000-4000-8000-000000000000", apple.DeviceInformation{Queries: []string{"UDID", "OSVersion", "SerialNumber"}}))
	idle       = []byte("<string>Idle</string>")
)

// whole is an answer with a body.
func whole(body []byte) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
}

// startNull serves on listener until close. Identities by its authority are welcome, as are all others.
func startNull(listener net.Listener, orders bool, now func() time.Time) (*null, error) {
	n := &null{orders: orders, listener: listener, conns: map[net.Conn]struct{}{}}
	var err error
	if n.ca, err = certs.NewAuthority(certs.P256, "rollcall calibration", now()); err != nil {
		return nil, err
	}
	n.scep = &scep.Server{CA: n.ca, Now: now, Issue: func(_ context.Context, r *scep.Request) (*x509.Certificate, error) {
		return n.ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "device", Now: now()})
	}}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return nil, err
	}
	own, err := n.ca.IssueServer([]string{"127.0.0.1"}, key.Public(), now(), 0)
	if err != nil {
		return nil, err
	}
	n.config = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{own.Raw}, PrivateKey: key}}, ClientAuth: tls.RequestClientCert,
		MinVersion: tls.VersionTLS13, Time: now,
	}
	n.serving.Go(n.accept)
	return n, nil
}

func (n *null) url() string { return "https://" + n.listener.Addr().String() }

func (n *null) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(n.ca.Certificate())
	return pool
}

func (n *null) close() {
	n.listener.Close()
	n.mu.Lock()
	conns := n.conns
	n.conns = nil
	n.mu.Unlock()
	for c := range conns {
		c.Close()
	}
	n.serving.Wait()
}

func (n *null) accept() {
	for {
		c, err := n.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // out of files for a moment: the fleet's side says so
		}
		n.mu.Lock()
		if n.conns == nil {
			c.Close()
		} else {
			n.conns[c] = struct{}{}
			n.serving.Go(func() { n.serve(c) })
		}
		n.mu.Unlock()
	}
}

// serve answers on one connection for as long as anybody asks.
func (n *null) serve(raw net.Conn) {
	c := tls.Server(raw, n.config)
	defer func() {
		c.Close()
		n.mu.Lock()
		delete(n.conns, raw)
		n.mu.Unlock()
	}()
	in := bufio.NewReader(c)
	var body []byte
	for {
		if head, _ := in.Peek(len(scepHead)); bytes.Contains(head, []byte("/scep")) {
			if err := n.issue(in, c); err != nil {
				return
			}
			continue
		}
		length := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			if text, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(text)))
			}
		}
		body = slices.Grow(body[:0], length)[:length]
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		answer := nullAnswer
		if n.orders && bytes.Contains(body, idle) {
			answer = nullOrder
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// scepHead is as much of a request as tells that it is one of SCEP.
const scepHead = "POST /mdm/scep"

// issue answers a request of SCEP.
func (n *null) issue(in *bufio.Reader, out io.Writer) error {
	r, err := http.ReadRequest(in)
	if err != nil {
		return err
	}
	a := answer{Response: http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}}
	n.scep.ServeHTTP(&a, r)
	a.Body, a.ContentLength = io.NopCloser(&a.text), int64(a.text.Len())
	return a.Response.Write(out)
}

// An answer is a handler's, to be written whole.
type answer struct {
	http.Response
	text bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.Response.Header }
func (a *answer) WriteHeader(status int)      { a.StatusCode = status }
func (a *answer) Write(b []byte) (int, error) { return a.text.Write(b) }

package load

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"rollcall/certs"
)

// A null is a server that answers every request with an empty 200, with as little work as TLS allows: what a fleet gets
// out of it is the fleet's own limit.
type null struct {
	listener net.Listener
	ca       *certs.Authority
	config   *tls.Config
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil: closed
}

var nullAnswer = []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

// startNull serves on listener until close. Identities by its authority are welcome, as are all others.
func startNull(listener net.Listener, now func() time.Time) (*null, error) {
	n := &null{listener: listener, conns: map[net.Conn]struct{}{}}
	var err error
	if n.ca, err = certs.NewIssuer("rollcall calibration", now()); err != nil {
		return nil, err
	}
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
	for {
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
		if _, err := io.CopyN(io.Discard, in, int64(length)); err != nil {
			return
		}
		if _, err := c.Write(nullAnswer); err != nil {
			return
		}
	}
}

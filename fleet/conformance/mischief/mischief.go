package mischief

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"rollcall/certs"
	"rollcall/protocol/apple"
)

// A Mischief is the layer with its fault. Safe for concurrent use.
type Mischief struct {
	kinds map[string]func(c *call)
	mu    sync.Mutex
	id    string
	does  func(c *call)
	notes map[string]string // what the fault remembers, by keys of its own
	next  http.Handler
	ca    *certs.Authority
}

// New makes a layer with the fault of a server against a statement; without one when id is empty.
func New(id string) (*Mischief, error) {
	m := &Mischief{kinds: faults}
	return m, m.Set(id)
}

// NewHandset is New for the fault of a device.
func NewHandset(id string) (*Mischief, error) {
	m := &Mischief{kinds: handsetFaults}
	return m, m.Set(id)
}

// Set takes another fault in place of the present one, which forgets everything. The error says that there is none against
// this statement.
func (m *Mischief) Set(id string) error {
	does, known := m.kinds[id]
	if id != "" && !known {
		return fmt.Errorf("there is no fault against %q: want one of %s", id, strings.Join(slices.Sorted(maps.Keys(m.kinds)), ", "))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id, m.does, m.notes = id, does, map[string]string{}
	return nil
}

// List returns the faults, of servers and of devices.
func List() []string {
	all := append(slices.Collect(maps.Keys(faults)), slices.Collect(maps.Keys(handsetFaults))...)
	slices.Sort(all)
	return all
}

// LosesAfterGoAway tells whether a push that is sent again after a GOAWAY is to be lost (APL-105).
func (m *Mischief) LosesAfterGoAway() bool { return m.is("APL-105") }

// PushesAtOnce tells whether a push that was answered 429 is sent again at once (APL-104).
func (m *Mischief) PushesAtOnce() bool { return m.is("APL-104/at-once") }

// PushesOnce tells whether each device is to be pushed once and never again (APL-086).
func (m *Mischief) PushesOnce() bool { return m.is("APL-086/once") }

// PushesTheDead tells whether a token that has ended is pushed as if it had ended before the device said it (APL-101).
func (m *Mischief) PushesTheDead() bool { return m.is("APL-101/insists") }

// SendsToTheDead tells whether an address that has ended is sent to as if it had not (AND-093).
func (m *Mischief) SendsToTheDead() bool { return m.is("AND-093") }

func (m *Mischief) is(ids ...string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(ids, m.id)
}

// Before puts the layer before next, whose identities ca issues and which listens by config.
func (m *Mischief) Before(next http.Handler, ca *certs.Authority, config *tls.Config) http.Handler {
	m.BeforeJudge(next, ca)
	if verify := config.VerifyConnection; verify != nil {
		config.VerifyConnection = func(cs tls.ConnectionState) error {
			if err := verify(cs); err != nil && !m.is("HST-030", "APL-091", "APL-094/ended", "HST-030.android/itself", "AND-079/lives", "AND-080.leave/lives", "WIN-024", "WIN-024.package", "WIN-029/itself") {
				return err
			}
			return nil
		}
	}
	return m
}

// BeforeJudge puts the layer between a device and who judges it.
func (m *Mischief) BeforeJudge(next http.Handler, ca *certs.Authority) http.Handler {
	m.next, m.ca = next, ca
	return m
}

// maxBody is what is read of a request; more than that goes by unread.
const maxBody = 32 << 20

func (m *Mischief) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	does := m.does
	m.mu.Unlock()
	if does == nil {
		m.next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		http.Error(w, "the body breaks off", http.StatusBadRequest)
		return
	}
	c := &call{m: m, w: w, r: r, body: body}
	c.device = r.Method == http.MethodPut && apple.DecodeMessage(body, &c.msg) == nil
	does(c)
}

// note remembers value under key and returns what was there.
func (m *Mischief) note(key, value string) (old string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old = m.notes[key]
	m.notes[key] = value
	return old
}

// noted returns what is remembered under key.
func (m *Mischief) noted(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.notes[key]
}

// A call is one request.
type call struct {
	m      *Mischief
	w      http.ResponseWriter
	r      *http.Request
	body   []byte
	device bool          // a device's message
	msg    apple.Message // it
}

// An answer is one that is not given yet.
type answer struct {
	status int
	header http.Header
	body   []byte
	cut    bool // there is none: whoever was asked has cut the connection
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Hijack implements [http.Hijacker] for those who cut the connection.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.cut = true
	c, _ := net.Pipe()
	return c, nil, nil
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

// ask has the server answer a body in place of the request's.
func (c *call) ask(body []byte) *answer {
	return c.request(c.r.Method, c.r.URL.RequestURI(), body)
}

// request has the server answer another request of the same client. A signature is no longer right over another body.
func (c *call) request(method, uri string, body []byte) *answer {
	r := c.r.Clone(c.r.Context())
	r.Method = method
	if u, err := r.URL.Parse(uri); err == nil {
		r.URL, r.RequestURI = u, uri
	}
	if !bytes.Equal(body, c.body) {
		r.Header.Del("Mdm-Signature")
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	a := &answer{header: http.Header{}}
	c.m.next.ServeHTTP(a, r)
	a.WriteHeader(http.StatusOK)
	return a
}

// pass lets the request through as it is.
func (c *call) pass() { c.give(c.ask(c.body)) }

// give answers with a.
func (c *call) give(a *answer) {
	if a.cut {
		if conn, _, err := http.NewResponseController(c.w).Hijack(); err == nil {
			conn.Close()
		}
		return
	}
	for name, values := range a.header {
		c.w.Header()[name] = values
	}
	if a.header.Get("Content-Length") != "" { // what came with its length goes on with one
		c.w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	c.w.WriteHeader(a.status)
	c.w.Write(a.body)
}

// say answers with a status and nothing else.
func (c *call) say(status int) { c.w.WriteHeader(status) }

// message has the server answer another message of the same device.
func (c *call) message(m *apple.Message) *answer { return c.ask(apple.EncodeMessage(nil, m)) }

// leaf is the certificate that the client showed; nil: none.
func (c *call) leaf() []byte {
	if c.r.TLS == nil || len(c.r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return c.r.TLS.PeerCertificates[0].Raw
}

// api tells whether the request is an administrator's of this method, whose path ends so.
func (c *call) api(method, suffix string) bool {
	return c.r.Method == method && strings.HasPrefix(c.r.URL.Path, "/rollcall/v1/") && strings.HasSuffix(c.r.URL.Path, suffix)
}

func (c *call) idle() bool {
	return c.device && c.msg.MessageType == apple.NoMessageType && c.msg.Status == 0
}

func (c *call) report() bool {
	return c.device && c.msg.MessageType == apple.NoMessageType && c.msg.Status != 0
}

func (c *call) says(kind apple.MessageType) bool { return c.device && c.msg.MessageType == kind }

// replaced is the message with other bytes in it.
func (c *call) replaced(old, with string) []byte {
	return bytes.ReplaceAll(c.body, []byte(old), []byte(with))
}

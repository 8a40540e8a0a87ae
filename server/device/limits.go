package device

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/protocol/apple"
	"rollcall/server/logs"
)

// Limits of every listener (HST-020, 028), on the real clock: networks do not know a driven one.
const (
	maxHeader   = 64 << 10 // an Mdm-Signature needs some KiB; apple.md section 14 asks for 32 KiB or more
	patience    = 10 * time.Second
	idle        = 60 * time.Second
	bytesSecond = 1 << 10  // that a body must bring in after patience is over
	piece       = 32 << 10 // of an answer: the other side must take it within patience
)

var (
	errMethod     = errors.New("only PUT")
	errNotOffered = errors.New("not offered here")
	errUser       = errors.New("users are not managed")
	errEncoding   = errors.New("a Content-Encoding that nobody asked for")
	errTooLarge   = errors.New("body over its cap")
	errBody       = errors.New("body was cut short")
)

// HTTPServer returns the server for a listener of devices, or of devices and administrators: h behind the limits
// that keep slow and greedy clients from the others. The caller starts and stops it.
func HTTPServer(h http.Handler, config *tls.Config, log *logrus.Logger) *http.Server {
	var only http.Protocols
	only.SetHTTP1(true)
	return &http.Server{
		Handler:           takenUp(onePath(h, log)),
		TLSConfig:         config,
		Protocols:         &only,
		ConnContext:       connContext,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: patience,
		ReadTimeout:       patience, // of header and body; see patient
		IdleTimeout:       idle,
		ErrorLog:          logs.Std(log),
	}
}

// takenUp ends an answer that nobody takes: each piece of it has patience from when it is written.
func takenUp(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control, ok := w.(deadliner)
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		out := &paced{ResponseWriter: w, control: control}
		if r.Header["Expect"] != nil {
			out.extend() // for a 100 Continue
		}
		h.ServeHTTP(out, r)
		out.extend() // what is in buffers is written after us
	})
}

type deadliner interface{ SetWriteDeadline(time.Time) error }

// A paced answer goes out piece by piece.
type paced struct {
	http.ResponseWriter
	control deadliner
	since   time.Time // of the latest deadline
}

// extend sets a deadline, unless there is one that is hardly older: most answers are small and written at once, and to set it costs as
// much as to decide what is in them.
func (w *paced) extend() {
	if now := time.Now(); now.Sub(w.since) >= patience/100 {
		w.since = now
		w.control.SetWriteDeadline(now.Add(patience))
	}
}

// Unwrap is for http.ResponseController.
func (w *paced) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *paced) WriteHeader(status int) {
	w.extend()
	w.ResponseWriter.WriteHeader(status)
}

func (w *paced) Write(p []byte) (n int, err error) {
	for {
		part := p[n:min(len(p), n+piece)]
		w.extend()
		m, err := w.ResponseWriter.Write(part)
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// onePath refuses what a proxy in front and the router behind could take for two different paths (HST-022).
// Nothing is redirected: a device would follow (apple.md section 6.3). Where such a proxy could disagree about the end of a request,
// the connection ends with it, so that nothing behind is taken for another one (RFC 9112, section 6.1): net/http does not show
// a Content-Length beside chunks, nor chunks in HTTP/1.0.
func onePath(h http.Handler, log *logrus.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
			w.Header().Set("Connection", "close")
		}
		p := r.URL.Path
		if !plain(r.URL) && (r.URL.IsAbs() || r.URL.Host != "" || p == "" || p[0] != '/' || strings.ContainsAny(p, ";\\\x00") || encodedPath(r.URL.RawPath) ||
			p != "/" && path.Clean(p) != strings.TrimSuffix(p, "/")) {
			log.WithFields(logrus.Fields{"rule": "HST-022", "method": r.Method, "target": r.RequestURI[:min(len(r.RequestURI), 200)], "remote": r.RemoteAddr}).Warn("refused")
			w.Header().Set("Connection", "close")
			http.Error(w, "HST-022: not a path of this server", http.StatusBadRequest)
			return
		}
		if r.ContentLength < 0 || r.ContentLength > 4*bytesSecond { // what is smaller has patience from the start
			r.Body = newPatient(w, r)
		}
		h.ServeHTTP(w, r)
	})
}

// plain tells whether a URL is a path alone, of letters, digits and hyphens between single slashes, as nearly all are: nobody takes it for
// another one.
func plain(u *url.URL) bool {
	before := byte('/')
	if u.Scheme != "" || u.Host != "" || u.RawPath != "" || u.Path == "" || u.Path[0] != '/' {
		return false
	}
	for i := 1; i < len(u.Path); i++ {
		c := u.Path[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && (c != '/' || before == '/') {
			return false
		}
		before = c
	}
	return true
}

// encodedPath tells whether a path hides a separator or a dot behind percent signs.
func encodedPath(raw string) bool {
	raw = strings.ToLower(raw)
	return strings.Contains(raw, "%2f") || strings.Contains(raw, "%2e") || strings.Contains(raw, "%5c") || strings.Contains(raw, "%3b")
}

func newPatient(w http.ResponseWriter, r *http.Request) *patient {
	return &patient{ReadCloser: r.Body, control: http.NewResponseController(w), start: time.Now()}
}

// A patient body may last beyond patience for as long as it brings in a KiB a second (HST-020).
type patient struct {
	io.ReadCloser
	control  *http.ResponseController
	start    time.Time
	n, moved int64 // bytes so far; at the latest change of the deadline
}

func (b *patient) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.n += int64(n); b.n-b.moved >= 4*bytesSecond {
		b.moved = b.n
		b.control.SetReadDeadline(b.start.Add(patience + time.Duration(b.n/bytesSecond)*time.Second))
	}
	return n, err
}

// read reads the body of r into x, at most apple.MaxMessage bytes of it.
func (x *exchange) read(r *http.Request) error {
	x.body = x.body[:0]
	x.msg = apple.Message{}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return errEncoding
	}
	if r.ContentLength > apple.MaxMessage {
		return errTooLarge
	}
	for {
		if len(x.body) == cap(x.body) {
			x.body = append(x.body, 0)[:len(x.body)]
		}
		n, err := r.Body.Read(x.body[len(x.body):cap(x.body)])
		x.body = x.body[:len(x.body)+n]
		switch {
		case len(x.body) > apple.MaxMessage:
			return errTooLarge
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", errBody, err)
		}
	}
}

// release keeps x for the next request, without what was large.
func (h *Handler) release(x *exchange) {
	if cap(x.body) > keepBuffer {
		x.body = make([]byte, 0, 4<<10)
	}
	if cap(x.answer) > keepBuffer {
		x.answer = nil
	}
	h.spare.Put(x)
}

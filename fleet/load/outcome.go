package load

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol/lang"
)

// An Outcome is what became of one request.
type Outcome uint8

// The outcomes.
const (
	Good        Outcome = iota // 2xx
	Shed                       // 429 or 503: the server asks for patience
	Refused                    // any other 4xx
	Broken                     // any other 5xx
	Elsewhere                  // a redirect out of the host, or without end
	Nonsense                   // an answer that is no HTTP, or says what no MDM server says
	Foreign                    // a 2xx to an Apple device whose body is no property list
	Barred                     // a TLS alert about the device's certificate
	Unreachable                // nobody listens
	Cut                        // the connection ended before the answer did
	Silent                     // no answer in time
	Exhausted                  // our own system has no more sockets, ports or files
	Stopped                    // the run ended first
)

var outcomeNames = [...]lang.Key{
	lang.Key("ok"), lang.Key("shed"), lang.Key("refused"), lang.Key("server error"), lang.Key("redirected"), lang.Key("nonsense"), lang.Key("no property list"), lang.Key("certificate refused"), lang.Key("unreachable"), lang.Key("cut off"), lang.Key("no answer"),
	lang.Key("generator exhausted"), lang.Key("unfinished"),
}

const outcomes = len(outcomeNames)

func (o Outcome) String() string { return lang.English.Say(outcomeNames[int(o)%outcomes]) }

// outcomeOf tells what became of a request.
func outcomeOf(x *link.Exchange) Outcome {
	switch s := x.Status; {
	case s == 0:
		return outcomeOfError(x.Err)
	case s >= 200 && s <= 299 && x.Err == nil:
		return Good
	case errors.Is(x.Err, dialect.ErrNoPropertyList):
		return Foreign
	case s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable:
		return Shed
	case s >= 400 && s <= 499:
		return Refused
	case s >= 500 && s <= 599:
		return Broken
	case s >= 300 && s <= 399:
		return Elsewhere
	}
	return Nonsense
}

func outcomeOfError(err error) Outcome {
	var wait net.Error
	switch {
	case exhausted(err):
		return Exhausted
	case errors.Is(err, context.Canceled):
		return Stopped
	case link.Barred(err):
		return Barred
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Unreachable
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &wait) && wait.Timeout():
		return Silent
	case errors.Is(err, link.ErrElsewhere), errors.Is(err, link.ErrCircle):
		return Elsewhere
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return Cut
	}
	return Nonsense
}

// exhausted tells whether our own system had no more to give.
func exhausted(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

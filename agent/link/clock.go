package link

import (
	"crypto/x509"
	"fmt"
	"net/http"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A ClockError is that a server says a time that cannot be its: none at all, or one at which a certificate that it shows is not good.
type ClockError struct{ Said string }

func (e *ClockError) Error() string {
	return fmt.Sprintf("%s: %.40q is no time at which the certificate of the server is good", apple.ClockHeader, e.Said)
}

// ReadClock reads the clock of a server that has one of its own, and that showed these certificates; 0: it has none. The error is a
// [*ClockError]: such a time is not to be gone by, and is not kept (HST-120).
func ReadClock(header http.Header, shown []*x509.Certificate) (t protocol.Time, err error) {
	said := header.Get(apple.ClockHeader)
	if said == "" {
		return 0, nil
	}
	if t.UnmarshalText([]byte(said)) != nil {
		return 0, &ClockError{said}
	}
	for _, c := range shown {
		if at := t.Time(); at.Before(c.NotBefore) || at.After(c.NotAfter) {
			return 0, &ClockError{said}
		}
	}
	return t, nil
}

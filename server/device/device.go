package device

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/csp"
	"rollcall/server/delivery"
)

// A Config says what a handler is made of.
type Config struct {
	Server    *server.Server
	Enrolment *Enrolment       // its CA issued the identities that are let in
	Now       func() time.Time // clock of certificates and decisions; nil: time.Now
	Log       *logrus.Logger
	Admission *Admission // nil: everybody is let in
	Meter     Meter      // nil: nobody counts

	// Handle takes the place of Server.Handle, for whoever wants each round as it has come over the wire; nil: nobody does.
	Handle func(ctx context.Context, now protocol.Time, ev *delivery.Event, out *delivery.Outcome) error

	// EnrolRate is how many devices of one network may begin to enrol in a second, beyond a burst of a hundred times as many,
	// and how many may have a certificate (HST-045); 0: no limit. [DefaultEnrolRate] is a good one.
	EnrolRate float64

	// Lab are authorities beside our own whose identities are taken too, each for the device that its common name says, over TLS,
	// from a proxy or as a signature. Whoever has such an authority's key can be every device that is not enrolled: for labs and
	// load tests.
	Lab []*x509.Certificate

	// Proxies are the networks of peers who may say, in the header ProxyHeader (empty: [ProxyHeader]) and in X-Forwarded-For,
	// whose request they pass on (APL-024, HST-023). A proxy must have checked that the client has the certificate's key, and take
	// the header out of what comes from outside. Empty: nobody may.
	Proxies     []netip.Prefix
	ProxyHeader string

	// SignMessage takes an Mdm-Signature for an identity, alone or beside the same identity's TLS certificate.
	SignMessage     bool
	LegacySignature bool // and one with SHA-1 too, as every Mac makes them (legacyCMS, apple.md section 3.1)
	LegacySCEP      bool // SCEP with SHA-1 and 3DES

	Windows *Windows // how Windows devices are served; nil: they are not
	Android *Android // how Android devices are served; nil: they are not

	// Factory are the roots of the factory identities that sign a MachineInfo. Empty: no automated enrolment.
	Factory []*x509.Certificate
	// MinimumOS is the OSVersion below which a device is sent to update itself before it enrols automatically, if it
	// says that it can (APL-085). Empty: none.
	MinimumOS string
}

// A Handler serves all that devices call.
type Handler struct {
	cfg     Config
	ca      *certs.Authority
	mux     *http.ServeMux
	edge    http.Handler // mux behind the admission
	spare   sync.Pool    // of *exchange
	notes   notices
	proxies proxies
	rates   *rates // nil: enrolments are not bounded
	lab     []*certs.Authority
	watched bool // Config.Handle is to have each round

	android  androidState
	accounts []byte       // key of Windows devices' accounts
	profiles sync.Map     // of *csp.Profile, by protocol.Profile
	trusts   *csp.Profile // what a Windows device trusts by its enrolment
	turns    sync.Pool    // of *turn
}

// New makes a handler. The error says which field of cfg is missing.
func New(cfg Config) (*Handler, error) {
	switch {
	case cfg.Server == nil:
		return nil, errors.New("device: Config.Server is missing")
	case cfg.Enrolment == nil || cfg.Enrolment.CA == nil || cfg.Enrolment.URL == "":
		return nil, errors.New("device: Config.Enrolment is missing, or its CA or URL")
	case cfg.Log == nil:
		return nil, errors.New("device: Config.Log is missing")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	watched := cfg.Handle != nil
	if !watched {
		cfg.Handle = cfg.Server.Handle
	}
	bounds, err := newRates(cfg.EnrolRate, time.Now)
	if err != nil {
		return nil, err
	}
	front, err := newProxies(cfg.Proxies, cfg.ProxyHeader)
	if err != nil {
		return nil, err
	}
	h := &Handler{watched: watched, rates: bounds, proxies: front, cfg: cfg, ca: cfg.Enrolment.CA, mux: http.NewServeMux()}
	for _, c := range cfg.Lab {
		a, err := certs.Foreign(c)
		if err != nil {
			return nil, err
		}
		if string(c.RawSubject) == string(h.ca.Certificate().RawSubject) {
			return nil, fmt.Errorf("device: Config.Lab: %q is what our own authority is called", c.Subject.CommonName)
		}
		h.lab = append(h.lab, a)
	}
	h.turns.New = func() any { return new(turn) }
	h.spare.New = func() any { return &exchange{body: make([]byte, 0, 4<<10)} }
	h.mux.HandleFunc(commandPath, h.appleMessage)
	h.mux.HandleFunc(checkInPath, h.appleMessage)
	h.mux.HandleFunc("/e/{ticket}", h.enrol)
	h.mux.HandleFunc("/apple/enrol", h.enrol)
	h.mux.HandleFunc("/apple/ade", h.automated)
	h.mux.Handle(scepPath, h.certificates(h.scep()))
	if err := h.mountAndroid(); err != nil {
		return nil, err
	}
	if err := h.mountWindows(context.Background()); err != nil {
		return nil, err
	}
	h.edge = h.proxies.receive(cfg.Admission.admit(h.mux))
	return h, nil
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.edge.ServeHTTP(w, r) }

// now is the present moment. A request reads it once, so that all of it is decided at the same: the clock may be set meanwhile.
func (h *Handler) now() protocol.Time { return protocol.At(h.cfg.Now()) }

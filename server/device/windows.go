package device

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/csp"
	"rollcall/server/delivery"
)

// ProviderID is the name of the management account on Windows devices.
const ProviderID = "rollcall"

// Windows says how Windows devices are served.
type Windows struct {
	// PFN is the package family name under which devices open a channel to be woken through Windows' push service; empty: they poll
	// alone. ChannelHosts are the hosts whose channels are taken beside Microsoft's, as the push service's client has them.
	PFN          string
	ChannelHosts []string

	// Verify reads a token of Entra that a device enrols with: signature, issuer, audience, tenant and time are its to check, before it
	// believes a word of it (HST-043). Nil: such tokens are refused.
	Verify func(ctx context.Context, now protocol.Time, token string) (*EntraClaims, error)
	Terms  string // of use, plain text, which users of the directory accept before a device of theirs enrols; empty: none
}

// EntraClaims are what a verified token of Entra says.
type EntraClaims struct {
	UPN    string // empty: a token of the device itself
	Device string // its id in the directory
}

// accountSecret is the name under which the key of the accounts' passwords is kept.
const accountSecret = "windows accounts"

// mountWindows opens the paths of Windows devices.
func (h *Handler) mountWindows(ctx context.Context) (err error) {
	if h.cfg.Windows == nil {
		return nil
	}
	h.accounts, err = h.cfg.Server.Secret(ctx, h.now(), accountSecret, func() ([]byte, error) {
		key := make([]byte, 32)
		rand.Read(key) // never fails
		return key, nil
	})
	if err != nil {
		return err
	}
	h.trusts = csp.Trust(h.ca.Certificate().Raw)
	h.mux.HandleFunc(windows.DiscoveryPath, h.soap(false, h.discover))
	h.mux.HandleFunc(windows.PolicyPath, h.soap(true, h.policies))
	h.mux.HandleFunc(windows.EnrollmentPath, h.soap(true, h.token))
	h.mux.HandleFunc(signInPath, h.signIn)
	if h.cfg.Windows.Verify != nil {
		h.mux.HandleFunc("GET "+termsPath, h.terms)
		h.mux.HandleFunc("POST "+termsPath, h.terms)
	}
	h.mux.HandleFunc(windows.ManagementPath, h.windowsMessage)
	return nil
}

// An inquiry is one request of the enrolment phase.
type inquiry struct {
	*http.Request
	now      protocol.Time // when it was read
	envelope *windows.Envelope
	who      string // whom the journal names when it is refused; empty: nobody knows
}

// soap serves one path of the enrolment phase: a request is read whole, and its answer, a fault too, is written whole (WIN-002). With
// limited, a network has so many of them.
func (h *Handler) soap(limited bool, answer func(*inquiry) (*windows.Envelope, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == windows.DiscoveryPath { // the device looks whether anybody is there (WIN-001)
			writeWhole(w, http.StatusOK, windows.SOAPContentType, nil)
			return
		}
		in := &inquiry{Request: r}
		out, err := h.inquire(in, limited, answer)
		if err != nil {
			h.fault(w, in, err)
			return
		}
		h.relate(in, out)
		writeWhole(w, http.StatusOK, windows.SOAPContentType, windows.EncodeEnvelope(nil, out))
	}
}

func (h *Handler) inquire(in *inquiry, limited bool, answer func(*inquiry) (*windows.Envelope, error)) (*windows.Envelope, error) {
	if in.Method != http.MethodPost {
		return nil, errMethod
	}
	if limited {
		if no := h.tooMany(in.Request, ""); no != nil {
			return nil, no
		}
	}
	body, err := readWhole(nil, in.Request, maxInquiry)
	if err != nil {
		return nil, err
	}
	in.now = h.now()
	if in.envelope, err = windows.DecodeRequest(body); err != nil {
		return nil, err
	}
	if head := &in.envelope.Header; head.Action != actions[in.URL.Path].ask || head.MessageID == "" { // each request has both (windows.md section 1)
		return nil, fmt.Errorf("a request without MessageID, or of Action %.100q: %w", head.Action, protocol.ErrMalformed)
	}
	return answer(in)
}

// maxInquiry bounds a message of the enrolment phase: a request for a certificate with attestation is some KiB (HST-001).
const maxInquiry = 128 << 10

// relate ties an answer to its request (WIN-006).
func (h *Handler) relate(in *inquiry, out *windows.Envelope) {
	if in.envelope != nil {
		out.Header.RelatesTo = in.envelope.Header.MessageID
	}
	out.Header.ActivityID = uuid.NewString()
}

// A refusal of the enrolment phase in Windows' words.
type enrolFault struct {
	subcode windows.Subcode
	kind    windows.ErrorType // empty: the subcode says it all
	rule    protocol.Rule     // empty: none is broken
	err     error
}

func (e *enrolFault) Error() string { return e.err.Error() }
func (e *enrolFault) Unwrap() error { return e.err }

// fault answers a request of the enrolment phase with what went wrong (WIN-021). Which reasons are ours to know, only the log says.
func (h *Handler) fault(w http.ResponseWriter, in *inquiry, err error) {
	f := &windows.Fault{Subcode: windows.SubcodeEnrollmentServer, Reason: "something failed here; please try again"}
	fields := logrus.Fields{"path": in.URL.Path, "remote": in.RemoteAddr}
	level := logrus.WarnLevel
	known, ours := errors.AsType[*enrolFault](err)
	no, refused := errors.AsType[*protocol.Refusal](err)
	who, unknown := errors.AsType[*stranger](err)
	rule := protocol.Rule("")
	switch {
	case ours:
		f.Subcode, f.ErrorType, f.Reason, rule = known.subcode, known.kind, known.Error(), known.rule
	case refused && no.RetryAfter > 0:
		f.Subcode, f.ErrorType, f.Reason, rule = windows.SubcodeEnrollmentServer, windows.ErrorInMaintenance, no.Error(), no.Rule
		w.Header().Set("Retry-After", seconds(no.RetryAfter.Seconds()))
	case refused:
		f.Subcode, f.Reason, rule = windows.SubcodeAuthorization, no.Error(), no.Rule
	case unknown: // the identity of a renewal
		f.Subcode, f.ErrorType, f.Reason, rule = windows.SubcodeAuthentication, windows.ErrorNotEligibleToRenew, who.Error(), who.rule
	case errors.Is(err, errMethod):
		w.Header().Set("Allow", http.MethodPost)
		writeWhole(w, http.StatusMethodNotAllowed, "text/plain; charset=utf-8", []byte("wrong method\n"))
		return
	case errors.Is(err, errTooLarge):
		h.cfg.Log.WithError(err).WithFields(fields).WithField("rule", "HST-001").Warn("enrolment refused")
		writeWhole(w, http.StatusRequestEntityTooLarge, "text/plain; charset=utf-8", []byte("too large\n"))
		return
	case errors.Is(err, windows.ErrSignature):
		f.Subcode, f.Reason, rule = windows.SubcodeInvalidSecurity, "the signature of the request is refused", "HST-018"
	case errors.Is(err, protocol.ErrMalformed), errors.Is(err, errBody), errors.Is(err, errEncoding):
		f.Subcode, f.Reason, rule = windows.SubcodeMessageFormat, "the request is malformed", "HST-018"
	default:
		level = logrus.ErrorLevel
	}
	trace := uuid.NewString()
	if f.ErrorType != "" {
		f.Message, f.TraceID = f.Reason, trace
	}
	if rule != "" {
		fields["rule"] = rule
		h.turnAway(in.Context(), server.Turned{Who: in.who, Address: hostOf(in.Request), Certificate: true}, &protocol.Refusal{Rule: rule, Reason: err.Error()})
	}
	fields["trace"] = trace
	h.cfg.Log.WithError(err).WithFields(fields).Log(level, "enrolment refused")
	out := &windows.Envelope{Header: windows.Header{Action: actions[in.URL.Path].answer}, Body: f}
	h.relate(in, out)
	writeWhole(w, windows.FaultStatus, windows.SOAPContentType, windows.EncodeEnvelope(nil, out))
}

// actions are those of a request, and of the answer in whose place a fault may come.
var actions = map[string]struct{ ask, answer string }{
	windows.DiscoveryPath:  {windows.ActionDiscover, windows.ActionDiscoverResponse},
	windows.PolicyPath:     {windows.ActionGetPolicies, windows.ActionGetPoliciesResponse},
	windows.EnrollmentPath: {windows.ActionRST, windows.ActionRSTRC},
}

// readWhole appends the body of r, at most so many bytes of it.
func readWhole(body []byte, r *http.Request, most int64) ([]byte, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return body, errEncoding
	}
	if r.ContentLength > most {
		return body, errTooLarge
	}
	body = slices.Grow(body, int(max(r.ContentLength, 0))+1)
	for from := len(body); ; {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)-from) > most:
			return body, errTooLarge
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return body, fmt.Errorf("%w: %w", errBody, err)
		}
		body = slices.Grow(body, 1)
	}
}

// writeWhole answers in one piece, its length in front: Windows takes no chunks (WIN-002).
func writeWhole(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// account is a password or nonce of a device's management account: it follows from the enrolment, so that a repeated answer is the same.
func (h *Handler) account(enrolment, what string) []byte {
	mac := hmac.New(sha256.New, h.accounts)
	mac.Write([]byte(what + "\x00" + enrolment))
	return mac.Sum(nil)[:16]
}

// auth is one direction of the account; name is empty for the server's.
func (h *Handler) auth(enrolment, name, direction string) windows.Auth {
	return windows.Auth{
		Type: "DIGEST", Name: name, Secret: base64.RawURLEncoding.EncodeToString(h.account(enrolment, direction+" secret")),
		Nonce: h.account(enrolment, direction+" nonce"),
	}
}

// challenges holds a message's credential against the account, beside what TLS has said; nil: it proves the account.
func (h *Handler) challenges(p *peer, c *windows.Cred) *windows.Chal {
	name := ""
	if p.leaf != nil {
		name = p.leaf.Subject.CommonName
	}
	a := h.auth(name, name, "device")
	if c.Proves(a.Name, a.Secret, a.Nonce) {
		return nil
	}
	return &windows.Chal{Type: windows.AuthMD5, Format: windows.FormatB64, NextNonce: a.Nonce}
}

// windowsMetered tells the meter of one message and how it ended.
func (h *Handler) windowsMetered(t *turn, began time.Time, err error) {
	m := h.cfg.Meter
	if m == nil {
		return
	}
	rule, failed, _ := judged(err, "HST-002")
	message := ""
	switch {
	case err != nil:
	case t.starts:
		message = "SyncML start"
	default:
		message = "SyncML"
	}
	m.CheckIn(message, rule, failed, time.Since(began))
}

// merged is what is known of a device with what a session taught.
func merged(known delivery.Facts, learnt *delivery.Facts) delivery.Facts {
	for _, f := range []struct{ to, from *string }{
		{&known.Name, &learnt.Name},
		{&known.Model, &learnt.Model},
		{&known.Product, &learnt.Product},
		{&known.Serial, &learnt.Serial},
		{&known.OSVersion, &learnt.OSVersion},
		{&known.Build, &learnt.Build},
		{&known.IMEI, &learnt.IMEI},
		{&known.MEID, &learnt.MEID},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	return known
}

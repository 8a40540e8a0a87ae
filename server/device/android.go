package device

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/certs/est"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Android says how Android devices are served. It takes Enrolment.Seal, whose key signs orders, notices and policies.
type Android struct {
	Installer android.Installer // of the agent, for QR codes; zero: it is there already
	RSA       bool              // identities are RSA 2048 by SCEP, in place of P-256 by EST

	Attestation *Attestation // nil: what a device's key store says is not looked at
}

// An androidState is what a handler needs for Android devices beside its Config.
type androidState struct {
	discovery []byte
	parts     sync.Map  // of *android.Part, by protocol.Profile: what a document says
	spare     sync.Pool // of *androidRound

	mu      sync.Mutex
	notices map[protocol.Notice]string // signed, of the newest epoch
}

var errNoSeal = errors.New("device: Config.Android takes Config.Enrolment.Seal")

// mountAndroid opens the paths of Android devices.
func (h *Handler) mountAndroid() error {
	if h.cfg.Android == nil {
		return nil
	}
	seal := h.cfg.Enrolment.Seal
	if seal == nil {
		return errNoSeal
	}
	h.android.discovery = android.Append(nil, &android.Discovery{
		Protocol: android.Version, Enroll: android.EnrollPath, SCEP: scepPath, EST: android.ESTPath,
		PolicyKeys:   []android.PolicyKey{{KID: seal.KID(), SPKI: base64.StdEncoding.EncodeToString(seal.Key().SPKI())}},
		IdentityKeys: []string{base64.StdEncoding.EncodeToString(h.ca.Certificate().RawSubjectPublicKeyInfo)},
	})
	h.android.spare.New = func() any { return &androidRound{body: make([]byte, 0, 4<<10)} }
	h.mux.HandleFunc(android.DiscoveryPath, h.androidDiscovery)
	h.mux.HandleFunc(android.EnrollPath, h.androidEnroll)
	h.mux.HandleFunc(android.CheckInPath, h.androidCheckIn)
	h.mux.HandleFunc(android.UnenrollPath, h.androidUnenroll)
	h.mux.Handle(android.ESTPath+"/", h.certificates(&est.Server{CA: h.ca, Root: android.ESTPath, Now: h.cfg.Now, Issue: h.estIssue, Present: h.estPresent, Refused: h.noCertificate}))
	return nil
}

func (h *Handler) androidDiscovery(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet) // else it would be POST, as everywhere
		h.androidRefuse(w, r, nil, errMethod)
		return
	}
	writeWhole(w, http.StatusOK, android.ContentType, h.android.discovery)
}

// Provisioning returns what a QR code tells a device that is to enrol with a token of this mode.
func (h *Handler) Provisioning(token string, mode android.Mode) (*android.ProvisioningData, error) {
	if h.cfg.Android == nil {
		return nil, errors.New("Android devices are not served")
	}
	sum := sha256.Sum256(h.ca.Certificate().Raw)
	return android.NewProvisioning(h.cfg.Android.Installer, android.Bundle{
		ServerURL: h.cfg.Enrolment.URL + "/", Token: token, CASHA256: hex.EncodeToString(sum[:]), Mode: mode,
	})
}

// androidEnroll takes a device in, up to its certificate.
func (h *Handler) androidEnroll(w http.ResponseWriter, r *http.Request) {
	var m android.EnrollRequest
	turned := server.Turned{Address: hostOf(r)}
	answer, err := h.enroll(r, &m, &turned)
	if err != nil {
		h.androidRefuse(w, r, &turned, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store") // it holds a challenge
	writeWhole(w, http.StatusOK, android.ContentType, android.Append(nil, answer))
}

// A notHere is a refusal of the protocol's own: which mode is not served here, and the like.
type notHere struct {
	code           int
	reason, detail string
	rule           protocol.Rule // empty: none has a name
}

func (e *notHere) Error() string { return e.detail }

// enroll tells who asks as soon as the token is known: what a stranger says of itself names nobody (HST-045).
func (h *Handler) enroll(r *http.Request, m *android.EnrollRequest, who *server.Turned) (*android.EnrollAnswer, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case r.Method != http.MethodPost:
		return nil, errMethod
	case !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > 256: // schemes have no case (RFC 9110, section 11.1)
		return nil, server.ErrTokenUnknown
	}
	if no := h.tooMany(r, token); no != nil {
		return nil, no
	}
	body, err := readAndroid(nil, r, android.MaxMessage)
	if err != nil {
		return nil, err
	}
	if err := android.Decode(body, m); err != nil {
		return nil, err
	}
	if m.Role != android.DPC {
		return nil, &notHere{code: 403, reason: android.ModeNotAllowed, detail: "role " + string(m.Role) + " is not served"}
	}
	core, now, ctx := h.cfg.Server, h.now(), r.Context()
	device := core.AndroidDevice(m.Hardware.ID())
	t, err := core.AndroidToken(ctx, now, token, device)
	if err != nil {
		return nil, err
	}
	if who.Who = "an Android device without a user"; t.User != 0 {
		who.Who = "an Android device of " + h.nameOf(t.User)
	}
	if t.Mode != m.Mode {
		return nil, &notHere{code: 403, reason: android.ModeNotAllowed, detail: fmt.Sprintf("the token is for mode %s", t.Mode)}
	}
	if m.User != nil {
		if u, ok := core.UserByUPN(m.User.UPN); !ok || u.ID != t.User {
			return nil, &notHere{code: 403, reason: android.ModeNotAllowed, detail: "the token is for another user"}
		}
	}
	if err := core.AndroidConsent(t.Mode); err != nil {
		return nil, err
	}
	switch gate, no, err := core.Gate(ctx, now, t.User, &delivery.Message{Platform: protocol.Android}, device); {
	case err != nil:
		return nil, err
	case gate == authority.GateLicence || gate == authority.GateDeviceLicence:
		return nil, fmt.Errorf("%w: %w", errUnlicensed, no)
	case no != nil:
		return nil, no
	}
	key, err := h.attested(ctx, now, token, device, m, t.Used)
	if err != nil {
		return nil, err
	}
	if err := core.BindAndroidToken(ctx, now, token, device, key, t); err != nil {
		return nil, err
	}
	world := core.World()
	to := authority.Resolve(world.Tenant, userOf(world, t.User), authority.Device{Platform: protocol.Android})
	return &android.EnrollAnswer{
		Device: device, Enrollment: server.EnrollmentOf(token), Authority: to.Authority, Epoch: world.Tenant.Epoch,
		Certificate: h.offer(h.cfg.Android.RSA, device, token, t.Expires), CheckinBy: t.Expires,
	}, nil
}

var errUnlicensed = errors.New("unlicensed")

// offer says how a device gets its certificate. Without a challenge it is for a renewal.
func (h *Handler) offer(scep bool, device, challenge string, ends protocol.Time) android.Offer {
	o := android.Offer{Challenge: challenge, Subject: "CN=" + device, Expires: ends}
	if scep {
		o.Method, o.URL, o.KeyAlgorithm = android.SCEP, h.cfg.Enrolment.URL+scepPath, android.RSA2048
	} else {
		o.Method, o.URL, o.KeyAlgorithm = android.EST, h.cfg.Enrolment.URL+android.ESTPath, android.P256
	}
	return o
}

// readAndroid reads a body into the room of buffer, unpacked where it is gzip; the limit is on what comes out (HST-001, HST-012).
func readAndroid(buffer []byte, r *http.Request, most int64) ([]byte, error) {
	if r.ContentLength > most {
		return nil, errTooLarge
	}
	from := io.Reader(r.Body)
	var packed *bufio.Reader
	if e := r.Header["Content-Encoding"]; len(e) > 0 && e[0] != "" && !strings.EqualFold(e[0], "identity") {
		if !strings.EqualFold(e[0], "gzip") { // codings have no case (RFC 9110, section 8.4.1)
			return nil, errEncoding
		}
		packed = bufio.NewReader(io.LimitReader(from, most))
		unpacked, err := gzip.NewReader(packed)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w: %w", protocol.ErrMalformed, err)
		}
		unpacked.Multistream(false) // what follows would be a second message, which is refused below
		from = unpacked
	}
	body := buffer[:0]
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > most:
			return body, errTooLarge
		case err == io.EOF && packed != nil:
			if _, err := packed.Peek(1); err != io.EOF {
				return body, fmt.Errorf("gzip: %w: bytes behind it", protocol.ErrMalformed)
			}
			return body, nil
		case err == io.EOF:
			return body, nil
		case err != nil:
			return body, fmt.Errorf("%w: %w", errBody, err)
		}
	}
}

// androidUnenroll takes a device's good-bye; its certificate is revoked with the answer.
func (h *Handler) androidUnenroll(w http.ResponseWriter, r *http.Request) {
	var m android.UnenrollRequest
	p, err := h.farewell(r, &m)
	if err != nil {
		h.androidRefuse(w, r, nil, err)
		return
	}
	writeWhole(w, http.StatusOK, android.ContentType, android.Append(nil, &android.UnenrollAnswer{Device: p.id}))
}

func (h *Handler) farewell(r *http.Request, m *android.UnenrollRequest) (*peer, error) {
	switch {
	case r.Method != http.MethodPost:
		return nil, errMethod
	case !h.presents(r):
		return nil, errNoIdentity
	}
	body, err := readAndroid(nil, r, android.MaxMessage)
	if err != nil {
		return nil, err
	}
	now := h.now()
	p, err := h.identify(r, body, now)
	if err == nil {
		err = android.Decode(body, m)
	}
	if err != nil {
		return nil, err
	}
	ev := delivery.Event{Kind: delivery.CheckInRound, Device: p.cred.Device, ID: p.id}
	ev.Verb, ev.Credential, ev.Batch = protocol.Leave, p.cred, &delivery.Batch{}
	if p.cred.Device == 0 {
		return nil, errUnbound
	}
	if m.Device != p.id {
		ev.Device, ev.ID = 0, m.Device // the core says no, and the journal why (HST-033)
	} else if record, err := h.cfg.Server.Store().Record(r.Context(), p.cred.Device); err != nil {
		return nil, err
	} else if enrollment, _, _ := server.AndroidEnrolment(&record.Facts); enrollment != m.Enrollment {
		return nil, errOther
	}
	var out delivery.Outcome
	if err = h.cfg.Handle(r.Context(), now, &ev, &out); errors.Is(err, store.ErrNotFound) {
		err = errOther
	}
	return p, err
}

// retryAuthority is when a device is asked to come again that waits for a change of authority (android.md, section 8).
const retryAuthority = 900 * time.Second

// androidRefuse logs err and answers it in the protocol's way. No device takes any of these answers for its removal (HST-027): that is an
// order, which only androidGone gives.
//
// The journal hears of whoever is turned away; nil: nobody is.
func (h *Handler) androidRefuse(w http.ResponseWriter, r *http.Request, turned *server.Turned, err error) {
	code, reason, text := 503, android.TryLater, "something failed here; try again"
	metadata := map[string]string{}
	retry := 60 * time.Second
	rule := protocol.Rule("")
	no, refused := errors.AsType[*protocol.Refusal](err)
	who, unknown := errors.AsType[*stranger](err)
	here, own := errors.AsType[*notHere](err)
	switch {
	case refused:
		rule, text, retry = no.Rule, no.Error(), no.RetryAfter
		code, reason = 403, reasonOf(no.Rule)
		if errors.Is(err, errUnlicensed) {
			reason = android.Unlicensed
		}
		if no.RetryAfter > 0 {
			code, reason = 503, android.TryLater
		}
		if n := no.Notice; n != (protocol.Notice{}) {
			metadata["epoch"], metadata["changedAt"] = strconv.FormatUint(uint64(n.Epoch), 10), n.ChangedAt.String()
			metadata["notice"] = h.androidNotice(n)
			if code == 503 {
				reason, retry = android.AuthorityChanged, retryAuthority
			}
		}
	case own:
		code, reason, text, retry, rule = here.code, here.reason, here.detail, 0, here.rule
	case errors.Is(err, server.ErrTokenUnknown), errors.Is(err, server.ErrTokenExpired), errors.Is(err, server.ErrTokenUsed):
		code, reason, text, retry, rule = 401, android.TokenInvalid, err.Error(), 0, "HST-037"
		if errors.Is(err, server.ErrTokenExpired) {
			reason = android.TokenExpired
		} else if errors.Is(err, server.ErrTokenUsed) {
			reason = android.TokenUsed
		}
	case errors.Is(err, errOther):
		code, reason, text, retry, rule = 403, android.DeviceMismatch, errOther.reason, 0, errOther.rule
	case unknown:
		code, reason, text, retry, rule = 401, android.NotRecognised, who.reason, 0, who.rule
	case errors.Is(err, errMethod):
		code, reason, text, retry = 405, android.Malformed, "wrong method", 0
		if w.Header().Get("Allow") == "" {
			w.Header().Set("Allow", http.MethodPost)
		}
	case errors.Is(err, errEncoding):
		code, reason, text, retry, rule = 415, android.Malformed, err.Error(), 0, "HST-012"
	case errors.Is(err, errTooLarge), errors.Is(err, android.ErrTooLarge):
		code, reason, text, retry, rule = 413, android.TooLarge, "the message is too large", 0, "HST-001"
	case errors.Is(err, android.ErrVersion):
		code, reason, text, retry = 400, android.ProtocolUnsupported, err.Error(), 0
	case errors.Is(err, protocol.ErrMalformed), errors.Is(err, errBody):
		code, reason, text, retry, rule = 400, android.Malformed, err.Error(), 0, broken(err, "HST-014")
	}
	if rule != "" {
		metadata["rule"] = string(rule)
	}
	fields := logrus.Fields{"path": r.URL.Path, "remote": r.RemoteAddr, "status": code, "rule": rule}
	h.cfg.Log.WithError(err).WithFields(fields).Warn("Android device refused")
	if turned != nil && (refused || own || code == 401) {
		h.turnAway(r.Context(), *turned, &protocol.Refusal{Rule: rule, Reason: text})
	}
	if retry > 0 {
		w.Header().Set("Retry-After", seconds(retry.Seconds()))
	}
	writeWhole(w, code, android.ContentType, android.Append(nil, android.NewError(code, reason, text, metadata)))
}

// reasonOf says a rule in the protocol's words.
func reasonOf(r protocol.Rule) string {
	switch r {
	case protocol.RuleUnset:
		return android.AuthorityUnknown
	case protocol.RuleConsent:
		return android.ConsentMissing
	case protocol.RuleUnsupportedBMS, protocol.RuleUserlessEnrol:
		return android.ModeNotAllowed
	case protocol.RuleGates:
		return android.DeviceLimit
	case "HST-033":
		return android.DeviceMismatch
	}
	return android.Refused
}

// androidNotice signs a notice of a change of authority, once for all devices; empty: it cannot be signed, which the log says.
func (h *Handler) androidNotice(n protocol.Notice) string {
	a := &h.android
	a.mu.Lock()
	defer a.mu.Unlock()
	if text, ok := a.notices[n]; ok {
		return text
	}
	text, err := h.cfg.Enrolment.Seal.JWS(android.NoticeType, android.Append(nil, android.NoticeOf(n)))
	if err != nil {
		h.cfg.Log.WithError(err).WithField("epoch", n.Epoch).Error("a notice of a change of authority cannot be signed")
		return ""
	}
	for old := range a.notices {
		if old.Epoch != n.Epoch {
			delete(a.notices, old)
		}
	}
	if a.notices == nil {
		a.notices = map[protocol.Notice]string{}
	}
	a.notices[n] = text
	return text
}

// androidOrder signs an order to leave.
func (h *Handler) androidOrder(now protocol.Time, device, enrollment string, mode android.Removal) string {
	o := android.Order{Device: device, Enrollment: enrollment, IssuedAt: int64(now / 1e6), Mode: mode}
	text, err := h.cfg.Enrolment.Seal.JWS(android.OrderType, android.Append(nil, &o))
	if err != nil {
		h.cfg.Log.WithError(err).WithField("device", device).Error("an order cannot be signed")
	}
	return text
}

// androidGone tells a device to leave, as an administrator ordered: the one answer by which it does.
func (h *Handler) androidGone(w http.ResponseWriter, now protocol.Time, device, enrollment string, mode android.Mode) {
	how := mode.Removal()
	switch {
	case mode == "": // nobody knows what else would go
		how = android.RemoveProfile
	case how == "":
		how = android.Reset
	}
	e := android.NewError(410, android.Unenrolled, "management of this device has ended, by an administrator's order", nil)
	e.Error.Details = append(e.Error.Details, android.ErrorDetail{Type: android.UnenrollOrder, JWS: h.androidOrder(now, device, enrollment, how)})
	h.cfg.Log.WithField("device", device).Info("told to give up its management, by an administrator's order")
	writeWhole(w, 410, android.ContentType, android.Append(nil, e))
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	"rollcall/server/issuer"
	"rollcall/server/store"
)

// A Clock is the time that the server lives by.
type Clock interface {
	Now() time.Time
	Driven() bool // it stands still until Step
	// Step sets a driven clock to to, which is not before Now.
	Step(to time.Time)
}

// A Config says what the API administers.
type Config struct {
	Server *server.Server
	Clock  Clock
	URL    string // https://host[:port] that devices reach the server at; all links come from it (HST-024)
	Log    *logrus.Logger
	CA     string // sha256: and the hash of the CA certificate that the server shows; empty: not told to who invites

	// Provisioning returns what to tell a device that is to enrol with this token, in this mode. Nil: Android devices are not
	// served.
	Provisioning func(token string, mode android.Mode) (*android.ProvisioningData, error)

	// TestPush makes a push certificate for a simulated push service, PEM with its key. Nil: the clouds are real.
	TestPush func(topic string, notBefore, notAfter time.Time) ([]byte, error)
}

// A Handler serves the API.
type Handler struct {
	cfg Config
	mux *http.ServeMux

	stepping sync.Mutex // of whoever sets a driven clock

	ending chan struct{} // closed by End
	end    sync.Once
}

// A call is one request of an administrator.
type call struct {
	*http.Request
	now   protocol.Time
	who   server.Actor
	query map[string]string
	body  any // what route.in made, decoded
}

var (
	errToken    = errors.New("a bearer token of this server is needed")
	errTooLarge = errors.New("the body is over its cap")
	errType     = errors.New("the body must be application/json")
	errNotFound = errors.New("there is no such thing here")
)

// What a request is refused by that nothing can be made of.
const (
	ruleRequest  protocol.Rule = "HST-014"
	ruleTooLarge protocol.Rule = "HST-001"
)

// A conflict is a request that does not fit the state of things.
type conflict struct{ message string }

func (e *conflict) Error() string { return e.message }

// New makes a handler. The error says which field of cfg is missing.
func New(cfg Config) (*Handler, error) {
	switch {
	case cfg.Server == nil:
		return nil, errors.New("api: Config.Server is missing")
	case cfg.Clock == nil:
		return nil, errors.New("api: Config.Clock is missing")
	case cfg.URL == "":
		return nil, errors.New("api: Config.URL is missing")
	case cfg.Log == nil:
		return nil, errors.New("api: Config.Log is missing")
	}
	h := &Handler{cfg: cfg, mux: http.NewServeMux(), ending: make(chan struct{})}
	byPath := map[string][]*route{}
	for _, r := range routes() {
		byPath[r.path] = append(byPath[r.path], &r)
	}
	for path, rs := range byPath {
		h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, rs) })
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, nil) })
	return h, nil
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// serve answers a request for a path that has these routes. Who asks is settled before what is asked, in this one
// place: a stranger cannot tell a path that exists from one that does not (HST-060).
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, rs []*route) {
	now := protocol.At(h.cfg.Clock.Now())
	i := slices.IndexFunc(rs, func(rt *route) bool { return rt.method == r.Method })
	c := &call{Request: r, now: now}
	if i < 0 || !rs[i].open {
		var err error
		if c.who, err = h.authenticate(r, now); err != nil {
			h.fail(w, r, err)
			return
		}
	}
	if i < 0 && len(rs) > 0 {
		for _, rt := range rs {
			w.Header().Add("Allow", rt.method)
		}
		writeJSON(w, http.StatusMethodNotAllowed, failure{failureBody{Message: "no such method here"}})
		return
	}
	if i < 0 {
		h.fail(w, r, errNotFound)
		return
	}
	rt := rs[i]
	if !rt.open {
		c.Request = r.WithContext(server.As(r.Context(), c.who.Name))
	}
	answer, err := h.authorised(rt, c)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, rt.success(), answer)
}

// authorised answers a call whose role reaches as far as its route. Whatever a change is refused for stands in the journal
// with who asked for it: a role, a rule, or a request that nothing can be made of (AUTH-08, HST-014).
func (h *Handler) authorised(rt *route, c *call) (answer any, err error) {
	if rt.open || rt.admits(c.who.Role) {
		answer, err = h.answer(rt, c)
	} else if err = errNotFound; rt.changes() {
		err = &roleRefusal{protocol.Refusal{Rule: protocol.RuleRoles, Reason: fmt.Sprintf("this needs the role %s; %s has %s", rt.needs, c.who.Name, c.who.Role)}}
	}
	no, refused := errors.AsType[*protocol.Refusal](err)
	_, role := errors.AsType[*roleRefusal](err)
	_, told := errors.AsType[*server.Denied](err)
	deny := refused && !told && (role || !rt.journals)
	if unfit := unfitting(err); !refused && unfit != nil && rt.changes() && !rt.open && c.Context().Err() == nil {
		no, deny, err = unfit, true, &turnedDown{err}
	}
	if deny && rt.changes() {
		what := c.Method + " " + clip(c.URL.Path)
		if role {
			what += wantedBy(rt, c)
		}
		if kept := h.cfg.Server.Deny(c.Context(), c.now, c.who, what, no); kept != nil {
			return nil, kept
		}
	}
	return answer, err
}

// A turnedDown is a request for a change that nothing can be made of. It stands in the journal.
type turnedDown struct{ error }

func (d *turnedDown) Unwrap() error { return d.error }

// unfitting is the refusal of a request that nothing can be made of, or whose thing there is not; nil: err is none.
func unfitting(err error) *protocol.Refusal {
	no := &protocol.Refusal{Rule: ruleRequest}
	_, bad := errors.AsType[*invalid](err)
	_, clash := errors.AsType[*conflict](err)
	switch {
	case errors.Is(err, errTooLarge):
		no.Rule = ruleTooLarge
	case !bad && !clash && !errors.Is(err, errNotFound) && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, errType):
		return nil
	}
	no.Reason = clip(err.Error())
	return no
}

// clip cuts what a request says to what a line of the journal has room for.
func clip(s string) string {
	const room = 300
	if len(s) <= room {
		return s
	}
	return strings.ToValidUTF8(s[:room], "") + "..."
}

// A roleRefusal is a no to an administrator whose role does not reach that far.
type roleRefusal struct{ no protocol.Refusal }

func (r *roleRefusal) Error() string { return r.no.Error() }
func (r *roleRefusal) Unwrap() error { return &r.no }

func (h *Handler) answer(rt *route, c *call) (_ any, err error) {
	if c.query, err = queryOf(c.Request, rt.query); err != nil {
		return nil, err
	}
	if rt.in != nil {
		if kind, _, _ := strings.Cut(c.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" || c.Header.Get("Content-Encoding") != "" {
			return nil, errType
		}
		c.body = rt.in()
		if err := decode(c.Request, c.body); err != nil {
			return nil, err
		}
	}
	return rt.serve(h, c)
}

// authenticate looks at the bearer token and nothing else: a device's certificate opens nothing here.
func (h *Handler) authenticate(r *http.Request, now protocol.Time) (server.Actor, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return server.Actor{}, errToken
	}
	token, err := issuer.Verify(text, h.cfg.Server.Content().Tokens, now)
	if err != nil {
		return server.Actor{}, errToken
	}
	return server.Actor{Name: server.TokenOf + token.Name, Role: token.Role}, nil
}

type failure struct {
	Error failureBody `json:"error"`
}

type failureBody struct {
	Rule    protocol.Rule `json:"rule,omitempty"`
	Message string        `json:"message"`
	Field   string        `json:"field,omitempty"`
	Preview *preview      `json:"preview,omitempty"` // with AUTH-35 and HST-070: what would happen now
}

// fail logs err and answers it.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, body := http.StatusServiceUnavailable, failureBody{Message: "the server could not do it; its log says why"}
	level := logrus.ErrorLevel
	no, refused := errors.AsType[*protocol.Refusal](err)
	bad, isBad := errors.AsType[*invalid](err)
	_, isRole := errors.AsType[*roleRefusal](err)
	full, isFull := errors.AsType[*store.Full](err)
	clash, isClash := errors.AsType[*conflict](err)
	switch {
	case errors.Is(err, errToken):
		status, body = http.StatusUnauthorized, failureBody{Rule: "HST-060", Message: err.Error()}
		w.Header().Set("WWW-Authenticate", "Bearer")
		level = logrus.WarnLevel
	case isRole:
		status, body = http.StatusForbidden, failureBody{Rule: no.Rule, Message: no.Reason}
		level = logrus.WarnLevel
	case refused:
		status, body = http.StatusConflict, failureBody{Rule: no.Rule, Message: no.Reason}
		if no.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(no.RetryAfter.Seconds()))))
		}
		level = logrus.InfoLevel
	case isBad:
		status, body = http.StatusBadRequest, failureBody{Rule: ruleRequest, Message: bad.message, Field: bad.field}
		level = logrus.InfoLevel
	case isClash:
		status, body = http.StatusConflict, failureBody{Message: clash.message}
		level = logrus.InfoLevel
	case errors.Is(err, errNotFound), errors.Is(err, store.ErrNotFound):
		status, body = http.StatusNotFound, failureBody{Message: errNotFound.Error()}
		level = logrus.InfoLevel
	case errors.Is(err, errTooLarge):
		status, body = http.StatusRequestEntityTooLarge, failureBody{Rule: ruleTooLarge, Message: err.Error()}
		level = logrus.WarnLevel
	case errors.Is(err, errType):
		status, body = http.StatusUnsupportedMediaType, failureBody{Rule: ruleRequest, Message: err.Error()}
		level = logrus.InfoLevel
	case errors.Is(err, context.Canceled):
		level = logrus.InfoLevel
	case isFull:
		body = failureBody{Rule: "HST-092", Message: full.Error()}
		w.Header().Set("Retry-After", "60")
	default:
		w.Header().Set("Retry-After", "60")
	}
	if _, ok := errors.AsType[*turnedDown](err); ok && body.Rule == "" {
		body.Rule = ruleRequest
	}
	if u, ok := errors.AsType[*unconfirmed](err); ok {
		body.Preview = u.preview
	}
	h.cfg.Log.WithError(err).WithFields(logrus.Fields{
		"method": r.Method, "path": r.URL.Path, "status": status, "rule": body.Rule, "remote": r.RemoteAddr,
	}).Log(level, "administration refused")
	writeJSON(w, status, failure{body})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // an answer is made of plain structs
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

// pushRefusals are the reasons of certs for which an upload is refused by AUTH-34.
var pushRefusals = []error{
	certs.ErrMalformed, certs.ErrPEM, certs.ErrKeyMismatch, certs.ErrKey, certs.ErrAlgorithm, certs.ErrDecrypt, certs.ErrExpired, certs.ErrNotYetValid,
	certs.ErrPushTopic,
}

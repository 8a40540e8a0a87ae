package device

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A kindError is that an enrolment link is for another kind of device.
type kindError struct{ want protocol.Platform }

func (e *kindError) Error() string {
	return "this enrolment link is for another kind of device, " + e.want.String() + ": enrol as one, or ask for a link for this kind"
}

// maxMachineInfo bounds a MachineInfo with its signature and certificates.
const maxMachineInfo = 128 << 10

var (
	errNoAndroid = errors.New("this enrolment link is not for Android devices: ask for one that is")

	errTicket   = errors.New("this enrolment link is unknown, used or too old")
	errFactory  = errors.New("MachineInfo is not signed by a known factory")
	errSerial   = errors.New("this serial number is not assigned to the tenant")
	errOutdated = errors.New("the device must be updated first")
)

// enrol hands out the enrolment profile for a single-use link. Opening it does not use it up: mail scanners, previews and browsers
// open links before anybody enrols. It ends when a device has got its certificate with the challenge inside, which is
// the same each time (HST-037); nor is a link used up whose user may not enrol now (HST-044). How many devices the user has is
// looked at when the device says which one it is (AUTH-47): it may be one of them.
func (h *Handler) enrol(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		h.enrolRefuse(w, r, "", errMethod)
		return
	}
	token := r.PathValue("ticket")
	if token == "" {
		token = r.URL.Query().Get("ticket")
	}
	if no := h.tooMany(r, token); no != nil {
		h.enrolRefuse(w, r, "", no)
		return
	}
	platform, sure := platformOfBrowser(r)
	if h.cfg.Windows != nil && strings.Contains(r.UserAgent(), "Windows NT") {
		platform, sure = protocol.Windows, true
	}
	now := h.now()
	ticket, err := h.cfg.Server.Ticket(r.Context(), now, token)
	switch droid := strings.Contains(r.UserAgent(), "Android") || sure && platform == protocol.Android; {
	case err != nil || h.cfg.Android == nil:
	case ticket.Platform == protocol.Android && r.URL.Query().Has("platform") && !droid:
		h.enrolRefuse(w, r, "", &kindError{ticket.Platform})
		return
	case ticket.Platform == protocol.Android:
		if no := gate(h.cfg.Server.World(), ticket.User, protocol.Android, true, now); no != nil {
			h.enrolRefuse(w, r, "a device of "+h.nameOf(ticket.User), no)
		} else if err := h.enrolAndroid(w, r, now, token, ticket.User); err != nil {
			h.enrolRefuse(w, r, "", err)
		}
		return
	case droid:
		h.enrolRefuse(w, r, "", errNoAndroid)
		return
	}
	if err == nil && ticket.Platform != protocol.NoPlatform {
		if sure && platform != ticket.Platform {
			h.enrolRefuse(w, r, "", &kindError{ticket.Platform})
			return
		}
		platform, sure = ticket.Platform, true
	}
	if err == nil {
		if no := gate(h.cfg.Server.World(), ticket.User, platform, sure, now); no != nil {
			h.enrolRefuse(w, r, "a device of "+h.nameOf(ticket.User), no)
			return
		}
		if platform == protocol.Windows && h.cfg.Windows != nil {
			h.enrolPC(w, r, token, ticket.User)
			return
		}
		err = h.cfg.Server.OpenTicket(r.Context(), now, token)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = errTicket
	}
	var body []byte
	if err == nil {
		body, err = h.profile(now, platform, token)
	}
	if err != nil {
		h.enrolRefuse(w, r, "", err)
		return
	}
	writeProfile(w, body)
}

// nameOf is a user's UPN, for people.
func (h *Handler) nameOf(id delivery.UserID) string {
	users := h.cfg.Server.Content().Users
	i, ok := slices.BinarySearchFunc(users, id, func(u store.User, id delivery.UserID) int { return cmp.Compare(u.ID, id) })
	if !ok {
		return "nobody"
	}
	return users[i].UPN
}

// automated hands out the enrolment profile for a device in Setup Assistant, which shows who it is by its factory
// identity (ADE). Serial numbers can be guessed: only the signature makes one count, and only one that is
// assigned to the tenant gets a profile, bound to it (APL-084, HST-042).
func (h *Handler) automated(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.enrolRefuse(w, r, "", errMethod)
		return
	}
	if no := h.tooMany(r, ""); no != nil {
		h.enrolRefuse(w, r, "", no)
		return
	}
	body, serial, err := h.automatedProfile(r)
	if err != nil {
		h.enrolRefuse(w, r, serial, err)
		return
	}
	writeProfile(w, body)
}

// automatedProfile returns the profile, and which device wants it where its factory says so.
func (h *Handler) automatedProfile(r *http.Request) (profile []byte, device string, err error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, "", errEncoding
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMachineInfo+1))
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("%w: %w", errBody, err)
	case len(body) > maxMachineInfo:
		return nil, "", errTooLarge
	}
	signed, err := certs.VerifyMachineInfo(body, h.cfg.Factory)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errFactory, err)
	}
	info, err := apple.DecodeMachineInfo(signed.Content)
	if err != nil {
		return nil, "", err
	}
	if !validID(info.UDID) {
		return nil, "", fmt.Errorf("UDID: %w", protocol.ErrMalformed)
	}
	device = "the device with serial number " + info.Serial
	serial, assigned := h.cfg.Server.Serial(info.Serial)
	if !assigned {
		return nil, device, errSerial
	}
	if wait := h.rates.token(info.Serial); wait > 0 {
		return nil, device, refusalOf("device", wait)
	}
	if h.cfg.MinimumOS != "" && info.CanRequestSoftwareUpdate && olderOS(info.OSVersion, h.cfg.MinimumOS) {
		return nil, device, errOutdated
	}
	platform := platformOf(&apple.Message{ProductName: info.Product})
	world, now := h.cfg.Server.World(), h.now()
	if _, no := authority.Admit(world.Tenant, userOf(world, serial.User), world.Enrolment(now, authority.Device{Platform: platform}, true)); no != nil {
		return nil, device, no
	}
	challenge, err := h.cfg.Server.Grant(r.Context(), now, store.Grant{
		Purpose: delivery.ForEnrolment, User: serial.User, Serial: info.Serial, ID: info.UDID, Automated: true,
	})
	if err != nil {
		return nil, device, err
	}
	profile, err = h.profile(now, platform, challenge)
	return profile, device, err
}

// profile returns the enrolment profile with this challenge.
func (h *Handler) profile(now protocol.Time, p protocol.Platform, challenge string) ([]byte, error) {
	return h.cfg.Enrolment.Profile(p, h.cfg.Server.World().Push.Topic, challenge, now.Time())
}

// gate is what can be said before the device says who it is. Where the platform is a guess, it is no objection.
func gate(w *delivery.World, user delivery.UserID, p protocol.Platform, sure bool, now protocol.Time) *protocol.Refusal {
	_, no := authority.Admit(w.Tenant, userOf(w, user), w.Enrolment(now, authority.Device{Platform: p}, false))
	if no != nil && no.Rule == protocol.RuleUnsupportedBMS && !sure {
		return nil
	}
	return no
}

func userOf(w *delivery.World, id delivery.UserID) *authority.User {
	if id == 0 || int(id) >= len(w.Users) {
		return nil
	}
	return &w.Users[id].User
}

// asksForJSON tells whether rollcall's own agent asks, and not a browser for a person.
func asksForJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), windows.InvitationType)
}

// platformOfBrowser tells a Mac from other Apple devices by the link or by what its browser says. It chooses what the
// profile offers; what enrols, Authenticate says. An iPad's browser may call itself a Mac's: that is not sure.
func platformOfBrowser(r *http.Request) (p protocol.Platform, sure bool) {
	if p.UnmarshalText([]byte(r.URL.Query().Get("platform"))) == nil && (p.Apple() || asksForJSON(r)) {
		return p, true
	}
	agent := r.UserAgent()
	switch {
	case strings.Contains(agent, "iPad"):
		return protocol.IPadOS, true
	case strings.Contains(agent, "Macintosh"):
		return protocol.MacOS, false
	}
	return protocol.IOS, true
}

// olderOS compares dotted version numbers; what is no number counts as 0.
func olderOS(got, want string) bool {
	g, w := strings.Split(got, "."), strings.Split(want, ".")
	for i := range w {
		have := 0
		if i < len(g) {
			have, _ = strconv.Atoi(g[i])
		}
		if need, _ := strconv.Atoi(w[i]); have != need {
			return have < need
		}
	}
	return false
}

func writeProfile(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", apple.ProfileType)
	w.Header().Set("Content-Disposition", `attachment; filename="enrol.mobileconfig"`)
	w.Header().Set("Cache-Control", "no-store") // it holds a challenge
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// enrolRefuse logs err and answers it to a browser or to a Setup Assistant. A refusal by rule stands in the journal, with who
// was refused.
func (h *Handler) enrolRefuse(w http.ResponseWriter, r *http.Request, who string, err error) {
	status, text := http.StatusServiceUnavailable, "something failed here; please try again"
	fields := logrus.Fields{"remote": r.RemoteAddr}
	no, refused := errors.AsType[*protocol.Refusal](err)
	kind, otherKind := errors.AsType[*kindError](err)
	switch {
	case otherKind:
		status, text = http.StatusForbidden, kind.Error()
	case errors.Is(err, errNoAndroid):
		status, text = http.StatusForbidden, err.Error()
	case refused:
		fields["rule"] = no.Rule
		h.turnAway(r.Context(), server.Turned{Who: who, Address: hostOf(r)}, no)
		h.notify(w, &no.Notice)
		status, text = http.StatusForbidden, no.Error()
		if no.RetryAfter > 0 {
			status = http.StatusServiceUnavailable
			w.Header().Set("Retry-After", seconds(no.RetryAfter.Seconds()))
		}
	case errors.Is(err, errMethod):
		status, text = http.StatusMethodNotAllowed, "wrong method"
	case errors.Is(err, errTicket):
		fields["rule"] = "HST-037"
		h.turnAway(r.Context(), server.Turned{Who: who, Address: hostOf(r)}, &protocol.Refusal{Rule: "HST-037", Reason: err.Error()})
		status, text = http.StatusNotFound, err.Error()
	case errors.Is(err, errOutdated):
		h.cfg.Log.WithFields(fields).WithField("rule", "APL-085").Info("enrolment refused: outdated")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		w.Write((&apple.Forbidden{
			Code: apple.SoftwareUpdateRequired, Description: errOutdated.Error(), Details: &apple.ForbiddenDetails{OSVersion: h.cfg.MinimumOS},
		}).JSON())
		return
	case errors.Is(err, errFactory), errors.Is(err, errSerial):
		fields["rule"] = "HST-042"
		h.turnAway(r.Context(), server.Turned{Who: who, Address: hostOf(r)}, &protocol.Refusal{Rule: "HST-042", Reason: err.Error()})
		status, text = http.StatusForbidden, "this device is not known here" // which of the two is nobody's business
	case errors.Is(err, errEncoding):
		status, text = http.StatusUnsupportedMediaType, err.Error()
	case errors.Is(err, errTooLarge):
		status, text = http.StatusRequestEntityTooLarge, err.Error()
	case errors.Is(err, protocol.ErrMalformed), errors.Is(err, errBody):
		status, text = http.StatusBadRequest, "malformed"
	default:
		w.Header().Set("Retry-After", retryUnknown)
	}
	h.cfg.Log.WithError(err).WithFields(fields).Warn("enrolment refused")
	http.Error(w, text, status)
}

// turnAway has the journal say who was refused.
func (h *Handler) turnAway(ctx context.Context, t server.Turned, no *protocol.Refusal) {
	if err := h.cfg.Server.TurnedAway(ctx, h.now(), t, no); err != nil {
		h.cfg.Log.WithError(err).Error("enrolment refused")
	}
}

// hostOf is the address that a request came from, without its port.
func hostOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func seconds(s float64) string { return strconv.Itoa(int(math.Ceil(s))) }

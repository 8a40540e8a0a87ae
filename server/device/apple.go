package device

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// retryUnknown is when a device is asked to come again after a failure of ours.
const retryUnknown = "60"

// keepBuffer is the largest buffer in bytes that is kept for the next request.
const keepBuffer = 64 << 10

// An exchange is what one request needs, used again for the next.
type exchange struct {
	now    protocol.Time // when the request was read
	ev     delivery.Event
	out    delivery.Outcome
	msg    apple.Message
	facts  delivery.Facts
	body   []byte
	answer []byte
}

const (
	commandPath = "/apple/mdm"
	checkInPath = "/apple/checkin"
	scepPath    = "/scep"
)

var answerType = []string{apple.AnswerType}

// profileMissing is MDMErrorDomain's code for the removal of a profile that is not installed.
const profileMissing = 12075

// noCommand is an id that is never given out: it is no UUID of version 4.
var noCommand = protocol.CommandID{0: 0xff, 15: 0xff}

// appleMessage serves one message of an Apple device. Check-in and command messages may come to either URL; what
// they are, the message says (APL-030).
func (h *Handler) appleMessage(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	if r.Method != http.MethodPut {
		w.Header().Set("Allow", http.MethodPut)
		h.metered(nil, began, errMethod)
		h.appleRefuse(w, r, nil, errMethod)
		return
	}
	if !h.presents(r) {
		h.metered(nil, began, errNoIdentity)
		h.appleRefuse(w, r, nil, errNoIdentity) // nobody makes us hold a body (HST-001)
		return
	}
	x := h.spare.Get().(*exchange)
	defer h.release(x)
	err := x.read(r)
	x.now = h.now()
	var p *peer
	if err == nil {
		p, err = h.identify(r, x.body, x.now)
	}
	if err == nil || p != nil {
		// Who obeyed the order to leave says farewell with an identity that is revoked by then, and is answered (APL-036): the core
		// knows that it left, and refuses what anybody else says so.
		if wrong := apple.DecodeMessage(x.body, &x.msg); err == nil || wrong == nil && x.msg.MessageType == apple.CheckOut {
			err = wrong
		}
	}
	if err == nil {
		err = checkType(r.Header.Get("Content-Type"), &x.msg)
	}
	if err == nil {
		err = h.appleHandle(r, x, p)
	}
	h.metered(x, began, err)
	if errors.Is(err, errDropped) {
		h.drop(w, p, x.now)
		return
	}
	if err != nil {
		h.appleRefuse(w, r, x, err)
		return
	}
	h.notify(w, &x.out.Reply.Notice)
	h.told(w, r, p, &x.out.State)
	if k := x.out.Reply.Command.Kind; ends(k) {
		h.order(w, p, x.now)
	}
	if len(x.answer) > 0 {
		w.Header()["Content-Type"] = answerType
		w.Header().Set("Content-Length", strconv.Itoa(len(x.answer)))
		w.Write(x.answer)
	}
}

// checkType refuses a message of the command endpoint that calls itself a check-in: a front end that sorts by
// content type must not see another kind of message than this server. The reverse is allowed (apple.md section 5).
func checkType(contentType string, m *apple.Message) error {
	if m.MessageType == apple.NoMessageType && strings.HasPrefix(contentType, apple.CheckInType) {
		return fmt.Errorf("MessageType is missing: %w", protocol.ErrMalformed)
	}
	return nil
}

// appleHandle has the server decide and leaves the answer in x.
func (h *Handler) appleHandle(r *http.Request, x *exchange, p *peer) error {
	m := &x.msg
	x.answer, x.out.Reply = x.answer[:0], protocol.Reply{}
	if p.forgotten != nil {
		if err := h.recall(r.Context(), x.now, p, m.DeviceID()); err != nil {
			return err
		}
	}
	if err := x.appleEvent(p); err != nil {
		return err
	}
	if x.ev.Verb == protocol.Enrol && x.ev.Device != 0 && p.cred.Purpose == delivery.ForRenewal { // iOS tells no name with it, and nobody asks again
		record, err := h.cfg.Server.Store().Record(r.Context(), x.ev.Device)
		if err != nil {
			return err
		}
		x.facts = merged(record.Facts, &x.facts)
	}
	if x.ev.Verb == protocol.Report && x.ev.Device != 0 && bytes.Contains(x.body, []byte("<key>QueryResponses</key>")) {
		if err := h.reportedFacts(r.Context(), x); err != nil {
			return err
		}
	}
	if x.ev.Verb == protocol.Report && bytes.Contains(x.body, []byte("<key>ProfileList</key>")) {
		x.ev.Installed = managed(x.body)
	}
	err := h.cfg.Handle(r.Context(), x.now, &x.ev, &x.out)
	switch {
	case errors.Is(err, store.ErrNotFound) && p.cred.Revoked && x.ev.Device != 0:
		return nil // the farewell of one whose record went with it
	case errors.Is(err, store.ErrNotFound):
		return errOther // no device of ours has that name
	}
	if err != nil {
		return err
	}
	switch m.MessageType {
	case apple.UserAuthenticate:
		return errUser
	case apple.GetToken, apple.DeclarativeManagement:
		return errNotOffered
	}
	if x.out.Reply.Command.Kind == protocol.Retire {
		if x.out.Reply.Command.Text == delivery.AndDrop {
			return errDropped
		}
		x.out.Reply.Command.Text = server.EnrolmentIdentifier
	}
	x.answer = apple.EncodeReply(x.answer, &x.out.Reply)
	return nil
}

// appleEvent says x.msg in the words of delivery.
func (x *exchange) appleEvent(p *peer) error {
	m := &x.msg
	x.ev = delivery.Event{Kind: delivery.CheckInRound, Device: p.cred.Device, ID: p.id}
	ev := &x.ev
	m.CheckIn(&ev.CheckIn)
	if m.UserChannel() {
		ev.CheckIn = protocol.CheckIn{} // whose message it is, is held against the certificate; it changes nothing
	}
	ev.Credential = p.cred
	if id := m.DeviceID(); id != "" && id != p.id {
		if !validID(id) {
			return fmt.Errorf("UDID or EnrollmentID: %w", protocol.ErrMalformed)
		}
		// The core looks the device up that the message names, and refuses what does not belong to it (HST-033).
		ev.Device, ev.ID = 0, id
	}
	if p.cred.Device == 0 && ev.Verb != protocol.Enrol {
		return errUnbound
	}
	ev.Message.Device = ev.Device

	ev.Round = 1
	switch ev.Verb {
	case protocol.Enrol:
		x.facts = delivery.Facts{
			Name: m.DeviceName, Model: m.Model, Product: m.ProductName, Serial: m.SerialNumber, OSVersion: m.OSVersion,
			Build: m.BuildVersion, IMEI: m.IMEI, MEID: m.MEID,
		}
		ev.Facts = &x.facts
		ev.Platform = platformOf(m)
		ev.Topic = m.Topic
	case protocol.Ready:
		ev.Topic, ev.Magic, ev.Token, ev.Unlock = m.Topic, m.PushMagic, m.Token, m.UnlockToken
	case protocol.Leave:
		ev.Topic = m.Topic
	case protocol.PutEscrow:
		ev.Escrow = m.BootstrapToken
	case protocol.Ask:
		p.round = 1
	case protocol.Report:
		p.round++
		ev.Round = p.round
		if m.CommandUUID != "" && ev.Command == (protocol.CommandID{}) {
			ev.Command = noCommand // it says which, and it is none of ours; saying nothing would be another matter
		}
		ev.Result = x.body
		ev.Errors = errorChain(m.ErrorChain)
		ev.Missing = len(m.ErrorChain) > 0 && m.ErrorChain[0].Domain == "MDMErrorDomain" && m.ErrorChain[0].Code == profileMissing
	}
	return nil
}

// reportedFacts adds what a DeviceInformation brought back to what is known of the device. A report is never refused
// for it: the device would repeat it for ever.
func (h *Handler) reportedFacts(ctx context.Context, x *exchange) error {
	result, err := apple.DecodeResult(x.body)
	if err != nil || len(result.QueryResponses) == 0 {
		return nil
	}
	record, err := h.cfg.Server.Store().Record(ctx, x.ev.Device)
	if err != nil {
		return err
	}
	x.facts = record.Facts
	for name, to := range map[string]*string{
		"DeviceName": &x.facts.Name, "Model": &x.facts.Model, "ProductName": &x.facts.Product, "SerialNumber": &x.facts.Serial,
		"OSVersion": &x.facts.OSVersion, "BuildVersion": &x.facts.Build, "IMEI": &x.facts.IMEI, "MEID": &x.facts.MEID,
	} {
		if text, ok := result.QueryResponses[name].(string); ok && text != "" {
			*to = text
		}
	}
	x.ev.Facts = &x.facts
	return nil
}

// managed returns the identifiers of the managed profiles in the report of a ProfileList, but that of the enrolment.
func managed(report []byte) (identifiers []string) {
	result, err := apple.DecodeResult(report)
	if err != nil {
		return nil
	}
	for i := range result.ProfileList {
		if p := &result.ProfileList[i]; p.IsManaged && p.PayloadIdentifier != server.EnrolmentIdentifier {
			identifiers = append(identifiers, p.PayloadIdentifier)
		}
	}
	return identifiers
}

// validID tells whether id is a text that an enrolment can have (HST-050): a UDID is 40 hex digits, 8-16 hex
// digits or a UUID, an EnrollmentID some such text too.
func validID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && (c != '_' && c != '.' || i == 0) {
			return false
		}
	}
	return len(id) > 0 && len(id) <= 64
}

// platformOf tells the platform by what Authenticate says of the device.
func platformOf(m *apple.Message) protocol.Platform {
	for _, s := range []string{m.ProductName, m.Model, m.ModelName} {
		switch {
		case strings.HasPrefix(s, "iPhone"), strings.HasPrefix(s, "iPod"):
			return protocol.IOS
		case strings.HasPrefix(s, "iPad"):
			return protocol.IPadOS
		case strings.Contains(s, "Mac"):
			return protocol.MacOS
		}
	}
	return protocol.IOS
}

// errorChain says an ErrorChain on one line, top first.
func errorChain(chain []apple.ErrorItem) string {
	if len(chain) == 0 {
		return ""
	}
	var b strings.Builder
	for i, e := range chain {
		if i > 0 {
			b.WriteString("; ")
		}
		text := e.USEnglishDescription
		if text == "" {
			text = e.LocalizedDescription
		}
		fmt.Fprintf(&b, "%s %d: %s", e.Domain, e.Code, text)
	}
	return b.String()
}

// appleRefuse logs err and answers it in Apple's way: a status, since the MDM protocol has no body for it. Never
// 401, and never 410 on the device channel: a device takes those for its removal (apple.md section 12).
func (h *Handler) appleRefuse(w http.ResponseWriter, r *http.Request, x *exchange, err error) {
	status := http.StatusServiceUnavailable // ours to mend: the device comes again
	level := logrus.WarnLevel
	fields := logrus.Fields{"path": r.URL.Path, "remote": r.RemoteAddr}
	no, refused := errors.AsType[*protocol.Refusal](err)
	who, unknown := errors.AsType[*stranger](err)
	switch {
	case refused:
		fields["rule"] = no.Rule
		h.notify(w, &no.Notice)
		status = http.StatusForbidden
		if strings.HasPrefix(string(no.Rule), "HST-") { // an identity that is not this device's (apple.md section 4.3)
			status = http.StatusBadRequest
		}
		if no.RetryAfter > 0 {
			status = http.StatusServiceUnavailable
			w.Header().Set("Retry-After", seconds(no.RetryAfter.Seconds()))
		}
	case errors.Is(err, errMethod):
		status, level = http.StatusMethodNotAllowed, logrus.InfoLevel
	case errors.Is(err, errNotOffered):
		status, level = http.StatusNotFound, logrus.InfoLevel
	case errors.Is(err, errUser):
		status, level = http.StatusGone, logrus.InfoLevel // of this user at this login, not of the device (apple.md section 9.2)
	case errors.Is(err, errEncoding):
		status = http.StatusUnsupportedMediaType
		fields["rule"] = "HST-012"
	case errors.Is(err, errTooLarge), errors.Is(err, apple.ErrTooLarge):
		// A device repeats its report until it is taken: this one is stuck until somebody looks (apple.md section 14).
		status, level = http.StatusRequestEntityTooLarge, logrus.ErrorLevel
		fields["rule"] = "HST-001"
	case errors.Is(err, protocol.ErrMalformed), errors.Is(err, errBody):
		status = http.StatusBadRequest
		fields["raw"], fields["raw_bytes"], fields["raw_sha256"] = withoutSecrets(x.body), len(x.body), fmt.Sprintf("%x", sha256.Sum256(x.body))
	case unknown:
		status = http.StatusBadRequest
		fields["rule"] = who.rule
		if who == errExpired {
			w.Header().Set("Connection", "close") // the next handshake says it again
		}
	default:
		level = logrus.ErrorLevel
		w.Header().Set("Retry-After", retryUnknown)
	}
	if x != nil {
		fields["device"] = x.msg.DeviceID()
	}
	h.cfg.Log.WithError(err).WithFields(fields).Log(level, "refused")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if refused {
		fmt.Fprintln(w, no.Error())
	}
}

// harmless is all of a body that may stand in a log: elements of a property list, keys, and the words by which a message
// says what it is. A PushMagic, a token and a challenge may be in anything else, in comments too.
var harmless = regexp.MustCompile(`<key>(?:MessageType|Status)</key>\s*<string>[A-Za-z]{1,40}</string>|<key>[A-Za-z]{1,40}</key>|` +
	`</?(?:plist|dict|array|key|string|data|integer|real|date|true|false)(?: version="1\.0")?/?>`)

// withoutSecrets is the beginning of a body as it may stand in a log, whatever the body is.
func withoutSecrets(body []byte) string {
	body = body[:min(len(body), keepBuffer)]
	var b strings.Builder
	end := 0
	gap := func(upTo int) {
		if len(bytes.TrimSpace(body[end:upTo])) > 0 {
			b.WriteString("...")
		}
	}
	for _, at := range harmless.FindAllIndex(body, -1) {
		gap(at[0])
		b.Write(body[at[0]:at[1]])
		end = at[1]
	}
	gap(len(body))
	return b.String()
}

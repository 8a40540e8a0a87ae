package device

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server/csp"
	"rollcall/server/delivery"
	"rollcall/server/push"
	"rollcall/server/store"
)

// A turn is one message of a management session and its answer.
type turn struct {
	now   protocol.Time // when the message was read
	ev    delivery.Event
	out   delivery.Outcome
	msg   windows.Message
	batch delivery.Batch
	facts delivery.Facts
	talk  session
	body  []byte

	starts   bool                     // the message begins a session
	asks     bool                     // the answer has questions of the endpoint's own
	retells  bool                     // the device lacks the node for that: it is told with Add
	tells    bool                     // the answer tells of a change of authority
	composed bool                     // an answer was written, else the message is a repeat
	answered int                      // statuses in it
	settled  []delivery.CommandReport // commands that need no message
	left     []protocol.CommandID     // the others that were to be handed out
	given    []protocol.CommandID     // those that were handed out before, whether the device got them or not
	results  map[protocol.CommandID]*strings.Builder
	channel  *string // what the device says of its push channel; nil: nothing
	pushable string  // Push/Status, whether it can be woken; empty: it did not say
	answer   []byte
}

// windowsMessage serves one message of a management session: one request is one message of the device's, one answer the next of the
// server's (windows.md section 6). Which enrolment it is about, the certificate says (WIN-030).
func (h *Handler) windowsMessage(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	t := h.turns.Get().(*turn)
	defer h.put(t)
	p, err := h.windowsTurn(w, r, t)
	h.windowsMetered(t, began, err)
	if err != nil {
		h.windowsRefuse(w, r, t, p, err)
		return
	}
	if t.talk.Ends {
		h.order(w, p, t.now)
	}
	h.told(w, r, p, &t.out.State)
	writeWhole(w, http.StatusOK, windows.SyncMLContentType, t.answer)
}

// put keeps t for the next message, without what was large.
func (h *Handler) put(t *turn) {
	*t = turn{
		out: delivery.Outcome{Exchange: delivery.Exchange{Answer: t.out.Exchange.Answer}}, msg: windows.Message{Commands: t.msg.Commands}, body: t.body, answer: t.answer,
		given: t.given,
	}
	if cap(t.body) > keepBuffer {
		t.body, t.msg.Commands = nil, nil
	}
	if cap(t.answer) > keepBuffer || cap(t.out.Exchange.Answer) > keepBuffer {
		t.answer, t.out.Exchange.Answer = nil, nil
	}
	h.turns.Put(t)
}

// windowsTurn reads and decides one message.
func (h *Handler) windowsTurn(w http.ResponseWriter, r *http.Request, t *turn) (*peer, error) {
	switch kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); {
	case r.Method != http.MethodPost:
		return nil, errMethod
	case !h.presents(r):
		return nil, errNoIdentity // nobody makes us hold a body (HST-001)
	case !strings.EqualFold(strings.TrimSpace(kind), windows.SyncMLContentType):
		return nil, errMediaType
	}
	var err error
	if t.body, err = readWhole(t.body[:0], r, windows.MaxMessage); err != nil {
		return nil, err
	}
	t.now = h.now()
	p, err := h.identify(r, t.body, t.now)
	if err != nil && p == nil {
		return p, err
	}
	// Who obeyed the order to leave may say so once more, with an identity that is revoked by then (WIN-040); the core refuses it to others.
	if wrong := windows.DecodeMessage(t.body, &t.msg); err == nil || wrong == nil && t.leaves() {
		err = wrong
	}
	if err != nil {
		return p, err
	}
	if p.forgotten != nil {
		if err := h.recall(r.Context(), t.now, p, t.msg.Header.Source); err != nil {
			return p, err
		}
	}
	if p.cred.Device == 0 {
		return p, errUnbound
	}
	return p, h.converse(r.Context(), t, p)
}

// converse has the server decide what t.msg means and leaves the answer in t.
func (h *Handler) converse(ctx context.Context, t *turn, p *peer) error {
	head := &t.msg.Header
	switch {
	case !t.namesOnly(p.id):
		return h.impostor(ctx, t, p)
	case head.VerProto != "DM/1.2":
		return h.dismiss(t, windows.ProtocolNotSupported, nil)
	case head.VerDTD != "1.2":
		return h.dismiss(t, windows.DTDNotSupported, nil)
	case head.MsgID > mostMessages:
		h.cfg.Log.WithFields(logrus.Fields{"rule": "HST-056", "device": p.id, "message": head.MsgID}).Warn("refused: it goes on after the last message of its session")
		return h.dismiss(t, windows.ServiceUnavailable, nil)
	case head.Cred != nil:
		if chal := h.challenges(p, head.Cred); chal != nil {
			return h.dismiss(t, windows.InvalidCredentials, chal)
		}
	}
	t.starts = slices.ContainsFunc(t.msg.Commands, func(c windows.Command) bool {
		return c.Verb == windows.Alert && (c.Code == windows.ServerInitiated || c.Code == windows.ClientInitiated)
	})
	if t.starts {
		if err := h.windowsReady(ctx, t, p); err != nil {
			return err
		}
	}
	t.ev = delivery.Event{Kind: delivery.CheckInRound, Device: p.cred.Device, ID: p.id, Key: exchangeKey(p, head.SessionID, head.MsgID)}
	if !t.starts {
		t.ev.Prior = exchangeKey(p, head.SessionID, head.MsgID-1)
	}
	t.ev.Credential, t.ev.Platform, t.ev.Batch = p.cred, protocol.Windows, &t.batch
	t.ev.Message.Device, t.ev.Round = p.cred.Device, uint16(min(head.MsgID, 1<<16-1))
	t.ev.Prepare = func(prior []byte, s *delivery.State) { h.resume(t, prior, s) }
	t.ev.Encode = func(dst []byte, out *delivery.Outcome) []byte { return h.compose(dst, t, p, out) }
	for {
		t.settled, t.composed = t.settled[:0], false
		err := h.cfg.Handle(ctx, t.now, &t.ev, &t.out)
		if err != nil {
			return err
		}
		if !t.composed {
			t.answer = append(t.answer[:0], answerOf(t.out.Exchange.Answer)...)
			t.talk.load(t.out.Exchange.Answer) // what goes beside it is the same too
			return nil
		}
		if len(t.settled) == 0 {
			return h.reported(ctx, t, p)
		}
		// Some commands need no message at all: they are through, and the round goes on with what is left.
		t.ev.Verb, t.ev.Prepare, t.ev.Prior = protocol.Report, nil, delivery.Key{}
		t.batch.Reports = append(t.batch.Reports[:0], t.settled...)
		t.batch.Again = append(t.batch.Again[:0], t.left...)
		t.ev.Facts = nil
	}
}

// exchangeKey names a message of an enrolment. The identity stands for the enrolment: another one's messages are never this one's
// (WIN-034).
func exchangeKey(p *peer, sessionID string, msgID uint32) delivery.Key {
	var number [4]byte
	binary.BigEndian.PutUint32(number[:], msgID)
	sum := sha256.Sum256(append(append(append([]byte("syncml\x00"), p.cred.Fingerprint[:]...), number[:]...), sessionID...))
	return delivery.Key(sum[:16])
}

// windowsReady completes an enrolment with its first session.
func (h *Handler) windowsReady(ctx context.Context, t *turn, p *peer) error {
	record, err := h.cfg.Server.Store().Record(ctx, p.cred.Device)
	if errors.Is(err, store.ErrNotFound) {
		return errUnbound
	}
	if err != nil || record.State.Life != delivery.Enrolling {
		return err
	}
	ev := delivery.Event{Kind: delivery.CheckInRound, Device: p.cred.Device, ID: p.id}
	ev.Verb, ev.Credential, ev.Platform, ev.Batch = protocol.Ready, p.cred, protocol.Windows, &delivery.Batch{}
	ev.Message.Device = p.cred.Device
	if err := h.cfg.Handle(ctx, t.now, &ev, &t.out); err != nil {
		return err
	}
	if h.cfg.Meter != nil {
		h.cfg.Meter.Enrolled(protocol.Windows)
	}
	return nil
}

// namesOnly tells whether the message names no other device than id as its sender.
func (t *turn) namesOnly(id string) bool {
	if t.msg.Header.Source != id {
		return false
	}
	for i := range t.msg.Commands {
		if c := &t.msg.Commands[i]; c.Verb == windows.Replace {
			for k := range c.Items {
				if item := &c.Items[k]; item.Source == nodeDevID && strings.TrimSpace(item.Data) != id {
					return false
				}
			}
		}
	}
	return true
}

// nodeDevID is where a device says which one it is.
const nodeDevID = "./DevInfo/DevId"

// resume says the message in the words of delivery: prior is the record of the answer that it goes on from, s the device's state.
func (h *Handler) resume(t *turn, prior []byte, s *delivery.State) {
	t.talk, t.given = session{}, t.given[:0]
	if !t.starts {
		t.talk.load(prior)
		t.talk.Ends = false // that was of the answer before
	}
	for i := range s.Queue {
		if q := &s.Queue[i]; q.Offers > 0 {
			t.given = append(t.given, q.ID)
		}
	}
	ev, b := &t.ev, &t.batch
	*b = delivery.Batch{}
	ev.Verb = protocol.Report
	if t.starts {
		ev.Verb = protocol.Ask
	}
	if size := t.msg.Header.MaxMsgSize; size != 0 {
		t.talk.Most = size
	}
	unknown := 0
	for i := range t.msg.Commands {
		c := &t.msg.Commands[i]
		switch c.Verb {
		case windows.Alert:
			h.alert(t, c)
		case windows.Status:
			t.talk.Stopped = t.talk.Stopped || c.Code == windows.OperationCancelled
			if c.CmdRef != 0 && !t.talk.status(c) {
				unknown++
			}
		case windows.Results:
			t.result(c)
		}
	}
	if ev.Verb == protocol.Leave {
		return
	}
	if t.talk.Own != nil && slices.ContainsFunc(t.talk.Own.Parts, func(p part) bool { return p.Asks && p.Code == windows.NotFound }) {
		ev.CoManaged, ev.WorkloadsKnown = false, true // the client has gone (windows.md section 9)
	}
	var torn []protocol.CommandID
	b.Reports, torn = t.talk.reports(t.results)
	h.learnt(t, s, torn)
	if unknown > 0 && !t.starts { // of commands that were never given (HST-017)
		b.Reports = append(b.Reports, delivery.CommandReport{Command: noCommand, Status: protocol.Failed})
	}
	b.Again = t.talk.open(nil)
	b.SignedOut, b.UserAlone = t.talk.Login != windows.LoginUser, t.talk.User
	world := h.cfg.Server.World()
	asks := t.starts && s.Life == delivery.Enrolled && !t.talk.User // of nodes that are the device's
	epoch := world.Tenant.Epoch
	untold := s.Heard != epoch && t.talk.Told != epoch // a device that answers has heard, and who lost the session before has not
	t.tells = s.Life == delivery.Enrolled && !t.talk.User && epoch > 1 && (untold || t.starts && world.Unregistered(s))
	t.retells = t.talk.Own.flips()
	b.Untold = t.tells || t.retells
	t.asks = asks && h.cfg.Windows.PFN != ""
	b.Late = t.talk.Inquired
	t.talk.Inquired = asks && (world.Tenant.Authority == protocol.SCCM || s.CoManaged) // it may be co-managed (WIN-068)
	switch {
	case !t.msg.Final && !t.talk.Next, t.talk.Object != nil, t.talk.Aborted, t.talk.Stopped, t.talk.Works, t.msg.Header.MsgID == mostMessages:
		b.Phase = delivery.Partial
	case t.talk.Inquired:
		b.Phase = delivery.Inquiring
	case t.tells, t.retells, t.asks:
		b.Phase = delivery.Asking
	}
}

// leaves tells whether the message says that the device leaves.
func (t *turn) leaves() bool {
	return slices.ContainsFunc(t.msg.Commands, func(c windows.Command) bool {
		return c.Verb == windows.Alert && c.Code == windows.GenericAlert && slices.ContainsFunc(c.Items, unenrolls)
	})
}

// unenrolls tells whether an alert's item is that of a device which leaves.
func unenrolls(i windows.Item) bool {
	return strings.EqualFold(strings.TrimSpace(i.Meta.Type), windows.TypeUnenrollment)
}

// alert is what the device says by itself (windows.md section 7).
func (h *Handler) alert(t *turn, c *windows.Command) {
	for i := range c.Items {
		item := &c.Items[i]
		kind := strings.TrimSpace(item.Meta.Type)
		data := strings.TrimSpace(item.Data)
		switch {
		case c.Code == windows.ClientEvent && kind == windows.TypeLoginStatus:
			t.talk.Login = data
		case c.Code == windows.ClientEvent && kind == windows.TypeSyncType:
			if t.talk.User = data == windows.SyncUser; data == windows.SyncDevice {
				t.talk.Login = windows.LoginNone // only the device's own nodes may be touched
			}
		case c.Code == windows.ClientEvent && strings.HasSuffix(kind, windows.TypeRequestPends):
			t.talk.Works = true
		case c.Code == windows.GenericAlert && unenrolls(*item):
			t.ev.Verb = protocol.Leave
		case c.Code == windows.GenericAlert:
			h.cfg.Log.WithFields(logrus.Fields{"device": t.ev.ID, "type": kind, "mark": item.Meta.Mark, "node": item.Source}).Info("alert of a device")
		}
	}
	switch c.Code {
	case windows.SessionAbort:
		t.talk.Aborted = true
	case windows.NextMessage: // it has said all, and waits for what is left of ours
		t.talk.Next = true
	case windows.NoEndOfData: // it will not have the rest
		t.talk.cutShort()
	}
}

// result keeps what the device says of nodes that were asked for.
func (t *turn) result(c *windows.Command) {
	if x := t.talk.check(c.MsgRef, c.CmdRef); x != nil {
		for i := range c.Items {
			value := strings.TrimSpace(c.Items[i].Data)
			x.Value = strings.Clone(value[:min(len(value), maxChecked)])
		}
		return
	}
	asked, question := t.talk.find(c.MsgRef, c.CmdRef)
	if asked == nil {
		return // nobody did
	}
	id := asked.ID
	for i := range c.Items {
		item := &c.Items[i]
		if item.MoreData || t.talk.Object != nil {
			var code windows.Code
			if item.Data, code = t.talk.chunk(c, item); code != windows.OK {
				c.Code = code
				continue
			}
		}
		if item.Source != csp.NodeConfigInfo || question.Asks {
			t.learn(item.Source, item.Data)
		}
		if asked == t.talk.Own {
			continue
		}
		if t.results == nil {
			t.results = map[protocol.CommandID]*strings.Builder{}
		}
		b := t.results[id]
		if b == nil {
			b = &strings.Builder{}
			t.results[id] = b
		}
		fmt.Fprintf(b, "%s=%s\n", item.Source, item.Data)
	}
}

// reported keeps what the session taught of the device beside its commands.
func (h *Handler) reported(ctx context.Context, t *turn, p *peer) error {
	known := t.out.State.Life == delivery.Enrolled
	if t.channel == nil || !known || string(t.out.State.Push.Token) == *t.channel || *t.channel != "" && push.CheckChannel(*t.channel, h.cfg.Windows.ChannelHosts) != nil {
		return nil
	}
	ev := delivery.Event{Kind: delivery.CheckInRound, Device: p.cred.Device, ID: p.id}
	ev.Verb, ev.Credential, ev.Platform, ev.Batch = protocol.Ready, p.cred, protocol.Windows, &delivery.Batch{}
	ev.Message.Device = p.cred.Device
	ev.Token = []byte(*t.channel)
	return h.cfg.Handle(ctx, t.now, &ev, new(delivery.Outcome))
}

// impostor answers a message that names another device than its certificate: that one hears of it in the journal, and neither changes
// (HST-033, WIN-030).
func (h *Handler) impostor(ctx context.Context, t *turn, p *peer) error {
	err := error(errOther)
	if id := t.msg.Header.Source; validID(id) {
		ev := delivery.Event{Kind: delivery.CheckInRound, ID: id}
		ev.Verb, ev.Credential, ev.Batch = protocol.Ask, p.cred, &delivery.Batch{}
		kept := h.cfg.Handle(ctx, t.now, &ev, &t.out)
		if kept == nil || !errors.Is(kept, store.ErrNotFound) {
			err = errors.Join(errOther, kept)
		}
	}
	h.cfg.Log.WithError(err).WithFields(logrus.Fields{"rule": errOther.rule, "device": p.id}).Warn("refused")
	return h.dismiss(t, windows.InvalidCredentials, nil)
}

// dismiss ends the session by the status of the message's head.
func (h *Handler) dismiss(t *turn, code windows.Code, chal *windows.Chal) error {
	status := windows.Command{Verb: windows.Status, CmdID: 1, MsgRef: t.msg.Header.MsgID, Cmd: windows.SyncHeader, Code: code, Chal: chal}
	t.answer = windows.EncodeMessage(t.answer[:0], &windows.Message{Header: t.head(h), Commands: []windows.Command{status}, Final: true})
	return nil
}

// head is that of the answer.
func (t *turn) head(h *Handler) windows.SyncHdr {
	m := &t.msg.Header
	return windows.SyncHdr{SessionID: m.SessionID, MsgID: m.MsgID, Target: m.Source, Source: h.cfg.Enrolment.URL + windows.ManagementPath}
}

// errMediaType is that a message is in no form that is understood: WBXML was never asked for (windows.md section 13).
var errMediaType = errors.New("not " + windows.SyncMLContentType)

// windowsRefuse answers what is no part of a session: a status that Windows takes for a reason to come again, never for its removal
// (windows.md section 10).
func (h *Handler) windowsRefuse(w http.ResponseWriter, r *http.Request, t *turn, p *peer, err error) {
	status, level := http.StatusServiceUnavailable, logrus.WarnLevel // ours to mend
	fields := logrus.Fields{"path": r.URL.Path, "remote": r.RemoteAddr}
	if p != nil && p.id != "" {
		fields["device"] = p.id
	}
	no, refused := errors.AsType[*protocol.Refusal](err)
	who, unknown := errors.AsType[*stranger](err)
	switch {
	case refused:
		fields["rule"] = no.Rule
		status = http.StatusForbidden
		if no.RetryAfter > 0 {
			status = http.StatusServiceUnavailable
			w.Header().Set("Retry-After", seconds(no.RetryAfter.Seconds()))
		}
	case unknown:
		fields["rule"] = who.rule
		status = http.StatusForbidden
		if who == errExpired {
			w.Header().Set("Connection", "close") // the next handshake says it again
		}
	case errors.Is(err, errMethod):
		status, level = http.StatusMethodNotAllowed, logrus.InfoLevel
		w.Header().Set("Allow", http.MethodPost)
	case errors.Is(err, errMediaType):
		status = http.StatusUnsupportedMediaType
	case errors.Is(err, errEncoding):
		status, fields["rule"] = http.StatusUnsupportedMediaType, "HST-012"
	case errors.Is(err, errTooLarge):
		status, fields["rule"] = http.StatusRequestEntityTooLarge, "HST-001"
	case errors.Is(err, protocol.ErrMalformed), errors.Is(err, errBody):
		status = http.StatusBadRequest
		fields["raw_bytes"], fields["raw_sha256"] = len(t.body), fmt.Sprintf("%x", sha256.Sum256(t.body))
	default:
		level = logrus.ErrorLevel
		w.Header().Set("Retry-After", retryUnknown)
	}
	h.cfg.Log.WithError(err).WithFields(fields).Log(level, "refused")
	text := http.StatusText(status)
	if refused {
		text = no.Error()
	}
	writeWhole(w, status, "text/plain; charset=utf-8", []byte(text+"\n"))
}

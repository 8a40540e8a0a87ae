package device

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
	"rollcall/server/delivery"
	identities "rollcall/server/renewal"
	"rollcall/server/store"
)

// An androidRound is one round of a check-in, used again for the next.
type androidRound struct {
	ev    delivery.Event
	out   delivery.Outcome
	batch delivery.Batch
	facts delivery.Facts
	msg   android.CheckIn
	body  []byte
	said  []byte // what its record keeps of the report

	h        *Handler
	now      protocol.Time // when the round was read
	p        *peer
	composed bool  // an answer was written, else the message is a repeat
	moved    bool  // the device has another push id than the server knows
	gone     bool  // the answer is that the device has to leave
	version  int64 // of the policy that the device keeps to, as far as it is believed; 0: of none that it was given
	answer   []byte
	prepare  func(prior []byte, s *delivery.State)
	encode   func(dst []byte, out *delivery.Outcome) []byte
}

// androidCheckIn serves one round of a check-in.
func (h *Handler) androidCheckIn(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	x := h.android.spare.Get().(*androidRound)
	defer x.release()
	x.h, x.p, x.composed, x.moved, x.gone = h, nil, false, false, false
	err := x.serve(r)
	h.androidMetered(x, began, err)
	switch {
	case err != nil:
		h.androidRefuse(w, r, nil, err)
	case x.gone:
		record, err := h.cfg.Server.Store().Record(r.Context(), x.p.cred.Device)
		if err != nil {
			h.androidRefuse(w, r, nil, err)
			return
		}
		enrollment, mode, _ := server.AndroidEnrolment(&record.Facts)
		h.androidGone(w, x.now, x.p.id, enrollment, mode)
	default:
		h.told(w, r, x.p, &x.out.State)
		w.Header()["Content-Type"] = jsonType // net/http counts the content
		w.Write(x.answer)
	}
}

var jsonType = []string{android.ContentType}

// release keeps x for the next request, without what was large. All but its buffers is made anew by the next round.
func (x *androidRound) release() {
	h := x.h
	if cap(x.body) > keepBuffer {
		x.body = nil
	}
	if cap(x.answer) > keepBuffer {
		x.answer = nil
	}
	if len(x.msg.Results) > 0 || x.msg.Status != nil { // a report may be large
		x.msg = android.CheckIn{}
	}
	h.android.spare.Put(x)
}

// serve reads and decides one round.
func (x *androidRound) serve(r *http.Request) (err error) {
	h := x.h
	switch {
	case r.Method != http.MethodPost:
		return errMethod
	case !h.presents(r):
		return errNoIdentity // nobody makes us hold a body (HST-001)
	}
	if x.body, err = readAndroid(x.body, r, android.MaxMessage); err != nil {
		return err
	}
	x.now = h.now()
	if x.p, err = h.identify(r, x.body, x.now); err != nil {
		return err
	}
	if x.again(r.Context()) {
		return nil
	}
	if err := android.Decode(x.body, &x.msg); err != nil {
		return err
	}
	if x.p.forgotten != nil {
		if err := h.recall(r.Context(), x.now, x.p, x.msg.Device); err != nil {
			return err
		}
	}
	shown := h.cfg.Server.Shown()
	if err = x.decide(r.Context()); err == nil {
		x.keep(shown)
	}
	return err
}

// decide has the server decide what the round means, and leaves the answer in x.
func (x *androidRound) decide(ctx context.Context) error {
	m, p := &x.msg, x.p
	if x.prepare == nil { // made once, for all rounds that use x
		x.prepare, x.encode = x.resume, x.compose
	}
	x.ev = delivery.Event{Kind: delivery.CheckInRound, Device: p.cred.Device, ID: p.id, Key: roundKey([]byte(m.CheckIn), m.Round), Encode: x.encode}
	ev := &x.ev
	x.batch = delivery.Batch{}
	ev.Credential, ev.Platform, ev.Batch = p.cred, protocol.Android, &x.batch
	ev.Epoch, ev.Round = m.Epoch, uint16(m.Round)
	switch {
	case p.cred.Device == 0 && p.cred.ID != m.Device, p.cred.Device != 0 && p.id != m.Device:
		return x.impostor(ctx)
	case p.cred.Device == 0:
		return x.enrols(ctx)
	}
	ev.Message.Device, ev.Verb, ev.Prepare = p.cred.Device, protocol.Ask, x.prepare
	if m.Round > 1 {
		ev.Prior = roundKey([]byte(m.CheckIn), m.Round-1)
	}
	err := x.handle(ctx)
	if err == nil && x.composed && x.out.State.Life == delivery.Enrolling && m.Applied.PolicyVersion > 0 {
		if err = x.ready(ctx); err == nil { // it has its first policy: it is enrolled, and this round goes on
			ev.Verb = protocol.Ask
			err = x.handle(ctx)
		}
	} else if err == nil && x.moved {
		err = x.ready(ctx)
	}
	return err
}

// roundKey names a round of the check-in with this id among those of its device.
func roundKey(id []byte, round int) delivery.Key {
	var room [96]byte                                           // an id has at most 64 bytes
	name := append(append(room[:0], "android 2\x00"...), id...) // 1 kept answers without the version
	sum := sha256.Sum256(strconv.AppendInt(append(name, 0), int64(round), 10))
	return delivery.Key(sum[:16])
}

// handle is one decision about the round, or the answer of the first time.
func (x *androidRound) handle(ctx context.Context) error {
	for {
		x.composed = false
		err := x.h.cfg.Handle(ctx, x.now, &x.ev, &x.out)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return errOther
		case err != nil || x.composed:
			return err
		}
		kept := x.out.Exchange.Answer
		if at, _ := readStamp(kept); x.now < at.Add(keepsAnswers) && !x.enrolledSince(ctx, at) {
			x.answer = append(x.answer[:0], kept[stampSize:]...)
			return nil
		}
		sum := sha256.Sum256(append(x.ev.Key[:], kept[:stampSize]...)) // whoever calls a check-in as one of long ago, or of an enrolment before, means another
		x.ev.Key = delivery.Key(sum[:16])
	}
}

// enrolledSince tells whether the device's enrolment is younger than an answer of then.
func (x *androidRound) enrolledSince(ctx context.Context, then protocol.Time) bool {
	record, err := x.h.cfg.Server.Store().Record(ctx, x.p.cred.Device)
	if err != nil {
		return false // it is gone meanwhile, and the answer says nothing to anybody
	}
	begun := record.State.EnrolledAt
	if record.State.Life == delivery.Enrolling {
		begun = record.State.LastSeen
	}
	return then < begun
}

// keepsAnswers is how long a round that comes again gets the answer of the first time (android.md, section 8).
const keepsAnswers = 24 * time.Hour

// stampSize is how long the stamp is that stands before a kept answer.
const stampSize = 16

// stamp appends when an answer was given, and the version of the policy in it; 0: it brings none.
func stamp(dst []byte, now protocol.Time, policy int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, uint64(now)), uint64(policy))
}

// readStamp reads the stamp of a kept answer.
func readStamp(kept []byte) (at protocol.Time, policy int64) {
	return protocol.Time(binary.BigEndian.Uint64(kept)), int64(binary.BigEndian.Uint64(kept[8:]))
}

// impostor has the core say no to a device that calls itself another one: both stay as they are, and the journal says so (HST-033).
func (x *androidRound) impostor(ctx context.Context) error {
	ev := delivery.Event{Kind: delivery.CheckInRound, ID: x.msg.Device}
	ev.Verb, ev.Credential = protocol.Ask, x.p.cred
	if err := x.h.cfg.Handle(ctx, x.now, &ev, new(delivery.Outcome)); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return errOther
}

// enrols is the first word of a device under its certificate: it gets its first policy, and is enrolled when it has applied that.
func (x *androidRound) enrols(ctx context.Context) error {
	ev, m := &x.ev, &x.msg
	ev.Verb, ev.ID, ev.Device = protocol.Enrol, m.Device, 0
	x.facts = delivery.Facts{Said: x.p.cred.Serial}
	ev.Credential.Serial = "" // it was said
	ev.Token = address(m)
	x.learn(&x.facts)
	ev.Facts = &x.facts
	return x.handle(ctx)
}

// learn takes note of what a status report says of the device itself.
func (x *androidRound) learn(f *delivery.Facts) {
	s := x.msg.Status
	if s == nil {
		return
	}
	if hw := s.HardwareInfo; hw != nil {
		f.Product, f.Model, f.Serial = hw.Brand, hw.Model, hw.SerialNumber
		f.Name = strings.TrimSpace(hw.Brand + " " + hw.Model)
	}
	if sw := s.SoftwareInfo; sw != nil {
		f.OSVersion, f.Build = sw.AndroidVersion, strconv.Itoa(sw.APILevel)
	}
	if net := s.NetworkInfo; net != nil {
		f.IMEI, f.MEID = net.IMEI, net.MEID
	}
	briefly(f)
}

// ready tells where the device is woken; the first time it completes the enrolment.
func (x *androidRound) ready(ctx context.Context) error {
	ev := delivery.Event{Kind: delivery.CheckInRound, Device: x.p.cred.Device, ID: x.p.id}
	ev.Verb, ev.Credential, ev.Platform, ev.Batch = protocol.Ready, x.p.cred, protocol.Android, &delivery.Batch{}
	if ev.Token = address(&x.msg); ev.Token == nil { // it said so in the first round
		ev.Token = x.out.State.Push.Token
	}
	var out delivery.Outcome
	err := x.h.cfg.Handle(ctx, x.now, &ev, &out)
	if err != nil || !out.Completed {
		return err
	}
	if x.h.cfg.Meter != nil {
		x.h.cfg.Meter.Enrolled(protocol.Android)
	}
	ev.Verb = protocol.Ask // what it should have is ordered before it says what of that is there
	return x.h.cfg.Handle(ctx, x.now, &ev, &out)
}

// resume says the round in the words of delivery; prior is the kept answer to the round before it, s the device's state.
func (x *androidRound) resume(prior []byte, s *delivery.State) {
	m, b := &x.msg, &x.batch
	*b, x.version = delivery.Batch{}, 0
	said := address(m)
	x.moved = s.Life == delivery.Enrolled && said != nil && !bytes.Equal(said, s.Push.Token)
	if s.Life == delivery.Enrolled {
		if record, err := x.h.cfg.Server.Store().Record(context.Background(), s.Device); err == nil { // it is in memory, and held
			before, given := server.AndroidVersion(&record.Facts), int64(0)
			if prior != nil {
				_, given = readStamp(prior)
			}
			x.version = x.believed(before, given)
			if m.Round == 1 && x.stale(s) { // once in a check-in: who takes no policy is not asked for ever
				b.Phase = delivery.Asking
			}
			x.said = server.AppendAndroid(x.said[:0], record.Facts.Said, max(before, x.version), m)
			changed := string(x.said) != record.Facts.Said
			if changed || m.Status != nil || x.p.once { // else nobody reads them
				x.facts = record.Facts
			}
			if changed || m.Status != nil {
				if changed {
					x.facts.Said = string(x.said)
				}
				if x.learn(&x.facts); x.facts != record.Facts {
					x.ev.Facts = &x.facts
				}
			}
		}
	}
	for i := range s.Queue {
		q := &s.Queue[i]
		if r, ok := x.reported(q); ok {
			b.Reports = append(b.Reports, r)
		} else if m.Round == 1 {
			b.Again = append(b.Again, q.ID)
		}
	}
	for i := range m.Results {
		if r := &m.Results[i]; !known(s, r.Command) { // of a command that is through, or never was (HST-052)
			b.Reports = append(b.Reports, delivery.CommandReport{Command: noCommand, Status: protocol.Failed})
		}
	}
	if len(b.Reports) > 0 || m.Round > 1 {
		x.ev.Verb, b.Late = protocol.Report, m.Round == 1
	}
}

// address is where a device says that it is woken; nil: it does not say.
func address(m *android.CheckIn) []byte {
	if m.Push == nil || m.Push.Kind != "fcm" {
		return nil
	}
	return []byte(m.Push.FID)
}

// known tells whether a command of the queue is called so.
func known(s *delivery.State, id string) bool {
	for i := range s.Queue {
		if s.Queue[i].ID.String() == id {
			return true
		}
	}
	return false
}

// reported is what the round says of a command.
func (x *androidRound) reported(q *delivery.Queued) (r delivery.CommandReport, ok bool) {
	m := &x.msg
	r = delivery.CommandReport{Command: q.ID, Status: protocol.Acknowledged, Result: x.body}
	applied := x.version >= int64(q.Seq) // it has seen a policy that was made since
	switch q.Kind {
	case protocol.InstallProfile:
		if why := x.h.stuck(q.Profile, x.p); why != "" {
			r.Status, r.Errors, r.Final = protocol.Failed, string(why), true
			return r, true
		}
		profile := x.profile(q.Profile)
		if profile == nil || !applied || profile.Status == android.Pending {
			return r, false
		}
		if profile.Status == android.Failed {
			r.Status, r.Errors = protocol.Failed, string(profile.Reason)
			r.Final = profile.Reason == android.NotManagementMode || profile.Reason == android.NotAPILevel || profile.Reason == android.NotSupported
		}
		return r, true
	case protocol.RemoveProfile:
		return r, applied && x.profile(q.Profile) == nil
	case protocol.RenewIdentity: // it was asked; what comes of it, the next identity says (AUTH-41)
		return r, m.Round > 1 || x.renewed()
	case protocol.DeviceInformation, protocol.SecurityInfo, protocol.ProfileList, protocol.CertificateList, protocol.InstalledApplicationList:
		if m.Status != nil || m.Reason == android.ReasonEnrolled { // which began with one
			return r, true
		}
	}
	for i := range m.Results {
		one := &m.Results[i]
		if one.Command != q.ID.String() {
			continue
		}
		switch one.State {
		case android.ResultError:
			r.Status, r.Errors = protocol.Failed, one.ErrorCode
		case android.ResultLater:
			r.Status = protocol.NotNow
		default:
			r.Errors = uncleared(q.Text, one.ClearAppsDataStatus)
		}
		return r, true
	}
	return r, false
}

// uncleared says of which of the apps that were named the data are still there, and why, as far as the device says (android.md section 2.5).
func uncleared(names string, said map[string]android.AppResult) string {
	var out []string
	for _, name := range strings.Fields(names) {
		if one, ok := said[name]; ok && one.Result != android.AppCleared {
			out = append(out, name+": "+brief(one.Result))
		}
	}
	return strings.Join(out, ", ")
}

// renewed tells whether the round comes under an identity that is not due: the device renewed and never said so, and a second renewal
// would be refused as too early (AND-081).
func (x *androidRound) renewed() bool {
	due, err := identities.DueAt(x.p.cred.NotBefore, x.p.cred.NotAfter, x.h.cfg.Server.World().Settings.Window)
	return err == nil && x.now < due
}

// profile is what the round says of a profile in this version; nil: it is not on the device.
func (x *androidRound) profile(p protocol.Profile) *android.AppliedProfile {
	identifier := x.h.cfg.Server.World().Profiles[p].Identifier
	for i := range x.msg.Applied.Profiles {
		if a := &x.msg.Applied.Profiles[i]; a.ID == identifier && a.Version == uint32(p) {
			return a
		}
	}
	return nil
}

// androidMetered tells the meter of one round and how it ended.
func (h *Handler) androidMetered(x *androidRound, began time.Time, err error) {
	m := h.cfg.Meter
	if m == nil {
		return
	}
	rule, failed, told := judged(err, "HST-014")
	message := ""
	if told {
		message = "Android check-in"
	}
	m.CheckIn(message, rule, failed, time.Since(began))
}

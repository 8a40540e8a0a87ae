package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/logs"
	"rollcall/server/renewal"
	"rollcall/server/store"
)

// Handle takes one event: a round of a check-in, the report of a push, an administrator's order. New state, effects and
// answer are one durable commit; until then nothing has left the process. A refusal is committed as well (its journal
// line counts) and comes back as a [*protocol.Refusal], wrapped. An Enrol finds its device by ev.ID and makes it where there
// is none; any other event by ev.Device or, where that is 0, by ev.ID. A device that is unknown is store.ErrNotFound.
func (s *Server) Handle(ctx context.Context, now protocol.Time, ev *delivery.Event, out *delivery.Outcome) error {
	decided, err := s.handle(ctx, now, ev, out)
	if err == nil && decided && out.Refusal.Rule != "" {
		no := out.Refusal // out will be used again
		err = fmt.Errorf("%s: %w", ev.Kind, &no)
	}
	return err
}

// handle is Handle that leaves a refusal in out. A repeat is not decided again.
func (s *Server) handle(ctx context.Context, now protocol.Time, ev *delivery.Event, out *delivery.Outcome) (decided bool, err error) {
	decided, err = s.decide(ctx, now, ev, out)
	if err == nil && decided && out.Refusal.Rule == "" && ev.Kind == delivery.CheckInRound && ev.Verb == protocol.Ready {
		err = s.displace(ctx, now, &out.State) // while no device is held
	}
	return decided, err
}

func (s *Server) decide(ctx context.Context, now protocol.Time, ev *delivery.Event, out *delivery.Outcome) (decided bool, err error) {
	tx, err := s.begin(ctx, ev)
	if err != nil {
		return false, fmt.Errorf("%s: %w", ev.Kind, err)
	}
	defer tx.End() // gives up what was not committed
	if current(ev, tx.State()) && tx.Answered(ev.Key, out) {
		return false, nil // a repeat: the bytes of the first time, nothing decided again
	}
	if ev.Prepare != nil {
		var prior []byte
		if tx.Answered(ev.Prior, out) {
			prior = out.Exchange.Answer
		}
		ev.Prepare(prior, tx.State())
	}
	if ev.Seed == ([2]uint64{}) && (ev.Kind == delivery.CheckInRound || ev.Kind == delivery.Administered) {
		ev.Seed = [2]uint64{s.cfg.Rand(), s.cfg.Rand()}
	}
	if enrols(ev) {
		lock := &s.hellos[int(ev.Credential.User)%len(s.hellos)]
		lock.Lock()
		defer lock.Unlock()
		if ev.Devices, err = s.counted(ctx, now, ev.Credential.User, tx.State().Device); err != nil {
			return false, fmt.Errorf("%s: %w", ev.Kind, err)
		}
	}
	// The world is looked at while the device is held, so that a device never goes back to an older one.
	world := s.World()
	delivery.Decide(now, world, tx.State(), ev, out) // pure
	return true, s.keep(ctx, now, world, tx, ev, out)
}

// current tells whether an event comes with the identity that its device uses: with another one, nothing is repeated either.
func current(ev *delivery.Event, st *delivery.State) bool {
	return !ev.Credential.Revoked && ev.Credential.Fingerprint == st.Identity.Fingerprint
}

// enrols tells whether ev is the hello of a user's device.
func enrols(ev *delivery.Event) bool {
	return ev.Kind == delivery.CheckInRound && ev.Verb == protocol.Enrol && ev.Credential.User != 0
}

// keep commits what was decided of ev, with what the decision could not know, and acts on it.
func (s *Server) keep(ctx context.Context, now protocol.Time, world *delivery.World, tx store.Tx, ev *delivery.Event, out *delivery.Outcome) error {
	if err := s.fill(ctx, now, world, ev, out); err != nil {
		return fmt.Errorf("%s: device %d: %w", ev.Kind, out.State.Device, err)
	}
	if err := s.name(ctx, out); err != nil {
		return fmt.Errorf("%s: %w", ev.Kind, err)
	}
	if ev.Encode != nil && out.Refusal.Rule == "" { // a refused round is decided afresh when it comes again
		if answer := ev.Encode(out.Exchange.Answer[:0], out); answer != nil {
			out.Exchange.Key, out.Exchange.Answer = ev.Key, answer
		}
	}
	if err := s.tellTwin(ctx, ev, out); err != nil {
		return fmt.Errorf("%s: device %d: %w", ev.Kind, out.State.Device, err)
	}
	s.hush(now, ev, out)
	lines := sign(out.Effects, actorOf(ctx, ev.Kind))
	queue, profiles := tx.State().Queue, tx.State().Profiles
	var before *delivery.State
	observed := s.cfg.Observe != nil && !(s.cfg.ChangesOnly && out.Steady())
	if observed {
		before = s.before()
		*before = *tx.State()
	}
	if err := tx.Commit(now, out); err != nil { // state, outbox, exchange
		return fmt.Errorf("%s: %w", ev.Kind, err)
	}
	if lines {
		s.journal.ring()
	}
	if enrols(ev) && out.Refusal.Rule == "" {
		s.owners.add(out.State.User, out.State.Device)
	}
	if out.Facts != nil && out.Changed&delivery.FactsToo != 0 {
		s.directory.add([]byte(out.Facts.Directory), out.State.Device)
	}
	if out.Changed&delivery.Gone != 0 {
		s.owners.remove(out.State.User, out.State.Device)
	}
	if out.State.Life == delivery.Enrolling && ev.Kind == delivery.CheckInRound {
		s.outbox.ages(now.Add(renewal.Unfinished))
	}
	if gone := out.State.GoneAt(); gone != 0 {
		s.outbox.ages(gone)
	}
	if observed {
		s.cfg.Observe(now, world, ev, before, &out.State, out)
	}
	if s.alone != nil {
		out.Reuse(queue, profiles)
	}
	if out.Changed&delivery.Wakes != 0 {
		s.outbox.nudge() // its worker sends the wake-up, at least once; a crash here loses none
	}
	return nil
}

// hush leaves out what the journal has heard often enough within the hour: that a certificate is refused for whose it is (HST-045). Of
// more only the log tells.
func (s *Server) hush(now protocol.Time, ev *delivery.Event, out *delivery.Outcome) {
	wrong := slices.ContainsFunc(out.Effects, func(e delivery.Effect) bool {
		return e.What == delivery.WhatWrongIdentity || e.What == delivery.WhatOldIdentity || e.What == delivery.WhatDuplicate
	})
	if out.Refusal.Rule == "" || !wrong {
		return
	}
	if !s.impostors.tell(now, ev.Credential.Fingerprint) {
		out.Effects = slices.DeleteFunc(out.Effects, func(e delivery.Effect) bool { return e.Kind == delivery.Journal })
	}
}

// before is where the state before a commit is kept for whoever observes it.
func (s *Server) before() *delivery.State {
	if s.alone != nil {
		return &s.alone.before
	}
	return new(delivery.State)
}

// name puts the device's name into the lines of its enrolment and of the removal of its record: there the journal's chain
// covers it (HST-074), and it stays.
func (s *Server) name(ctx context.Context, out *delivery.Outcome) error {
	for i := range out.Effects {
		e := &out.Effects[i]
		if e.Kind != delivery.Journal || e.What != delivery.WhatEnrolled && e.What != delivery.WhatRecordRemoved {
			continue
		}
		id, err := s.idOf(ctx, out.State.Device)
		if errors.Is(err, store.ErrNotFound) {
			return nil // it never had one
		}
		if err != nil {
			return err
		}
		name := logs.Escape(id)
		if e.Detail != "" {
			name += ": " + e.Detail
		}
		e.Detail = name
	}
	return nil
}

// idOf is what the wire calls a device.
func (s *Server) idOf(ctx context.Context, d protocol.Device) (string, error) {
	if s.alone != nil && s.alone.store.Lend(d) != nil {
		return s.alone.store.ID(d), nil
	}
	r, err := s.store.Record(ctx, d)
	return r.ID, err
}

// begin takes hold of the event's device.
func (s *Server) begin(ctx context.Context, ev *delivery.Event) (store.Tx, error) {
	d := ev.Device
	if ev.Kind == delivery.CheckInRound && ev.Verb == protocol.Enrol {
		if ev.ID == "" {
			return nil, fmt.Errorf("device without identifier: %w", protocol.ErrMalformed)
		}
		return s.store.Create(ctx, ev.ID)
	}
	if d == 0 {
		var err error
		if d, err = s.store.Device(ctx, ev.ID); err != nil {
			return nil, err
		}
	}
	return s.store.Begin(ctx, d)
}

// fill adds the document to the commands that are handed out. A device that takes several at once renews by itself when it is told to.
func (s *Server) fill(ctx context.Context, now protocol.Time, w *delivery.World, ev *delivery.Event, out *delivery.Outcome) error {
	if out.Reply.Kind != protocol.Work {
		return nil
	}
	for i := range out.Reply.More {
		if c := &out.Reply.More[i]; c.Kind == protocol.InstallProfile {
			c.Payload = w.Profiles[c.Profile].Payload
		}
	}
	switch c := &out.Reply.Command; {
	case c.Kind == protocol.InstallProfile:
		c.Payload = w.Profiles[c.Profile].Payload
	case c.Kind == protocol.RenewIdentity && ev.Batch == nil:
		if s.cfg.Renewal == nil {
			return errors.New("an identity is due and Config.Renewal is missing")
		}
		challenge, err := s.renewalChallenge(ctx, now, &out.State)
		if err != nil {
			return err
		}
		c.Payload, err = s.cfg.Renewal(ctx, now, &out.State, challenge)
		return err
	}
	return nil
}

// renewalPeriod is how long a renewal that is handed out again brings the same challenge, which then lives for as long
// again: 14 days at most (apple.md section 3.4).
const renewalPeriod = 7 * 24 * time.Hour

// renewalChallenge grants the renewal that st asked for. The challenge is derived from the command, so that the same
// command brings the same bytes however often it is handed out.
func (s *Server) renewalChallenge(ctx context.Context, now protocol.Time, st *delivery.State) (string, error) {
	outstanding := &st.Rare.Read().Renewal
	period := now.Sub(outstanding.Asked) / renewalPeriod
	mac := hmac.New(sha256.New, s.renewals)
	mac.Write(outstanding.Command[:])
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(period)))
	challenge := base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	record, err := s.store.Record(ctx, st.Device)
	if err != nil {
		return "", err
	}
	return challenge, s.store.AddGrant(ctx, &store.Grant{
		Hash: sha256.Sum256([]byte(challenge)), Purpose: delivery.ForRenewal, Device: st.Device, ID: record.ID, User: st.User, Automated: st.Automated,
		Expires: outstanding.Asked.Add((period + 2) * renewalPeriod),
	})
}

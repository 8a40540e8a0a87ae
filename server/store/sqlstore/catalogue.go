package sqlstore

import (
	"context"
	"fmt"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Load returns everything that administrators decided. It is held in memory, and nobody may change it.
func (s *Store) Load(context.Context) (*store.Content, error) {
	if s.over.Load() {
		return nil, s.err()
	}
	s.catalogue.RLock()
	defer s.catalogue.RUnlock()
	return s.content, nil
}

func loadCatalogue(ctx context.Context, from reader) (*store.Content, error) {
	c := new(store.Content).With(new(store.Change))
	for _, table := range []struct {
		text string
		each func(*row)
	}{
		{"SELECT authority, coexistence, release, accept_userless, epoch, changed_at, kept FROM tenant", func(r *row) {
			c.Tenant = authority.Tenant{
				Authority: num[protocol.Authority](r), Coexistence: r.flag(), Release: num[uint16](r),
				AcceptUserless: r.flag(), Epoch: num[uint32](r), ChangedAt: r.time(), Kept: num[time.Duration](r),
			}
		}},
		{selectFrom("campaign", campaignColumns...), func(r *row) {
			r.at++ // the key
			c.Campaign = store.Campaign{Gap: r.time(), Wakes: delivery.Campaign{From: r.time(), Cursor: num[protocol.Device](r)}}
		}},
		{"SELECT since, at, epoch FROM restoration", func(r *row) {
			c.Restored = delivery.Restoration{Since: r.time(), At: r.time(), Epoch: num[uint32](r)}
		}},
		{"SELECT at, off FROM clock", func(r *row) { c.Clock = store.Doubt{At: r.time(), Off: num[time.Duration](r)} }},
		{selectFrom("settings", settingsColumns...), func(r *row) {
			r.at++
			c.Settings = scanSettings(r)
		}},
		{"SELECT service, granted_by, granted_at FROM consents ORDER BY service", func(r *row) {
			c.Consents = append(c.Consents, store.Consent{Service: r.text(), By: r.text(), At: r.time()})
		}},
		{"SELECT id, upn, name, intune, basic, co_managed, premium, manager, removed FROM users ORDER BY id", func(r *row) {
			c.Users = append(c.Users, store.User{
				ID: num[delivery.UserID](r), UPN: r.text(), Name: r.text(),
				User: authority.User{IntuneLicence: r.flag(), BasicLicence: r.flag(), CoManaged: r.flag(), Premium: r.flag(), Manager: r.flag()}, Removed: r.flag(),
			})
		}},
		{"SELECT user_id, name FROM user_groups ORDER BY user_id, place", func(r *row) {
			if u := userIn(c.Users, num[delivery.UserID](r)); u != nil {
				u.Groups = append(u.Groups, r.text())
			}
		}},
		{"SELECT number, authority, name, family, identifier, payload, removed FROM profiles ORDER BY number", func(r *row) {
			c.Profiles = append(c.Profiles, store.Profile{
				Number: num[protocol.Profile](r), Authority: num[protocol.Authority](r), Name: r.text(), Family: num[protocol.Family](r),
				Identifier: r.text(), Payload: r.blob(), Removed: r.flag(),
			})
		}},
		{"SELECT profile, grp, authority FROM assignments ORDER BY profile, grp, authority", func(r *row) {
			c.Assignments = append(c.Assignments, store.Assignment{Profile: r.text(), Group: r.text(), Authority: num[protocol.Authority](r)})
		}},
		{"SELECT slot, topic, apple_id, not_before, not_after, uploaded_at, suspended, certificate, key FROM push_certificates " +
			"ORDER BY slot, uploaded_at DESC, not_before DESC", func(r *row) {
			c.Push = append(c.Push, store.PushCertificate{
				Slot: num[protocol.Authority](r), Topic: r.text(), AppleID: r.text(), NotBefore: r.time(),
				NotAfter: r.time(), UploadedAt: r.time(), Suspended: r.flag(), Certificate: r.blob(), Key: r.blob(),
			})
		}},
		{"SELECT serial, user_id, awaiting FROM serials ORDER BY serial", func(r *row) {
			c.Serials = append(c.Serials, store.Serial{Serial: r.text(), User: num[delivery.UserID](r), Awaiting: r.flag()})
		}},
		{"SELECT name, hash, made, expires, revoked, role FROM tokens ORDER BY name", func(r *row) {
			c.Tokens = append(c.Tokens, store.Token{Name: r.text(), Hash: r.hash(), Made: r.time(), Expires: r.time(), Revoked: r.flag(), Role: num[store.Role](r)})
		}},
		{"SELECT name, certificate, most, made, ends, revoked FROM packages ORDER BY name", func(r *row) {
			c.Packages = append(c.Packages, store.Package{Name: r.text(), Certificate: r.hash(), Most: int(num[uint32](r)), Made: r.time(), Ends: r.time(), Revoked: r.flag()})
		}},
		{"SELECT package, hardware, device, at FROM package_machines ORDER BY package, hardware", func(r *row) {
			c.Admissions = append(c.Admissions, store.Admission{Package: r.text(), Hardware: r.text(), Device: r.text(), At: r.time()})
		}},
		{"SELECT name, value FROM secrets WHERE name<>'" + journalSecret + "'", func(r *row) { c.Secrets[r.text()] = r.blob() }},
	} {
		if err := query(ctx, from, table.text, table.each); err != nil {
			return nil, fmt.Errorf("catalogue: %w", err)
		}
	}
	return c, nil
}

// userIn finds a user in a list by ID.
func userIn(users []store.User, id delivery.UserID) *store.User {
	if i := int(id) - 1; i >= 0 && i < len(users) && users[i].ID == id {
		return &users[i]
	}
	return nil
}

// Apply makes a change durable as one.
func (s *Store) Apply(ctx context.Context, now protocol.Time, c *store.Change) error {
	s.tick(now)
	s.applying.Lock() // one at a time: two that hold devices in different orders would wait for each other
	defer s.applying.Unlock()
	a := administration{Change: c, now: now}
	defer a.release()
	if err := a.hold(ctx, s); err != nil {
		return err
	}
	if err := s.commit(&a); err != nil {
		return err
	}
	s.catalogue.Lock()
	s.content = s.content.With(c)
	s.catalogue.Unlock()
	for i := range a.wakes {
		w := &a.wakes[i]
		w.e.mu.Lock()
		w.e.state.Wake = w.to
		w.e.seen = w.e.state.LastSeen
		w.e.mu.Unlock()
		s.dues.set(w.e, dueOf(&w.e.state))
	}
	return nil
}

// An administration is a change of the catalogue, with the wake-ups that it brings.
type administration struct {
	*store.Change
	now   protocol.Time
	wakes []wake
}

// A wake is a device that is held until its new wake-up is kept: a round that was decided before it must not undo it.
type wake struct {
	e  *entry
	to delivery.Wake
}

func (a *administration) hold(ctx context.Context, s *Store) error {
	at := make(map[protocol.Device]int)
	for i, d := range a.Wake {
		k, twice := at[d]
		if !twice {
			held, err := s.Begin(ctx, d)
			if err != nil {
				return err
			}
			e := held.(*tx).e
			k, at[d] = len(a.wakes), len(a.wakes)
			a.wakes = append(a.wakes, wake{e, e.state.Wake})
		}
		a.wakes[k].to = a.wakes[k].to.Ask(a.WakeAt.Add(time.Duration(i)*a.Spacing), delivery.Changed)
	}
	return nil
}

func (a *administration) release() {
	for i := range a.wakes {
		a.wakes[i].e.release()
	}
}

func (a *administration) write(w *writer) error {
	b := batch{w: w}
	if t := a.Tenant; t != nil {
		b.do(putTenant, int64(1), int64(t.Authority), flag(t.Coexistence), int64(t.Release), flag(t.AcceptUserless), int64(t.Epoch), int64(t.ChangedAt), int64(t.Kept))
	}
	if t := a.Settings; t != nil {
		b.do(putSettings, settingsValues(t)...)
	}
	if t := a.Campaign; t != nil {
		b.do(putCampaign, int64(1), int64(t.Gap), int64(t.Wakes.From), int64(t.Wakes.Cursor))
	}
	if t := a.Restored; t != nil {
		b.do(putRestoration, int64(1), int64(t.Since), int64(t.At), int64(t.Epoch))
	}
	if t := a.Clock; t != nil {
		b.do(putClock, int64(1), int64(t.At), int64(t.Off))
	}
	for i := range a.Users {
		u := &a.Users[i]
		b.do(putUser, int64(u.ID), u.UPN, u.Name, flag(u.IntuneLicence), flag(u.BasicLicence), flag(u.CoManaged), flag(u.Premium), flag(u.Manager), flag(u.Removed))
		b.do(dropGroups, int64(u.ID))
		for place, group := range u.Groups {
			b.do(addGroup, int64(u.ID), int64(place), group)
		}
	}
	for i := range a.Profiles {
		p := &a.Profiles[i]
		b.do(putCatalogueProfile, int64(p.Number), int64(p.Authority), p.Name, int64(p.Family), p.Identifier, p.Payload, flag(p.Removed))
	}
	for _, x := range a.Assign {
		b.do(assign, x.Profile, x.Group, int64(x.Authority))
	}
	for _, x := range a.Unassign {
		b.do(unassign, x.Profile, x.Group, int64(x.Authority))
	}
	if p := a.Push; p != nil {
		b.do(putPush, int64(p.Slot), int64(p.NotBefore), int64(p.NotAfter), p.Topic, p.AppleID, int64(p.UploadedAt), flag(p.Suspended),
			p.Certificate, p.Key)
	}
	for _, x := range a.Consents {
		b.do(putConsent, x.Service, x.By, int64(x.At))
	}
	for _, x := range a.Serials {
		b.do(putSerial, x.Serial, int64(x.User), flag(x.Awaiting))
	}
	for _, t := range a.Tokens {
		b.do(putToken, t.Name, t.Hash[:], int64(t.Made), int64(t.Expires), flag(t.Revoked), int64(t.Role))
	}
	for _, p := range a.Packages {
		b.do(putPackage, p.Name, p.Certificate[:], int64(p.Most), int64(p.Made), int64(p.Ends), flag(p.Revoked))
	}
	for _, x := range a.Admit {
		b.do(putAdmission, x.Package, x.Hardware, x.Device, int64(x.At))
	}
	for name, value := range a.Secrets {
		b.do(putSecret, name, value)
	}
	for i := range a.wakes {
		x := &a.wakes[i]
		b.do(putWake, int64(x.to.Due), int64(x.to.Reason), int64(x.to.Attempt), int64(x.e.state.LastSeen), int64(x.e.number))
	}
	b.effects(a.now, 0, a.Lines)
	return b.err
}

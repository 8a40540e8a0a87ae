package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/logs"
	"rollcall/server/store"
)

// Why a provisioning package admits no machine. A bootstrap certificate authenticates the package and not the device, so it is good for a
// limited number of machines and a limited time (windows.md section 9).
var (
	ErrPackage        = errors.New("the bootstrap certificate is of no provisioning package that is known here")
	ErrPackageRevoked = errors.New("the provisioning package was revoked")
	ErrPackageEnded   = errors.New("the provisioning package has ended")
	ErrPackageFull    = errors.New("the provisioning package has admitted as many machines as it may")
	ErrReplayed       = errors.New("this request was answered, and the device has come with its certificate since")
)

// PutPackage keeps a new provisioning package. A name is used once, whatever became of its package: the journal tells packages apart by
// it.
func (s *Server) PutPackage(ctx context.Context, now protocol.Time, who Actor, p store.Package) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	return s.attempt(ctx, now, who, "package "+logs.Escape(p.Name), who.administers(), func(ctx context.Context) error {
		if s.packageCalled(p.Name) != nil {
			return refuse("WIN-067", "there was a package of this name: choose another one")
		}
		what := fmt.Sprintf("package %s made, for %d machines until %s", logs.Escape(p.Name), p.Most, p.Ends.Time().UTC().Format("2006-01-02 15:04"))
		return s.keepPackage(ctx, now, &store.Change{Packages: []store.Package{p}, Lines: line(delivery.WhatTenant, "", what)})
	})
}

// RevokePackage ends a provisioning package now. What enrolled by it stays. The error wraps store.ErrNotFound when there is none.
func (s *Server) RevokePackage(ctx context.Context, now protocol.Time, who Actor, name string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	return s.attempt(ctx, now, who, "package "+logs.Escape(name), who.administers(), func(ctx context.Context) error {
		known := s.packageCalled(name)
		if known == nil {
			return fmt.Errorf("package %q: %w", name, store.ErrNotFound)
		}
		p := *known
		p.Revoked = true
		return s.keepPackage(ctx, now, &store.Change{Packages: []store.Package{p}, Lines: line(delivery.WhatTenant, "", "package "+logs.Escape(name)+" revoked")})
	})
}

func (s *Server) packageCalled(name string) *store.Package {
	packages := s.Content().Packages
	for i := range packages {
		if packages[i].Name == name {
			return &packages[i]
		}
	}
	return nil
}

// keepPackage is change for what concerns packages alone, and no device that there is. The caller has s.admin.
func (s *Server) keepPackage(ctx context.Context, now protocol.Time, c *store.Change) error {
	if err := s.apply(ctx, now, c); err != nil {
		return err
	}
	next := *s.snap.Load()
	next.content = next.content.With(c)
	s.show(&next)
	return nil
}

// Package finds the package whose bootstrap certificate this is, and tells why it admits nobody now.
func (s *Server) Package(now protocol.Time, f delivery.Fingerprint) (store.Package, error) {
	p := s.Content().PackageOf(f)
	switch {
	case p == nil:
		return store.Package{}, ErrPackage
	case p.Revoked:
		return *p, ErrPackageRevoked
	case now >= p.Ends:
		return *p, ErrPackageEnded
	}
	return *p, nil
}

// Unpack enrols a machine by a package: it calls enrol, alone for that machine, with the function that takes the machine's place in the
// package, which enrol calls once nothing else stands against the enrolment. A machine has one place, and one enrolment at a time: what it
// enrolled as before by the same package ends once enrol returns nil (WIN-024).
func (s *Server) Unpack(ctx context.Context, now protocol.Time, f delivery.Fingerprint, hardware, id string, enrol func(place func() error) error) error {
	lock := &s.ties[maphash.String(s.directory.seed, "machine "+hardware)%uint64(len(s.ties))]
	lock.Lock()
	defer lock.Unlock()
	before := ""
	if err := enrol(func() (err error) {
		before, err = s.takePlace(ctx, now, f, hardware, id)
		return err
	}); err != nil || before == "" || before == id {
		return err
	}
	d, err := s.store.Device(ctx, before)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s, which was the same machine: %w", before, err)
	}
	r, err := s.store.Record(ctx, d)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("device %d, which was the same machine: %w", d, err)
	case r.State.User != 0 || r.Facts.Hardware != hardware: // it has enrolled otherwise since
		return nil
	}
	return s.displaced(ctx, now, d)
}

// takePlace counts a machine, durably, and returns what it enrolled as before; empty: it comes for the first time.
func (s *Server) takePlace(ctx context.Context, now protocol.Time, f delivery.Fingerprint, hardware, id string) (before string, err error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	p, err := s.Package(now, f)
	if err != nil {
		return "", err
	}
	machines := s.Content().Admitted(p.Name)
	n := len(machines) + 1
	for i := range machines {
		if machines[i].Hardware == hardware {
			before, n = machines[i].Device, len(machines)
		}
	}
	switch {
	case before == id:
		return before, nil
	case n > p.Most:
		return "", ErrPackageFull
	}
	what := fmt.Sprintf("package %s admits machine %s as %s, %d of %d", logs.Escape(p.Name), logs.Escape(hardware), logs.Escape(id), n, p.Most)
	return before, s.keepPackage(ctx, now, &store.Change{
		Admit: []store.Admission{{Package: p.Name, Hardware: hardware, Device: id, At: now}},
		Lines: line(delivery.WhatTenant, "WIN-067", what),
	})
}

// Promise makes challenge, a secret that the caller derives from a request, good for the one certificate that the request gets. The
// same request again gets the same certificate until its device has come with it; from then on the error is [ErrReplayed] (HST-041).
func (s *Server) Promise(ctx context.Context, now protocol.Time, challenge string, g store.Grant) error {
	g.Hash, g.Expires = sha256.Sum256([]byte(challenge)), now.Add(grantLife)
	var used *store.Grant
	err := s.store.Redeem(ctx, g.Hash, func(g *store.Grant) (*store.Issued, error) { // nothing is redeemed
		used = g
		return nil, nil
	})
	if err == nil && used != nil && used.UsedAt != 0 {
		used.ID = used.Transaction
		done, err := s.checkedIn(ctx, used)
		if err == nil && done {
			err = ErrReplayed
		}
		return err
	}
	if err == nil {
		err = s.store.AddGrant(ctx, &g)
	}
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	return nil
}

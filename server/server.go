package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	randv2 "math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/push"
	"rollcall/server/store"
)

// A Config says what a server is made of.
type Config struct {
	Store store.Store   // the server does not close it
	Push  push.Services // without Apple's its wake-ups stay due; devices of the others come by themselves

	// Renewal returns the enrolment profile of a device for the renewal of its identity, with this challenge in its
	// SCEP payload and all else as the device has it (APL-090). The same arguments must give the same bytes: a profile
	// may be handed out again. Called while the device is held, so it must not call Handle for it. Nil: a device whose
	// identity is due cannot be answered.
	Renewal func(ctx context.Context, now protocol.Time, s *delivery.State, challenge string) ([]byte, error)

	// SetPushCertificate is told the certificate that wake-ups go out with, by Open and after each upload. Nil: nobody.
	SetPushCertificate func(cert tls.Certificate, topic string)

	// Strained tells whether devices have to wait already: no wake-ups are sent meanwhile, since they would bring more
	// (HST-111). Nil: never. It is asked by Run, Tick sends what is due.
	Strained func() bool

	// Observe is called after each commit, before anybody else gets the device, with the world that decided. What it is
	// given is only read and, but for the world, not kept. Nil: nobody. With ChangesOnly it is not called for what is steady
	// ([delivery.Outcome.Steady]).
	Observe     func(now protocol.Time, w *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome)
	ChangesOnly bool

	// Unseen changes of licences and profiles are made without a preview: nobody is there to look at one, and the Previews that
	// such changes return are nil. For rehearsals.
	Unseen bool

	// Part and Others are for a server that has one part of a tenant, from 0 on, and so many others have the rest: the wake-ups of a
	// change leave room for theirs.
	Part, Others int

	Log  logrus.FieldLogger // nil: silent
	Rand func() uint64      // seeds of command ids where an event brings none; no secrets; safe for concurrent use; nil: math/rand/v2
}

// Server is a tenant's MDM server without its sockets and its clock. Safe for concurrent use, except over a store that
// one goroutine has alone ([store.NewAlone]).
type Server struct {
	store store.Store
	alone *alone // nil: others may come at the same time
	cfg   Config
	log   logrus.FieldLogger

	renewals []byte // key of the challenges of renewals

	snap  atomic.Pointer[snapshot]
	admin sync.Mutex // one change of the catalogue at a time

	doubted bool // guarded by admin: World.Doubt of the next snapshot, too

	keys    [64]sync.Mutex // by first byte of a public key: one claim for a key at a time
	reissue [64]sync.Mutex // by device: one renewal of it at a time
	ties    [64]sync.Mutex // by device of the directory: one enrolment of it at a time
	hellos  [64]sync.Mutex // by user: of two devices that enrol at once, the second sees that the first counts

	owners    owners
	addresses addresses // push tokens
	directory addresses // ids of PCs in the directory
	serials   addresses // numbers
	unknown   unknowns
	turned    turned
	impostors impostors // refused for the identity that they came with

	outbox outbox

	blasts blasts

	journal bell
}

// Open makes a server of what cfg.Store keeps.
func Open(ctx context.Context, now protocol.Time, cfg Config) (*Server, error) {
	if cfg.Store == nil {
		return nil, errors.New("server: Config.Store is missing")
	}
	s := &Server{store: cfg.Store, cfg: cfg, log: cfg.Log}
	if m, ok := cfg.Store.(*store.Memory); ok && m.Alone() {
		s.alone = &alone{store: m}
	}
	if s.log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		s.log = silent
	}
	if s.cfg.Rand == nil {
		s.cfg.Rand = randv2.Uint64
	}
	s.outbox.nudged = make(chan struct{}, 1)
	s.outbox.sweep.Store(int64(now))
	content, err := s.store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	s.snap.Store(newSnapshot(content, nil))
	s.addresses.open()
	s.directory.open()
	s.serials.open()
	var known []protocol.Device
	err = s.store.States(ctx, func(st *delivery.State) {
		s.owners.add(st.User, st.Device)
		s.addresses.add(st.Push.Token, st.Device)
		if s.alone == nil || st.Platform == protocol.Windows {
			known = append(known, st.Device)
		}
	})
	for i := 0; i < len(known) && err == nil; i++ {
		var r store.Record
		if r, err = s.store.Record(ctx, known[i]); err != nil {
			break
		}
		s.directory.add([]byte(r.Facts.Directory), known[i])
		if r.State.Life == delivery.Enrolled && r.Facts.Serial != "" {
			s.serials.claim([]byte(r.Facts.Serial), known[i])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("devices: %w", err)
	}
	s.renewals, err = s.Secret(ctx, now, "renewal challenges", func() ([]byte, error) {
		key := make([]byte, 32)
		rand.Read(key) // never fails: it ends the process instead
		return key, nil
	})
	if err != nil {
		return nil, err
	}
	if cert := inUse(content); cert != nil {
		if err := s.usePushCertificate(cert); err != nil {
			return nil, err
		}
	}
	s.outbox.mended.Store(s.alone == nil) // by whoever ended before it could look
	if err := s.openClock(ctx, now); err != nil {
		return nil, fmt.Errorf("clock: %w", err)
	}
	if err := s.takeUpBackup(ctx, now); err != nil {
		return nil, err
	}
	return s, nil
}

// World is the present snapshot of what the tenant wants. Read only.
func (s *Server) World() *delivery.World { return s.snap.Load().world }

// Content is the present snapshot of what administrators decided. Read only.
func (s *Server) Content() *store.Content { return s.snap.Load().content }

// Store is where the server keeps its state; for reading.
func (s *Server) Store() store.Store { return s.store }

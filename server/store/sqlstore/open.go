package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
	"rollcall/server/store/sqlstore/wal"
)

// A Store is a [store.Store] in a data folder.
type Store struct {
	folder *folder
	read   *lookups // for the single rows that rounds need
	lists  *sql.DB  // for lists and the journal, which may take long: they never hold up a round (HST-100)
	w      *writer

	committer
	devs   devices
	dues   dues
	certs  credentials
	hashes holds // of grants

	applying  sync.Mutex   // by whoever changes the catalogue
	catalogue sync.RWMutex // guards content
	content   *store.Content

	before      int64        // version of the tables that Open found
	unsignedEnd *store.Break // of the journal that Open found

	clock  atomic.Int64 // newest time that a caller gave, a protocol.Time
	failed chan error

	closing sync.Once
	closed  error // what Close returned
}

var _ store.Store = (*Store)(nil)

// Open opens the data folder dir and makes it where there is none. Nobody else can open it until Close or the end of the
// process. Every error is one sentence that says what is wrong with the folder and what to do; a folder that is
// refused is left as it was.
func Open(ctx context.Context, dir string) (*Store, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, f, usual)
	if err != nil {
		f.close()
		return nil, roomFor(dir, err)
	}
	return s, nil
}

func open(ctx context.Context, f *folder, p pace) (_ *Store, err error) {
	fresh, err := f.prepare()
	if damage, ok := errors.AsType[wal.Damage](err); ok {
		return nil, f.damaged(damage)
	}
	if err == nil && !fresh {
		err = checkDatabase(ctx, f)
	}
	if err != nil {
		return nil, err
	}
	migrations, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		return nil, err
	}
	before, err := migrate(ctx, f.file(dbName), migrations, 0)
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", f.path, err)
	}
	if err := f.takeUp(ctx); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", f.path, err)
	}

	s := &Store{folder: f, failed: make(chan error, 1), before: before}
	s.wake, s.done = make(chan struct{}, 1), make(chan struct{})
	s.pace = p
	s.devs.byID, s.devs.byNumber = make(map[string]*entry), make([]*entry, 1)
	s.certs.known = make(map[delivery.Fingerprint]delivery.Credential)
	defer func() {
		if err != nil {
			s.closeFiles()
			err = fmt.Errorf("data folder %s: %w", f.path, err)
		}
	}()
	conn, err := openWriter(f.file(dbName))
	if err != nil {
		return nil, err
	}
	if s.w, err = newWriter(conn); err != nil {
		return nil, err
	}
	single, err := openReaders(f.file(dbName))
	if err != nil {
		return nil, err
	}
	s.read = &lookups{db: single}
	if s.lists, err = openReaders(f.file(dbName)); err != nil {
		return nil, err
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	s.keepReserve()
	go s.run()
	return s, nil
}

// Close finishes the changes that wait, refuses further ones with store.ErrClosed, and gives the folder back.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.stop(store.ErrClosed)
		<-s.done
		s.afterwards(true)
		s.closed = errors.Join(s.closeFiles(), s.folder.close())
	})
	return s.closed
}

func (s *Store) closeFiles() error {
	var errs []error
	if s.read != nil {
		errs = append(errs, s.read.close())
	}
	if s.lists != nil {
		errs = append(errs, s.lists.Close())
	}
	if s.w != nil {
		errs = append(errs, s.w.close()) // the last one: it empties the log and removes it
	}
	return errors.Join(errs...)
}

// Failed gives the one error after which the store acknowledges nothing any more, because a sync of the disk failed and
// nobody can tell what it holds (HST-093). The process should end and be started again.
func (s *Store) Failed() <-chan error { return s.failed }

// tick takes note of a caller's time.
func (s *Store) tick(now protocol.Time) {
	for {
		was := s.clock.Load()
		if int64(now) <= was || s.clock.CompareAndSwap(was, int64(now)) {
			return
		}
	}
}

// load reads what is held in memory.
func (s *Store) load(ctx context.Context) error {
	err := query(ctx, s.lists, selectFrom("devices", append(deviceColumns, "id")...)+"ORDER BY number", func(r *row) {
		e := new(entry)
		scanDevice(r, &e.state)
		e.number, e.id, e.kept, e.seen = e.state.Device, r.text(), true, e.state.LastSeen
		e.state.Place = delivery.PlaceOf(e.id)
		for int(e.number) > len(s.devs.byNumber) {
			s.devs.byNumber = append(s.devs.byNumber, nil)
		}
		s.devs.byNumber = append(s.devs.byNumber, e)
		s.devs.byID[e.id] = e
		s.tick(e.state.LastSeen)
	})
	if err == nil { // numbers that were used before are not used again
		err = query(ctx, s.lists, "SELECT seq FROM sqlite_sequence WHERE name='devices'", func(r *row) {
			for n := num[uint32](r); len(s.devs.byNumber) <= int(n); {
				s.devs.byNumber = append(s.devs.byNumber, nil)
			}
		})
	}
	owner := func(r *row) *entry {
		e, err := s.devs.find(num[protocol.Device](r))
		if err != nil {
			e, r.err = new(entry), fmt.Errorf("it has rows of a device that is not there: %w", err)
		}
		return e
	}
	if err == nil {
		err = query(ctx, s.lists, selectFrom("device_secrets", "device", "unlock", "escrow"), func(r *row) {
			st := &owner(r).state
			rare := *st.Rare.Read()
			rare.Unlock, rare.Escrow = r.blob(), r.blob()
			st.Rare = rare.Kept()
		})
	}
	if err == nil {
		err = query(ctx, s.lists, "SELECT device, name, model, product, serial, os_version, build, imei, meid, hardware, said, directory FROM facts", func(r *row) {
			owner(r).facts = delivery.Facts{
				Name: r.text(), Model: r.text(), Product: r.text(), Serial: r.text(), OSVersion: r.text(),
				Build: r.text(), IMEI: r.text(), MEID: r.text(), Hardware: r.text(), Said: r.text(), Directory: r.text(),
			}
		})
	}
	if err == nil {
		err = query(ctx, s.lists, selectFrom("device_profiles", "device", "profile", "state", "tries", "at")+"ORDER BY device, profile", func(r *row) {
			st := &owner(r).state
			st.Profiles = append(st.Profiles, delivery.Assigned{
				Profile: num[protocol.Profile](r), State: num[delivery.ProfileState](r),
				Tries: num[uint8](r), At: r.time(),
			})
		})
	}
	if err == nil {
		err = query(ctx, s.lists, selectFrom("queue", commandColumns...)+"ORDER BY device, seq", func(r *row) {
			st := &owner(r).state
			st.Queue = append(st.Queue, scanCommand(r).Queued)
		})
	}
	if err == nil {
		err = s.loadCredentials(ctx)
	}
	if err == nil {
		s.content, err = loadCatalogue(ctx, s.lists)
	}
	if err == nil {
		err = query(ctx, s.lists, "SELECT at FROM journal ORDER BY seq DESC LIMIT 1", func(r *row) { s.tick(r.time()) })
	}
	if err == nil {
		err = s.openJournal(ctx)
	}
	for _, e := range s.devs.byID {
		if due := dueOf(&e.state); due != 0 {
			s.dues.set(e, due)
		}
	}
	return err
}

// scanCommand reads commandColumns after the device.
func scanCommand(r *row) (c delivery.CommandChange) {
	c.Seq = num[uint64](r)
	copy(c.ID[:], r.blob())
	c.Kind, c.Profile = num[protocol.CommandKind](r), num[protocol.Profile](r)
	c.PIN, c.Text, c.At, c.NotNow = r.text(), r.text(), r.time(), r.flag()
	c.Status, c.Result, c.Errors = num[protocol.Status](r), r.blob(), r.text()
	return c
}

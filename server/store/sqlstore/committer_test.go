package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// coded is an error with a result code of SQLite.
type coded int

func (c coded) Error() string { return fmt.Sprintf("result code %d", int(c)) }
func (c coded) Code() int     { return int(c) }

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		code coded
		want failure
	}{
		{13, noSpace}, {778, noSpace}, {1546, noSpace}, {4874, noSpace}, {14, noSpace}, // full, failed writes, no more files
		{1034, theEnd}, {1290, theEnd}, {266, theEnd}, {10, theEnd}, // syncs, reads
		{11, theEnd}, {267, theEnd}, {26, theEnd}, {8, theEnd}, {21, theEnd}, // damage, read-only, misuse
		{5, tryNext}, {517, tryNext}, {6, tryNext}, {7, tryNext}, {3082, tryNext}, {9, tryNext}, // busy, locked, memory
		{19, itsOwn}, {1555, itsOwn}, {2067, itsOwn}, {787, itsOwn}, {18, itsOwn}, {1, itsOwn}, // constraints, size, SQL
	} {
		if got := classify(fmt.Errorf("wrapped: %w", tt.code)); got != tt.want {
			t.Errorf("classify(%d) = %d, want %d", tt.code, got, tt.want)
		}
	}
	if got := classify(errors.New("ours")); got != itsOwn {
		t.Errorf("classify of an error of ours = %d", got)
	}
}

// together has the committer take changes as one group, and returns their errors.
func together(t *testing.T, s *Store, changes ...change) []error {
	t.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		s.commit(changeFunc(func(*writer) error {
			select {
			case <-held: // written again, with care
			default:
				close(held)
				<-release
			}
			return nil
		}))
	})
	<-held
	errs := make([]error, len(changes))
	for i, c := range changes {
		wg.Go(func() { errs[i] = s.commit(c) })
		for queued := 0; queued <= i; { // in order
			s.mu.Lock()
			queued = len(s.queue)
			s.mu.Unlock()
		}
	}
	groups := s.groups.Load()
	close(release)
	wg.Wait()
	if n := s.groups.Load() - groups; n != 2 {
		t.Errorf("%d groups, want the first change and all others", n)
	}
	return errs
}

// breaks has f decide about every statement of the committer from now on.
func breaks(t *testing.T, s *Store, f func(statement) error) {
	t.Helper()
	armed := false
	err := s.commit(changeFunc(func(w *writer) error {
		w.broken = func(q statement) error {
			if !armed { // this change is still to be kept
				armed = q == commit
				return nil
			}
			return f(q)
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
}

func lineChange(detail string) change {
	return changeFunc(func(w *writer) error {
		b := batch{w: w}
		b.journal(epoch, &delivery.Effect{What: delivery.WhatQueued, Detail: detail})
		return b.err
	})
}

func journal(t *testing.T, s *Store) (details []string) {
	t.Helper()
	lines, err := s.Journal(context.Background(), store.LineFilter{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range lines {
		if l.Seq != uint64(i+1) {
			t.Errorf("line %d has number %d", i+1, l.Seq)
		}
		details = append(details, l.Detail)
	}
	return details
}

func TestOneFailsAlone(t *testing.T) {
	s := openTest(t)
	errOurs := errors.New("ours")
	errs := together(t, s, lineChange("first"),
		changeFunc(func(w *writer) error {
			lineChange("half of a change").write(w)
			return errOurs
		}),
		lineChange("second"),
		changeFunc(func(w *writer) error { // the database's own no
			lineChange("half of another").write(w)
			_, err := w.exec(putFacts, int64(999), "", "", "", "", "", "", "", "")
			return err
		}),
		lineChange("third"))
	if errs[0] != nil || !errors.Is(errs[1], errOurs) || errs[2] != nil || errs[3] == nil || errs[4] != nil {
		t.Errorf("errors = %v, want only the second and the fourth to fail", errs)
	}
	if got := strings.Join(journal(t, s), ","); got != "first,second,third" {
		t.Errorf("journal = %s", got)
	}
	if _, err := s.VerifyJournal(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestGroupDoesNotWaitAlone(t *testing.T) {
	s := openSlow(t, t.TempDir())
	for range 3 {
		if err := s.commit(lineChange("alone")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGroupEndsWhenAllAreThere(t *testing.T) {
	s := openSlow(t, t.TempDir())
	changes := make([]change, 8)
	for i := range changes {
		changes[i] = lineChange("")
	}
	together(t, s, changes...) // the committer expects as many again
	groups := s.groups.Load()
	var wg sync.WaitGroup
	for _, c := range changes {
		wg.Go(func() { s.commit(c) })
	}
	wg.Wait()
	if n := s.groups.Load() - groups; n != 1 {
		t.Errorf("%d groups, want one", n)
	}
}

func TestHST093SyncFails(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	d := enrol(t, s, "A")
	tx, err := s.Begin(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	commits := 0
	breaks(t, s, func(q statement) error {
		if q == commit {
			commits++
			return coded(1034)
		}
		return nil
	})
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = s.commit(lineChange("lost")) })
	}
	wg.Wait()
	for _, err := range errs {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("commit = %v, want ErrClosed", err)
		}
	}
	select {
	case err := <-s.Failed():
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("Failed gave %v", err)
		}
	default:
		t.Error("Failed gave nothing")
	}
	if commits != 1 {
		t.Errorf("%d tries to commit, want one: a second sync would lie", commits)
	}
	if err := s.commit(lineChange("after")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("commit afterwards = %v, want ErrClosed", err)
	}
	if err := tx.Commit(epoch, &delivery.Outcome{State: *tx.State()}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a steady commit afterwards = %v, want ErrClosed: nothing is acknowledged any more", err)
	}
	tx.End()
	s.Close()
	s = openDir(t, dir)
	if got := journal(t, s); len(got) != 0 {
		t.Errorf("journal after a restart = %q", got)
	}
	line(t, s, d, "works again")
}

// TestHST093QueuedBehindAFailedSync: what waited while a sync failed is not written by a second one, though that would succeed.
func TestHST093QueuedBehindAFailedSync(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	commits, failing, fail := 0, make(chan struct{}), make(chan struct{})
	breaks(t, s, func(q statement) error {
		if q != commit {
			return nil
		}
		if commits++; commits > 1 {
			return nil // the second sync would lie
		}
		close(failing)
		<-fail
		return coded(1034)
	})
	errs := make([]error, 4)
	var wg sync.WaitGroup
	wg.Go(func() { errs[0] = s.commit(lineChange("failed")) })
	<-failing
	for i := range errs[1:] {
		wg.Go(func() { errs[1+i] = s.commit(lineChange("queued")) })
	}
	for queued := 0; queued < len(errs)-1; {
		s.mu.Lock()
		queued = len(s.queue)
		s.mu.Unlock()
	}
	close(fail)
	wg.Wait()
	for i, err := range errs {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("commit %d = %v, want ErrClosed", i, err)
		}
	}
	s.Close()
	if commits != 1 {
		t.Errorf("%d tries to commit, want the one that failed", commits)
	}
	if got := journal(t, openDir(t, dir)); len(got) != 0 {
		t.Errorf("journal after a restart = %q", got)
	}
}

// TestHST092HST093EveryStatement fails the n-th statement of a script, for every n, as a full disk, a failing disk, a busy database and a
// defect do. What was acknowledged is there afterwards, what was not is wholly not, in memory and after a restart.
func TestHST092HST093EveryStatement(t *testing.T) {
	dir := filled(t)
	for _, tt := range []struct {
		code  coded
		every int
	}{{13, 1}, {1034, 1}, {778, 5}, {5, 5}, {19, 5}} {
		for n, finished := 1, false; !finished; n += tt.every {
			finished = failNth(t, dir, tt.code, n)
		}
	}
}

// failNth plays the script on a copy of a folder; true when it ended before its n-th statement.
func failNth(t *testing.T, from string, code coded, n int) bool {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	s := openDir(t, dir)
	seen := 0
	breaks(t, s, func(q statement) error {
		if q == rollback {
			return nil
		}
		if seen++; seen == n {
			return code
		}
		return nil
	})
	const steps = 2
	acked := uint64(0)
	for k := range uint64(steps) {
		err := step(s, 1, acked+1)
		switch {
		case err == nil:
			acked++
		case code == 13 || code == 778:
			if !errors.Is(err, store.ErrFull) {
				t.Errorf("code %d at %d: step %d = %v, want ErrFull", code, n, k, err)
			}
		case code == 1034 && !errors.Is(err, store.ErrClosed):
			t.Errorf("code %d at %d: step %d = %v, want ErrClosed", code, n, k, err)
		}
	}
	if code != 1034 && acked < steps-1 {
		t.Errorf("code %d at %d: %d steps succeeded, want all but one", code, n, acked)
	}
	if code != 1034 {
		verify(t, s, 1, acked, acked)
	}
	s.Close()
	finished := seen < n
	s = openDir(t, dir)
	verify(t, s, 1, acked, acked)
	s.Close()
	return finished
}

func TestHistoryAndExchangesAreBounded(t *testing.T) {
	s := openTest(t)
	d := enrol(t, s, "A")
	const steps = historyKept + 3*historySlack
	for k := range uint64(steps) {
		if err := step(s, d, k+1); err != nil {
			t.Fatal(err)
		}
	}
	verify(t, s, d, steps, steps)
	for table, most := range map[string]int{"history": historyKept + historySlack, "exchanges": store.ExchangesKept, "queue": 1} {
		var n int
		if err := s.read.db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil || n > most {
			t.Errorf("%d rows of %s, %v; want %d at most", n, table, err, most)
		}
	}
	if h, err := s.History(context.Background(), d, 5); err != nil || len(h) != 5 || h[0].Seq != steps {
		t.Errorf("History of 5 = %d, %v", len(h), err)
	}
}

func TestHST095LogIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	enrol(t, s, "A")
	size := func() int64 {
		st, err := os.Stat(filepath.Join(dir, dbName+"-wal"))
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	var most int64
	for range 5 {
		changes := make([]change, checkpointEvery/8)
		for i := range changes {
			changes[i] = lineChange(strings.Repeat("x", 100))
		}
		for range 8 {
			if err := s.commit(changeFunc(func(w *writer) error {
				for _, c := range changes {
					if err := c.write(w); err != nil {
						return err
					}
				}
				return nil
			})); err != nil {
				t.Fatal(err)
			}
		}
		s.commit(changeFunc(func(*writer) error { s.dirty = checkpointEvery; return nil })) // as so many single changes do
		if most == 0 {
			most = size()
		}
	}
	if got := size(); got > 2*most {
		t.Errorf("the log has %d bytes after five rounds, %d after one", got, most)
	}
	s.Close()
	if _, err := os.Stat(filepath.Join(dir, dbName+"-wal")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log after Close: %v, want it gone", err)
	}
}

func TestLastSeenLags(t *testing.T) {
	dir := t.TempDir()
	s := openSlow(t, dir)
	d := enrol(t, s, "A")
	see := func(at protocol.Time) {
		t.Helper()
		tx, err := s.Begin(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.End()
		out := delivery.Outcome{State: *tx.State()}
		out.State.LastSeen = at
		if err := tx.Commit(at, &out); err != nil {
			t.Fatal(err)
		}
	}
	groups := s.groups.Load()
	see(epoch.Add(time.Minute))
	if len(s.devs.late) != 0 {
		t.Error("a minute is worth a write")
	}
	see(epoch.Add(seenLag))
	see(epoch.Add(2 * seenLag))
	if len(s.devs.late) != 1 || s.groups.Load() != groups {
		t.Errorf("%d devices wait for their last_seen to be written, %d groups; want one and none", len(s.devs.late), s.groups.Load()-groups)
	}
	if rec, err := s.Record(context.Background(), d); err != nil || rec.State.LastSeen != epoch.Add(2*seenLag) {
		t.Errorf("last seen %s in memory, %v", rec.State.LastSeen, err)
	}
	s.Close()
	s = openDir(t, dir)
	if rec, err := s.Record(context.Background(), d); err != nil || rec.State.LastSeen != epoch.Add(2*seenLag) {
		t.Errorf("last seen %s after a restart, %v", rec.State.LastSeen, err)
	}
}

func TestPrune(t *testing.T) {
	s := openTest(t)
	ctx := context.Background()
	grant := func(n byte, end protocol.Time) {
		t.Helper()
		g := store.Grant{Hash: [32]byte{n}, Expires: end}
		if err := s.AddGrant(ctx, &g); err != nil {
			t.Fatal(err)
		}
		if err := s.AddTicket(ctx, &store.Ticket{Hash: g.Hash, Expires: end}); err != nil {
			t.Fatal(err)
		}
		err := s.Redeem(ctx, g.Hash, func(g *store.Grant) (*store.Issued, error) {
			c := delivery.Credential{Identity: delivery.Identity{Fingerprint: delivery.Fingerprint{n}, NotAfter: end}}
			return &store.Issued{Grant: *g, Credential: c}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	grant(1, epoch)
	grant(2, epoch.Add(credentialKept))
	s.tick(epoch.Add(credentialKept + time.Second))
	if err := s.commit(lineChange("brings the committer to look")); err != nil {
		t.Fatal(err)
	}
	if err := s.commit(lineChange("after it has looked")); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int{"grants": 1, "tickets": 1, "credentials": 1} {
		var n int
		if err := s.read.db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil || n != want {
			t.Errorf("%d rows of %s, %v; want %d", n, table, err, want)
		}
	}
	if _, err := s.Credential(ctx, delivery.Fingerprint{1}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Credential of a certificate that ended a year ago = %v", err)
	}
	if _, err := s.Credential(ctx, delivery.Fingerprint{2}); err != nil {
		t.Errorf("Credential of the other one = %v", err)
	}
}

// TestAND073OtherSlots: an answer is found in whatever slot it is: where a process kept fewer, it put them elsewhere.
func TestAND073OtherSlots(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	d := enrol(t, s, "A")
	for k := range uint64(8) {
		if err := step(s, d, k+1); err != nil {
			t.Fatal(err)
		}
	}
	var key []byte
	if err := s.read.db.QueryRow("SELECT key FROM exchanges WHERE nth=3").Scan(&key); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, "UPDATE exchanges SET slot=slot+8")
	s = openDir(t, dir)
	tx, err := s.Begin(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.End()
	if !tx.Answered(delivery.Key(key), new(delivery.Outcome)) {
		t.Error("an answer in another slot is not found")
	}
}

package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
	"rollcall/server/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t,
		func(t *testing.T) store.Store { return openTest(t) },
		func(t *testing.T, s store.Store) store.Store {
			dir := s.(*Store).folder.path
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openDir(t, dir)
		})
}

// TestGoneForGood: a record that was removed leaves nothing but its journal, and its number is not used again.
func TestGoneForGood(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	ctx := context.Background()
	d := enrol(t, s, "A")
	for k := range uint64(3) {
		if err := step(s, d, k+1); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := s.Begin(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan error)
	go func() {
		tx, err := s.Create(ctx, "A") // waits for the one that goes
		if err == nil {
			if got := tx.State(); got.Life != delivery.NoLife || got.Device == d {
				err = fmt.Errorf("state %+v", got)
			}
			tx.End()
		}
		waits <- err
	}()
	out := delivery.Outcome{State: *tx.State(), Changed: delivery.Gone, Effects: []delivery.Effect{{Kind: delivery.Journal, Device: d, What: delivery.WhatRecordRemoved}}}
	if err := tx.Commit(epoch, &out); err != nil {
		t.Fatal(err)
	}
	tx.End()
	if err := <-waits; err != nil {
		t.Errorf("Create of whoever waited: %v", err)
	}
	if _, err := s.Begin(ctx, d); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Begin of a removed record = %v", err)
	}
	if due, err := s.NextDue(ctx, true); due != 0 || err != nil {
		t.Errorf("NextDue = %s, %v; want never", due, err)
	}
	for _, table := range []string{"devices", "device_secrets", "device_profiles", "facts", "queue", "history", "exchanges"} {
		var n int
		if err := s.read.db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows of %s, %v", n, table, err)
		}
	}
	if got := journal(t, s); len(got) != 4 {
		t.Errorf("journal = %q, want three steps and the removal", got)
	}
	s.Close()
	s = openDir(t, dir)
	if again := enrol(t, s, "A"); again <= d {
		t.Errorf("number %d after number %d was removed", again, d)
	}
}

func TestTwoDevicesBindOneCertificate(t *testing.T) {
	s := openTest(t)
	ctx := context.Background()
	f := delivery.Fingerprint{7}
	if err := s.AddGrant(ctx, &store.Grant{Hash: [32]byte{1}, Expires: epoch.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Redeem(ctx, [32]byte{1}, func(g *store.Grant) (*store.Issued, error) {
		return &store.Issued{Grant: *g, Credential: delivery.Credential{Identity: delivery.Identity{Fingerprint: f, NotAfter: epoch.Add(time.Hour)}}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	devices := []protocol.Device{enrol(t, s, "A"), enrol(t, s, "B")}
	errs := make([]error, len(devices))
	var wg sync.WaitGroup
	for i, d := range devices {
		wg.Go(func() {
			tx, err := s.Begin(ctx, d)
			if err != nil {
				errs[i] = err
				return
			}
			defer tx.End()
			errs[i] = tx.Commit(epoch, &delivery.Outcome{State: *tx.State(), Effects: []delivery.Effect{{Kind: delivery.Bind, Device: d, Fingerprint: f}}})
		})
	}
	wg.Wait()
	c, err := s.Credential(ctx, f)
	if err != nil || (errs[0] == nil) == (errs[1] == nil) || c.Device != devices[0] && errs[0] == nil || c.Device != devices[1] && errs[1] == nil {
		t.Errorf("Bind = %v, the certificate belongs to %d, %v; want exactly one to have it", errs, c.Device, err)
	}
}

func TestDuesAgreeWithSorting(t *testing.T) {
	var d dues
	entries := make([]*entry, 300)
	x := uint32(1)
	random := func(n uint32) uint32 { x = x*1664525 + 1013904223; return x >> 8 % n }
	for i := range entries {
		entries[i] = &entry{number: protocol.Device(i + 1)}
	}
	for round := range 2000 {
		e := entries[random(uint32(len(entries)))%uint32(len(entries))]
		e.state.Platform = []protocol.Platform{protocol.IOS, protocol.Windows}[random(2)]
		d.set(e, protocol.Time(random(64)%50)) // 0 takes it out
		if round%100 != 0 {
			continue
		}
		now, apple := protocol.Time(random(64)%60), random(2) == 0
		var want []*entry
		for _, e := range entries {
			at := len(want)
			for at > 0 && sooner(e, want[at-1]) {
				at--
			}
			if e.due != 0 && e.due <= now && (apple || !e.apple) {
				want = append(want[:at], append([]*entry{e}, want[at:]...)...)
			}
		}
		n := int(random(64) % 40)
		got := d.until(now, n, apple)
		if next := d.next(apple); len(want) > 0 && next != want[0].due {
			t.Fatalf("next due at %d, want %d", next, want[0].due)
		}
		if len(got) != min(n, len(want)) {
			t.Fatalf("%d due at %d, want %d of %d", len(got), now, n, len(want))
		}
		for i := range got {
			if got[i] != want[i].number {
				t.Fatalf("number %d of those due at %d is device %d, want %d", i, now, got[i], want[i].number)
			}
		}
	}
}

func TestHST073NamesAreOnlyParameters(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	names := []string{"'; DROP TABLE devices; --", "' OR 1=1 --", "%", "_", "\x00", "\"", "?1", ":a", strings.Repeat("x", 1<<20), "\xff\xfe"}
	numbers := make(map[string]protocol.Device)
	for _, name := range names {
		d := enrol(t, s, name)
		numbers[name] = d
		line(t, s, d, name)
	}
	s.Close()
	s = openDir(t, dir)
	for i, name := range names {
		if d, err := s.Device(context.Background(), name); err != nil || d != numbers[name] {
			t.Errorf("Device(%.20q) = %d, %v; want %d", name, d, err, numbers[name])
		}
		if l, err := s.Journal(context.Background(), store.LineFilter{After: uint64(i)}, 1); err != nil || len(l) != 1 || l[0].Detail != name {
			t.Errorf("line %d has changed: %v", i+1, err)
		}
	}
	if _, err := s.Device(context.Background(), "%%"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Device of a pattern = %v, want ErrNotFound", err)
	}
}

// TestHST091Settings: what no test can see fail without cutting the power.
func TestHST091Settings(t *testing.T) {
	s := openTest(t)
	for pragma, want := range map[string]driver.Value{
		"journal_mode": "wal", "synchronous": int64(2), "foreign_keys": int64(1), "busy_timeout": int64(5000),
		"wal_autocheckpoint": int64(0),
	} {
		err := s.commit(changeFunc(func(w *writer) error {
			st, err := w.conn.Prepare("PRAGMA " + pragma)
			if err != nil {
				return err
			}
			defer st.Close()
			rows, err := st.(driver.StmtQueryContext).QueryContext(context.Background(), nil)
			if err != nil {
				return err
			}
			defer rows.Close()
			got := make([]driver.Value, 1)
			if err := rows.Next(got); err != nil {
				return err
			}
			if got[0] != want {
				t.Errorf("%s = %v, want %v", pragma, got[0], want)
			}
			return nil
		}))
		if err != nil {
			t.Errorf("%s: %v", pragma, err)
		}
	}
}

// TestUnreadableAnswer: where it cannot be told whether a message is a repeat, nothing that was decided about it is kept.
func TestUnreadableAnswer(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	d := enrol(t, s, "A")
	if err := step(s, d, 1); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openDir(t, dir)
	s.read.close()
	tx, err := s.Begin(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.End()
	var out delivery.Outcome
	if tx.Answered(delivery.Key{1, 0, 1}, &out) {
		t.Error("Answered from nowhere")
	}
	out.State, out.Changed = *tx.State(), delivery.Core
	if err := tx.Commit(epoch, &out); err == nil {
		t.Error("Commit of what may be a repeat succeeded")
	}
}

package sqlstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

var epoch = protocol.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

// A machine that many tests share may take longer for a query than a server may.
func init() { readLimit = time.Minute }

func openTest(t testing.TB) *Store {
	t.Helper()
	return openDir(t, t.TempDir())
}

func openDir(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// openSlow opens an empty store whose committer never tires of waiting: what has to wait for it does so for good.
func openSlow(t testing.TB, dir string) *Store {
	t.Helper()
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(context.Background(), f, pace{gather: time.Hour, idle: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// enrol makes the device that the wire calls id, ready to be woken.
func enrol(t testing.TB, s *Store, id string) protocol.Device {
	t.Helper()
	tx, err := s.Create(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.End()
	var out delivery.Outcome
	out.State = *tx.State()
	out.State.Platform, out.State.Life, out.State.Registered, out.State.User = protocol.IOS, delivery.Enrolled, protocol.Office365, 7
	out.State.Push = delivery.Push{
		Topic: "com.apple.mgmt.External.6f1c2f1e-5b5e-4f7c-9d59-0d8f3a1f2b77", Magic: "9B3C1C47-6A0E-4B6B-8C57-1B8C9C61B9F3",
		Token: make([]byte, 32), Since: epoch,
	}
	out.State.Identity = delivery.Identity{Fingerprint: delivery.Fingerprint{1, 2, byte(out.State.Device)}, NotBefore: epoch, NotAfter: epoch.Add(365 * 24 * time.Hour)}
	out.State.LastSeen = epoch
	out.State.Wake = delivery.Wake{Due: epoch.Add(8 * time.Hour), Reason: delivery.Scheduled}
	out.Changed = delivery.Core | delivery.Wakes
	if err := tx.Commit(epoch, &out); err != nil {
		t.Fatal(err)
	}
	return tx.State().Device
}

// step is one change of device d that touches every table of a device. All parts of the k-th step say k.
func step(s *Store, d protocol.Device, k uint64) error {
	tx, err := s.Begin(context.Background(), d)
	if err != nil {
		return err
	}
	defer tx.End()
	mark := [16]byte{1, byte(k >> 8), byte(k)}
	now := epoch.Add(time.Duration(k) * time.Second)
	out := delivery.Outcome{State: *tx.State(), Changed: delivery.Core | delivery.Wakes | delivery.Profiles | delivery.Secrets | delivery.FactsToo}
	out.State.Seq = k
	out.State.Push.Since = now
	out.State.Wake.Due = now
	out.State.Rare = &delivery.Rare{Escrow: mark[:]}
	out.State.Profiles = []delivery.Assigned{{Profile: protocol.Profile(k), State: delivery.Installed}}
	queued := delivery.Queued{Command: protocol.Command{ID: mark, Kind: protocol.Lock}, Seq: k, At: now}
	out.Commands = append(out.Commands, delivery.CommandChange{Queued: queued})
	if old := out.State.Queue; len(old) > 0 {
		out.Commands = append(out.Commands, delivery.CommandChange{Queued: old[0], Status: protocol.Acknowledged, Final: true, Result: mark[:]})
	}
	out.State.Queue = []delivery.Queued{queued}
	out.Facts = &delivery.Facts{Name: fmt.Sprint(k)}
	out.Effects = []delivery.Effect{{Kind: delivery.Journal, Device: d, What: delivery.WhatQueued, Detail: fmt.Sprint(k)}}
	out.Exchange = delivery.Exchange{Key: mark, Answer: mark[:]}
	return tx.Commit(now, &out)
}

// verify wants device d as its k-th step left it, where k is least or, unacknowledged, up to most; and returns k.
func verify(t *testing.T, s *Store, d protocol.Device, least, most uint64) uint64 {
	t.Helper()
	ctx := context.Background()
	tx, err := s.Begin(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	st := *tx.State()
	k := st.Seq
	if k < least || k > most {
		t.Errorf("device %d: %d steps are there, want %d to %d", d, k, least, most)
	}
	var out delivery.Outcome
	mark := delivery.Key{1, byte(k >> 8), byte(k)}
	if k > 0 && (!tx.Answered(mark, &out) || string(out.Exchange.Answer) != string(mark[:])) {
		t.Errorf("device %d: no answer of step %d", d, k)
	}
	if tx.Answered(delivery.Key{1, byte((k + 1) >> 8), byte(k + 1)}, &out) {
		t.Errorf("device %d: an answer of step %d", d, k+1)
	}
	tx.End()
	if k == 0 {
		return k
	}
	now := epoch.Add(time.Duration(k) * time.Second)
	if st.Push.Since != now || st.Wake.Due != now || string(st.Rare.Read().Escrow) != string(mark[:]) || len(st.Profiles) != 1 ||
		st.Profiles[0].Profile != protocol.Profile(k) || len(st.Queue) != 1 || st.Queue[0].Seq != k {
		t.Errorf("device %d: after step %d the state is %+v", d, k, st)
	}
	rec, err := s.Record(ctx, d)
	if err != nil || rec.Facts.Name != fmt.Sprint(k) {
		t.Errorf("device %d: facts %+v, %v; want those of step %d", d, rec.Facts, err, k)
	}
	history, err := s.History(ctx, d, 1000)
	if err != nil || uint64(len(history)) != min(k, uint64(len(history))) || len(history) < int(min(k, historyKept)) {
		t.Errorf("device %d: %d commands after step %d, %v", d, len(history), k, err)
	}
	for i, c := range history {
		if want := k - uint64(i); c.Seq != want || c.Final != (i > 0) {
			t.Errorf("device %d: command %d of the history has number %d, final %t; want %d", d, i, c.Seq, c.Final, want)
		}
	}
	return k
}

package sqlstore

import (
	"context"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

var epoch = protocol.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

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
	out.State.Push = delivery.Push{Topic: "com.apple.mgmt.External.6f1c2f1e-5b5e-4f7c-9d59-0d8f3a1f2b77", Magic: "9B3C1C47-6A0E-4B6B-8C57-1B8C9C61B9F3",
		Token: make([]byte, 32), Since: epoch}
	out.State.Identity = delivery.Identity{Fingerprint: delivery.Fingerprint{1, 2, byte(out.State.Device)}, NotBefore: epoch, NotAfter: epoch.Add(365 * 24 * time.Hour)}
	out.State.LastSeen = epoch
	out.State.Wake = delivery.Wake{Due: epoch.Add(8 * time.Hour), Reason: delivery.Scheduled}
	out.Changed = delivery.Core | delivery.Wakes
	if err := tx.Commit(epoch, &out); err != nil {
		t.Fatal(err)
	}
	return tx.State().Device
}

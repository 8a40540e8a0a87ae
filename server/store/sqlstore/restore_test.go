package sqlstore

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// TestHST101Recognised: a database that was put into a folder is told from one that only starts again, whatever became of
// the files beside it.
func TestHST101Recognised(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name string
		put  func(t *testing.T, dir string) string // leaves a folder to be opened; dir is that of a stopped server
		want bool
	}{
		{"a start", func(_ *testing.T, dir string) string { return dir }, false},
		{"the lock's file was removed", func(t *testing.T, dir string) string {
			remove(t, dir, lockName)
			return dir
		}, false},
		{"lock and reserve were removed, the CA is there", func(t *testing.T, dir string) string {
			remove(t, dir, lockName, reserveName)
			if err := os.WriteFile(filepath.Join(dir, "ca.pem"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return dir
		}, false},
		{"a backup alone", func(t *testing.T, dir string) string {
			to := t.TempDir()
			if err := Backup(ctx, dir, filepath.Join(to, dbName)); err != nil {
				t.Fatal(err)
			}
			return to
		}, true},
		{"a backup in place of the database", func(t *testing.T, dir string) string {
			file := filepath.Join(t.TempDir(), "backup.db")
			if err := Backup(ctx, dir, file); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file, filepath.Join(dir, dbName)); err != nil {
				t.Fatal(err)
			}
			return dir
		}, true},
		{"a copy of the file alone", func(t *testing.T, dir string) string {
			to := t.TempDir()
			if err := os.Rename(filepath.Join(dir, dbName), filepath.Join(to, dbName)); err != nil {
				t.Fatal(err)
			}
			return to
		}, true},
		{"killed while it was taken up", func(t *testing.T, dir string) string {
			to := t.TempDir()
			if err := os.Rename(filepath.Join(dir, dbName), filepath.Join(to, dbName)); err != nil {
				t.Fatal(err)
			}
			f, err := openFolder(to)
			if err != nil {
				t.Fatal(err)
			}
			f.close()
			return to
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openDir(t, dir)
			d := enrol(t, s, "A")
			if err := step(s, d, 1); err != nil {
				t.Fatal(err)
			}
			link, renewal := store.Ticket{Hash: [32]byte{1}, Expires: 1 << 60}, store.Grant{Hash: [32]byte{2}, Purpose: delivery.ForRenewal, Expires: 1 << 60}
			challenge := store.Grant{Hash: [32]byte{3}, Purpose: delivery.ForEnrolment, Expires: 1 << 60}
			for _, err := range []error{s.AddTicket(ctx, &link), s.AddGrant(ctx, &renewal), s.AddGrant(ctx, &challenge)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			newest := protocol.Time(s.clock.Load())
			s.Close()
			dir = tt.put(t, dir)
			for i := range 2 { // a second start is one
				s = openDir(t, dir)
				c, err := s.Load(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if got := c.Restored.Since != 0 && c.Restored.At == 0; got != (tt.want && i == 0) {
					t.Fatalf("start %d: restored: %+v", i+1, c.Restored)
				}
				if tt.want && c.Restored.Since != newest {
					t.Errorf("it knows what happened until %s, want %s", c.Restored.Since, newest)
				}
				if _, err := s.Ticket(ctx, link.Hash, 1); (err != nil) != tt.want {
					t.Errorf("a link that was not used: %v", err)
				}
				for grant, lives := range map[[32]byte]bool{renewal.Hash: true, challenge.Hash: !tt.want} {
					s.Redeem(ctx, grant, func(g *store.Grant) (*store.Issued, error) {
						if (g != nil) != lives {
							t.Errorf("grant %x: %+v", grant[:1], g)
						}
						return nil, nil
					})
				}
				if tt.want && i == 0 { // as the server does
					c.Restored.At = newest + 1
					if err := s.Apply(ctx, newest, &store.Change{Restored: &c.Restored}); err != nil {
						t.Fatal(err)
					}
				}
				s.Close()
			}
			if !tt.want {
				return
			}
			again := filepath.Join(t.TempDir(), dbName) // what the first restoration lost may still be on its way
			if err := Backup(ctx, dir, again); err != nil {
				t.Fatal(err)
			}
			s = openDir(t, filepath.Dir(again))
			if c, err := s.Load(ctx); err != nil || c.Restored.Since != newest || c.Restored.At != 0 {
				t.Errorf("restored again: %+v, %v", c.Restored, err)
			}
		})
	}
}

func remove(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

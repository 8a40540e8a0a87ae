package wal_test

import (
	"os"
	"path/filepath"
	"testing"

	"rollcall/server/store/sqlstore/wal"
)

func FuzzCheck(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 32))
	f.Add([]byte{0x37, 0x7f, 0x06, 0x82, 0, 0, 0, 0, 0, 0, 0x10, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "wal")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := wal.Check(name); err != nil {
			if _, ok := err.(wal.Damage); !ok {
				t.Errorf("Check = %v", err)
			}
		}
	})
}

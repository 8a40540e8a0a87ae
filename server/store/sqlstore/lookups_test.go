package sqlstore

import (
	"context"
	"testing"
)

// BenchmarkLookup asks for one row by statements that are prepared once, and anew each time.
func BenchmarkLookup(b *testing.B) {
	s := openDir(b, b.TempDir())
	key := make([]byte, 32)
	for name, from := range map[string]reader{"prepared": s.read, "anew": s.lists} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.query(context.Background(), from, selectFrom("grants", grantColumns...)+"WHERE hash=?", func(*row) {}, key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

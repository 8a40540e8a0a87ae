package windows

import (
	"path/filepath"
	"testing"
)

// The messages of a session with three commands, both ways: what one of them costs decides what a server can take.
var steady = []string{"package1", "package2", "package3", "package4"}

func BenchmarkDecodeMessage(b *testing.B) {
	for _, name := range steady {
		body := read(b, filepath.Join("testdata", name+".golden"))
		b.Run(name, func(b *testing.B) {
			var m Message
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := DecodeMessage(body, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncodeMessage(b *testing.B) {
	for _, name := range steady {
		var m Message
		if err := DecodeMessage(read(b, filepath.Join("testdata", name+".golden")), &m); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = EncodeMessage(dst[:0], &m)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}

func BenchmarkDecodeEnvelope(b *testing.B) {
	for _, name := range []string{"discover", "rst", "rstrc"} {
		body := read(b, filepath.Join("testdata", name+".golden"))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeEnvelope(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

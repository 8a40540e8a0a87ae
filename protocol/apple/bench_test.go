package apple

import "testing"

// The steady messages of a check-in: what one of them costs decides what a server can take.
var steady = []struct {
	name string
	msg  *Message
}{
	{"TokenUpdate", messages["tokenupdate-ios"]},
	{"Idle", messages["idle"]},
	{"Acknowledged", messages["acknowledged"]},
}

func BenchmarkDecodeMessage(b *testing.B) {
	for _, bb := range steady {
		body := EncodeMessage(nil, bb.msg)
		b.Run(bb.name, func(b *testing.B) {
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

func BenchmarkDecodeMessageOfAnother(b *testing.B) { // m held another device's message before
	body, other := EncodeMessage(nil, messages["tokenupdate-ios"]), EncodeMessage(nil, messages["idle-mac"])
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		_ = DecodeMessage(other, &m)
		if err := DecodeMessage(body, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeMessage(b *testing.B) {
	for _, bb := range steady {
		b.Run(bb.name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = EncodeMessage(dst[:0], bb.msg)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}

func BenchmarkGate(b *testing.B) {
	body := EncodeMessage(nil, messages["tokenupdate-ios"])
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := gate(body, MaxMessage); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLibrary is what the one pass replaces.
func BenchmarkLibrary(b *testing.B) {
	body := EncodeMessage(nil, messages["tokenupdate-ios"])
	b.ReportAllocs()
	for b.Loop() {
		var m Message
		if err := twin(body, &m); err != nil {
			b.Fatal(err)
		}
	}
}

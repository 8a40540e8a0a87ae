package courier

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	const least, most = uint64(0), ^uint64(0)
	var b backoff
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600} {
		want *= time.Second
		shortest, other := b, b
		if got := shortest.after(0, least); got != want/2 {
			t.Errorf("try %d: at least %v, want %v", i, got, want/2)
		}
		if got := other.after(time.Second, uint64(want/2)); got != want {
			t.Errorf("try %d: at most %v, want %v", i, got, want)
		}
		if got := b.after(0, most); got < want/2 || got > want {
			t.Errorf("try %d: %v", i, got)
		}
	}
	if got := b.after(steady, 0); got != firstWait/2 {
		t.Errorf("after a steady stream: %v", got)
	}
}

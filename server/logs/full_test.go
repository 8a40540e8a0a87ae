package logs

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// A disk is a writer that is full now and then.
type disk struct {
	bytes.Buffer
	full bool
}

func (d *disk) Write(p []byte) (int, error) {
	if d.full {
		return 0, errors.New("no space left")
	}
	return d.Buffer.Write(p)
}

// TestHST092Log: a log that cannot be written is said once each time, and goes on by itself.
func TestHST092Log(t *testing.T) {
	var d disk
	var notes bytes.Buffer
	l := newTo(&d, &notes, true)
	for _, full := range []bool{false, true, true, true, false, true, false} {
		d.full = full
		l.Info("something")
	}
	if n := strings.Count(d.String(), "something"); n != 3 {
		t.Errorf("%d lines were written, want the 3 that there was room for", n)
	}
	if n := strings.Count(notes.String(), "no space left: its lines are lost"); n != 2 || strings.Count(notes.String(), "\n") != 2 {
		t.Errorf("it says %q", notes.String())
	}
}

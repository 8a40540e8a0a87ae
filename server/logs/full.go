package logs

import (
	"fmt"
	"io"
)

// A sink loses lines that cannot be written, as on a full disk, and says so once: whoever logs goes on (HST-092). Its
// caller serialises writes, as logrus does.
type sink struct {
	to, notes io.Writer
	losing    bool
}

func (s *sink) Write(line []byte) (int, error) {
	_, err := s.to.Write(line)
	if err != nil && !s.losing {
		fmt.Fprintf(s.notes, "rollcall: the log cannot be written: %v: its lines are lost until it can\n", err)
	}
	s.losing = err != nil
	return len(line), nil
}

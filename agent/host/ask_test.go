package host

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/agent/courier"
)

// Whose request was taken gets an answer, even of an agent that is ending; whoever comes later is told to try again.
func TestAnswerOfAnAgentThatEnds(t *testing.T) {
	t.Parallel()
	f := take(t)
	var stream atomic.Pointer[courier.State]
	d, err := newDesk(t.Context(), f, &stream)
	if err != nil {
		t.Fatal(err)
	}
	taken, late := make(chan error), make(chan error)
	go func() { taken <- Ask(t.Context(), f.dir, RequestCheckIn) }()
	a := <-d.asks
	if s, runs := Stream(t.Context(), f.dir); s != nil || !runs {
		t.Errorf("no stream is %+v, %v", s, runs)
	}
	stream.Store(&courier.State{Service: "192.0.2.1:5223"})
	if s, runs := Stream(t.Context(), f.dir); s == nil || s.Service != "192.0.2.1:5223" || !runs { // while a request is under way
		t.Errorf("a stream is %+v, %v", s, runs)
	}
	go func() { late <- Ask(t.Context(), f.dir, RequestUnenrol) }()
	d.stop()
	if err := <-late; err == nil {
		t.Error("an agent that ends took a request")
	}
	a.done <- errors.New("the answer")
	if err := <-taken; err == nil || !strings.HasPrefix(err.Error(), "the answer") {
		t.Errorf("%v", err)
	}
	d.close()
	if s, runs := Stream(t.Context(), f.dir); s != nil || runs {
		t.Errorf("of nobody: %+v, %v", s, runs)
	}
}

package host

import (
	"errors"
	"strings"
	"testing"
)

// Whose request was taken gets an answer, even of an agent that is ending; whoever comes later is told to try again.
func TestAnswerOfAnAgentThatEnds(t *testing.T) {
	t.Parallel()
	f := take(t)
	d, err := newDesk(t.Context(), f.dir)
	if err != nil {
		t.Fatal(err)
	}
	taken, late := make(chan error), make(chan error)
	go func() { taken <- Ask(t.Context(), f.dir, RequestCheckIn) }()
	a := <-d.asks
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
}

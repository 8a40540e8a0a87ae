package daemon

import (
	"cmp"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// An agent that fails is started again, one that ends well or is stopped is not.
func TestWindowsHearsHowItEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		stop bool
		code uint32
	}{
		"it fails": {err: errors.New("damaged"), code: 1}, "it ends": {}, "it is stopped": {stop: true},
		"it fails as it is stopped": {err: errors.New("disk full"), stop: true},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		log := logrus.New()
		log.SetOutput(io.Discard)
		asked, is := make(chan svc.ChangeRequest, 1), make(chan svc.Status, 2)
		p := &program{stop: cancel, log: log, do: func() error {
			if tt.stop {
				<-ctx.Done()
				return cmp.Or(tt.err, ctx.Err())
			}
			return tt.err
		}}
		if tt.stop {
			asked <- svc.ChangeRequest{Cmd: svc.Stop}
		}
		if specific, code := p.Execute(nil, asked, is); code != tt.code || specific != (code != 0) {
			t.Errorf("%s: %v, %d", name, specific, code)
		}
		if first := <-is; first.State != svc.Running {
			t.Errorf("%s: it begins with %+v", name, first)
		}
	}
}

// It is started again four times, and no more.
func TestWindowsEndsRestarts(t *testing.T) {
	list := recovery()
	if len(list) != 5 || list[0] != (mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: 30 * time.Second}) || list[3] != list[0] || list[4].Type != mgr.NoAction {
		t.Errorf("it does %+v", list)
	}
}

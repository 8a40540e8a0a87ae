//go:build !windows

package daemon

import (
	"context"
	"runtime"

	"github.com/kardianos/service"
	"github.com/sirupsen/logrus"
)

// Run runs the agent under whatever has started it: by hand it writes to log as it is, as a service to the system's log. systemd takes
// what is written to stderr, launchd does not; both end it by a signal.
func Run(ctx context.Context, log *logrus.Logger, do func(context.Context) error) error {
	if runtime.GOOS == "darwin" && !service.Interactive() {
		if m, err := service.New(idle{}, &service.Config{Name: Name}); err == nil {
			toSystem(log, m)
			err = do(ctx)
			if err != nil {
				log.Error(err)
			}
			return err
		}
	}
	return do(ctx)
}

// onFailure is said by the definitions of services themselves.
func onFailure() error { return nil }

package daemon

import (
	"context"
	"errors"

	"github.com/kardianos/service"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// Run runs the agent under whatever has started it: by hand it writes to log as it is, as a service to the system's log, and ends when
// the system says so.
func Run(ctx context.Context, log *logrus.Logger, do func(context.Context) error) error {
	if service.Interactive() {
		return do(ctx)
	}
	m, err := service.New(idle{}, &service.Config{Name: Name})
	if err != nil {
		return err
	}
	toSystem(log, m)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &program{do: func() error { return do(ctx) }, stop: cancel, log: log}
	err = svc.Run(Name, p)
	return errors.Join(err, p.err)
}

// A program is the agent, as the service manager starts and stops it.
type program struct {
	do   func() error
	stop context.CancelFunc
	log  *logrus.Logger
	err  error // that it ended with
}

// Execute is [svc.Handler]. An agent that ends by itself with an error has failed, for which the manager starts it again: the library
// would have it be stopped, and well.
func (p *program) Execute(_ []string, asked <-chan svc.ChangeRequest, is chan<- svc.Status) (specific bool, code uint32) {
	is <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	ended := make(chan error, 1)
	go func() { ended <- p.do() }()
	stopped := false
	for {
		select {
		case p.err = <-ended:
			if p.err == nil || errors.Is(p.err, context.Canceled) {
				return false, 0
			}
			p.log.Error(p.err)
			if stopped { // a code would have it started again
				return false, 0
			}
			return true, 1
		case c := <-asked:
			switch c.Cmd {
			case svc.Interrogate:
				is <- c.CurrentStatus
			case svc.Stop, svc.Shutdown:
				is <- svc.Status{State: svc.StopPending}
				stopped = true
				p.stop()
			}
		}
	}
}

// onFailure has Windows start an installed agent again as [Service.Definition] says. The library knows one action, which is repeated
// without end.
func onFailure() error {
	m, err := mgr.Connect()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	s, err := m.OpenService(Name)
	if err != nil {
		return err
	}
	defer s.Close()
	return errors.Join(s.SetRecoveryActions(recovery(), uint32(failuresFor.Seconds())), s.SetRecoveryActionsOnNonCrashFailures(true))
}

// recovery is what follows the first failure, the second, and so on; the last follows all after it too.
func recovery() []mgr.RecoveryAction {
	var list []mgr.RecoveryAction
	for range restarts {
		list = append(list, mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: restartAfter})
	}
	return append(list, mgr.RecoveryAction{Type: mgr.NoAction})
}

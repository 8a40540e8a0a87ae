package daemon

import (
	"context"
	"errors"

	"github.com/kardianos/service"
	"github.com/sirupsen/logrus"
)

// Run runs the agent under whatever has started it: by hand it writes to log as it is, as a service to the system's log, and ends when
// the system says so.
func Run(ctx context.Context, log *logrus.Logger, do func(context.Context) error) error {
	if service.Interactive() {
		return do(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &program{ctx: ctx, cancel: cancel, do: do, done: make(chan error, 1)}
	m, err := service.New(p, &service.Config{Name: Name})
	if err != nil {
		return err
	}
	toSystem(log, m)
	err = m.Run()
	cancel()
	return errors.Join(err, <-p.done)
}

// A program is the agent, as the service manager starts and stops it.
type program struct {
	ctx    context.Context
	cancel context.CancelFunc
	do     func(context.Context) error
	done   chan error // takes one
}

func (p *program) Start(s service.Service) error {
	go func() {
		p.done <- p.do(p.ctx)
		if p.ctx.Err() == nil {
			s.Stop() // it ended by itself: the manager has to know
		}
	}()
	return nil
}

func (p *program) Stop(service.Service) error {
	p.cancel()
	return nil
}

//go:build !agentonly

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/sirupsen/logrus"

	"rollcall/fleet/cloud/apns"
	"rollcall/protocol/apple"
	"rollcall/server/logs"
)

// courierPort is where devices look for Apple's own service (TCP 5223).
const courierPort = "5223"

// An ownPush is the push service that runs beside a server: pushes come in on loopback, and machines hold their streams to it.
type ownPush struct {
	service *apns.Service
	devices net.Listener // nil: machines ask by themselves
	log     *logrus.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
}

// startOwnPush starts one, and tells cfg where it is. Streams wait until wake is called: they show the server's certificate.
func startOwnPush(ctx context.Context, cfg *serveConfig, courier string) (_ *ownPush, err error) {
	p := &ownPush{log: cfg.Log}
	if p.service, err = apns.New(apns.Config{AnyToken: true, Now: cfg.Clock.Now, ErrorLog: logs.Std(cfg.Log)}); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if p.devices, cfg.CourierPort, err = listenForMachines(cfg, courier); err != nil {
		listener.Close()
		return nil, err
	}
	cfg.Push.URL = "https://" + listener.Addr().String()
	cfg.Push.Roots = x509.NewCertPool()
	cfg.Push.Roots.AppendCertsFromPEM(p.service.CA())
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.tasks.Go(func() { p.service.Serve(p.ctx, listener) })
	return p, nil
}

// listenForMachines opens the address that was asked for. The default one may be in use: then nobody is woken, which is no reason not to
// serve.
func listenForMachines(cfg *serveConfig, courier string) (_ net.Listener, port string, err error) {
	if courier == "none" {
		return nil, "", nil
	}
	address := courier
	if courier == "" {
		host, port, _ := net.SplitHostPort(cfg.Listen)
		if port != "0" {
			port = courierPort
		}
		address = net.JoinHostPort(host, port)
	} else if _, _, err := net.SplitHostPort(courier); err != nil {
		return nil, "", fmt.Errorf("--courier %q: want host:port, or none", courier)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil && courier != "" {
		return nil, "", fmt.Errorf("--courier: cannot listen on %s: %w", address, err)
	}
	if err != nil {
		cfg.Log.WithError(err).Warn("machines are not woken, they ask by themselves: --courier chooses another address for their streams")
		return nil, "", nil
	}
	_, port, err = net.SplitHostPort(listener.Addr().String())
	return listener, port, err
}

// wake begins to take the streams of machines.
func (p *ownPush) wake(f *face) {
	if p.devices == nil {
		return
	}
	p.tasks.Go(func() {
		if err := p.service.ServeDevices(p.ctx, p.devices, &tls.Config{GetCertificate: f.certificate}); err != nil {
			p.log.WithError(err).Error("machines are not woken any more")
		}
	})
}

func (p *ownPush) stop() {
	p.cancel()
	if p.devices != nil {
		p.devices.Close() // it may not be served yet
	}
	p.tasks.Wait()
}

// waking has every answer of a server say at which port its machines are woken.
type waking struct {
	port  string
	inner http.Handler
}

func (h waking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(apple.CourierHeader, h.port)
	h.inner.ServeHTTP(w, r)
}

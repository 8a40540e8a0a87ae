//go:build !agentonly

package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/sirupsen/logrus"

	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/apns"
	"rollcall/fleet/cloud/google"
	"rollcall/fleet/cloud/wns"
	"rollcall/protocol/wake"
	"rollcall/server/logs"
	"rollcall/server/push"
)

// courierPort is where devices look for Apple's own service (TCP 5223).
const courierPort = "5223"

// How a server's own services are called. The name of WNS is in what machines say, and so is the same at each start.
const (
	ownWNS     = "wns.rollcall.test"
	ownApp     = "ms-app://rollcall-machines"
	ownPFN     = "Rollcall.Machines_8wekyb3d8bbwe"
	ownProject = "rollcall-machines"
)

// An ownPush are the push services that run beside a server: pushes come in on loopback, and machines hold their streams to them, at one
// port.
type ownPush struct {
	doormen []*cloud.Doorman
	devices net.Listener // nil: machines ask by themselves
	log     *logrus.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
}

// startOwnPush starts Apple's, and those of the other platforms that cfg names no other for, and tells cfg where they are. Streams wait
// until wake is called: they show the server's certificate.
func startOwnPush(ctx context.Context, cfg *serveConfig, courier string) (_ *ownPush, err error) {
	p := &ownPush{log: cfg.Log}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	service, err := apns.New(apns.Config{AnyToken: true, Now: cfg.Clock.Now, ErrorLog: logs.Std(cfg.Log)})
	if err != nil {
		return nil, err
	}
	listener, url, err := loopback()
	if err != nil {
		return nil, err
	}
	p.serve(service, listener)
	cfg.Push.URL, cfg.Push.Roots = url, poolOf(service.CA())
	if p.devices, cfg.CourierPort, err = listenForMachines(cfg, courier); err != nil || p.devices == nil {
		return p, err
	}
	if cfg.WNS == nil {
		err = p.addWNS(cfg)
	}
	if err == nil && cfg.FCM == nil {
		err = p.addFCM(cfg)
	}
	return p, err
}

func loopback() (listener net.Listener, url string, err error) {
	if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, "", err
	}
	return listener, "https://" + listener.Addr().String(), nil
}

func poolOf(pem []byte) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

// A wakingService is one that senders call, and machines hold streams to.
type wakingService interface {
	Serve(context.Context, net.Listener) error
	Doorman() *cloud.Doorman
}

func (p *ownPush) serve(s wakingService, listener net.Listener) {
	p.doormen = append(p.doormen, s.Doorman())
	p.tasks.Go(func() { s.Serve(p.ctx, listener) })
}

func (p *ownPush) addWNS(cfg *serveConfig) error {
	app := wns.App{ClientID: ownApp, Secret: rand.Text(), PFN: ownPFN}
	service, err := wns.New(wns.Config{URL: "https://" + ownWNS, AnyChannel: true, Apps: []wns.App{app}, Now: cfg.Clock.Now, ErrorLog: logs.Std(cfg.Log)})
	if err != nil {
		return err
	}
	listener, url, err := loopback()
	if err != nil {
		return err
	}
	p.serve(service, listener)
	cfg.WNS = &push.WNSIdentity{ClientID: app.ClientID, ClientSecret: app.Secret, PFN: app.PFN, TokenURL: service.TokenURL(), Scope: push.LiveScope, Hosts: []string{ownWNS}}
	cfg.WNSPush.URL, cfg.WNSPush.Roots = url, poolOf(service.CA())
	return nil
}

func (p *ownPush) addFCM(cfg *serveConfig) error {
	listener, url, err := loopback()
	if err != nil {
		return err
	}
	service, err := google.New(google.Config{URL: url, AnyRegistration: true, Now: cfg.Clock.Now, ErrorLog: logs.Std(cfg.Log)})
	var key []byte
	if err == nil {
		key, err = service.NewAccount(ownProject)
	}
	if err == nil {
		cfg.FCM, err = push.ReadServiceAccount(key)
	}
	if err != nil {
		listener.Close()
		return err
	}
	p.serve(service, listener)
	cfg.FCMPush.URL, cfg.FCMPush.Roots = url, poolOf(service.CA())
	return nil
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
		if err := cloud.ServeStreams(p.ctx, p.devices, &tls.Config{GetCertificate: f.certificate}, p.doormen...); err != nil {
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
	w.Header().Set(wake.Header, h.port)
	h.inner.ServeHTTP(w, r)
}

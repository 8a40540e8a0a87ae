//go:build !agentonly

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/certs"
	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/apns"
	"rollcall/fleet/conformance"
	"rollcall/fleet/conformance/mischief"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/device"
	"rollcall/server/push"
)

// An ownServer is a server of ours with its clock and push service, started to be asked.
type ownServer struct {
	*runningServer
	pushes   *pushView
	channels *channelView
	messages *messageView
	target   *target.Rollcall
	roots    *x509.CertPool

	dir            string
	factory, maker *certs.Authority // of Apple's devices and of Android's
	stop           context.CancelFunc
	services       errgroup.Group
}

// startOwn starts a server whose clock is driven. Change, unless nil, has the last word on its configuration.
func startOwn(ctx context.Context, change func(*serveConfig)) (_ *ownServer, err error) {
	o := &ownServer{}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if o.dir, err = os.MkdirTemp("", "rollcall-conform-"); err != nil {
		return nil, err
	}
	clock := newDrivenClock(o.dir, time.Now())
	if o.factory, err = certs.NewIssuer("rollcall conform factory", clock.Now()); err != nil {
		return nil, err
	}
	if o.maker, err = certs.NewIssuer("rollcall conform maker", clock.Now()); err != nil {
		return nil, err
	}
	var serving context.Context
	serving, o.stop = context.WithCancel(context.WithoutCancel(ctx))
	serve := func(make func(url string) (service, error)) (at push.Config, err error) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return at, err
		}
		at.URL, at.Roots = "https://"+listener.Addr().String(), x509.NewCertPool()
		s, err := make(at.URL)
		if err != nil {
			listener.Close()
			return at, err
		}
		at.Roots.AppendCertsFromPEM(s.CA())
		o.services.Go(func() error { return s.Serve(serving, listener) })
		return at, nil
	}

	apple, err := serve(func(string) (_ service, err error) {
		o.pushes, err = newPushView(clock.Now)
		return o.pushes, err
	})
	if err != nil {
		return nil, err
	}
	microsoft, err := serve(func(url string) (_ service, err error) {
		o.channels, err = newChannelView(url, clock.Now)
		return o.channels, err
	})
	if err != nil {
		return nil, err
	}
	var account []byte
	google, err := serve(func(url string) (_ service, err error) {
		if o.messages, err = newMessageView(url, clock.Now); err == nil {
			account, err = o.messages.account(url)
		}
		return o.messages, err
	})
	if err != nil {
		return nil, err
	}

	cfg := serveConfig{
		Push: apple, FCMPush: google, WNSPush: push.Config{Roots: microsoft.Roots}, // where channels are, their devices say
		Data: o.dir, Clock: clock, Simulated: true, SignMessage: true, LegacySignature: true, MinimumOS: "16.0", Factory: []*x509.Certificate{o.factory.Certificate()},
		Tenant: &authority.Tenant{Authority: protocol.Intune, Release: 2611},
		WNS: &push.WNSIdentity{
			ClientID: "conform", ClientSecret: "conform", PFN: "rollcall.conform_1", TokenURL: o.channels.TokenURL(), Scope: push.LiveScope, Hosts: []string{strings.TrimPrefix(microsoft.URL, "https://")},
		},
	}
	if cfg.FCM, err = push.ReadServiceAccount(account); err != nil {
		return nil, err
	}
	cfg.Android.Attestation, cfg.Unconsented = &device.Attestation{Require: true, Roots: []*x509.Certificate{o.maker.Certificate()}}, true
	if canDialFrom(ownProxy) {
		cfg.Proxies = []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(ownProxy), 32)}
	}
	if change != nil {
		change(&cfg)
	}
	if cfg.Mischief != nil {
		o.pushes.broken, o.channels.broken, o.messages.broken = cfg.Mischief, cfg.Mischief, cfg.Mischief
	}
	if o.runningServer, err = startServer(ctx, cfg); err != nil {
		return nil, err
	}
	o.roots = x509.NewCertPool()
	o.roots.AppendCertsFromPEM(o.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.roots, Time: clock.Now}}
	o.target = &target.Rollcall{URL: o.URL, Token: o.Token, HTTP: &http.Client{Transport: transport}}
	return o, nil
}

// config is how the server is asked all that there is.
func (o *ownServer) config(ctx context.Context) (conformance.Config, error) {
	steps, err := o.target.Steps(ctx, conformDomain)
	if err != nil {
		return conformance.Config{}, err
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return conformance.Config{}, err
	}
	c, err := o.factory.Issue(certs.IssueRequest{Public: key.Public(), Handle: "factory", Now: time.Now()})
	if err != nil {
		return conformance.Config{}, err
	}
	proxy := ""
	if canDialFrom(ownProxy) {
		proxy = ownProxy
	}
	return conformance.Config{
		ProxyFrom: proxy,
		Server:    o.URL, P256Keys: true, Steps: steps, Pushes: o.pushes, Channels: o.channels, Messages: o.messages, Maker: o.maker, Roots: o.roots, Mine: true, Intune: true, Suites: []conformance.Suite{conformance.Apple, conformance.Gap, conformance.Android, conformance.Windows},
		AndroidURL: o.URL, WindowsURL: o.URL, AutomatedURL: o.URL + "/apple/ade", Factory: &certs.Signer{Certificate: c, Chain: []*x509.Certificate{o.factory.Certificate()}, Key: key},
	}, nil
}

// ownProxy is from where such a server takes certificates in a header. Not every system has more of 127.0.0.0/8 than its first
// address.
const ownProxy = "127.0.0.2"

func canDialFrom(address string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err == nil {
		l.Close()
	}
	return err == nil
}

func (o *ownServer) close() error {
	var err error
	if o.runningServer != nil {
		err = o.runningServer.Close()
		o.target.HTTP.CloseIdleConnections()
	}
	if o.stop != nil {
		o.stop()
		err = errors.Join(err, o.services.Wait())
	}
	return errors.Join(err, os.RemoveAll(o.dir))
}

// conformDomain has the users of a run's devices. No domain ends in .invalid.
const conformDomain = "rollcall.invalid"

// A pushView is our simulated push service as conformance wants to see one.
type pushView struct {
	*apns.Service

	mu      sync.Mutex
	got     map[string][]conformance.Push
	watched map[string]func()
	broken  *mischief.Mischief // the server's pushes go wrong by it; nil: they do not
	behind  atomic.Int64       // how far the service's clock is behind, nanoseconds
}

func newPushView(now func() time.Time) (*pushView, error) {
	v := &pushView{got: map[string][]conformance.Push{}, watched: map[string]func(){}}
	var err error
	v.Service, err = apns.New(apns.Config{AnyToken: true, RequireHeaders: true, Now: func() time.Time { return now().Add(-time.Duration(v.behind.Load())) }, PerToken: cloud.Rate{Messages: -1}, ErrorLog: log.New(io.Discard, "", 0)})
	return v, err
}

func (v *pushView) Register(topic string) []byte {
	token := v.Service.Register(topic)
	v.Connect(token, func(n apns.Notification) {
		v.mu.Lock()
		if v.broken != nil && v.broken.PushesOnce() && len(v.got[string(token)]) > 0 {
			v.mu.Unlock()
			return
		}
		v.got[string(token)] = append(v.got[string(token)], conformance.Push{Topic: n.Topic, Body: n.Payload, Priority: n.Priority, Expires: n.Expires})
		f := v.watched[string(token)]
		v.mu.Unlock()
		if f != nil {
			f()
		}
	})
	return token
}

// Unregister ends a token. One that ended long before its device said it is pushed again and again.
func (v *pushView) Unregister(token []byte) {
	if v.broken != nil && v.broken.PushesTheDead() {
		v.behind.Store(int64(24 * time.Hour))
		defer v.behind.Store(0)
	}
	v.Service.Unregister(token)
}

func (v *pushView) Got(token []byte) []conformance.Push {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.got[string(token)]
}

func (v *pushView) Watch(token []byte, f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watched[string(token)] = f
}

func (v *pushView) GoAway() {
	script := []apns.Fault{apns.GoAway}
	if v.broken != nil && v.broken.LosesAfterGoAway() {
		script = append(script, apns.Drop)
	}
	if err := v.SetFaults(apns.Faults{Script: script}); err != nil {
		panic(err) // a fault of this file
	}
}

func (v *pushView) Refuse(reason string) {
	if reason == string(apns.TooManyRequests) && v.broken != nil && v.broken.PushesAtOnce() {
		return // whoever does not wait after it has not heard it
	}
	if err := v.SetFaults(apns.Faults{Script: []apns.Fault{apns.Fault(reason)}}); err != nil {
		panic(err) // a fault of this file
	}
}

func (v *pushView) Refused() map[string]int {
	out := map[string]int{}
	for reason, n := range v.Counters().Refused {
		out[string(reason)] = int(n)
	}
	return out
}

// listenAPNs starts a push service for a server that is there already. Stop ends it.
func (f *conformFlags) listenAPNs(ctx context.Context) (v *pushView, stop func(), err error) {
	if v, err = newPushView(time.Now); err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", f.apnsListen)
	if err != nil {
		return nil, func() {}, cannotListen(f.apnsListen, err)
	}
	if f.apnsCA != "" {
		if err := os.WriteFile(f.apnsCA, v.CA(), 0o644); err != nil {
			listener.Close()
			return nil, func() {}, fmt.Errorf("--apns-ca-out: %w", err)
		}
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- v.Serve(serving, listener) }()
	return v, func() { cancel(); <-ended }, nil
}

// await waits until somebody serves TLS where the server is to be: it may be started only now, with the push service's CA.
// Who it is, the run finds out.
func (f *conformFlags) await(ctx context.Context, server string) error {
	u, err := url.Parse(server)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	waiting, cancel := context.WithTimeout(ctx, f.total)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // nothing is said over it
		conn, err := dialer.DialContext(waiting, "tcp", net.JoinHostPort(u.Hostname(), port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-waiting.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("nobody listens at %s: %w", server, err)
		case <-tick.C:
		}
	}
}

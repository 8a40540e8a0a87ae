//go:build !agentonly

package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/certs"
	"rollcall/fleet/conformance/mischief"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/api"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/device"
	"rollcall/server/logs"
	"rollcall/server/metrics"
	"rollcall/server/push"
	"rollcall/server/store/sqlstore"
)

const (
	drainTime     = 8 * time.Second // for requests under way when the server stops, so that it is gone within ten (HST-102)
	tlsLifetime   = 90 * 24 * time.Hour
	tlsRenewAhead = 30 * 24 * time.Hour

	caFile    = "ca.pem"
	tokenFile = "admin.token"
	tokenName = "admin"
)

// A serveConfig says what a server is made of. Its zero value, with Data and Clock, is a server on a free port of
// loopback whose wake-ups go nowhere.
type serveConfig struct {
	Listen string            // host:port; empty: 127.0.0.1:0
	Names  []string          // host names and addresses of this server, the first one in all links; empty: the host of Listen
	Data   string            // folder; made where there is none
	Clock  api.Clock         // a driven one is stepped through the API
	Tenant *authority.Tenant // sets the tenant up if nobody did; nil: an administrator will
	Log    *logrus.Logger    // nil: silent

	Push      push.Config // push service; an empty URL: none, wake-ups stay due
	Simulated bool        // it is a simulated one: the server makes push certificates for it

	Unconsented bool // with Simulated: nobody has consented to Google's services yet (AUTH-05)

	Entra            *device.Entra        // whose tokens Windows devices enrol with; nil: nobody's
	WNS              *push.WNSIdentity    // wakes Windows devices; nil: they come by their schedules
	FCM              *push.ServiceAccount // wakes Android devices; nil: they come by their schedules
	Android          device.Android       // where they get their agent, and what it must attest
	WNSPush, FCMPush push.Config          // how they are reached

	CourierPort string // where that one takes the streams of machines, on every address of this server; empty: nowhere

	SignMessage     bool                // devices sign their messages too
	LegacySignature bool                // SHA-1 in them, as Macs make it
	LegacySCEP      bool                // SHA-1 and 3DES in SCEP
	Factory         []*x509.Certificate // roots of the factory identities of ADE devices; empty: no ADE
	MinimumOS       string              // for ADE (APL-085)
	Metrics         string              // host:port for metrics and probes; empty: nobody watches
	MaxConnections  int                 // kept at once; 0: device.MaxConnections
	Proxies         []netip.Prefix      // whose word is taken for whose request they pass on
	ProxyHeader     string              // that has the device's certificate; empty: device.ProxyHeader
	Lab             []*x509.Certificate // device.Config's
	EnrolRate       float64             // device.Config's (HST-045); 0: no limit

	// Mischief breaks a statement on purpose; nil: none.
	Mischief *mischief.Mischief

	// Devices wraps what devices call; nil: nothing does.
	Devices func(http.Handler) http.Handler

	// Observe is server.Config's.
	Observe func(now protocol.Time, w *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome)
}

// A runningServer is a server with its sockets and its clock. It can be started again on the same data folder
// once it is closed or killed.
type runningServer struct {
	Addr        string // that it listens on, with the port it got
	URL         string // https://name:port
	CA          []byte // PEM of the certificate that clients trust
	Fingerprint string // SHA-256 of it, in hex
	CAFile      string // in the data folder
	TokenFile   string // in the data folder
	Token       string // of the admin API
	MetricsURL  string // http://host:port; empty: nobody watches
	Server      *server.Server

	store      *sqlstore.Store
	apns       *push.APNs
	others     []io.Closer // clients of other push services
	face       *face
	admission  *device.Admission
	metrics    *metrics.Metrics // nil: nobody watches
	monitoring *http.Server
	api        *api.Handler
	http       *http.Server
	cancel     context.CancelFunc
	tasks      sync.WaitGroup
	failed     chan error
	once       sync.Once
	err        error
}

// startServer starts a server and returns when it answers. Every error is one sentence.
func startServer(ctx context.Context, cfg serveConfig) (_ *runningServer, err error) {
	if cfg.Log == nil {
		cfg.Log = logs.New(io.Discard, true)
		cfg.Log.SetLevel(logrus.PanicLevel)
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	s := &runningServer{failed: make(chan error, 3)}
	var life context.Context
	life, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			s.stop(false)
		}
	}()
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, cannotListen(cfg.Listen, err)
	}
	defer func() {
		if err != nil {
			listener.Close()
		}
	}()
	var watched net.Listener
	if cfg.Metrics != "" {
		if watched, err = net.Listen("tcp", cfg.Metrics); err != nil {
			return nil, fmt.Errorf("--metrics: %w", err)
		}
		defer func() {
			if err != nil {
				watched.Close()
			}
		}()
		s.metrics = metrics.New(s.state)
		cfg.Log.AddHook(s.metrics)
	}
	if s.store, err = sqlstore.Open(ctx, cfg.Data); err != nil { // whoever connects meanwhile waits
		return nil, err
	}
	if broken := s.store.EndUnsigned(); broken != nil {
		cfg.Log.WithField("rule", protocol.RuleJournal).Error(broken.Error() + ": somebody changed the database; see rollcall audit verify")
	}
	s.Addr = listener.Addr().String()
	if len(cfg.Names) == 0 {
		host, _, _ := net.SplitHostPort(s.Addr)
		cfg.Names = []string{host}
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	s.URL = "https://" + net.JoinHostPort(cfg.Names[0], port)

	handler, tlsConfig, err := s.assemble(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	if watched != nil {
		s.monitor(watched, &cfg)
		s.MetricsURL = "http://" + watched.Addr().String()
	}
	s.http = device.HTTPServer(handler, tlsConfig, cfg.Log)
	s.http.RegisterOnShutdown(s.api.End)
	listener = s.admission.Guard(s.http, listener)
	s.tasks.Go(func() {
		if err := s.http.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	})
	if !cfg.Clock.Driven() { // a driven server does what is due when it is stepped
		s.tasks.Go(func() {
			if err := s.Server.Run(life, func() protocol.Time { return protocol.At(cfg.Clock.Now()) }); life.Err() == nil {
				s.failed <- err
			}
		})
	}
	s.tasks.Go(func() { s.pass(life, s.store.Failed()) })
	return s, nil
}

// pass makes a failure of the store the server's.
func (s *runningServer) pass(life context.Context, failed <-chan error) {
	select {
	case err := <-failed:
		s.failed <- err
	case <-life.Done():
	}
}

// assemble makes core, edges and TLS of an open store.
func (s *runningServer) assemble(ctx context.Context, cfg *serveConfig) (http.Handler, *tls.Config, error) {
	now := func() time.Time { return cfg.Clock.Now() }
	most := affordable(cfg.MaxConnections, openFiles())
	if most < cfg.MaxConnections {
		cfg.Log.WithFields(logrus.Fields{"rule": "HST-099", "max_connections": most}).
			Warn("this process may not open as many files as --max-connections needs: fewer are kept")
	}
	s.admission = device.NewAdmission(most, cfg.Log)
	config := server.Config{Store: s.store, Log: cfg.Log, Observe: cfg.Observe, Strained: s.admission.Strained}
	if cfg.Push.URL != "" {
		cfg.Push.Now = now
		apns, err := push.New(cfg.Push)
		if err != nil {
			return nil, nil, err
		}
		s.apns, config.Push.Apple, config.SetPushCertificate = apns, apns, apns.SetCertificate
		if s.metrics != nil {
			config.Push.Apple = s.metrics.Pusher("apns", apns)
		}
	}
	if err := s.wakeOthers(cfg, &config.Push); err != nil {
		return nil, nil, err
	}
	enrolment := &device.Enrolment{URL: s.URL, Name: "rollcall", SignMessage: cfg.SignMessage}
	config.Renewal = enrolment.Renewal
	core, err := server.Open(ctx, protocol.At(now()), config)
	if err != nil {
		return nil, nil, err
	}
	s.Server = core
	ca, err := authorityOf(ctx, core, cfg.Data, now())
	if err != nil {
		return nil, nil, err
	}
	s.CA = certs.CertificatesPEM(ca.Certificate())
	sum := sha256.Sum256(ca.Certificate().Raw)
	s.Fingerprint = hex.EncodeToString(sum[:])
	face := &face{ca: ca, names: cfg.Names, clock: cfg.Clock, log: cfg.Log}
	s.face = face
	if _, err := face.certificate(nil); err != nil {
		return nil, nil, err
	}
	enrolment.CA, enrolment.Signer = ca, face.signer
	if enrolment.Seal, err = sealOf(ctx, core, now()); err != nil {
		return nil, nil, err
	}
	edge := device.Config{
		Server: core, Enrolment: enrolment, Now: now, Log: cfg.Log, Admission: s.admission, Proxies: cfg.Proxies, ProxyHeader: cfg.ProxyHeader,
		SignMessage: cfg.SignMessage, LegacySignature: cfg.LegacySignature, LegacySCEP: cfg.LegacySCEP, Factory: cfg.Factory,
		MinimumOS: cfg.MinimumOS, EnrolRate: cfg.EnrolRate, Lab: cfg.Lab, Windows: new(device.Windows), Android: &cfg.Android,
	}
	if cfg.Entra != nil {
		if edge.Windows.Verify, err = cfg.Entra.Verifier(ctx, now); err != nil {
			return nil, nil, err
		}
		edge.Windows.Terms = cfg.Entra.Terms
	}
	if cfg.WNS != nil {
		edge.Windows.PFN, edge.Windows.ChannelHosts = cfg.WNS.PFN, cfg.WNS.Hosts
	}
	if s.metrics != nil {
		edge.Meter = s.metrics
	}
	devices, err := device.New(edge)
	if err != nil {
		return nil, nil, err
	}
	var testPush func(topic string, notBefore, notAfter time.Time) ([]byte, error)
	if cfg.Simulated {
		testPush = testPushes(now)
	}
	if err := s.settle(ctx, cfg, testPush); err != nil {
		return nil, nil, err
	}
	s.api, err = api.New(api.Config{
		Server: core, Clock: cfg.Clock, URL: s.URL, Log: cfg.Log, CA: "sha256:" + s.Fingerprint, Provisioning: devices.Provisioning, TestPush: testPush,
	})
	if err != nil {
		return nil, nil, err
	}
	tlsConfig := devices.TLSConfig()
	tlsConfig.GetCertificate = face.certificate
	var handler http.Handler = devices
	if cfg.Devices != nil {
		handler = cfg.Devices(devices)
	}
	handler = edges{handler, s.api, metrics.Probe(s.ready)}
	if cfg.Clock.Driven() {
		handler = timed{cfg.Clock, handler}
	}
	if cfg.CourierPort != "" {
		handler = waking{cfg.CourierPort, handler}
	}
	if cfg.Mischief != nil {
		handler = cfg.Mischief.Before(handler, ca, tlsConfig)
	}
	return handler, tlsConfig, nil
}

// wakeOthers makes the clients of the push services of other platforms than Apple's.
func (s *runningServer) wakeOthers(cfg *serveConfig, services *push.Services) error {
	counted := func(service string, p push.Pusher) push.Pusher {
		if s.metrics != nil {
			return s.metrics.Pusher(service, p)
		}
		return p
	}
	cfg.WNSPush.Now, cfg.FCMPush.Now = cfg.Clock.Now, cfg.Clock.Now
	if cfg.WNS != nil {
		client := push.NewWNS(cfg.WNS, cfg.WNSPush)
		s.others = append(s.others, client)
		services.Windows = counted("wns", client)
	}
	if cfg.FCM != nil {
		client, err := push.NewFCM(cfg.FCM, cfg.FCMPush)
		if err != nil {
			return fmt.Errorf("--fcm-url: %w", err)
		}
		s.others = append(s.others, client)
		services.Android = counted("fcm", client)
	}
	return nil
}

// wnsClient and fcmProject are who wakes the devices of other platforms, as far as it is no secret; empty: nobody, or the server's own
// services by streams.
func (c *serveConfig) wnsClient() string {
	if c.WNS == nil || c.WNS.ClientID == ownApp {
		return ""
	}
	return c.WNS.ClientID
}

func (c *serveConfig) fcmProject() string {
	if c.FCM == nil || c.FCM.Project == ownProject {
		return ""
	}
	return c.FCM.Project
}

// spareFiles are those that a server needs beside its connections: for its store, pushes, administrators and a backup.
const spareFiles = 256

// affordable returns how many connections a process can keep that may have this many files (0: not known) open; asked: 0 is
// device.MaxConnections.
func affordable(asked int, files uint64) int {
	if asked == 0 {
		asked = device.MaxConnections
	}
	if files == 0 || files > uint64(asked)+spareFiles {
		return asked
	}
	return int(max(files, 2*spareFiles) - spareFiles)
}

// until serves until ctx ends or the server fails (HST-093), and closes it.
func (s *runningServer) until(ctx context.Context) (err error) {
	select {
	case <-ctx.Done():
	case err = <-s.Failed():
	}
	if closing := s.Close(); err == nil {
		err = closing
	}
	return err
}

// Failed tells why the server cannot go on; it is to be closed then.
func (s *runningServer) Failed() <-chan error { return s.failed }

// Close lets requests under way finish, for eight seconds at most, and stops. Later calls do nothing.
func (s *runningServer) Close() error { return s.stop(true) }

// Kill stops as a crash would: no request under way gets an answer.
func (s *runningServer) Kill() error { return s.stop(false) }

func (s *runningServer) stop(gently bool) error {
	s.once.Do(func() {
		if s.http != nil && gently {
			ctx, cancel := context.WithTimeout(context.Background(), drainTime)
			if err := s.http.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) { // what hangs is cut below
				s.err = err
			}
			cancel()
		}
		for _, server := range []*http.Server{s.http, s.monitoring} {
			if server != nil {
				server.Close()
			}
		}
		s.cancel()
		s.tasks.Wait()
		if s.apns != nil {
			s.apns.Close()
		}
		for _, client := range s.others {
			client.Close()
		}
		if s.store != nil {
			s.err = errors.Join(s.err, s.store.Close())
		}
	})
	return s.err
}

// cannotListen says in one sentence why an address cannot be had.
func cannotListen(addr string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		err = sys.Err
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("cannot listen on %s: %w: stop what uses it, or choose another address with --listen", addr, err)
	}
	return fmt.Errorf("cannot listen on %s: %w: choose another address with --listen", addr, err)
}

// timed has every answer of a server say where its driven clock stands, so that machines can follow it.
type timed struct {
	clock api.Clock
	inner http.Handler
}

func (t timed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(apple.ClockHeader, protocol.At(t.clock.Now()).String())
	t.inner.ServeHTTP(w, r)
}

// edges gives each request to the edge it belongs to.
type edges struct{ devices, administration, readiness http.Handler }

func (e edges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" || strings.HasPrefix(r.URL.Path, "/rollcall/") {
		e.administration.ServeHTTP(w, r)
		return
	}
	if r.URL.Path == "/readyz" {
		e.readiness.ServeHTTP(w, r)
		return
	}
	e.devices.ServeHTTP(w, r)
}

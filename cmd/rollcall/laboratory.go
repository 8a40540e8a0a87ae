//go:build !agentonly

package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/fleet"
	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/apns"
	"rollcall/fleet/cloud/entra"
	"rollcall/fleet/cloud/google"
	"rollcall/fleet/cloud/wns"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/lang"
	"rollcall/server/device"
	"rollcall/server/logs"
	"rollcall/server/push"
)

// transportKeys makes the RSA keys that all devices of this process share for their SCEP messages, once. One of its own
// each would take a minute for a thousand devices.
var transportKeys = sync.OnceValues(func() ([]*rsa.PrivateKey, error) {
	keys := make([]*rsa.PrivateKey, 4)
	var group errgroup.Group // on all processors
	for i := range keys {
		group.Go(func() (err error) {
			keys[i], err = rsa.GenerateKey(rand.Reader, 2048)
			return err
		})
	}
	return keys, group.Wait()
})

// A laboratory is a server, a push service and what devices need to reach both, in one process on loopback.
type laboratory struct {
	clock    *fleet.Clock
	cfg      serveConfig
	server   *runningServer // nil: it is down
	target   *target.Rollcall
	apns     *apns.Service
	fcm      *google.Service
	wns      *wns.Service
	entra    *entra.Directory // nil: no device is of a directory
	keyStore *fleet.KeyStore  // of Android devices; nil: none says anything of its keys
	factory  *certs.Authority // signs the factory identities of devices in automated enrolment
	keys     []*rsa.PrivateKey
	busy     busy
	watch    *rehearsal.Watch
	dir      string
	log      *os.File           // nil: nobody reads it
	stop     context.CancelFunc // of the push services
	pushes   errgroup.Group
}

// newLaboratory starts everything but the fleet. On a driven clock the story begins at start.
func newLaboratory(ctx context.Context, f *labFlags, start protocol.Time, run *rehearsal.Run) (_ *laboratory, err error) {
	cast := fleet.Cast{Plan: run.Plan, Population: run.Population, Plays: everyPlatform}
	begin := start.Add(-cast.Foreword())
	l := &laboratory{clock: fleet.Driven(begin), watch: run.Watch}
	if f.clock == "real" {
		l.clock = fleet.Real()
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.dir, err = os.MkdirTemp("", "rollcall-lab-"); err != nil {
		return nil, fmt.Errorf("a folder for the server's data: %w", err)
	}
	if l.factory, err = certs.NewIssuer("rollcall factory", l.clock.Time()); err != nil {
		return nil, err
	}
	if f.attestation == "report" || f.attestation == "require" {
		maker, err := certs.NewIssuer("rollcall maker of Android devices", l.clock.Time())
		if err != nil {
			return nil, err
		}
		l.keyStore = fleet.NewKeyStore(maker)
		l.cfg.Android.Attestation = &device.Attestation{Require: f.attestation == "require", Roots: []*x509.Certificate{maker.Certificate()}}
	}
	if err = l.startPush(ctx, run.Plan); err != nil {
		return nil, err
	}
	if l.keys, err = transportKeys(); err != nil {
		return nil, err
	}
	if err = l.found(run.Population); err != nil {
		return nil, err
	}
	l.cfg.Data, l.cfg.Clock, l.cfg.Simulated, l.cfg.Factory = l.dir, realClock{}, true, []*x509.Certificate{l.factory.Certificate()}
	l.cfg.Observe, l.cfg.Devices, l.cfg.LegacySignature = run.Watch.Observe, l.busy.wrap, true
	if f.log != "" {
		if l.log, err = os.Create(f.log); err != nil {
			return nil, fmt.Errorf("--server-log: %w", err)
		}
		l.cfg.Log = logs.New(l.log, true)
	}
	if f.clock == "driven" {
		l.cfg.Clock = newDrivenClock(l.dir, begin.Time())
	}
	return l, l.Start(ctx)
}

// found makes the directory that devices of the population belong to, and has the server believe its tokens.
func (l *laboratory) found(pop *population.Population) (err error) {
	for i := range pop.Devices {
		if !fleet.InDirectory(&pop.Devices[i]) {
			continue
		}
		if l.entra, err = entra.New(l.clock.Time); err == nil {
			l.cfg.Entra = &device.Entra{Tenant: entra.Tenant, Audiences: []string{entra.Audience}, Keys: l.entra.Keys()}
		}
		return err
	}
	return nil
}

// packageLife is as long as a server lets a package live.
const packageLife = 180 * 24 * time.Hour

// pack makes the provisioning package of the devices that enrol by one; nil: none does.
func (l *laboratory) pack(ctx context.Context, pop *population.Population) (*fleet.Package, error) {
	n := 0
	for i := range pop.Devices {
		if pop.Devices[i].Enrolment == population.Packaged {
			n++
		}
	}
	if n == 0 {
		return nil, nil
	}
	p, err := l.target.MakePackage(ctx, "lab", n, packageLife)
	if err != nil {
		return nil, fmt.Errorf("provisioning package: %w", err)
	}
	return fleet.NewPackage(p.Bundle)
}

// everyPlatform takes part in a lab.
func everyPlatform(protocol.Platform) bool { return true }

// startPush starts the push services of all platforms, and has the server's settings name them.
func (l *laboratory) startPush(ctx context.Context, p *plan.Plan) (err error) {
	seed := p.Seed
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	serve := func(make func(url string) (service, error)) (url string, roots *x509.CertPool, err error) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", nil, cannotListen("127.0.0.1:0", err)
		}
		url = "https://" + listener.Addr().String()
		s, err := make(url)
		if err != nil {
			listener.Close()
			return "", nil, err
		}
		l.pushes.Go(func() error { return s.Serve(ctx, listener) })
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM(s.CA())
		return url, roots, nil
	}
	// No rate for a token or channel: a driven clock puts what an hour brings into one moment.
	l.cfg.Push.URL, l.cfg.Push.Roots, err = serve(func(string) (_ service, err error) {
		l.apns, err = apns.New(apns.Config{Now: l.clock.Time, Seed: seed, PerToken: cloud.Rate{Messages: -1}, RequireHeaders: true})
		return l.apns, err
	})
	if err != nil {
		return err
	}
	l.cfg.FCMPush.URL, l.cfg.FCMPush.Roots, err = serve(func(url string) (_ service, err error) {
		l.fcm, err = google.New(google.Config{URL: url, Now: l.clock.Time, Seed: seed, AnyRegistration: true, Demote: float64(p.Population.Habits.Demoted) / float64(plan.Whole)})
		return l.fcm, err
	})
	if err != nil {
		return err
	}
	account, err := l.fcm.NewAccount("rollcall-lab")
	if err == nil {
		l.cfg.FCM, err = push.ReadServiceAccount(account)
	}
	if err != nil {
		return err
	}
	at, roots, err := serve(func(url string) (_ service, err error) {
		l.wns, err = wns.New(wns.Config{URL: url, Now: l.clock.Time, Seed: seed, PerChannel: cloud.Rate{Messages: -1}})
		return l.wns, err
	})
	if err != nil {
		return err
	}
	l.cfg.WNS, l.cfg.WNSPush.Roots = newWNSIdentity("Rollcall.Lab_1", strings.TrimPrefix(at, "https://")), roots
	l.cfg.WNS.TokenURL = l.wns.TokenURL()
	return nil
}

// A service is a simulated push service.
type service interface {
	Serve(ctx context.Context, ln net.Listener) error
	CA() []byte
}

// fleet makes the devices.
func (l *laboratory) fleet(ctx context.Context, f *labFlags, run *rehearsal.Run, progress func(fleet.Progress)) (*fleet.Fleet, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.server.CA)
	var own func(link.Device) (*rsa.PrivateKey, error)
	if run.Keys != nil {
		own = func(d link.Device) (*rsa.PrivateKey, error) {
			if slices.Contains(f.rsa, run.Population.Devices[d.Number()-1].Platform.String()) {
				return run.Keys.Take()
			}
			return nil, nil
		}
	}
	var directory fleet.Directory
	if l.entra != nil {
		directory = l.entra
	}
	pack, err := l.pack(ctx, run.Population)
	if err != nil {
		return nil, err
	}
	carries := link.Config{Roots: roots, Dial: l.busy.dial, TransportKeys: l.keys, RSAKeys: own, Factory: l.identity, Sessions: len(run.Population.Devices)}
	if l.keyStore != nil {
		carries.Attest = l.keyStore.Attest
	}
	return fleet.New(ctx, fleet.Config{
		Plan: run.Plan, Population: run.Population, Target: l.target, URL: l.target.URL, Push: pushDevices{l.apns}, Server: l, Clock: l.clock,
		FCM: fcmDevices{l.fcm}, WNS: wnsDevices{l.wns}, Directory: directory, Package: pack, Plays: everyPlatform, Stepper: stepping{l},
		ADE: l.server.URL + "/apple/ade", Parallel: f.parallel, Together: f.together, Progress: progress,
		Changed: func(now protocol.Time, p *target.Preview) {
			l.watch.Turn(now, l.server.Server.World())
			l.watch.Previewed(now, p)
		},
		Notes: func(n fleet.Note) {
			if n.What == fleet.Left || n.What == fleet.Returned {
				if name := run.Fleet.Name(n.Device); name != "" { // else the server has never heard of it
					l.watch.Reach(n.At, name, n.What == fleet.Returned)
				}
			}
			run.Log.Add(rehearsal.Line{At: n.At, Side: rehearsal.OfDevice, Device: run.Population.Devices[n.Device].UDID, What: string(n.What), Detail: n.Detail})
		},
		Ledger: run.Ledger,
		Link:   carries,
	})
}

// identity makes the factory identity of a device.
func (l *laboratory) identity(udid string) (certs.Signer, error) {
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return certs.Signer{}, err
	}
	c, err := l.factory.Issue(certs.IssueRequest{Public: key.Public(), Handle: udid, Now: l.clock.Time()})
	return certs.Signer{Certificate: c, Chain: []*x509.Certificate{l.factory.Certificate()}, Key: key}, err
}

// Start starts the server, on the address that it had before.
func (l *laboratory) Start(ctx context.Context) error {
	s, err := startServer(ctx, l.cfg)
	if err != nil {
		return err
	}
	l.server, l.cfg.Listen = s, s.Addr
	l.watch.Up(l.clock.Now())
	if l.target == nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(s.CA)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Time: l.clock.Time}}
		l.target = &target.Rollcall{URL: s.URL, Token: s.Token, HTTP: &http.Client{Transport: transport}}
		return l.target.SetSettings(ctx, target.Settings{Blast: new(-1)}) // a plan means what it does, to however many devices
	}
	return nil
}

// Stop stops the server.
func (l *laboratory) Stop(context.Context) error {
	if l.server == nil {
		return nil
	}
	err := l.server.Close()
	l.server = nil
	l.target.HTTP.CloseIdleConnections()
	return err
}

// Busy has those requests answered 503 for whose device refuses says so.
func (l *laboratory) Busy(refuses func(protocol.Device) bool) {
	l.busy.refuses.Store(nil)
	if refuses != nil {
		l.busy.refuses.Store(&refuses)
	}
}

// close stops everything and removes the server's data.
func (l *laboratory) close() error {
	err := l.Stop(context.Background())
	if l.stop != nil {
		l.stop()
		err = errors.Join(err, l.pushes.Wait())
	}
	if l.log != nil {
		err = errors.Join(err, l.log.Close())
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// pushFigures are what the push service counted, in a language.
func (l *laboratory) pushFigures(in lang.Language) []report.Figure {
	c := l.apns.Counters()
	figures := []report.Figure{
		{Name: in.Say("accepted"), Value: c.Accepted},
		{Name: in.Say("delivered"), Value: c.Delivered},
		{Name: in.Say("kept for an absent device"), Value: c.Stored},
		{Name: in.Say("of these replaced by a later one"), Value: c.Replaced},
		{Name: in.Say("expired"), Value: c.Expired},
		{Name: in.Say("discarded with its token"), Value: c.Discarded},
	}
	for reason, n := range c.Refused {
		figures = append(figures, report.Figure{Name: in.Say("refused: %s", string(reason)), Value: n})
	}
	f, w := l.fcm.Counters(), l.wns.Counters()
	for _, other := range []struct {
		name  string
		value uint64
	}{
		{in.Say("accepted by FCM"), f.Accepted}, {in.Say("delivered by FCM"), f.Delivered}, {in.Say("accepted by WNS"), w.Accepted}, {in.Say("delivered by WNS"), w.Delivered},
	} {
		if other.value > 0 {
			figures = append(figures, report.Figure{Name: other.name, Value: other.value})
		}
	}
	return figures
}

// pushDevices is the devices' side of the push service.
type pushDevices struct{ *apns.Service }

func (p pushDevices) Connect(token []byte, deliver func(payload []byte)) {
	p.Service.Connect(token, func(n apns.Notification) { deliver(n.Payload) })
}

// fcmDevices and wnsDevices are the devices' side of the others.
type fcmDevices struct{ *google.Service }

func (d fcmDevices) Connect(id string, deliver func()) {
	d.Service.Connect(id, func(google.Message) { deliver() })
}

type wnsDevices struct{ *wns.Service }

func (d wnsDevices) Connect(uri string, deliver func()) {
	d.Service.Connect(uri, func(wns.Notification) { deliver() })
}

// stepping steps the server, and the push service that keeps messages for a later moment.
type stepping struct{ *laboratory }

func (s stepping) Step(ctx context.Context, to protocol.Time) (target.Clock, error) {
	c, err := s.target.Step(ctx, to)
	s.fcm.Tick()
	if due := s.fcm.Due(); !due.IsZero() {
		c.Next = c.Next.Sooner(protocol.At(due))
	}
	return c, err
}

// busy answers 503 before the server sees a request. It knows whose request it is by the address that the device's
// connection comes from.
type busy struct {
	refuses atomic.Pointer[func(protocol.Device) bool] // nil: nobody is refused
	callers sync.Map                                   // address: protocol.Device, of the latest connection from there
}

// dial opens the devices' connections.
func (b *busy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if d, ok := link.DeviceOf(ctx); ok && err == nil {
		b.callers.Store(c.LocalAddr().String(), d)
	}
	return c, err
}

func (b *busy) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuses := b.refuses.Load()
		if refuses != nil && r.URL.Path != "/scep" && !strings.HasPrefix(r.URL.Path, android.ESTPath) { // devices share the connections that they make these requests on
			if d, ok := b.callers.Load(r.RemoteAddr); ok && (*refuses)(d.(protocol.Device)) {
				w.Header().Set("Retry-After", strconv.Itoa(int((15*time.Minute)/time.Second)))
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

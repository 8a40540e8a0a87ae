package conformance

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"rollcall/certs"
)

// Hands are what somebody does with the device that is judged: a person, a command line, a program. A step that is nil cannot
// be done, and what needs it is not applicable. A step obeys its context.
type Hands struct {
	Name string
	// Enrol has the device enrol by a link: that of an enrolment profile for Apple's, ms-device-enrollment: with the address of
	// discovery for a Windows device, whose password is [DevicePassword], and for an Android device the text of a QR code. The error is what the device, or whoever holds it,
	// says of it; what counts is what it says to the server.
	Enrol   func(ctx context.Context, link string) error
	CheckIn func(ctx context.Context) error                                           // has it ask the server for commands
	Push    func(ctx context.Context, topic string, token []byte, magic string) error // sends it a notice, the other way to have it ask
	Remove  func(ctx context.Context) error                                           // its user removes the enrolment profile
	Restart func(ctx context.Context) error
	Lock    func(ctx context.Context) error // locks its screen until Wait
	Token   func(ctx context.Context) error // gives it another push token, or push id
	// Away has it off the network for more than a day, and on it again.
	Away func(ctx context.Context) error
	// Wait lets time go by until the device does by itself what is due. nil: it is waited for by the true clock.
	Wait  func(ctx context.Context) error
	Reset func(ctx context.Context) error // makes it as good as new, whatever it has been through; nil: it is taken out by command
	// AtRest says that a step returns when the device has said all that it has to say, so that nobody waits for more.
	AtRest bool
}

// A DeviceConfig is what a run of suite device needs. Zero values mean the default that is named.
type DeviceConfig struct {
	Listen string // address; its host is in the links. Empty: 127.0.0.1:0
	Host   string // in links and certificates; empty: that of Listen
	Hands  *Hands
	Suite  Suite    // what it is asked as; empty: Device
	Only   []string // ids; empty: all of the suite

	Authority *certs.Authority // issues identities, and the certificate under which devices are managed; nil: one is made
	Signs     bool             // the profile asks for signed messages, for a device that shows TLS no certificate

	Patience time.Duration // that a device may take to begin what it was asked to; 0: 2 min
	Settle   time.Duration // without a request after which a device has nothing more to say; 0: 5 s
	Check    time.Duration // that one check may take; 0: 20 min
	Total    time.Duration // that the run may take; 0: 4 h

	// Ready hears the certificate (PEM) that a device must trust to open links, before the first of them.
	Ready    func(url string, ca []byte)
	Progress func(Finding) // hears of each statement as it is decided; nil: nobody
	// Layer stands between the devices and the judge, who issues by ca; nil: nothing does. It is how faults are planted.
	Layer func(next http.Handler, ca *certs.Authority) http.Handler
}

// JudgeDevice plays the other side for a device and asks it the statements of suite device. The error is that of a run which
// could not begin; whatever the device does is in the result, ctx's end too.
func JudgeDevice(ctx context.Context, c DeviceConfig) (*Result, error) {
	if c.Hands == nil || c.Hands.Enrol == nil {
		return nil, errors.New("conformance: nobody can have the device enrol")
	}
	if c.Suite == "" {
		c.Suite = Device
	}
	if !c.Suite.OfDevices() {
		return nil, fmt.Errorf("conformance: suite %s is asked of servers", c.Suite)
	}
	for value, otherwise := range map[*time.Duration]time.Duration{&c.Patience: 2 * time.Minute, &c.Settle: 5 * time.Second, &c.Check: 20 * time.Minute, &c.Total: 4 * time.Hour} {
		if *value <= 0 {
			*value = otherwise
		}
	}
	if err := checkIDs(c.Only, true); err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(List(), func(s Statement) bool {
		return s.Suite != c.Suite || len(c.Only) > 0 && !slices.Contains(c.Only, s.ID)
	})
	began := time.Now()
	j, err := newJudge(&c)
	if err != nil {
		return nil, err
	}
	defer j.close()
	if c.Ready != nil {
		c.Ready(j.door.url, certs.CertificatesPEM(j.door.certificate))
	}
	whole, cancel := context.WithTimeout(ctx, c.Total)
	defer cancel()
	result := &Result{Device: c.Hands.Name, Adapter: "rollcall conform device", Suites: []Suite{c.Suite}}
	for i := range chosen {
		f := newFinding(&chosen[i])
		if until := chosen[i].Until; until != "" {
			f.Outcome, f.Reason = NotApplicable, "not applicable until "+until
		} else {
			f = j.try(whole, &chosen[i])
		}
		if c.Progress != nil {
			c.Progress(f)
		}
		result.Findings = append(result.Findings, f)
	}
	result.Interrupted = ctx.Err() != nil
	result.Enrolled, result.Left = j.enrolled, j.left
	result.Seconds = time.Since(began).Seconds()
	return result, nil
}

// DevicePassword is with which a Windows device signs in to its judge.
const DevicePassword = "conform"

// A host is an enrolment of another platform's that a device is offered, and all that came of it. The judge's lock guards it.
type host interface {
	serve(w http.ResponseWriter, r *http.Request, path string, body []byte)
	// stands tells whether somebody came, whether a device is in, and whether it has said that it leaves.
	stands() (opened, in, left bool)
	// dismiss has the device leave the next time that it comes.
	dismiss()
	id() string // of the device
}

// A judge is the server that devices are judged by.
type judge struct {
	*DeviceConfig
	ca          *certs.Authority
	door, house listening // where links are opened, and where devices are managed: they trust the second by the profile alone

	mu       sync.Mutex
	offers   map[string]*offer
	hosts    map[string]host // by path
	heard    chan struct{}   // closed when something was heard, and made anew
	latest   time.Time       // request
	enrolled int
	left     []string
	absent   int // offers in a row that nobody opened
}

// listening is one TLS server.
type listening struct {
	server      *http.Server
	certificate *x509.Certificate // that others trust it by
	url         string
	ended       chan struct{}
}

func newJudge(c *DeviceConfig) (j *judge, err error) {
	j = &judge{DeviceConfig: c, ca: c.Authority, offers: map[string]*offer{}, hosts: map[string]host{}, heard: make(chan struct{})}
	if j.Listen == "" {
		j.Listen = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(j.Listen)
	if err != nil {
		return nil, fmt.Errorf("conformance: %q: want an address as host:port", j.Listen)
	}
	if j.Host == "" {
		j.Host = host
	}
	if ip := net.ParseIP(j.Host); j.Host == "" || ip != nil && ip.IsUnspecified() {
		return nil, fmt.Errorf("conformance: links need the name or address by which the device finds this machine, and %q says none", j.Listen)
	}
	if j.ca == nil {
		if j.ca, err = certs.NewAuthority(certs.P256, "rollcall conform", time.Now()); err != nil {
			return nil, err
		}
	}
	var handler http.Handler = http.HandlerFunc(j.serve)
	if c.Layer != nil {
		handler = c.Layer(handler, j.ca)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return nil, err
	}
	own, err := doorCertificate(key, j.Host)
	if err == nil {
		err = j.door.listen(j.Listen, j.Host, own, own, key, handler)
	}
	if err != nil {
		return nil, err
	}
	leaf, err := j.ca.IssueServer([]string{j.Host}, key.Public(), time.Now(), 0)
	if err == nil {
		err = j.house.listen(net.JoinHostPort(host, "0"), j.Host, leaf, j.ca.Certificate(), key, handler)
	}
	if err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

// listen begins to serve at an address, by a certificate that others trust by root.
func (l *listening) listen(address, host string, leaf, root *x509.Certificate, key crypto.Signer, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String()) // an address that is listened at has one
	l.url, l.certificate, l.ended = "https://"+net.JoinHostPort(host, port), root, make(chan struct{})
	l.server = &http.Server{
		Handler: handler, ErrorLog: log.New(io.Discard, "", 0), ReadTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"},
		},
	}
	go func() {
		defer close(l.ended)
		_ = l.server.ServeTLS(listener, "", "") // ends by Close
	}()
	return nil
}

func (j *judge) close() {
	for _, l := range []*listening{&j.door, &j.house} {
		if l.server != nil {
			l.server.Close()
			<-l.ended
		}
	}
}

// changes is closed when something more has been heard.
func (j *judge) changes() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.heard
}

// tell has whoever waits look again.
func (j *judge) tell() {
	j.latest = time.Now()
	close(j.heard)
	j.heard = make(chan struct{})
}

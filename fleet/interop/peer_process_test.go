//go:build linux

package interop

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	kitlog "github.com/go-kit/kit/log"
	nanolog "github.com/micromdm/nanolib/log"
	"github.com/micromdm/nanolib/log/stdlogfmt"
	"github.com/micromdm/nanomdm/certverify"
	nanohttp "github.com/micromdm/nanomdm/http/mdm"
	"github.com/micromdm/nanomdm/mdm"
	"github.com/micromdm/nanomdm/service/certauth"
	"github.com/micromdm/nanomdm/service/nanomdm"
	"github.com/micromdm/nanomdm/storage"
	"github.com/micromdm/nanomdm/storage/inmem"
	"github.com/micromdm/scep/v2/depot"
	scepserver "github.com/micromdm/scep/v2/server"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	tenants "rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/device"
	"rollcall/server/logs"
	"rollcall/server/push"
	"rollcall/server/store"
	"rollcall/server/store/sqlstore"
)

// A contender is one server, as its process sees it.
type contender struct {
	peerHello
	order     func() error                                   // queues peerCommands commands for each device
	challenge func() (string, error)                         // one for SCEP
	issue     func(public any, sum [32]byte) ([]byte, error) // a certificate for a key, whose hash that is
	also      func(what string, reply *peerReply) error      // adds what other processes say to that line; nil: there are none
}

// TestPeerProcess is a server process of BenchmarkPeer: it says how to reach it, and then answers a line with a line.
func TestPeerProcess(t *testing.T) {
	name := os.Getenv(peerVariable)
	if name == "" {
		t.Skip("only as a process of BenchmarkPeer")
	}
	if name == frontName {
		serveFront(t)
		return
	}
	out := json.NewEncoder(os.Stdout)
	var c *contender
	switch {
	case name == "rollcall":
		c = ourselves(t)
	case name == nothingName:
		c = nothing(t)
	case strings.Contains(name, "PostgreSQL"):
		kept, cpu, err := startPostgres(t)
		if err != nil {
			out.Encode(peerHello{Error: err.Error()})
			return
		}
		c = nanomdmOn(t, authority(t), kept, true)
		proxy := c.also
		c.also = func(what string, r *peerReply) error {
			used, err := cpu()
			r.CPU += used
			if err == nil {
				err = proxy(what, r)
			}
			return err
		}
	case strings.Contains(name, "scep"):
		ca := must(rsaAuthority())(t) // it decrypts itself, as micromdm's programs have it
		c = nanomdmOn(t, ca, inmem.New(), strings.Contains(name, "front"))
		c.SCEP = startMicromdm(t, ca, "static")
		c.challenge = func() (string, error) { return "static", nil }
	default:
		c = nanomdmOn(t, authority(t), inmem.New(), strings.Contains(name, "front"))
	}
	if c.issue != nil {
		var err error
		if c.Identities, _, err = c.identities(peerDevices); err != nil {
			c.Error = err.Error()
		}
	}
	out.Encode(c.peerHello)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var r peerReply
		var err error
		switch in.Text() {
		case "order":
			err = c.order()
		case "identities":
			r.Identities, r.Issuing, err = c.identities(peerMinted)
		case "challenges":
			for len(r.Challenges) < peerEnrolments && err == nil {
				var challenge string
				challenge, err = c.challenge()
				r.Challenges = append(r.Challenges, challenge)
			}
		}
		if err == nil {
			err = r.measure(in.Text())
		}
		if err == nil && c.also != nil {
			err = c.also(in.Text(), &r)
		}
		if err != nil {
			r.Error = err.Error()
		}
		out.Encode(r)
	}
}

// measure says what this process has used, and, where it was asked for, what it holds after a garbage collection.
func (r *peerReply) measure(what string) (err error) {
	if what == "memory" {
		debug.FreeOSMemory()
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return err
		}
		_, line, _ := strings.Cut(string(status), "VmRSS:")
		if _, err := fmt.Sscan(line, &r.Memory); err != nil {
			return err
		}
	}
	r.CPU, err = ownTime()
	return err
}

// ownTime is the CPU time of this process.
func ownTime() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// identities makes n identities. issuing is the CPU time of it without making the keys.
func (c *contender) identities(n int) (list []peerIdentity, issuing time.Duration, err error) {
	list, keys := make([]peerIdentity, n), make([]crypto.Signer, n)
	err = together(n, func(i int) (err error) {
		if keys[i], err = certs.GenerateKey(certs.P256); err == nil {
			list[i].Key, err = x509.MarshalPKCS8PrivateKey(keys[i])
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	before, err := ownTime()
	if err != nil {
		return nil, 0, err
	}
	err = together(n, func(i int) error {
		public, err := x509.MarshalPKIXPublicKey(keys[i].Public())
		if err == nil {
			list[i].Certificate, err = c.issue(keys[i].Public(), sha256.Sum256(public))
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	after, err := ownTime()
	return list, after - before, err
}

// ourselves is our server as serve runs it, over SQLite.
func ourselves(t *testing.T) *contender {
	t.Cleanup(device.SpareHeap())
	ctx := context.Background()
	ca := authority(t)
	key := must(certs.GenerateKey(certs.P256))(t)
	face := must(ca.IssueServer([]string{"127.0.0.1"}, key.Public(), time.Now(), 0))(t)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	kept := must(sqlstore.Open(ctx, t.TempDir()))(t)
	t.Cleanup(func() { kept.Close() })
	now := func() protocol.Time { return protocol.At(time.Now()) }
	signer := certs.Signer{Certificate: face, Chain: []*x509.Certificate{ca.Certificate()}, Key: key}
	enrolment := &device.Enrolment{
		URL: "https://" + listener.Addr().String(), Name: "Example", CA: ca, Signer: func() (certs.Signer, error) { return signer, nil },
	}
	core := must(server.Open(ctx, now(), server.Config{Store: kept, Push: push.Services{Apple: new(push.Recorder)}, Renewal: enrolment.Renewal}))(t)
	err := core.SetUp(ctx, now(), tenants.Tenant{Authority: protocol.Intune, Release: 2611}, delivery.Settings{})
	if err == nil {
		err = core.Consent(ctx, now(), server.System, server.ConsentPush)
	}
	if err == nil {
		_, err = core.UploadPush(ctx, now(), must(pushCertificate(t, topic).PEM())(t), "", "", false, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &contender{peerHello: peerHello{
		Addr: listener.Addr().String(), CheckIn: "/apple/checkin", Command: "/apple/mdm", SCEP: enrolment.URL + "/scep", CA: ca.Certificate().Raw,
	}}
	c.challenge = func() (string, error) { return core.Grant(ctx, now(), store.Grant{Purpose: delivery.ForEnrolment}) }
	c.issue = func(public any, sum [32]byte) ([]byte, error) {
		challenge, err := c.challenge()
		if err != nil {
			return nil, err
		}
		return core.Issue(ctx, now(), server.Claim{
			Challenge: challenge, Transaction: challenge, Request: sum, Key: sum,
			Make: func(*store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
				leaf, err := ca.Issue(certs.IssueRequest{Public: public, Handle: challenge, Now: time.Now()})
				if err != nil {
					return nil, 0, 0, err
				}
				return leaf.Raw, protocol.At(leaf.NotBefore), protocol.At(leaf.NotAfter), nil
			},
		})
	}
	c.order = func() error {
		return together(peerDevices, func(i int) error {
			d, err := kept.Device(ctx, peerUDID(i))
			for n := 0; err == nil && n < peerCommands; n++ {
				_, err = core.Order(ctx, now(), d, protocol.Command{Kind: protocol.SecurityInfo})
			}
			return err
		})
	}
	logger := logs.New(os.Stderr, false)
	handler := must(device.New(device.Config{Server: core, Enrolment: enrolment, Log: logger}))(t)
	config := handler.TLSConfig()
	config.Certificates = []tls.Certificate{*tlsCertificate(signer)}
	go device.HTTPServer(handler, config, logger).ServeTLS(listener, "", "")
	return c
}

// nanoStore is what nanomdm's program wants of a store.
type nanoStore interface {
	storage.ServiceStore
	storage.CertAuthStore
	storage.CommandEnqueuer
}

// nanomdmOn is nanomdm as its program puts it together and behind a front, or called from the TLS server and silent.
func nanomdmOn(t *testing.T, ca *certs.Authority, kept nanoStore, front bool) *contender {
	logger := nanolog.Logger(nanolog.NopLogger)
	if front {
		lines := must(os.Create(filepath.Join(t.TempDir(), "log")))(t)
		t.Cleanup(func() { lines.Close() })
		logger = stdlogfmt.New(stdlogfmt.WithLogger(log.New(lines, "", log.LstdFlags)))
	}
	verifier := must(certverify.NewPoolVerifier(certs.CertificatesPEM(ca.Certificate()), nil, x509.ExtKeyUsageClientAuth))(t)
	core := certauth.New(nanomdm.New(kept, nanomdm.WithLogger(logger)), kept, certauth.WithLogger(logger))
	var handler http.Handler = nanohttp.CheckinAndCommandHandler(core, logger)
	handler = nanohttp.CertVerifyMiddleware(handler, verifier, logger)
	key := must(certs.GenerateKey(certs.P256))(t)
	face := must(ca.IssueServer([]string{"127.0.0.1"}, key.Public(), time.Now(), 0))(t)
	edge := frontEdge{CA: ca.Certificate().Raw, Face: face.Raw, Key: must(x509.MarshalPKCS8PrivateKey(key))(t)}
	c := &contender{peerHello: peerHello{CheckIn: "/mdm", Command: "/mdm", CA: edge.CA}}
	if front {
		listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
		go http.Serve(listener, nanohttp.CertExtractPEMHeaderMiddleware(handler, certHeader, logger))
		edge.To = listener.Addr().String()
		c.Addr, c.also = startFront(t, &edge)
	} else {
		listener := edge.listen(t)
		go http.Serve(listener, nanohttp.CertExtractTLSMiddleware(handler, logger))
		c.Addr = listener.Addr().String()
	}
	c.issue = func(public any, sum [32]byte) ([]byte, error) {
		leaf, err := ca.Issue(certs.IssueRequest{Public: public, Handle: fmt.Sprintf("%x", sum[:8]), Now: time.Now()})
		if err != nil {
			return nil, err
		}
		return leaf.Raw, nil
	}
	c.order = func() error {
		return together(peerDevices, func(i int) error {
			for range peerCommands {
				cmd, err := mdm.DecodeCommand(securityInfo())
				if err == nil {
					_, err = kept.EnqueueCommand(context.Background(), []string{peerUDID(i)}, cmd)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c
}

// A memoryDepot is what micromdm/scep keeps: serial numbers, and nothing of what was issued, as nanomdm in memory keeps nothing.
type memoryDepot struct {
	ca     *certs.Authority
	serial atomic.Int64
}

func (d *memoryDepot) CA([]byte) ([]*x509.Certificate, *rsa.PrivateKey, error) {
	return []*x509.Certificate{d.ca.Certificate()}, d.ca.Own().Key.(*rsa.PrivateKey), nil
}
func (d *memoryDepot) Put(string, *x509.Certificate) error { return nil }
func (d *memoryDepot) Serial() (*big.Int, error)           { return big.NewInt(d.serial.Add(1)), nil }

func (d *memoryDepot) HasCN(string, int, *x509.Certificate, bool) (bool, error) {
	return false, nil
}

// startMicromdm serves micromdm/scep for an RSA authority and returns its URL.
func startMicromdm(t *testing.T, ca *certs.Authority, challenge string) string {
	modernise(t)
	signer := scepserver.StaticChallengeMiddleware(challenge, scepserver.SignCSRAdapter(depot.NewSigner(&memoryDepot{ca: ca}, depot.WithAllowRenewalDays(0))))
	service := must(scepserver.NewService(ca.Certificate(), ca.Own().Key.(*rsa.PrivateKey), signer))(t)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	go http.Serve(listener, scepserver.MakeHTTPHandler(scepserver.MakeServerEndpoints(service), service, kitlog.NewNopLogger()))
	return "http://" + listener.Addr().String() + "/scep"
}

// frontName is what a process of BenchmarkPeer is called that is a front alone.
const frontName = "front"

// A frontEdge is what that which ends TLS has to know: whose certificates it takes, what it shows itself, and the server behind it.
type frontEdge struct {
	CA, Face, Key []byte // DER, PKCS #8
	To            string // empty: the TLS server calls nanomdm's handlers
}

func (e *frontEdge) listen(t *testing.T) net.Listener {
	key := must(x509.ParsePKCS8PrivateKey(e.Key))(t)
	return must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{e.Face}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: poolOf(must(x509.ParseCertificate(e.CA))(t)), NextProtos: []string{"http/1.1"},
	}))(t)
}

// startFront starts a front in a process of its own, as everybody's is, and returns its address; also adds what its process says.
func startFront(t *testing.T, edge *frontEdge) (addr string, also func(string, *peerReply) error) {
	var said peerHello
	front, err := startProcess(t, frontName)
	if err == nil {
		err = json.NewEncoder(front.in).Encode(edge)
	}
	if err == nil {
		err = front.read(&said)
	}
	if err != nil {
		t.Fatal(err)
	}
	return said.Addr, func(what string, r *peerReply) error {
		theirs, err := front.reply(what)
		r.CPU += theirs.CPU
		r.Memory += theirs.Memory
		return err
	}
}

// serveFront is a front: a reverse proxy that passes the certificate on. It holds as many connections to the server behind it as there
// are devices at a time, and ends with its standard input.
func serveFront(t *testing.T) {
	var edge frontEdge
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Scan()
	if err := json.Unmarshal(in.Bytes(), &edge); err != nil {
		t.Fatal(err)
	}
	to := &url.URL{Scheme: "http", Host: edge.To}
	listener := edge.listen(t)
	go http.Serve(listener, &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Set(certHeader, url.QueryEscape(string(certs.CertificatesPEM(r.In.TLS.PeerCertificates[0]))))
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 2 * peerDevices},
		ErrorLog:  log.New(io.Discard, "", 0),
	})
	out.Encode(peerHello{Addr: listener.Addr().String()})
	for in.Scan() {
		var r peerReply
		if err := r.measure(in.Text()); err != nil {
			r.Error = err.Error()
		}
		out.Encode(r)
	}
}

// securityInfo is a SecurityInfo command with an id of its own.
func securityInfo() []byte {
	return apple.EncodeReply(nil, &protocol.Reply{Kind: protocol.Work, Command: protocol.Command{ID: protocol.CommandID([]byte(rand.Text()[:16])), Kind: protocol.SecurityInfo}})
}

//go:build linux

package interop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/fleet/load"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// BenchmarkFleet has our devices, and programs that are nothing but a client, send the same to a server that does nothing, in turn,
// five times, and prints for each what one CPU-second of the client's side is good for (medians) and how many times the others' that is:
//
//	(cd fleet/interop && go test -run xxx -bench Fleet -benchtime 1x -timeout 30m)
//
// There is no other fleet of such devices: the bare client is the floor, what Go's TLS alone costs. It knows its requests beforehand and
// its answers' last bytes. net/http is what anybody would write. The server is a process of its own; TLS 1.3 with mutual authentication,
// P-256, X25519. A check-in is an Idle with its empty answer, on a connection that is kept, or on one that resumes a session and is
// closed. An enrolment is a key, a certificate by SCEP (an RSA transport key of 2048 bits, over a connection of its own) or by a CA in the
// client, a full handshake, Authenticate and TokenUpdate. Asleep is what a device with key and certificate holds of the heap; the bare one is a
// struct of what a device has to know.
func BenchmarkFleet(b *testing.B) {
	b.Run("kept", func(b *testing.B) { compareCheckIns(b, true, 20_000) })
	b.Run("resumed", func(b *testing.B) { compareCheckIns(b, false, 2_000) })
	b.Run("minted", func(b *testing.B) {
		ca := authority(b)
		s := startSimulation(b, link.Config{Identity: load.Mint(ca, time.Now)})
		s.compareEnrolments(b, "minted enrolments per CPU-s", func(i int) (tls.Certificate, error) { return mint(ca, peerUDID(i)) })
	})
	b.Run("scep", func(b *testing.B) {
		s, transport := startSimulation(b, link.Config{TransportKeys: oneKey()}), must(scep.NewTransport(rsaKey(), time.Now()))(b)
		client := scep.Client{URL: s.SCEP, HTTP: s.web(0), Cache: new(scep.CACache)}
		s.compareEnrolments(b, "enrolments by SCEP per CPU-s", func(i int) (tls.Certificate, error) {
			return bySCEP(&client, transport, peerUDID(i), "")
		})
	})
	b.Run("asleep", func(b *testing.B) {
		s := startSimulation(b, link.Config{Identity: load.Mint(authority(b), time.Now)})
		compare(b, []string{"rollcall", "bare"}, []string{"bytes an asleep device"}, func(i int) []float64 {
			return []float64{[]func(*testing.B) float64{s.asleep, bareAsleep}[i](b)}
		})
	})
}

// compareCheckIns compares n check-ins in a round.
func compareCheckIns(b *testing.B, kept bool, n int) {
	defer load.Tune(peerDevices, kept)()
	config := link.Config{KeepOpen: kept, Identity: load.Mint(authority(b), time.Now)}
	if !kept {
		config.Sessions = peerDevices
	}
	s := startSimulation(b, config)
	devices, bare, plain := make([]*dialect.Apple, peerDevices), make([]*bareClient, peerDevices), make([]*plainClient, peerDevices)
	err := together(peerDevices, func(i int) error {
		devices[i] = simulated(i)
		pair, err := mint(authority(b), peerUDID(i))
		if err != nil {
			return err
		}
		idle := apple.EncodeMessage(nil, &apple.Message{UDID: peerUDID(i)})
		c := s.tlsConfig(pair)
		if !kept {
			c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
		bare[i] = &bareClient{addr: s.Addr, config: c, request: wire(s.Command, apple.CommandType, &apple.Message{UDID: peerUDID(i)})}
		plain[i] = &plainClient{url: "https://" + s.Addr + s.Command, body: idle, http: http.Client{Transport: &http.Transport{TLSClientConfig: c.Clone(), DisableKeepAlives: !kept}}}
		b.Cleanup(plain[i].http.CloseIdleConnections)
		_, err = s.link.Enrol(b.Context(), devices[i], s.start)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	clients := []func(i int) error{
		func(i int) error { _, err := s.link.Converse(b.Context(), devices[i], dialect.Synced); return err },
		func(i int) error { return bare[i].checkIn(kept) },
		func(i int) error { return plain[i].checkIn() },
	}
	compare(b, []string{"rollcall", "bare TLS client", "net/http client"}, []string{"check-ins per CPU-s"}, func(i int) []float64 {
		used := spending(b, peerDevices, func(device int) (err error) {
			for k := 0; k < n/peerDevices && err == nil; k++ {
				err = clients[i](device)
			}
			return err
		})
		return []float64{float64(n/peerDevices*peerDevices) / used.Seconds()}
	})
	for _, c := range bare {
		if c.conn != nil {
			c.conn.Close()
		}
	}
}

// compareEnrolments compares our devices' enrolments with what get and two messages cost.
func (s *simulation) compareEnrolments(b *testing.B, unit string, get func(i int) (tls.Certificate, error)) {
	defer load.Tune(peerDevices, false)()
	const n = 2 * peerDevices
	compare(b, []string{"rollcall", "bare TLS client"}, []string{unit}, func(i int) []float64 {
		first := s.some(n)
		used := spending(b, n, func(k int) error {
			if i == 0 {
				_, err := s.link.Enrol(b.Context(), simulated(first+k), s.start)
				return err
			}
			pair, err := get(first + k)
			if err == nil {
				err = s.enrolOnce(first+k, pair)
			}
			return err
		})
		return []float64{n / used.Seconds()}
	})
}

// spending is the CPU time of this process while do was called for 0 to n-1. It begins without another's garbage.
func spending(b *testing.B, n int, do func(i int) error) time.Duration {
	runtime.GC()
	before := must(ownTime())(b)
	if err := together(n, do); err != nil {
		b.Fatal(err)
	}
	return must(ownTime())(b) - before
}

const asleepDevices = 1000

// asleep is what each of our devices holds that has enrolled, with its place in a load, whose own share is taken off.
func (s *simulation) asleep(b *testing.B) float64 {
	return (s.held(b, asleepDevices+1) - s.held(b, 1)) / asleepDevices
}

// held is what a load of n devices holds.
func (s *simulation) held(b *testing.B, n int) float64 {
	before := heap()
	c := load.Config{Link: s.config, Pace: load.Constant(1, time.Second), Start: load.ByProfile(s.start.Profile)}
	for i := range n {
		c.Devices = append(c.Devices, simulated(i))
	}
	l := must(load.New(c))(b)
	defer l.Close()
	must(l.Enrol(b.Context()))(b)
	used := heap() - before
	runtime.KeepAlive(c)
	return used
}

// bareAsleep is what nobody can do without.
func bareAsleep(b *testing.B) float64 {
	type device struct {
		udid, magic      string
		token, key       [32]byte
		certificate      []byte
		next             int64
		schedule, status int32
	}
	before := heap()
	list := make([]device, asleepDevices)
	for i := range list {
		d, pair := &list[i], must(mint(authority(b), peerUDID(i)))(b)
		d.udid, d.magic, d.certificate = peerUDID(i), "magic of "+peerUDID(i), pair.Certificate[0]
		copy(d.key[:], must(pair.PrivateKey.(*ecdsa.PrivateKey).Bytes())(b))
	}
	used := heap() - before
	runtime.KeepAlive(list)
	return used / asleepDevices
}

// heap is how many bytes are in use.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// A simulation is our devices' side of a server that does nothing.
type simulation struct {
	*peer
	config link.Config
	link   *link.Link
	start  dialect.Start
}

func startSimulation(b *testing.B, config link.Config) *simulation {
	p := startPeer(b, nothingName)
	config.Roots = p.roots
	e := load.Endpoint{ServerURL: "https://" + p.Addr + p.Command, CheckInURL: "https://" + p.Addr + p.CheckIn, Topic: topic}
	s := &simulation{peer: p, config: config, link: must(link.New(config))(b), start: dialect.Start{Profile: must(e.Profile())(b)}}
	b.Cleanup(s.link.Close)
	return s
}

func simulated(i int) *dialect.Apple {
	who := dialect.Who{Number: protocol.Device(i + 1), Seed: uint64(i), UDID: peerUDID(i), Serial: fmt.Sprintf("RC%08d", i)}
	return dialect.NewApple(who, iPhone, &dialect.Habits{})
}

// mint is a new identity by ca.
func mint(ca *certs.Authority, name string) (pair tls.Certificate, err error) {
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return pair, err
	}
	leaf, err := ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: name, Now: time.Now()})
	if err != nil {
		return pair, err
	}
	return *tlsCertificate(certs.Signer{Certificate: leaf, Key: key}), nil
}

// A bareClient is one device, as cheap as TLS allows.
type bareClient struct {
	addr    string
	config  *tls.Config
	request []byte
	answer  [1024]byte
	conn    *tls.Conn // nil: there is none
}

// checkIn sends the request and reads the answer, which must be an empty 200.
func (c *bareClient) checkIn(keep bool) (err error) {
	if c.conn == nil {
		if c.conn, err = tls.Dial("tcp", c.addr, c.config); err != nil {
			return err
		}
	}
	if _, err = c.conn.Write(c.request); err != nil {
		return err
	}
	for n := 0; !bytes.HasSuffix(c.answer[:n], []byte("\r\n\r\n")); {
		more, err := c.conn.Read(c.answer[n:])
		if err != nil {
			return err
		}
		n += more
	}
	if !bytes.HasPrefix(c.answer[:], []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("%.100q", c.answer[:])
	}
	if !keep {
		err = c.conn.Close()
		c.conn = nil
	}
	return err
}

// A plainClient is one device by net/http.
type plainClient struct {
	http http.Client
	url  string
	body []byte
}

func (c *plainClient) checkIn() error {
	r, err := http.NewRequest(http.MethodPut, c.url, bytes.NewReader(c.body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", apple.CommandType)
	r.Header.Set("User-Agent", "MDM/1.0")
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// nothingName is what the server of BenchmarkFleet is called.
const nothingName = "nothing"

// nothing answers everything with an empty 200, and whoever asks by SCEP with a certificate.
func nothing(t *testing.T) *contender {
	ca := authority(t)
	key := must(certs.GenerateKey(certs.P256))(t)
	face := must(ca.IssueServer([]string{"127.0.0.1"}, key.Public(), time.Now(), 0))(t)
	listener := must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{*tlsCertificate(certs.Signer{Certificate: face, Key: key})}, ClientAuth: tls.RequestClientCert,
	}))(t)
	c := &contender{peerHello: peerHello{Addr: listener.Addr().String(), CheckIn: "/mdm/checkin", Command: "/mdm", CA: ca.Certificate().Raw}}
	c.SCEP = "https://" + c.Addr + "/mdm/scep" // where load.Endpoint has it
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/mdm/scep", &scep.Server{CA: ca, Issue: func(_ context.Context, r *scep.Request) (*x509.Certificate, error) {
		return ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "device", Now: time.Now()})
	}})
	go http.Serve(listener, mux)
	return c
}

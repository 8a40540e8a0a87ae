//go:build linux

package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

const (
	peerDevices  = 64 // each on a connection of its own
	peerCommands = 5  // for each device at a time, as many as wait when it asks
	peerRounds   = 5

	peerEnrolments = 4 * peerDevices // in a round
)

// BenchmarkPeer has the same devices do the same work at our server and at nanomdm, in turn, five times, and prints for
// each what one CPU-second of its processes is good for (medians) and how many times a peer's that is ours:
//
//	(cd fleet/interop && go test -run xxx -bench Peer -benchtime 1x)
//
// Every server is a process of its own. 64 devices hold one connection each, TLS 1.3 with mutual authentication, P-256
// throughout, X25519. token updates are TokenUpdates with a new token; commands are fetched and acknowledged, five waiting
// for each device (they are queued inside the process, and that does not count). Each does as many in a round as keep it at work for
// about a second: what beginning a round costs then weighs the same for all.
//
// Ours keeps everything in SQLite, WAL, synchronous=FULL: each answer is durable. nanomdm is the library that its program
// is made of, put together in the same way, with its log in a file; it speaks no TLS, so that a reverse proxy stands
// before it, a process of its own that counts too, and passes the certificate on in a header. "bare" has neither proxy nor log: the TLS
// server calls its handlers. Nobody can run it so, but it is the most that can be said for it. In memory it keeps nothing;
// on PostgreSQL, as installed, with two connections (its pool as shipped has no bound and churns), the database's
// processes count too.
//
// An enrolment is a certificate by SCEP (the device signs and opens with an RSA transport key of 2048 bits), a full handshake with it,
// Authenticate and TokenUpdate. Ours is asked for it over TLS and gives each device a challenge of its own, and writes both down; the
// peer's is micromdm/scep in the process of nanomdm, over plain HTTP, with one challenge for all and a depot in memory.
func BenchmarkPeer(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		comparePeers(b, "rollcall", "nanomdm in memory behind a front", "nanomdm in memory, bare")
	})
	b.Run("enrolments", func(b *testing.B) {
		compareEnrolments(b, "rollcall", "nanomdm and micromdm/scep in memory behind a front")
	})
	b.Run("postgresql", func(b *testing.B) {
		if _, err := postgresBin(); err != nil {
			b.Skip(err)
		}
		comparePeers(b, "rollcall", "nanomdm on PostgreSQL behind a front")
	})
}

// comparePeers measures ours and the others in turn. It works for as long as it has to, whatever b.N is.
func comparePeers(b *testing.B, ours string, others ...string) {
	names := append([]string{ours}, others...)
	peers := make([]*peer, len(names))
	updates, commands := make([][]float64, len(names)), make([][]float64, len(names))
	for i, name := range names {
		peers[i] = startPeer(b, name)
	}
	for b.Loop() {
		for range peerRounds {
			for i, p := range peers {
				n := perRound(p.name)
				updates[i] = append(updates[i], p.updates(b, n))
				commands[i] = append(commands[i], p.commands(b, n))
			}
		}
	}
	b.Logf("%-40s %24s %24s", "median, per CPU-second", "token updates", "commands")
	ourUpdates, ourCommands := median(updates[0]), median(commands[0])
	b.Logf("%-40s %24.0f %24.0f", names[0], ourUpdates, ourCommands)
	for i := 1; i < len(names); i++ {
		u, c := median(updates[i]), median(commands[i])
		b.Logf("%-40s %8.0f, ours are %4.1fx %8.0f, ours are %4.1fx", names[i], u, ourUpdates/u, c, ourCommands/c)
	}
	b.ReportMetric(ourUpdates/median(updates[1]), "x-token-updates")
	b.ReportMetric(ourCommands/median(commands[1]), "x-commands")
}

// compareEnrolments is comparePeers of enrolments.
func compareEnrolments(b *testing.B, names ...string) {
	transport := must(scep.NewTransport(rsaKey(), time.Now()))(b)
	peers, got := make([]*peer, len(names)), make([][]float64, len(names))
	for i, name := range names {
		peers[i] = startPeer(b, name)
	}
	for b.Loop() {
		for range peerRounds {
			for i, p := range peers {
				got[i] = append(got[i], p.enrolments(b, peerEnrolments, transport))
			}
		}
	}
	b.Logf("%-52s %24s", "median, per CPU-second", "enrolments by SCEP")
	ours, theirs := median(got[0]), median(got[1])
	b.Logf("%-52s %24.0f", names[0], ours)
	b.Logf("%-52s %8.0f, ours are %4.1fx", names[1], theirs, ours/theirs)
	b.ReportMetric(ours/theirs, "x-enrolments")
}

// perRound is how much a server does in a round.
func perRound(name string) int {
	if name == "rollcall" {
		return 16_000
	}
	if strings.Contains(name, "PostgreSQL") {
		return 640
	}
	return 4000
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// A peer is a server under measurement in a process of its own, with its devices connected and enrolled.
type peer struct {
	name string
	peerHello
	in     io.WriteCloser
	out    *bufio.Reader
	phones []*peerPhone
	wave   int // of enrolments, so many devices were made up for it
}

// peerHello is the first thing a server process says.
type peerHello struct {
	Addr             string
	CheckIn, Command string // paths
	SCEP             string // URL
	CA               []byte // DER
	Identities       []peerIdentity
	Error            string
}

type peerIdentity struct{ Certificate, Key []byte } // DER, PKCS #8

// A peerReply answers a line that was sent to the process: cpu, order or challenges.
type peerReply struct {
	CPU        time.Duration
	Challenges []string // peerEnrolments
	Error      string
}

const peerVariable = "ROLLCALL_INTEROP_PEER"

func startPeer(b *testing.B, name string) *peer {
	cmd := exec.Command(must(os.Executable())(b), "-test.run", "^TestPeerProcess$")
	cmd.Env = append(os.Environ(), peerVariable+"="+name)
	cmd.Stderr = os.Stderr
	p := &peer{name: name, in: must(cmd.StdinPipe())(b)}
	p.out = bufio.NewReader(must(cmd.StdoutPipe())(b))
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		for _, phone := range p.phones {
			phone.conn.Close()
		}
		p.in.Close()
		io.Copy(io.Discard, p.out)
		cmd.Wait()
	})
	p.read(b, &p.peerHello)
	if p.Error != "" {
		b.Fatalf("%s: %s", name, p.Error)
	}
	for i := range p.Identities {
		phone := must(p.connect(i, p.Identities[i]))(b)
		p.phones = append(p.phones, phone)
		if err := phone.enrol(p); err != nil {
			b.Fatalf("%s: device %d: %v", name, i, err)
		}
	}
	return p
}

func (p *peer) read(b *testing.B, into any) {
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, into)
	}
	if err != nil {
		b.Fatalf("%s: %v in %.200q", p.name, err, line)
	}
}

func (p *peer) ask(b *testing.B, what string) time.Duration { return p.reply(b, what).CPU }

func (p *peer) reply(b *testing.B, what string) (r peerReply) {
	fmt.Fprintln(p.in, what)
	if p.read(b, &r); r.Error != "" {
		b.Fatalf("%s: %s: %s", p.name, what, r.Error)
	}
	return r
}

// together has all devices do something at the same time, and returns how often n is for one CPU-second of the server.
func (p *peer) together(b *testing.B, n int, do func(*peerPhone) error) float64 {
	errs := make([]error, len(p.phones))
	before := p.ask(b, "cpu")
	var wg sync.WaitGroup
	for i, phone := range p.phones {
		wg.Go(func() { errs[i] = do(phone) })
	}
	wg.Wait()
	used := p.ask(b, "cpu") - before
	for i, err := range errs {
		if err != nil {
			b.Fatalf("%s: device %d: %v", p.name, i, err)
		}
	}
	return float64(n) / used.Seconds()
}

// enrolments enrols n devices that the server has never seen, as many at a time as there are others, and returns how many for one
// CPU-second.
func (p *peer) enrolments(b *testing.B, n int, transport *scep.Transport) float64 {
	challenges := p.reply(b, "challenges").Challenges
	web := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: peerDevices, TLSClientConfig: &tls.Config{RootCAs: poolOf(must(x509.ParseCertificate(p.CA))(b))},
	}}
	defer web.CloseIdleConnections()
	client := scep.Client{URL: p.SCEP, HTTP: web, Cache: new(scep.CACache)}
	first := peerDevices + p.wave
	p.wave += n
	var next atomic.Int64
	return p.together(b, n, func(*peerPhone) error {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			key, err := certs.GenerateKey(certs.P256)
			if err != nil {
				return err
			}
			leaf, err := client.Enrol(context.Background(), scep.EnrolRequest{
				Key: key, Transport: transport, Subject: pkix.Name{CommonName: peerUDID(first + i)}, Challenge: challenges[i], Now: time.Now(),
			})
			if err != nil {
				return err
			}
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				return err
			}
			phone, err := p.connect(first+i, peerIdentity{leaf.Raw, der})
			if err != nil {
				return err
			}
			err = phone.introduce()
			phone.conn.Close()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// updates sends n TokenUpdates, each with a new token.
func (p *peer) updates(b *testing.B, n int) float64 {
	each := n / len(p.phones)
	return p.together(b, each*len(p.phones), func(phone *peerPhone) error {
		for k := range each {
			if body, err := phone.do(phone.updates[k&1]); err != nil || len(body) > 0 {
				return fmt.Errorf("TokenUpdate: %w %q", err, body)
			}
		}
		return nil
	})
}

// commands fetches and acknowledges about n commands and returns how many for one CPU-second, over all turns.
func (p *peer) commands(b *testing.B, n int) float64 {
	total, seconds := 0.0, 0.0
	for turn := peerCommands * len(p.phones); total < float64(n); total += float64(turn) {
		p.ask(b, "order")
		seconds += float64(turn) / p.together(b, turn, func(phone *peerPhone) error {
			got, err := phone.drain(p)
			if err == nil && got != peerCommands {
				err = fmt.Errorf("%d commands, want %d", got, peerCommands)
			}
			return err
		})
	}
	return total / seconds
}

// A peerPhone is one device on one connection, as cheap as it can be: where the devices are slow, requests come one by one and
// nothing is measured of a server under load.
type peerPhone struct {
	udid    string
	checkIn string // path
	conn    *tls.Conn
	in      *bufio.Reader
	updates [2][]byte // TokenUpdates, in turn, so that each token is news
	idle    []byte
}

func peerUDID(i int) string { return fmt.Sprintf("00008101-%016X", i+1) }

// connect makes device i and its connection, by its identity.
func (p *peer) connect(i int, identity peerIdentity) (*peerPhone, error) {
	ca, err := x509.ParseCertificate(p.CA)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(identity.Key)
	if err != nil {
		return nil, err
	}
	conn, err := tls.Dial("tcp", p.Addr, &tls.Config{
		RootCAs: poolOf(ca), Certificates: []tls.Certificate{{Certificate: [][]byte{identity.Certificate}, PrivateKey: key}},
		CurvePreferences: []tls.CurveID{tls.X25519}, NextProtos: []string{"http/1.1"},
	})
	if err != nil {
		return nil, err
	}
	d := &peerPhone{udid: peerUDID(i), checkIn: p.CheckIn, conn: conn, in: bufio.NewReader(conn)}
	for k := range d.updates {
		d.updates[k] = wire(p.CheckIn, apple.CheckInType, &apple.Message{
			MessageType: apple.TokenUpdate, UDID: d.udid, Topic: topic, Token: fmt.Appendf(nil, "token %013d%013d", i, k), PushMagic: "magic of " + d.udid,
		})
	}
	d.idle = wire(p.Command, apple.CommandType, &apple.Message{UDID: d.udid})
	return d, nil
}

// enrol enrols the device and does what the server wants of a new one.
func (d *peerPhone) enrol(p *peer) error {
	if err := d.introduce(); err != nil {
		return err
	}
	_, err := d.drain(p)
	return err
}

// introduce sends Authenticate and TokenUpdate.
func (d *peerPhone) introduce() error {
	hello := &apple.Message{
		MessageType: apple.Authenticate, UDID: d.udid, Topic: topic, OSVersion: "18.1", BuildVersion: "22B83", ProductName: "iPhone15,2", SerialNumber: "C0" + d.udid[17:],
	}
	for _, request := range [][]byte{wire(d.checkIn, apple.CheckInType, hello), d.updates[1]} {
		if _, err := d.do(request); err != nil {
			return err
		}
	}
	return nil
}

// drain asks for commands and acknowledges each until there are none.
func (d *peerPhone) drain(p *peer) (n int, err error) {
	body, err := d.do(d.idle)
	for err == nil && len(body) > 0 {
		var uuid string
		if uuid, _, err = apple.DecodeCommand(body); err == nil {
			n++
			body, err = d.do(wire(p.Command, apple.CommandType, &apple.Message{UDID: d.udid, Status: protocol.Acknowledged, CommandUUID: uuid}))
		}
	}
	return n, err
}

// wire is one message as it goes out.
func wire(path, contentType string, m *apple.Message) []byte {
	body := apple.EncodeMessage(nil, m)
	return append(fmt.Appendf(nil, "PUT %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: MDM/1.0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, contentType, len(body)), body...)
}

// do sends one request and returns the body of its answer, which must be a 200.
func (d *peerPhone) do(request []byte) ([]byte, error) {
	if _, err := d.conn.Write(request); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(d.in, nil)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %q", resp.Status, answer)
	}
	return answer, err
}

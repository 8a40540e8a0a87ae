//go:build linux

package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
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

	peerEnrolments = 4 * peerDevices  // by SCEP, in a round
	peerMinted     = 16 * peerDevices // identities, in a round
)

// BenchmarkPeer has the same devices do the same work at our server and at nanomdm, in turn, five times, and prints for
// each what one CPU-second of its processes is good for, or what they hold (medians), and how many times a peer's that is ours:
//
//	(cd fleet/interop && go test -run xxx -bench Peer -benchtime 1x -timeout 30m)
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
// An enrolment is an identity, a full handshake with it, Authenticate and TokenUpdate. By SCEP the device signs and opens with an RSA
// transport key of 2048 bits; ours is asked for it over TLS and gives each device a challenge of its own, and writes both down; the
// peer's is micromdm/scep in the process of nanomdm, over plain HTTP, with one challenge for all and a depot in memory. Where it is
// minted, ours issues it, writes it down and has that counted; the peer trusts a CA, whose work does not count.
//
// A kept connection is one of 1,024 devices that have enrolled before, each of which has sent two TokenUpdates on it: what the resident
// memory of a server's processes grew by, after a garbage collection before and after. Each round has processes of its own. Between a
// front and nanomdm there are as many connections as devices talk at a time, 64. Here less is better.
func BenchmarkPeer(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		comparePeers(b, "rollcall", "nanomdm in memory behind a front", "nanomdm in memory, bare")
	})
	b.Run("enrolments", func(b *testing.B) {
		names := []string{"rollcall", "nanomdm and micromdm/scep in memory behind a front"}
		peers, transport := startPeers(b, names), must(scep.NewTransport(rsaKey(), time.Now()))(b)
		compare(b, names, []string{"enrolments by SCEP per CPU-s"}, func(i int) []float64 { return []float64{peers[i].enrolments(b, transport)} })
	})
	b.Run("minted", func(b *testing.B) {
		names := []string{"rollcall", "nanomdm in memory behind a front", "nanomdm in memory, bare"}
		peers := startPeers(b, names)
		compare(b, names, []string{"minted enrolments per CPU-s"}, func(i int) []float64 { return []float64{peers[i].minted(b)} })
	})
	b.Run("kept", func(b *testing.B) {
		names := []string{"rollcall", "nanomdm in memory behind a front", "nanomdm in memory, bare"}
		compare(b, names, []string{"KiB a kept connection"}, func(i int) []float64 { return []float64{keptMemory(b, names[i])} })
	})
	b.Run("postgresql", func(b *testing.B) {
		if _, err := postgresBin(); err != nil {
			b.Skip(err)
		}
		comparePeers(b, "rollcall", "nanomdm on PostgreSQL behind a front")
	})
}

// compare measures everybody in turn, us first, and prints the medians in each of units and how many times another's is ours. one measures
// somebody once. It works for as long as it has to, whatever b.N is.
func compare(b *testing.B, names, units []string, one func(i int) []float64) {
	got := make([][][]float64, len(units)) // by unit, name and round
	for u := range units {
		got[u] = make([][]float64, len(names))
	}
	for b.Loop() {
		for range peerRounds {
			for i := range names {
				for u, v := range one(i) {
					got[u][i] = append(got[u][i], v)
				}
			}
		}
	}
	for u, unit := range units {
		ours := median(got[u][0])
		b.Logf("%-52s %12.1f %s (median of %d)", names[0], ours, unit, len(got[u][0]))
		for i, name := range names[1:] {
			theirs := median(got[u][i+1])
			b.Logf("%-52s %12.1f, ours are %.2fx", name, theirs, ours/theirs)
			if i == 0 {
				b.ReportMetric(ours/theirs, "x-"+strings.ReplaceAll(unit, " ", "-"))
			}
		}
	}
}

// comparePeers is compare of the TokenUpdates and commands of servers.
func comparePeers(b *testing.B, names ...string) {
	peers := startPeers(b, names)
	compare(b, names, []string{"token updates per CPU-s", "commands per CPU-s"}, func(i int) []float64 {
		n := perRound(names[i])
		return []float64{peers[i].updates(b, n), peers[i].commands(b, n)}
	})
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

// A process is another one of this program, which answers a line with a line.
type process struct {
	name string
	in   io.WriteCloser
	out  *bufio.Reader
}

// A peer is a server under measurement in a process of its own, with its devices connected and enrolled.
type peer struct {
	*process
	peerHello
	roots  *x509.CertPool
	phones []*peerPhone
	wave   int // so many devices were made up for enrolments
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

// pair is i for TLS.
func (i *peerIdentity) pair() (tls.Certificate, error) {
	key, err := x509.ParsePKCS8PrivateKey(i.Key)
	return tls.Certificate{Certificate: [][]byte{i.Certificate}, PrivateKey: key}, err
}

// A peerReply answers a line that was sent to the process: cpu, memory, order, identities or challenges.
type peerReply struct {
	CPU        time.Duration
	Memory     float64        // KiB; of memory
	Challenges []string       // peerEnrolments
	Identities []peerIdentity // peerMinted
	Issuing    time.Duration  // of these, in CPU time
	Error      string
}

const peerVariable = "ROLLCALL_INTEROP_PEER"

// startProcess starts one that ends with t.
func startProcess(t testing.TB, name string) (*process, error) {
	cmd := exec.Command(must(os.Executable())(t), "-test.run", "^TestPeerProcess$")
	cmd.Env = append(os.Environ(), peerVariable+"="+name)
	cmd.Stderr = os.Stderr
	p := &process{name: name, in: must(cmd.StdinPipe())(t)}
	p.out = bufio.NewReader(must(cmd.StdoutPipe())(t))
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		p.in.Close()
		io.Copy(io.Discard, p.out)
		cmd.Wait()
	})
	return p, nil
}

func (p *process) read(into any) error {
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w in %.200q", p.name, err, line)
	}
	return nil
}

func (p *process) reply(what string) (r peerReply, err error) {
	fmt.Fprintln(p.in, what)
	if err = p.read(&r); err == nil && r.Error != "" {
		err = fmt.Errorf("%s: %s: %s", p.name, what, r.Error)
	}
	return r, err
}

func startPeers(b *testing.B, names []string) (list []*peer) {
	for _, name := range names {
		list = append(list, startPeer(b, name))
	}
	return list
}

func startPeer(b *testing.B, name string) *peer {
	p := &peer{process: must(startProcess(b, name))(b), wave: peerDevices}
	b.Cleanup(func() {
		for _, phone := range p.phones {
			phone.conn.Close()
		}
	})
	if err := p.read(&p.peerHello); err != nil || p.Error != "" {
		b.Fatal(name, err, p.Error)
	}
	p.roots = poolOf(must(x509.ParseCertificate(p.CA))(b))
	for i := range p.Identities {
		phone := must(p.connect(i, must(p.Identities[i].pair())(b)))(b)
		p.phones = append(p.phones, phone)
		if err := phone.enrol(p); err != nil {
			b.Fatalf("%s: device %d: %v", name, i, err)
		}
	}
	return p
}

func (p *peer) ask(b *testing.B, what string) peerReply { return must(p.reply(what))(b) }

// together calls do for 0 to n-1, as many at a time as there are devices.
func together(n int, do func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, peerDevices)
	for g := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[g] == nil; i = int(next.Add(1)) - 1 {
				errs[g] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// spent is the CPU time of the server while do was called for 0 to n-1.
func (p *peer) spent(b *testing.B, n int, do func(i int) error) time.Duration {
	before := p.ask(b, "cpu").CPU
	err := together(n, do)
	used := p.ask(b, "cpu").CPU - before
	if err != nil {
		b.Fatalf("%s: %v", p.name, err)
	}
	return used
}

// enrolments enrols devices that the server has never seen by SCEP, and returns how many for one CPU-second.
func (p *peer) enrolments(b *testing.B, transport *scep.Transport) float64 {
	challenges := p.ask(b, "challenges").Challenges
	web := p.web(peerDevices)
	defer web.CloseIdleConnections()
	client := scep.Client{URL: p.SCEP, HTTP: web, Cache: new(scep.CACache)}
	first := p.some(peerEnrolments)
	used := p.spent(b, peerEnrolments, func(i int) error {
		pair, err := bySCEP(&client, transport, peerUDID(first+i), challenges[i])
		if err == nil {
			err = p.enrolOnce(first+i, pair)
		}
		return err
	})
	return peerEnrolments / used.Seconds()
}

// web is a client that keeps so many connections; 0: it keeps none.
func (p *peer) web(kept int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: kept, DisableKeepAlives: kept == 0,
		TLSClientConfig: &tls.Config{RootCAs: p.roots, CurvePreferences: []tls.CurveID{tls.X25519}},
	}}
}

// bySCEP is a new identity.
func bySCEP(client *scep.Client, transport *scep.Transport, name, challenge string) (pair tls.Certificate, err error) {
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return pair, err
	}
	leaf, err := client.Enrol(context.Background(), scep.EnrolRequest{
		Key: key, Transport: transport, Subject: pkix.Name{CommonName: name}, Challenge: challenge, Now: time.Now(),
	})
	if err != nil {
		return pair, err
	}
	return *tlsCertificate(certs.Signer{Certificate: leaf, Key: key}), nil
}

// minted enrols devices that the server has never seen with identities that came without a protocol, and returns how many for one
// CPU-second.
func (p *peer) minted(b *testing.B) float64 {
	issuing, pairs := p.identities(b)
	first := p.some(peerMinted)
	used := p.spent(b, peerMinted, func(i int) error { return p.enrolOnce(first+i, pairs[i]) })
	if p.name == "rollcall" { // another's CA is none of its business
		used += issuing
	}
	return peerMinted / used.Seconds()
}

// identities are peerMinted new ones, and what they cost the process of the server.
func (p *peer) identities(b *testing.B) (issuing time.Duration, pairs []tls.Certificate) {
	r := p.ask(b, "identities")
	for _, i := range r.Identities {
		pairs = append(pairs, must(i.pair())(b))
	}
	return r.Issuing, pairs
}

// keptMemory is what a connection costs a server that has just started.
func keptMemory(b *testing.B, name string) float64 {
	p := startPeer(b, name)
	_, pairs := p.identities(b)
	first := p.some(peerMinted)
	p.spent(b, peerMinted, func(i int) error { return p.enrolOnce(first+i, pairs[i]) })
	before := p.ask(b, "memory").Memory
	kept := make([]*peerPhone, peerMinted)
	p.spent(b, peerMinted, func(i int) (err error) {
		if kept[i], err = p.connect(first+i, pairs[i]); err != nil {
			return err
		}
		for k := 0; err == nil && k < 2; k++ {
			_, err = kept[i].do(kept[i].updates[k])
		}
		return err
	})
	after := p.ask(b, "memory").Memory
	for _, phone := range kept {
		phone.conn.Close()
	}
	p.in.Close() // nobody needs it any more
	return (after - before) / peerMinted
}

// some makes n devices up and returns the first.
func (p *peer) some(n int) (first int) {
	first = p.wave
	p.wave += n
	return first
}

// enrolOnce enrols device i on a connection that is closed then.
func (p *peer) enrolOnce(i int, pair tls.Certificate) error {
	phone, err := p.connect(i, pair)
	if err != nil {
		return err
	}
	defer phone.conn.Close()
	return phone.introduce()
}

// updates sends n TokenUpdates, each with a new token, and returns how many for one CPU-second.
func (p *peer) updates(b *testing.B, n int) float64 {
	each := n / len(p.phones)
	used := p.spent(b, len(p.phones), func(i int) error {
		for k := range each {
			if body, err := p.phones[i].do(p.phones[i].updates[k&1]); err != nil || len(body) > 0 {
				return fmt.Errorf("TokenUpdate: %w %q", err, body)
			}
		}
		return nil
	})
	return float64(each*len(p.phones)) / used.Seconds()
}

// commands fetches and acknowledges about n commands and returns how many for one CPU-second, over all turns.
func (p *peer) commands(b *testing.B, n int) float64 {
	total, used := 0, time.Duration(0)
	for ; total < n; total += peerCommands * len(p.phones) {
		p.ask(b, "order")
		used += p.spent(b, len(p.phones), func(i int) error {
			got, err := p.phones[i].drain(p)
			if err == nil && got != peerCommands {
				err = fmt.Errorf("%d commands, want %d", got, peerCommands)
			}
			return err
		})
	}
	return float64(total) / used.Seconds()
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

// tlsConfig is a device's TLS.
func (p *peer) tlsConfig(pair tls.Certificate) *tls.Config {
	return &tls.Config{
		RootCAs: p.roots, Certificates: []tls.Certificate{pair},
		CurvePreferences: []tls.CurveID{tls.X25519}, NextProtos: []string{"http/1.1"},
	}
}

// connect makes device i and its connection, by its identity.
func (p *peer) connect(i int, pair tls.Certificate) (*peerPhone, error) {
	conn, err := tls.Dial("tcp", p.Addr, p.tlsConfig(pair))
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

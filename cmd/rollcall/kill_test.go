//go:build !agentonly

package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A server process that is killed with -9 at random moments under load, again and again: every answer that was given is
// still true after the restart, and nothing happens twice (HST-090, HST-055, APL-054, I3). The parent keeps its own record
// of every acknowledged answer, and the devices keep their memory of what they carried out. Meanwhile the authority changes:
// a server that dies between a change and its wake-ups wakes all the same (AUTH-20), also devices that nothing else wakes.
func TestHST090Kill(t *testing.T) {
	t.Parallel()
	kills := 3
	if n, err := strconv.Atoi(os.Getenv("ROLLCALL_KILLS")); err == nil {
		kills = n // the campaign
	}
	const busy, sleepers = 12, 4
	c := newCrashed(t, busy+sleepers)
	c.start(t)
	for i := range c.devices {
		c.enrol(t, i)
	}
	seed := mrand.Uint64()
	dice := mrand.New(mrand.NewPCG(seed, 0))
	t.Logf("%d kills, seed %d", kills, seed)
	c.busy = c.devices[:busy]
	c.settle(t)
	c.changer.sees(c.devices[busy:])
	c.changer.epochs, c.changer.renewed = c.changer.lines(t)
	for n := range kills {
		c.load(t, 20+dice.Int64N(200), dice.IntN(4))
		c.start(t)
		c.changer.settle(t)
		c.settle(t)
		c.changer.moved(t)
		if t.Failed() {
			t.Fatalf("after kill %d", n+1)
		}
	}
	t.Logf("%d answers were given and kept, %d orders, %d commands carried out once each, %d changes of authority, %d push certificates",
		c.acked.Load(), c.orders.Load(), c.carried(), c.changer.epoch-1, c.changer.uploads)
}

// crashed is a server process, and devices that outlive it.
type crashed struct {
	binary, data, addr string
	process            *exec.Cmd
	api                *target.Rollcall
	link               *link.Link
	changer            *changer
	devices            []*mortal
	busy               []*mortal // of the devices, those that talk under load; the others are only woken
	acked, orders      atomic.Int64
}

// A mortal is one device with the parent's record of it.
type mortal struct {
	apple     *dialect.Apple
	commands  uint32 // that it carried out; a report that is repeated counts once
	asked     int64  // orders that were sent
	confirmed int64  // of these, those that the server said yes to
}

func newCrashed(t *testing.T, devices int) *crashed {
	dir := t.TempDir()
	c := &crashed{binary: filepath.Join(dir, "rollcall"), data: filepath.Join(dir, "data")}
	if out, err := exec.Command("go", "build", "-o", c.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var err error
	if c.addr, err = freeAddress(); err != nil { // the same after each restart
		t.Fatal(err)
	}
	c.changer = newChanger(t, dir)
	c.devices = make([]*mortal, devices)
	model := &dialect.Model{Platform: protocol.IOS, Product: "iPhone14,5", OSVersion: "17.6"}
	for i := range c.devices {
		who := dialect.Who{Number: protocol.Device(i + 1), Seed: uint64(i), UDID: fmt.Sprintf("00008101-%016X", i+1), Serial: fmt.Sprintf("ROLLCALL%04d", i)}
		c.devices[i] = &mortal{apple: dialect.NewApple(who, model, &dialect.Habits{})}
	}
	t.Cleanup(c.kill)
	return c
}

// start starts the server on the same data and waits until it says that it serves.
func (c *crashed) start(t *testing.T) {
	c.process = exec.Command(c.binary, append([]string{"serve", "--listen", c.addr, "--data", c.data, "--json"}, c.changer.serveFlags()...)...)
	var stderr bytes.Buffer
	c.process.Stderr = &stderr
	stdout, err := c.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	var said struct {
		URL       string `json:"url"`
		CA        string `json:"ca"`
		TokenFile string `json:"token_file"`
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &said)
	}
	if err != nil {
		c.process.Wait()
		t.Fatalf("the server does not start: %v\n%s", err, &stderr)
	}
	if c.api != nil {
		return
	}
	ca, err := os.ReadFile(said.CA)
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(said.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c.api = &target.Rollcall{
		URL: said.URL, Token: string(bytes.TrimSpace(token)),
		HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}},
	}
	c.changer.api = c.api
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if c.link, err = link.New(link.Config{Roots: roots, TransportKeys: []*rsa.PrivateKey{key}, Watcher: c}); err != nil {
		t.Fatal(err)
	}
}

func (c *crashed) kill() {
	if c.process != nil {
		c.process.Process.Kill()
		c.process.Wait() // killed: its error says no more
	}
}

// Exchanged counts what devices and server told each other.
func (c *crashed) Exchanged(d protocol.Device, x *link.Exchange) {
	if x.Status == http.StatusOK {
		c.acked.Add(1)
	}
	if x.Step == dialect.Report && !x.Repeat && x.Reported != protocol.NotNow {
		c.devices[d-1].commands++
	}
}

func (c *crashed) enrol(t *testing.T, i int) {
	ctx := t.Context()
	upn := fmt.Sprintf("user%d@example.com", i)
	if err := c.api.AddUsers(ctx, []target.User{{UPN: upn, IntuneLicence: true}}); err != nil {
		t.Fatal(err)
	}
	invitations, err := c.api.Invite(ctx, []string{upn})
	if err != nil {
		t.Fatal(err)
	}
	d := c.devices[i].apple
	if _, err := c.link.Enrol(ctx, d, dialect.Start{URL: invitations[0].URL}); err != nil || d.Phase() != agent.Enrolled {
		t.Fatalf("device %d: %s, %v", i, d.Phase(), err)
	}
}

// load has the busy devices and their administrators talk to the server until it is killed, in the middle of it: once so many
// more answers were given, or by whoever changes the authority, after a step.
func (c *crashed) load(t *testing.T, answers int64, step int) {
	var killed atomic.Bool
	kill := func() {
		if killed.CompareAndSwap(false, true) {
			c.process.Process.Kill()
		}
	}
	goal := c.acked.Load() + answers
	var group sync.WaitGroup
	group.Go(func() { c.changer.changes(t, step, &killed, kill) })
	for _, m := range c.busy {
		group.Go(func() {
			for !killed.Load() {
				m.asked++
				c.orders.Add(1)
				if _, err := c.api.Order(t.Context(), m.apple.UDID(), target.Order{Kind: target.Information}); err != nil {
					continue
				}
				m.confirmed++
				m.apple.ChangeToken(protocol.At(time.Now()))
				c.link.Converse(t.Context(), m.apple, dialect.Scheduled) // the error is the kill's
				c.link.Converse(t.Context(), m.apple, dialect.Synced)
				if step != changed && step != uploaded && c.acked.Load() >= goal {
					kill()
				}
			}
		})
	}
	group.Wait()
	c.process.Wait() // killed: its error says no more
}

// settle has each device say what it still owes and fetch what is left, and compares both sides' memory.
func (c *crashed) settle(t *testing.T) {
	for i, m := range c.devices {
		var err error
		for range 3 { // what a lost answer left behind, then what is queued
			_, err = c.link.Converse(t.Context(), m.apple, dialect.Synced)
		}
		if err != nil {
			t.Errorf("device %d cannot talk to the server again: %v", i, err)
			continue
		}
		of, err := c.api.Device(t.Context(), m.apple.UDID())
		if err != nil {
			t.Errorf("device %d, whose enrolment was acknowledged, is lost: %v", i, err)
			continue
		}
		r := of.Reports
		if final := r.Acknowledged + r.Failed + r.FormatError; of.Queue != 0 || final != m.commands {
			t.Errorf("device %d carried out %d commands; the server has %d answered and %d waiting", i, m.commands, final, of.Queue)
		}
		const atEnrolment = 10 // more than are queued when a device enrols
		if int64(m.commands) < m.confirmed || int64(m.commands) > m.asked+atEnrolment {
			t.Errorf("device %d: %d orders were confirmed of %d, and %d commands carried out", i, m.confirmed, m.asked, m.commands)
		}
		if of.Life != "enrolled" || m.apple.Phase() != agent.Enrolled || m.apple.Owes() {
			t.Errorf("device %d is %q to the server and %s to itself, owing: %v", i, of.Life, m.apple.Phase(), m.apple.Owes())
		}
	}
}

func (c *crashed) carried() (n uint32) {
	for _, m := range c.devices {
		n += m.commands
	}
	return n
}

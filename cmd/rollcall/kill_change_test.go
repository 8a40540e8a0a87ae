//go:build !agentonly

package main

import (
	"context"
	"encoding/hex"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/apns"
	"rollcall/fleet/target"
	"rollcall/server/delivery"
)

// A changer is the administrator of a server that is killed again and again: changes of authority, each with the renewed push
// certificate that Apple's devices wait for afterwards. The push service outlives the server, so that it can be said which
// devices were woken for which change (AUTH-20, AUTH-31).
type changer struct {
	api             *target.Rollcall
	url, ca         string // of the push service
	epoch           int    // the newest that the server said yes to
	uploads         int    // certificates that it said yes to
	asked           int    // certificates that were made; each ends later than the one before
	mu              sync.Mutex
	pushes          map[string]int         // by token of the devices that are only woken
	before          map[int]map[string]int // the same, before the change to an epoch was asked for; of the latest two
	pushed          chan struct{}          // has one after a push
	epochs, renewed int                    // lines of the journal before the first change
}

func newChanger(t *testing.T, dir string) *changer {
	a := &changer{epoch: 1, pushes: map[string]int{}, before: map[int]map[string]int{}, pushed: make(chan struct{}, 1), ca: filepath.Join(dir, "apns.pem")}
	service, err := apns.New(apns.Config{AnyToken: true, PerToken: cloud.Rate{Messages: -1}, Observe: a.observe})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = os.WriteFile(a.ca, service.CA(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.url = "https://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { service.Serve(ctx, listener) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return a
}

func (a *changer) observe(p apns.Push) {
	if p.Status != 200 {
		return
	}
	a.mu.Lock()
	if _, sleeps := a.pushes[p.Token]; sleeps {
		a.pushes[p.Token]++
	}
	a.mu.Unlock()
	select {
	case a.pushed <- struct{}{}:
	default:
	}
}

// sees has the pushes to these devices counted, which nothing but a change of authority wakes.
func (a *changer) sees(sleepers []*mortal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range sleepers {
		_, token, _ := m.apple.Push()
		a.pushes[hex.EncodeToString(token)] = 0
	}
}

// Steps of an administrator, after which a server may be killed.
const (
	changed = iota + 1
	uploaded
)

// changes changes the authority, renews the certificate and sees the sleepers woken, until the server is dead. With a step it
// kills it itself, right after that.
func (a *changer) changes(t *testing.T, step int, dead *atomic.Bool, kill func()) {
	for !dead.Load() {
		if !a.change(t.Context()) {
			continue
		}
		if step == changed {
			kill()
			return
		}
		for !dead.Load() && !a.upload(t.Context()) {
		}
		if step == uploaded {
			kill()
			return
		}
		for !dead.Load() && a.unwoken() != "" {
			select {
			case <-a.pushed:
			case <-time.After(10 * time.Millisecond): // it may have died
			}
		}
	}
}

// change goes from intune to sccm or back, and tells whether the server said yes.
func (a *changer) change(ctx context.Context) bool {
	c := target.Change{Authority: [...]string{"intune", "sccm"}[a.epoch%2]}
	p, err := a.api.PreviewAuthority(ctx, c)
	if err != nil {
		return false
	}
	a.mu.Lock()
	a.before[a.epoch+1] = maps.Clone(a.pushes)
	delete(a.before, a.epoch-1)
	a.mu.Unlock()
	c.Confirm = p.ID
	if _, err = a.api.SetAuthority(ctx, c); err != nil { // killed, or a device has registered since the preview (HST-070)
		return false
	}
	a.epoch++
	return true
}

// upload gives the server a renewed certificate, and tells whether it said yes.
func (a *changer) upload(ctx context.Context) bool {
	a.asked++
	pem, err := a.api.MakeTestPush(ctx, "", 9000*time.Hour+time.Duration(a.asked)*time.Minute)
	if err != nil {
		return false
	}
	if a.api.UploadPush(ctx, target.PushUpload{Certificate: pem}) != nil {
		return false
	}
	a.uploads++
	return true
}

// unwoken names the token of a device that was not woken for the newest change; empty: all were.
func (a *changer) unwoken() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for token, n := range a.before[a.epoch] {
		if a.pushes[token] <= n {
			return token
		}
	}
	return ""
}

var inEpoch = regexp.MustCompile(`, epoch (\d+): `)

// lines counts the journal's lines of changes of authority, each of an epoch of its own, and of push certificates.
func (a *changer) lines(t *testing.T) (epochs, renewed int) {
	seen := map[string]bool{}
	for line, err := range a.api.Journal(t.Context(), target.LineFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		switch line.What {
		case string(delivery.WhatPushCertificate):
			renewed++
		case string(delivery.WhatAuthority):
			m := inEpoch.FindStringSubmatch(line.Detail)
			if m == nil || seen[m[1]] {
				t.Errorf("the journal has, again or without an epoch: %s", line.Detail)
				continue
			}
			seen[m[1]] = true
			epochs++
		}
	}
	return epochs, renewed
}

// settle holds a server that was started again against what the administrator was told: nothing that was confirmed is lost
// and nothing came twice, the journal is sound, and whoever was not woken for the newest change is now.
func (a *changer) settle(t *testing.T) {
	state, err := a.api.Authority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if is := int(state.Epoch); is != a.epoch && is != a.epoch+1 { // the last answer may have been lost
		t.Fatalf("the server is in epoch %d, and confirmed %d", is, a.epoch)
	}
	a.epoch = int(state.Epoch)
	epochs, renewed := a.lines(t)
	if epochs-a.epochs != a.epoch-1 {
		t.Errorf("the journal has %d changes of authority; the epoch is %d", epochs-a.epochs, a.epoch)
	}
	if renewed -= a.renewed; renewed != a.uploads && renewed != a.uploads+1 {
		t.Errorf("the journal has %d new push certificates; %d were confirmed", renewed, a.uploads)
	}
	a.uploads = renewed
	if state.Gap.Open && !a.upload(t.Context()) {
		t.Error("the gap is open after the restart, and no renewed certificate is taken (AUTH-31)")
	}
	check, err := a.api.VerifyJournal(t.Context())
	if err != nil || !check.Sound {
		t.Errorf("the journal: %v, line %d: %s", err, check.Line, check.Reason)
	}
	for a.unwoken() != "" {
		select {
		case <-a.pushed:
			continue
		case <-time.After(lookAgain):
		}
		clock, err := a.api.Clock(t.Context())
		if sleeper := a.unwoken(); err == nil && sleeper != "" && (clock.Next == 0 || clock.Next.Sub(clock.Now) > time.Minute) {
			t.Fatalf("the device with the token %s was not woken for the change to epoch %d, and nothing is due before %s (AUTH-20)", sleeper, a.epoch, clock.Next)
		}
	}
}

// moved holds the devices, when all of them have talked to the server, against the newest epoch (AUTH-21).
func (a *changer) moved(t *testing.T) {
	v, err := a.api.VerifyAuthority(t.Context())
	if err != nil || int(v.Epoch) != a.epoch || v.Pending+v.Stale > 0 || len(v.Outstanding) > 0 {
		t.Errorf("after all devices have talked in epoch %d: %+v, %v", a.epoch, v, err)
	}
}

// serveFlags have a server use the push service.
func (a *changer) serveFlags() []string { return []string{"--apns-url", a.url, "--apns-ca", a.ca} }

//go:build !agentonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"rollcall/fleet/cloud/wns"
	"rollcall/fleet/conformance/mischief"
)

// A channelView is our simulated push service of Windows as conformance wants to see one.
type channelView struct {
	*wns.Service

	mu     sync.Mutex
	made   int
	got    map[string]int
	broken *mischief.Mischief // the server heeds the service's answers by it; nil: as it is
}

func newChannelView(url string, now func() time.Time) (*channelView, error) {
	v := &channelView{got: map[string]int{}}
	var err error
	v.Service, err = wns.New(wns.Config{URL: url, Now: now, ErrorLog: log.New(io.Discard, "", 0)})
	return v, err
}

func (v *channelView) Open(pfn string) string {
	v.mu.Lock()
	v.made++
	name := strconv.Itoa(v.made)
	v.mu.Unlock()
	v.faults(wns.Faults{}) // of another check
	uri := v.OpenChannel(pfn, name)
	v.Connect(uri, func(wns.Notification) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.got[uri]++
	})
	return uri
}

func (v *channelView) Close(uri string) {
	if v.broken != nil && v.broken.KeepsEnded() {
		return // whoever goes on does as if nothing had ended
	}
	v.CloseChannel(uri)
}

func (v *channelView) Got(uri string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.got[uri]
}

func (v *channelView) Refuse(status int) {
	if v.broken != nil && v.broken.PressesOn(status) {
		return // whoever does not heed it has not heard it
	}
	v.faults(wns.Faults{Script: []wns.Fault{wns.Fault(strconv.Itoa(status))}})
}

func (v *channelView) Refused() map[int]int {
	out := map[int]int{}
	for status, n := range v.Counters().Refused {
		out[status] = int(n)
	}
	return out
}

func (v *channelView) Forget() {
	if v.broken != nil && v.broken.KeepsToken() {
		v.faults(wns.Faults{Share: map[wns.Fault]float64{"401": 1}}) // no token is a good one
		return
	}
	v.ForgetTokens()
}

func (v *channelView) Tokens() int { return int(v.Counters().Tokens) }

func (v *channelView) faults(f wns.Faults) {
	if err := v.SetFaults(f); err != nil {
		panic(err) // a fault of this file
	}
}

// listenWNS starts Windows' push service for a server that is there already. Stop ends it.
func (f *conformFlags) listenWNS(ctx context.Context) (v *channelView, stop func(), err error) {
	if f.wnsIdentity == "" {
		return nil, nil, errors.New("--wns-listen: name by --wns-identity-out where the server finds the identity that may send")
	}
	listener, err := net.Listen("tcp", f.wnsListen)
	if err != nil {
		return nil, nil, cannotListen(f.wnsListen, err)
	}
	host := listener.Addr().String()
	if v, err = newChannelView("https://"+host, time.Now); err == nil {
		id := newWNSIdentity("rollcall.conform_1", host)
		id.TokenURL = v.TokenURL()
		err = writeWNSIdentity(f.wnsIdentity, id)
	}
	if err == nil && f.wnsCA != "" {
		err = os.WriteFile(f.wnsCA, v.CA(), 0o644)
	}
	if err != nil {
		listener.Close()
		return nil, nil, fmt.Errorf("--wns-listen: %w", err)
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- v.Serve(serving, listener) }()
	return v, func() { cancel(); <-ended }, nil
}

//go:build !agentonly

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"time"

	"rollcall/fleet/cloud/google"
	"rollcall/fleet/conformance/mischief"
)

// A messageView is our simulated FCM as conformance wants to see one.
type messageView struct {
	*google.Service

	mu     sync.Mutex
	sent   map[string]int
	broken *mischief.Mischief // the server's messages go wrong by it; nil: they do not
}

// conformProject is that of the service account of a run.
const conformProject = "rollcall-conform"

func newMessageView(url string, now func() time.Time) (*messageView, error) {
	v := &messageView{sent: map[string]int{}}
	var err error
	v.Service, err = google.New(google.Config{URL: url, Now: now, ErrorLog: log.New(io.Discard, "", 0), Observe: func(p google.Push) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.sent[p.Registration]++
	}})
	return v, err
}

func (v *messageView) Register(device string) string {
	v.faults(google.Faults{})
	return v.Service.Register(conformProject, device)
}

// Unregister ends an id. Whoever does not forget it has not heard that it did.
func (v *messageView) Unregister(fid string) {
	if v.broken != nil && v.broken.SendsToTheDead() {
		v.faults(google.Faults{Share: map[google.Fault]float64{"QUOTA_EXCEEDED": 1}})
		return
	}
	v.Service.Unregister(fid)
}

func (v *messageView) faults(f google.Faults) {
	if err := v.SetFaults(f); err != nil {
		panic(err) // a fault of this file
	}
}

func (v *messageView) Sent(fid string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sent[fid]
}

// conformAccount is the key file of a service account, made once in a process, whose tokens come from nowhere yet.
var conformAccount = sync.OnceValues(func() ([]byte, error) {
	v, err := newMessageView(nowhere, time.Now)
	if err != nil {
		return nil, err
	}
	return v.NewAccount(conformProject)
})

const nowhere = "https://nowhere.invalid"

// account has the service at url know the account, and returns its key file.
func (v *messageView) account(url string) ([]byte, error) {
	text, err := conformAccount()
	if err != nil {
		return nil, err
	}
	text = bytes.ReplaceAll(text, []byte(nowhere), []byte(url))
	return text, v.AddAccount(text)
}

// listenFCM starts the message service for a server that is there already. Stop ends it.
func (f *conformFlags) listenFCM(ctx context.Context) (v *messageView, stop func(), err error) {
	listener, err := net.Listen("tcp", f.fcmListen)
	if err != nil {
		return nil, nil, cannotListen(f.fcmListen, err)
	}
	url := "https://" + listener.Addr().String()
	if v, err = newMessageView(url, time.Now); err == nil {
		var key []byte
		if key, err = v.account(url); err == nil {
			err = os.WriteFile(f.fcmKey, key, 0o600)
		}
	}
	if err == nil && f.fcmCA != "" {
		err = os.WriteFile(f.fcmCA, v.CA(), 0o644)
	}
	if err != nil {
		listener.Close()
		return nil, nil, fmt.Errorf("--fcm-listen: %w", err)
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- v.Serve(serving, listener) }()
	return v, func() { cancel(); <-ended }, nil
}

//go:build !agentonly

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/apns"
	"rollcall/fleet/conformance"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// An ownDevice is a device of ours with its clock and push service, there to be judged.
type ownDevice struct {
	link   *link.Link
	roots  *x509.CertPool
	ca     *certs.Authority // issues push certificates
	pushes *apns.Service
	https  string // of pushes
	stop   context.CancelFunc
	ended  chan error

	anyMagic func() bool // whether a push wakes it whatever its magic; nil: it does not

	mu      sync.Mutex
	device  *dialect.Apple
	made    uint32
	at      time.Time
	notices [][]byte // that came and are not looked at yet
}

var ownModel = &dialect.Model{
	Platform: protocol.IOS, Name: "iPhone", Number: "MLPF3", Product: "iPhone14,5", OSVersion: "18.1", Build: "22B83", Capacity: 128,
	Apps: []apple.ApplicationItem{{Identifier: "com.example.mail", Name: "Mail", Version: "1.0", ShortVersion: "1.0", BundleSize: 4 << 20}},
}

// startOwnDevice makes a device and a push service for it, whose certificates ca issues.
func startOwnDevice(ctx context.Context, ca *certs.Authority, keys link.Config) (*ownDevice, error) {
	o := &ownDevice{ca: ca, roots: x509.NewCertPool(), at: time.Now(), ended: make(chan error, 1)}
	keys.Roots, keys.Now = o.roots, o.now
	var err error
	if o.link, err = link.New(keys); err != nil {
		return nil, err
	}
	if o.pushes, err = apns.New(apns.Config{RequireHeaders: true, PerToken: cloud.Rate{Messages: -1}, ErrorLog: log.New(io.Discard, "", 0)}); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o.https = "https://" + listener.Addr().String()
	var serving context.Context
	serving, o.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() { o.ended <- o.pushes.Serve(serving, listener) }()
	o.renew()
	return o, nil
}

func (o *ownDevice) close() error {
	o.link.Close()
	o.stop()
	return <-o.ended
}

// trust has the device open links of a server with this certificate.
func (o *ownDevice) trust(_ string, ca []byte) { o.roots.AppendCertsFromPEM(ca) }

func (o *ownDevice) now() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}

// renew puts a device in the place of the one there was. Commands that a lock holds up find it locked when it is.
func (o *ownDevice) renew() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.made++
	id := fmt.Sprintf("%08X", o.made)
	o.device = dialect.NewApple(dialect.Who{
		Number: protocol.Device(o.made), Seed: uint64(o.made), UDID: "00008101-0000C0F0" + id, Serial: "C0" + id, Name: "Judged", IMEI: "350000000000000",
	}, ownModel, &dialect.Habits{})
}

// hands are what can be done with it.
func (o *ownDevice) hands() *conformance.Hands {
	converse := func(ctx context.Context, why dialect.Why) error {
		_, err := o.link.Converse(ctx, o.device, why)
		return err
	}
	return &conformance.Hands{
		Name: "rollcall's own device", AtRest: true,
		Enrol: func(ctx context.Context, link string) error {
			_, err := o.link.Enrol(ctx, o.device, dialect.Start{URL: link})
			return err
		},
		CheckIn: func(ctx context.Context) error { return converse(ctx, dialect.Synced) },
		Push: func(ctx context.Context, topic string, token []byte, magic string) error {
			if err := o.push(ctx, topic, token, magic); err != nil {
				return err
			}
			for o.woken() {
				if err := converse(ctx, dialect.Pushed); err != nil {
					return err
				}
			}
			return nil
		},
		Remove: func(ctx context.Context) error { return converse(ctx, dialect.UserRemoves) },
		Restart: func(context.Context) error {
			kept, err := o.device.AppendBinary(nil)
			if err != nil {
				return err
			}
			again := new(dialect.Apple)
			if err := again.UnmarshalBinary(kept); err != nil {
				return err
			}
			again.Share(ownModel, &dialect.Habits{})
			o.device = again
			return nil
		},
		Lock: func(context.Context) error {
			o.device.Lock(protocol.At(o.now().Add(time.Hour)))
			return nil
		},
		Token: func(ctx context.Context) error {
			o.device.ChangeToken(protocol.At(o.now()))
			return converse(ctx, dialect.Scheduled)
		},
		Wait: func(ctx context.Context) error {
			due := o.device.Due()
			o.mu.Lock()
			if at := due.Time(); due != 0 && at.After(o.at) {
				o.at = at
			}
			o.mu.Unlock()
			if due == 0 {
				o.device.Lock(0)
				return nil
			}
			return converse(ctx, dialect.Scheduled)
		},
		Reset: func(context.Context) error {
			o.renew()
			return nil
		},
	}
}

// push sends a notice through the push service, as a server would.
func (o *ownDevice) push(ctx context.Context, topic string, token []byte, magic string) error {
	if mine, own, _ := o.device.Push(); own != nil && bytes.Equal(own, token) {
		o.pushes.RegisterToken(mine, own)
		o.pushes.Connect(own, func(n apns.Notification) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.notices = append(o.notices, n.Payload)
		})
	}
	certificate, err := certs.MakePush(o.ca, topic, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(o.pushes.CA())
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		RootCAs: roots, Certificates: []tls.Certificate{{Certificate: [][]byte{certificate.Certificate.Raw}, PrivateKey: certificate.Key}},
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, o.https+"/3/device/"+hex.EncodeToString(token), bytes.NewReader(apple.EncodePush(nil, magic)))
	if err != nil {
		return err
	}
	r.Header = http.Header{"Apns-Topic": {topic}, "Apns-Push-Type": {"mdm"}, "Apns-Priority": {"10"}}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // what there is of it
		return fmt.Errorf("APNs: %s %s", resp.Status, reason)
	}
	return nil
}

// woken takes one notice and tells whether it wakes the device.
func (o *ownDevice) woken() bool {
	o.mu.Lock()
	if len(o.notices) == 0 {
		o.mu.Unlock()
		return false
	}
	payload := o.notices[0]
	o.notices = o.notices[1:]
	o.mu.Unlock()
	magic, err := apple.DecodePush(payload)
	return err == nil && (o.device.Woken(magic) || o.anyMagic != nil && o.anyMagic())
}

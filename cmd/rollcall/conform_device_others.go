//go:build !agentonly

package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"sync"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/conformance"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// A judgedDevice is one of another platform than Apple's.
type judgedDevice interface {
	link.Device
	Due() protocol.Time
	AppendBinary(b []byte) ([]byte, error)
}

// An ownOther is a device of ours of such a platform with its clock, there to be judged.
type ownOther struct {
	link  *link.Link
	roots *x509.CertPool
	kind  judgedKind

	twice func() bool // whether it enrols although it is managed; nil: it does not

	mu     sync.Mutex
	device judgedDevice
	made   uint32
	at     time.Time
}

// An judgedKind is what such devices have of their platform's.
type judgedKind struct {
	anew    func(n uint32) judgedDevice
	restart func(kept []byte) (judgedDevice, error)
	enrol   func(ctx context.Context, l *link.Link, d judgedDevice, text string) error
	token   func(now protocol.Time, d judgedDevice) // gives it another push id; nil: that is its own affair
	back    func(now protocol.Time, d judgedDevice) // it is on the network again; nil: it does not hear of that
}

// judgedKinds are the platforms, by their suite.
var judgedKinds = map[conformance.Suite]judgedKind{
	conformance.WindowsDevice: {
		anew: func(n uint32) judgedDevice {
			id := fmt.Sprintf("0000C0F0%024X", n)
			return dialect.NewWindows(dialect.WindowsWho{
				Number: protocol.Device(n), Seed: uint64(n), DeviceID: id, HWDevID: "hw-" + id, Serial: "C0" + id[24:], Name: "JUDGED", MAC: "02-00-00-00-00-01",
			}, ownPC, &dialect.WindowsHabits{})
		},
		restart: func(kept []byte) (judgedDevice, error) {
			d := new(dialect.Windows)
			err := d.UnmarshalBinary(kept)
			d.Share(ownPC, &dialect.WindowsHabits{})
			return d, err
		},
		enrol: func(ctx context.Context, l *link.Link, d judgedDevice, text string) error {
			u, err := url.Parse(text)
			if err != nil {
				return err
			}
			q, err := url.ParseQuery(u.RawQuery)
			if err != nil {
				return err
			}
			user := q.Get("username")
			_, err = l.EnrolWindows(ctx, d.(*dialect.Windows), dialect.WindowsStart{
				Email: user, Discovery: q.Get("servername"), Credential: windows.Credential{Kind: windows.Password, Username: user, Password: conformance.DevicePassword},
			})
			return err
		},
	},
	conformance.AndroidDevice: {
		anew: func(n uint32) judgedDevice {
			return dialect.NewAndroid(dialect.AndroidWho{Number: protocol.Device(n), Seed: uint64(n), Serial: fmt.Sprintf("C0F0%08X", n)}, ownPhone, &dialect.Habits{})
		},
		restart: func(kept []byte) (judgedDevice, error) {
			d := new(dialect.Android)
			err := d.UnmarshalBinary(kept)
			d.Share(ownPhone, &dialect.Habits{})
			return d, err
		},
		enrol: func(ctx context.Context, l *link.Link, d judgedDevice, text string) error {
			start, err := dialect.AndroidStartOf([]byte(text))
			if err == nil {
				_, err = l.EnrolAndroid(ctx, d.(*dialect.Android), start)
			}
			return err
		},
		token: func(now protocol.Time, d judgedDevice) { d.(*dialect.Android).ChangeToken(now) },
		back:  func(now protocol.Time, d judgedDevice) { d.(*dialect.Android).Return(now, false) },
	},
}

var ownPC = &dialect.WindowsModel{
	Manufacturer: "rollcall", Name: "simulated", OSVersion: "10.0.22631.1", Edition: 48, Firmware: "1.0", Storage: 256000, Memory: 16384,
}

var ownPhone = &dialect.AndroidModel{Brand: "acme", Name: "A1", AndroidVersion: "14", APILevel: 34, AgentVersion: "1.0.0", RAM: 8e9, Storage: 128e9}

// startOwnOther makes a device of a suite's platform.
func startOwnOther(suite conformance.Suite) (*ownOther, error) {
	o := &ownOther{roots: x509.NewCertPool(), at: time.Now(), kind: judgedKinds[suite]}
	var err error
	if o.link, err = link.New(link.Config{Roots: o.roots, Now: o.now}); err != nil {
		return nil, err
	}
	o.renew()
	return o, nil
}

// trust has the device take a server with this certificate.
func (o *ownOther) trust(_ string, ca []byte) { o.roots.AppendCertsFromPEM(ca) }

func (o *ownOther) now() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}

// renew puts a device in the place of the one there was.
func (o *ownOther) renew() {
	o.made++
	o.device = o.kind.anew(o.made)
}

// hands are what can be done with it.
func (o *ownOther) hands() *conformance.Hands {
	converse := func(ctx context.Context, why dialect.Why) error {
		_, err := o.link.Converse(ctx, o.device, why)
		return err
	}
	h := &conformance.Hands{
		Name: "rollcall's own device", AtRest: true,
		Enrol: func(ctx context.Context, text string) error {
			if o.twice != nil && o.twice() {
				o.renew()
			}
			return o.kind.enrol(ctx, o.link, o.device, text)
		},
		CheckIn: func(ctx context.Context) error { return converse(ctx, dialect.Synced) },
		Remove:  func(ctx context.Context) error { return converse(ctx, dialect.UserRemoves) },
		Restart: func(context.Context) error {
			kept, err := o.device.AppendBinary(nil)
			if err == nil {
				o.device, err = o.kind.restart(kept)
			}
			return err
		},
		Wait: func(ctx context.Context) error {
			due := o.device.Due()
			if due == 0 {
				return nil
			}
			o.mu.Lock()
			if at := due.Time(); at.After(o.at) {
				o.at = at
			}
			o.mu.Unlock()
			return converse(ctx, dialect.Scheduled)
		},
		Reset: func(context.Context) error {
			o.renew()
			return nil
		},
	}
	if o.kind.token != nil {
		h.Token = func(context.Context) error {
			o.kind.token(protocol.At(o.now()), o.device)
			return nil
		}
	}
	if o.kind.back != nil {
		h.Away = func(context.Context) error {
			o.mu.Lock()
			o.at = o.at.Add(outage)
			o.mu.Unlock()
			o.kind.back(protocol.At(o.now()), o.device)
			return nil
		}
	}
	return h
}

// outage is longer than three of a device's schedules.
const outage = 25 * time.Hour

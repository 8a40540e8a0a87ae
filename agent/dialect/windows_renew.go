package dialect

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unique"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// What Renew/Status says.
const (
	renewRunning = 1
	renewDone    = 2
	renewFailed  = 3
)

// renew begins a renewal: discovery first (WIN-062), then a new key's request signed by the identity in use.
func (d *Windows) renew(out *Act) {
	discovery := d.account.Value().discovery
	if moved := d.tree.value(pathRenew + "ServerURL"); d.follows(discovery, moved) {
		discovery = moved
	}
	d.winTask = &winTask{enrolling: enrolling{renews: true, discovery: discovery}}
	d.renewal.status, d.renewal.tried, d.renewal.code = renewRunning, d.now, 0
	d.ask(Discovery, "POST", discovery, d.introduce(), out)
}

// replaced puts the renewed certificate in the place of the old one.
func (d *Windows) replaced(p *windows.Provisioning, c *x509.Certificate, r *Response, out *Act) {
	old, err := x509.ParseCertificate(d.Certificate(Current))
	key, keyErr := packKey(d.key)
	if err != nil || keyErr != nil || p.DMClient != nil || p.Application.ProviderID != d.provider() || string(old.RawSubject) != string(c.RawSubject) || p.Store != d.account.Value().store {
		d.giveUp(fmt.Errorf("the document is no renewal of this identity: %w", windows.ECertificateStore), r, out)
		return
	}
	anchors := d.account.Value().anchors
	if d.habits.Seal != "" && (!issuedBy(anchors, c) || !strings.Contains(anchors, string(p.Root))) { // a machine's authority stays what it was (HST-027)
		d.giveUp(fmt.Errorf("%w: %w", errStranger, windows.ECertificateStore), r, out)
		return
	}
	if root := string(p.Root); root != "" && !strings.Contains(anchors, root) {
		a := d.account.Value()
		a.anchors += root
		d.account = unique.Make(a)
		d.tree = d.tree.with(leaf{pathRoot + windows.Thumbprint(p.Root) + "/EncodedCertificate", windows.FormatB64, base64.StdEncoding.EncodeToString(p.Root)})
	}
	d.winTask = nil
	out.Kind, out.Request = Rest, Request{}
	d.renewal.status, d.renewal.code, d.renewed = renewDone, 0, d.now
	d.use(identity{key, p.Client}, c)
}

// Reissued gives an enrolled device another certificate for the key that it has, as if it had come with its enrolment.
func (d *Windows) Reissued(c *x509.Certificate) { d.use(identity{d.self.identity().key, c.Raw}, c) }

// use makes an identity the device's own.
func (d *Windows) use(i identity, c *x509.Certificate) {
	d.self = newResting(d.self.uuids(), i)
	d.core.SetIdentity(agent.Identity{NotBefore: protocol.At(c.NotBefore), NotAfter: protocol.At(c.NotAfter)})
	d.renewAfter(0)
}

// renewAfter sets the next attempt at renewing the identity: when its window opens, and RetryInterval days after an attempt that failed.
// An identity that has ended is not renewed (WIN-061), unless the server has said that it is, every RetryAfterExpiryInterval days.
func (d *Windows) renewAfter(failed protocol.Time) {
	d.renewal.due = 0
	end := d.core.Identity().NotAfter
	if !d.account.Value().robo || end == 0 {
		return
	}
	days := func(name string, otherwise int64) time.Duration {
		n, err := strconv.ParseUint(d.tree.value(pathRenew+name), 10, 16)
		if err != nil {
			return time.Duration(otherwise) * day
		}
		return time.Duration(n) * day
	}
	due := max(end.Add(-days("RenewPeriod", 42)), 1)
	if failed != 0 {
		due = max(due, failed.Add(max(days("RetryInterval", 7), day)))
	}
	switch after := days("RetryAfterExpiryInterval", 0); {
	case due < end:
		d.renewal.due = due
	case after > 0:
		d.renewal.due = max(end, failed).Add(after)
	}
}

package device

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// forgotten is a living identity by the lab's authority that its store never heard of.
func (l *lab) forgotten(subject string, issued time.Time) certs.Signer {
	l.t.Helper()
	key := newKey()
	leaf, err := l.ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: subject, Now: issued})
	if err != nil {
		l.t.Fatal(err)
	}
	return certs.Signer{Certificate: leaf, Key: key}
}

// TestHST101Recall: after a restoration a certificate of this authority that the store does not know is its device's own
// again if it was issued for that device in the time that was lost, and nobody else's. No answer makes a device give up
// its management: phone.do looks at each.
func TestHST101Recall(t *testing.T) {
	ctx := context.Background()
	day := 24 * time.Hour
	for _, tt := range []struct {
		name     string
		restored bool
		issued   time.Duration // after the backup; the restoration is a week after it
		of, says string        // whom it was issued for, and who the message says it is of; empty of: nobody in particular
		user     int           // whom it was issued to, counted from the one who has the device
		ended    bool          // the device had left before the backup
		foreign  bool          // issued by another authority of the same name
		status   int           // 0: the handshake fails
	}{
		{name: "renewed after the backup", restored: true, issued: day, of: udid(1), says: udid(1), status: 200},
		{name: "of another device", restored: true, issued: day, of: udid(2), says: udid(1), status: 400},
		{name: "of a device that is not in the backup", restored: true, issued: day, of: udid(3), says: udid(3), status: 400},
		{name: "of an enrolment with a link", restored: true, issued: day, says: udid(1), status: 400},
		{name: "of no name that a device can have", restored: true, issued: day, of: "../1", says: "../1", status: 400},
		{name: "of the same device in other hands", restored: true, issued: day, of: udid(1), says: udid(1), user: 1, status: 400},
		{name: "of the same device in nobody's hands", restored: true, issued: day, of: udid(1), says: udid(1), user: -1, status: 400},
		{name: "of a device that had left", restored: true, issued: day, of: udid(1), says: udid(1), ended: true, status: 400},
		{name: "by another authority", restored: true, issued: day, of: udid(1), says: udid(1), foreign: true},
		{name: "issued before the backup", restored: true, issued: -day, of: udid(1), says: udid(1)},
		{name: "issued after the restoration", restored: true, issued: 8 * day, of: udid(1), says: udid(1)},
		{name: "without a restoration", issued: day, of: udid(1), says: udid(1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			one, two := l.phone(udid(1)).enrol(), l.phone(udid(2)).enrol()
			if tt.ended {
				m := one.authenticate()
				m.MessageType = apple.CheckOut
				one.send(m)
			}
			backup := l.now()
			l.setClock(backup.Add(7 * day))
			if tt.restored {
				r := delivery.Restoration{Since: protocol.At(backup)}
				err := l.store.Apply(ctx, l.pnow(), &store.Change{Restored: &r})
				if err == nil {
					l.core, err = server.Open(ctx, l.pnow(), server.Config{Store: l.store})
				}
				if err != nil {
					t.Fatal(err)
				}
				l.h.cfg.Server = l.core
			}
			l.setClock(backup.Add(9 * day))
			before := [2]store.Record{l.record(udid(1)), l.record(udid(2))}
			subject := l.core.Subject(&store.Grant{ID: tt.of, User: delivery.UserID(int(l.user) + tt.user)})
			ours := l.ca
			if tt.foreign {
				fake, err := certs.NewIssuer(ours.Certificate().Subject.CommonName, backup)
				if err != nil {
					t.Fatal(err)
				}
				l.ca = fake
			}
			who := l.forgotten(subject, backup.Add(tt.issued))
			l.ca = ours
			p := l.phoneOf(tt.says, who)
			body := []byte(`<?xml version="1.0"?><plist version="1.0"><dict><key>UDID</key><string>` + tt.says + `</string><key>Status</key><string>Idle</string></dict></plist>`)
			var a answer
			var err error
			for range 2 { // a second time on the same connection
				if a, err = p.do("PUT", commandPath, nil, body); err != nil {
					break
				}
			}
			if err == nil && a.status != tt.status || err != nil && tt.status != 0 {
				t.Fatalf("answered %d %q, %v; want %d\n%s", a.status, a.body, err, tt.status, l.log)
			}
			after := [2]store.Record{l.record(udid(1)), l.record(udid(2))}
			lines, err := l.store.Journal(ctx, store.LineFilter{What: delivery.WhatForgotten}, 10)
			if err != nil {
				t.Fatal(err)
			}
			if tt.status == 200 {
				if got := after[0].State.Identity.NotAfter; got != protocol.At(who.Certificate.NotAfter) || len(lines) != 0 {
					t.Errorf("its identity ends %s, want the one that was forgotten; %v", got, lines)
				}
				if a := one.send(one.idle()); a.status != 403 && a.status != 400 || !l.logged("HST-032") { // AUTH-41
					t.Errorf("the identity before is answered %d", a.status)
				}
				if a := l.phoneOf(udid(2), who).send(two.idle()); a.status != 400 { // HST-033
					t.Errorf("with the name of another device it is answered %d", a.status)
				}
				if used, err := l.store.KeyUsed(ctx, keyOf(t, who)); !used || err != nil { // HST-040
					t.Errorf("its key is not known: %v", err)
				}
				return
			}
			for i := range before {
				if before[i].State.Identity != after[i].State.Identity || before[i].State.LastSeen != after[i].State.LastSeen {
					t.Errorf("device %d has changed", i+1)
				}
			}
			if a := two.send(two.idle()); a.status != 200 {
				t.Errorf("another device is answered %d", a.status)
			}
			if tell := tt.status == 400 && validID(tt.says); tell != (len(lines) == 1) || tell && !strings.Contains(lines[0].Detail, tt.says) {
				t.Errorf("the journal says %+v", lines)
			}
			if tell := tt.status == 400 && validID(tt.says); tell && !strings.Contains(string(a.body), "HST-101") {
				t.Errorf("the device hears %q", a.body)
			}
		})
	}
}

// TestHST101Enrolment: an Android device's name is its hardware's, whoever has it: after a restoration its certificate is its own again only
// in the enrolment that the backup knows (HST-042). No other answer ends its management.
func TestHST101Enrolment(t *testing.T) {
	ctx := context.Background()
	day := 24 * time.Hour
	for _, tt := range []struct {
		name, unit string
		device     string
		before     bool // the identity in use is newer
		status     int
	}{
		{"renewed after the backup", "e-1", "d-1", false, 200},
		{"of an enrolment after the backup", "e-2", "d-1", false, 403},
		{"of an enrolment before", "e-0", "d-1", false, 403},
		{"of none", "", "d-1", false, 403},
		{"of another device", "e-1", "d-2", false, 403},
		{"older than the identity in use", "e-1", "d-1", true, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newDroidLab(t)
			backup := l.now()
			if tt.before {
				l.setClock(backup.Add(2 * day))
			}
			_, steady := l.android("d-1")
			l.setClock(backup.Add(7 * day))
			err := l.store.Apply(ctx, l.pnow(), &store.Change{Restored: &delivery.Restoration{Since: protocol.At(backup)}})
			if err == nil {
				l.core, err = server.Open(ctx, l.pnow(), server.Config{Store: l.store})
			}
			l.must(err)
			l.h.cfg.Server = l.core
			l.setClock(backup.Add(9 * day))
			key := newKey()
			leaf, err := l.ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: tt.device, Unit: tt.unit, Now: backup.Add(day)})
			l.must(err)
			was := l.record("d-1").State.Identity
			a, err := l.phoneOf("d-1", certs.Signer{Certificate: leaf, Key: key}).do("POST", android.CheckInPath, nil, steady)
			if err != nil || a.status != tt.status || tt.status != 200 && !strings.Contains(string(a.body), "HST-101") {
				t.Fatalf("answered %d %s, %v; want %d\n%s", a.status, a.body, err, tt.status, l.log)
			}
			if is := l.record("d-1").State.Identity; (is != was) != (tt.status == 200) {
				t.Errorf("its identity was %+v, is %+v", was, is)
			}
		})
	}
}

func keyOf(t *testing.T, s certs.Signer) [32]byte {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(s.Certificate.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(public)
}

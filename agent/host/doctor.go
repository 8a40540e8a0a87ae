package host

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/host/apply"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// askew is how far the agent's clock may be from its server's: what is signed and what ends is judged by both.
const askew = 5 * time.Minute

// late is after how many poll intervals without a check-in something is wrong.
const late = 3

// A Finding is one thing that was looked at.
type Finding struct {
	Check string `json:"check"` // folder, files, agent, wake-ups, enrolment, name, port, authority, clock, certificate, identity or check-ins
	OK    bool   `json:"ok"`
	Says  string `json:"says"`         // what is so, in plain words
	Do    string `json:"do,omitempty"` // about it; empty when it is well
}

// A doctor collects findings.
type doctor struct {
	cfg  *Config
	dir  string
	rec  *record
	dev  device // nil: nothing enrolled
	list []Finding
}

func (d *doctor) well(check, says string, args ...any) {
	d.list = append(d.list, Finding{check, true, fmt.Sprintf(says, args...), ""})
}

func (d *doctor) ill(check, do, says string, args ...any) {
	d.list = append(d.list, Finding{check, false, fmt.Sprintf(says, args...), do})
}

func (d *doctor) now() time.Time { return d.rec.Clock.at(d.cfg.Now()) }

// Examine looks for what is wrong with the agent whose state is in dir, whether it runs or not, and changes nothing. What cannot be
// looked at because of something before it is left out.
func Examine(ctx context.Context, dir string, cfg Config) []Finding {
	cfg.fill()
	d := &doctor{cfg: &cfg, dir: dir}
	if !d.folder(ctx) {
		return d.list
	}
	d.files()
	if !d.enrolment() {
		return d.list
	}
	d.agent(ctx)
	if d.name(ctx) && d.port(ctx) {
		d.server(ctx)
	}
	d.checkIns()
	return d.list
}

// folder looks at the state folder: there, whole, private, and of this machine.
func (d *doctor) folder(ctx context.Context) bool {
	_, err := os.Stat(d.dir)
	if err == nil {
		err = ownFolder(d.dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		d.ill("folder", "enrol this machine with the line that rollcall serve printed, or look elsewhere with --state", "there is no state in %s", d.dir)
		return false
	}
	if err == nil {
		d.rec, err = load(d.dir)
	}
	if errors.Is(err, fs.ErrPermission) {
		d.ill("folder", "ask as that user (sudo)", "%s is another user's", d.dir)
		return false
	}
	if errors.Is(err, errNotOwn) {
		d.ill("folder", "look elsewhere with --state", "%v", err)
		return false
	}
	if err == nil {
		if d.dev, err = d.rec.read(); err != nil {
			err = &lostError{err}
		}
	}
	if lost, ok := errors.AsType[*lostError](err); ok {
		d.ill("folder", toGoOn, "%v", lost.why)
		return false
	}
	if err != nil {
		d.ill("folder", "take the program that wrote it, or check the disk", "%v", err)
		return false
	}
	if here := machineOf(d.cfg.Machine(ctx)); d.rec.Machine != "" && here != "" && d.rec.Machine != here {
		d.ill("folder", toGoOn, "%s: %v", d.dir, errForeign)
		return false
	}
	if _, err := readState(filepath.Join(d.dir, stateFile)); errors.Is(err, errDamaged) {
		d.ill("folder", "check the disk; the next check-in writes it anew", "%v, and the one before it is used", err)
		return true
	}
	if says, do := folderTrouble(d.dir); says != "" {
		d.ill("folder", do, "%s", says)
		return true
	}
	if _, free, err := space(ctx, d.dir); err == nil && tight(free) {
		d.ill("folder", "make free space there", "the disk of %s is full, or nearly: what the agent has to keep may find no place", d.dir)
		return true
	}
	d.well("folder", "%s is whole, and for its owner alone", d.dir)
	return true
}

const mendFiles = "mend that; where the agent's user may not, rollcall agent uninstall and rollcall agent install --as-root have root do it; rollcall agent check-in tries again"

// files looks at whether the machine's files follow its profiles; nothing is said of those that do.
func (d *doctor) files() {
	_, _, _, err := apply.Read(filepath.Join(d.dir, profilesFolder))
	switch {
	case err != nil:
		d.ill("files", "put them back by hand, and remove that folder", "%v", err)
	case d.rec.Trouble != "":
		d.ill("files", mendFiles, "files do not follow the profiles: %s", d.rec.Trouble)
	}
}

// tight tells whether a disk with so many bytes free may not take a state and its journal: twice what is there while one replaces another.
func tight(free uint64) bool { return free < 8<<20 }

func (d *doctor) enrolment() bool {
	phase := agent.Phase(0)
	if d.dev != nil {
		phase = d.dev.Phase()
	}
	switch {
	case d.rec.Link != nil && phase == agent.Enrolled:
		d.well("enrolment", "%s manages this machine since %s", d.rec.Link.Host, day(d.dev.EnrolledAt().Time()))
	case d.rec.Link != nil && (phase == agent.Enrolling || d.rec.Pending != nil):
		d.ill("enrolment", "rollcall agent check-in goes on with it", "the enrolment at %s was interrupted", d.rec.Link.Host)
	default:
		ended := ""
		if d.rec.Ended != 0 {
			ended = fmt.Sprintf(" since %s: %s", day(d.rec.Ended.Time()), d.rec.EndedBy)
		}
		d.ill("enrolment", "enrol it with the line that rollcall serve printed", "nobody manages this machine%s", ended)
		return false
	}
	return true
}

// agent finds who has the folder.
func (d *doctor) agent(ctx context.Context) {
	const start = "rollcall agent install has the system start it, rollcall agent run does so by hand"
	b, _ := os.ReadFile(filepath.Join(d.dir, lockFile))
	process := strings.TrimSpace(string(b))
	if conn, err := dialAgent(ctx, d.dir); err == nil {
		conn.Close()
		d.well("agent", "it runs, as process %s", process)
		d.wakeUps(ctx)
		return
	}
	file, err := os.Open(filepath.Join(d.dir, lockFile))
	if err != nil {
		d.ill("agent", start, "no agent runs on this state")
		return
	}
	defer (&lock{file}).Close()
	switch free, err := TryLock(file); {
	case err != nil:
		d.ill("agent", "check the file system that the folder is on: it has to know locks", "the lock cannot be tried: %v", err)
	case free:
		d.ill("agent", start, "no agent runs on this state")
	default:
		d.ill("agent", "wait until it is done; if it never is, end that process and start the agent again", "process %s has the state and takes no requests", process)
	}
}

// wakeUps asks the agent that runs whether it can be woken.
func (d *doctor) wakeUps(ctx context.Context) {
	s, runs := Stream(ctx, d.dir)
	switch {
	case !runs:
	case d.alone():
		d.well("wake-ups", "the server named no push service for it when it enrolled: this machine asks every %s", d.rec.Poll)
	case d.rec.Courier == NoCourier:
		d.well("wake-ups", "--courier none has none come: this machine asks every %s", d.rec.Poll)
	case s == nil:
		d.well("wake-ups", "a stream for them is being made")
	case s.None:
		d.well("wake-ups", "the server has no streams for them: this machine asks every %s", d.rec.Poll)
	case s.Since.IsZero():
		d.ill("wake-ups", "open the port of the server's streams on the way to it, or name another address with rollcall agent set --courier",
			"none come, and this machine asks every %s: %s", d.rec.Poll, s.Why)
	default:
		d.well("wake-ups", "they come by a stream of %s, up since %s UTC", s.Service, s.Since.UTC().Format(time.DateTime))
	}
}

// alone tells whether no push service wakes the device.
func (d *doctor) alone() bool { return d.dev != nil && d.dev.push().service == "" }

func (d *doctor) name(ctx context.Context) bool {
	host, _, err := net.SplitHostPort(d.rec.Link.Host)
	if err != nil {
		d.ill("name", "enrol again with a new line", "%q is no host and port", d.rec.Link.Host)
		return false
	}
	if net.ParseIP(host) != nil {
		d.well("name", "the server is called by its address, %s", host)
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, contactFor)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		d.ill("name", "check this machine's name servers, and that the name is still the server's", "this machine cannot find %s: %v", host, err)
		return false
	}
	d.well("name", "%s is %s", host, strings.Join(found, ", "))
	return true
}

func (d *doctor) port(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, contactFor)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.rec.Link.Host)
	if err != nil {
		d.ill("port", "start the server, or open the port on the way to it", "nobody answers at %s: %v", d.rec.Link.Host, err)
		return false
	}
	conn.Close()
	d.well("port", "%s takes connections", d.rec.Link.Host)
	return true
}

// server looks at who answers, at the clocks, and at whether this machine is known there.
func (d *doctor) server(ctx context.Context) {
	var shown tls.ConnectionState
	resp, err := d.health(ctx, nil, func(cs tls.ConnectionState) error { shown = cs; return nil }) // judged below, one thing at a time
	if len(shown.PeerCertificates) == 0 {
		d.ill("authority", "check what listens there, and what stands between this machine and it", "%s does not speak TLS: %v", d.rec.Link.Host, err)
		return
	}
	if err != nil {
		d.ill("port", "restart the server, and look into its log", "%s breaks off: %v", d.rec.Link.Host, err)
		return
	}
	name, _, _ := net.SplitHostPort(d.rec.Link.Host)
	driven, wrong := link.ReadClock(resp.Header, shown.PeerCertificates)
	goes := d.rec.Pending != nil || d.rec.Clock.follows(driven)
	if wrong == nil && goes && tells(resp, driven) {
		d.rec.Clock.Driven = driven // the next conversation goes by it
	}
	trusted := d.authority(&shown, name)
	switch {
	case wrong != nil:
		what, do, _ := cutLast(advice(wrong, d.rec.Link.Host, d.now()), ": ")
		d.ill("clock", do, "%s", what)
	case driven != 0 && goes:
		d.well("clock", "the server's is driven and says %s UTC; the agent goes by it", driven.Time().Format(time.DateTime))
	case driven != 0:
		d.well("clock", "the server's is driven and says %s UTC; the agent goes by this machine's, as it was enrolled with --clock-offset %s before that", driven.Time().Format(time.DateTime), d.rec.Clock.ahead())
	default:
		d.clock(resp.Header)
	}
	if good := d.certificate(); good && trusted {
		d.identity(ctx, name)
	}
}

// authority judges the certificate of the server, apart from the clock when that is all that is wrong.
func (d *doctor) authority(cs *tls.ConnectionState, name string) bool {
	host, now := d.rec.Link.Host, d.rec.Clock.real(d.cfg.Now())
	_, err := verify(cs, name, d.rec.Link.Pin, now)
	leaf := cs.PeerCertificates[0]
	if err == nil {
		d.well("authority", "the certificate of %s is of the CA that the line named, for this name, until %s", host, day(leaf.NotAfter))
		return true
	}
	says := advice(err, host, now)
	if says == "" {
		says = err.Error()
	}
	what, do, found := cutLast(says, ": ")
	if !found {
		what, do = says, "ask whoever runs the server"
	}
	d.ill("authority", do, "%s", what)
	return false
}

// cutLast cuts s at the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// clock compares the agent's with the server's, to the second that HTTP has (RFC 9110, section 6.6.1).
func (d *doctor) clock(header http.Header) {
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		d.ill("clock", "check what stands between this machine and the server", "the server does not say what time it is")
		return
	}
	ours := d.now()
	off := ours.Sub(theirs).Round(time.Second)
	if off.Abs() > askew {
		word := "ahead of"
		if off < 0 {
			word = "behind"
		}
		do := "set this machine's clock (timedatectl set-ntp true, or as this system does it), or the server's"
		if d.rec.Clock.Offset != 0 {
			do = fmt.Sprintf("the agent was enrolled with --clock-offset %s: enrol without it if that is not wanted", d.rec.Clock.ahead())
		}
		d.ill("clock", do, "the agent's says %s UTC, which is %s %s the server's", ours.UTC().Format(time.DateTime), off.Abs(), word)
		return
	}
	d.well("clock", "it is within %s of the server's", max(off.Abs(), time.Second))
}

// certificate looks at how long the machine's identity is good; false: it is not.
func (d *doctor) certificate() bool {
	if d.dev == nil || d.dev.Identity().Serial == "" {
		return false
	}
	i, now := d.dev.Identity(), protocol.At(d.now())
	const anew = "rollcall agent unenroll, then enrol with a new line"
	switch {
	case now > i.NotAfter:
		d.ill("certificate", anew, "the certificate of this machine ended on %s, before it was renewed", day(i.NotAfter.Time()))
		return false
	case now < i.NotBefore:
		d.ill("certificate", "set this machine's clock", "the certificate of this machine begins on %s only", day(i.NotBefore.Time()))
		return false
	}
	days := int(i.NotAfter.Sub(now) / (24 * time.Hour))
	if d.dev.Renewing() {
		d.well("certificate", "it is being renewed, and good until %s, %d days", day(i.NotAfter.Time()), days)
		return true
	}
	says := cmp.Or(d.rec.Clock.early(), "the server has it renewed before")
	d.well("certificate", "it is good until %s, %d days; %s", day(i.NotAfter.Time()), days, says)
	return true
}

// identity asks the server whether it takes this machine's certificate: the handshake says so, and nothing is asked of it.
func (d *doctor) identity(ctx context.Context, name string) {
	signer, err := d.dev.Signer(dialect.Current)
	if err != nil {
		d.ill("identity", toGoOn, "the key of this machine cannot be read: %v", err)
		return
	}
	mine := &tls.Certificate{Certificate: [][]byte{d.dev.Certificate(dialect.Current)}, PrivateKey: signer.Key}
	_, err = d.health(ctx, mine, func(cs tls.ConnectionState) error {
		_, err := verify(&cs, name, d.rec.Link.Pin, d.rec.Clock.real(d.cfg.Now()))
		return err
	})
	switch {
	case link.Barred(err):
		d.ill("identity", "rollcall agent unenroll, then enrol with a new line, a copy of another machine with --draw-id",
			"%s does not take this machine's certificate: its identity ended, its record was removed, or a copy of this machine took its place", d.rec.Link.Host)
	case err != nil:
		d.ill("identity", "restart the server, and look into its log", "%s breaks off: %v", d.rec.Link.Host, err)
	case d.rec.Bad != 0 && strings.Contains(d.rec.Why, replacedRule): // the handshake does not tell
		what, do, _ := strings.Cut(replacedBy(d.rec.Link.Host), "; ")
		d.ill("identity", do, "%s", what)
	default:
		d.well("identity", "%s takes this machine's certificate", d.rec.Link.Host)
	}
}

// health asks the server whether it is there, with an identity or without.
func (d *doctor) health(ctx context.Context, mine *tls.Certificate, check func(tls.ConnectionState) error) (*http.Response, error) {
	client := clientOf(d.rec.Link.Host, check)
	if mine != nil {
		client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return mine, nil }
	}
	return health(ctx, client, d.rec.Link.Host)
}

// checkIns looks at how the newest conversation ended, and when.
func (d *doctor) checkIns() {
	r := d.rec
	switch ago := d.now().Sub(r.Good.Time()); {
	case r.Bad != 0:
		d.ill("check-ins", "mend what is above; rollcall agent check-in tries at once", "the last one failed at %s: %s", r.Bad.Time().Format(time.DateTime), r.Why)
	case r.Good == 0:
		d.ill("check-ins", "rollcall agent check-in", "there was none yet")
	case r.Clock.Driven == 0 && ago > late*r.Poll:
		d.ill("check-ins", "see that the agent runs; rollcall agent check-in tries at once", "the last one was at %s, and one is due every %s", r.Good.Time().Format(time.DateTime), r.Poll)
	default:
		d.well("check-ins", "the last one went well, at %s; this machine asks every %s", r.Good.Time().Format(time.DateTime), r.Poll)
	}
}

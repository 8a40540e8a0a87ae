package host

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs/scep"
	"rollcall/protocol/android"
	"rollcall/protocol/windows"
)

// A linkError is that an enrolment link brought no profile.
type linkError struct {
	status int
	word   string // of the server; may be empty
}

func (e *linkError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.word) }

// toLeave is in what is said to a machine that has to be enrolled anew.
const toLeave = "rollcall agent unenroll, then "

// advised is an error in one sentence that says what to do.
type advised struct {
	Text  string
	cause error
}

func (a *advised) Error() string { return a.Text }
func (a *advised) Unwrap() error { return a.cause }

// errEndless is that a conversation did not come to an end.
var errEndless = errors.New("the server holds this machine up without end: look into its log")

// explain says in one sentence what went wrong at host and what to do, when the agent's clock said now. An error that has no such
// sentence stays as it is.
func explain(err error, host string, now time.Time) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if a, done := errors.AsType[*advised](err); done {
		return a // without what was under way
	}
	if text := advice(err, host, now); text != "" {
		return &advised{text, err}
	}
	return err
}

func advice(err error, host string, now time.Time) string {
	if e, ok := errors.AsType[*pinError](err); ok {
		return fmt.Sprintf("%s is not the server of this line, or somebody stands between: %v; if its certificate authority was replaced, ask for a new line", host, e)
	}
	if e, ok := errors.AsType[*elsewhereError](err); ok {
		return fmt.Sprintf("%v: have rollcall serve print its line with the name that devices use (--name)", e)
	}
	if errors.Is(err, link.ErrElsewhere) {
		return fmt.Sprintf("%s sends this machine to another host, and this agent talks to %s alone: check the server, and what stands in front of it", host, host)
	}
	if errors.Is(err, link.ErrCircle) {
		return fmt.Sprintf("%s sends this machine round in a circle: check the server, and what stands in front of it", host)
	}
	if errors.Is(err, link.ErrTooLong) {
		return fmt.Sprintf("%s sends more than a server has to say: check the server, and what stands in front of it", host)
	}
	if e, ok := errors.AsType[*linkError](err); ok {
		return e.advice(host)
	}
	if e, ok := errors.AsType[*link.ClockError](err); ok {
		return fmt.Sprintf("%s says that it has a clock of its own that stands at %.40q, when its certificate is not good: set that on the server (rollcall clock step), or start it with --clock real, then go on here with rollcall agent check-in", host, e.Said)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return fmt.Sprintf("this agent's clock says %s, and the certificate of %s is good from %s to %s: set the clock of this machine, or the server's",
			minute(now), host, minute(e.Cert.NotBefore), minute(e.Cert.NotAfter))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return fmt.Sprintf("%s does not speak TLS: check the port in the line, and what stands in front of the server", host)
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the certificate of %s is for %s: use one of these names in the line, or start the server with --name %s", host, few(names(e.Certificate)), e.Host)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Sprintf("nothing that this machine believes vouches for the certificate of %s: paste the whole line, with --ca; where it is enrolled already, somebody else answers there, or the server has a new certificate authority", host)
	}
	if _, ok := errors.AsType[*scep.Failure](err); ok {
		return "the server gives no certificate for this enrolment link: it was used, or is too old; ask for a new line (rollcall users invite)"
	}
	if link.Barred(err) {
		return fmt.Sprintf("%s does not take this machine's certificate any more: its record was removed, its identity ended, or a copy of this machine took its place; %senrol with a new line, a copy with --draw-id", host, toLeave)
	}
	if e, ok := errors.AsType[*dialect.Failure](err); ok && e.Status != 0 {
		return failed(e, host)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("%s breaks off before it answers: check the port, the server, and what stands in front of it", host)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("this machine cannot find %s (%v): check the name in the line, and this machine's name servers", dns.Name, dns)
	}
	if noNetwork(err) {
		return fmt.Sprintf("this machine has no network that leads to %s: plug it in, or see to its address and route; it goes on by itself then", host)
	}
	if refused(err) {
		return fmt.Sprintf("nobody answers at %s: start the server, or open the port in between", host)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Sprintf("%s does not answer: check the network and what stands between this machine and that port", host)
	}
	return ""
}

func (e *linkError) advice(host string) string {
	switch {
	case e.status == http.StatusNotFound:
		return fmt.Sprintf("%s does not know this enrolment link: it was used, or is too old; ask for a new line (rollcall users invite)", host)
	case e.word != "":
		return fmt.Sprintf("%s enrols nobody by this link now: %s", host, e.word)
	}
	return fmt.Sprintf("%s answers the enrolment link with status %d: check the link, and what stands between this machine and the server", host, e.status)
}

// replacedRule is by which a server refuses an identity in whose place a newer one is.
const replacedRule = "HST-032"

func replacedBy(host string) string {
	return fmt.Sprintf("%s has a newer identity for this machine's identifier (%s): another machine, a copy of this one or its original, or another agent here, enrolled after it; %senrol with a new line, a copy with --draw-id", host, replacedRule, toLeave)
}

// Replaces says what to do where this machine's enrolment took the place of one that was still managed; empty: it did not.
func (h *Host) Replaces() string {
	if h.rec.Management.Replaced == 0 {
		return ""
	}
	return fmt.Sprintf("%s had a machine with this identifier, enrolled at %s, and this one takes its place (%s): if that is another machine, as copies have one machine id, take this one out (rollcall agent unenroll) and enrol both with new lines, this one with --draw-id; if it is the same, all is well",
		h.rec.Link.Host, minute(h.rec.Management.Replaced.Time()), replacedRule)
}

// takenWindows begins what a server says to a Windows device whose identifier another has.
const takenWindows = "a device with this identifier is enrolled"

// tooEarly is in what a server says to a Windows device that asks for another certificate before its time.
const tooEarly = "the certificate renews from"

// failed is why the server did not take what the machine said.
func failed(e *dialect.Failure, host string) string {
	word := e.Code // of an Android device
	if e.Err != nil {
		word = e.Err.Error()
	}
	fault, ok := errors.AsType[*windows.Fault](e.Err)
	if ok {
		word = fault.Reason
	}
	said := cmp.Or(word, fmt.Sprintf("status %d", e.Status))
	switch {
	case ok && strings.Contains(word, tooEarly):
		return fmt.Sprintf("%s does not renew this machine's certificate yet (%s), and all else goes on: this agent's clock is ahead of the server's; set this machine's clock, or, where --clock-offset has it so, %s", host, word, toRenew)
	case e.Code == android.TokenUsed || e.Code == android.TokenExpired || e.Code == android.TokenInvalid:
		return (&linkError{status: http.StatusNotFound}).advice(host)
	case strings.HasPrefix(word, takenWindows):
		return fmt.Sprintf("%s has another device with this machine's identity: if it is this one of before, remove it there with rollcall devices delete; if this machine is a copy of another, enrol it with --draw-id and a new line (rollcall users invite)", host)
	case strings.HasPrefix(word, "HST-051"):
		return fmt.Sprintf("%s has another device with this machine's identity (HST-051): if it is this one of before, remove it there with rollcall devices delete; if this machine is a copy of another, enrol it with --draw-id and a new line (rollcall users invite)", host)
	case strings.HasPrefix(word, replacedRule):
		return replacedBy(host)
	case e.RetryAfter > agent.MaxWait: // longer than is believed
		return fmt.Sprintf("%s asks to come again in more than a day (%s): this machine comes sooner by itself; look into the server's log, and at what stands in front of it", host, said)
	case e.RetryAfter > 0:
		return fmt.Sprintf("%s asks to come again in %s: %s", host, e.RetryAfter.Round(time.Second), said)
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusGone:
		return fmt.Sprintf("%s says that it does not manage this machine (%s): if that is so, %senrol with a new line; else check the server, and what stands in front of it", host, said, toLeave)
	case e.Status == http.StatusNotFound:
		return fmt.Sprintf("%s has nothing where this machine checks in (%s): see that the server of this machine is what answers there, and what stands in front of it", host, said)
	case word != "":
		return fmt.Sprintf("%s refuses this machine: %s", host, word)
	}
	return fmt.Sprintf("%s answers with status %d and says no more: look into the server's log, and at what stands in front of it; this machine tries again by itself", host, e.Status)
}

func names(c *x509.Certificate) (list []string) {
	list = append(list, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	return list
}

// few is a list for one sentence: whoever has a certificate may write what he likes into it (HST-068, HST-120).
func few(list []string) string {
	const most = 3
	var b strings.Builder
	for n, s := range list[:min(len(list), most)] {
		if n > 0 {
			b.WriteString(", ")
		}
		quoted := strconv.Quote(strings.ToValidUTF8(s[:min(len(s), maxWord)], ""))
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	if more := len(list) - most; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// minute is for instants of which some may be of one day.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

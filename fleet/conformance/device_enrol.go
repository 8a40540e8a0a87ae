package conformance

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/protocol/apple"
)

var deviceEnrolStatements = []Statement{
	{
		ID: "APL-002.device", Suite: Device, Class: OfApple, Must: true, try: tryAPL002,
		Says:   "The device installs an enrolment profile in both forms: the bare property list, and the same signed.",
		Source: "apple.md 2.6",
		Why:    "Servers sign their profiles or do not; a simulator that knows one form cannot try the others' servers.",
		How:    "The device enrols twice, by the one form and by the other.",
		Fix:    "Tell 0x30 from <?xml, and take the content out of the SignedData.",
	},
	{
		ID: "APL-003", Suite: Device, Class: OfApple, Must: true, try: tryAPL003,
		Says:   "Certificates are installed first, then the identity, then the MDM payload, whatever their order in the file; without the identity that it names the profile fails whole.",
		Source: "apple.md 1, 2.2; Apple, Managing Certificates",
		Why:    "A device that says Authenticate without its identity, or trusts no more than before, enrols with servers where no real one could.",
		How:    "The payloads come in the wrong order, and SCEP and server have a certificate that the profile alone vouches for. Then the identity that is named is not in the profile; then all is well again.",
		Fix:    "Install by kind of payload; check references before anything is installed; leave nothing of what failed.",
	},
	{
		ID: "APL-004", Suite: Device, Class: OfApple, Must: true, try: tryAPL004,
		Says:   "A device that is managed refuses a second enrolment and stays with the first; a profile with two MDM payloads is refused.",
		Source: "apple.md 2.2",
		Why:    "Two servers that both believe to manage a device undo each other's work.",
		How:    "A profile with two MDM payloads; then an enrolment, and a second one by a profile of another identifier; then the first server asks again.",
		Fix:    "One MDM payload in a profile, one enrolment on a device.",
	},
	{
		ID: "APL-009", Suite: Device, Class: OfApple, Must: true, try: tryAPL009,
		Says:   "The device gives up an enrolment whose CAFingerprint is another, and believes no SCEP answer with another recipientNonce or transactionID, of another signer, or for another key.",
		Source: "apple.md 3.3; RFC 8894 section 3.2.1",
		Why:    "Who believes any answer can be given an identity by whoever sits between it and the CA.",
		How:    "Five enrolments, each with one of these wrong; none may come to Authenticate.",
		Fix:    "Hold the answer against the request before it is opened, and the CA against the fingerprint before it is asked.",
	},
	{
		ID: "APL-010", Suite: Device, Class: OfApple, Must: true, try: tryAPL010,
		Says:   "After PENDING the device polls at once, then each RetryDelay, at most Retries times, always with the same transactionID.",
		Source: "apple.md 2.3, 3.3; RFC 8894 section 3.3.3",
		Why:    "A device that polls without end, or anew each time, fills the list of whoever has to approve it.",
		How:    "PENDING for ever, with two retries 2 s apart; then PENDING once, and a certificate.",
		Fix:    "Keep the transactionID, count, and send CertPoll.",
	},
	{
		ID: "APL-036.device", Suite: Device, Class: OfApple, Must: true, try: tryAPL036,
		Says:   "A removed device says CheckOut once, leaves whatever that is answered, and says none where the profile does not ask for it.",
		Source: "apple.md 5; Apple, Check Out",
		Why:    "A device that waits for its CheckOut to succeed never leaves a server that is down.",
		How:    "Three removals: one that is heard, one that is answered 500, one without CheckOutWhenRemoved.",
		Fix:    "One attempt, by CheckOutWhenRemoved alone.",
	},
	{
		ID: "APL-041", Suite: Device, Class: OfApple, Must: true, try: tryAPL041,
		Says:   "A TokenUpdate is repeated until it gets a 2xx, and there is one after the token has changed.",
		Source: "apple.md 5; Apple forum thread 738806",
		Why:    "A server that never heard the token can never wake the device.",
		How:    "The first two TokenUpdates are answered 503, the third 200; then the token changes, where somebody can have it change.",
		Fix:    "Keep it due until it was heard.",
	},
	{
		ID: "APL-090.device", Suite: Device, Class: OfApple, Must: true, try: tryAPL090,
		Says:   "An update of the enrolment profile that changes ServerURL, CheckInURL or Topic, or adds a right, is an Error, and the device stays enrolled as it was.",
		Source: "apple.md 2.2, 11; Apple's com.apple.mdm schema",
		Why:    "A device that follows such an update hides a server that sends it: real ones refuse, and are then not renewed.",
		How:    "Four InstallProfile commands, each with one of these changed; then the device is asked for work at the old address.",
		Fix:    "Compare before installing; keep the old profile.",
	},
	{
		ID: "APL-093", Suite: Device, Class: OfApple, Must: true, try: tryAPL093,
		Says:   "401, and 403 with com.apple.unrecognized.device, end an enrolment; a plain 403, 404, 410, 5xx and a broken connection do not.",
		Source: "apple.md 12; Apple, Managing MDM Devices",
		Why:    "One mistake of a server empties its fleet: a simulator that does not leave hides that, one that leaves too easily invents it.",
		How:    "Each answer is given to an Idle, and the device is woken again after it.",
		Fix:    "Leave on these two alone.",
	},
}

func tryAPL002(t *trial) {
	o := t.enrolled(nil)
	t.again(o)
	if signed := t.offer(func(o *offer) { o.signed = true }); !t.enrol(signed) {
		t.fail("the device does not enrol by a signed profile%s", t.because())
	}
}

func tryAPL003(t *trial) {
	broken := t.offer(func(o *offer) { o.mdm().IdentityCertificateUUID = o.uuid(0xFF) })
	if !t.refuses(broken) {
		t.failBy(broken.last("Authenticate").Exchange, "the device enrols although the identity that its profile names is not in it")
	}
	o := t.enrolled(nil) // MDM, SCEP, root: the wrong order
	if first := o.heard("")[0]; first.kind != "Authenticate" {
		t.failBy(first.Exchange, "the first word of the MDM payload is %s, want Authenticate", first.kind)
	}
	if len(broken.heard("")) > 0 {
		t.failBy(broken.heard("")[0].Exchange, "the device talks to the server of the profile that failed")
	}
}

func tryAPL004(t *trial) {
	double := t.offer(func(o *offer) {
		second := o.profile.Payloads[0]
		second.Identifier, second.UUID = "rollcall.conform.mdm.second", o.uuid(5)
		o.profile.Payloads = append(o.profile.Payloads, second)
	})
	if !t.refuses(double) {
		t.failBy(double.last("Authenticate").Exchange, "the device enrols by a profile with two MDM payloads")
	}
	first := t.enrolled(nil)
	second := t.offer(func(o *offer) { o.profile.Identifier = "rollcall.conform.second" })
	if t.enrol(second); len(second.heard("Authenticate")) > 0 {
		t.failBy(second.last("Authenticate").Exchange, "a device that is managed enrols a second time")
	}
	before := len(first.heard(""))
	t.wake(first)
	if len(first.since(before)) == 0 || first.gone() {
		t.fail("the device does not answer its first server after a second enrolment was tried%s", t.because())
	}
}

func tryAPL009(t *trial) {
	var believed []string
	for _, lie := range []struct {
		what string
		set  func(o *offer)
	}{
		{"a CA whose fingerprint is not the profile's", func(o *offer) {
			sum := sha256.Sum256([]byte("another CA"))
			o.identity().CAFingerprint = sum[:]
		}},
		{"an answer with another recipientNonce", func(o *offer) { o.scep.nonce = true }},
		{"an answer with another transactionID", func(o *offer) { o.scep.transaction = true }},
		{"an answer that the CA did not sign", func(o *offer) { o.scep.signer = true }},
		{"a certificate for another key", func(o *offer) { o.scep.key = true }},
	} {
		o := t.offer(lie.set)
		t.refuses(o)
		// A device that enrolled with nothing to show is refused at the door, and came to it all the same.
		o.judge.mu.Lock()
		for _, m := range o.messages {
			if !slices.Contains(believed, lie.what) {
				believed = append(believed, lie.what)
				t.last = m.Exchange
			}
		}
		o.judge.mu.Unlock()
		t.again(o)
	}
	decided := t.last
	t.enrolled(nil) // else it gives up everything
	if len(believed) > 0 {
		t.failBy(decided, "the device believes %s", strings.Join(believed, ", "))
	}
}

// scepAsked is what the SCEP service of o was asked so far.
func (o *offer) scepAsked() []pkiMessage {
	o.judge.mu.Lock()
	defer o.judge.mu.Unlock()
	return slices.Clone(o.scepLog)
}

func tryAPL010(t *trial) {
	const retries, delay = 2, 2 * time.Second
	slow := func(pending int) func(o *offer) {
		return func(o *offer) {
			o.scep.pending = pending
			o.identity().Retries, o.identity().RetryDelay = retries, int64(delay/time.Second)
		}
	}
	const tries = 3 // at once is a matter of time, and a machine can be busy
	for try := 1; ; try++ {
		never := t.offer(slow(1 << 20))
		t.refuses(never)
		asked := never.scepAsked()
		if len(asked) == 0 {
			t.unasked("the device asks for no identity by SCEP%s", t.because())
		}
		if n := len(asked) - 1; n != retries {
			t.fail("the device polls %d times after PENDING, want %d as Retries says", n, retries)
		}
		for i, p := range asked[1:] {
			gap := p.at.Sub(asked[i].at)
			switch {
			case p.kind != "20":
				t.fail("poll %d has messageType %s, want 20, CertPoll", i+1, p.kind)
			case p.transaction != asked[0].transaction:
				t.fail("poll %d has another transactionID", i+1)
			case i > 0 && gap < delay*9/10:
				t.fail("poll %d comes %s after the one before, want RetryDelay, %s", i+1, gap.Round(time.Millisecond), delay)
			}
		}
		t.again(never)
		first := asked[1].at.Sub(asked[0].at)
		if first < delay/2 {
			break
		}
		if try == tries {
			t.fail("the first poll comes %s after PENDING, want it at once", first.Round(time.Millisecond))
		}
	}
	once := t.offer(slow(1))
	if !t.enrol(once) {
		t.fail("the device does not take the certificate that a poll brings%s", t.because())
	}
}

// removed has the device's enrolment removed, by its user or by command.
func (t *trial) removed(o *offer) {
	if h := t.judge.Hands; h.Remove != nil {
		t.do(h.Remove, o.gone)
		return
	}
	t.asks(o, apple.RemoveProfile{Identifier: o.profile.Identifier})
}

// silent wants that the device, woken, says nothing more to o.
func (t *trial) silent(o *offer, after string) {
	before := len(o.heard(""))
	t.wakeFor(o, false)
	if more := o.since(before); len(more) > 0 {
		t.failBy(more[0].Exchange, "the device is still there after %s", after)
	}
}

func tryAPL036(t *trial) {
	leave := func(what string, want int, change func(o *offer), answer func(m *message) *reply) {
		o := t.enrolled(change)
		o.decide(answer)
		t.removed(o)
		if said := o.heard("CheckOut"); len(said) != want {
			t.fail("%s: the device says CheckOut %d times, want %d", what, len(said), want)
		}
		t.silent(o, "its removal: "+what)
		t.again(o)
	}
	leave("CheckOutWhenRemoved", 1, nil, nil)
	leave("a CheckOut that fails", 1, nil, func(m *message) *reply {
		if m.kind == "CheckOut" {
			return &reply{status: http.StatusInternalServerError}
		}
		return nil
	})
	leave("without CheckOutWhenRemoved", 0, func(o *offer) { o.mdm().CheckOutWhenRemoved = false }, nil)
}

func tryAPL041(t *trial) {
	refused := 0
	o := t.offer(nil)
	o.decide(func(m *message) *reply {
		if m.kind == "TokenUpdate" && refused < 2 {
			refused++
			return &reply{status: http.StatusServiceUnavailable}
		}
		return nil
	})
	t.enrol(o)
	if !slices.ContainsFunc(o.heard(""), func(m *message) bool { return m.kind == "TokenUpdate" }) {
		t.unasked("the device says no TokenUpdate%s", t.because())
	}
	for range 2 {
		if n := len(o.heard("TokenUpdate")); !o.joined() {
			t.later(func() bool { return len(o.heard("TokenUpdate")) > n })
		}
	}
	if n := len(o.heard("TokenUpdate")); !o.joined() {
		t.failBy(o.last("TokenUpdate").Exchange, "the device gives up its TokenUpdate after %d that were answered 503", n)
	}
	if t.judge.Hands.Token == nil {
		return
	}
	n, old := len(o.heard("TokenUpdate")), o.last("TokenUpdate").dict["Token"]
	more := func() bool { return len(o.heard("TokenUpdate")) > n }
	if t.do(t.judge.Hands.Token, more); !more() {
		t.later(more)
	}
	switch fresh, _ := o.last("TokenUpdate").dict["Token"].([]byte); {
	case !more():
		t.fail("no TokenUpdate follows on another token")
	case fmt.Sprint(old) == fmt.Sprint(fresh):
		t.fail("the TokenUpdate after another token has the old one")
	}
}

func tryAPL090(t *trial) {
	o := t.enrolled(func(o *offer) { o.mdm().AccessRights = apple.AllRights &^ apple.RightErase })
	house := t.judge.house.url + "/0"
	for _, change := range []struct {
		what string
		make func(m *apple.MDM)
	}{
		{"another ServerURL", func(m *apple.MDM) { m.ServerURL = house + "/mdm" }},
		{"another CheckInURL", func(m *apple.MDM) { m.CheckInURL = house + "/checkin" }},
		{"another Topic", func(m *apple.MDM) { m.Topic = "com.apple.mgmt.External.c0f0c0f0-0000-4000-8000-000000000000" }},
		{"a right more", func(m *apple.MDM) { m.AccessRights = apple.AllRights }},
	} {
		next, mdm := o.profile, *o.mdm()
		change.make(&mdm)
		next.Payloads = slices.Clone(next.Payloads)
		next.Payloads[0].MDM = &mdm
		words := len(o.heard("Authenticate"))
		m := t.asks(o, apple.InstallProfile{Payload: apple.EncodeProfile(&next)})[0]
		switch {
		case m.kind == "NotNow":
			t.unasked("the device answers NotNow to InstallProfile")
		case m.kind != "Error":
			t.failBy(m.Exchange, "an update of the enrolment profile with %s is %s, want Error", change.what, m.kind)
		case len(o.heard("Authenticate")) > words:
			t.failBy(o.last("Authenticate").Exchange, "an update of the enrolment profile with %s starts an enrolment", change.what)
		}
	}
	before := len(o.heard(""))
	if t.wake(o); len(o.since(before)) == 0 {
		t.fail("the device does not come any more after updates that it refused")
	}
}

func tryAPL093(t *trial) {
	o := t.enrolled(nil)
	idle := func(a *reply) {
		o.decide(func(m *message) *reply {
			if m.kind == "Idle" {
				return a
			}
			return nil
		})
		t.wake(o)
		o.decide(nil)
	}
	for _, a := range []reply{
		{status: http.StatusForbidden},
		{status: http.StatusNotFound},
		{status: http.StatusGone},
		{status: http.StatusInternalServerError},
		{status: http.StatusServiceUnavailable},
		{cut: true},
	} {
		what := fmt.Sprintf("an Idle that was answered %d", a.status)
		if a.cut {
			what = "a connection that broke"
		}
		idle(&a)
		before := len(o.heard(""))
		if t.wake(o); len(o.since(before)) == 0 || o.gone() {
			t.fail("the device is gone after %s", what)
		}
	}
	idle(&reply{status: http.StatusForbidden, kind: "application/json", body: `{"code":"com.apple.unrecognized.device","description":"removed by the judge"}`})
	t.silent(o, "403 with com.apple.unrecognized.device")
	t.again(o)
	o = t.enrolled(nil)
	idle(&reply{status: http.StatusUnauthorized})
	t.silent(o, "401")
}

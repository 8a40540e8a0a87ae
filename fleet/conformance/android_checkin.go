package conformance

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
)

// Check-ins of Android devices: policies, commands, and who may say what.

var androidCheckInStatements = []Statement{
	{
		ID: "AND-038", Suite: Android, Class: OfAndroid, Must: true, check: checkAND038,
		Says:   "What an administrator orders comes in the protocol's words, each command with a name of its own; what would reset a device is not taken for its retirement.",
		Source: "android.md 2.5, 7, 8",
		Why:    "An agent ends a command that it does not know as UNSUPPORTED, and the device that was to be locked lies open.",
		How:    "A lock and a restart are ordered for a fully managed device, and fetched; its retirement is ordered, which must be refused.",
		Fix:    "Say commands in Google's words; refuse to retire what can only be reset.",
	},
	{
		ID: "AND-061", Suite: Android, Class: OfAndroid, Must: true, check: checkAND061,
		Says:   "A policy comes whole, signed by a policy key for this device, and is the same to the byte until something changes.",
		Source: "android.md 5, 8",
		Why:    "A policy that nobody signed can be anybody's on the way; one that differs each time has devices apply it for ever.",
		How:    "A new device begins its first check-in twice: signatures, policies and lists of profiles are held against each other.",
		Fix:    "Compile deterministically; sign device, version, policy and profiles, as they are sent.",
	},
	{
		ID: "AND-061.version", Suite: Android, Class: OfAndroid, Must: true, check: checkAND061Version,
		Says:   "A device that has its policy gets none, and no version is below one that it had.",
		Source: "android.md 8",
		Why:    "A policy with each check-in makes a steady fleet as expensive as a new one; a version that goes back is refused by the device, and it stays as it was.",
		How:    "A device checks in twice after its enrolment.",
		Fix:    "Compare name and version; count versions up by what changes the policy.",
	},
	{
		ID: "AND-062", Suite: Android, Class: OfAndroid, Must: true, check: checkAND062,
		Says:   "A profile comes as fields of the policy that its entry in the list names, a Wi-Fi profile as openNetworkConfiguration, and goes when it is taken away.",
		Source: "android.md 5, 13",
		Why:    "Devices tell by these names which profile has failed; a network that stays is one that its administrator cannot take back.",
		How:    "Profiles of the families Wi-Fi, certificate and configuration are assigned to a fully managed device, and its policy is read; the Wi-Fi profile is taken away again.",
		Fix:    "Keep with each profile which fields it made; compile anew without it.",
	},
	{
		ID: "AND-072", Suite: Android, Class: OfAndroid, Must: false, check: checkAND072,
		Says:   "A device that has just enrolled is told to come again in three minutes.",
		Source: "android.md 7; authority.md, Schedules",
		Why:    "What a new device is still to get waits for its next check-in: eight hours later its user has given it back.",
		How:    "The first check-in's next is read.",
		Fix:    "Say the interval of the phase that the device is in.",
	},
	{
		ID: "AND-073", Suite: Android, Class: OfAndroid, Must: true, check: checkAND073,
		Says:   "A round that comes again gets the same answer to the byte, and nothing is done twice.",
		Source: "android.md 8",
		Why:    "A device that did not hear repeats: with another answer it loses commands, or does them twice.",
		How:    "The first round of an enrolment is sent twice; with a command the round that brings it and the one that reports it, thrice; what is counted is read.",
		Fix:    "Store the answer with the round that it answers, in the transaction of what it decides.",
	},
	{
		ID: "AND-074", Suite: Android, Class: OfAndroid, Must: true, check: checkAND074,
		Says:   "A command is handed out until its result is there, and never after.",
		Source: "android.md 8; I3",
		Why:    "A device that is cut off after it got a command never reports it: a server that counts it as done has an order that nobody carried out.",
		How:    "Two commands are ordered; a check-in that gets them breaks off; the next must bring both again; after their results one more brings none, and both stand as acknowledged.",
		Fix:    "Take a command out of the queue with its result, and by nothing else.",
	},
	{
		ID: "AND-080", Suite: Android, Class: OfAndroid, Must: true, check: checkAND080,
		Says:   "A check-in in the name of another device than the certificate's is 403 DEVICE_MISMATCH, and neither device hears or loses anything.",
		Source: "android.md 8; HST-033",
		Why:    "Else any device reads the commands of any other, a new passcode among them, and reports them as done.",
		How:    "A command waits for one device; another asks in its name, and reports it as done; then both check in.",
		Fix:    "The certificate says which device it is; compare before anything is looked up.",
	},
	{
		ID: "HST-052.android", Suite: Android, Class: OfAndroid, Must: true, check: checkHST052Android,
		Says:   "A result that comes late or twice, of a command that never was or of another device's, is answered 200 and changes nothing.",
		Source: "hostile.md 4",
		Why:    "A device that gets an error for it repeats it for ever; a server that believes it shows what did not happen.",
		How:    "A command is done; another check-in says that it failed, reports a command that nobody gave, and one that waits for another device, which must still get it.",
		Fix:    "The first result counts; look commands up in the device's own queue.",
	},
	{
		ID: "HST-030.android", Suite: Android, Class: OfAndroid, Must: true, check: checkHST030Android,
		Says:   "A check-in without a certificate, or by one that signed itself, is not let in.",
		Source: "hostile.md 3; android.md 8",
		Why:    "The certificate is all that tells a device: without it anybody is any of them.",
		How:    "The check-in of a device is sent without a certificate, and by one of the same name that signed itself.",
		Fix:    "Take certificates of your authority alone, which you have issued and not revoked.",
	},
	{
		ID: "HST-006.android", Suite: Android, Class: OfAndroid, Must: true, check: checkHST006Android,
		Says:   "A member twice, bytes behind the object and half of a message are refused, and the device goes on.",
		Source: "hostile.md 2",
		Why:    "Where the proxy reads the first member and the server the last, a check-in passes for another device's.",
		How:    "Check-ins of each kind, then one in good order.",
		Fix:    "Read in one strict pass, and refuse before anything is done.",
	},
	{
		ID: "HST-001.android", Suite: Android, Class: OfAndroid, Must: true, check: checkHST001Android,
		Says:   "A message above 1 MiB is refused with 413, without being read into memory.",
		Source: "android.md 8; hostile.md 2",
		Why:    "A handful of devices that say too much take a server down.",
		How:    "A check-in of 1 MiB and one byte; then one in good order.",
		Fix:    "Look at Content-Length, and count while you read.",
	},
	{
		ID: "HST-012.android", Suite: Android, Class: OfAndroid, Must: true, check: checkHST012Android,
		Says:   "A gzipped message is taken, and its limit holds for what comes out of it; another encoding is 415.",
		Source: "android.md 8; hostile.md 2",
		Why:    "A thousandth of a limit, packed, is all of it unpacked.",
		How:    "A check-in, gzipped; one that unpacks to four times the limit; one in an encoding that nobody named.",
		Fix:    "Put the limit behind the unpacking.",
	},
}

func checkAND038(a *asking) {
	a.needs(a.Steps.Queue != nil, "queue a command")
	d := a.managed(android.FullyManaged)
	d.order(target.Lock)
	d.order(target.Restart)
	ctx, cancel := a.administrator()
	defer cancel()
	if _, err := a.Steps.Queue(ctx, d.device, target.Order{Kind: target.Retire}); err == nil {
		a.fail("the retirement of a fully managed device was taken, which can only be reset")
	}
	var types []android.CommandType
	ids := map[string]bool{}
	for _, c := range commands(d.talk(android.ReasonUser)) {
		types = append(types, c.Type)
		ids[c.ID] = true
	}
	if !slices.Equal(types, []android.CommandType{android.Lock, android.Reboot}) || len(ids) != len(types) {
		a.fail("a lock and a restart came as %q under %d names", types, len(ids))
	}
}

func checkAND061(a *asking) {
	d := a.droid(android.FullyManaged)
	d.admit()
	d.identify()
	var first *android.PolicyUpdate
	for _, when := range []string{"the first", "the second"} {
		m := d.message(android.ReasonEnrolled)
		p := d.heard(d.round(&m)).Policy
		if p == nil {
			a.fail("%s check-in of a new device brings no policy", when)
		}
		signed, good := p.Signed(d.device, d.enrollment), false
		for _, k := range d.server.keys {
			good = good || k.VerifiedJWS(android.PolicyType, p.Signature, signed)
		}
		switch {
		case !good:
			a.fail("the signature of %s policy is by none of the %d policy keys, or about something else", when, len(d.server.keys))
		case p.Name != "policies/"+d.device:
			a.fail("%s policy is called %q", when, p.Name)
		case first != nil && (!bytes.Equal(first.Policy, p.Policy) || !bytes.Equal(android.Append(nil, first.Profiles), android.Append(nil, p.Profiles))):
			a.fail("nothing changed, and the policy is another one")
		case first != nil && p.Version < first.Version:
			a.fail("version %d of the policy is followed by %d", first.Version, p.Version)
		}
		first = p
	}
	d.talk(android.ReasonEnrolled)
}

func checkAND061Version(a *asking) {
	d := a.managed(android.FullyManaged)
	for range 2 {
		m := d.message(android.ReasonUser)
		for answer := d.heard(d.round(&m)); ; answer = d.heard(d.round(&m)) {
			switch p := answer.Policy; {
			case p == nil:
			case p.Version == d.version && answer.Complete:
				a.fail("a device that has version %d of its policy gets it again", p.Version)
			case p.Version < d.version:
				a.fail("a device that has version %d of its policy gets version %d", d.version, p.Version)
			}
			if answer.Complete {
				break
			}
			if d.obey(&m, &answer); m.Round > android.MaxRounds {
				a.fail("a check-in of %d rounds was not complete", android.MaxRounds)
			}
		}
	}
}

// profile has the device get a document under a name; nil: the lack of one.
func (d *droid) profile(name string, document []byte) {
	d.a.needs(d.a.Steps.Profile != nil, "assign a profile")
	ctx, cancel := d.a.administrator()
	defer cancel()
	if err := d.a.Steps.Profile(ctx, d.device, name, document); err != nil {
		d.a.unasked("no profile could be assigned: %v", err)
	}
}

// listed is what a check-in says of the profiles of a family: the policy's fields that come from them, and whether there are any.
func (d *droid) listed(family protocol.Family) (fields []string, there bool) {
	d.version = 0 // the whole policy comes
	for _, answer := range d.talk(android.ReasonUser) {
		if answer.Policy == nil {
			continue
		}
		fields, there = nil, false // the latest counts
		var policy map[string]json.RawMessage
		if err := json.Unmarshal(answer.Policy.Policy, &policy); err != nil {
			d.a.fail("the policy is no JSON: %v", err)
		}
		for i := range answer.Policy.Profiles {
			p := &answer.Policy.Profiles[i]
			if p.Family != family || p.RemoveAfter != 0 { // what has to go
				continue
			}
			there = true
			for _, path := range p.Fields {
				name, _, _ := strings.Cut(path, ".")
				name, _, _ = strings.Cut(name, "[")
				if policy[name] == nil {
					d.a.fail("the profile %s is said to make %s, and the policy has no such field", p.Name, path)
				}
				fields = append(fields, name)
			}
		}
	}
	return fields, there
}

func checkAND062(a *asking) {
	d := a.managed(android.FullyManaged)
	name := func(f protocol.Family) string { return "conform-" + d.serial + "-" + f.String() }
	for _, family := range []protocol.Family{protocol.WiFi, protocol.Certificate, protocol.Configuration} {
		d.profile(name(family), apple.EncodeProfile(apple.NewProfile(name(family), name(family), family)))
		fields, there := d.listed(family)
		if !there || len(fields) == 0 || family == protocol.WiFi && !slices.Contains(fields, "openNetworkConfiguration") {
			a.fail("a profile of the family %s was assigned; the policy lists one: %t, and its fields are %q", family, there, fields)
		}
	}
	d.profile(name(protocol.WiFi), nil)
	if _, there := d.listed(protocol.WiFi); there {
		a.fail("a Wi-Fi profile was taken away, and the policy has it still")
	}
}

func checkAND072(a *asking) {
	d := a.droid(android.FullyManaged)
	d.admit()
	d.identify()
	answers := d.talk(android.ReasonEnrolled)
	if next := answers[len(answers)-1].Next; next.Schedule != android.Quick || time.Duration(next.After) != 3*time.Minute {
		a.fail("after its enrolment a device is told to come in %s, %s", time.Duration(next.After), next.Schedule)
	}
}

// again sends a round once more, and wants the same answer.
func (d *droid) again(m *android.CheckIn, first *Exchange) {
	if x := d.round(m); !same(first, x) {
		d.a.fail("%s was answered %s with %d bytes, again %s with %d bytes, which differ", x.What, first.answer(), len(first.body), x.answer(), len(x.body))
	}
}

func checkAND073(a *asking) {
	d := a.droid(android.FullyManaged)
	d.admit()
	d.identify()
	m := d.message(android.ReasonEnrolled)
	x := d.round(&m)
	answer := d.heard(x)
	d.again(&m, x)
	if !answer.Complete {
		d.obey(&m, &answer)
		d.goOn(&m)
	}
	if a.Steps.Queue == nil {
		a.without("rounds with commands: the adapter %s cannot queue any", a.Steps.Name)
		return
	}
	id := d.order(target.Lock)
	m = d.message(android.ReasonUser)
	x = d.round(&m)
	answer = d.heard(x)
	d.again(&m, x)
	d.obey(&m, &answer)
	x = d.round(&m)
	for range 2 {
		d.again(&m, x)
	}
	if got := d.outcome(id); got != "" && got != protocol.Acknowledged.String() {
		a.fail("a command that was reported thrice, as done, stands as %q", got)
	}
}

func checkAND074(a *asking) {
	d := a.managed(android.FullyManaged)
	ids := []string{d.order(target.Lock), d.order(target.Restart)}
	m := d.message(android.ReasonUser)
	first := names(d.heard(d.round(&m)).Commands) // and is cut off
	got := names(commands(d.talk(android.ReasonRetry)))
	if len(got) != len(ids) || len(first) == 0 || !slices.Equal(got[:min(len(got), len(first))], first) {
		a.fail("commands %q came; the check-in broke off, and the next one brought %q", first, got)
	}
	if rest := names(commands(d.talk(android.ReasonUser))); len(rest) > 0 {
		a.fail("commands %q came again after their results", rest)
	}
	for _, id := range ids {
		if got := d.outcome(id); got != "" && got != protocol.Acknowledged.String() {
			a.fail("a command that was reported as done stands as %q", got)
		}
	}
}

func names(list []android.Command) (ids []string) {
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids
}

func checkAND080(a *asking) {
	d, other := a.managed(android.FullyManaged), a.managed(android.FullyManaged)
	id := other.order(target.Lock)
	m := d.message(android.ReasonUser)
	m.Device = other.device
	d.refused(d.round(&m), http.StatusForbidden, android.DeviceMismatch)
	if id != "" {
		m.Results = []android.Result{{Command: id, State: android.ResultDone}}
		d.refused(d.round(&m), http.StatusForbidden, android.DeviceMismatch)
	}
	if got := commands(other.talk(android.ReasonUser)); len(got) != 1 {
		a.fail("after another device came in its name, a device gets %d commands, want the one that waits for it", len(got))
	}
	d.steady("after it came in the name of another")
}

func checkHST052Android(a *asking) {
	d, other := a.managed(android.FullyManaged), a.managed(android.FullyManaged)
	id, waits := d.order(target.Lock), other.order(target.Lock)
	done := names(commands(d.talk(android.ReasonUser)))
	if len(done) != 1 {
		a.unasked("%d commands came, and one was ordered", len(done))
	}
	m := d.message(android.ReasonUser)
	m.Results = []android.Result{{Command: done[0], State: android.ResultError, ErrorCode: android.CodeUnsupported}, {Command: "c-of-nobody", State: android.ResultDone}}
	if waits != "" {
		m.Results = append(m.Results, android.Result{Command: waits, State: android.ResultDone})
	}
	if x := d.round(&m); x.Status != http.StatusOK {
		a.fail("results of commands that are through, never were or are another's were answered %s", x.answer())
	}
	if got := d.outcome(id); got != "" && got != protocol.Acknowledged.String() {
		a.fail("a command that was reported as done, and later as failed, stands as %q", got)
	}
	if got := commands(other.talk(android.ReasonUser)); len(got) != 1 {
		a.fail("another device reported its command, and a device gets %d commands, want 1", len(got))
	}
}

func checkHST030Android(a *asking) {
	d := a.managed(android.FullyManaged)
	own := d.identity
	key := d.newKey(d.offer)
	self := selfSigned(a, key, "", func(t *x509.Certificate) { t.Subject = own.Certificate.Subject })
	for what, who := range map[string]certs.Signer{"without a certificate": {}, "by a certificate that signed itself": {Certificate: self, Key: key}} {
		d.as(who)
		m := d.message(android.ReasonUser)
		if x := d.round(&m); x.Status/100 == 2 || x.timedOut() {
			a.fail("%s %s was answered %s", x.What, what, x.answer())
		}
	}
	d.as(own)
	d.steady("after others came by its name")
}

func checkHST006Android(a *asking) {
	d := a.managed(android.FullyManaged)
	m := d.message(android.ReasonUser)
	body := android.Append(nil, &m)
	for what, bad := range map[string][]byte{
		"with a member twice": bytes.Replace(body, []byte(`"round":1`), []byte(`"round":1,"round":1`), 1), "with bytes behind it": append(bytes.Clone(body), body...),
		"that breaks off": body[:len(body)-2],
	} {
		d.refused(d.checkIn("check-in "+what, bad), http.StatusBadRequest, android.Malformed)
	}
	d.steady("after messages that were refused")
}

// large wants a message to be refused for its size.
func (d *droid) large(x *Exchange) {
	if x.Status != http.StatusRequestEntityTooLarge && (x.Status != 0 || x.timedOut()) { // it may hang up on who goes on
		d.a.fail("%s was answered %s, want 413", x.What, x.answer())
	}
}

func checkHST001Android(a *asking) {
	d := a.managed(android.FullyManaged)
	d.large(d.checkIn("a check-in of 1 MiB and one byte", bytes.Repeat([]byte(" "), android.MaxMessage+1)))
	d.as(d.identity) // whatever became of the connection
	d.steady("after a message that was too large")
}

func checkHST012Android(a *asking) {
	d := a.managed(android.FullyManaged)
	packed := func(what, encoding string, body []byte) *Exchange {
		return d.post(what, android.CheckInPath, body, http.Header{"Content-Encoding": {encoding}})
	}
	m := d.message(android.ReasonUser)
	if x := packed("a gzipped check-in", "gzip", zipped(android.Append(nil, &m))); x.Status != http.StatusOK {
		a.fail("a gzipped check-in was answered %s", x.answer())
	}
	d.large(packed("a check-in that unpacks to 4 MiB", "gzip", zipped(bytes.Repeat([]byte(" "), 4*android.MaxMessage))))
	d.as(d.identity)
	if x := packed("a check-in in another encoding", "br", android.Append(nil, &m)); x.Status != http.StatusUnsupportedMediaType {
		a.fail("a check-in in an encoding that nobody named was answered %s, want 415", x.answer())
	}
	d.steady("after messages that were refused")
}

func zipped(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body) // neither fails: it goes to memory
	_ = w.Close()
	return b.Bytes()
}

package conformance

import (
	"crypto/ecdsa"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// What devices do that speak the open agent protocol for Android.

var androidDeviceStatements = []Statement{
	{
		ID: "AND-070.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND070,
		Says:   "The device enrols by its token, has a P-256 key certified for the name that it was given, and says in its first check-in that it has enrolled, and what it is.",
		Source: "android.md 8, 9",
		Why:    "A server knows it by this certificate alone, and what it is by this report.",
		How:    "The device enrols; bearer, certificate request and first check-in are read.",
		Fix:    "Ask for the subject of the offer; send reason ENROLLED with the whole status.",
	},
	{
		ID: "AND-061.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND061Device,
		Says:   "A policy that the server's key did not sign is not applied.",
		Source: "android.md 8; HST-120",
		Why:    "Whoever sits in between would decide what devices may do.",
		How:    "A policy comes with the signature of a key that discovery does not name; what the device has applied is read at its next check-in.",
		Fix:    "Verify device, enrolment, version, policy and profiles before anything of it is done.",
	},
	{
		ID: "AND-056.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND056Device,
		Says:   "A profile that the policy does not list any more is gone.",
		Source: "android.md 5, 8; AUTH-23",
		Why:    "After a change by licence the new authority lists its own alone.",
		How:    "A profile for Wi-Fi is applied, then a policy without it; the profiles of the next check-in are read.",
		Fix:    "Take off what is not listed; only configuration stays (AUTH-55).",
	},
	{
		ID: "AND-057.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND057Device,
		Says:   "A profile of the authority before stays until its removeAfter, and goes then, whatever its family.",
		Source: "android.md 8; AUTH-27",
		Why:    "What goes too soon cuts a device off; what stays is of an authority that decides nothing any more.",
		How:    "A profile is applied, then listed with a removeAfter in an hour, then with one that is past; the profiles of the next check-ins are read.",
		Fix:    "Compare removeAfter with the clock when a policy comes, and when it falls due.",
	},
	{
		ID: "AND-062.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND062Device,
		Says:   "Each profile is reported in the version that is in force, and what the device cannot keep to as non-compliance with its setting.",
		Source: "android.md 2.4, 8",
		Why:    "An administrator knows of it by this alone.",
		How:    "A policy demands a version of Android that there is not; the next check-in is read.",
		Fix:    "Hold the policy against the device when it comes, and say what does not fit.",
	},
	{
		ID: "AND-073.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND073Device,
		Says:   "A round whose answer was lost is sent again as it was.",
		Source: "android.md 8",
		Why:    "Another one counts as another: what the first one reported is reported twice.",
		How:    "The answer to the round that reports a command is a cut connection; the device checks in again.",
		Fix:    "Keep the round until it was answered.",
	},
	{
		ID: "AND-038.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND038Device,
		Says:   "Each command is reported by its name: a lock as done, one that the device does not know as UNSUPPORTED.",
		Source: "android.md 2.5, 8",
		Why:    "A server holds a command until it is reported; one that is reported as done and was not is worse.",
		How:    "A lock and a command that does not exist, in one answer.",
		Fix:    "Report in the next round, and say what you cannot do.",
	},
	{
		ID: "AND-075.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND075Device,
		Says:   "A change of authority is heard from a notice that the server's key signed, and from no other.",
		Source: "android.md 8; HST-057",
		Why:    "The device gives up what it has of the authority before, by that word.",
		How:    "Answers bring a notice of epoch 5, signed by another key, then by the server's; the epoch of the next check-ins is read.",
		Fix:    "Verify the notice's signature, and take a higher epoch alone.",
	},
	{
		ID: "AND-076.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND076Device,
		Says:   "After 503, 500, 404 and a web page in an answer's place the device keeps everything and comes again.",
		Source: "android.md 7; AND-065",
		Why:    "Every proxy answers so now and then, to all of a fleet at once.",
		How:    "Each is the answer to a check-in; then one is answered as it should be.",
		Fix:    "Take nothing for a removal but a signed order.",
	},
	{
		ID: "AND-077.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND077Device,
		Says:   "401 in a row removes nothing.",
		Source: "android.md 7",
		Why:    "A server that was restored from a backup knows none of its devices for a while.",
		How:    "Four check-ins are answered 401; then one is answered as it should be.",
		Fix:    "Keep the policy, try again, and show that something is wrong.",
	},
	{
		ID: "AND-078.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND078Device,
		Says:   "410 without an order, with one that another key signed and with one for another device removes nothing; a good one does.",
		Source: "android.md 7, 8; HST-027",
		Why:    "Else a proxy unenrols a fleet.",
		How:    "Each is the answer to a check-in, the good one last; then the device is to check in again, and must not.",
		Fix:    "Verify the order's signature, device and enrolment.",
	},
	{
		ID: "AND-079.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND079Device,
		Says:   "A wipe without an order is refused; with one it is reported as done, and the device comes no more.",
		Source: "android.md 7, 8",
		Why:    "A wipe that anybody can send is a weapon; one that is not reported stays pending for ever.",
		How:    "A wipe without an order, then one with it; what is reported, and whether the device checks in afterwards.",
		Fix:    "Verify the order; report first, wipe then.",
	},
	{
		ID: "AND-080.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND080Device,
		Says:   "Each round names the device as it was called, and its check-in by a name of its own.",
		Source: "android.md 8",
		Why:    "Servers compare them with the certificate, and tell repeats by them.",
		How:    "The device checks in twice, and its rounds are read.",
		Fix:    "Keep the name; make a new id for each check-in.",
	},
	{
		ID: "AND-081.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryAND081Device,
		Says:   "Asked to renew, the device gets a certificate for another key over its old identity, and uses it.",
		Source: "android.md 9",
		Why:    "A device that does not is lost in a year.",
		How:    "An answer asks for it; the request for the certificate and the identity of the next check-in are read.",
		Fix:    "Ask simplereenroll by the identity in use, then check in by the new one.",
	},
	{
		ID: "HST-014.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryHST014Device,
		Says:   "Members of an answer that the device does not know are passed over.",
		Source: "android.md 8",
		Why:    "Else no server can be newer than its agents.",
		How:    "An answer with members of another time; then the device checks in again.",
		Fix:    "Read what you know; pass over the rest.",
	},
	{
		ID: "HST-027.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryHST027Device,
		Says:   "An order of a kind that the device's mode does not have is none, beside 410 and beside a wipe.",
		Source: "android.md 3, 8; HST-027",
		Why:    "One that goes astray would reset what is to be released, and a user's own device.",
		How:    "A dedicated device is told by its server's own order to release itself, as the answer to a check-in and beside a wipe.",
		Fix:    "Compare the order's mode with the device's before anything ends.",
	},
	{
		ID: "HST-053.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryHST053Device,
		Says:   "A policy older than the one in force is not applied.",
		Source: "android.md 8; HST-053",
		Why:    "Whoever has kept one could bring back what has been mended since.",
		How:    "Version 2 is applied, then version 1 comes again, well signed; what the device keeps to is read in its next rounds.",
		Fix:    "Remember the version in force, and refuse lower ones.",
	},
	{
		ID: "HST-055.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryHST055Device,
		Says:   "A command that comes again is not carried out again, and is reported as the first time.",
		Source: "android.md 8; HST-055",
		Why:    "A server that lost the report in a restart sends it again.",
		How:    "Lost mode is started by the same command twice; a device that is in it already cannot start it.",
		Fix:    "Remember the ids of commands that were carried out.",
	},
	{
		ID: "HST-120.device", Suite: AndroidDevice, Class: OfAndroid, Must: true, try: tryHST120Device,
		Says:   "An offer of a certificate at another server is not taken.",
		Source: "hostile.md, HST-120",
		Why:    "Whoever could change it would certify the device's key himself, and be its server.",
		How:    "The answer to a request to enrol offers EST at a host that is not the server's.",
		Fix:    "Compare hosts before asking.",
	},
}

func tryAND070(t *trial) {
	b := t.admittedAt(nil)
	t.judge.mu.Lock()
	bearer, csr, first := b.bearer, b.csrs[0], b.rounds[0]
	t.judge.mu.Unlock()
	t.last = first.Exchange
	key, p256 := csr.PublicKey.(*ecdsa.PublicKey)
	switch {
	case bearer != "Bearer "+boothToken:
		t.fail("the request to enrol comes with another token than the device was given")
	case !p256 || key.Curve.Params().BitSize != 256 || csr.Subject.CommonName != boothDevice:
		t.fail("the certificate request is for %q, by a P-256 key: %t", csr.Subject.CommonName, p256)
	case first.Reason != android.ReasonEnrolled || first.Round != 1 || first.CheckIn.Status == nil || first.CheckIn.Status.SoftwareInfo == nil:
		t.fail("the first check-in has reason %s, round %d, and a whole status: %t", first.Reason, first.Round, first.CheckIn.Status != nil)
	}
}

func tryAND061Device(t *trial) {
	b := t.admittedAt(nil)
	t.set(b, func() {
		b.change = func(a *android.CheckInAnswer) { a.Policy, a.Complete = b.policy(b.other, 7), false }
	})
	t.checksIn(b)
	t.set(b, func() { b.change = nil })
	for _, r := range t.checksIn(b) {
		if r.Applied.PolicyVersion == 7 {
			t.failBy(r.Exchange, "the device has applied a policy that its server did not sign")
		}
	}
}

// keepsTo gives the device a newer policy with these profiles beside the usual one, and tells whether it says that it has that called p-old.
func (t *trial) keepsTo(b *booth, version int64, more ...android.ManifestEntry) bool {
	t.set(b, func() { b.version, b.more = version, more })
	t.checksIn(b)
	r := t.checksIn(b)[0]
	t.last = r.Exchange
	if r.Applied.PolicyVersion != version {
		t.unasked("the device does not apply a newer policy: it has version %d", r.Applied.PolicyVersion)
	}
	return slices.ContainsFunc(r.Applied.Profiles, func(p android.AppliedProfile) bool { return p.ID == "p-old" && p.Status == android.Applied })
}

func tryAND056Device(t *trial) {
	b := t.admittedAt(nil)
	if !t.keepsTo(b, 2, android.ManifestEntry{ID: "p-old", Name: "old", Family: protocol.WiFi, Authority: protocol.Intune, Version: 1}) {
		t.unasked("the device does not apply a second profile")
	}
	if t.keepsTo(b, 3) {
		t.fail("a profile that is not listed any more is still there")
	}
}

func tryAND057Device(t *trial) {
	b := t.admittedAt(nil)
	has := func(version int64, end protocol.Time) bool {
		return t.keepsTo(b, version, android.ManifestEntry{ID: "p-old", Name: "old", Family: protocol.Configuration, Authority: protocol.Office365, Version: 1, RemoveAfter: end})
	}
	now := protocol.At(time.Now())
	if !has(2, 0) {
		t.unasked("the device does not apply a second profile")
	}
	if !has(3, now.Add(time.Hour)) {
		t.fail("a profile that has an hour left is gone")
	}
	if has(4, now.Add(-time.Hour)) {
		t.fail("a profile whose removeAfter was an hour ago is still there")
	}
}

func tryAND062Device(t *trial) {
	b := t.admittedAt(nil)
	t.set(b, func() { b.version, b.settings = 2, `{"minimumApiLevel":999}` })
	t.checksIn(b)
	r := t.checksIn(b)[0]
	t.last = r.Exchange
	switch i := slices.IndexFunc(r.Applied.Profiles, func(p android.AppliedProfile) bool { return p.ID == "p-conform" }); {
	case r.Applied.PolicyVersion != 2:
		t.unasked("the device does not apply a newer policy: it has version %d", r.Applied.PolicyVersion)
	case i < 0 || r.Applied.Profiles[i].Version != 2:
		t.fail("the profile is not reported in version 2, which is in force")
	case r.Compliant, !slices.ContainsFunc(r.NonComplianceDetails, func(d android.NonComplianceDetail) bool { return d.SettingName == "minimumApiLevel" }):
		t.fail("a device of no such version says that it complies, or does not name minimumApiLevel")
	}
}

func tryAND073Device(t *trial) {
	b := t.admittedAt(nil)
	cut := false
	t.set(b, func() {
		b.commands = []android.Command{{ID: "c-lock", Type: android.Lock}}
		b.answers = func(m *round) *reply {
			if len(m.Results) > 0 && !cut {
				cut = true
				return &reply{cut: true}
			}
			return nil
		}
	})
	all := append(t.checksIn(b), t.tries(b)...)
	at := slices.IndexFunc(all, func(r *round) bool { return len(r.Results) > 0 })
	if at < 0 {
		t.unasked("the device does not report a lock%s", t.because())
	}
	t.last = all[at].Exchange
	if at+1 == len(all) {
		t.fail("a report whose answer was lost does not come again%s", t.because())
	}
	if !sameBody(all[at], all[at+1]) {
		t.failBy(all[at+1].Exchange, "a report whose answer was lost came again as another round, was %s", all[at].Sent)
	}
}

func tryAND038Device(t *trial) {
	b := t.admittedAt(nil)
	got := t.orders(b, android.Command{ID: "c-lock", Type: android.Lock}, android.Command{ID: "c-unknown", Type: "CONJURE"})
	if r := got["c-lock"]; r.State != android.ResultDone {
		t.fail("a lock is reported as %q %s", r.State, r.ErrorCode)
	}
	if r := got["c-unknown"]; r.State != android.ResultError || r.ErrorCode != android.CodeUnsupported {
		t.fail("a command that does not exist is reported as %q %s", r.State, r.ErrorCode)
	}
}

// survives answers check-ins by what means nothing, and wants the device to come again.
func (t *trial) survives(b *booth, answers ...*reply) {
	for _, a := range answers {
		t.set(b, func() { b.answers = func(*round) *reply { return a } })
		if len(t.tries(b)) == 0 {
			t.fail("after answers that mean nothing the device comes no more%s", t.because())
		}
	}
	t.set(b, func() { b.answers = nil })
	all := t.tries(b)
	if len(all) == 0 {
		t.fail("after answers that mean nothing the device comes no more%s", t.because())
	}
	t.last = all[0].Exchange
	if all[0].Applied.PolicyVersion != b.version {
		t.fail("after answers that mean nothing the device has lost its policy")
	}
}

func tryAND075Device(t *trial) {
	b := t.admittedAt(nil)
	hears := func(seal *certs.Seal) uint32 {
		n := protocol.Notice{Epoch: 5, ChangedAt: protocol.At(time.Now())}
		text, err := seal.JWS(android.NoticeType, android.Append(nil, android.NoticeOf(n)))
		if err != nil {
			t.unasked("no notice: %v", err)
		}
		t.set(b, func() {
			b.change = func(a *android.CheckInAnswer) {
				a.Authority.Epoch, a.Authority.ChangedAt, a.Authority.Notice = n.Epoch, n.ChangedAt, text
			}
		})
		t.checksIn(b)
		r := t.checksIn(b)[0]
		t.last = r.Exchange
		return r.Epoch
	}
	if got := hears(b.other); got == 5 {
		t.fail("a notice that another key signed is heard")
	}
	if got := hears(b.seal); got != 5 {
		t.fail("after a notice of epoch 5, which the server signed, the device has heard of epoch %d", got)
	}
}

func tryAND076Device(t *trial) {
	page := func(status int) *reply {
		return &reply{status: status, kind: "text/html", body: "<html>welcome</html>"}
	}
	t.survives(t.admittedAt(nil), &reply{status: http.StatusServiceUnavailable, header: map[string]string{"Retry-After": "900"}}, page(http.StatusNotFound), page(http.StatusOK),
		&reply{status: http.StatusInternalServerError})
}

func tryAND077Device(t *trial) {
	no := refusedAs(http.StatusUnauthorized, android.DeviceMismatch)
	t.survives(t.admittedAt(nil), no, no, no, no)
}

func tryAND078Device(t *trial) {
	b := t.admittedAt(nil)
	t.survives(b, farewell(""), farewell(b.order(b.other, boothDevice, android.Reset)), farewell(b.order(b.seal, "d-another", android.Reset)))
	t.set(b, b.dismiss)
	t.checksIn(b)
	t.set(b, func() { b.gone = false })
	if all := t.tries(b); len(all) > 0 {
		t.failBy(all[0].Exchange, "a device that was told to leave by a good order checks in")
	}
}

func tryAND079Device(t *trial) {
	b := t.admittedAt(nil)
	if r := t.orders(b, android.Command{ID: "c-bare", Type: android.Wipe})["c-bare"]; r.State != android.ResultError {
		t.fail("a wipe without an order is reported as %q", r.State)
	}
	r := t.orders(b, android.Command{ID: "c-wipe", Type: android.Wipe, Order: b.order(b.seal, boothDevice, android.Reset)})["c-wipe"]
	if r.State != android.ResultDone {
		t.fail("a wipe with an order is reported as %q %s", r.State, r.ErrorCode)
	}
	t.set(b, func() { b.left = true })
	if all := t.tries(b); len(all) > 0 {
		t.failBy(all[0].Exchange, "a device that reported its wipe checks in")
	}
}

func tryAND080Device(t *trial) {
	b := t.admittedAt(nil)
	seen := map[string]bool{}
	for range 2 {
		all := t.checksIn(b)
		for _, r := range all {
			if r.Device != boothDevice {
				t.failBy(r.Exchange, "a check-in names device %q", r.Device)
			}
		}
		if name := all[0].CheckIn.CheckIn; seen[name] {
			t.failBy(all[0].Exchange, "two check-ins are called %q", name)
		} else {
			seen[name] = true
		}
	}
}

func tryAND081Device(t *trial) {
	b := t.admittedAt(nil)
	t.set(b, func() {
		b.change = func(a *android.CheckInAnswer) {
			if b.renewals == 0 {
				a.Renew, a.Complete = &android.Offer{Method: android.EST, URL: t.judge.door.url + b.path + android.ESTPath}, false
			}
		}
	})
	t.checksIn(b)
	t.set(b, func() { b.change = nil })
	t.judge.mu.Lock()
	csrs, leaves := b.csrs, b.leaves
	t.judge.mu.Unlock()
	if len(csrs) < 2 {
		t.fail("a device that was asked to renew its certificate does not%s", t.because())
	}
	if sameKey(csrs[0].PublicKey, csrs[1].PublicKey) {
		t.fail("the device renews its certificate for the key that it has")
	}
	if r := t.checksIn(b)[0]; !r.leaf.Equal(leaves[1]) {
		t.failBy(r.Exchange, "after its renewal the device shows its old certificate")
	}
}

func tryHST014Device(t *trial) {
	b := t.admittedAt(nil)
	t.set(b, func() {
		b.version = 2
		b.answers = func(m *round) *reply {
			a := b.usual(m)
			a.body = strings.Replace(a.body, "{", `{"ofAnotherTime":{"x":[1,null,"y"]},`, 1)
			return a
		}
	})
	t.checksIn(b)
	t.set(b, func() { b.answers = nil })
	if r := t.checksIn(b)[0]; r.Applied.PolicyVersion != 2 {
		t.failBy(r.Exchange, "a policy that came beside members of another time is not applied: the device has version %d", r.Applied.PolicyVersion)
	}
}

func tryHST027Device(t *trial) {
	b := t.admittedAt(nil)
	release := b.order(b.seal, boothDevice, android.Release)
	t.survives(b, farewell(release))
	if r := t.orders(b, android.Command{ID: "c-release", Type: android.Wipe, Order: release})["c-release"]; r.State != android.ResultError {
		t.fail("a wipe of a dedicated device with an order to release it is reported as %q", r.State)
	}
}

func tryHST053Device(t *trial) {
	b := t.admittedAt(nil)
	t.set(b, func() { b.version = 2 })
	t.checksIn(b)
	if r := t.checksIn(b)[0]; r.Applied.PolicyVersion != 2 {
		t.unasked("the device does not apply a newer policy: it has version %d", r.Applied.PolicyVersion)
	}
	t.set(b, func() {
		b.change = func(a *android.CheckInAnswer) { a.Policy, a.Complete = b.policy(b.seal, 1), false }
	})
	all := t.checksIn(b)
	t.set(b, func() { b.change = nil })
	for _, r := range append(all, t.checksIn(b)...) {
		if r.Applied.PolicyVersion < 2 {
			t.failBy(r.Exchange, "the device has gone back to version %d of its policy", r.Applied.PolicyVersion)
		}
	}
}

func tryHST055Device(t *trial) {
	b := t.admittedAt(nil)
	lost := android.Command{ID: "c-lost", Type: android.StartLostMode, LostModeParams: &android.LostModeParams{LostMessage: "conform"}}
	if r := t.orders(b, lost)["c-lost"]; r.State != android.ResultDone {
		t.unasked("the device does not start lost mode: it is reported as %q %s", r.State, r.ErrorCode)
	}
	if r := t.orders(b, lost)["c-lost"]; r.State != android.ResultDone {
		t.fail("a command that was done is reported as %q %s when it comes again", r.State, r.ErrorCode)
	}
}

func tryHST120Device(t *trial) {
	b := t.booth(func(b *booth) {
		b.estURL = strings.Replace(b.judge.house.url, "127.0.0.1", "localhost", 1) + b.path + android.ESTPath
	})
	t.joins(b, b.link())
	t.judge.mu.Lock()
	bearer, asked := b.bearer, len(b.csrs)
	t.judge.mu.Unlock()
	if bearer == "" {
		t.unasked("nobody has asked to enrol%s", t.because())
	}
	if asked > 0 {
		t.fail("the device asks another server for its certificate")
	}
}

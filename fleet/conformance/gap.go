package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var gapStatements = []Statement{
	{
		ID: "APL-095", Suite: Gap, Class: OfIntune, Must: true, alone: true, check: checkAPL095,
		Says:   "In the gap after a change of authority TokenUpdate and reports are answered 503 with Retry-After, nothing of them counts as a failure, and afterwards all goes on.",
		Source: "apple.md 15; AUTH-30, AUTH-31",
		Why:    "A device that is refused in any other way gives up, or its report is lost.",
		How:    "The authority is changed; devices of each platform report and say TokenUpdate; a renewed certificate is uploaded; they say it again.",
		Fix:    "Refuse with 503 and Retry-After before anything is stored.",
	},
	{
		ID: "APL-102", Suite: Gap, Class: OfApple, Must: true, alone: true, check: checkAPL102,
		Says:   "When the push service refuses the certificate, the server says so, keeps its queues, and goes on with a renewed one without a restart.",
		Source: "apple.md 13.3; AUTH-33",
		Why:    "A renewed push certificate was not used until a restart (fleet#28363); a silent one leaves all dashboards green.",
		How:    "The push service answers BadCertificate to one push; the state of the certificate is read; commands are queued; a renewed certificate is uploaded.",
		Fix:    "Suspend the slot, raise one alarm, swap the certificate of the running client.",
	},
	{
		ID: "APL-103", Suite: Gap, Class: OfApple, Must: true, alone: true, check: checkAPL103,
		Says:   "A push certificate with another topic is refused without confirmation, with the number of devices that it would strand, and the present one stays in use.",
		Source: "apple.md 13.1; AUTH-32",
		Why:    "Such an upload was accepted silently and lost every enrolled device (fleet#53252, #52469, #49045; memdocs#3657).",
		How:    "A device of each platform is enrolled; a certificate with another topic is uploaded, and the refusal's number held against them; then one of the devices is pushed.",
		Fix:    "Compare topics, count devices, ask.",
	},
	{
		ID: "AUTH-30", Suite: Gap, Class: OfIntune, Must: true, alone: true, check: checkAUTH30,
		Says:   "From a change of authority until a renewed push certificate is there, a week later if need be, Apple devices can neither enrol nor check in, are told to come again and by which rule, and are not woken.",
		Source: "authority.md, AUTH-30",
		Why:    "Administrators learn of the gap from devices that fall silent; the guidance names it in one sentence, and people ask what it means (memdocs#4028, SCCMdocs#971).",
		How:    "The authority is changed; devices of each platform ask for work, a new one tries to enrol, and pushes are counted; a week later, where time can be set, they ask again.",
		Fix:    "Answer 503 with Retry-After and the rule's name, on every platform with the same certificate, until the upload.",
	},
	{
		ID: "AUTH-30.apple", Suite: Gap, Class: OfApple, Must: true, alone: true, check: checkAUTH30Apple,
		Says:   "While the push certificate has ended, or is waited for, nothing that a device hears looks like its removal.",
		Source: "authority.md, AUTH-30; apple.md 12",
		Why:    "A gap of a day is a nuisance; a fleet that took it for its removal is gone. Nobody is sure what a server does in it (memdocs#3657, IntuneDocs#1272).",
		How:    "With an ended certificate, and after a change of authority where the adapter can make one, devices of each platform say all that devices say. What each hears is told, whatever the outcome.",
		Fix:    "503, or an ordinary answer; never 401, 410 or com.apple.unrecognized.device.",
	},
	{
		ID: "AUTH-31", Suite: Gap, Class: OfIntune, Must: true, alone: true, check: checkAUTH31,
		Says:   "The upload closes the gap at once: wake-ups go out, and what was queued before and in it comes complete, once, in order.",
		Source: "authority.md, AUTH-31",
		Why:    "What is lost in the gap nobody misses until a device is found without its profiles.",
		How:    "Commands are queued before and in the gap for a device of each platform; a renewed certificate is uploaded; pushes and queues are read.",
		Fix:    "Hold wake-ups as due, and let the upload release them.",
	},
	{
		ID: "AUTH-32", Suite: Gap, Class: OfApple, Must: true, alone: true, check: checkAUTH32,
		Says:   "A wrong topic that was confirmed is undone by the right one: the devices are woken again, with all that waited.",
		Source: "authority.md, AUTH-32; apple.md 13.1",
		Why:    "The way back exists, and whoever took the wrong certificate needs it at once.",
		How:    "A certificate with another topic is taken; commands are queued; one with the old topic is uploaded again.",
		Fix:    "Keep devices and their tokens whatever the topic is, and wake those whose topic is back.",
	},
	{
		ID: "AUTH-33.grace", Suite: Gap, Class: OfApple, Must: true, alone: true, check: checkAUTH33Grace,
		Says:   "After the grace, when only a certificate with another topic is to be had, one that was confirmed serves whoever enrols anew, and a device that has not is told nothing that looks like its removal.",
		Source: "authority.md, AUTH-33, AUTH-32; apple.md 13.1",
		Why:    "It is the way out that is left, and what becomes of the devices on it nobody says beforehand (fleet#47353, #10895; memdocs#3657).",
		How:    "The certificate ends, and thirty-one days pass, days being seconds, and fewer, where the server's clock cannot be set; one with another topic is uploaded and confirmed; devices of each platform ask for work, then enrol anew by a profile of the new topic and are woken for a command.",
		Fix:    "Write profiles with the topic of the certificate in use, push each device by the topic that it told, and refuse nobody for the old one by 401.",
	},
	{
		ID: "AUTH-33", Suite: Gap, Class: OfApple, Must: true, alone: true, check: checkAUTH33,
		Says:   "Renewed under its topic in time, a day late or four days late, the certificate wakes every enrolled device again, without a restart.",
		Source: "authority.md, AUTH-33; apple.md 13.1",
		Why:    "Nobody is sure what a late renewal does (fleet#47353, #37902), so administrators enrol everything again.",
		How:    "A certificate nears its end, or is past it by a day or four; commands are queued for a device of each platform; a renewed one is uploaded. Where the server's clock cannot be set, days are seconds.",
		Fix:    "Keep queue and wake-ups while the certificate is unusable, and use the new one from its upload on.",
	},
	{
		ID: "AUTH-33.warnings", Suite: Gap, Class: OfIntune, Must: true, alone: true, check: checkAUTH33Warnings,
		Says:   "The end of the push certificate is warned of 30, 14, 7 and 1 day before.",
		Source: "authority.md, AUTH-33",
		Why:    "The certificate ends once a year, and whoever renewed it last has often left (fleet#36673).",
		How:    "The clock goes to each of these days, and what the server says of its certificate is read.",
		Fix:    "Say it where administrators look, with the Apple ID.",
	},
	{
		ID: "AUTH-34", Suite: Gap, Class: OfApple, Must: true, alone: true, check: checkAUTH34,
		Says:   "An upload that is no push certificate, has another key, has ended or is older than the present one is refused, and the present one stays in use.",
		Source: "authority.md, AUTH-34; apple.md 13.1",
		Why:    "A certificate that was taken unread shows its fault when the first push fails.",
		How:    "Five such uploads; then a device is pushed.",
		Fix:    "Read it whole before it replaces anything.",
	},
	{
		ID: "HST-044", Suite: Gap, Class: OfIntune, Must: true, alone: true, check: checkHST044,
		Says:   "Whoever is refused in the gap is told by which rule, and link and identity are not used up; with a profile of before the change a device enrols after it, or is refused as the protocol refuses.",
		Source: "hostile.md 3; AUTH-30",
		Why:    "Else every user who tried in the gap needs a new invitation (nanomdm#73: a challenge that was spent by a failure).",
		How:    "A link is opened and an Authenticate said in the gap, and both again after a renewed certificate was uploaded; then a device enrols by a profile that it fetched before the change.",
		Fix:    "Look at the gates before the link or the challenge is spent.",
	},
}

// syncOrder only wakes.
var syncOrder = target.Order{Kind: target.Sync}

// fleet is a device of each platform, enrolled and idle.
func (a *asking) fleet() []*phone {
	phones := make([]*phone, len(platforms))
	for i, p := range platforms {
		phones[i] = a.enrolled(p)
	}
	a.quiet(phones...)
	return phones
}

// again gives devices new connections: theirs do not outlive a clock that was set.
func again(phones []*phone) {
	for _, p := range phones {
		p.as(p.identity)
	}
}

// complete holds what a device gets against what was queued for it.
func (p *phone) complete(want []string) {
	p.completeFrom(p.drain(), want)
}

func (p *phone) completeFrom(got, want []string) {
	if len(got) != len(want) {
		p.a.fail("a device of %s got %d commands of %d that were queued", p.platform, len(got), len(want))
	}
	for i := range want {
		if want[i] != "" && want[i] != got[i] {
			p.a.fail("a device of %s got command %s in place %d, want %s", p.platform, got[i], i+1, want[i])
		}
	}
}

// woken wants a push for each device.
func (a *asking) woken(phones []*phone, after string) {
	for _, p := range phones {
		if p.pushed() == nil {
			a.fail("%s no push reaches a device of %s", after, p.platform)
		}
	}
}

// opens changes the authority, which opens the gap.
func (a *asking) opens() (topic string) {
	a.needs(a.Steps.SetAuthority != nil, "change the authority")
	topic = a.endsIn(a.days(300))
	return topic
}

func (a *asking) changeAuthority() {
	ctx, cancel := a.administrator()
	defer cancel()
	if err := a.Steps.SetAuthority(ctx); err != nil {
		a.unasked("the authority could not be changed: %v", err)
	}
	a.settle()
}

// retryable wants 503 with Retry-After.
func (a *asking) retryable(x *Exchange, p *phone) {
	switch {
	case x.Status != http.StatusServiceUnavailable:
		a.fail("in the gap a device of %s was answered %s, want 503", p.platform, x.answer())
	case x.header.Get("Retry-After") == "":
		a.fail("in the gap a device of %s is not told when to come again", p.platform)
	}
}

func checkAPL095(a *asking) {
	topic := a.opens()
	phones := a.fleet()
	reports := make([]apple.Message, len(phones))
	for i, p := range phones {
		p.queue(1)
		id, _ := p.command(p.say(p.idle()))
		reports[i] = p.report(id, protocol.Acknowledged)
	}
	a.changeAuthority()
	for i, p := range phones {
		a.retryable(p.send(reports[i]), p)
		a.retryable(p.send(p.tokenUpdate()), p)
	}
	a.renewed(topic)
	for i, p := range phones {
		for _, m := range []apple.Message{p.tokenUpdate(), reports[i]} {
			if x := p.send(m); x.Status != http.StatusOK {
				a.fail("after the gap %s of a device of %s is answered %s", what(&m), p.platform, x.answer())
			}
		}
		if a.Steps.Known == nil {
			continue
		}
		for _, c := range p.known().Commands {
			if c.ID == reports[i].CommandUUID && c.Status != protocol.Acknowledged.String() {
				a.fail("a report that was refused in the gap counts as %q", c.Status)
			}
		}
	}
}

func checkAPL102(a *asking) {
	a.seesPushes()
	a.needs(a.Steps.PushState != nil, "tell about its push certificate")
	topic := a.endsIn(a.days(300))
	phones := a.fleet()
	a.Pushes.Refuse("BadCertificate")
	phones[0].order(syncOrder)
	for tries := 0; !a.alarmed(); tries++ {
		if tries == minutes {
			a.fail("the push service refused the certificate, and the server says nothing of it")
		}
		a.pass(time.Minute)
		a.settle()
	}
	want := make([][]string, len(phones))
	for i, p := range phones {
		p.missed()
		want[i] = p.queue(2)
	}
	a.renewed(topic)
	a.woken(phones, "after a renewed certificate")
	for i, p := range phones {
		p.complete(want[i])
	}
}

var (
	number   = regexp.MustCompile(`[0-9]+`)
	ruleName = regexp.MustCompile(`[A-Z]+-[0-9]+`) // has a number that counts nothing
)

// counts tells whether a refusal tells of so many devices: of exactly these where they are all that the server has.
func (a *asking) counts(refusal error, topic string, devices int) bool {
	a.mu.Lock()
	exactly := a.Steps.Devices != nil && len(a.left) == 0
	a.mu.Unlock()
	text := refusal.Error()
	if e, ok := errors.AsType[*target.Error](refusal); ok {
		text = e.Message // and not its status
	}
	text = ruleName.ReplaceAllString(strings.ReplaceAll(text, topic, ""), "")
	return slices.ContainsFunc(number.FindAllString(text, -1), func(s string) bool {
		n, err := strconv.Atoi(s)
		return err == nil && (n == devices || n > devices && !exactly)
	})
}

func checkAPL103(a *asking) {
	topic := a.endsIn(a.days(300))
	phones := a.fleet()
	err := a.upload(a.pushPEM(topic+".wrong", a.now().Add(-time.Hour), a.now().Add(a.days(600))), false)
	switch {
	case err == nil:
		a.fail("a certificate with another topic was taken without a question")
	case !a.counts(err, topic, len(a.joined)):
		a.fail("the refusal does not say that %d devices would be stranded: %v", len(a.joined), err)
	}
	a.keeps(topic, "a refused upload")
	a.stillUsed(phones[0])
}

// stillUsed wants the present push certificate to be in use.
func (a *asking) stillUsed(p *phone) {
	if a.Pushes == nil || a.Steps.Queue == nil {
		return
	}
	p.missed()
	p.queue(1)
	if p.pushed() == nil {
		a.fail("after a refused upload devices are not woken any more")
	}
}

func checkAUTH30(a *asking) {
	topic := a.opens()
	phones := a.fleet()
	fresh := a.identified(protocol.IOS)
	fresh.register()
	a.changeAuthority()
	for _, p := range phones {
		p.missed()
		p.order(syncOrder)
		x := p.send(p.idle())
		a.retryable(x, p)
		if !strings.Contains(string(x.body), "AUTH-30") {
			a.fail("the refusal of a device of %s does not name AUTH-30", p.platform)
		}
	}
	a.retryable(fresh.send(fresh.authenticate()), fresh)
	a.settle()
	for _, p := range phones {
		if a.Pushes != nil && len(a.Pushes.Got(p.token)) > p.seen {
			a.fail("in the gap a device of %s was woken", p.platform)
		}
	}
	if a.Steps.Step != nil {
		a.pass(7 * 24 * time.Hour)
		again(phones)
		for _, p := range phones {
			a.retryable(p.send(p.idle()), p)
		}
	}
	a.renewed(topic)
	if x := phones[0].send(phones[0].idle()); x.unenrols() {
		a.fail("after the gap a device is answered %s", x.answer())
	}
}

func checkAUTH30Apple(a *asking) {
	topic := a.endsIn(a.days(2))
	phones := a.fleet()
	nothing := func(when string) {
		for _, p := range phones {
			said := []apple.Message{
				p.idle(), p.tokenUpdate(), p.report("C0F0C0F0-0000-4000-8000-0000C0F0C0F1", protocol.Acknowledged), p.authenticate(),
				{MessageType: apple.GetBootstrapToken, UDID: p.udid},
				{MessageType: apple.SetBootstrapToken, UDID: p.udid, BootstrapToken: []byte("x")},
			}
			var heard []string
			for i := range said {
				x := p.send(said[i])
				heard = append(heard, word(&said[i])+" "+x.briefly())
				if x.unenrols() {
					a.fail("%s %s of a device of %s was answered %s: it takes that for its removal", when, what(&said[i]), p.platform, x.answer())
				}
			}
			a.saw("%s a device of %s hears: %s", when, p.platform, strings.Join(heard, ", "))
		}
	}
	a.wait(a.days(2) + time.Second)
	again(phones)
	nothing("with an ended push certificate")
	a.renewed(topic)
	if a.Steps.SetAuthority == nil {
		a.without("what they hear after a change of authority: the adapter %s cannot make one", a.Steps.Name)
		return
	}
	a.changeAuthority()
	nothing("in the gap after a change of authority")
	a.renewed(topic)
}

// word is the kind of a message, or of a report.
func word(m *apple.Message) string {
	if m.MessageType == apple.NoMessageType && m.Status != protocol.NoStatus {
		return "a report"
	}
	return what(m)
}

// briefly is the status of an answer, and when to come again where it says so.
func (x *Exchange) briefly() string {
	if x.Status == 0 {
		return "nothing"
	}
	if again := x.header.Get("Retry-After"); again != "" {
		return fmt.Sprintf("%d, Retry-After %.20s", x.Status, again)
	}
	return strconv.Itoa(x.Status)
}

func checkAUTH31(a *asking) {
	topic := a.opens()
	phones := a.fleet()
	want := make([][]string, len(phones))
	for i, p := range phones {
		want[i] = p.queue(2)
	}
	a.changeAuthority()
	for i, p := range phones {
		want[i] = append(want[i], p.queue(2)...)
		p.send(p.idle()) // is refused, and must lose nothing
		p.missed()
	}
	a.renewed(topic)
	if a.Pushes != nil {
		a.woken(phones, "after the upload that closes the gap")
	}
	for i, p := range phones {
		got := p.drain()
		for len(got) > len(want[i]) && got[len(got)-1] != want[i][len(want[i])-1] {
			got = got[:len(got)-1] // what the new authority adds behind it
		}
		p.completeFrom(got, want[i])
	}
}

func checkAUTH32(a *asking) {
	a.seesPushes()
	topic := a.endsIn(a.days(300))
	phones := a.fleet()
	if err := a.upload(a.pushPEM(topic+".wrong", a.now().Add(-time.Hour), a.now().Add(a.days(600))), true); err != nil {
		a.unasked("another topic is not taken when it is confirmed: %v", err)
	}
	want := make([][]string, len(phones))
	for i, p := range phones {
		want[i] = p.queue(2)
		p.missed()
	}
	a.settle()
	if err := a.upload(a.pushPEM(topic, a.now().Add(-time.Hour), a.now().Add(a.days(601))), true); err != nil {
		a.fail("the certificate with the old topic was refused: %v", err)
	}
	for i, p := range phones {
		want[i] = append(want[i], p.queue(1)...)
	}
	a.woken(phones, "after the old topic was uploaded again")
	for i, p := range phones {
		p.complete(want[i])
	}
}

func checkAUTH33(a *asking) {
	a.seesPushes()
	for _, late := range []float64{-1, 1, 4} {
		when := map[float64]string{-1: "renewed in time,", 1: "renewed a day late,", 4: "renewed four days late,"}[late]
		topic := a.endsIn(a.days(3))
		phones := a.fleet()
		a.wait(a.days(3 + late))
		again(phones)
		want := make([][]string, len(phones))
		for i, p := range phones {
			p.missed()
			want[i] = p.queue(2)
		}
		if late < 0 {
			for _, p := range phones {
				p.missed()
			}
		}
		a.renewed(topic)
		for i, p := range phones { // a server may wake for what waited, and has to wake for what comes
			want[i] = append(want[i], p.queue(1)...)
		}
		a.woken(phones, when)
		for i, p := range phones {
			p.complete(want[i])
		}
	}
}

func checkAUTH33Grace(a *asking) {
	topic := a.endsIn(a.days(1))
	phones := a.fleet()
	if a.Steps.Step != nil {
		a.pass(a.days(1 + 31))
	} else {
		a.sleep(3 * time.Second) // no server can know that thirty-one days are meant
	}
	again(phones)
	if err := a.upload(a.pushPEM(topic+".next", a.now().Add(-time.Hour), a.now().Add(a.days(600))), true); err != nil {
		a.fail("after the grace a certificate with another topic is refused although it is confirmed: %v", err)
	}
	for _, p := range phones {
		if x := p.send(p.idle()); x.unenrols() {
			a.fail("after the grace a device of %s is answered %s: it takes that for its removal", p.platform, x.answer())
		}
		p.anew()
		if given := p.mdm.Topic; a.Steps.PushState == nil && given == topic {
			p.mdm.Topic = topic + ".next" // a profile that was given once and for all
		} else if given != topic+".next" {
			a.fail("the profile for a device of %s has the topic %q, and the certificate in use %q", p.platform, given, topic+".next")
		}
		p.enrol()
		p.drain()
	}
	if a.Pushes == nil || a.Steps.Queue == nil {
		a.without("that they are woken: %s", a.blind())
		return
	}
	a.quiet(phones...)
	for _, p := range phones {
		p.order(syncOrder)
	}
	a.woken(phones, "enrolled anew under another topic,")
}

func checkAUTH33Warnings(a *asking) {
	if a.Steps.Step == nil {
		a.skip("the server's clock cannot be set, and days are days here")
	}
	topic := a.endsIn(a.days(40))
	if a.alarmed() {
		a.fail("forty days before its end the push certificate is warned of")
	}
	end := a.pushState().NotAfter.Time()
	for _, days := range []int{30, 14, 7, 1} {
		a.stepTo(end.Add(-time.Duration(days) * 24 * time.Hour).Add(time.Minute))
		if !a.alarmed() {
			a.fail("%d days before its end nothing warns of the push certificate", days)
		}
	}
	a.renewed(topic)
	if a.alarmed() {
		a.fail("after the renewal the end is still warned of")
	}
}

func checkAUTH34(a *asking) {
	topic := a.endsIn(a.days(300))
	phones := a.fleet()
	now := a.now()
	good := a.pushPEM(topic, now.Add(-time.Hour), now.Add(a.days(700)))
	other := a.pushPEM(topic, now.Add(-time.Hour), now.Add(a.days(700)))
	certificate, _, _ := strings.Cut(string(good), "-----BEGIN PRIVATE KEY")
	_, key, _ := strings.Cut(string(other), "-----BEGIN PRIVATE KEY")
	for _, tt := range []struct {
		what string
		pem  []byte
	}{
		{"an upload that is no certificate", []byte("this is no certificate")},
		{"a certificate without a topic", a.topicless(now)},
		{"a certificate with another's key", []byte(certificate + "-----BEGIN PRIVATE KEY" + key)},
		{"a certificate that has ended", a.pushPEM(topic, now.Add(-2*time.Hour), now.Add(-time.Hour))},
		{"a certificate that ends before the present one", a.pushPEM(topic, now.Add(-time.Hour), now.Add(a.days(200)))},
	} {
		if err := a.upload(tt.pem, false); err == nil {
			a.fail("%s was taken", tt.what)
		}
		a.keeps(topic, tt.what)
	}
	a.stillUsed(phones[0])
}

func checkHST044(a *asking) {
	topic := a.opens()
	ctx, cancel := a.administrator()
	defer cancel()
	e, err := a.Steps.Enrol(ctx, protocol.IOS, a.slot)
	if err != nil || e.URL == "" {
		a.skip("the adapter %s has no enrolment links (%v)", a.Steps.Name, err)
	}
	early := a.invited(protocol.IOS)
	known := a.identified(protocol.IOS)
	known.register()
	a.changeAuthority()
	p := a.phone(protocol.IOS)
	switch x := p.link(e.URL); {
	case x.Status/100 == 2:
		a.fail("in the gap an enrolment link was answered %s", x.answer())
	case !strings.Contains(string(x.body), "AUTH-30"):
		a.fail("in the gap an enrolment link is refused without a word of AUTH-30")
	}
	known.send(known.authenticate()) // AUTH-30 asks how it is refused
	a.renewed(topic)
	if x := p.link(e.URL); x.Status != http.StatusOK {
		a.fail("after the gap the link that was refused in it is answered %s", x.answer())
	}
	for _, m := range []apple.Message{known.authenticate(), known.tokenUpdate()} {
		if x := known.send(m); x.Status != http.StatusOK {
			a.fail("after the gap %s by an identity that was refused in it is answered %s", m.MessageType, x.answer())
		}
	}
	r := early.request()
	x := r.post("PKCSReq by a profile of before the change", r.marshal())
	c, _, err := r.issued(x)
	if err != nil {
		if x.Status != http.StatusOK {
			a.fail("a SCEP request by a profile of before the change was answered %s, want a certificate or FAILURE", x.answer())
		}
		return
	}
	early.own(certs.Signer{Certificate: c, Key: r.key})
	early.register()
	if x := early.send(early.authenticate()); x.unenrols() || x.timedOut() {
		a.fail("an Authenticate by a profile of before the change was answered %s", x.answer())
	}
}

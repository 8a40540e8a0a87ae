package conformance

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/fleet/target"
)

// The push certificate itself: refused, replaced, ended, renewed.

var lapseStatements = []Statement{
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
		ID: "AUTH-32", Suite: Gap, Class: OfApple, Must: true, alone: true, check: checkAUTH32,
		Says:   "A wrong topic that was confirmed is undone by the right one: the devices are woken again, with all that waited.",
		Source: "authority.md, AUTH-32; apple.md 13.1",
		Why:    "The way back exists, and whoever took the wrong certificate needs it at once.",
		How:    "A certificate with another topic is taken; commands are queued; one with the old topic is uploaded again.",
		Fix:    "Keep devices and their tokens whatever the topic is, and wake those whose topic is back.",
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
		ID: "AUTH-33.grace", Suite: Gap, Class: OfApple, Must: true, alone: true, check: checkAUTH33Grace,
		Says:   "After the grace, when only a certificate with another topic is to be had, one that was confirmed serves whoever enrols anew, and a device that has not is told nothing that looks like its removal.",
		Source: "authority.md, AUTH-33, AUTH-32; apple.md 13.1",
		Why:    "It is the way out that is left, and what becomes of the devices on it nobody says beforehand (fleet#47353, #10895; memdocs#3657).",
		How:    "The certificate ends, and thirty-one days pass, days being seconds, and fewer, where the server's clock cannot be set; one with another topic is uploaded and confirmed; devices of each platform ask for work, then enrol anew by a profile of the new topic and are woken for a command.",
		Fix:    "Write profiles with the topic of the certificate in use, push each device by the topic that it told, and refuse nobody for the old one by 401.",
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

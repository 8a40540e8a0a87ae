package conformance

import (
	"fmt"
	"net/http"
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

package conformance

import (
	"net/http"
	"sync/atomic"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// Pushes is the push service that the server under test sends to, seen from its devices' side. Safe for concurrent use.
type Pushes interface {
	// Register makes a device known under a topic and returns its token.
	Register(topic string) []byte
	// Got returns what was pushed to a token so far.
	Got(token []byte) []Push
	// Watch has f called at every push to a token, before the push is answered.
	Watch(token []byte, f func())
	// Unregister ends a token: pushes to it are answered 410.
	Unregister(token []byte)
	// GoAway has the next push answered by GOAWAY.
	GoAway()
	// Refuse has the next push refused for a reason of APNs.
	Refuse(reason string)
	// Refused counts pushes that were refused, by reason.
	Refused() map[string]int
}

// A Push is one notification as it reached its device.
type Push struct {
	Topic    string
	Body     []byte
	Priority int
	Expires  time.Time // zero: it was not to be kept
}

var pushStatements = []Statement{
	{
		ID: "APL-100", Suite: Apple, Class: OfApple, Must: true, passes: true, check: checkAPL100,
		Says:   "A push has its topic, push type and priority, and a body of the PushMagic alone, whatever characters that has.",
		Source: "apple.md 13.2; Apple, Sending notification requests to APNs",
		Why:    "A magic that is glued into JSON breaks it at the first quotation mark; without the type APNs may stop to deliver (nanomdm's client sends neither).",
		How:    "A device whose PushMagic has quotation marks and backslashes is pushed; the push service demands the headers.",
		Fix:    "Encode the body as JSON; send apns-topic, apns-push-type mdm, apns-priority 10.",
	},
	{
		ID: "APL-101", Suite: Apple, Class: OfApple, Must: true, passes: true, check: checkAPL101,
		Says:   "A token that the push service calls inactive ends no enrolment and is pushed no more, the next TokenUpdate revives the device, and where the device said its token after it had ended nothing changes.",
		Source: "apple.md 13.3; Apple, Handling notification responses from APNs",
		Why:    "410 says that this token is dead, not that the device has left: it may be in for repair, and comes back. One that is older than the device's last word is of an enrolment before (Apple forum thread 738806).",
		How:    "A device's token ends; commands are queued, and pushes to it counted; then the device says a TokenUpdate with another, and a push is waited for. That one ends, the device says it again afterwards, and commands are queued: the server must go on trying.",
		Fix:    "Hold the timestamp of the 410 against the last TokenUpdate; where it is younger, mark the address unreachable, keep the enrolment, and start again at the next TokenUpdate.",
	},
	{
		ID: "APL-104", Suite: Apple, Class: OfApple, Must: false, serial: true, check: checkAPL104,
		Says:   "Ten commands for one device are not ten pushes, and a push that was answered 429 is tried again, but not at once.",
		Source: "apple.md 13.2, 13.3; Apple, Sending notification requests to APNs",
		Why:    "APNs keeps one notification for each device and refuses who pushes too often (429); who answers that by pushing again is refused for longer, and the herd of a push to all has taken servers down (fleet#13527).",
		How:    "Ten commands are queued for a device that does not come, and pushes counted. Then the service refuses the next push by TooManyRequests: none may follow in the same moment, and where time can be set one has to within ten minutes.",
		Fix:    "Wake once; the device empties its whole queue. After 429 wait a minute or more, longer each time.",
	},
	{
		ID: "APL-105", Suite: Apple, Class: OfApple, Must: true, serial: true, check: checkAPL105,
		Says:   "A GOAWAY of the push service in the middle of a batch loses no push.",
		Source: "apple.md 13.2, 13.3",
		Why:    "Apple closes connections as it likes; what was under way is the client's to send again.",
		How:    "Eight devices get a command, and the push service says GOAWAY to one of the pushes.",
		Fix:    "Open a new connection and repeat what was not answered.",
	},
	{
		ID: "APL-106", Suite: Apple, Class: OfApple, Must: true, serial: true, check: checkAPL106,
		Says:   "A device that comes at once when it is pushed finds the command for which it was; between Authenticate and the first TokenUpdate of an enrolment nothing is pushed.",
		Source: "apple.md 1, 14; Apple, Token Update",
		Why:    "A push before the commit finds an empty queue, and the command waits for the next one (micromdm#716). One before the TokenUpdate goes to the address of an enrolment that is over.",
		How:    "The device asks for work in the moment in which the push reaches it, before the push service has answered. Then it says Authenticate for another enrolment, a command is queued, where the server takes one, and its old address is watched.",
		Fix:    "Commit the command, then push; forget token and magic at Authenticate.",
	},
}

// seesPushes skips the check unless the run sees the pushes.
func (a *asking) seesPushes() {
	if a.Pushes == nil {
		a.skip("this run does not see the server's pushes: have it send them to the push service of --apns-listen")
	}
}

// blind says why nobody sees what is pushed for a command.
func (a *asking) blind() string {
	if a.Pushes == nil {
		return "this run does not see the server's pushes (--apns-listen)"
	}
	return "the adapter " + a.Steps.Name + " cannot queue a command"
}

// missed takes note of the pushes so far.
func (p *phone) missed() {
	if p.a.Pushes != nil {
		p.seen = len(p.a.Pushes.Got(p.token))
	}
}

// pushed is the newest push to the device since it was last looked at, once the server had its time; nil: there is none.
func (p *phone) pushed() *Push {
	p.a.ages() // even where no minute has to pass this time
	for tries, began := 0, time.Now(); ; tries++ {
		if p.a.Steps.Step != nil {
			p.a.settle()
		}
		if got := p.a.Pushes.Got(p.token); len(got) > p.seen {
			p.seen = len(got)
			return &got[len(got)-1]
		}
		switch {
		case p.a.Steps.Step == nil && time.Since(began) > 3*p.a.Settle, p.a.Steps.Step != nil && tries >= minutes:
			return nil
		case p.a.Steps.Step == nil:
			p.a.sleep(20 * time.Millisecond)
		default:
			p.a.pass(time.Minute)
		}
	}
}

// minutes is how long what has to happen soon has, on a server whose clock can be set; on another it has three times Settle.
const minutes = 10

func checkAPL100(a *asking) {
	a.seesPushes()
	p := a.identified(protocol.IOS)
	p.magic = `"quoted" \ {"mdm":"x"} <&>`
	p.enrol()
	p.drain()
	p.missed()
	p.queue(1)
	got := p.pushed()
	if got == nil {
		a.fail("no push that the service takes; it refused %v in this run", a.Pushes.Refused())
	}
	magic, err := apple.DecodePush(got.Body)
	switch {
	case err != nil:
		a.fail("the push's body: %v", err)
	case magic != p.magic:
		a.fail("the push has the magic %q, the device's is %q", magic, p.magic)
	case got.Topic != p.mdm.Topic:
		a.fail("the push has the topic %q, the profile's is %q", got.Topic, p.mdm.Topic)
	case got.Priority != 10:
		a.fail("the push has priority %d, want 10", got.Priority)
	}
}

func checkAPL101(a *asking) {
	a.seesPushes()
	p := a.enrolled(protocol.IOS)
	tries := func() int { return a.Pushes.Refused()["Unregistered"] }
	a.apart() // so that the token ends after the device told it
	a.Pushes.Unregister(p.token)
	p.queue(1)
	a.settle()
	if a.Steps.Known != nil && !p.known().Enrolled {
		a.fail("a device whose token has ended counts as not enrolled")
	}
	before := tries()
	const more = 3
	for range more {
		p.queue(1)
		a.wear()
	}
	if n := tries() - before; n >= more {
		a.fail("%d commands for a device whose token has ended made %d pushes to it", more, n)
	}
	a.apart()
	p.token, p.seen = a.Pushes.Register(p.mdm.Topic), 0
	p.try(p.tokenUpdate())
	p.queue(1)
	if p.pushed() == nil {
		a.fail("after a TokenUpdate with a new token no push follows")
	}
	p.drain()
	a.apart()
	a.Pushes.Unregister(p.token)
	a.apart()
	p.try(p.tokenUpdate())
	for range 2 { // the first is answered by a 410 that is older than what the device said
		before = tries()
		p.queue(1)
		a.wear()
		if tries() == before {
			a.fail("a device whose token ended before it said it is pushed no more")
		}
	}
}

// apart lets so much time go by that two moments are told apart.
func (a *asking) apart() {
	if a.Steps.Step == nil {
		a.sleep(1100 * time.Millisecond)
	}
	a.pass(time.Minute)
}

func checkAPL104(a *asking) {
	a.seesPushes()
	p := a.enrolled(protocol.IOS)
	a.quiet(p)
	p.queue(10)
	a.settle()
	if n := len(a.Pushes.Got(p.token)) - p.seen; n > 3 {
		a.fail("ten commands made %d pushes", n)
	}

	p = a.enrolled(protocol.IOS)
	a.quiet(p)
	before := a.Pushes.Refused()["TooManyRequests"]
	a.Pushes.Refuse("TooManyRequests")
	p.queue(1)
	a.settle()
	switch {
	case len(a.Pushes.Got(p.token)) > p.seen:
		a.fail("a push that was answered 429 was tried again at once")
	case a.Pushes.Refused()["TooManyRequests"] == before:
		a.unasked("no push came that could be answered 429")
	case a.Steps.Step == nil:
		a.without("that a push which was answered 429 comes again: nobody waits for minutes here")
	case p.pushed() == nil:
		a.fail("a push that was answered 429 was given up")
	}
}

// quiet lets the server send what it still has for devices, and takes note of it.
func (a *asking) quiet(phones ...*phone) {
	if a.Pushes == nil {
		return
	}
	a.settle()
	for _, p := range phones {
		p.missed()
	}
}

func checkAPL105(a *asking) {
	a.seesPushes()
	phones := make([]*phone, 8)
	for i := range phones {
		phones[i] = a.enrolled(protocol.IOS)
	}
	a.quiet(phones...)
	a.Pushes.GoAway()
	for _, p := range phones {
		p.queue(1)
	}
	lost := 0
	for _, p := range phones {
		if p.pushed() == nil {
			lost++
		}
	}
	if lost > 0 {
		a.fail("%d of %d pushes were lost when the service said GOAWAY", lost, len(phones))
	}
}

func checkAPL106(a *asking) {
	a.seesPushes()
	p := a.enrolled(protocol.IOS)
	a.quiet(p)
	idle := p.idle()
	body := apple.EncodeMessage(nil, &idle)
	header := p.signature(http.Header{"Content-Type": {apple.CommandType}}, body)
	var first atomic.Pointer[Exchange]
	a.Pushes.Watch(p.token, func() {
		if first.Load() == nil {
			x := p.exchange(a.ctx, http.MethodPut, p.mdm.ServerURL, "Idle, in the moment of the push", header, body)
			first.CompareAndSwap(nil, x)
		}
	})
	p.queue(1)
	if p.pushed() == nil {
		a.unasked("no push came")
	}
	x := first.Load()
	if x == nil {
		a.unasked("the push was not seen as it came")
	}
	if a.last = x; x.Status != http.StatusOK || len(x.body) == 0 {
		a.fail("a device that came in the moment of the push was answered %s with %d bytes", x.answer(), len(x.body))
	}
	a.Pushes.Watch(p.token, func() {})
	p.drain()
	a.quiet(p)
	p.anew()
	p.say(p.authenticate())
	p.tryQueue()
	if p.stays() != nil {
		a.fail("between Authenticate and TokenUpdate of another enrolment the device is pushed at its old address")
	}
	p.say(p.tokenUpdate())
}

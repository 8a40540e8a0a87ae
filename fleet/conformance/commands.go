package conformance

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var commandStatements = []Statement{
	{
		ID: "APL-050", Suite: Apple, Class: OfApple, Must: true, check: checkAPL050,
		Says:   "Where there is no work, the answer is 200 with a Content-Length of 0.",
		Source: "apple.md 6.2; Apple, Sending MDM Commands",
		Why:    "An empty property list, or a body whose end is not known, is not the end of the conversation to a device.",
		How:    "Idle of a device whose queue is empty.",
		Fix:    "Write nothing.",
	},
	{
		ID: "APL-051", Suite: Apple, Class: OfApple, Must: true, check: checkAPL051,
		Says:   "A command that was not reported is handed out again under the same UUID, and a thousand commands come in the order in which they were queued.",
		Source: "apple.md 6.3",
		Why:    "A store that orders by seconds mixes what was queued in one (nanomdm's MySQL); a new UUID makes the device do things twice.",
		How:    "Of 980 commands, queued one behind the other as fast as the server takes them, some are taken, Idle said twice before and after, and twenty more are queued; then all are acknowledged, and their order is held against that of queueing.",
		Fix:    "Order by a counter, not by a time.",
	},
	{
		ID: "APL-052", Suite: Apple, Class: OfApple, Must: true, check: checkAPL052,
		Says:   "A report that comes twice changes nothing and is answered with the next command.",
		Source: "apple.md 6.3",
		Why:    "Devices repeat what was not answered; an error blocks them, a second count loses a command.",
		How:    "Of three commands the first is acknowledged twice.",
		Fix:    "Record the first report, answer both alike.",
	},
	{
		ID: "APL-053", Suite: Apple, Class: OfApple, Must: true, check: checkAPL053,
		Says:   "A report of a command that the server does not know gets 200, and the queue goes on.",
		Source: "apple.md 6.3",
		Why:    "After a database was restored, a device repeats an unknown report until it is taken: with an error it is stuck for ever (a foreign key in nanomdm's MySQL store).",
		How:    "A device acknowledges a UUID that was never given out, while a command waits.",
		Fix:    "Log it, answer with the head of the queue.",
	},
	{
		ID: "APL-054", Suite: Apple, Class: OfApple, Must: true, check: checkAPL054,
		Says:   "A report whose answer was lost is counted once when it is repeated on another connection, and no command is lost or handed out again.",
		Source: "apple.md 6.3",
		Why:    "Connections break after the server has stored and before the device has heard.",
		How:    "The connection is cut once the report is out; the device comes again, repeats it, and empties its queue.",
		Fix:    "Store before answering; make the repeat a repeat.",
	},
	{
		ID: "APL-055", Suite: Apple, Class: OfApple, Must: true, check: checkAPL055,
		Says:   "Error and CommandFormatError take the command out of the queue, and the ErrorChain is kept.",
		Source: "apple.md 6.1",
		Why:    "A command that always fails would block all behind it; without the chain nobody learns why.",
		How:    "Two commands are answered with the one and the other, the third is waited for; the chain is looked for in what the server tells.",
		Fix:    "Treat both as final.",
	},
	{
		ID: "APL-056", Suite: Apple, Class: OfApple, Must: true, check: checkAPL056,
		Says:   "With every command answered NotNow the conversation ends, no command is offered more than twice, and they come again on the next, oldest first.",
		Source: "apple.md 6.4; Apple, Handling NotNow Status Responses",
		Why:    "Without a limit two such commands go round for ever (micromdm#225).",
		How:    "A device answers NotNow to all of two commands; then it comes again.",
		Fix:    "Offer each at most twice in a conversation.",
	},
	{
		ID: "APL-057", Suite: Apple, Class: OfApple, Must: true, passes: true, check: checkAPL057,
		Says:   "After NotNow to one command and success with another, the conversation ends on NotNow, or a push follows.",
		Source: "apple.md 6.4",
		Why:    "A device comes back by itself only if NotNow was the last that it said; else the command waits for somebody's push, hours away (fleet#43814).",
		How:    "Of two commands the first is answered NotNow, the second is acknowledged.",
		Fix:    "Offer the NotNow command once more at the end.",
	},
	{
		ID: "APL-064", Suite: Apple, Class: OfApple, Must: true, check: checkAPL064,
		Says:   "The PIN of a DeviceLock is the one that was asked for, and a second lock is refused while the first waits.",
		Source: "apple.md 7",
		Why:    "Two locks with two PINs leave the user with the first, and the administrator with the second (fleet#31095).",
		How:    "A Mac is locked with a PIN, then again with another before it has come.",
		Fix:    "Store the PIN with the command before it goes out; one lock at a time.",
	},
	{
		ID: "APL-065", Suite: Apple, Class: OfApple, Must: true, check: checkAPL065,
		Says:   "Two connections of one device at once get the same command; none is lost or doubled.",
		Source: "apple.md 6.3",
		Why:    "After a broken connection a device is there twice for a while; a server that hands out the second command early loses the order, or the first.",
		How:    "A device asks for work on two connections at once, twice, and then empties its queue on one.",
		Fix:    "Serialise by channel, hand out the head until it is reported.",
	},
	{
		ID: "APL-066", Suite: Apple, Class: OfApple, Must: true, check: checkAPL066,
		Says:   "The user channel never gets the commands of its device.",
		Source: "apple.md 4.4, 9.1",
		Why:    "A profile for the machine that lands in a user's channel is installed for the wrong one, or fails.",
		How:    "A command waits for a Mac; a user of it asks for work; then the Mac does.",
		Fix:    "Keep a queue per channel.",
	},
	{
		ID: "APL-067", Suite: Apple, Class: OfApple, Must: true, check: checkAPL067,
		Says:   "Every command is an XML property list with a CommandUUID and a RequestType of Apple's, and says so in its content type.",
		Source: "apple.md 6.2, 7; Apple's device-management schema",
		Why:    "A command that a device cannot read is CommandFormatError, which tells nobody what is wrong.",
		How:    "Each command that the adapter can queue is fetched, read by a reader of its own, and held against the schema: names, types, what is required.",
		Fix:    "Answer application/xml; keep to the schema.",
	},
}

// kinds are commands that every device can be asked, and that harm nothing.
var kinds = []target.OrderKind{target.Information, target.Security, target.ProfileList, target.Certificates}

// queue has the administrator queue n commands for the device; an id is empty where the server does not tell it.
func (p *phone) queue(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = p.order(target.Order{Kind: kinds[i%len(kinds)]})
	}
	return ids
}

func (p *phone) order(o target.Order) string {
	p.a.needs(p.a.Steps.Queue != nil, "queue a command")
	p.a.probe()
	if p.a.idleQueue() {
		p.a.unasked("the adapter's queue step does nothing: a command that it queued without an error never reached its device")
	}
	ctx, cancel := p.a.administrator()
	defer cancel()
	id, err := p.a.Steps.Queue(ctx, p.udid, o)
	if err != nil {
		p.a.unasked("no command could be queued: %v", err)
	}
	return id
}

func checkAPL050(a *asking) {
	p := a.identified(protocol.IOS)
	p.enrol()
	x := p.try(p.idle()) // there may be work for a device that is new
	if d, err := readPlist(x.body); len(x.body) > 0 && (err != nil || d.text("CommandUUID") == "") {
		a.fail("Idle was answered neither with nothing nor with a command (%d bytes of %q)", len(x.body), media(x))
	}
	p.drainFrom(x)
	x = p.try(p.idle())
	if len(x.body) != 0 || x.length != 0 {
		a.fail("Idle without work was answered %s with %d bytes, Content-Length %d", x.answer(), len(x.body), x.length)
	}
}

func checkAPL051(a *asking) {
	a.needs(a.Steps.Queue != nil, "queue a command")
	p := a.enrolled(protocol.IOS)
	head := func() (id string) {
		id, _ = p.command(p.say(p.idle()))
		if again, _ := p.command(p.say(p.idle())); id != again {
			a.fail("a command that was not reported came again as %s, was %s", again, id)
		}
		return id
	}
	const more, taken = 20, 8
	many, began := max(a.Queued, 2*more)-more, time.Now()
	var want, got []string
	for len(want) < many && time.Since(began) < a.Check/3 { // the other two are for fetching them
		want = append(want, p.queue(1)...)
	}
	if len(want) < many {
		a.without("a thousand commands: the server takes them so slowly that there are %d", len(want)+more)
	}
	for id := head(); id != "" && len(got) < taken; {
		got = append(got, id)
		id, _ = p.command(p.try(p.report(id, protocol.Acknowledged)))
	}
	want = append(want, p.queue(more)...) // what is queued while others wait stands behind them
	head()
	for x := p.say(p.idle()); len(got) <= len(want); {
		id, _ := p.command(x)
		if id == "" {
			break
		}
		got = append(got, id)
		x = p.say(p.report(id, protocol.Acknowledged))
	}
	if len(got) != len(want) {
		a.fail("%d commands came of %d that were queued", len(got), len(want))
	}
	for i := range got {
		if want[i] != "" && got[i] != want[i] {
			a.fail("command %d of %d is %s, want %s, which was queued there", i+1, len(want), got[i], want[i])
		}
	}
}

func checkAPL052(a *asking) {
	p := a.enrolled(protocol.IOS)
	p.queue(3)
	first, _ := p.command(p.say(p.idle()))
	next, _ := p.command(p.say(p.report(first, protocol.Acknowledged)))
	x := p.send(p.report(first, protocol.Acknowledged))
	if x.Status != http.StatusOK {
		a.fail("the same report again was answered %s", x.answer())
	}
	if again, _ := p.command(x); again != next {
		a.fail("the same report again was answered with command %q, the first time with %q", again, next)
	}
	if rest := p.drain(); len(rest) != 2 {
		a.fail("%d commands are left of three after one was reported twice, want 2", len(rest))
	}
}

func checkAPL053(a *asking) {
	p := a.enrolled(protocol.IOS)
	want := p.queue(1)[0]
	x := p.send(p.report("C0F0C0F0-0000-4000-8000-0000C0F0C0F0", protocol.Acknowledged))
	if x.Status != http.StatusOK {
		a.fail("a report of an unknown command was answered %s: the device repeats it for ever", x.answer())
	}
	if id, _ := p.command(x); id == "" || want != "" && id != want {
		a.fail("a report of an unknown command was answered with command %q, and %q waits", id, want)
	}
}

func checkAPL054(a *asking) {
	p := a.enrolled(protocol.IOS)
	p.queue(3)
	first, _ := p.command(p.say(p.idle()))
	p.cut(p.report(first, protocol.Acknowledged))
	p.as(p.identity) // another connection
	x := p.send(p.report(first, protocol.Acknowledged))
	if x.Status != http.StatusOK {
		a.fail("the repeat of a report was answered %s", x.answer())
	}
	if id, _ := p.command(x); id == "" || id == first {
		a.fail("the repeat of a report was answered with command %q", id)
	}
	rest := p.drain()
	if len(rest) != 2 || slices.Contains(rest, first) {
		a.fail("%d commands came after the repeat, want the other 2", len(rest))
	}
	if a.Steps.Known == nil {
		return
	}
	if n := p.known().Queue; n != 0 {
		a.fail("the server counts %d commands that wait, and all were reported", n)
	}
}

// cut sends m and breaks the connection off when the answer begins to come, so that it is lost.
func (p *phone) cut(m apple.Message) {
	ctx, cancel := context.WithCancel(p.a.ctx)
	defer cancel()
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: cancel})
	body := apple.EncodeMessage(nil, &m)
	header := p.signature(http.Header{"Content-Type": {apple.CommandType}}, body)
	p.a.last = p.exchange(traced, http.MethodPut, p.mdm.ServerURL, what(&m)+", and hangs up", header, body)
	p.client.CloseIdleConnections()
}

func checkAPL055(a *asking) {
	p := a.enrolled(protocol.IOS)
	p.queue(3)
	x := p.say(p.idle())
	failed, _ := p.command(x)
	m := p.report(failed, protocol.Failed)
	m.ErrorChain = []apple.ErrorItem{{Code: 4001, Domain: "MCInstallationErrorDomain", LocalizedDescription: "conform-outer"}, {Code: 60012, Domain: "MCProfileErrorDomain", LocalizedDescription: "conform-inner"}}
	second, _ := p.command(p.try(m))
	if second == failed || second == "" {
		a.fail("a command that was answered Error was followed by %q", second)
	}
	third, _ := p.command(p.try(p.report(second, protocol.CommandFormatError)))
	if third == second || third == "" {
		a.fail("a command that was answered CommandFormatError was followed by %q", third)
	}
	if rest := p.drain(); len(rest) != 1 {
		a.fail("%d commands are left of three after two failed, want 1", len(rest))
	}
	if a.Steps.Known == nil {
		return
	}
	for _, c := range p.known().Commands {
		if c.ID != failed {
			continue
		}
		for _, e := range m.ErrorChain {
			for _, part := range []string{e.Domain, strconv.FormatInt(e.Code, 10), e.LocalizedDescription} {
				if !strings.Contains(c.Errors, part) {
					a.fail("of the ErrorChain of %s the server tells %q, and nothing of %s", failed, c.Errors, part)
				}
			}
		}
	}
}

// notNow answers NotNow to everything until the server has nothing more, and returns what was offered.
func (p *phone) notNow() (offered []string) {
	x := p.say(p.idle())
	for len(offered) < 12 {
		id, _ := p.command(x)
		if id == "" {
			return offered
		}
		offered = append(offered, id)
		x = p.try(p.report(id, protocol.NotNow))
	}
	return offered
}

func checkAPL056(a *asking) {
	p := a.enrolled(protocol.IOS)
	p.queue(2)
	offered := p.notNow()
	for _, id := range offered {
		n := 0
		for _, other := range offered {
			if other == id {
				n++
			}
		}
		if n > 2 {
			a.fail("of two commands that were answered NotNow one was offered %d times in one conversation", n)
		}
	}
	if len(offered) == 0 {
		a.fail("no command was offered of two that were queued")
	}
	next := p.drain()
	if len(next) != 2 || next[0] != offered[0] {
		a.fail("the next conversation brought %v, want the two commands, %s first", next, offered[0])
	}
}

func checkAPL057(a *asking) {
	p := a.enrolled(protocol.IOS)
	p.queue(2)
	a.quiet(p) // what is pushed for the queue has been
	later, _ := p.command(p.say(p.idle()))
	id, _ := p.command(p.try(p.report(later, protocol.NotNow)))
	if id == "" {
		return // the conversation ended on NotNow
	}
	x := p.try(p.report(id, protocol.Acknowledged))
	last := protocol.Acknowledged
	for range 5 {
		if id, _ = p.command(x); id == "" {
			break
		}
		last = protocol.NotNow
		x = p.try(p.report(id, protocol.NotNow))
	}
	if last == protocol.NotNow {
		return
	}
	a.seesPushes()
	if p.pushed() == nil {
		a.fail("the conversation ended on a success while a NotNow command waits, and no push followed")
	}
}

func checkAPL064(a *asking) {
	p := a.enrolled(protocol.MacOS)
	p.order(target.Order{Kind: target.Lock, PIN: "123456"})
	ctx, cancel := a.administrator()
	defer cancel()
	_, err := a.Steps.Queue(ctx, p.udid, target.Order{Kind: target.Lock, PIN: "654321"})
	if errors.Is(err, context.DeadlineExceeded) {
		a.unasked("the second lock: %v", err)
	}
	_, c := p.command(p.say(p.idle()))
	lock, ok := c.(apple.DeviceLock)
	switch {
	case !ok:
		a.fail("a lock was queued, and the device got something else")
	case lock.PIN != "123456":
		a.fail("the device is locked with another PIN than the administrator was told")
	case err == nil:
		a.fail("a second lock with another PIN was taken while the first waited")
	}
}

func checkAPL065(a *asking) {
	p := a.enrolled(protocol.IOS)
	p.queue(3)
	twin := *p
	twin.as(p.identity)
	twin.name = p.name + " again"
	var head string
	for range 2 {
		var x [2]*Exchange
		idle := p.idle()
		body := apple.EncodeMessage(nil, &idle)
		var wait sync.WaitGroup
		for i, q := range []*phone{p, &twin} {
			header := q.signature(http.Header{"Content-Type": {apple.CommandType}}, body)
			wait.Go(func() {
				x[i] = q.exchange(a.ctx, http.MethodPut, q.mdm.ServerURL, "Idle, on two connections at once", header, body)
			})
		}
		wait.Wait()
		for _, one := range x {
			a.last = one
			if one.Status != http.StatusOK {
				a.fail("Idle on two connections was answered %s", one.answer())
			}
			id, _ := p.command(one)
			if head == "" {
				head = id
			}
			if id != head || id == "" {
				a.fail("two connections got the commands %q and %q", head, id)
			}
		}
	}
	if got := p.drain(); len(got) != 3 {
		a.fail("%d commands came of three that were queued", len(got))
	}
}

func checkAPL066(a *asking) {
	p := a.enrolled(protocol.MacOS)
	want := p.queue(1)[0]
	idle := p.idle()
	idle.UserID, idle.UserShortName = "6DF9E2E8-9A4B-4B9E-9A8A-C0F0C0F0C0F0", "ann"
	if x := p.send(idle); x.Status == http.StatusOK && len(x.body) > 0 {
		if id, _ := p.command(x); want == "" || id == want {
			a.fail("the user channel got the device's command")
		}
	}
	if id, _ := p.command(p.try(p.idle())); id == "" || want != "" && id != want {
		a.fail("the device did not get its command")
	}
}

func checkAPL067(a *asking) {
	p := a.enrolled(protocol.MacOS)
	ordered := append(slices.Clone(kinds), target.Applications, target.Restart)
	names := map[target.OrderKind]string{
		target.Information: "DeviceInformation", target.Security: "SecurityInfo", target.ProfileList: "ProfileList", target.Certificates: "CertificateList",
		target.Applications: "InstalledApplicationList", target.Restart: "RestartDevice",
	}
	for _, k := range ordered {
		p.order(target.Order{Kind: k})
	}
	x := p.say(p.idle())
	for n, k := range ordered {
		d, err := readPlist(x.body)
		command, _ := d["Command"].(dict)
		id, name := d.text("CommandUUID"), command.text("RequestType")
		a.last = x
		switch kind := media(x); {
		case err != nil:
			a.fail("command %d of %d is no property list: %v", n+1, len(ordered), err)
		case id == "" || len(id) > 127:
			a.fail("CommandUUID has %d characters, want 1 to 127", len(id))
		case kind != "application/xml" && kind != "text/xml" && kind != "application/x-plist" && kind != "application/x-apple-aspen-mdm":
			a.fail("the command came as %q, want application/xml", kind)
		case name != names[k]:
			a.fail("command %d of %d has RequestType %q, want %s, which was ordered there", n+1, len(ordered), name, names[k])
		}
		keys := schemas()[name].request
		if why := command.wrong(keys, ""); why != "" {
			a.fail("%s: %s", name, why)
		}
		if key := command.unknown(keys, "RequestType", "RequestRequiresNetworkTether"); key != "" {
			a.fail("%s: key %s is none of Apple's", name, key)
		}
		x = p.say(p.report(id, protocol.Acknowledged))
	}
	if len(bytes.TrimSpace(x.body)) > 0 {
		a.fail("a command came after the %d that were ordered", len(ordered))
	}
}

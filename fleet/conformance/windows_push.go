package conformance

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"rollcall/fleet/target"
	"rollcall/protocol/windows"
)

// How Windows devices are woken.

// Channels is the push service of Windows that the server under test sends to, seen from its devices' side. Safe for concurrent use.
type Channels interface {
	// Open makes a channel for the app of a package family and returns its URI.
	Open(pfn string) string
	// Close ends a channel: notifications to it are answered 410.
	Close(uri string)
	// Got counts the notifications that reached a channel's device.
	Got(uri string) int
	// Refuse has the next notification answered by a status.
	Refuse(status int)
	// Refused counts notifications that were refused, by status.
	Refused() map[int]int
	// Forget makes all access tokens worthless that were given out.
	Forget()
	// Tokens counts those that were given out.
	Tokens() int
}

var windowsPushStatements = []Statement{
	{
		ID: "WIN-041", Suite: Windows, Class: OfWindows, Must: false, check: checkWIN041,
		Says:   "Where push is configured, ChannelURI and Push/Status are read in every session.",
		Source: "windows.md 8, 14",
		Why:    "A channel lives for thirty days: a server that read it once pushes to nobody from then on.",
		How:    "A device whose document has a PFN holds two sessions, and what it was asked is read.",
		Fix:    "Get both in the first answer of each session.",
	},
	{
		ID: "WIN-042", Suite: Windows, Class: OfWindows, Must: true, serial: true, check: checkWIN042,
		Says:   "What the push service answers is heeded: after 401 the token is fetched once and the notification sent again, after 404 or 410 the channel is forgotten, after 406 there is a pause, after 403 none follows.",
		Source: "windows.md 8, 14; Microsoft, Push notification service request and response headers",
		Why:    "Who goes on after 406 or 403 is refused for longer and for all devices; who keeps a channel that has ended never finds out that nobody hears.",
		How:    "A device tells its channel and is woken: with an access token that has ended, after a 406, when its channel has ended, and when the service calls it another app's. Notifications are counted at the service.",
		Fix:    "Keep a table of the statuses; forget a channel until the device tells another one.",
	},
	{
		ID: "WIN-043", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN043,
		Says:   "A channel that is not the push service's is never called.",
		Source: "windows.md 8, 14; HST-080",
		Why:    "The address comes from the device, and gets the server's token: it would be handed to whoever asks for it.",
		How:    "A device says that its channel is at a server of the run's, and by names that look like Microsoft's; it is to be woken; whether somebody comes is watched.",
		Fix:    "Take https below the service's own host alone, compared after parsing.",
	},
}

// A wakened device is one whose notifications the run sees.
type wakened struct {
	*pc
	channel string
	seen    int // notifications that reached it
	refused map[int]int
}

// opens has the device tell the server another channel.
func (w *wakened) opens() {
	w.channel = w.a.Channels.Open(parm(w.given.provider("", "Push"), "PFN"))
	w.tree[w.pushNode("ChannelURI")], w.tree[w.pushNode("Status")] = w.channel, "0"
	w.quiet()
}

// quiet has a session, after which nothing waits for the device, and takes note of what was sent so far.
func (w *wakened) quiet() {
	w.sync()
	w.a.settle()
	w.seen, w.refused = w.a.Channels.Got(w.channel), w.a.Channels.Refused()
}

// news is how many notifications reached the device since, and how many were refused by a status.
func (w *wakened) news(status int) (got, refused int) {
	return w.a.Channels.Got(w.channel) - w.seen, w.a.Channels.Refused()[status] - w.refused[status]
}

// wakes tells whether a notification reaches the device within some minutes.
func (w *wakened) wakes() bool {
	w.a.ages()
	for tries, began := 0, time.Now(); ; tries++ {
		if w.a.Steps.Step != nil {
			w.a.settle()
		}
		switch got, _ := w.news(0); {
		case got > 0:
			return true
		case w.a.Steps.Step != nil && tries >= minutes, w.a.Steps.Step == nil && time.Since(began) > 3*w.a.Settle:
			return false
		case w.a.Steps.Step == nil:
			w.a.sleep(20 * time.Millisecond)
		default:
			w.a.pass(time.Minute)
		}
	}
}

// finds has the device woken twice, and wants one notification, which finds out by its status what has become of the channel.
func (w *wakened) finds(status int, what string) {
	for range 2 {
		w.order(target.Sync)
		w.a.wear()
	}
	switch got, refused := w.news(status); {
	case got+refused == 0:
		w.a.unasked("no notification came to %s", what)
	case got+refused > 1:
		w.a.fail("%s was sent %d notifications, want the one that finds it out", what, got+refused)
	}
}

func checkWIN042(a *asking) {
	if a.Channels == nil {
		a.skip("this run does not see what the server sends to Windows' push service (--wns-listen)")
	}
	a.needs(a.Steps.Queue != nil, "queue a command")
	w := &wakened{pc: a.governed()}
	w.pushes()
	w.opens()
	if w.order(target.Sync); !w.wakes() {
		a.fail("a device that has told its channel is not woken; refused in this run: %v", a.Channels.Refused())
	}

	w.quiet()
	tokens := a.Channels.Tokens()
	a.Channels.Forget()
	w.order(target.Sync)
	if woken, fetched := w.wakes(), a.Channels.Tokens()-tokens; !woken || fetched != 1 {
		a.fail("after 401 the device is woken: %t, and the access token was fetched %d times, want once", woken, fetched)
	}

	w.quiet()
	a.Channels.Refuse(406)
	w.order(target.Sync)
	a.settle()
	switch got, refused := w.news(406); {
	case got > 0:
		a.fail("a notification that was answered 406 was tried again at once")
	case refused == 0:
		a.unasked("no notification came that could be answered 406")
	case a.Steps.Step == nil:
		a.without("that a notification which was answered 406 comes again: nobody waits for minutes here")
	case !w.wakes():
		a.fail("a notification that was answered 406 was given up")
	}

	w = &wakened{pc: a.governed()} // the other one has to wait for its pause to end
	w.opens()
	a.Channels.Close(w.channel)
	w.finds(410, "a channel that has ended")
	w.opens()
	if w.order(target.Sync); !w.wakes() {
		a.fail("a device that has told another channel is not woken")
	}

	w.quiet()
	a.Channels.Refuse(403)
	w.finds(403, "a channel that is another app's")
	a.without("that an alarm is raised after 403: it is the administrator who hears it")
}

// pushNode is a node of the device's channel.
func (d *pc) pushNode(name string) string {
	return "./Device/Vendor/MSFT/DMClient/Provider/" + windows.EscapeNode(d.given.application("PROVIDER-ID")) + "/Push/" + name
}

// pushes tells whether the server wakes Windows devices; it ends the check where it does not.
func (d *pc) pushes() {
	if parm(d.given.provider("", "Push"), "PFN") == "" {
		d.a.skip("the server does not wake Windows devices: its documents have no PFN")
	}
}

func checkWIN041(a *asking) {
	d := a.governed()
	d.pushes()
	for range 2 {
		d.told = nil
		d.sync()
		for _, node := range []string{"ChannelURI", "Status"} {
			if got := d.did(d.pushNode(node)); !slices.Contains(got, windows.Get) {
				a.fail("a session did not read Push/%s", node)
			}
		}
	}
}

func checkWIN043(a *asking) {
	d := a.governed()
	d.pushes()
	a.needs(a.Steps.Queue != nil, "queue a command")
	var called atomic.Int32
	trap := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	trap.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			called.Add(1)
		}
	}
	trap.StartTLS()
	defer trap.Close()
	host := strings.TrimPrefix(trap.URL, "https://")
	for _, channel := range []string{trap.URL + "/?token=1", "https://wns2.notify.windows.com@" + host + "/", "http://" + host + "/", "https://[::ffff:127.0.0.1]:" + host[strings.LastIndexByte(host, ':')+1:] + "/"} {
		d.tree[d.pushNode("ChannelURI")] = channel
		d.tree[d.pushNode("Status")] = "0"
		d.sync()
		d.order(target.Sync)
		a.settle()
		if n := called.Load(); n > 0 {
			a.fail("a device said that its channel is %s, and the server came there", channel)
		}
	}
}

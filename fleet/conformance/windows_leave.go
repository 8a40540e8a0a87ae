package conformance

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"

	"rollcall/fleet/target"
	"rollcall/protocol/windows"
)

// How Windows devices are woken, and how they leave.

var windowsLeaveStatements = []Statement{
	{
		ID: "WIN-040", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN040,
		Says:   "The alert of a device that leaves is answered by Status and nothing more, again when it says it twice.",
		Source: "windows.md 7, 14",
		Why:    "A server that refuses it leaves half of the enrolment on the device (fleet#24209).",
		How:    "A device leaves, and says so once more.",
		Fix:    "Take the alert from any certificate that you issued, whatever has become of its enrolment.",
	},
	{
		ID: "WIN-040.order", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN040Order,
		Says:   "An order to retire comes as Exec of Unenroll with the provider's name, and nothing else does.",
		Source: "windows.md 7, 14",
		Why:    "By another name Windows refuses to leave, and the device stays with whoever had it.",
		How:    "A device's retirement is ordered, and its next session read.",
		Fix:    "Send PROVIDER-ID as the data of Exec, Format chr.",
	},
	{
		ID: "WIN-041", Suite: Windows, Class: OfWindows, Must: false, check: checkWIN041,
		Says:   "Where push is configured, ChannelURI and Push/Status are read in every session.",
		Source: "windows.md 8, 14",
		Why:    "A channel lives for thirty days: a server that read it once pushes to nobody from then on.",
		How:    "A device whose document has a PFN holds two sessions, and what it was asked is read.",
		Fix:    "Get both in the first answer of each session.",
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

func checkWIN040(a *asking) {
	d := a.governed()
	for _, when := range []string{"", ", again"} {
		x := d.say(d.begin(leaving()))
		answer := windows.Message{}
		if err := windows.DecodeMessage(x.body, &answer); x.Status != http.StatusOK || err != nil || more(&answer) {
			a.fail("the alert of a device that leaves%s was answered %s, more to come: %t (%v)", when, x.answer(), more(&answer), err)
		}
		at := slices.IndexFunc(answer.Commands, func(c windows.Command) bool { return c.Cmd == windows.Alert && c.Code != windows.OK })
		if at >= 0 {
			a.fail("the alert of a device that leaves%s was answered by status %d", when, answer.Commands[at].Code)
		}
	}
}

func checkWIN040Order(a *asking) {
	d := a.governed()
	d.order(target.Retire)
	d.obey(d.heard(d.say(d.begin()))) // it leaves by it, and has nothing more to say in this session
	orders := 0
	for i := range d.told {
		c := &d.told[i]
		if c.Verb != windows.Exec || len(c.Items) != 1 || !strings.HasSuffix(c.Items[0].Target, "/Unenroll") {
			continue
		}
		orders++
		if want := d.given.application("PROVIDER-ID"); strings.TrimSpace(c.Items[0].Data) != want {
			a.fail("the order to leave names provider %q, want %q", c.Items[0].Data, want)
		}
	}
	if orders != 1 {
		a.fail("a device's retirement was ordered, and its session brings %d orders to leave", orders)
	}
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

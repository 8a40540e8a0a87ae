package conformance

import (
	"net/http"
	"slices"
	"strings"

	"rollcall/fleet/target"
	"rollcall/protocol/windows"
)

// How Windows devices leave.

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

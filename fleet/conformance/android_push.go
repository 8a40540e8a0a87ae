package conformance

import (
	"rollcall/fleet/target"
	"rollcall/protocol/android"
)

// Messages is Firebase Cloud Messaging as the server under test sends to it, seen from its devices' side. Safe for concurrent use.
type Messages interface {
	// Register makes a device known and returns its id; an id that it had before has ended then.
	Register(device string) (fid string)
	// Unregister ends an id: a message to it is refused as UNREGISTERED.
	Unregister(fid string)
	// Sent counts the messages to an id so far, those that were refused among them.
	Sent(fid string) int
}

var androidPushStatements = []Statement{
	{
		ID: "AND-093", Suite: Android, Class: OfAndroid, Must: true, passes: true, check: checkAND093,
		Says:   "An address that FCM calls UNREGISTERED is not sent to again; the device stays enrolled, comes by its schedule, says another, and is woken at that.",
		Source: "android.md 10, 13",
		Why:    "Who goes on sending to ended addresses is throttled for all of them; who takes their end for the device's has lost a device that was restored.",
		How:    "A device is woken for a command; its address ends at the simulated FCM; commands are queued, and messages to it counted; the device checks in with another address, and is woken again.",
		Fix:    "Forget the address at once; take the one of the next check-in.",
	},
}

func checkAND093(a *asking) {
	if a.Messages == nil {
		a.skip("this run does not see what the server sends to FCM: have it send to the service of --fcm-listen")
	}
	d := a.droid(android.FullyManaged)
	d.fid = a.Messages.Register(d.serial)
	d.join()
	// sent orders a command and counts the messages that it makes to the device.
	sent := func(kind target.OrderKind) int {
		before := a.Messages.Sent(d.fid)
		d.order(kind)
		a.wear()
		return a.Messages.Sent(d.fid) - before
	}
	a.wear() // what its enrolment is followed by
	if sent(target.Lock) == 0 {
		a.unasked("no message came for a command")
	}
	d.talk(android.ReasonPush)
	a.Messages.Unregister(d.fid)
	orders := []target.OrderKind{target.Lock, target.Restart, target.Information}
	tries := 0
	for _, kind := range orders {
		tries += sent(kind)
	}
	if tries > 1 {
		a.fail("%d commands for a device whose address has ended made %d messages to it", len(orders), tries)
	}
	if a.Steps.Known != nil && !d.known().Enrolled {
		a.fail("a device whose address has ended counts as not enrolled")
	}
	d.fid = a.Messages.Register(d.serial)
	if got := commands(d.talk(android.ReasonSchedule)); len(got) != len(orders) {
		a.fail("a device that came by its schedule got %d commands of %d", len(got), len(orders))
	}
	if sent(target.Lock) == 0 {
		a.fail("a device that said another address is not woken at it")
	}
	d.talk(android.ReasonPush)
}

package host

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// acts are the commands that would do something to the machine, and by what name each is allowed.
var acts = map[string]string{
	"DeviceLock": "lock", "RestartDevice": "restart", "ShutDownDevice": "shutdown", "EraseDevice": "erase",
	"RemoteLock/Lock": "lock", "Reboot/RebootNow": "restart",
	string(android.Lock): "lock", string(android.Reboot): "restart", string(android.Wipe): "erase",
}

// actWithin is how long a command that does an act is waited for: the next wake-up may not wait for long.
const actWithin = time.Second

// actOf is the act that a command is; empty: it is none. A wipe of a work profile takes that alone: the user's own device is never reset
// (android.md, section 3).
func (h *Host) actOf(command string) string {
	if strings.HasPrefix(command, "RemoteWipe/") {
		return erase
	}
	if d, ok := h.device.(*androidDevice); ok && command == string(android.Wipe) && (d.Mode() == "" || d.Mode().Wiping() != android.Reset) {
		return ""
	}
	return acts[command]
}

// erase is the act of an erase, and byOrder what it is begun for where no command says it but the order to leave that a device hears
// whose record was deleted.
const (
	erase   = "erase"
	byOrder = "order to leave"
)

// wiped ends an enrolment by the server's order to erase the machine, which is done now where no command brought it.
func (h *Host) wiped() error {
	if h.rec.Kind == protocol.Android && h.rec.Allow[erase] != "" && h.rec.Acted[erase] == "" {
		h.act(erase, byOrder)
	}
	done := "the agent's state was removed, and nothing else"
	if h.rec.Acted[erase] != "" {
		done = "the command of --allow erase was begun, and the agent's state was removed"
	}
	return h.over("the server ordered to erase it: " + done)
}

// ordersOf is what a server hears with r that it asked for.
func ordersOf(r *dialect.Request) []dialect.Order {
	if r.Step != dialect.Report {
		return slices.DeleteFunc(slices.Clone(r.Orders), func(o dialect.Order) bool { return o.Again })
	}
	return []dialect.Order{{Command: r.Command, UUID: r.UUID, Profile: r.Profile, Status: r.Status, Shown: r.Shown, Why: r.Why}}
}

// asked writes down what the server asked for and how it is reported, before the report goes out. Who asks for something pushes with reason.
func (h *Host) asked(o *dialect.Order) error {
	e := Entry{At: protocol.At(h.now()), What: o.Command, UUID: o.UUID, Status: o.Status.String()}
	if act := h.actOf(o.Command); act != "" && o.Status == protocol.Acknowledged && h.rec.Allow[act] == "" {
		e.Note = "nothing was done: --allow " + act + "=COMMAND was not given"
		if act == erase {
			e.Note = "the agent's own state is removed, and nothing else: --allow erase=COMMAND was not given"
		}
	}
	if o.Profile != "" {
		e.Note = "profile " + o.Profile
	}
	if o.Why != "" {
		e.Note = strings.TrimPrefix(e.Note+": "+o.Why, ": ")
	}
	e.Shown = o.Shown
	e.cap()
	h.rec.Asked = e
	h.pushes.brought()
	h.cfg.Log.WithField("status", e.Status).WithField("note", e.Note).Info(e.What)
	return h.folder.note(e)
}

// A watcher hears of each exchange as it ends.
type watcher struct{ h *Host }

// Exchanged hears of the server's clock, and of who manages the machine, and acts where that was allowed, once the report of a command is delivered (apple.md section 6.5); that of an erase is given once.
func (w watcher) Exchanged(_ protocol.Device, x *link.Exchange) {
	delivered := x.Status >= 200 && x.Status <= 299
	if x.Told && (x.Clock != 0 || delivered) {
		w.h.heard(x.Clock)
	}
	if x.Management != (protocol.Management{}) {
		w.h.managedBy(x.Management)
	}
	orders := x.Orders
	if x.Step == dialect.Report {
		orders = []dialect.Order{{Command: x.Command, UUID: x.UUID, Status: x.Reported}}
	}
	for _, o := range orders {
		act := w.h.actOf(o.Command)
		once := act == erase && w.h.rec.Kind != protocol.Android // which says it until it is heard
		if act != "" && !o.Again && o.Status == protocol.Acknowledged && (delivered || once) && w.h.rec.Allow[act] != "" {
			w.h.act(act, o.UUID)
		}
	}
}

// managedBy hears who manages the machine.
func (h *Host) managedBy(m protocol.Management) {
	h.told = true
	if m.Replaced != 0 && h.rec.Management.Replaced == 0 {
		h.note(Entry{What: "replaced", Note: "the machine that " + h.rec.Link.Host + " had by this identifier since " + minute(m.Replaced.Time()) + " (" + replacedRule + ")"})
	}
	h.rec.Management = m
}

// movedFrom notes, once for a conversation, that it left the machine to another than who managed it before. A server that does not say any more
// who that is, is not taken at its old word.
func (h *Host) movedFrom(was protocol.Authority, whole bool) {
	m := &h.rec.Management
	if whole && !h.told {
		*m = protocol.Management{Replaced: m.Replaced}
	}
	if was != protocol.Unknown && m.Authority != protocol.Unknown && was != m.Authority {
		h.note(Entry{What: "moved", Note: strings.TrimSuffix("from "+was.String()+" to "+m.Authority.String()+" by "+string(m.Rule), " by ")})
	}
}

// An acted is what came of a command that did an act.
type acted struct {
	act, uuid string
	err       error
}

// act starts what the owner of this machine allowed for an act. The server has no word in it. A command that runs on, as one that locks the
// screen may do until somebody unlocks it, is never stopped, holds nothing up, and is not started beside itself.
func (h *Host) act(act, uuid string) {
	h.reap()
	if uuid != "" && h.rec.Acted[act] == uuid {
		return // its report was delivered before, and once more after a restart
	}
	e := Entry{What: act, UUID: uuid, Note: "as --allow says"}
	if h.running[act] {
		e.Status = "not done: the command of an earlier one still runs"
		h.note(e)
		return
	}
	if h.folder.lent {
		e.Status = "not done: " + errLent.Error()
		h.note(e)
		return
	}
	if err := h.begins(act, uuid); err != nil {
		e.Status = "not done: " + err.Error()
		h.note(e)
		return
	}
	line := shell(h.rec.Allow[act])
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // the agent's log; a pipe would wait for all that the command leaves behind
	if err := cmd.Start(); err != nil {
		e.Status = "failed: " + err.Error()
		h.note(e)
		return
	}
	h.running[act] = true
	ended := h.acted
	go func() { ended <- acted{act, uuid, cmd.Wait()} }() // one for each act at most: there is room
	wait := time.NewTimer(h.patience)
	defer wait.Stop()
	for h.running[act] {
		select {
		case a := <-h.acted:
			h.hasActed(a)
		case <-wait.C:
			e.Status = "started, and runs on"
			h.note(e)
			return
		}
	}
}

// begins keeps that an act is begun for a command, before it is: it may well end the agent, whose report goes out again after that.
func (h *Host) begins(act, uuid string) error {
	if uuid == "" {
		return nil
	}
	if h.rec.Acted == nil {
		h.rec.Acted = map[string]string{}
	}
	h.rec.Acted[act] = uuid
	return h.folder.save(h.rec)
}

// reap takes what came of commands that ran on.
func (h *Host) reap() {
	for {
		select {
		case a := <-h.acted:
			h.hasActed(a)
		default:
			return
		}
	}
}

func (h *Host) hasActed(a acted) {
	delete(h.running, a.act)
	status := "done"
	if a.err != nil {
		status = "failed: " + a.err.Error() + "; what it said is in the agent's log"
	}
	h.note(Entry{What: a.act, UUID: a.uuid, Status: status, Note: "as --allow says"})
}

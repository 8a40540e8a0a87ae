package host

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// acts are the commands that would do something to the machine, and by what name each is allowed.
var acts = map[string]string{"DeviceLock": "lock", "RestartDevice": "restart", "ShutDownDevice": "shutdown", "EraseDevice": "erase"}

// actFor bounds a command that does an act.
const actFor = time.Minute

// asked writes down what the server asked for and how it is reported, before the report goes out.
func (h *Host) asked(r *dialect.Request) error {
	e := Entry{At: protocol.At(h.now()), What: r.Command, UUID: r.UUID, Status: r.Status.String()}
	if act, harmful := acts[r.Command]; harmful && r.Status == protocol.Acknowledged && h.rec.Allow[act] == "" {
		e.Note = "nothing was done: --allow " + act + "=COMMAND was not given"
	}
	if r.Profile != "" {
		e.Note = "profile " + r.Profile
	}
	e.Shown = r.Shown
	e.cap()
	h.rec.Asked = e
	h.cfg.Log.WithField("status", e.Status).WithField("note", e.Note).Info(e.What)
	return h.folder.note(e)
}

// A watcher hears of each exchange as it ends.
type watcher struct{ h *Host }

// Exchanged acts where that was allowed, once the report of a command is delivered (apple.md section 6.5); that of an erase is given once.
func (w watcher) Exchanged(_ protocol.Device, x *link.Exchange) {
	delivered := x.Status >= 200 && x.Status <= 299
	if x.Step != dialect.Report || x.Reported != protocol.Acknowledged || !delivered && x.Command != "EraseDevice" {
		return
	}
	if act := acts[x.Command]; act != "" && w.h.rec.Allow[act] != "" {
		w.h.act(act, x.UUID)
	}
}

// act runs what the owner of this machine allowed for an act. The server has no word in it.
func (h *Host) act(act, uuid string) {
	ctx, cancel := context.WithTimeout(context.Background(), actFor)
	defer cancel()
	line := shell(h.rec.Allow[act])
	status := "done"
	if out, err := exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput(); err != nil {
		status = fmt.Sprintf("failed: %v: %.200q", err, out)
	}
	h.note(Entry{What: act, UUID: uuid, Status: status, Note: "as --allow says"})
}

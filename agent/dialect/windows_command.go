package dialect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// maxObject bounds a large object that is put together (HST-120).
const maxObject = 4 << 20

// mostResults is about how much the results of one message may be: a server that asks for more gets it in several (HST-120).
const mostResults = 256 << 10

// An object is a large object of which more is to come.
type object struct {
	target string
	size   uint32
	data   []byte
}

// A reply is what the device says to one message of its server's.
type reply struct {
	msgRef   uint32
	commands []windows.Command
	results  []windows.Command
	touched  map[string]touch // nodes of profiles
	size     int              // of the results, in bytes
	more     bool             // the server is to go on: there are chunks to come
	lost     bool             // a large object was left without its end
}

// A touch is what commands did to the node of a profile.
type touch struct {
	family protocol.Family
	refs   []int32 // CmdIDs of the commands
	placed bool
}

// touch notes what commands did to the node of a profile.
func (r *reply) touch(node string, x touch) {
	if r.touched == nil {
		r.touched = make(map[string]touch)
	}
	r.touched[node] = x
}

// says tells whether commands touched the node of the profile of a name.
func (r *reply) says(name uint64) bool {
	for node := range r.touched {
		if id(node) == name {
			return true
		}
	}
	return false
}

// status adds a Status and returns its place, for those who learn the code later.
func (r *reply) status(c *windows.Command, code windows.Code) int {
	s := windows.Command{Verb: windows.Status, MsgRef: r.msgRef, CmdRef: c.CmdID, Cmd: c.Verb, CmdName: c.Name, Code: code}
	if c.CmdID == 0 {
		s.CmdRef = windows.NoRef
	}
	if c.NoResp {
		return -1
	}
	r.commands = append(r.commands, s)
	return len(r.commands) - 1
}

// set gives a Status its code.
func (r *reply) set(at int, code windows.Code) {
	if at >= 0 {
		r.commands[at].Code = code
	}
}

// perform carries out one command of a message, outside of Atomic.
func (d *Windows) perform(c *windows.Command, r *reply) {
	switch {
	case c.Verb == windows.Unknown, c.CmdID == 0:
		r.status(c, windows.BadRequest) // WIN-050
	case c.Verb == windows.Atomic:
		d.atomic(c, r)
	case c.Verb == windows.Sequence:
		r.status(c, windows.OK)
		for i := range c.Commands {
			d.perform(&c.Commands[i], r)
		}
	case c.Verb == windows.Alert, c.Verb == windows.Results:
		r.status(c, windows.OK)
	default:
		d.items(c, r)
	}
}

// items carries out a command item by item: one Status, or one each where they differ (windows.md section 6).
func (d *Windows) items(c *windows.Command, r *reply) windows.Code {
	if len(c.Items) == 0 {
		r.status(c, windows.BadRequest)
		return windows.BadRequest
	}
	codes := make([]windows.Code, len(c.Items))
	same := true
	for i := range c.Items {
		codes[i] = d.item(c, &c.Items[i], r)
		same = same && codes[i] == codes[0]
	}
	if same {
		r.status(c, codes[0])
		return codes[0]
	}
	worst := codes[0]
	for i := range c.Items {
		if at := r.status(c, codes[i]); at >= 0 {
			r.commands[at].TargetRefs = []string{c.Items[i].Target}
		}
		if !done(codes[i]) {
			worst = codes[i]
		}
	}
	return worst
}

// done tells whether a command with this code has had its effect, or will.
func done(code windows.Code) bool { return code >= 200 && code < 300 }

// item carries out a command on one node.
func (d *Windows) item(c *windows.Command, i *windows.Item, r *reply) windows.Code {
	meta := i.Meta
	if meta.Format == "" {
		meta.Format = c.Meta.Format
	}
	data := i.Data
	if d.object != nil || i.MoreData {
		var code windows.Code
		if data, code = d.chunk(i, &meta, r); code != windows.OK {
			return code
		}
	}
	if c.Verb == windows.Get {
		d.tell(Order{Command: i.Target, Status: protocol.Acknowledged})
	}
	p, code := d.locate(i.Target)
	if code != windows.OK {
		return code
	}
	node, family := profileOf(p.path)
	if p.user() && d.login != uint8(LoginUser) || d.userOnly && !p.user() { // WIN-053; section 6, synctype
		d.refuses(c, node)
		return cmp.Or(d.habits.Doubts.UserScope, windows.NotAllowed)
	}
	switch c.Verb {
	case windows.Get:
		if r.size > mostResults {
			return windows.RequestTooLarge
		}
		l, code := d.read(&p)
		if code == windows.OK {
			l = concealed(l)
			r.size += len(i.Target) + len(l.value)
			r.results = append(r.results, windows.Command{Verb: windows.Results, MsgRef: r.msgRef, CmdRef: c.CmdID, Items: []windows.Item{{
				Source: i.Target, Meta: windows.Meta{Format: l.format, Type: "text/plain"}, Data: l.value,
			}}})
		}
		return code
	case windows.Exec:
		code := d.exec(&p, data)
		o := Order{Command: strings.TrimPrefix(p.path, "Device/"), UUID: d.orderID(r, c), Status: protocol.Acknowledged}
		if !done(code) {
			o.Status, o.Why = protocol.Failed, "answered with "+strconv.Itoa(int(code))
		}
		d.note(o)
		return code
	case windows.Delete:
		code = d.remove(&p)
	case windows.Add, windows.Replace:
		if node != "" && SettingFails(&d.core, d.habits.ProfileFails, i.Target, d.now) {
			code = windows.CommandFailed
		} else {
			code = d.write(&p, c.Verb, &meta, data)
		}
	}
	switch {
	case !done(code):
		d.refuses(c, node)
	case node != "":
		r.touch(node, touch{family: family, refs: append(r.touched[node].refs, c.CmdID)})
	}
	return code
}

// refuses notes that a profile's setting was not taken.
func (d *Windows) refuses(c *windows.Command, node string) {
	if node != "" && c.Verb != windows.Get {
		d.tell(Order{Command: ProfileOrder, Profile: locURI(node), Status: protocol.Failed})
	}
}

// chunk takes a piece of a large object and returns the whole when it is there (WIN-052).
func (d *Windows) chunk(i *windows.Item, meta *windows.Meta, r *reply) (string, windows.Code) {
	if o := d.object; o != nil && o.target != i.Target {
		d.object, r.lost = nil, true
		if !i.MoreData {
			return i.Data, windows.OK
		}
	}
	if d.object == nil {
		switch {
		case meta.Size == 0:
			return "", windows.SizeRequired
		case meta.Size > maxObject:
			return "", windows.ObjectTooLarge
		}
		d.object = &object{target: i.Target, size: meta.Size}
	}
	o := d.object
	o.data = append(o.data, i.Data...)
	switch {
	case len(o.data) > int(o.size), !i.MoreData && len(o.data) != int(o.size):
		d.object = nil
		return "", windows.SizeMismatch
	case i.MoreData:
		r.more = true
		return "", windows.ChunkBuffered
	}
	d.object = nil
	return string(o.data), windows.OK
}

// atomic carries out all of its commands or none (WIN-049, WIN-050).
func (d *Windows) atomic(c *windows.Command, r *reply) {
	container := r.status(c, windows.OK)
	before, tasked, results, orders, accounts := d.tree, d.after, len(r.results), len(d.orders), len(d.accounts)
	touched := r.touched
	r.touched = nil
	failed := false
	added := make(map[string]bool) // by LocURI: what this Atomic adds, it cannot replace as well
	again := func(c *windows.Command) (twice bool) {
		for i := range c.Items {
			target := c.Items[i].Target
			twice = twice || c.Verb == windows.Replace && added[target]
			added[target] = added[target] || c.Verb == windows.Add
		}
		return twice
	}
	var applied []int
	for i := range c.Commands {
		child := &c.Commands[i]
		first := len(r.commands)
		switch {
		case failed:
			d.notExecuted(child, r)
			continue
		case child.Verb == windows.Atomic, child.Verb == windows.Get, child.Verb == windows.Sequence && len(child.Commands) > 0:
			failed = true
			r.status(child, windows.CommandFailed)
			for k := range child.Commands {
				d.notExecuted(&child.Commands[k], r)
			}
			continue
		case again(child):
			failed = true
			r.status(child, windows.CommandFailed)
			continue
		case child.Verb == windows.Unknown || child.CmdID == 0:
			failed = true
			r.status(child, windows.BadRequest)
			continue
		}
		failed = !done(d.items(child, r))
		for at := first; at < len(r.commands); at++ { // of several items some may have been done
			if done(r.commands[at].Code) {
				applied = append(applied, at)
			}
		}
	}
	failed = d.place(r, before) || failed
	if !failed {
		if r.touched == nil {
			r.touched = touched
		} else {
			for node, x := range touched {
				r.touched[node] = x
			}
		}
		return
	}
	undone := func(o Order) bool { return o.Command != ProfileOrder } // what was not taken stays so
	d.orders = append(d.orders[:orders], slices.DeleteFunc(d.orders[orders:], undone)...)
	d.tree, d.after, r.results, r.touched = before, tasked, r.results[:results], touched
	for _, node := range d.accounts[accounts:] { // nothing brings these back
		d.tree, _ = d.tree.without(node)
	}
	r.set(container, windows.AtomicFailed)
	for _, at := range applied {
		if done(r.commands[at].Code) { // else that is what failed it
			r.set(at, windows.AtomicRolledBack)
		}
	}
}

func (d *Windows) notExecuted(c *windows.Command, r *reply) {
	r.status(c, windows.NotExecuted)
	for i := range c.Commands {
		d.notExecuted(&c.Commands[i], r)
	}
}

// An aftermath is what a command does once the device has answered it.
type aftermath struct {
	then     agent.Then
	unenrols bool
	renews   bool
}

// mayEnd tells whether the server may end the management of this device: that of a machine by its own signed order alone (HST-027).
func (d *Windows) mayEnd() bool { return d.habits.Seal == "" || d.ordered }

// exec runs a node.
func (d *Windows) exec(p *place, data string) windows.Code {
	if p.csp.access&mayExec == 0 {
		return windows.NotAllowed
	}
	path := p.path
	scope, name, _ := strings.Cut(path, "/")
	switch {
	case name == "DMClient/Unenroll", path == d.node("Unenroll"):
		if data != d.provider() || !d.mayEnd() { // WIN-054
			return windows.CommandFailed
		}
		d.after.unenrols = true
	case strings.HasPrefix(name, "RemoteWipe/"):
		if !d.mayEnd() {
			return windows.CommandFailed
		}
		d.after.then = agent.Wipe
	case name == "Reboot/RebootNow":
		if d.after.then != agent.Wipe {
			d.after.then = agent.Reboot
		}
	case name == "RemoteLock/Lock":
		if d.habits.NoPIN {
			return windows.NotAllowed
		}
	case name == "RemoteLock/LockAndResetPIN":
		if d.habits.NoPIN || d.habits.Seal != "" { // a machine's own PIN is not ours to change
			return windows.NotAllowed
		}
		pin := fmt.Sprintf("%06d", d.core.Draw(1_000_000, chanceToken, uint64(d.now)))
		d.tree = d.tree.with(leaf{scope + "/RemoteLock/NewPINValue", windows.FormatChr, pin})
	case path == pathRenew+"RenewNow":
		d.after.renews = true
	case strings.HasPrefix(name, "ClientCertificateInstall/SCEP/"):
		profile := scope + "/" + strings.TrimSuffix(name, "/Install/Enroll")
		if d.tree.value(profile+"/Install/ServerURL") == "" {
			return windows.CommandFailed
		}
		at := protocol.Time(1)
		if d.habits.IssuesAfter > 0 { // else devices share the node
			at = d.now
		}
		d.tree = d.tree.with(leaf{path, windows.FormatChr, strconv.FormatInt(int64(at), 10)})
	}
	return windows.OK
}

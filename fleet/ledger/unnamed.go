package ledger

import (
	"strings"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Windows device hears of no command's id: it is known by its kind. What came is the oldest order of the kind that is open; where none
// is, the one that was confirmed last has come again, and where there was none either, it was nobody's here.

// An unnamedKey is a kind of commands of one device.
type unnamedKey struct {
	device protocol.Device
	kind   uint16
}

// An unnamed is what came of a kind of commands to a device last.
type unnamed struct {
	last   string        // id of the order that was confirmed; empty: there was none, or it is a question, which a server may ask again
	failed bool          // that one was not done, so the server may try again
	at     protocol.Time // when one was confirmed that nobody has ordered so far; 0: none was
}

// session takes one message of a Windows device, which says what came of all that the message before it brought.
func (l *Ledger) session(begun, now protocol.Time, d protocol.Device, x *link.Exchange, heard bool) {
	l.mu.Lock()
	l.account(d).unnamed = true
	l.mu.Unlock()
	if heard {
		l.enrolledAt(now, d)
	}
	read := map[string]bool{} // a question reads several nodes, each once
	for i := range x.Orders {
		o := &x.Orders[i]
		switch kind := kindOf(o.Command); {
		case o.Command != dialect.ProfileOrder && (kind == protocol.NoCommand || questions[kind.String()] && again(read, kind, o.Command)):
		case o.Command != dialect.ProfileOrder:
			l.gotOne(begun, d, kind.String(), o.Status == protocol.Acknowledged, heard)
		case o.Gone:
			l.Removed(d, placeOf(o.Profile))
		case o.Status == protocol.Acknowledged:
			l.Installed(begun, d, placeOf(o.Profile), "")
		default:
			l.NotInstalled(d, placeOf(o.Profile))
		}
	}
	if heard && x.Idle {
		l.known(d)
	}
}

// known takes for confirmed what d got before its server says that there is nothing: no report is said twice, and one whose answer was
// lost has arrived all the same, or the command would have come again.
func (l *Ledger) known(d protocol.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for last := &l.account(d).orders; *last != 0; {
		o := &l.orders.list[*last]
		if o.is&delivered == 0 || o.is&named != 0 {
			last = &o.next
			continue
		}
		if kind := l.kinds.list[o.kind]; !questions[kind] {
			l.unnamed[unnamedKey{d, o.kind}] = unnamed{last: l.text(o)}
		}
		l.counts.Confirmed++
		l.free(last)
	}
}

// again tells whether reading a node goes on with a question that is not through yet.
func again(read map[string]bool, kind protocol.CommandKind, node string) (goesOn bool) {
	goesOn = read[kind.String()] && !read[node]
	if !goesOn { // it begins here
		for at := range read {
			if kindOf(at) == kind {
				delete(read, at)
			}
		}
	}
	read[kind.String()], read[node] = true, true
	return goesOn
}

// gotOne notes that a device got a command of a kind, and whether it did it; heard: the server knows.
func (l *Ledger) gotOne(now protocol.Time, d protocol.Device, kind string, done, heard bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(d)
	key, asks := unnamedKey{d, uint16(l.kinds.of(kind))}, questions[kind]
	if o := l.ofKind(a, key.kind); o != nil {
		if o.is&delivered != 0 {
			l.counts.Retries++
		} else {
			o.is |= delivered
			l.counts.Delivered++
			l.inOrder(now, a, o, !asks)
		}
		if !heard {
			return
		}
		if !asks {
			l.unnamed[key] = unnamed{last: l.text(o), failed: !done}
		}
		l.drop(a, o.id)
		l.counts.Confirmed++
		return
	}
	switch u := l.unnamed[key]; {
	case u.last != "" && !u.failed:
		l.find(Finding{Fault: Doubled, Command: u.last, Kind: kind, At: now}, d, lang.Later("another of its kind after its report was confirmed"))
	case u.last != "":
		l.counts.Retries++
		if heard {
			u.failed = !done
			l.unnamed[key] = u
		}
	default:
		l.counts.Unordered++
		if !heard {
			return
		}
		if u.at == 0 && !asks && len(l.loose) < Strays {
			l.loose = append(l.loose, key)
		}
		u.at = now
		l.unnamed[key] = u
	}
}

// ofKind returns a's oldest open order of a kind; nil: there is none.
func (l *Ledger) ofKind(a *account, kind uint16) *order {
	for at := a.orders; at != 0; at = l.orders.list[at].next {
		if o := &l.orders.list[at]; o.kind == kind {
			return o
		}
	}
	return nil
}

// cameBefore tells whether an order that was asked for at a time was confirmed before it became known, and takes it for that.
func (l *Ledger) cameBefore(asked protocol.Time, d protocol.Device, id, kind string) bool {
	key := unnamedKey{d, uint16(l.kinds.of(kind))}
	u, known := l.unnamed[key]
	if !known || u.at == 0 || u.at < asked {
		return false
	}
	u.at = 0
	if !questions[kind] {
		u.last = strings.Clone(id)
		l.counts.Unordered--
	}
	l.unnamed[key] = u
	return true
}

// elsewhere returns who got a command of o's kind that nobody ordered, since o was asked for; false: nobody did, or o has a name.
func (l *Ledger) elsewhere(o *order) (protocol.Device, bool) {
	if !l.devices[o.device].unnamed {
		return 0, false
	}
	for _, key := range l.loose {
		if u := l.unnamed[key]; key.kind == o.kind && key.device != o.device && u.at >= o.asked {
			u.at = 0
			l.unnamed[key] = u
			return key.device, true
		}
	}
	return 0, false
}

// kindOf is what a node that was run, or a LocURI that was read, is a command for; none: for nothing that an administration orders.
func kindOf(node string) protocol.CommandKind {
	if uri, ok := strings.CutPrefix(node, "./"); ok {
		uri = strings.TrimPrefix(strings.TrimPrefix(uri, "Device/"), "Vendor/MSFT/")
		for _, q := range windowsQuestions {
			if uri == q.node || strings.HasSuffix(q.node, "/") && strings.HasPrefix(uri, q.node) {
				return q.kind
			}
		}
		return protocol.NoCommand
	}
	switch {
	case node == "RemoteLock/Lock":
		return protocol.Lock
	case strings.HasPrefix(node, "RemoteWipe/"):
		return protocol.Erase
	case node == "Reboot/RebootNow":
		return protocol.Restart
	case strings.HasPrefix(node, "DMClient/") && strings.HasSuffix(node, "/Unenroll"):
		return protocol.Retire
	}
	return protocol.NoCommand
}

// windowsQuestions are the nodes, or those below which all are, that say what Apple's devices are asked for by one command.
var windowsQuestions = [...]struct {
	node string
	kind protocol.CommandKind
}{
	{"DevDetail/", protocol.DeviceInformation},
	{"DevInfo/", protocol.DeviceInformation},
	{"DeviceStatus/", protocol.SecurityInfo},
	{"WiFi/Profile", protocol.ProfileList},
	{"VPNv2", protocol.ProfileList},
	{"RootCATrustedCertificates/Root", protocol.ProfileList},
	{"RootCATrustedCertificates/CA", protocol.ProfileList},
	{"CertificateStore/Root/", protocol.CertificateList},
	{"CertificateStore/My/", protocol.CertificateList},
	{"EnterpriseModernAppManagement/", protocol.InstalledApplicationList},
	{"EnterpriseDesktopAppManagement/", protocol.InstalledApplicationList},
}

// placeOf is where a profile is looked for: its node, or that above it where the server gives accounts names of its own.
func placeOf(node string) string {
	for _, of := range [...]string{"EMAIL2", "ActiveSync/Accounts"} {
		if above := "./User/Vendor/MSFT/" + of; strings.HasPrefix(node, above+"/") {
			return above
		}
	}
	return node
}

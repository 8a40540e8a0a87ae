package dialect

import (
	"bytes"
	"errors"
	"strings"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A fault is the head of an ErrorChain: Apple's domain and code, which are diagnostic and differ between releases.
type fault struct {
	domain string
	code   int64
	text   string
}

var (
	profileFailed  = fault{"MCInstallationErrorDomain", 4001, "Profile installation failed"}
	profileMissing = fault{"MDMErrorDomain", 12075, "The profile is not installed"}
	unknownCommand = fault{"MCMDMErrorDomain", 12021, "Unknown command"}
	badCommand     = fault{"MCMDMErrorDomain", 12008, "The command is not well formed"}
	noRight        = fault{"MCMDMErrorDomain", 12004, "The enrolment does not give the right for this command"}
	badToken       = fault{"MCMDMErrorDomain", 12016, "The unlock token is not this device's"}
	noOrder        = fault{"RollcallErrorDomain", 27, "This machine leaves management only by its server's signed order"}
	badPIN         = fault{"MCMDMErrorDomain", 12010, "The PIN must have six characters"}
)

var errRefusedIdentity = errors.New("the server refused the new identity")

// chain makes an ErrorChain, top first. cause may be nil.
func chain(f fault, cause error) []apple.ErrorItem {
	list := []apple.ErrorItem{{Code: f.code, Domain: f.domain, LocalizedDescription: f.text, USEnglishDescription: f.text}}
	if cause != nil {
		text := cause.Error()
		list = append(list, apple.ErrorItem{Code: f.code, Domain: f.domain, LocalizedDescription: text, USEnglishDescription: text})
	}
	return list
}

// execute carries out the command that came last, or begins to, and reports it.
func (d *Apple) execute(now protocol.Time, out *Act) {
	d.command, d.profile, d.version, d.shown = "", "", "", ""
	if d.order != nil {
		d.command = d.order.RequestType()
	}
	switch {
	case d.order == nil:
		d.executed(now, protocol.CommandFormatError, nil, agent.Nothing, chain(badCommand, nil), out)
	case d.remembers(d.uuid):
		d.executed(now, protocol.Acknowledged, nil, agent.Nothing, nil, out)
	case !d.right(rightFor(d.order)) && !d.removesItself():
		f := noRight
		if code := d.habits.Doubts.NoRight; code != 0 {
			f.code = code
		}
		d.executed(now, protocol.Failed, nil, agent.Nothing, chain(f, nil), out)
	case Waits(d.model.Platform, d.command) && d.habits.HeldUp(&d.core, &d.busy, now):
		d.finished(now, &agent.Event{Kind: agent.Executed, Status: protocol.NotNow, Until: d.busy}, nil, nil, out)
	default:
		d.obey(now, out)
	}
}

// rightFor returns the access right that a command as a whole needs (apple.md section 7).
func rightFor(c apple.Command) int64 {
	switch c.(type) {
	case apple.ProfileList, apple.CertificateList:
		return apple.RightInspectProfiles
	case apple.InstallProfile, apple.RemoveProfile:
		return apple.RightInstallProfiles
	case apple.DeviceLock, apple.ClearPasscode, apple.RestartDevice, apple.ShutDownDevice:
		return apple.RightLock
	case apple.EraseDevice:
		return apple.RightErase
	case apple.SecurityInfo:
		return apple.RightSecurity
	case apple.InstalledApplicationList:
		return apple.RightInspectApps
	}
	return 0
}

// removesItself tells whether the command removes the MDM profile, for which no right is needed.
func (d *Apple) removesItself() bool {
	c, ok := d.order.(apple.RemoveProfile)
	return ok && c.Identifier == d.bond.Value().outline.identifier
}

// leaves tells whether the command ends the enrolment.
func (d *Apple) leaves() bool {
	_, erases := d.order.(apple.EraseDevice)
	return erases || d.removesItself()
}

// obey carries out a command that nothing stands against.
func (d *Apple) obey(now protocol.Time, out *Act) {
	done := func(r *apple.Result) { d.executed(now, protocol.Acknowledged, r, agent.Nothing, nil, out) }
	failed := func(f fault, cause error) { d.executed(now, protocol.Failed, nil, agent.Nothing, chain(f, cause), out) }
	then := func(t agent.Then) { d.executed(now, protocol.Acknowledged, nil, t, nil, out) }
	if d.habits.Ordered && !d.task.ordered && d.leaves() {
		failed(noOrder, nil)
		return
	}
	switch c := d.order.(type) {
	case apple.InstallProfile:
		o, err := open(c.Payload)
		if err == nil && carriesMDM(&o) {
			var scep *apple.Payload
			if scep, err = d.take(&o); err == nil {
				d.ask(scep, out) // the report follows when the server has taken the new identity
				return
			}
		} else if err == nil {
			d.profile, d.version = o.Identifier, o.UUID
			err = d.install(now, &o)
		}
		if err != nil {
			failed(profileFailed, err)
			return
		}
		done(nil)
	case apple.RemoveProfile:
		if d.removesItself() {
			then(agent.Leave)
			return
		}
		d.profile = c.Identifier
		if !d.uninstall(c.Identifier) {
			failed(profileMissing, nil)
			return
		}
		done(nil)
	case apple.DeviceInformation:
		done(&apple.Result{QueryResponses: d.information(c.Queries)})
	case apple.SecurityInfo:
		done(&apple.Result{SecurityInfo: d.security()})
	case apple.ProfileList:
		done(&apple.Result{ProfileList: d.profileList()})
	case apple.CertificateList:
		done(&apple.Result{CertificateList: d.certificateList()})
	case apple.InstalledApplicationList:
		done(&apple.Result{InstalledApplicationList: d.applications(c)})
	case apple.DeviceLock:
		if d.model.Platform == protocol.MacOS && c.PIN != "" && len(c.PIN) != 6 {
			failed(badPIN, nil)
			return
		}
		d.locks = d.habits.Locked > 0
		d.shown = strings.TrimSpace(c.Message + " " + c.PhoneNumber)
		r := &apple.Result{}
		if c.Message != "" || c.PhoneNumber != "" {
			r.MessageResult = "Success"
		}
		done(r)
	case apple.EraseDevice:
		then(agent.Wipe)
	case apple.RestartDevice:
		then(agent.Reboot)
	case apple.ShutDownDevice:
		then(agent.Halt)
	case apple.ClearPasscode:
		if token := d.unlockToken(); token == nil || !bytes.Equal(token, c.UnlockToken) {
			failed(badToken, nil)
			return
		}
		done(nil)
	case apple.DeviceConfigured:
		d.awaits = false
		done(nil)
	default:
		failed(unknownCommand, nil)
	}
}

func carriesMDM(o *opened) bool {
	for i := range o.Payloads {
		if o.Payloads[i].MDM != nil {
			return true
		}
	}
	return false
}

// executed makes the report of the command and goes on with it.
func (d *Apple) executed(now protocol.Time, s protocol.Status, r *apple.Result, then agent.Then, errors []apple.ErrorItem, out *Act) {
	if s == protocol.Acknowledged && changes(d.order) {
		d.remember(d.uuid)
	}
	d.finished(now, &agent.Event{Kind: agent.Executed, Status: s, Then: then}, r, errors, out)
}

// finished keeps the report before it is sent: a restart, and a server that did not hear it, find it there (APL-059).
func (d *Apple) finished(now protocol.Time, ev *agent.Event, r *apple.Result, errors []apple.ErrorItem, out *Act) {
	m := apple.Message{Status: ev.Status, CommandUUID: d.uuid, UDID: d.UDID(), ErrorChain: errors}
	if r != nil {
		d.report = apple.EncodeResult(nil, &m, r)
	} else {
		d.report = apple.EncodeMessage(nil, &m)
	}
	d.repeated, d.order, d.why = false, nil, causeOf(errors)
	d.advance(now, ev, out)
}

// causeOf is the cause in an ErrorChain: what lies deepest says most.
func causeOf(errors []apple.ErrorItem) string {
	if len(errors) == 0 {
		return ""
	}
	return errors[len(errors)-1].LocalizedDescription
}

// changes tells whether carrying a command out twice is more than answering twice.
func changes(c apple.Command) bool {
	switch c.(type) {
	case apple.InstallProfile, apple.RemoveProfile, apple.DeviceLock, apple.EraseDevice, apple.RestartDevice, apple.ShutDownDevice,
		apple.ClearPasscode, apple.DeviceConfigured:
		return true
	}
	return false
}

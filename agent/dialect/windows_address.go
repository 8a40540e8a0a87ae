package dialect

import (
	"net/url"
	"slices"
	"strings"
)

// The bits of ForceAadToken: the device shows its own token in each session in a header of its own, or as AADSendDeviceToken has it. The
// others, 2 and 8, Windows reserves for the future: nothing comes of them.
const (
	forceDevice = 1
	forceBearer = 4
)

// shows adds the tokens of the directory that the server has asked for: its user's (AADResourceID), or the device's own where it was told
// to show that while there is no user (AADSendDeviceToken) or always, in a header of its own (ForceAadToken) (windows.md section 9).
func (d *Windows) shows(r *Request) {
	own := d.own()
	if d.habits.Directory == nil || own[ownDirectory] == "" {
		return
	}
	token := func(upn string) string {
		text, err := d.habits.Directory.Token(upn, own[ownDirectory])
		if err != nil {
			return ""
		}
		return text
	}
	var force uint32
	d.number("ForceAadToken", &force)
	switch asked := d.tree.value(d.node("AADResourceID")) != ""; {
	case asked && d.login == uint8(LoginUser) && own[ownUser] != "":
		r.Bearer = token(own[ownUser])
	case asked && (force&forceBearer != 0 || isTrue(d.tree.value(d.node("AADSendDeviceToken")))):
		r.Bearer = token("")
	}
	if force&forceDevice != 0 {
		r.DeviceToken = token("")
	}
}

// address is where sessions go: the server may have moved them (ManagementServiceAddress), or given several, of which the next one
// is taken after each failure. Where no session could go, none does: a device that believed such an address would be out of
// management for good (HST-120).
func (d *Windows) address() string {
	first := d.account.Value().address
	if list := d.tree.value(d.node("ManagementServerAddressList")); list != "" {
		all := strings.FieldsFunc(list, func(r rune) bool { return r == '<' || r == '>' })
		if all = slices.DeleteFunc(all, func(s string) bool { return !d.follows(first, s) }); len(all) > 0 {
			return all[int(d.failures)%len(all)]
		}
	}
	if moved := d.tree.value(d.node("ManagementServiceAddress")); d.follows(first, moved) {
		return moved
	}
	return first
}

// follows tells whether the device goes to moved in the place of first: a real machine stays with the host that it was enrolled with.
func (d *Windows) follows(first, moved string) bool {
	return secure(moved) && (d.habits.Seal == "" || sameHost(first, moved))
}

// managementURL is the address with what Windows appends.
func (d *Windows) managementURL() string {
	address := d.address()
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	mode := "mode=Machine"
	if d.login == uint8(LoginUser) {
		mode = "mode=Maintenance"
	}
	if d.model.ARM {
		mode += "&Platform=WoA"
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += mode
	return u.String()
}

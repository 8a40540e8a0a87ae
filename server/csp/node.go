package csp

import (
	"errors"
	"fmt"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// maxURI is how long a LocURI may be.
const maxURI = 1024

// A family is of nodes that a profile makes as a whole.
type family struct {
	prefix string // names that every device has, after the vendor's
	names  int    // of one of its nodes, with those of prefix
	of     protocol.Family
	cased  bool // the last of these names is the administrators', and another one in another case
}

var families = []family{
	{"WiFi/Profile", 3, protocol.WiFi, true},
	{"VPNv2", 2, protocol.VPN, true},
	{accounts, 3, protocol.Email, false},
	{"EMAIL2", 2, protocol.Email, false},
	{"ClientCertificateInstall/SCEP", 3, protocol.Certificate, true},
	{"ClientCertificateInstall/PFXCertInstall", 3, protocol.Certificate, true},
	{"RootCATrustedCertificates/Root", 3, protocol.Certificate, false},
	{"RootCATrustedCertificates/CA", 3, protocol.Certificate, false},
	{"RootCATrustedCertificates", 3, protocol.Certificate, false},
	{"Policy/Config", 4, protocol.Configuration, false},
	{"Policy/ConfigOperations/ADMXInstall", 6, protocol.Configuration, false},
}

const accounts = "ActiveSync/Accounts" // of Exchange

// familyOf returns the family of a node by its one spelling; nil: it is of none, or above its nodes.
func familyOf(path string) *family {
	_, rest, _ := strings.Cut(path, "/") // the scope
	for i := range families {
		if f := &families[i]; len(rest) > len(f.prefix) && within(rest, f.prefix) {
			return f
		}
	}
	return nil
}

// own are the nodes by which the server manages the device itself, wipes it or has it restart: no profile touches them.
// Of certificates other than the device's own and the server's, RootCATrustedCertificates and ClientCertificateInstall are.
var own = []string{"DMClient", "DMAcc", "RemoteWipe", "RemoteLock", "Reboot", "CertificateStore", "NodeCache", "DeviceManageability"}

// checkURI refuses a node that no profile may name.
func checkURI(uri string) error {
	if len(uri) > maxURI {
		return fmt.Errorf("a LocURI of %d bytes, at most %d", len(uri), maxURI)
	}
	if _, ok := vendor(uri); !ok {
		return fmt.Errorf("LocURI %q does not begin with ./Device/Vendor/MSFT/, ./User/Vendor/MSFT/ or ./Vendor/MSFT/", uri)
	}
	path, code := windows.NodePath(uri)
	_, rest, _ := strings.Cut(path, "/")
	names := strings.Split(rest, "/")
	for i, name := range names {
		plain, err := windows.UnescapeNode(name)
		if err != nil || code != windows.OK || strings.Trim(plain, ". ") == "" {
			return fmt.Errorf("LocURI %q has an empty or impossible name", uri)
		}
		names[i] = plain // with the slashes that are in it
	}
	named := strings.Join(names, "/")
	for _, mine := range own {
		if within(named, mine) || within(mine, named) { // what is above goes with all that is below it when the profile does
			return fmt.Errorf("%s is the server's own: no profile changes it", uri)
		}
	}
	for i := range families {
		if within(families[i].prefix, named) {
			return fmt.Errorf("%s is on every device: a profile names what is below it", uri)
		}
	}
	return nil
}

// within tells whether a node is root or below it. Names are the same in either case.
func within(node, root string) bool {
	return len(node) >= len(root) && strings.EqualFold(node[:len(root)], root) && (len(node) == len(root) || node[len(root)] == '/')
}

// vendor returns what follows the scope of a LocURI.
func vendor(uri string) (rest string, ok bool) {
	for _, scope := range []string{"./Device/Vendor/MSFT/", "./User/Vendor/MSFT/", "./Vendor/MSFT/"} {
		if rest, ok = strings.CutPrefix(uri, scope); ok {
			return rest, true
		}
	}
	return "", false
}

// A key is by which nodes are compared: the same for all LocURIs by which a device finds the same node.
type key string

// keyOf is [windows.NodePath] in lower case, but for names that are the administrators'.
func keyOf(uri string) key {
	path, code := windows.NodePath(uri)
	if code != windows.OK {
		return key(uri)
	}
	low := strings.ToLower(path)
	if f := familyOf(path); f != nil && f.cased {
		names, parts := strings.Split(low, "/"), strings.Split(path, "/")
		if len(parts) > f.names {
			names[f.names] = parts[f.names]
			low = strings.Join(names, "/")
		}
	}
	return key(low)
}

// above yields k and the nodes that it is below, innermost first.
func (k key) above(yield func(key) bool) {
	for yield(k) {
		at := strings.LastIndexByte(string(k), '/')
		if at < 0 {
			return
		}
		k = k[:at]
	}
}

// root is the node to delete for what is below it to go.
func root(uri string) string {
	path, _ := windows.NodePath(uri)
	rest, _ := vendor(uri)
	if f := familyOf(path); f != nil {
		if parts := strings.Split(rest, "/"); len(parts) > f.names {
			return uri[:len(uri)-len(rest)] + strings.Join(parts[:f.names], "/")
		}
	}
	return uri
}

// AddsOnce tells whether a node belongs to what a device deletes when any part of it is added again: an account of Exchange, whose leaves
// are replaced instead (windows.md section 11).
func AddsOnce(uri string) bool {
	path, _ := windows.NodePath(uri)
	f := familyOf(path)
	return f != nil && f.prefix == accounts
}

// isXML tells whether a node's value is one document of XML, whatever its format says.
func isXML(uri string) bool {
	k := string(keyOf(uri))
	return strings.HasPrefix(k, "device/wifi/profile/") && strings.HasSuffix(k, "/wlanxml") ||
		strings.Contains(k, "/vpnv2/") && strings.HasSuffix(k, "/profilexml")
}

var errNoXML = errors.New("its data should be XML")

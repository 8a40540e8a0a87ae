package policy

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/android"
)

// Words that Android takes for a setting (android.md, section 5; Google's Android Management API, resource Policy). An empty one is a
// setting left out.
var (
	cameraAccesses      = []string{"CAMERA_ACCESS_USER_CHOICE", "CAMERA_ACCESS_DISABLED", "CAMERA_ACCESS_ENFORCED"}
	encryptionPolicies  = []string{"ENABLED_WITHOUT_PASSWORD", "ENABLED_WITH_PASSWORD"}
	wifiConfigurations  = []string{"ALLOW_CONFIGURING_WIFI", "DISALLOW_ADD_WIFI_CONFIG", "DISALLOW_CONFIGURING_WIFI"}
	installTypes        = []string{"PREINSTALLED", "FORCE_INSTALLED", "BLOCKED", "AVAILABLE", "REQUIRED_FOR_SETUP", "KIOSK", "CUSTOM"}
	lockdownExemptions  = []string{"VPN_LOCKDOWN_ENFORCED", "VPN_LOCKDOWN_EXEMPTION"}
	permissionPolicies  = []string{"PROMPT", "GRANT", "DENY"}
	passwordScopes      = []string{"SCOPE_DEVICE", "SCOPE_PROFILE"}
	passwordQualities   = []string{"BIOMETRIC_WEAK", "SOMETHING", "NUMERIC", "NUMERIC_COMPLEX", "ALPHABETIC", "ALPHANUMERIC", "COMPLEX", "COMPLEXITY_LOW", "COMPLEXITY_MEDIUM", "COMPLEXITY_HIGH"}
	systemUpdates       = []string{"AUTOMATIC", "WINDOWED", "POSTPONE"}
	blockScopes         = []string{"BLOCK_SCOPE_WORK_PROFILE", "BLOCK_SCOPE_DEVICE"}
	securities          = []string{"None", "WEP-PSK", "WPA-PSK", "WPA-EAP", "WEP-8021X", "WPA3-Enterprise_192"}
	enterprise          = []string{"WPA-EAP", "WEP-8021X", "WPA3-Enterprise_192"}
	outers              = []string{"EAP-AKA", "EAP-TLS", "EAP-TTLS", "EAP-SIM", "PEAP"}
	inners              = []string{"MSCHAPv2", "PAP"}
	clientCertificates  = []string{"Ref", "KeyPairAlias"}
	certificateContents = []string{"Authority", "Client"}
)

// Limits of a policy.
const (
	mostApplications = 3000
	mostNumber       = 1<<31 - 1
	dayMinutes       = 24 * 60
)

// A check gathers the first thing of a policy that no Android takes.
type check struct{ err error }

func (c *check) no(path, why string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s: %s (HST-014)", protocol.ErrMalformed, path, fmt.Sprintf(why, args...))
	}
}

func (c *check) word(path, word string, of []string) {
	if word != "" {
		c.must(path, word, of)
	}
}

func (c *check) must(path, word string, of []string) {
	if !slices.Contains(of, word) {
		c.no(path, "%.40q: want one of %s", word, strings.Join(of, ", "))
	}
}

func (c *check) number(path string, n, least, most int) {
	if n < least || n > most {
		c.no(path, "%d: want %d to %d", n, least, most)
	}
}

// keyed tells of an item without its key, and of one that is there twice: the compiler merges by it, and the first would win.
func keyed[T any](c *check, list, key string, items []T, of func(*T) string) {
	places := make(map[string]int, len(items))
	for i := range items {
		k := of(&items[i])
		path := fmt.Sprintf("%s[%d].%s", list, i, key)
		if k == "" {
			c.no(path, "empty")
		}
		if first, there := places[k]; there {
			c.no(path, "%.100q is %s[%d] already", k, list, first)
		}
		places[k] = i
	}
}

// possible returns why no Android could keep to a policy, by member; nil: one could.
func possible(p *android.Policy) error {
	c := new(check)
	if p.OpenNetworkConfiguration != nil {
		c.networks(p.OpenNetworkConfiguration)
	}
	if p.DeviceConnectivityManagement != nil {
		c.word("deviceConnectivityManagement.configureWifi", p.DeviceConnectivityManagement.ConfigureWiFi, wifiConfigurations)
	}
	c.applications(p.Applications)
	if v := p.AlwaysOnVPNPackage; v != nil && v.PackageName == "" {
		c.no("alwaysOnVpnPackage.packageName", "empty")
	}
	keyed(c, "choosePrivateKeyRules", "privateKeyAlias", p.ChoosePrivateKeyRules, func(r *android.ChoosePrivateKeyRule) string { return r.PrivateKeyAlias })
	c.passwords(p.PasswordPolicies)
	c.word("encryptionPolicy", p.EncryptionPolicy, encryptionPolicies)
	c.number("minimumApiLevel", p.MinimumAPILevel, 0, mostNumber)
	c.word("cameraAccess", p.CameraAccess, cameraAccesses)
	if u := p.SystemUpdate; u != nil {
		c.must("systemUpdate.type", u.Type, systemUpdates)
		c.number("systemUpdate.startMinutes", u.StartMinutes, 0, dayMinutes-1)
		c.number("systemUpdate.endMinutes", u.EndMinutes, 0, dayMinutes-1)
	}
	c.rules(p.PolicyEnforcementRules)
	return c.err
}

func (c *check) applications(list []android.Application) {
	if len(list) > mostApplications {
		c.no("applications", "%d of them: at most %d", len(list), mostApplications)
		return
	}
	keyed(c, "applications", "packageName", list, func(a *android.Application) string { return a.PackageName })
	kiosk := -1
	for i := range list {
		a, path := &list[i], fmt.Sprintf("applications[%d].", i)
		c.word(path+"installType", a.InstallType, installTypes)
		c.word(path+"alwaysOnVpnLockdownExemption", a.AlwaysOnVPNLockdownExemption, lockdownExemptions)
		c.word(path+"defaultPermissionPolicy", a.DefaultPermissionPolicy, permissionPolicies)
		c.number(path+"minimumVersionCode", a.MinimumVersionCode, 0, mostNumber)
		if a.InstallType != "KIOSK" {
			continue
		}
		if kiosk >= 0 {
			c.no(path+"installType", "KIOSK is applications[%d] already: a device has one", kiosk)
		}
		kiosk = i
	}
}

func (c *check) passwords(list []android.PasswordPolicy) {
	scopes := map[string]int{}
	for i := range list {
		p, path := &list[i], fmt.Sprintf("passwordPolicies[%d].", i)
		if first, there := scopes[p.PasswordScope]; there {
			c.no(path+"passwordScope", "%.40q is passwordPolicies[%d] already", p.PasswordScope, first)
		}
		scopes[p.PasswordScope] = i
		c.word(path+"passwordScope", p.PasswordScope, passwordScopes)
		c.word(path+"passwordQuality", p.PasswordQuality, passwordQualities)
		c.number(path+"passwordMinimumLength", p.PasswordMinimumLength, 0, mostNumber)
		c.number(path+"maximumFailedPasswordsForWipe", p.MaximumFailed, 0, mostNumber)
	}
}

func (c *check) rules(list []android.PolicyEnforcementRule) {
	keyed(c, "policyEnforcementRules", "settingName", list, func(r *android.PolicyEnforcementRule) string { return r.SettingName })
	for i := range list {
		block, wipe, path := list[i].BlockAction, list[i].WipeAction, fmt.Sprintf("policyEnforcementRules[%d]", i)
		switch {
		case block == nil && wipe == nil:
		case block == nil || wipe == nil || block.BlockAfterDays >= wipe.WipeAfterDays:
			c.no(path, "want a block action and a later wipe action")
		default:
			c.number(path+".blockAction.blockAfterDays", block.BlockAfterDays, 0, mostNumber)
			c.word(path+".blockAction.blockScope", block.BlockScope, blockScopes)
		}
	}
}

func (c *check) networks(n *android.ONC) {
	const list, certificates = "openNetworkConfiguration.NetworkConfigurations", "openNetworkConfiguration.Certificates"
	keyed(c, list, "GUID", n.NetworkConfigurations, func(n *android.NetworkConfiguration) string { return n.GUID })
	for i := range n.NetworkConfigurations {
		one, path := &n.NetworkConfigurations[i], fmt.Sprintf("%s[%d].", list, i)
		c.must(path+"Type", one.Type, []string{"WiFi"})
		if one.WiFi == nil {
			c.no(path+"WiFi", "missing")
			continue
		}
		c.wifi(path+"WiFi.", one.WiFi)
	}
	keyed(c, certificates, "GUID", n.Certificates, func(n *android.ONCCertificate) string { return n.GUID })
	for i := range n.Certificates {
		c.must(fmt.Sprintf("%s[%d].Type", certificates, i), n.Certificates[i].Type, certificateContents)
	}
}

// wifi looks at one network. An enterprise's names its server's authority and domain: without them any other could be it.
func (c *check) wifi(path string, w *android.WiFi) {
	c.must(path+"Security", w.Security, securities)
	name := []byte(w.SSID)
	if w.SSID == "" {
		var err error
		if name, err = hex.DecodeString(w.HexSSID); err != nil {
			c.no(path+"HexSSID", "not hexadecimal")
		}
	}
	if len(name) == 0 || len(name) > 32 {
		c.no(path+"SSID", "has not 1 to 32 bytes")
	}
	if !slices.Contains(enterprise, w.Security) {
		return
	}
	if w.EAP == nil {
		c.no(path+"EAP", "missing: %s has it", w.Security)
		return
	}
	c.must(path+"EAP.Outer", w.EAP.Outer, outers)
	c.word(path+"EAP.Inner", w.EAP.Inner, inners)
	c.word(path+"EAP.ClientCertType", w.EAP.ClientCertType, clientCertificates)
	if len(w.EAP.ServerCARefs) == 0 {
		c.no(path+"EAP.ServerCARefs", "empty: an enterprise network names its server's authority")
	}
	if len(w.EAP.DomainSuffixMatch) == 0 {
		c.no(path+"EAP.DomainSuffixMatch", "empty: an enterprise network names its server's domain")
	}
}

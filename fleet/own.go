package fleet

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"rollcall/protocol"
)

const ruleOwn protocol.Rule = "HST-127"

// Own refuses a target (https://host:port) that is not loopback unless named holds that very host, without its port. A
// name that merely resolves to loopback is not loopback: it may resolve to something else next time. The error wraps the
// rule HST-127.
func Own(target string, named []string) error {
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("target %.200q: want a URL such as https://127.0.0.1:8443", target)
	}
	host := hostOf(u.Hostname())
	if addr, err := netip.ParseAddr(host); host == "localhost" || err == nil && addr.IsLoopback() {
		return nil
	}
	for _, n := range named {
		if hostOf(n) == host {
			return nil
		}
	}
	return fmt.Errorf("target %s: %s is not this machine: a server that is yours is named by --i-own-this %s, or in the plan by i_own: [%s] (%w)", target, host, host, host, ruleOwn)
}

// hostOf writes one host in one way.
func hostOf(s string) string {
	s = strings.TrimSuffix(strings.ToLower(s), ".")
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr.Unmap().String()
	}
	return s
}

//go:build !agentonly

package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rollcall/certs"
	"rollcall/fleet/conformance/mischief"
	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/device"
	"rollcall/server/logs"
	"rollcall/server/push"
)

// serveFlags are the flags of serve as they were given.
type serveFlags struct {
	listen, data, clouds, clock, authority, apnsURL, apnsCA, courier, adeRoot, identityCA, minimumOS, mischief string
	names, legacyCMS                                                                                           []string
	release                                                                                                    uint16
	proxies                                                                                                    []string
	proxyHeader, metrics                                                                                       string
	maxConnections                                                                                             int
	acceptUserless, signMessage, lab                                                                           bool
	enrolRate                                                                                                  float64
	entra, wns, wnsCA, fcm, fcmURL, fcmCA                                                                      string
	android                                                                                                    androidFlags
}

func serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the MDM server", Args: noArgs,
		Long: `Run the MDM server: endpoints for devices and the admin API on one address, state in one folder.

The first start makes a certificate authority, a TLS certificate and a token for the admin API. With simulated clouds it
also runs a push service of its own, unless --apns-url names one, and makes a push certificate for it.

The line that it prints for a machine is for the first one of a lab: good once, for a day, and bound to no user and to no kind of device.
rollcall users invite UPN --for agent --kind KIND prints those that are bound to both.`,
		Example: `  rollcall serve
  rollcall serve --listen 192.0.2.10:8443 --name mdm.example.org --clouds real
  rollcall serve --android-agent org.example.agent/.AdminReceiver --android-agent-url https://mdm.example.org/agent.apk --android-agent-checksum 23:96:2f:...`,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", defaultListen, "address and port")
	flags.StringSliceVar(&f.names, "name", nil, "names of this server in its certificate, the first one in all links (default: the host of --listen)")
	flags.StringVar(&f.data, "data", defaultData, "folder for all state; made where there is none")
	flags.StringVar(&f.clouds, "clouds", "sim", "vendors' services: sim (simulated) or real")
	flags.StringVar(&f.clock, "clock", "real", "real, or driven: time, and with it every wake-up, stands still until rollcall clock step")
	flags.StringVar(&f.authority, "authority", "", "set a new tenant's authority: intune, office365 or sccm (default: by --service-release)")
	flags.Uint16Var(&f.release, "service-release", 2611, "release that a new tenant was created at; from 1911 on it starts as intune (AUTH-02)")
	flags.BoolVar(&f.acceptUserless, "accept-userless", false, "take userless devices in a new tenant of office365 (AUTH-19)")
	flags.StringVar(&f.apnsURL, "apns-url", "", "push service (default: Apple's with real clouds, one of its own with simulated ones)")
	flags.StringVar(&f.apnsCA, "apns-ca", "", "PEM file of the CA that the push service's certificate must chain to")
	flags.StringVar(&f.wns, "wns", "", "JSON `FILE` with client_id, client_secret and pfn of the app that wakes Windows devices; token_url and scope for an app of Entra ID (default: they come by their schedules)")
	flags.StringVar(&f.wnsCA, "wns-ca", "", "PEM file of the CA that WNS and its token endpoint's certificates must chain to")
	flags.StringVar(&f.entra, "entra", "", "JSON `FILE` with tenant, audiences and keys_url (or keys) of the directory whose tokens Windows devices may enrol with; terms_of_use, which their users accept before (default: they enrol with links alone)")
	flags.StringVar(&f.fcm, "fcm", "", "key `FILE` of the service account that wakes Android devices (default: they come by their schedules)")
	flags.StringVar(&f.fcmURL, "fcm-url", "", "Firebase Cloud Messaging (default: Google's)")
	flags.StringVar(&f.fcmCA, "fcm-ca", "", "PEM file of the CA that FCM and its token endpoint's certificates must chain to")
	f.android.add(flags)
	flags.StringVar(&f.courier, "courier", "", "address and port where the push service of its own takes the streams that wake machines, or none (default: port "+courierPort+" of --listen)")
	flags.StringVar(&f.adeRoot, "ade-root", "", "PEM file of the roots of factory identities, for automated enrolment (ADE)")
	flags.StringVar(&f.minimumOS, "ade-minimum-os", "", "version below which a device must update itself before it enrols automatically")
	flags.StringSliceVar(&f.legacyCMS, "legacy-cms", []string{"signature"}, "where SHA-1 is still taken: signature (every Mac needs it), scep, or none")
	flags.BoolVar(&f.signMessage, "sign-message", false, "have devices sign their messages (Mdm-Signature)")
	flags.Float64Var(&f.enrolRate, "enrol-rate", device.DefaultEnrolRate, "devices of one network (IPv4 address, IPv6 /64) that may enrol in a second, beyond a hundred times as many at once; 0: no limit (HST-045)")
	flags.StringSliceVar(&f.proxies, "trusted-proxies", nil, "addresses or networks of proxies in front, which check certificates and pass them on in --proxy-header")
	flags.StringVar(&f.proxyHeader, "proxy-header", device.ProxyHeader, "header with a device's certificate (RFC 9440, or PEM with percent signs); taken from trusted proxies alone")
	flags.StringVar(&f.metrics, "metrics", "", "address and port for /metrics (Prometheus), /healthz and /readyz, without TLS or token: keep it inside (default: none)")
	flags.IntVar(&f.maxConnections, "max-connections", device.MaxConnections, "connections that are kept at once")
	flags.StringVar(&f.identityCA, "identity-ca", "", "PEM `FILE` of CAs whose identities are taken too, each for the device that its common name says: for labs and load tests, where whoever has that key can be every device that is not enrolled")
	flags.StringVar(&f.mischief, "mischief", "", "break the statement with this `ID` on purpose, to see rollcall conform find it")
	_ = flags.MarkHidden("mischief") // never fails: it was added above
	flags.BoolVar(&f.lab, "lab", false, "this server is in a lab: allow a driven clock on any address, and any number of enrolments")
	return cmd
}

// serve runs the server until a signal stops it.
func serve(cmd *cobra.Command, f *serveFlags) error {
	ctx := cmd.Context()
	notes := cmd.ErrOrStderr()
	cfg, err := f.config()
	if err != nil {
		return err
	}
	file, ok := notes.(*os.File)
	cfg.Log = logs.New(notes, !ok || !term.IsTerminal(int(file.Fd())))
	var own *ownPush
	if cfg.Simulated && cfg.Push.URL == "" {
		if own, err = startOwnPush(ctx, &cfg, f.courier); err != nil {
			return err
		}
		defer own.stop()
	} else if f.courier != "" {
		return errors.New("--courier: only a push service of the server's own takes streams: leave out --apns-url and --clouds real")
	}
	defer device.SpareHeap()()
	s, err := startServer(ctx, cfg)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped while it started
	}
	if err != nil {
		return err
	}
	if own != nil {
		own.wake(s.face)
	}
	if err := s.announce(cmd, &cfg); err != nil {
		s.Close()
		return err
	}
	return s.until(ctx)
}

// announce says how to reach the server.
func (s *runningServer) announce(cmd *cobra.Command, cfg *serveConfig) error {
	line, err := s.agentLine(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	if asJSON(cmd) {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{
			"url": s.URL, "ca": s.CAFile, "ca_sha256": s.Fingerprint, "token_file": s.TokenFile, "push_service": cfg.Push.URL, "courier_port": cfg.CourierPort, "driven": cfg.Clock.Driven(),
			"metrics": s.MetricsURL, "agent": line, "wns": cfg.wnsClient(), "fcm": cfg.fcmProject(),
		})
	}
	others := ""
	if id := cfg.wnsClient(); id != "" {
		others = fmt.Sprintf("Windows woken   by WNS as %s\n  ", id)
	}
	if project := cfg.fcmProject(); project != "" {
		others += fmt.Sprintf("Android woken   by FCM for project %s\n  ", project)
	}
	woken := "by nobody: they ask by themselves"
	if cfg.CourierPort != "" {
		woken = "by streams at port " + cfg.CourierPort
	}
	watched := ""
	if s.MetricsURL != "" {
		watched = fmt.Sprintf("metrics         %s/metrics\n  ", s.MetricsURL)
	}
	joins := "rollcall users invite UPN --for agent --kind ipad prints the line for a machine"
	if line != "" {
		joins = line
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), `rollcall serves %s
  CA certificate  %s (SHA-256 %s)
  push service    %s
  machines woken  %s
  %sa machine       %s
  %sadministration  export ROLLCALL_SERVER=%s ROLLCALL_CA=%s ROLLCALL_TOKEN=$(cat %s)
`, s.URL, s.CAFile, s.Fingerprint, cfg.Push.URL, woken, others, joins, watched, s.URL, s.CAFile, s.TokenFile)
	return err
}

// agentLine is what has one machine managed: without a user, once, within a day. Empty where nobody enrols without a user.
func (s *runningServer) agentLine(ctx context.Context, cfg *serveConfig) (string, error) {
	now, world := protocol.At(cfg.Clock.Now()), s.Server.World()
	if _, no := authority.Admit(world.Tenant, nil, world.Enrolment(now, authority.Device{Platform: protocol.IPadOS}, false)); no != nil {
		return "", nil
	}
	token, err := s.Server.Invite(ctx, now, 0, protocol.NoPlatform, joinWithin)
	if err != nil {
		return "", err
	}
	return agentLine(s.URL+"/e/"+token, "sha256:"+s.Fingerprint, protocol.NoPlatform), nil
}

// joinWithin is how long the line that serve prints is good.
const joinWithin = 24 * time.Hour

var (
	hostName      = regexp.MustCompile(`^(?i:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.(?i:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?))*$`) // RFC 1123, section 2.1
	headerName    = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")                                                    // RFC 9110, section 5.6.2
	versionNumber = regexp.MustCompile(`^[0-9]{1,4}(\.[0-9]{1,4}){0,3}$`)
)

// config turns flags into what startServer takes.
func (f *serveFlags) config() (cfg serveConfig, err error) {
	host, err := f.addresses()
	if err != nil {
		return cfg, err
	}
	cfg = serveConfig{
		Listen: f.listen, Names: f.names, Data: f.data, Metrics: f.metrics, MaxConnections: f.maxConnections, ProxyHeader: f.proxyHeader,
		SignMessage: f.signMessage, MinimumOS: f.minimumOS,
	}
	if f.minimumOS != "" && !versionNumber.MatchString(f.minimumOS) {
		return cfg, fmt.Errorf("--ade-minimum-os %q: want a version such as 17.4", f.minimumOS)
	}
	if f.enrolRate < 0 || math.IsNaN(f.enrolRate) || math.IsInf(f.enrolRate, 0) {
		return cfg, fmt.Errorf("--enrol-rate %g: want a number of devices a second, or 0", f.enrolRate)
	}
	if !f.lab {
		cfg.EnrolRate = f.enrolRate
	}
	if f.maxConnections < 1 {
		return cfg, fmt.Errorf("--max-connections %d: want at least 1", f.maxConnections)
	}
	if err := f.world(&cfg, host); err != nil {
		return cfg, err
	}
	if cfg.Proxies, err = f.trusted(); err != nil {
		return cfg, err
	}
	if f.mischief != "" {
		if cfg.Mischief, err = mischief.New(f.mischief); err != nil {
			return cfg, fmt.Errorf("--mischief: %w", err)
		}
	}
	if cfg.Tenant, err = f.tenant(); err != nil {
		return cfg, err
	}
	for _, place := range f.legacyCMS {
		switch place {
		case "signature":
			cfg.LegacySignature = true
		case "scep":
			cfg.LegacySCEP = true
		case "none":
		default:
			return cfg, fmt.Errorf("--legacy-cms %q: want signature, scep or none", place)
		}
	}
	if cfg.Push.Roots, err = readRoots(f.apnsCA); err != nil {
		return cfg, fmt.Errorf("--apns-ca: %w", err)
	}
	if err := f.others(&cfg); err != nil {
		return cfg, err
	}
	if cfg.Android, err = f.android.config(); err != nil {
		return cfg, err
	}
	if f.identityCA != "" {
		if cfg.Lab, err = readAuthorities(f.identityCA); err != nil {
			return cfg, fmt.Errorf("--identity-ca: %w", err)
		}
	}
	if f.adeRoot != "" {
		if cfg.Factory, err = readCertificates(f.adeRoot); err != nil {
			return cfg, fmt.Errorf("--ade-root: %w", err)
		}
	}
	return cfg, nil
}

// addresses checks where the server listens and what it is called, and returns the host of --listen; empty: every address.
func (f *serveFlags) addresses() (host string, err error) {
	host, port, err := net.SplitHostPort(f.listen)
	if err != nil {
		return "", fmt.Errorf("--listen %q: want host:port", f.listen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("--listen %q: the port is a number up to 65535", f.listen)
	}
	for _, name := range f.names {
		if !hostName.MatchString(name) && net.ParseIP(name) == nil || len(name) > 253 {
			return "", fmt.Errorf("--name %q: want a host name or an address", name)
		}
	}
	if len(f.names) == 0 && (host == "" || net.ParseIP(host).IsUnspecified()) {
		return "", fmt.Errorf("--listen %q is every address: say by --name what devices call this server", f.listen)
	}
	if f.metrics != "" {
		if _, _, err := net.SplitHostPort(f.metrics); err != nil {
			return "", fmt.Errorf("--metrics %q: want host:port", f.metrics)
		}
	}
	return host, nil
}

// world chooses the vendors' services and the clock of a server that listens at host.
func (f *serveFlags) world(cfg *serveConfig, host string) error {
	switch f.clouds {
	case "sim":
		cfg.Simulated = true
	case "real":
		cfg.Push.URL = push.Production
	default:
		return fmt.Errorf("--clouds %q: want sim or real", f.clouds)
	}
	if f.apnsURL != "" {
		cfg.Push.URL = f.apnsURL
	}
	switch f.clock {
	case "real":
		cfg.Clock = realClock{}
	case "driven":
		if !f.lab && !net.ParseIP(host).IsLoopback() && host != "localhost" {
			return fmt.Errorf("--clock driven on %s: certificates and tokens would follow a clock that others can step; add --lab if this is a lab", cmp.Or(host, "every address"))
		}
		cfg.Clock = newDrivenClock(f.data, time.Now())
	default:
		return fmt.Errorf("--clock %q: want real or driven", f.clock)
	}
	return nil
}

// trusted reads the proxies whose word for a device's certificate is taken.
func (f *serveFlags) trusted() (proxies []netip.Prefix, err error) {
	if !headerName.MatchString(f.proxyHeader) {
		return nil, fmt.Errorf("--proxy-header %q: want the name of a header, such as %s", f.proxyHeader, device.ProxyHeader)
	}
	for _, text := range f.proxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("--trusted-proxies %q: want an address or a network such as 192.0.2.0/24", text)
			}
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		if network.Bits() == 0 {
			return nil, fmt.Errorf("--trusted-proxies %q is everybody: whoever reaches the server could say that it is any device", text)
		}
		proxies = append(proxies, network)
	}
	return proxies, nil
}

// tenant says how a new tenant begins.
func (f *serveFlags) tenant() (*authority.Tenant, error) {
	t := &authority.Tenant{Release: f.release, AcceptUserless: f.acceptUserless}
	if f.authority == "" {
		t.Authority = authority.Initial(f.release)
		return t, nil
	}
	if err := t.Authority.UnmarshalText([]byte(f.authority)); err != nil {
		return nil, fmt.Errorf("--authority: %w", err)
	}
	if t.Authority == protocol.Unknown {
		return nil, fmt.Errorf("--authority %q: want intune, office365 or sccm; a release before 1911 starts without one", f.authority)
	}
	return t, nil
}

// others reads how the devices of other platforms than Apple's are woken. Keys come from files, and no error repeats what is in them.
func (f *serveFlags) others(cfg *serveConfig) (err error) {
	for _, given := range []struct{ name, value, needs, needed string }{
		{"--wns-ca", f.wnsCA, "--wns", f.wns}, {"--fcm-ca", f.fcmCA, "--fcm", f.fcm}, {"--fcm-url", f.fcmURL, "--fcm", f.fcm},
	} {
		if given.value != "" && given.needed == "" {
			return fmt.Errorf("%s: nobody is woken by that service without %s", given.name, given.needs)
		}
	}
	if cfg.WNSPush.Roots, err = readRoots(f.wnsCA); err != nil {
		return fmt.Errorf("--wns-ca: %w", err)
	}
	if cfg.FCMPush.Roots, err = readRoots(f.fcmCA); err != nil {
		return fmt.Errorf("--fcm-ca: %w", err)
	}
	cfg.FCMPush.URL = f.fcmURL
	if f.wns != "" {
		text, err := os.ReadFile(f.wns)
		if err == nil {
			cfg.WNS, err = push.ReadWNSIdentity(text)
		}
		if err != nil {
			return fmt.Errorf("--wns %s: %w", f.wns, err)
		}
	}
	if f.entra != "" {
		text, err := os.ReadFile(f.entra)
		if err == nil {
			cfg.Entra, err = device.ReadEntra(text)
		}
		if err != nil {
			return fmt.Errorf("--entra %s: %w", f.entra, err)
		}
	}
	if f.fcm != "" {
		text, err := os.ReadFile(f.fcm)
		if err == nil {
			cfg.FCM, err = push.ReadServiceAccount(text)
		}
		if err != nil {
			return fmt.Errorf("--fcm %s: %w", f.fcm, err)
		}
	}
	return nil
}

// readRoots reads the CAs in a file; no file: nil.
func readRoots(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil
	}
	list, err := readCertificates(name)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range list {
		pool.AddCert(c)
	}
	return pool, nil
}

func readCertificates(name string) ([]*x509.Certificate, error) {
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	list, err := certs.ReadCertificatesPEM(pem)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

// readAuthorities reads the certificates of CAs. What a CA vouches for may lie beside it, as its registration authority does.
func readAuthorities(name string) ([]*x509.Certificate, error) {
	list, err := readCertificates(name)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(c *x509.Certificate) bool { return !c.IsCA })
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no certificate of a CA in it", name)
	}
	return list, nil
}

//go:build !agentonly

package main

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/fleet"
	"rollcall/fleet/load"
	"rollcall/fleet/plan"
	"rollcall/fleet/target"
)

func fleetCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "fleet", Short: "Load a live MDM server with simulated devices", Args: noArgs}
	cmd.AddCommand(fleetRunCommand(), fleetMakeCommand(), fleetPushCACommand(), fleetMakerCACommand())
	return cmd
}

// The servers that a fleet knows how to drive.
const (
	serverRollcall = "rollcall"
	serverNanoMDM  = "nanomdm"
	serverOther    = "other"
)

// targetFlags say which server a fleet is for, and how its devices get in.
type targetFlags struct {
	client // URL of the administration, CA, token
	target string
	kind   string
	own    []string

	serverURL, checkInURL, topic, program string

	identity, identityCA, identityKey string
	auth, header, exchange            string
	maker                             string
	sources                           int
	users                             bool
	enrolled                          bool // all devices are, already
	timeout                           time.Duration
}

func (f *targetFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.target, "target", "", "`URL` of the server; one that is not on this machine must be named by --i-own-this")
	flags.StringVar(&f.kind, "server", serverRollcall, "what `KIND` of server it is, for enrolment, queueing and authentication: rollcall, nanomdm or other")
	flags.StringSliceVar(&f.own, "i-own-this", nil, "`HOST` that is yours to load; may be given again")
	flags.StringVar(&f.ca, "ca", "", "trust the CAs in this PEM `FILE` (default: ca.pem in --data, else the system's)")
	flags.StringVar(&f.data, "data", defaultData, "data `FOLDER` of a rollcall server on this machine, for its CA and its token")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token of rollcall's API, or the key of NanoMDM's (default: ROLLCALL_TOKEN, else admin.token in --data)")
	flags.StringVar(&f.client.server, "admin", "", "`URL` of the administration (default: --target)")
	flags.StringVar(&f.program, "admin-command", "", "other: `PROGRAM` that administers the server: it is called with order KIND DEVICE, or invite N and prints N enrolment links")
	flags.StringVar(&f.serverURL, "server-url", "", "minted: `URL` of the command endpoint (default: --target and /apple/mdm, nanomdm /mdm)")
	flags.StringVar(&f.checkInURL, "checkin-url", "", "minted: `URL` of the check-in endpoint (default: --target and /apple/checkin, nanomdm that of commands)")
	flags.StringVar(&f.topic, "topic", "", "minted: `TOPIC` of the server's push certificate (default: rollcall's own)")
	flags.StringVar(&f.identity, "identity", "", "devices get their certificates by scep, in the enrolment, or minted here from a CA that the server trusts (default: scep, nanomdm minted)")
	flags.StringVar(&f.identityCA, "identity-ca", "", "minted: PEM `FILE` of the CA's certificate")
	flags.StringVar(&f.identityKey, "identity-key", "", "minted: PEM `FILE` of the CA's key")
	flags.StringVar(&f.auth, "auth", "mtls", "devices show their certificates by mtls, signature (Apple's: Mdm-Signature alone, which the server's profile must ask for; others: mtls) or header, as a proxy in front of the server would pass them on")
	flags.StringVar(&f.header, "auth-header", "Client-Cert", "header: its `NAME`, with the certificate as in RFC 9440")
	flags.StringVar(&f.exchange, "key-exchange", "x25519", "of TLS: x25519, or hybrid, Go's own choice, at twice the cost")
	flags.StringVar(&f.maker, "android-maker", "", "Android devices attest the keys that they enrol with: `FILE` with the CA of their maker, as rollcall fleet maker-ca makes it, which the server trusts (serve --android-attestation)")
	flags.BoolVar(&f.users, "users", false, "rollcall: each device has a user of its own, with both licences, so that a change of authority moves it and it gets profiles")
	flags.IntVar(&f.sources, "sources", 0, "loopback addresses that devices come from (default: as many as their sockets need)")
	durationVar(flags, &f.timeout, "timeout", 30*time.Second, "for one request with its connection")
}

// An aim is a server with what devices and administrators need to reach it.
type aim struct {
	flags    *targetFlags
	roots    *x509.CertPool
	keys     []*rsa.PrivateKey
	mint     *certs.Authority
	keyStore *fleet.KeyStore // of Android devices; nil: none says anything of its keys
	shared   bool

	rollcall *target.Rollcall
	order    func(ctx context.Context, device string, o target.Order) (id string, err error) // nil: nobody can
	invite   func(ctx context.Context, upns []string) ([]target.Invitation, error)
	profile  []byte // where nobody invites
}

// aim checks the flags and reads what they name.
func (f *targetFlags) aim(ctx context.Context, owned []string) (*aim, error) {
	if strings.HasPrefix(f.kind, "https://") { // ROLLCALL_SERVER names one of ours
		if f.target == "" {
			f.target = f.kind
		}
		f.kind = serverRollcall
	}
	if f.target == "" {
		return nil, errors.New("--target: which server? Give its URL, such as https://127.0.0.1:8443")
	}
	u, err := url.Parse(f.target)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("--target %.200q: want a URL such as https://127.0.0.1:8443; devices speak TLS only", f.target)
	}
	if err := fleet.Own(f.target, append(owned, f.own...)); err != nil {
		return nil, err
	}
	f.target = strings.TrimSuffix(f.target, "/")
	if err := f.words(); err != nil {
		return nil, err
	}
	a := &aim{flags: f, shared: sharedHost(u.Hostname())}
	if f.maker != "" {
		ca, err := makerCA(f.maker)
		if err != nil {
			return nil, fmt.Errorf("--android-maker: %w", err)
		}
		a.keyStore = fleet.NewKeyStore(ca)
	}
	if a.roots, err = f.roots(); err != nil {
		return nil, err
	}
	if f.client.server == "" {
		f.client.server = f.target
	} else if err := fleet.Own(f.client.server, append(owned, f.own...)); err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	if err := a.administration(); err != nil {
		return nil, err
	}
	switch {
	case f.enrolled:
		return a, nil
	case f.identity == "scep":
		a.keys, err = transportKeys()
		return a, err
	}
	return a, a.minted(ctx)
}

// words checks the flags that are one of some words, and fills in what each kind of server means.
func (f *targetFlags) words() error {
	if f.identity == "" {
		f.identity = map[string]string{serverNanoMDM: "minted"}[f.kind]
		if f.identity == "" {
			f.identity = "scep"
		}
	}
	for _, w := range []struct {
		flag, value string
		valid       []string
	}{
		{"server", f.kind, []string{serverRollcall, serverNanoMDM, serverOther}},
		{"identity", f.identity, []string{"scep", "minted"}},
		{"auth", f.auth, []string{"mtls", "signature", "header"}},
		{"key-exchange", f.exchange, []string{"x25519", "hybrid"}},
	} {
		if err := oneOf(w.flag, w.value, w.valid); err != nil {
			return err
		}
	}
	switch {
	case f.kind == serverNanoMDM && f.identity == "scep":
		return errors.New("--identity scep: NanoMDM hands out no enrolment profiles; mint the identities, or drive it as other with an --admin-command that invites")
	case f.kind == serverOther && f.program == "" && f.identity == "scep":
		return errors.New("--server other: say by --admin-command how devices are invited, or mint their identities")
	case f.identity == "minted" && (f.identityCA == "" || f.identityKey == ""):
		return errors.New("--identity minted: needs --identity-ca FILE and --identity-key FILE, a CA that the server trusts for its devices")
	case f.users && (f.kind != serverRollcall || f.identity == "minted"):
		return errors.New("--users: only where a rollcall server invites the devices")
	case f.sources < 0 || f.sources > 1<<16:
		return errors.New("--sources: from 1 to 65536")
	case f.timeout <= 0:
		return errors.New("--timeout: more than 0")
	}
	return nil
}

func oneOf(flag, value string, valid []string) error {
	for _, v := range valid {
		if v == value {
			return nil
		}
	}
	text := fmt.Sprintf("--%s %q: want one of %s", flag, value, strings.Join(valid, ", "))
	if near := plan.Nearest(value, valid); near != "" {
		text += fmt.Sprintf("; did you mean %s?", near)
	}
	return errors.New(text)
}

// askingTakes is how much longer than a device an administrator waits for an answer: what he asks for may be about all devices.
const askingTakes = 4

// administration makes the client of the server's administration.
func (a *aim) administration() (err error) {
	f := a.flags
	f.client.wait = askingTakes * f.timeout
	switch {
	case f.program != "":
		p := &target.Program{Path: f.program}
		a.order, a.invite = p.Order, p.Invite
	case f.kind == serverNanoMDM:
		n := &target.NanoMDM{URL: f.client.server, HTTP: &http.Client{
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.roots}, ResponseHeaderTimeout: f.client.wait}, CheckRedirect: stay,
		}}
		if f.tokenFile != "" {
			b, err := os.ReadFile(f.tokenFile)
			if err != nil {
				return fmt.Errorf("--token-file: %w", err)
			}
			n.Key = strings.TrimSpace(string(b))
		}
		a.order = n.Order
	case f.kind == serverRollcall:
		if a.rollcall, err = f.client.target(); err != nil {
			return err
		}
		a.order, a.invite = a.rollcall.Order, a.rollcall.Invite
	}
	return nil
}

// minted reads the lab CA, and makes the profile with which devices enrol where nobody invites.
func (a *aim) minted(ctx context.Context) error {
	f := a.flags
	certificate, err := os.ReadFile(f.identityCA)
	if err != nil {
		return fmt.Errorf("--identity-ca: %w", err)
	}
	key, err := os.ReadFile(f.identityKey)
	if err != nil {
		return fmt.Errorf("--identity-key: %w", err)
	}
	if a.mint, err = certs.LoadAuthority(certificate, key); err != nil {
		return fmt.Errorf("--identity-ca and --identity-key: %w", err)
	}
	e := load.Endpoint{ServerURL: f.serverURL, CheckInURL: f.checkInURL, Topic: f.topic, SignMessage: f.auth == "signature"}
	path, checkIn := "/apple/mdm", "/apple/checkin"
	if f.kind == serverNanoMDM {
		path, checkIn = "/mdm", ""
	}
	if e.ServerURL == "" {
		e.ServerURL = f.target + path
	}
	if e.CheckInURL == "" && checkIn != "" {
		e.CheckInURL = f.target + checkIn
	}
	if e.Topic == "" && a.rollcall != nil {
		p, err := a.rollcall.Push(ctx)
		if err != nil {
			return fmt.Errorf("the topic of the server's push certificate: %w", err)
		}
		e.Topic = p.Topic
	}
	if e.Topic == "" {
		return errors.New("--topic: which? It is the UID in the subject of the server's push certificate and begins with com.apple.mgmt")
	}
	a.profile, err = e.Profile()
	return err
}

// link is how devices reach the server.
func (a *aim) link(sources int) link.Config {
	f := a.flags
	c := link.Config{Roots: a.roots, TransportKeys: a.keys, Timeout: f.timeout}
	if a.mint != nil {
		c.Identity = load.Mint(a.mint, time.Now)
	}
	if a.keyStore != nil {
		c.Attest = a.keyStore.Attest
	}
	if f.auth == "header" {
		c.CertificateHeader = f.header
	}
	c.SignatureAlone = f.auth == "signature"
	if f.exchange == "hybrid" {
		c.Curves = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256}
	}
	if sources > 1 {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			var d net.Dialer
			if n, ok := link.DeviceOf(ctx); ok {
				i := uint32(n) % uint32(sources)
				d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}
			}
			return d.DialContext(ctx, network, address)
		}
	}
	return c
}

func fleetMakerCACommand() *cobra.Command {
	return &cobra.Command{
		Use: "maker-ca FILE", Short: "Make the CA of simulated Android devices' maker, for a server to trust", Args: cobra.ExactArgs(1),
		Long: `Make the certificate authority of the maker of simulated Android devices, in FILE and, its key, FILE.key. A server that asks
for the attestation of keys is told to trust it before it starts; devices then attest theirs by --android-maker. What is there
already stays. Whoever has the key can vouch for any device: it is for a lab's server alone.`,
		Example: `  rollcall fleet maker-ca maker.pem
  rollcall serve --android-attestation require --android-attestation-roots maker.pem
  rollcall fleet run --target https://127.0.0.1:8443 --platform android --android-maker maker.pem`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return made(cmd, []string{args[0], args[0] + ".key"}, func() error {
				_, err := makerCA(args[0])
				return err
			})
		},
	}
}

// sharedHost tells whether a host is this machine.
func sharedHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	if ip == nil {
		addresses, err := net.LookupIP(host)
		if err != nil || len(addresses) == 0 {
			return false
		}
		ip = addresses[0]
	}
	if ip.IsLoopback() {
		return true
	}
	ours, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, o := range ours {
		if n, ok := o.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}

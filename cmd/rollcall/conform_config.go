//go:build !agentonly

package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/certs"
	"rollcall/fleet/conformance"
	"rollcall/fleet/conformance/mischief"
	"rollcall/fleet/target"
)

// config turns flags into what conformance takes. Stop is called at the end.
func (f *conformFlags) config(ctx context.Context, cmd *cobra.Command, c *client) (config conformance.Config, stop func(), err error) {
	stop = func() {}
	if f.as != "" && f.as != "intune" {
		return config, stop, fmt.Errorf("--as %q: want intune", f.as)
	}
	var suites []conformance.Suite
	for _, s := range f.suites {
		suite := conformance.Suite(s)
		if !slices.Contains([]conformance.Suite{conformance.Apple, conformance.Gap, conformance.Android, conformance.Windows}, suite) {
			return config, stop, fmt.Errorf("--suite %q: want apple, apns-gap, android or windows", s)
		}
		suites = append(suites, suite)
	}
	switch {
	case f.own:
		config, stop, err = f.ownConfig(ctx)
		if cmd.Flags().Changed("suite") {
			config.Suites = suites
		}
	case f.mischief != "":
		err = errors.New("--mischief breaks a server of ours: it wants --own")
	default:
		config, stop, err = f.otherConfig(ctx, cmd, c)
		config.Suites, config.Mine, config.Intune = suites, f.mine, f.as == "intune"
	}
	if !f.own || cmd.Flags().Changed("p256-keys") {
		config.P256Keys = f.p256Keys
	}
	config.Only, config.AtOnce, config.Total, config.Request = f.only, f.atOnce, f.total, f.request
	return config, stop, err
}

// ownConfig starts a server of ours.
func (f *conformFlags) ownConfig(ctx context.Context) (config conformance.Config, stop func(), err error) {
	stop = func() {}
	m, err := mischief.New(f.mischief)
	if err != nil {
		return config, stop, fmt.Errorf("--mischief: %w", err)
	}
	own, err := startOwn(ctx, func(c *serveConfig) {
		if f.mischief != "" {
			c.Mischief = m
		}
	})
	if err != nil {
		return config, stop, err
	}
	stop = func() { _ = own.close() } // it was there for this run alone
	if config, err = own.config(ctx); err != nil {
		stop()
		return config, func() {}, err
	}
	return config, stop, nil
}

// otherConfig is for a server that is there already.
func (f *conformFlags) otherConfig(ctx context.Context, cmd *cobra.Command, c *client) (config conformance.Config, stop func(), err error) {
	stop = func() {}
	u, err := url.Parse(c.server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return config, stop, fmt.Errorf("%q: want the server as https://host or https://host:port", c.server)
	}
	if host := u.Hostname(); host != "localhost" && !net.ParseIP(host).IsLoopback() && !slices.Contains(f.owned, host) {
		return config, stop, fmt.Errorf("%s is not this machine: hostile requests go to servers of your own only; say so by --i-own-this %s", host, host)
	}
	if f.proxyFrom != "" && net.ParseIP(f.proxyFrom) == nil {
		return config, stop, fmt.Errorf("--proxy-from %q: want an address of this machine", f.proxyFrom)
	}
	config.Server, config.AndroidURL, config.WindowsURL = c.server, c.server, c.server
	if stop, err = f.listen(ctx, cmd.ErrOrStderr(), c.server, &config); err != nil {
		return config, func() {}, err
	}
	if f.maker != "" {
		if config.Maker, err = makerCA(f.maker); err != nil {
			stop()
			return config, func() {}, fmt.Errorf("--android-maker: %w", err)
		}
	}
	if config.Roots, err = c.roots(); err == nil { // a server that was waited for has written its CA by now
		config.Steps, err = f.adapter(ctx, c, config.Roots)
	}
	if err == nil {
		config.AutomatedURL, config.ProxyFrom, config.ProxyHeader = f.adeURL, f.proxyFrom, f.proxyHeader
		config.Factory, err = f.factory()
	}
	if err != nil {
		stop()
		return config, func() {}, err
	}
	return config, stop, nil
}

// listen starts the push services of the run, and waits for the server where there are any. Stop ends them.
func (f *conformFlags) listen(ctx context.Context, notes io.Writer, server string, config *conformance.Config) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	if f.apnsListen != "" {
		pushes, end, err := f.listenAPNs(ctx)
		if err != nil {
			return nil, err
		}
		config.Pushes, stops = pushes, append(stops, end)
		fmt.Fprintf(notes, "simulated APNs listens on %s\n", f.apnsListen)
	}
	if f.fcmListen != "" {
		if f.fcmKey == "" {
			err = errors.New("--fcm-listen: name by --fcm-key-out where the server finds the key of its service account")
		}
		var messages *messageView
		var end func()
		if err == nil {
			messages, end, err = f.listenFCM(ctx)
		}
		if err != nil {
			stop()
			return nil, err
		}
		config.Messages, stops = messages, append(stops, end)
		fmt.Fprintf(notes, "simulated FCM listens on %s\n", f.fcmListen)
	}
	if f.wnsListen != "" {
		channels, end, err := f.listenWNS(ctx)
		if err != nil {
			stop()
			return nil, err
		}
		config.Channels, stops = channels, append(stops, end)
		fmt.Fprintf(notes, "simulated WNS listens on %s\n", f.wnsListen)
	}
	if len(stops) > 0 {
		fmt.Fprintf(notes, "waiting for %s\n", server)
		if err := f.await(ctx, server); err != nil {
			stop()
			return nil, err
		}
	}
	return stop, nil
}

// adapter is how an administrator's steps are done.
func (f *conformFlags) adapter(ctx context.Context, c *client, roots *x509.CertPool) (*target.Steps, error) {
	var profile []byte
	var err error
	if f.profile != "" {
		if profile, err = os.ReadFile(f.profile); err != nil {
			return nil, fmt.Errorf("--profile: %w", err)
		}
	}
	lines := target.Lines{}
	for _, s := range f.steps {
		name, line, ok := strings.Cut(s, "=")
		if !ok || line == "" {
			return nil, fmt.Errorf("--step %q: want NAME=COMMAND", s)
		}
		lines[name] = line
	}
	if err := lines.Check(); err != nil {
		return nil, fmt.Errorf("--step: %w", err)
	}
	var steps *target.Steps
	switch {
	case f.nanomdm != "":
		n := &target.NanoMDM{URL: f.nanomdm, HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}}
		if f.nanomdmKey != "" {
			b, err := os.ReadFile(f.nanomdmKey)
			if err != nil {
				return nil, fmt.Errorf("--nanomdm-key-file: %w", err)
			}
			n.Key = firstLine(b)
		}
		if steps = n.Steps(profile); profile == nil {
			steps.Enrol = nil
		}
	case len(lines) > 0:
		steps = &target.Steps{Name: "command lines"}
	}
	switch {
	case steps != nil && profile != nil:
		steps.Enrol = target.FromProfile(profile).Enrol
	case profile != nil:
		steps = target.FromProfile(profile)
	}
	switch {
	case steps != nil && f.link != "":
		steps.Enrol = target.FromLink(f.link).Enrol
	case f.link != "":
		steps = target.FromLink(f.link)
	}
	if steps != nil {
		if lines.Over(steps); steps.Enrol == nil {
			return nil, errors.New("nothing gives enrolment profiles: add --profile, --link or --step enrol=COMMAND")
		}
		return steps, nil
	}
	t, err := c.target()
	if err != nil {
		return nil, fmt.Errorf("%w; for a server that is not ours give --profile, --link, --nanomdm-api or --step", err)
	}
	asking, cancel := context.WithTimeout(ctx, 3*f.request)
	defer cancel()
	steps, err = t.Steps(asking, conformDomain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.server, err)
	}
	return steps, nil
}

// factory reads --ade-identity.
func (f *conformFlags) factory() (*certs.Signer, error) {
	if f.adeIdentity == "" {
		return nil, nil
	}
	b, err := os.ReadFile(f.adeIdentity)
	if err != nil {
		return nil, fmt.Errorf("--ade-identity: %w", err)
	}
	list, err := certs.ReadCertificatesPEM(b)
	if err == nil && len(list) == 0 {
		err = errors.New("there is no certificate in it")
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.X509KeyPair(b, b)
	}
	if err != nil {
		return nil, fmt.Errorf("--ade-identity: %s: %w", f.adeIdentity, err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("--ade-identity: %s: the key cannot sign", f.adeIdentity)
	}
	return &certs.Signer{Certificate: list[0], Chain: list[1:], Key: key}, nil
}

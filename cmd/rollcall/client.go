//go:build !agentonly

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/logs"
)

const (
	defaultListen = "127.0.0.1:8443"
	defaultData   = "rollcall-data"
)

// A client is how a command of an administrator reaches the server.
type client struct {
	server, ca, tokenFile, data string
	wait                        time.Duration // for the head of an answer; 0: as long as it takes
}

// clientCommand gives cmd and what is added below it the flags of a client.
func clientCommand(cmd *cobra.Command) (*cobra.Command, *client) {
	c := &client{}
	c.register(cmd.PersistentFlags())
	return cmd, c
}

func (c *client) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.server, "server", "", "the server's URL (default: that of the server whose data folder is --data, else https://"+defaultListen+")")
	flags.StringVar(&c.ca, "ca", "", "trust the CAs in this PEM file (default: ca.pem in --data, else the system's)")
	flags.StringVar(&c.tokenFile, "token-file", "", "read the token from this file (default: ROLLCALL_TOKEN, else admin.token in --data)")
	flags.StringVar(&c.data, "data", defaultData, "data folder of a server on this machine, for its address, its CA and its token")
}

// target returns the API's client.
func (c *client) target() (*target.Rollcall, error) {
	if err := checkServer(c.server); err != nil {
		return nil, err
	}
	token, from := os.Getenv("ROLLCALL_TOKEN"), "ROLLCALL_TOKEN"
	if c.tokenFile != "" || token == "" {
		name := c.tokenFile
		if name == "" {
			name = filepath.Join(c.data, tokenFile)
		}
		b, err := os.ReadFile(name)
		switch {
		case err == nil:
		case c.tokenFile == "" && errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("no token: set ROLLCALL_TOKEN, or give --token-file, or --data with the data folder of a server on this machine")
		case c.tokenFile == "":
			return nil, fmt.Errorf("the token in --data: %w", err)
		default:
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		token, from = strings.TrimSpace(string(b)), name
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.ResponseHeaderTimeout = &tls.Config{RootCAs: roots}, c.wait
	base := c.server
	if base == "" {
		at, err := addressIn(c.data)
		if err != nil {
			return nil, err
		}
		base, transport.Proxy = at.URL, nil
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at.Listen)
		}
	}
	return &target.Rollcall{URL: base, Token: token, HTTP: &http.Client{Transport: hinting{transport, from}, CheckRedirect: stay}}, nil
}

// stay follows no redirect: an administration has one address, and nothing of it is for another host.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// checkServer refuses what is no address of a server, before anybody is asked.
func checkServer(at string) error {
	if at == "" {
		return nil
	}
	if u, err := url.Parse(at); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--server %q: want a URL such as https://%s", at, defaultListen)
	}
	return nil
}

// A hinting transport says what to do where nobody listens, and where somebody does whom this client does not trust, or who does not
// trust it.
type hinting struct {
	http.RoundTripper
	token string // where the token is from
}

func (h hinting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.RoundTripper.RoundTrip(r)
	switch at, dialled := errors.AsType[*net.OpError](err); {
	case err == nil && resp.StatusCode == http.StatusUnauthorized:
		resp.Body.Close()
		return nil, fmt.Errorf("%w: the token of %s is not one of this server's, or it has ended or was revoked", protocol.Rule("HST-060"), h.token)
	case err == nil || r.Context().Err() != nil:
		return resp, err
	case dialled && at.Op == "dial":
		return nil, &plainError{err, fmt.Sprintf("start one with rollcall serve, or give the URL of one that runs (%s)", innermost(at))}
	}
	if text := distrust(err, r.URL.Hostname()); text != "" {
		err = &plainError{err, text}
	}
	return nil, err
}

// innermost is what an error comes from.
func innermost(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

// distrust says why a client does not take a server of this name for the one that it wants, and what to do; empty: it is not that.
func distrust(err error, name string) string {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "what answers there speaks no TLS: is it the server's port?"
	}
	if other, ok := errors.AsType[x509.HostnameError](err); ok {
		names := slices.Clone(other.Certificate.DNSNames)
		for _, ip := range other.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		return fmt.Sprintf("its certificate is for %s, not for %s: call the server so, or start it with --name %s as well", strings.Join(names, " and "), name, name)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate is of no CA that is trusted here: give the server's ca.pem by --ca, or its data folder by --data"
	}
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Reason == x509.Expired {
		return fmt.Sprintf("its certificate is for %s to %s, and this machine's clock says another time", bad.Cert.NotBefore.UTC().Format(time.DateTime), bad.Cert.NotAfter.UTC().Format(time.DateTime))
	}
	return ""
}

func (c *client) roots() (*x509.CertPool, error) {
	name := c.ca
	if name == "" {
		if name = filepath.Join(c.data, caFile); !exists(name) {
			return nil, nil
		}
	}
	list, err := readCertificates(name)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	for _, cert := range list {
		pool.AddCert(cert)
	}
	return pool, nil
}

// named says what it is that the server does not have.
func named(err error, what, name string) error {
	return missing(err, "there is no %s %q", what, name)
}

// missing says in other words that the server does not have something. The rule by which a change of it is refused stays.
func missing(err error, format string, args ...any) error {
	e, ok := errors.AsType[*target.Error](err)
	if !ok || e.Status != http.StatusNotFound {
		return err
	}
	no := *e
	no.Message = fmt.Sprintf(format, args...)
	return &no
}

// authorityNames are what an authority is set to.
var authorityNames = []string{"intune", "sccm", "office365", "coexistence", "none"}

// checkAuthority refuses a word that nothing is called, before a server is asked.
func checkAuthority(what, name string) error {
	if name != protocol.Unknown.String() && !slices.Contains(authorityNames, name) { // the server says that nothing becomes unknown again
		return fmt.Errorf("%s %q: want one of %s", what, name, strings.Join(authorityNames, ", "))
	}
	return nil
}

// readInput reads a file that an argument names.
func readInput(name string) ([]byte, error) {
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		return nil, fmt.Errorf("%s: this is a folder; want a file", name)
	}
	return os.ReadFile(name)
}

// mayWrite refuses to replace a file that is there, unless it is forced to. An empty name is of no file.
func mayWrite(flag, name string, force bool) error {
	switch st, err := os.Stat(name); {
	case name == "" || err != nil:
		return nil
	case st.IsDir():
		return fmt.Errorf("%s: %s is a folder: name a file", flag, name)
	case !force:
		return fmt.Errorf("%s: %s is there already; --force replaces it", flag, name)
	}
	return nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// show prints v as one JSON object, or else what human prints.
func show(cmd *cobra.Command, v any, human func(w io.Writer)) error {
	if asJSON(cmd) {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	human(w)
	return w.Flush()
}

// row prints cells of a table, whatever is in them, on one line.
func row(w io.Writer, cells ...string) {
	for i, c := range cells {
		if c = logs.Escape(c); c == "" {
			c = "-"
		}
		cells[i] = c
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// when shows a time as people read it.
func when(t protocol.Time) string {
	if t == 0 {
		return ""
	}
	return t.Time().Format(time.DateTime)
}

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
	token := os.Getenv("ROLLCALL_TOKEN")
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
		token = strings.TrimSpace(string(b))
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.ResponseHeaderTimeout = &tls.Config{RootCAs: roots}, c.wait
	url := c.server
	if url == "" {
		at, err := addressIn(c.data)
		if err != nil {
			return nil, err
		}
		url, transport.Proxy = at.URL, nil
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at.Listen)
		}
	}
	return &target.Rollcall{URL: url, Token: token, HTTP: &http.Client{Transport: hinting{transport}, CheckRedirect: stay}}, nil
}

// stay follows no redirect: an administration has one address, and nothing of it is for another host.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// A hinting transport says what to do where nobody listens.
type hinting struct{ http.RoundTripper }

func (h hinting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.RoundTripper.RoundTrip(r)
	if at, ok := errors.AsType[*net.OpError](err); ok && at.Op == "dial" && r.Context().Err() == nil {
		return nil, fmt.Errorf("start one with rollcall serve, or give the URL of one that runs (%w)", err)
	}
	return resp, err
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

//go:build !agentonly

package main

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"rollcall/fleet/cloud/wns"
	"rollcall/server/push"
)

func cloudWNSCommand() *cobra.Command {
	var (
		f                         cloudFlags
		address, rate, file, name string
	)
	cmd := &cobra.Command{
		Use:   "wns",
		Short: "Microsoft's push service: OAuth token endpoint, channels, X-WNS headers, throttling, faults on a dial",
		Long: `A push service for Windows that any WNS client can be pointed at. It gives out access tokens at /accesstoken.srf (and at
/TENANT/oauth2/v2.0/token as Entra ID does), checks what Microsoft documents, and misbehaves as told. Having no devices of its
own it takes every channel URI that begins with its own address, such as https://127.0.0.1:8444/?token=anything, and keeps what
it is asked to keep. Without --identity anybody is an app. Stopped by a signal, it prints what it counted and exits 0.`,
		Example: `  rollcall cloud wns --ca-out wns-ca.pem --identity wns.json &
  rollcall serve --wns wns.json --wns-ca wns-ca.pem`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			notes := cmd.ErrOrStderr()
			hosts, err := f.check()
			if err != nil {
				return err
			}
			c := wns.Config{AnyChannel: true, Hosts: hosts, Seed: f.seed, ErrorLog: log.New(notes, "wns: ", log.LstdFlags)}
			if c.PerChannel.Messages, c.PerChannel.Per, err = rateOf(rate); err != nil {
				return fmt.Errorf("--rate: %w", err)
			}
			if c.Faults.Share, err = sharesOf[wns.Fault](f.faults); err != nil {
				return fmt.Errorf("--fault: %w", err)
			}
			c.Observe = watched(notes, func(p wns.Push) (status int, whom, what, fault string) {
				return p.Status, p.Channel, cmp.Or(p.Reason, p.Outcome), string(p.Fault)
			})
			ln, err := net.Listen("tcp", f.listen)
			if err != nil {
				return cannotListen(f.listen, err)
			}
			if c.URL = address; address == "" {
				c.URL = "https://" + ln.Addr().String()
			}
			service, err := wnsService(c, ownFile{"--identity", file, "--force replaces it"}, name, f.force)
			if err != nil {
				ln.Close()
				return err
			}
			return f.run(cmd, ln, simulated{service, "WNS", service.CA(), func() (any, string) {
				n := service.Counters()
				return n, fmt.Sprintf("%d notifications accepted, %d kept at the end, %d replaced by later ones, %d dropped; %d access tokens; refused: %s; faults: %s",
					n.Accepted, n.Waiting, n.Replaced, n.Dropped, n.Tokens, tally(n.Refused), tally(n.Faults))
			}})
		},
	}
	flags := cmd.Flags()
	f.add(flags, "127.0.0.1:8444", "Drop, Half, HTML, Redirect, Reset or a status such as 406")
	flags.StringVar(&address, "url", "", "what channel URIs begin with, where that is not --listen: https, host and port")
	flags.StringVar(&file, "identity", "", "`FILE` of the one app that may send, as serve --wns takes it; made where there is none")
	flags.StringVar(&name, "pfn", "Rollcall.Lab_8wekyb3d8bbwe", "package family name of an identity that is made")
	flags.StringVar(&rate, "rate", "60/1m", "notifications to one channel in each span of time before 406, or none")
	return cmd
}

// wnsService makes a service, and with a file one that knows the file's app alone.
func wnsService(c wns.Config, f ownFile, pfn string, force bool) (*wns.Service, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	if f.name == "" {
		return wns.New(c)
	}
	text, err := os.ReadFile(f.name)
	var id *push.WNSIdentity
	switch {
	case err == nil && !force:
		if id, err = push.ReadWNSIdentity(text); err != nil {
			return nil, fmt.Errorf("%s %s: %w", f.flag, f.name, err)
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", f.flag, err)
	default:
		id = newWNSIdentity(pfn, u.Host)
	}
	c.Apps = []wns.App{{ClientID: id.ClientID, Secret: id.ClientSecret, PFN: id.PFN}}
	service, err := wns.New(c)
	if err != nil {
		return nil, err
	}
	if id.TokenURL == "" { // it was made just now
		id.TokenURL = service.TokenURL()
		if err := writeWNSIdentity(f.name, id); err != nil {
			return nil, fmt.Errorf("%s: %w", f.flag, err)
		}
	}
	if id.TokenURL != service.TokenURL() {
		return nil, fmt.Errorf("%s %s is for a service whose token_url is %s, and this one's is %s; %s", f.flag, f.name, id.TokenURL, service.TokenURL(), f.instead)
	}
	return service, nil
}

// newWNSIdentity makes up an app, whose id looks like a package's SID.
func newWNSIdentity(pfn, host string) *push.WNSIdentity {
	b := random(28)
	sid := "ms-app://s-1-15-2"
	for ; len(b) > 0; b = b[4:] {
		sid += fmt.Sprintf("-%d", binary.BigEndian.Uint32(b))
	}
	return &push.WNSIdentity{ClientID: sid, ClientSecret: rand.Text(), PFN: pfn, Scope: push.LiveScope, Hosts: []string{host}}
}

func writeWNSIdentity(name string, id *push.WNSIdentity) error {
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(name, append(text, '\n'), 0o600)
}

//go:build !agentonly

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"

	"github.com/spf13/cobra"

	"rollcall/fleet/cloud/google"
)

func cloudFCMCommand() *cobra.Command {
	var (
		f                            cloudFlags
		address, rate, file, project string
		demote                       float64
	)
	cmd := &cobra.Command{
		Use:   "fcm",
		Short: "Google's push service: FCM HTTP v1, token endpoint of service accounts, collapsing, doze, faults on a dial",
		Long: `A push service for Android that any client of FCM's HTTP v1 interface can be pointed at, Google's own too. It gives out access
tokens at /token to the service account of --key, checks what Google documents, and misbehaves as told. Having no devices of its
own it takes every fid or token and keeps what comes. Stopped by a signal, it prints what it counted and exits 0.`,
		Example: `  rollcall cloud fcm --ca-out fcm-ca.pem --key fcm.json &
  rollcall serve --fcm fcm.json --fcm-url https://127.0.0.1:8445 --fcm-ca fcm-ca.pem`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			notes := cmd.ErrOrStderr()
			hosts, err := f.check()
			if err != nil {
				return err
			}
			if file == "" {
				return errors.New("--key: name the file of the service account that may send; it is made where there is none")
			}
			c := google.Config{AnyRegistration: true, Hosts: hosts, Demote: demote, Seed: f.seed, ErrorLog: log.New(notes, "fcm: ", log.LstdFlags)}
			if c.PerProject.Messages, c.PerProject.Per, err = rateOf(rate); err != nil {
				return fmt.Errorf("--rate: %w", err)
			}
			if c.Faults.Share, err = sharesOf[google.Fault](f.faults); err != nil {
				return fmt.Errorf("--fault: %w", err)
			}
			c.Observe = watched(notes, func(p google.Push) (status int, whom, what, fault string) {
				return p.Status, p.Registration, p.Code, string(p.Fault)
			})
			ln, err := net.Listen("tcp", f.listen)
			if err != nil {
				return cannotListen(f.listen, err)
			}
			if c.URL = address; address == "" {
				c.URL = "https://" + ln.Addr().String()
			}
			service, err := google.New(c)
			if err == nil {
				err = fcmAccount(service, ownFile{"--key", file, "--force replaces it"}, project, f.force)
			}
			if err != nil {
				ln.Close()
				return err
			}
			return f.run(cmd, ln, simulated{service, "FCM", service.CA(), func() (any, string) {
				n := service.Counters()
				return n, fmt.Sprintf("%d messages accepted, %d kept at the end, %d replaced by later ones, %d expired; %d access tokens; refused: %s; faults: %s",
					n.Accepted, n.Waiting, n.Replaced, n.Expired, n.Tokens, tally(n.Refused), tally(n.Faults))
			}})
		},
	}
	flags := cmd.Flags()
	f.add(flags, "127.0.0.1:8445", "Drop, Half, HTML, Reset or an errorCode of FCM")
	flags.StringVar(&address, "url", "", "where clients reach the service, where that is not --listen: https, host and port")
	flags.StringVar(&file, "key", "", "key `FILE` of the service account that may send, as serve --fcm takes it; made where there is none")
	flags.StringVar(&project, "project", "rollcall-lab", "project of an account that is made")
	flags.StringVar(&rate, "rate", "600000/1m", "messages of the project in each span of time before 429, or none")
	flags.Float64Var(&demote, "demote", 0, "share, from 0 to 1, of messages with high priority that are taken for normal ones")
	return cmd
}

// fcmAccount has a service know the account of a key file, which is made where there is none.
func fcmAccount(service *google.Service, f ownFile, project string, force bool) error {
	text, err := os.ReadFile(f.name)
	switch {
	case err == nil && !force:
		if err := service.AddAccount(text); err != nil {
			return fmt.Errorf("%s %s: %w; %s", f.flag, f.name, err, f.instead)
		}
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", f.flag, err)
	}
	if text, err = service.NewAccount(project); err != nil {
		return fmt.Errorf("--project: %w", err)
	}
	if err := writeFile(f.name, text, 0o600); err != nil {
		return fmt.Errorf("%s: %w", f.flag, err)
	}
	return nil
}

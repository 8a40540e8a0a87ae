//go:build !agentonly

package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rollcall/fleet/cloud/apns"
	"rollcall/fleet/plan"
)

// cloudCommand runs one vendor's simulated service alone, for people who test their own server.
func cloudCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cloud", Short: "Run a simulated vendor service alone"}
	cmd.AddCommand(cloudAPNsCommand())
	return cmd
}

func cloudAPNsCommand() *cobra.Command {
	var (
		listen, caOut, issuers, rate string
		faults                       []string
		seed                         uint64
		strict, asJSON, force        bool
	)
	cmd := &cobra.Command{
		Use:   "apns",
		Short: "Apple's push service: strict HTTP/2 over TLS, client certificates, store-and-forward, faults on a dial",
		Long: `A push service for MDM that any APNs client can be pointed at. It checks what Apple documents, keeps the last
notification of each device token, and misbehaves as told. Having no devices of its own it takes every well-formed
token and keeps what comes. Stopped by a signal, it says goodbye (GOAWAY), prints what it counted and exits 0.`,
		Example: `  rollcall cloud apns --ca-out apns-ca.pem
  rollcall cloud apns --fault TooManyRequests=5% --fault GoAway=0.1%`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, notes := cmd.OutOrStdout(), cmd.ErrOrStderr()
			host, _, err := net.SplitHostPort(listen)
			if err != nil {
				return fmt.Errorf("--listen: %w", err)
			}
			c := apns.Config{AnyToken: true, RequireHeaders: strict, Seed: seed, ErrorLog: log.New(notes, "apns: ", log.LstdFlags)}
			if host != "" {
				c.Hosts = []string{host}
			}
			if c.PerToken, err = apnsRate(rate); err != nil {
				return fmt.Errorf("--rate: %w", err)
			}
			if c.Faults, err = apnsFaults(faults); err != nil {
				return fmt.Errorf("--fault: %w", err)
			}
			if issuers != "" {
				if c.Issuers, err = apnsIssuers(issuers); err != nil {
					return fmt.Errorf("--issuers: %w", err)
				}
			}
			if f, ok := notes.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
				c.Observe = apnsLines(notes)
			}
			if caOut != "" && !force && exists(caOut) {
				return fmt.Errorf("--ca-out: %s is there already; --force replaces it", caOut)
			}
			service, err := apns.New(c)
			if err != nil {
				return err
			}
			ln, err := net.Listen("tcp", listen)
			if err != nil {
				return cannotListen(listen, err)
			}
			if caOut == "" {
				fmt.Fprintf(notes, "trust this CA (or have it written by --ca-out FILE):\n%s", service.CA())
			} else if err := os.WriteFile(caOut, service.CA(), 0o644); err != nil {
				ln.Close()
				return fmt.Errorf("--ca-out: %w", err)
			}
			fmt.Fprintf(notes, "simulated APNs listens on https://%s\n", ln.Addr())
			if err := service.Serve(cmd.Context(), ln); err != nil {
				return err
			}
			n := service.Counters()
			if asJSON {
				return json.NewEncoder(out).Encode(n)
			}
			_, err = fmt.Fprintf(out, "%d pushes accepted, %d notifications kept at the end, %d replaced by later ones, %d expired; refused: %v; faults: %v\n",
				n.Accepted, n.Waiting, n.Replaced, n.Expired, n.Refused, n.Faults)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&listen, "listen", "127.0.0.1:2197", "address and port")
	flags.StringVar(&caOut, "ca-out", "", "write the CA that clients must trust to this file (PEM)")
	flags.BoolVar(&force, "force", false, "replace the file of --ca-out if it is there already")
	flags.StringVar(&issuers, "issuers", "", "take push certificates of the CAs in this PEM file only (default: any with a topic)")
	flags.StringVar(&rate, "rate", "60/1m", "pushes to one token in each span of time before 429, or none")
	flags.StringArrayVar(&faults, "fault", nil, "share of pushes that meet a fault, as NAME=SHARE: Drop, GoAway, Half, HTML, Reset or a reason of APNs; may be given again")
	flags.BoolVar(&strict, "require-headers", false, "refuse pushes without apns-topic or apns-push-type, which Apple lets pass")
	flags.Uint64Var(&seed, "seed", 1, "seed of chance")
	flags.BoolVar(&asJSON, "json", false, "print what was counted as one JSON object")
	return cmd
}

// apnsLines prints a line for each push. The token is shortened: it is enough to tell devices apart.
func apnsLines(w io.Writer) func(apns.Push) {
	var mu sync.Mutex
	return func(p apns.Push) {
		mu.Lock()
		defer mu.Unlock()
		what := string(p.Reason)
		if p.Fault != apns.NoFault {
			what = strings.TrimSpace(what + " (fault " + string(p.Fault) + ")")
		}
		fmt.Fprintf(w, "%s  %3d  %-8.8q  %.64q  %s\n", time.Now().Format(time.TimeOnly), p.Status, p.Token, p.Topic, what)
	}
}

// apnsRate reads 60/1m, or none.
func apnsRate(s string) (apns.Rate, error) {
	if s == "none" {
		return apns.Rate{Pushes: -1}, nil
	}
	count, span, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	per, err2 := plan.ParseDuration(span)
	if err != nil || err2 != nil || n <= 0 || per <= 0 {
		return apns.Rate{}, fmt.Errorf("%q: want pushes and a span of time, such as 60/1m, or none", s)
	}
	return apns.Rate{Pushes: n, Per: per}, nil
}

// apnsFaults reads NAME=SHARE, the share from 0 to 1 or in per cent. Names and sums are checked by apns.
func apnsFaults(args []string) (apns.Faults, error) {
	f := apns.Faults{Share: map[apns.Fault]float64{}}
	for _, arg := range args {
		name, share, _ := strings.Cut(arg, "=")
		digits, percent := strings.CutSuffix(share, "%")
		x, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return f, fmt.Errorf("%q: want NAME=SHARE, such as TooManyRequests=5%%", arg)
		}
		if percent {
			x /= 100
		}
		if apns.Fault(name) == apns.Hang {
			return f, fmt.Errorf("%s: nobody is there to release it; use %s or %s", apns.Hang, apns.Reset, apns.Half)
		}
		f.Share[apns.Fault(name)] = x
	}
	return f, nil
}

// apnsIssuers reads certificates from a PEM file.
func apnsIssuers(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in PEM form", file)
	}
	return pool, nil
}

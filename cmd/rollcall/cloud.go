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
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/apns"
	"rollcall/fleet/plan"
)

// cloudCommand runs one vendor's simulated service alone, for people who test their own server.
func cloudCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cloud", Short: "Run a simulated vendor service alone"}
	cmd.AddCommand(cloudAPNsCommand(), cloudWNSCommand(), cloudFCMCommand())
	return cmd
}

// cloudFlags are those of every simulated service.
type cloudFlags struct {
	listen, caOut     string
	courier, identity string // where machines hold streams to it, and what they are shown
	faults            []string
	seed              uint64
	asJSON, force     bool
}

func (f *cloudFlags) add(flags *pflag.FlagSet, listen, faults string) {
	flags.StringVar(&f.listen, "listen", listen, "address and port")
	flags.StringVar(&f.courier, "courier", "", "address and port where machines hold their streams (default: none)")
	flags.StringVar(&f.identity, "courier-identity", "", "PEM `FILE` with the certificate and the key that machines are shown: of the CA that their --ca names (default: the service's own)")
	flags.StringVar(&f.caOut, "ca-out", "", "write the CA that clients must trust to this file (PEM)")
	flags.BoolVar(&f.force, "force", false, "replace files that are there already")
	flags.StringArrayVar(&f.faults, "fault", nil, "share of pushes that meet a fault, as NAME=SHARE: "+faults+"; may be given again")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of chance")
	flags.BoolVar(&f.asJSON, "json", false, "print what was counted as one JSON object")
}

// An ownFile is one by which a server shows itself to a simulated service.
type ownFile struct {
	flag, name string // empty name: none
	instead    string // what to do where it is no use
}

// check looks at what needs no socket. Hosts are names for the service's certificate.
func (f *cloudFlags) check() (hosts []string, err error) {
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %q: want host:port", f.listen)
	}
	if _, _, err := net.SplitHostPort(f.courier); f.courier != "" && err != nil {
		return nil, fmt.Errorf("--courier %q: want host:port", f.courier)
	}
	if f.identity != "" && f.courier == "" {
		return nil, errors.New("--courier-identity is what --courier shows: give both")
	}
	if err := mayWrite("--ca-out", f.caOut, f.force); err != nil {
		return nil, err
	}
	if host != "" {
		hosts = []string{host}
	}
	return hosts, nil
}

// tellCA writes the CA to its file, or says it.
func (f *cloudFlags) tellCA(notes io.Writer, ca []byte) error {
	if f.caOut == "" {
		fmt.Fprintf(notes, "trust this CA (or have it written by --ca-out FILE):\n%s", ca)
		return nil
	}
	if err := os.WriteFile(f.caOut, ca, 0o644); err != nil {
		return fmt.Errorf("--ca-out: %w", err)
	}
	return nil
}

// A simulated service is one that has been made and is to be served.
type simulated struct {
	wakingService
	name  string // as the ready line says it
	ca    []byte
	count func() (counters any, words string)
}

// run serves until the command's context ends, and says what was counted.
func (f *cloudFlags) run(cmd *cobra.Command, ln net.Listener, s simulated) error {
	out, notes := cmd.OutOrStdout(), cmd.ErrOrStderr()
	serve, err := f.beside(s, notes)
	if err == nil {
		err = f.tellCA(notes, s.ca)
	}
	if err != nil {
		ln.Close()
		return err
	}
	fmt.Fprintf(notes, "simulated %s listens on https://%s\n", s.name, ln.Addr())
	if err := serve(cmd.Context(), ln); err != nil {
		return err
	}
	counters, words := s.count()
	if f.asJSON {
		return json.NewEncoder(out).Encode(counters)
	}
	_, err = fmt.Fprintln(out, words)
	return err
}

// watched prints a line for each push, if somebody looks on. Whom it is for is shortened: it is enough to tell devices apart.
func watched[Push any](notes io.Writer, tell func(Push) (status int, whom, what, fault string)) func(Push) {
	if f, ok := notes.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	var mu sync.Mutex
	return func(p Push) {
		mu.Lock()
		defer mu.Unlock()
		status, whom, what, fault := tell(p)
		if fault != "" {
			what = strings.TrimSpace(what + " (fault " + fault + ")")
		}
		fmt.Fprintf(notes, "%s  %3d  %-10.8q  %.100q\n", time.Now().Format(time.TimeOnly), status, whom, what)
	}
}

func cloudAPNsCommand() *cobra.Command {
	var (
		f             cloudFlags
		issuers, rate string
		strict        bool
	)
	cmd := &cobra.Command{
		Use:   "apns",
		Short: "Apple's push service: strict HTTP/2 over TLS, client certificates, store-and-forward, faults on a dial",
		Long: `A push service for MDM that any APNs client can be pointed at. It checks what Apple documents, keeps the last
notification of each device token, and misbehaves as told. Having no devices of its own it takes every well-formed
token and keeps what comes; with --courier real machines hold their streams to it (rollcall agent set --courier), and are
woken. Stopped by a signal, it says goodbye (GOAWAY), prints what it counted and exits 0.`,
		Example: `  rollcall cloud apns --ca-out apns-ca.pem
  rollcall cloud apns --fault TooManyRequests=5% --fault GoAway=0.1%`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			notes := cmd.ErrOrStderr()
			hosts, err := f.check()
			if err != nil {
				return err
			}
			c := apns.Config{AnyToken: true, Hosts: hosts, RequireHeaders: strict, Seed: f.seed, ErrorLog: log.New(notes, "apns: ", log.LstdFlags)}
			if c.PerToken.Messages, c.PerToken.Per, err = rateOf(rate); err != nil {
				return fmt.Errorf("--rate: %w", err)
			}
			if c.Faults.Share, err = sharesOf[apns.Fault](f.faults); err != nil {
				return fmt.Errorf("--fault: %w", err)
			}
			if _, hangs := c.Faults.Share[apns.Hang]; hangs {
				return fmt.Errorf("--fault: %s: nobody is there to release it; use %s or %s", apns.Hang, apns.Reset, apns.Half)
			}
			if issuers != "" {
				if c.Issuers, err = apnsIssuers(issuers); err != nil {
					return fmt.Errorf("--issuers: %w", err)
				}
			}
			c.Observe = watched(notes, func(p apns.Push) (status int, whom, what, fault string) {
				return p.Status, p.Token, strings.TrimSpace(string(p.Reason) + " " + p.Topic), string(p.Fault)
			})
			service, err := apns.New(c)
			if err != nil {
				return err
			}
			ln, err := net.Listen("tcp", f.listen)
			if err != nil {
				return cannotListen(f.listen, err)
			}
			return f.run(cmd, ln, simulated{service, "APNs", service.CA(), func() (any, string) {
				n := service.Counters()
				return n, fmt.Sprintf("%d pushes accepted, %d notifications kept at the end, %d replaced by later ones, %d expired; refused: %s; faults: %s",
					n.Accepted, n.Waiting, n.Replaced, n.Expired, tally(n.Refused), tally(n.Faults))
			}})
		},
	}
	flags := cmd.Flags()
	f.add(flags, "127.0.0.1:2197", "Drop, GoAway, Half, HTML, Reset or a reason of APNs")
	flags.StringVar(&issuers, "issuers", "", "take push certificates of the CAs in this PEM file only (default: any with a topic)")
	flags.StringVar(&rate, "rate", "60/1m", "pushes to one token in each span of time before 429, or none")
	flags.BoolVar(&strict, "require-headers", false, "refuse pushes without apns-topic or apns-push-type, which Apple lets pass")
	return cmd
}

// beside returns what serves the push service, and streams where they are wanted.
func (f *cloudFlags) beside(service wakingService, notes io.Writer) (serve func(context.Context, net.Listener) error, err error) {
	if f.courier == "" {
		return service.Serve, nil
	}
	var config *tls.Config // nil: as the service
	if f.identity != "" {
		own, err := tls.LoadX509KeyPair(f.identity, f.identity)
		if err != nil {
			return nil, fmt.Errorf("--courier-identity: %w", err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{own}}
	}
	streams, err := net.Listen("tcp", f.courier)
	if err != nil {
		return nil, fmt.Errorf("--courier: %w", cannotListen(f.courier, err))
	}
	fmt.Fprintf(notes, "machines hold their streams to %s\n", streams.Addr())
	return func(ctx context.Context, ln net.Listener) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return cloud.ServeStreams(ctx, streams, config, service.Doorman()) })
		group.Go(func() error { return service.Serve(ctx, ln) })
		return group.Wait()
	}, nil
}

// rateOf reads 60/1m, or none, which is a negative count.
func rateOf(s string) (count int, per time.Duration, err error) {
	if s == "none" {
		return -1, 0, nil
	}
	first, span, _ := strings.Cut(s, "/")
	count, err = strconv.Atoi(first)
	per, err2 := plan.ParseDuration(span)
	if err != nil || err2 != nil || count <= 0 || per <= 0 {
		return 0, 0, fmt.Errorf("%q: want pushes and a span of time, such as 60/1m, or none", s)
	}
	return count, per, nil
}

// sharesOf reads NAME=SHARE, the share from 0 to 1 or in per cent. Names and sums are checked by the service.
func sharesOf[Fault ~string](args []string) (map[Fault]float64, error) {
	shares := map[Fault]float64{}
	for _, arg := range args {
		name, share, _ := strings.Cut(arg, "=")
		digits, percent := strings.CutSuffix(share, "%")
		x, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return nil, fmt.Errorf("%q: want NAME=SHARE, such as Drop=5%%", arg)
		}
		if percent {
			x /= 100
		}
		shares[Fault(name)] = x
	}
	return shares, nil
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

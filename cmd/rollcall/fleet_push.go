//go:build !agentonly

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"rollcall/certs"
	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/apns"
	"rollcall/fleet/cloud/google"
	"rollcall/fleet/cloud/wns"
	"rollcall/fleet/load"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// pushFlags say which simulated push services stand between a server and the devices of a load.
type pushFlags struct {
	apns, wns, fcm    string // addresses; empty: that one does not run
	ca                string // whose certificates they show
	identity, account string // files by which the server shows itself to the last two
}

// The names that are made up for the server where a file has none yet.
const (
	loadPFN     = "Rollcall.Load_8wekyb3d8bbwe"
	loadProject = "rollcall-load"
)

func (f *pushFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.apns, "apns-listen", "", "wake Apple's devices by push: run a simulated APNs for the server on this `ADDRESS`")
	flags.StringVar(&f.ca, "apns-ca", "", "`FILE` with the CA of these push services, as rollcall fleet push-ca makes it: the server must trust it (default: a new one, in apns-ca.pem)")
	f.others(flags)
}

// others are the flags of the services by which a server shows itself with a file.
func (f *pushFlags) others(flags *pflag.FlagSet) {
	flags.StringVar(&f.wns, "wns-listen", "", "wake Windows devices by push: run a simulated WNS on this `ADDRESS`")
	flags.StringVar(&f.identity, "wns", "wns.json", "wns-listen: `FILE` of the app that may push, as serve --wns takes it; made where there is none")
	flags.StringVar(&f.fcm, "fcm-listen", "", "wake Android devices by push: run a simulated FCM on this `ADDRESS`")
	flags.StringVar(&f.account, "fcm", "fcm.json", "fcm-listen: key `FILE` of the service account that may push, as serve --fcm takes it; made where there is none")
}

// given tells whether some push service is to run.
func (f *pushFlags) given() bool { return f.apns != "" || f.wns != "" || f.fcm != "" }

// wakes tells whether a push service for a platform is to run.
func (f *pushFlags) wakes(p protocol.Platform) bool {
	switch p {
	case protocol.Windows:
		return f.wns != ""
	case protocol.Android:
		return f.fcm != ""
	}
	return f.apns != ""
}

// start starts the push services and gives them to a load.
func (f *pushFlags) start(ctx context.Context, l lang.Language, notes io.Writer, c *load.Config) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running errgroup.Group
	halt := func() error {
		cancel()
		return running.Wait()
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, halt())
		}
	}()
	for _, of := range []struct {
		name, flag, address string
		make                func(url string, face *tls.Certificate) (service, error)
	}{
		{"APNs", "apns", f.apns, func(_ string, face *tls.Certificate) (service, error) {
			s, err := apns.New(apns.Config{
				Certificate: face, PerToken: cloud.Rate{Messages: -1},
				AnyToken: true, // the server may push before the devices of a kept fleet are there
			})
			c.Push = pushDevices{s}
			return s, err
		}},
		{"WNS", "wns", f.wns, func(url string, face *tls.Certificate) (service, error) {
			s, err := f.newWNS(url, face)
			c.WNS = wnsDevices{s}
			return s, err
		}},
		{"FCM", "fcm", f.fcm, func(url string, face *tls.Certificate) (service, error) {
			s, err := f.newFCM(url, face)
			c.FCM = fcmDevices{s}
			return s, err
		}},
	} {
		if of.address == "" {
			continue
		}
		face, err := f.face(of.address)
		if err != nil {
			return nil, err
		}
		listener, err := net.Listen("tcp", of.address)
		if err != nil {
			return nil, fmt.Errorf("--%s-listen: %w", of.flag, err)
		}
		s, err := of.make("https://"+listener.Addr().String(), face)
		if err != nil {
			listener.Close()
			return nil, err
		}
		fmt.Fprintln(notes, l.Say("simulated %s listens on https://%s", of.name, listener.Addr().String()))
		running.Go(func() error { return s.Serve(ctx, listener) })
	}
	return halt, nil
}

// newWNS makes the service whose app a file names.
func (f *pushFlags) newWNS(url string, face *tls.Certificate) (*wns.Service, error) {
	return wnsService(wns.Config{URL: url, Certificate: face, PerChannel: cloud.Rate{Messages: -1}}, ownFile{"--wns", f.identity, "take that address, or name another file"}, loadPFN, false)
}

// newFCM makes the service whose account a file names.
func (f *pushFlags) newFCM(url string, face *tls.Certificate) (*google.Service, error) {
	s, err := google.New(google.Config{URL: url, Certificate: face, PerProject: cloud.Rate{Messages: -1}, AnyRegistration: true})
	if err != nil {
		return nil, err
	}
	return s, fcmAccount(s, ownFile{"--fcm", f.account, "name another file"}, loadProject, false)
}

// pushHosts are what servers call the push service, Apple's own names included: some servers insist on them.
var pushHosts = []string{"127.0.0.1", "::1", "localhost", "api.push.apple.com", "api.sandbox.push.apple.com"}

// face is the certificate that a push service on an address shows.
func (f *pushFlags) face(address string) (*tls.Certificate, error) {
	if f.ca == "" {
		f.ca = "apns-ca.pem"
	}
	ca, err := pushCA(f.ca)
	if err != nil {
		return nil, fmt.Errorf("--apns-ca: %w", err)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		return nil, err
	}
	hosts := pushHosts
	if host, _, err := net.SplitHostPort(address); err == nil && host != "" {
		hosts = append([]string{host}, hosts...)
	}
	leaf, err := ca.IssueServer(hosts, key.Public(), time.Now(), 0)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// keptCA returns the CA in a file and its key beside it, in FILE.key, made under a name where there is none.
func keptCA(file, name string) (*certs.Authority, error) {
	keyFile := file + ".key"
	if !exists(file) && !exists(keyFile) {
		ca, err := certs.NewIssuer(name, time.Now())
		if err != nil {
			return nil, err
		}
		certificate, key, err := ca.PEM()
		if err == nil {
			err = writeFile(keyFile, key, 0o600)
		}
		if err == nil {
			err = writeFile(file, certificate, 0o644)
		}
		return ca, err
	}
	certificate, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	ca, err := certs.LoadAuthority(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", file, keyFile, err)
	}
	return ca, nil
}

func pushCA(file string) (*certs.Authority, error) { return keptCA(file, "rollcall push service") }

func makerCA(file string) (*certs.Authority, error) {
	return keptCA(file, "rollcall maker of Android devices")
}

// make makes what is not there yet of the files by which server and push services know one another.
func (f *pushFlags) make() error {
	if _, err := pushCA(f.ca); err != nil {
		return err
	}
	if f.wns != "" {
		face, err := f.face(f.wns)
		if err == nil {
			_, err = f.newWNS("https://"+f.wns, face)
		}
		if err != nil {
			return err
		}
	}
	if f.fcm == "" {
		return nil
	}
	face, err := f.face(f.fcm)
	if err == nil {
		_, err = f.newFCM("https://"+f.fcm, face)
	}
	return err
}

// made has files made that are not there yet, and says of each which it is.
func made(cmd *cobra.Command, files []string, make func() error) error {
	var there []bool
	for _, name := range files {
		there = append(there, exists(name))
	}
	if err := make(); err != nil {
		return err
	}
	return show(cmd, map[string]any{"files": files}, func(w io.Writer) {
		for i, name := range files {
			if there[i] {
				fmt.Fprintf(w, "%s: was there already, and stays\n", name)
			} else {
				fmt.Fprintf(w, "%s: written\n", name)
			}
		}
	})
}

func fleetPushCACommand() *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use: "push-ca FILE", Short: "Make the CA of --apns-listen and its like, for a server to trust", Args: cobra.ExactArgs(1),
		Long: `Make the certificate authority of the push services that --apns-listen, --wns-listen and --fcm-listen start, in FILE and, its key,
FILE.key, and, where the addresses of the last two are given, the files with which the server signs in to them. Give all of that to
the server before it starts, and to each load. What is there already stays.`,
		Example: `  rollcall fleet push-ca push.pem
  rollcall serve --apns-url https://127.0.0.1:2197 --apns-ca push.pem
  rollcall fleet run --target https://127.0.0.1:8443 --apns-listen 127.0.0.1:2197 --apns-ca push.pem --everyone 10s

  rollcall fleet push-ca push.pem --wns-listen 127.0.0.1:8444 --fcm-listen 127.0.0.1:8445
  rollcall serve --wns wns.json --wns-ca push.pem --fcm fcm.json --fcm-url https://127.0.0.1:8445 --fcm-ca push.pem
  rollcall fleet run --target https://127.0.0.1:8443 --platform windows,android --apns-ca push.pem \
    --wns-listen 127.0.0.1:8444 --fcm-listen 127.0.0.1:8445 --everyone 10s`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.ca = args[0]
			files := []string{f.ca, f.ca + ".key"}
			if f.wns != "" {
				files = append(files, f.identity)
			}
			if f.fcm != "" {
				files = append(files, f.account)
			}
			return made(cmd, files, f.make)
		},
	}
	f.others(cmd.Flags())
	return cmd
}

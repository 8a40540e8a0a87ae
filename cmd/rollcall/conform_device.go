//go:build !agentonly

package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/fleet/conformance"
	"rollcall/fleet/conformance/mischief"
	"rollcall/fleet/target"
)

// conformDeviceFlags are the flags of conform device as they were given.
type conformDeviceFlags struct {
	askFlags
	as, listen, host, ca    string
	steps                   []string
	signs                   bool
	patience, settle, total time.Duration
}

func conformDeviceCommand() *cobra.Command {
	var f conformDeviceFlags
	cmd := &cobra.Command{
		Use: "device", Short: "Judge a device: play the other side for it, and ask it the numbered statements", Args: noArgs,
		Long: `Play an MDM server for one device and judge it by what it does: enrolment profile, SCEP, check-in and commands over mutual TLS;
with --as windows discovery, certificate and OMA DM sessions, with --as android the open agent protocol.
The device may be a simulator, an agent or a machine in a lab. It enrols many times, so use none that holds anything of value;
one statement has it erased (APL-058, APL-063).

Links are opened at --listen, whose certificate the device must trust (--ca-out); it is managed at a second port of the same
address, whose certificate the enrolment profiles bring. Without steps whoever sits at the terminal is told what to do with the
device, and presses Enter when it is done, or when the device refused. A program does it by command lines (--step NAME=COMMAND),
which return when the device has said all that it has to say:

  enrol    installs the enrolment profile that ROLLCALL_LINK gives; the one step that must be there. With --as windows that is a link
           ms-device-enrollment: whose user signs in by ROLLCALL_PASSWORD, with --as android the text of a QR code
  checkin  asks the server for commands      push     the same by a notice: ROLLCALL_TOPIC, _TOKEN (hexadecimal), _MAGIC
  remove   removes the enrolment profile     reset    makes the device as good as new
  restart  restarts it                       lock     locks its screen until wait
  token    changes its push token            wait     lets time go by until it does what is due
  away     has it off the network for more than a day, and on it again

What needs a step that is not there is not applicable.

Exit codes: 0 all that was asked is kept, 2 a must failed, 3 a must could not be asked or the device could not be taken out again,
130 interrupted; what was found is told.`,
		Example: `  rollcall conform device --own
  rollcall conform device --own --as windows
  rollcall conform device --listen 192.168.1.10:9443 --ca-out rollcall.pem
  rollcall conform device --listen 127.0.0.1:9443 --ca-out ca.pem --step enrol='./simulator enrol "$ROLLCALL_LINK"' --step checkin='./simulator poll'`,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case f.explain != "":
			return conformExplain(cmd, f.explain, true)
		case f.list:
			return conformList(cmd, true)
		case f.own == (f.listen != ""):
			return errors.New("give --listen with the address at which the device finds this machine, or --own to judge a device of ours")
		case f.mischief != "" && !f.own:
			return errors.New("--mischief breaks a device of ours: it wants --own")
		}
		suite, known := deviceSuites[f.as]
		if !known {
			return fmt.Errorf("--as %q: want apple, windows or android", f.as)
		}
		return conformDevice(cmd, &f, suite)
	}
	flags := cmd.Flags()
	f.add(flags, "device")
	flags.StringVar(&f.as, "as", "apple", "what the device is: apple, windows or android")
	flags.StringVar(&f.listen, "listen", "", "`address` where the device opens links, host:port")
	flags.StringVar(&f.host, "host", "", "`name` or address in the links, if it is not that of --listen")
	flags.StringVar(&f.ca, "ca-out", "", "write the certificate that the device must trust to this `file` (PEM)")
	flags.StringArrayVar(&f.steps, "step", nil, "`NAME=COMMAND`: a command line for a step; may be given again")
	flags.BoolVar(&f.signs, "sign-messages", false, "the device signs its messages, and shows TLS no certificate")
	flags.DurationVar(&f.patience, "patience", 2*time.Minute, "wait so long for the device to begin what it was asked to")
	flags.DurationVar(&f.settle, "settle", 5*time.Second, "after so long without a request the device has nothing more to say")
	flags.DurationVar(&f.total, "time", 4*time.Hour, "end after this time, with what is known by then")
	return cmd
}

// deviceSuites are what devices are judged as.
var deviceSuites = map[string]conformance.Suite{"apple": conformance.Device, "windows": conformance.WindowsDevice, "android": conformance.AndroidDevice}

// conformDevice judges a device and writes what it came to.
func conformDevice(cmd *cobra.Command, f *conformDeviceFlags, suite conformance.Suite) error {
	ctx := cmd.Context()
	known, err := f.deviations()
	if err != nil {
		return err
	}
	if err := f.free(output{"--ca-out", f.ca}); err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(f.listen); f.listen != "" && err != nil {
		return fmt.Errorf("--listen %q: want host:port", f.listen)
	}
	config := conformance.DeviceConfig{
		Suite: suite, Listen: f.listen, Host: f.host, Only: f.only, Signs: f.signs, Patience: f.patience, Settle: f.settle, Total: f.total, Progress: conformProgress(cmd.ErrOrStderr()),
	}
	if f.own {
		stop, err := f.ownDevice(ctx, &config)
		if err != nil {
			return err
		}
		defer stop()
	} else {
		if config.Hands, err = f.hands(cmd); err != nil {
			return err
		}
		var unwritten error
		config.Ready = func(url string, ca []byte) {
			fmt.Fprintf(cmd.ErrOrStderr(), "links are opened at %s\n", url)
			if f.ca != "" {
				unwritten = writeFile(f.ca, ca, 0o644)
			}
		}
		defer func() {
			if unwritten != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "--ca-out: %v\n", unwritten)
			}
		}()
	}
	result, err := conformance.JudgeDevice(ctx, config)
	if err != nil {
		return err
	}
	result.Apply(known)
	return f.write(cmd, result)
}

// ownDevice has a device of ours judged.
func (f *conformDeviceFlags) ownDevice(ctx context.Context, c *conformance.DeviceConfig) (stop func(), err error) {
	m, err := mischief.NewHandset(f.mischief)
	if err != nil {
		return nil, fmt.Errorf("--mischief: %w", err)
	}
	if c.Authority, err = certs.NewAuthority(certs.P256, "rollcall conform", time.Now()); err != nil {
		return nil, err
	}
	if c.Suite != conformance.Device {
		o, err := startOwnOther(c.Suite)
		if err != nil {
			return nil, err
		}
		o.twice = m.EnrolsTwice
		c.Hands, c.Ready, c.Layer = o.hands(), o.trust, m.BeforeJudge
		return o.link.Close, nil
	}
	o, err := startOwnDevice(ctx, c.Authority, link.Config{})
	if err != nil {
		return nil, err
	}
	o.anyMagic = m.WakesAtAnything
	c.Hands, c.Ready, c.Layer = o.hands(), o.trust, m.BeforeJudge
	return func() { _ = o.close() }, nil // it was there for this run alone
}

// hands are command lines where there are some, else whoever sits at the terminal.
func (f *conformDeviceFlags) hands(cmd *cobra.Command) (*conformance.Hands, error) {
	if len(f.steps) == 0 {
		return newPerson(cmd.InOrStdin(), cmd.ErrOrStderr()).hands(), nil
	}
	lines := map[string]string{}
	for _, s := range f.steps {
		name, line, ok := strings.Cut(s, "=")
		if !ok || line == "" {
			return nil, fmt.Errorf("--step %q: want NAME=COMMAND", s)
		}
		lines[name] = line
	}
	h := &conformance.Hands{Name: "the device of the command lines", AtRest: true}
	steps := map[string]*func(ctx context.Context) error{
		"checkin": &h.CheckIn, "remove": &h.Remove, "restart": &h.Restart, "lock": &h.Lock, "token": &h.Token, "away": &h.Away, "wait": &h.Wait, "reset": &h.Reset,
	}
	for name, line := range lines {
		line := line
		switch step := steps[name]; {
		case name == "enrol":
			h.Enrol = func(ctx context.Context, link string) error {
				_, err := target.RunLine(ctx, line, nil, "ROLLCALL_LINK="+link, "ROLLCALL_PASSWORD="+conformance.DevicePassword)
				return err
			}
		case name == "push":
			h.Push = func(ctx context.Context, topic string, token []byte, magic string) error {
				_, err := target.RunLine(ctx, line, nil, "ROLLCALL_TOPIC="+topic, "ROLLCALL_TOKEN="+hex.EncodeToString(token), "ROLLCALL_MAGIC="+magic)
				return err
			}
		case step != nil:
			*step = func(ctx context.Context) error {
				_, err := target.RunLine(ctx, line, nil)
				return err
			}
		default:
			return nil, fmt.Errorf("--step: %q is no step: want enrol, push, %s", name, strings.Join(slices.Sorted(maps.Keys(steps)), ", "))
		}
	}
	if h.Enrol == nil {
		return nil, errors.New("--step: enrol must be among the steps")
	}
	return h, nil
}

// A person sits at the terminal and does with the device what is written there.
type person struct {
	out   io.Writer
	lines chan string // what the person types; closed at the end of it
}

func newPerson(in io.Reader, out io.Writer) *person {
	p := &person{out, make(chan string)}
	go func() { // ends with the input, or with the program: a read of a terminal cannot be called off
		defer close(p.lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p
}

// told is a step that consists of telling the person to do it.
func (p *person) told(text string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for stale := true; stale; { // typed before there was anything to do
			select {
			case _, stale = <-p.lines:
			default:
				stale = false
			}
		}
		fmt.Fprintf(p.out, "> %s; press Enter when that is done, or cannot be done\n", text)
		select {
		case _, typed := <-p.lines:
			if typed {
				return nil
			}
			<-ctx.Done() // nobody types: the device itself shows that it was done
		case <-ctx.Done():
		}
		fmt.Fprintln(p.out, "  seen, or waited for long enough")
		return nil
	}
}

func (p *person) hands() *conformance.Hands {
	return &conformance.Hands{
		Name: "the device in your hands",
		Enrol: func(ctx context.Context, link string) error {
			return p.told("open this link on the device and install the profile, if the device lets you:\n  " + link + "\n ")(ctx)
		},
		CheckIn: p.told("have the device ask its server for commands"),
		Remove:  p.told("remove the enrolment profile from the device"),
		Restart: p.told("restart the device"),
		Lock:    p.told("lock the device's screen, and leave it locked until it is told otherwise"),
		Away:    p.told("have the device off the network for more than a day, then on it again"),
		Wait:    p.told("unlock the device, or wait until it does by itself what is due"),
	}
}

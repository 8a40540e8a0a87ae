//go:build !agentonly

package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// checkUser is the user of the devices that check the set-up, unless another is named. No domain ends in .invalid.
const checkUser = "check@rollcall.invalid"

// A checkStep is one thing that authority check did.
type checkStep struct {
	Step string        `json:"step"`
	OK   bool          `json:"ok"`
	Rule protocol.Rule `json:"rule"`
	Text string        `json:"text"`
}

func authorityCheckCommand(c *client) *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use: "check", Short: "Enrol a fresh device, find it listed, lock it, and see the lock acknowledged", Args: noArgs,
		Long: `Validate the set-up with a simulated iPhone (AUTH-06): it enrols, appears under the authority that should manage it, is
locked from afar and acknowledges the lock. Basic Mobility and Security has no remote lock: there it is retired. At the end it
is retired in any case, and its record and the user that was added for it are removed again; what happened stays in the
journal. This machine must reach the server as a device does. Exit code 2 when a step fails.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			roots, err := c.roots()
			if err != nil {
				return err
			}
			k := &check{t: t, udid: "CHECK-" + uuid.NewString(), user: user}
			clock, err := t.Clock(cmd.Context())
			if err != nil {
				return err
			}
			failed := errors.Join(k.run(cmd.Context(), clock, roots), k.cleanUp(cmd.Context()))
			if err := show(cmd, map[string]any{"device": k.udid, "steps": k.steps}, k.print); err != nil {
				return err
			}
			if failed != nil {
				return &shown{failed}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "`UPN` of the device's user (default: "+checkUser+", who is added with licences for both authorities)")
	return cmd
}

// A check is one run of the command.
type check struct {
	t     *target.Rollcall
	udid  string
	user  string
	added bool // the user was added for this check
	asked bool // the device may have a record
	steps []checkStep
}

// step notes what came of one step, and returns its failure.
func (k *check) step(name string, text string, err error) error {
	s := checkStep{Step: name, OK: err == nil, Rule: "AUTH-06", Text: text}
	if err != nil {
		s.Text = err.Error()
		if rule, ok := errors.AsType[protocol.Rule](err); ok {
			s.Rule = rule
		}
		err = fmt.Errorf("%s: %w", name, err)
	}
	k.steps = append(k.steps, s)
	return err
}

func (k *check) print(w io.Writer) {
	for _, s := range k.steps {
		word := "ok"
		if !s.OK {
			word = "FAILED"
		}
		row(w, word, string(s.Rule), s.Step, s.Text)
	}
}

// run does the steps until one fails.
func (k *check) run(ctx context.Context, clock target.Clock, roots *x509.CertPool) error {
	began := time.Now()
	now := func() time.Time { return clock.Now.Time().Add(time.Since(began)) } // the server's, on either of its clocks
	if clock.Driven {
		now = func() time.Time { return clock.Now.Time() }
	}
	l, err := link.New(link.Config{Roots: roots, Now: now})
	if err != nil {
		return err
	}
	defer l.Close()
	device := dialect.NewApple(dialect.Who{Number: 1, Seed: uint64(began.UnixNano()), UDID: k.udid, Serial: "ROLLCALLCHECK", Name: "rollcall authority check"},
		&dialect.Model{Platform: protocol.IOS, Name: "iPhone", Number: "MLPF3", Product: "iPhone14,5", OSVersion: "18.1", Build: "22B83", Capacity: 128}, &dialect.Habits{})

	state, err := k.t.Authority(ctx)
	if err != nil {
		return err
	}
	if err := k.enrol(ctx, l, device, &state); err != nil {
		return err
	}
	registered, err := k.listed(ctx, l, device, &state)
	if err != nil {
		return err
	}
	order := target.Lock
	if registered == protocol.Office365 {
		order = target.Retire // it has no remote lock
	}
	if err := k.ordered(ctx, l, device, order); err != nil {
		return err
	}
	if order == target.Retire {
		return nil
	}
	return k.ordered(ctx, l, device, target.Retire)
}

func (k *check) enrol(ctx context.Context, l *link.Link, device *dialect.Apple, state *target.State) error {
	if state.Authority == protocol.Unknown {
		return k.step("enrol", "", &protocol.Refusal{Rule: protocol.RuleUnset, Reason: "no authority is set yet"})
	}
	if k.user == "" {
		k.user = checkUser
		there, err := k.hasUser(ctx)
		if err == nil && !there {
			k.added = true
			err = k.t.AddUsers(ctx, []target.User{{UPN: checkUser, Name: "rollcall authority check", IntuneLicence: true, BasicLicence: true}})
		}
		if err != nil {
			k.added = false
			return k.step("enrol", "", err)
		}
	}
	k.asked = true
	links, err := k.t.Invite(ctx, []string{k.user})
	if err != nil {
		return k.step("enrol", "", named(err, "user", k.user))
	}
	_, err = l.Enrol(ctx, device, dialect.Start{URL: links[0].URL})
	switch {
	case err != nil && state.Gap.Open:
		err = &protocol.Refusal{Rule: protocol.RulePushGap, Reason: "refused, as it should be while the push gap is open: upload a renewed push certificate first"}
	case err != nil && state.Gap.Ended:
		err = &protocol.Refusal{Rule: protocol.RulePushExpired, Reason: "refused, as it should be without a usable push certificate"}
	}
	return k.step("enrol", k.udid+" of "+k.user, err)
}

func (k *check) hasUser(ctx context.Context) (bool, error) {
	for u, err := range k.t.Users(ctx) {
		if err != nil || u.UPN == k.user {
			return err == nil, err
		}
	}
	return false, nil
}

// cleanUp removes what the check brought: the device's record, where it got one, and the user. It goes on where the check was
// interrupted.
func (k *check) cleanUp(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var err error
	if k.asked {
		if err = k.t.Delete(ctx, k.udid, 0); gone(err) {
			err = nil // it never got that far
		}
	}
	if k.added && err == nil {
		err = k.t.RemoveUser(ctx, k.user)
	}
	if !k.asked && !k.added {
		return nil
	}
	return k.step("clean up", "nothing is left but lines of the journal", err)
}

func gone(err error) bool {
	no, ok := errors.AsType[*target.Error](err)
	return ok && no.Status == http.StatusNotFound
}

// listed has the device check in, and looks for it in the portals.
func (k *check) listed(ctx context.Context, l *link.Link, device *dialect.Apple, state *target.State) (protocol.Authority, error) {
	const name = "listed"
	if _, err := l.Converse(ctx, device, dialect.Synced); err != nil {
		return 0, k.step(name, "", err)
	}
	d, err := k.t.Device(ctx, k.udid)
	if err != nil {
		return 0, k.step(name, "", err)
	}
	text := fmt.Sprintf("by %s, in epoch %d", d.Registered, d.Epoch)
	switch {
	case d.Registered == protocol.Unknown:
		err = errors.New("it is registered with nobody after its check-in")
	case d.Epoch != state.Epoch:
		err = fmt.Errorf("it registered in epoch %d, and the tenant is in %d", d.Epoch, state.Epoch)
	default:
		err = k.inPortal(ctx, d.Registered)
	}
	return d.Registered, k.step(name, text, err)
}

func (k *check) inPortal(ctx context.Context, a protocol.Authority) error {
	for d, err := range k.t.Devices(ctx, target.Filter{Registered: a}) {
		if err != nil {
			return err
		}
		if d.ID == k.udid {
			return nil
		}
	}
	return fmt.Errorf("the portal of %s does not list it", a)
}

// ordered gives an order, has the device check in, and looks for its answer.
func (k *check) ordered(ctx context.Context, l *link.Link, device *dialect.Apple, o target.OrderKind) error {
	name := string(o)
	if _, err := k.t.Order(ctx, k.udid, target.Order{Kind: o}); err != nil {
		return k.step(name, "", err)
	}
	// A retired device says goodbye with an identity that is revoked already, and is not heard; its answer came before.
	if _, err := l.Converse(ctx, device, dialect.Synced); err != nil && o != target.Retire {
		return k.step(name, "", err)
	}
	d, err := k.t.Device(ctx, k.udid)
	switch {
	case err != nil:
	case o == target.Retire && d.Life != "ended":
		err = fmt.Errorf("the device is %s, not ended", d.Life)
	case o == target.Lock && (len(d.Commands) == 0 || d.Commands[0].Kind != "DeviceLock" || d.Commands[0].Status != protocol.Acknowledged.String()):
		err = errors.New("the device did not acknowledge it")
	}
	return k.step(name, "acknowledged", err)
}

package apply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// An action is a step as the server sees it now.
type action struct {
	about  string // who is affected
	before string // what tells later whether it has happened
	do     func() (outcome string, err error)
}

// action looks at the server and says what the step would do; nothing is changed yet.
func (r *Runner) action(ctx context.Context, s *Step, upload int, resumed bool) (*action, error) {
	a := &action{about: lang.English.Say("it is about %s", s.Whom().String())}
	switch s.Action {
	case "authority":
		return r.authority(ctx, s)
	case "apns":
		return r.push(ctx, s, upload)
	case "licences":
		a.do = func() (string, error) { return r.licences(ctx, s) }
	case "consent":
		a.do = func() (string, error) { return lang.English.Say("granted"), r.Server.Consent(ctx, s.Value) }
	case "profiles":
		a.do = func() (string, error) { return r.profile(ctx, s) }
	case "support_move":
		a.do = func() (string, error) {
			return r.each(s, resumed, func(id string) error { return r.Server.SupportMove(ctx, id) }, nil)
		}
	case "ask_users_to_sync":
		a.do = func() (string, error) {
			return r.each(s, resumed, func(id string) error {
				_, err := r.Server.Order(ctx, id, target.Order{Kind: target.Sync})
				return err
			}, nil)
		}
	case "reenrol":
		a.do = func() (string, error) { return r.reenrol(ctx, s, resumed) }
	case "command":
		a.do = func() (string, error) { return r.command(ctx, s, resumed) }
	default:
		return nil, fmt.Errorf("%q cannot be applied", s.Action)
	}
	return a, nil
}

func (r *Runner) authority(ctx context.Context, s *Step) (*action, error) {
	c := target.Change{Authority: s.Value, Force: s.Force}
	p, err := r.Server.PreviewAuthority(ctx, c)
	if err != nil {
		return nil, err
	}
	about := lang.English.Say("of %d devices %d move, %d register anew, %d are stranded", p.Enrolled, p.Pending, p.Stale, p.Stranded)
	if p.OpensGap {
		about = lang.English.Say("%s; Apple devices wait for a renewed push certificate from then on (AUTH-30)", about)
	}
	return &action{about, fmt.Sprint(p.Epoch - 1), func() (string, error) {
		c.Confirm, c.Count = p.ID, p.Stranded
		p, err := r.Server.SetAuthority(ctx, c)
		return lang.English.Say("epoch %d: %d devices are to move, %d to register anew", p.Epoch, p.Pending, p.Stale), err
	}}, nil
}

func (r *Runner) push(ctx context.Context, s *Step, upload int) (*action, error) {
	present, err := r.Server.Push(ctx)
	if err != nil {
		return nil, err
	}
	var u target.PushUpload
	switch other := s.Value == plan.OtherTopic.String(); {
	case !other && upload < len(r.Push):
		u = r.Push[upload]
	case other && len(r.Push) > 0:
		return nil, errors.New("a certificate of another topic is made for a rehearsal's sake; upload a true one by rollcall apns upload")
	default:
		topic := present.Topic
		if other {
			topic += "-2"
		}
		if u.Certificate, err = r.Server.MakeTestPush(ctx, topic, 365*plan.Day); err != nil {
			return nil, fmt.Errorf("give the renewed push certificate with its key by --push-certificate: %w", err)
		}
		if u.AppleID = present.AppleID; u.AppleID == "" || other {
			u.AppleID = "push@example.com"
		}
	}
	c, err := r.Server.PreviewPush(ctx, u)
	if err != nil {
		return nil, err
	}
	if c.OtherTopic && s.Value == plan.Renewed.String() {
		return nil, &protocol.Refusal{Rule: protocol.RuleOtherTopic, Reason: fmt.Sprintf("the plan says renewed, and this push certificate has another topic: it would strand %d devices", c.Stranded)}
	}
	return &action{lang.English.Say("it strands %d Apple devices", c.Stranded), present.NotAfter.String() + " " + present.Topic, func() (string, error) {
		u.Preview, u.Count = c.Preview.ID, c.Stranded
		if !c.OtherTopic {
			u.Preview, u.Count = "", 0
		}
		done, err := r.Server.TakePush(ctx, u)
		outcome := lang.English.Say("taken")
		if done.ClosesGap {
			outcome = lang.English.Say("taken; the gap is closed (AUTH-31)")
		}
		return outcome, err
	}}, nil
}

func (r *Runner) licences(ctx context.Context, s *Step) (string, error) {
	list := make([]target.Licence, len(s.Users))
	for i, upn := range s.Users {
		list[i].UPN = upn
		if s.Remove {
			list[i].Remove = []string{s.Value}
		} else {
			list[i].Assign = []string{s.Value}
		}
	}
	p, err := r.Server.PreviewLicences(ctx, list)
	if err == nil {
		p, err = r.Server.SetLicences(ctx, list, p.ID)
	}
	return lang.English.Say("%d more {device is|devices are} to move, %d in all", p.NewlyPending, p.Pending), err
}

func (r *Runner) profile(ctx context.Context, s *Step) (string, error) {
	if s.Remove {
		x := target.ProfileRemoval{Name: s.Value, Groups: []string{s.Group}}
		p, err := r.Server.PreviewRemoval(ctx, x)
		if err == nil {
			x.Confirm = p.ID
			_, err = r.Server.TakeProfile(ctx, x)
		}
		return lang.English.Say("unassigned"), err
	}
	c := target.ProfileChange{Name: s.Value, Groups: []string{s.Group}}
	p, err := r.Server.PreviewProfile(ctx, c)
	if err == nil {
		c.Confirm = p.ID
		_, err = r.Server.PutProfile(ctx, c)
	}
	return lang.English.Say("assigned"), err
}

// command orders a command of each device; a step that was begun before orders it only where it is not there yet.
func (r *Runner) command(ctx context.Context, s *Step, resumed bool) (string, error) {
	var kind protocol.CommandKind
	if err := kind.UnmarshalText([]byte(s.Value)); err != nil {
		return "", err
	}
	order := func(id string) error {
		o := target.Order{Kind: fleet.OrderOf(kind)}
		d, err := r.Server.Device(ctx, id)
		if err != nil {
			return err
		}
		if d.Platform == protocol.MacOS && (kind == protocol.Lock || kind == protocol.Erase) {
			if o.PIN = r.PIN; o.PIN == "" {
				return errPIN
			}
		}
		_, err = r.Server.Order(ctx, id, o)
		return err
	}
	return r.each(s, resumed, order, func(id string) (bool, error) {
		d, err := r.Server.Device(ctx, id)
		return err == nil && ordered(&d, kind, s.Begun), err
	})
}

var errPIN = errors.New("a Mac wants six digits: give them by --pin")

// ordered tells whether a device has had an order of a kind since a moment.
func ordered(d *target.Details, kind protocol.CommandKind, since protocol.Time) bool {
	return d.Life == "ended" || slices.ContainsFunc(d.Commands, func(c target.Command) bool { return c.At >= since && c.Kind == kind.String() })
}

// reenrol makes links. The link of a device that was heard of before this run is lost, and there is a new one.
func (r *Runner) reenrol(ctx context.Context, s *Step, resumed bool) (string, error) {
	if r.Link == nil {
		return "", errors.New("nobody takes the links with which users enrol again")
	}
	order := func(id string) error {
		link, err := r.Server.Reenrol(ctx, id)
		if err == nil {
			err = r.Link(id, link)
		}
		return err
	}
	return r.each(s, resumed, order, func(id string) (bool, error) {
		d, err := r.Server.Device(ctx, id)
		if err != nil || !ordered(&d, protocol.Retire, s.Begun) {
			return false, err
		}
		links, err := r.Server.Invite(ctx, []string{d.User})
		if err == nil {
			err = r.Link(id, links[0])
		}
		return true, err
	})
}

// each does something to each device of a step; those that the server refuses are noted in the step, and those that have gone since
// it was begun are counted. There: whether it was done to a device when the step was begun before; nil: doing it twice is the same
// as once. A token that may not do it ends the step at once: no device has anything to do with that.
func (r *Runner) each(s *Step, resumed bool, do func(id string) error, there func(id string) (bool, error)) (string, error) {
	done, found, gone := 0, 0, 0
	s.Refused = nil
	fail := func(id string, err error) error { return fmt.Errorf("device %s: %w", id, err) }
	for _, id := range s.Devices {
		if resumed && there != nil {
			is, err := there(id)
			if no, answered := errors.AsType[*target.Error](err); answered && no.Status == http.StatusNotFound {
				gone++
				continue
			}
			if err != nil {
				return "", fail(id, &unknown{err}) // the devices before it may have been done to
			}
			if is {
				found++
				continue
			}
		}
		err := do(id)
		no, is := errors.AsType[*target.Error](err)
		switch {
		case is && (no.Status == http.StatusUnauthorized || no.Status == http.StatusForbidden):
			if resumed || done > 0 {
				err = &unknown{err}
			}
			return "", fail(id, err)
		case is && no.Status/100 == 4:
			s.Refused = append(s.Refused, RefusedDevice{Device: id, Reason: no.Error()})
		case err != nil:
			return "", fail(id, &unknown{err})
		default:
			done++
		}
	}
	outcome := lang.English.Say("%d {device|devices}", done)
	if found > 0 {
		outcome = lang.English.Say("%s, %d had it already", outcome, found)
	}
	if gone > 0 {
		outcome = lang.English.Say("%s, %d are gone", outcome, gone)
	}
	if len(s.Refused) > 0 {
		outcome += ", " + s.refusals()
	}
	return outcome, nil
}

// An unknown is an error in the middle of a step: some of it has happened.
type unknown struct{ error }

func (u *unknown) Unwrap() error { return u.error }

// happened tells whether a step that was begun has been done, as the server stands.
func (r *Runner) happened(ctx context.Context, s *Step) (bool, error) {
	switch s.Action {
	case "authority":
		t, err := r.Server.Authority(ctx)
		return err == nil && t.Name == s.Value && fmt.Sprint(t.Epoch) != s.Before, err
	case "apns":
		p, err := r.Server.Push(ctx)
		return err == nil && p.NotAfter.String()+" "+p.Topic != s.Before, err
	case "consent":
		list, err := r.Server.Consents(ctx)
		return slices.ContainsFunc(list, func(c target.Consent) bool { return c.Service == s.Value && c.Granted }), err
	case "licences":
		left := map[string]bool{}
		for _, upn := range s.Users {
			left[upn] = true
		}
		for u, err := range r.Server.Users(ctx) {
			if err != nil {
				return false, err
			}
			if has := s.Value == plan.IntuneLicence.String() && u.IntuneLicence || s.Value == plan.BasicLicence.String() && u.BasicLicence; has != s.Remove {
				delete(left, u.UPN)
			}
		}
		return len(left) == 0, nil
	case "profiles":
		t, err := r.Server.Authority(ctx)
		if err != nil {
			return false, err
		}
		list, err := r.Server.Profiles(ctx)
		has := slices.ContainsFunc(list, func(p target.Profile) bool {
			return p.Name == s.Value && p.Authority == t.Gap.Slot && slices.Contains(p.Groups, s.Group)
		})
		return err == nil && has != s.Remove, err
	}
	return false, nil // device by device: see each
}

// Sleep is the Wait of a real run: it looks at a real clock as often as it must, and at a driven one often.
func Sleep(ctx context.Context, left time.Duration, driven bool) error {
	pause := min(max(left, 10*time.Millisecond), 30*time.Second)
	if driven {
		pause = min(left, 200*time.Millisecond)
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

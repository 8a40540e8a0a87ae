package apply

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"rollcall/fleet/plan"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// check sees to it that what the steps that are left want of whoever applies the plan is there, before the first of them is done: days
// later nobody may be there to give it.
func (r *Runner) check(ctx context.Context) error {
	uploads, changed := 0, false
	macs := map[string]*Step{} // what wants a PIN of a Mac, by device
	for i := range r.Record.Steps {
		s := &r.Record.Steps[i]
		number := uploads
		if s.takesUpload() {
			uploads++
		}
		if s.State == Done {
			continue
		}
		switch s.Action {
		case "authority":
			changed = true // and with it the slot
		case "apns":
			if changed && number >= len(r.Push) { // one will be made for the topic of then
				continue
			}
			err := r.checkPush(ctx, s, number, changed)
			if err != nil {
				return fmt.Errorf("step %d (%s): %w", s.Number, s.Field, err)
			}
			changed = changed || !s.takesUpload()
		case "command":
			if s.Value == protocol.Lock.String() || s.Value == protocol.Erase.String() {
				for _, id := range s.Devices {
					macs[id] = s
				}
			}
		}
	}
	if n := len(r.Push); n > 0 && n != uploads {
		return fmt.Errorf("%d push certificates are given, and the plan uploads %d: give one for each upload, in turn", n, uploads)
	}
	if len(macs) == 0 || r.PIN != "" {
		return nil
	}
	return r.checkMacs(ctx, macs)
}

// takesUpload tells whether a step uploads a certificate that is given.
func (s *Step) takesUpload() bool { return s.Action == "apns" && s.Value == plan.Renewed.String() }

// checkPush has the server look at a certificate. Once the authority or the topic has changed, what speaks against it now says
// nothing about then; whether it can be read is for whoever read the file.
func (r *Runner) checkPush(ctx context.Context, s *Step, number int, changed bool) error {
	_, err := r.push(ctx, s, number)
	if no, answered := errors.AsType[*target.Error](err); changed && (errors.Is(err, protocol.RuleOtherTopic) || answered && no.Status == http.StatusConflict) {
		return nil
	}
	return err
}

// checkMacs refuses steps that want a PIN which nobody has given.
func (r *Runner) checkMacs(ctx context.Context, of map[string]*Step) error {
	for d, err := range r.Server.Devices(ctx, target.Filter{Platform: protocol.MacOS}) {
		if err != nil {
			return err
		}
		if s := of[d.ID]; s != nil {
			return fmt.Errorf("step %d (%s) is about Macs, such as %s: %w", s.Number, s.Field, d.ID, errPIN)
		}
	}
	return nil
}

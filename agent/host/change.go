package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"rollcall/agent/host/apply"
)

// A Change is what the owner of an enrolled machine wants otherwise; nil: as it is. It is as in [Join].
type Change struct {
	Poll    *time.Duration    `json:"poll,omitempty"`
	Courier *string           `json:"courier,omitempty"`
	Allow   map[string]string `json:"allow,omitempty"` // an act with no command is not allowed any more
	Apply   *apply.Config     `json:"apply,omitempty"`
}

// Change has the enrolment go on otherwise. Files follow at once, and so does the stream of wake-ups.
func (h *Host) Change(c Change) error {
	if !h.managed() {
		return ErrUnmanaged
	}
	if err := c.check(); err != nil {
		return err
	}
	was := *h.rec
	if c.Poll != nil {
		h.rec.Poll = *c.Poll
	}
	if c.Courier != nil {
		h.rec.Courier = *c.Courier
	}
	if c.Apply != nil {
		h.rec.Apply = *c.Apply
	}
	if len(c.Allow) > 0 {
		h.rec.Allow = maps.Clone(h.rec.Allow)
		if h.rec.Allow == nil {
			h.rec.Allow = map[string]string{}
		}
		maps.Copy(h.rec.Allow, c.Allow)
		maps.DeleteFunc(h.rec.Allow, func(_, command string) bool { return command == "" })
	}
	if err := h.folder.save(h.rec); err != nil {
		*h.rec = was
		return err
	}
	if c.Courier != nil {
		h.deafen()
	}
	return h.follow()
}

// check refuses what cannot be.
func (c *Change) check() error {
	if c.Poll != nil && *c.Poll < leastPoll {
		return fmt.Errorf("--poll %s: want at least 1m", *c.Poll)
	}
	for act := range c.Allow {
		if !slices.Contains(Acts, act) {
			return fmt.Errorf("--allow %s: want one of %s", act, strings.Join(Acts, ", "))
		}
	}
	if c.Apply != nil && len(c.Apply.Families) > 0 && c.Apply.Root == "" && runtime.GOOS != "linux" {
		return errors.New("--apply is for Linux: on this system --on-profile runs a command of yours for each profile")
	}
	if c.Apply != nil && c.Apply.Root != "" {
		if st, err := os.Stat(c.Apply.Root); err != nil || !st.IsDir() {
			return fmt.Errorf("--root %s: there is no such folder: make it first", c.Apply.Root)
		}
	}
	if c.Courier == nil {
		return nil
	}
	return checkCourier(*c.Courier)
}

// Set asks the agent that runs on the folder dir for a change.
func Set(ctx context.Context, dir string, c Change) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return Ask(ctx, dir, requestChange+Request(b))
}

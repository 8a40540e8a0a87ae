package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/host/apply"
)

// profilesFolder of the state folder has what was made of profiles.
const profilesFolder = "profiles"

// ErrFiles is wrapped where files of the machine do not follow its profiles.
var ErrFiles = errors.New("files of profiles")

const (
	followFor = time.Minute // bounds the commands that hear of profiles, together
	letGo     = time.Second // what such a command leaves running may hold its standard input for as long
)

// follow has the machine's files follow the profiles of its device; none without one. What cannot be done is told, kept for the status, and
// tried again after the next conversation: no file of the system stands between an agent and its server.
func (h *Host) follow() error {
	if err := h.folder.ours(); err != nil {
		return err
	}
	list := h.installed()
	ctx, cancel := context.WithTimeout(context.Background(), followFor)
	defer cancel()
	store, err := h.profiles()
	if err == nil {
		err = errors.Join(h.write(store), store.Match(ctx, h.allowed(), list))
	}
	h.followed = list
	if store != nil {
		h.edited(store.Edited())
	}
	return h.trouble(err)
}

// edited writes down which files somebody had changed since a profile made them; the status goes on showing it.
func (h *Host) edited(list []apply.Edited) {
	for _, e := range list {
		h.note(Entry{What: "files", Status: "kept", Note: e.File + " was changed since a profile made it: that version is kept at " + e.Copy})
	}
}

// write keeps the documents of profiles that did not come as such.
func (h *Host) write(store *apply.Store) (err error) {
	if !h.managed() {
		return nil
	}
	for _, p := range h.device.profiles() {
		if i := (apply.Installed{Identifier: p.Identifier, Content: p.Content}); !p.MDM && !store.Has(i) {
			if document := h.device.document(&p); document != nil {
				err = errors.Join(err, store.Keep(i, document))
			}
		}
	}
	return err
}

// trouble keeps what is wrong with the files of profiles, and writes it down once. Where nobody manages the machine any more nothing is
// allowed either, once all is back.
func (h *Host) trouble(err error) error {
	was, now := h.rec.Trouble, ""
	if err != nil {
		h.cfg.Log.WithError(err).Error("profiles and files")
		now = strings.ReplaceAll(err.Error(), "\n", "; ")
		err = fmt.Errorf("%w: %s; it is tried again at each check-in (rollcall agent check-in)", ErrFiles, now)
	}
	if now == was {
		return err
	}
	h.rec.Trouble = now
	if now != "" {
		h.note(Entry{What: "files", Status: "failed", Note: now})
	} else if was != notBack {
		h.note(Entry{What: "files", Status: "done"})
	}
	if h.device != nil || h.rec.Pending != nil {
		return errors.Join(err, h.folder.save(h.rec))
	}
	if now == "" {
		h.rec.Apply = apply.Config{}
	}
	return errors.Join(err, h.folder.clear(h.rec))
}

// errLent is that root has the state of a user who may do less, which says what is to be done to the machine.
var errLent = errors.New("the state is of another user, whom root does nothing for: have the service do it, or run this as that user")

// profiles opens the store when it is needed first: a damaged one costs the files, never the enrolment (HST-120).
func (h *Host) profiles() (*apply.Store, error) {
	if h.store == nil {
		store, err := apply.Open(filepath.Join(h.folder.dir, profilesFolder))
		if err != nil {
			return nil, err
		}
		h.store = store
	}
	if h.folder.lent && h.store.Touches() {
		return nil, errLent
	}
	return h.store, nil
}

// installed are the profiles that files are made of.
func (h *Host) installed() (list []apply.Installed) {
	if !h.managed() {
		return nil
	}
	for _, p := range h.device.profiles() {
		if !p.MDM {
			list = append(list, apply.Installed{Identifier: p.Identifier, Content: p.Content})
		}
	}
	return list
}

// A placer makes files of a profile before anybody hears that it is installed: one that cannot be what the owner allows is not.
type placer struct{ h *Host }

func (p placer) Place(identifier string, content uint64, document []byte) error {
	h := p.h
	store, err := h.profiles()
	if err != nil {
		return err
	}
	if own := h.device.document(&dialect.Profile{Identifier: identifier, Content: content}); own != nil {
		document = own
	}
	ctx, cancel := context.WithTimeout(context.Background(), followFor)
	defer cancel()
	placed, err := store.Place(ctx, h.allowed(), h.installed(), apply.Installed{Identifier: identifier, Content: content}, document)
	if !placed {
		return err
	}
	return nil // what else is wrong is no fault of this profile, and is told when files follow
}

// allowed is what profiles may do to the machine.
func (h *Host) allowed() apply.Config {
	if h.folder.lent {
		return apply.Config{}
	}
	c := h.rec.Apply
	c.Run = h.command
	return c
}

// command runs one that hears of profiles, once a conversation has ended: the server waits in it, and it may take as long as it is given.
func (h *Host) command(ctx context.Context, command, environment []string, input []byte) error {
	if h.talking {
		return apply.ErrLater
	}
	err := run(ctx, command, environment, input)
	if ctx.Err() != nil {
		err = fmt.Errorf("it was stopped after %s", followFor)
	}
	return err
}

// run runs a command of the system, or of the machine's owner. What it prints is thrown away: it may have read a secret.
func run(ctx context.Context, command, environment []string, input []byte) error {
	if len(command) == 1 {
		command = shell(command[0])
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdin = bytes.NewReader(input)
	cmd.WaitDelay = letGo
	if err := cmd.Run(); !errors.Is(err, exec.ErrWaitDelay) { // it has ended, and well
		return err
	}
	return nil
}

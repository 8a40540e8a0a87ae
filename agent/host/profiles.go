package host

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"rollcall/agent/host/apply"
)

// profilesFolder of the state folder has what was made of profiles.
const profilesFolder = "profiles"

// follow has the machine's files follow the profiles of its device; none without one. What cannot be done is logged, and tried again
// after the next conversation: no file of the system stands between an agent and its server.
func (h *Host) follow() {
	list := h.installed()
	ctx, cancel := context.WithTimeout(context.Background(), actFor)
	defer cancel()
	store, err := h.profiles()
	if err == nil {
		err = store.Match(ctx, h.allowed(), list)
	}
	if err != nil {
		h.cfg.Log.WithError(err).Error("profiles and files")
	}
	h.followed = list
}

// profiles opens the store when it is needed first: a damaged one costs the files, never the enrolment (HST-120).
func (h *Host) profiles() (*apply.Store, error) {
	if h.store == nil {
		store, err := apply.Open(filepath.Join(h.folder.dir, profilesFolder))
		if err != nil {
			return nil, err
		}
		h.store = store
	}
	return h.store, nil
}

// installed are the profiles that files are made of.
func (h *Host) installed() (list []apply.Installed) {
	if !h.managed() {
		return nil
	}
	for _, p := range h.device.Profiles() {
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
	ctx, cancel := context.WithTimeout(context.Background(), actFor)
	defer cancel()
	placed, err := store.Place(ctx, h.allowed(), h.installed(), apply.Installed{Identifier: identifier, Content: content}, document)
	if !placed {
		return err
	}
	if err != nil {
		h.cfg.Log.WithError(err).Error("profiles and files")
	}
	return nil
}

// allowed is what profiles may do to the machine.
func (h *Host) allowed() apply.Config {
	c := h.rec.Apply
	c.Run = run
	return c
}

// run runs a command of the system, or of the machine's owner. What it prints is thrown away: it may have read a secret.
func run(ctx context.Context, command, environment []string, input []byte) error {
	if len(command) == 1 {
		command = shell(command[0])
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdin = bytes.NewReader(input)
	return cmd.Run()
}

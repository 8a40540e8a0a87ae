package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server"
)

type wipe struct {
	Devices []string `json:"devices"`
	PIN     string   `json:"pin,omitempty"`   // six digits, for Macs
	Count   int      `json:"count,omitempty"` // of the devices, as whoever wants it has typed
}

type wiped struct {
	Devices []wipedDevice `json:"devices"`
}

type wipedDevice struct {
	Device  string        `json:"device"`
	Command string        `json:"command"` // its id; empty: none was given
	Rule    protocol.Rule `json:"rule"`    // why it is not erased; empty: it is
	Reason  string        `json:"reason"`
}

// numbered are the devices that a body names, each once.
func (h *Handler) numbered(c *call, ids []string) ([]protocol.Device, error) {
	if len(ids) == 0 {
		return nil, missing("devices")
	}
	numbers := make([]protocol.Device, len(ids))
	seen := make(map[protocol.Device]bool, len(ids))
	for i, id := range ids {
		at := fmt.Sprintf("devices[%d]", i)
		d, err := h.cfg.Server.Store().Device(c.Context(), id)
		switch {
		case isNotFound(err):
			return nil, wrongValue(at, "there is no device %q", id)
		case err != nil:
			return nil, err
		case seen[d]:
			return nil, wrongValue(at, "given twice")
		}
		numbers[i], seen[d] = d, true
	}
	return numbers, nil
}

// wiping are the devices of a wipe.
func (h *Handler) wiping(c *call) (*wipe, []protocol.Device, error) {
	in := c.body.(*wipe)
	if in.PIN != "" && (len(in.PIN) != 6 || strings.Trim(in.PIN, "0123456789") != "") {
		return nil, nil, wrongValue("pin", "want six digits")
	}
	numbers, err := h.numbered(c, in.Devices)
	return in, numbers, err
}

func (h *Handler) previewWipe(c *call) (any, error) {
	_, numbers, err := h.wiping(c)
	if err != nil {
		return nil, err
	}
	list, err := h.cfg.Server.PreviewWipe(c.Context(), numbers)
	return wipedOf(list), err
}

func (h *Handler) wipe(c *call) (any, error) {
	in, numbers, err := h.wiping(c)
	if err != nil {
		return nil, err
	}
	list, err := h.cfg.Server.Wipe(c.Context(), c.now, c.who, numbers, in.PIN, in.Count)
	return wipedOf(list), err
}

func wipedOf(list []server.Wiping) wiped {
	out := wiped{make([]wipedDevice, len(list))}
	for i, w := range list {
		one := wipedDevice{Device: w.ID}
		if w.Command != (protocol.CommandID{}) {
			one.Command = w.Command.String()
		}
		if no, ok := errors.AsType[*protocol.Refusal](w.No); ok {
			one.Rule, one.Reason = no.Rule, no.Reason
		}
		out.Devices[i] = one
	}
	return out
}

type deletion struct {
	Devices []string `json:"devices"`
	Count   int      `json:"count,omitempty"` // of those that erase themselves by it, as whoever wants it has typed
}

type deleted struct {
	Devices []deletedDevice `json:"devices"`
	Erases  int             `json:"erases"`  // how many of them erase themselves
	ByMode  []erased        `json:"by_mode"` // the same, in the order of the modes
}

type erased struct {
	Mode    android.Mode `json:"mode"`
	Devices int          `json:"devices"`
}

type deletedDevice struct {
	Device string       `json:"device"`
	Mode   android.Mode `json:"mode,omitempty"` // of an Android device
	Erases bool         `json:"erases"`         // it has no other way out than to erase itself
	Gone   bool         `json:"gone,omitempty"` // it is not enrolled, and its record goes at once
}

func (h *Handler) previewDelete(c *call) (any, error) {
	numbers, err := h.numbered(c, c.body.(*deletion).Devices)
	if err != nil {
		return nil, err
	}
	list, err := h.cfg.Server.PreviewDelete(c.Context(), numbers)
	return deletedOf(list), err
}

func (h *Handler) delete(c *call) (any, error) {
	in := c.body.(*deletion)
	numbers, err := h.numbered(c, in.Devices)
	if err != nil {
		return nil, err
	}
	list, err := h.cfg.Server.Delete(c.Context(), c.now, c.who, numbers, in.Count)
	return deletedOf(list), err
}

func (h *Handler) deleteDevice(c *call) (any, error) {
	count := 0
	if text, ok := c.query["count"]; ok {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			return nil, wrongValue("count", "want a number")
		}
	}
	record, err := h.record(c)
	if err != nil {
		return nil, err
	}
	list, err := h.cfg.Server.Delete(c.Context(), c.now, c.who, []protocol.Device{record.State.Device}, count)
	return deletedOf(list), err
}

func deletedOf(list []server.Deletion) deleted {
	out := deleted{Devices: make([]deletedDevice, len(list)), ByMode: []erased{}}
	in := map[android.Mode]int{}
	for i, d := range list {
		out.Devices[i] = deletedDevice{Device: d.ID, Mode: d.Mode, Erases: d.Erases, Gone: d.Gone}
		if d.Erases {
			out.Erases++
			in[d.Mode]++
		}
	}
	for _, m := range android.Modes {
		if in[m] > 0 {
			out.ByMode = append(out.ByMode, erased{m, in[m]})
		}
	}
	return out
}

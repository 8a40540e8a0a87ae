package api

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// maxWait is how long a request may wait for a line. It is time of the network, not of the server's clock.
const maxWait = 30 * time.Second

type journal struct {
	Lines []line `json:"lines"`
	Next  string `json:"next"` // empty: there is no more yet
	Last  string `json:"last"` // cursor for what comes later
}

type line struct {
	Seq    uint64        `json:"seq"`
	At     protocol.Time `json:"at"`
	Device string        `json:"device"` // empty: the tenant
	Actor  string        `json:"actor"`
	Rule   protocol.Rule `json:"rule"`
	What   delivery.What `json:"what"`
	Detail string        `json:"detail"`
}

var journalQuery = append([]param{
	{"device", "string", "only lines about this device"},
	{"actor", "string", "only what this actor did: token:NAME, device, push service or system"},
	{"rule", "string", "only by this rule, as in AUTH-23"},
	{"what", "string", "only what happened so, as in moved"},
	{"since", "string", "only from this time on, RFC 3339"},
	{"wait", "integer", "seconds to wait, at most 30, while there is no line"},
}, page...)

func (h *Handler) getJournal(c *call) (any, error) {
	f, limit, wait, err := h.lineFilter(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.Context(), wait)
	defer cancel()
	for {
		grows := h.cfg.Server.JournalGrows()
		end, err := h.cfg.Server.Store().JournalEnd(c.Context())
		if err != nil {
			return nil, err
		}
		lines, err := h.cfg.Server.Store().Journal(c.Context(), f, limit)
		if err != nil {
			return nil, err
		}
		if len(lines) < limit {
			f.After = max(f.After, end) // what was looked through is not looked at again
		}
		if len(lines) > 0 || wait == 0 {
			return h.journal(c, f.After, lines, limit)
		}
		select {
		case <-grows:
		case <-ctx.Done():
			wait = 0 // one last look
		case <-h.ending:
			wait = 0
		}
		if _, err := h.authenticate(c.Request, protocol.At(h.cfg.Clock.Now())); err != nil {
			return nil, err // revoked meanwhile (HST-063)
		}
	}
}

func (h *Handler) lineFilter(c *call) (f store.LineFilter, limit int, wait time.Duration, err error) {
	if f.After, limit, err = c.page(); err != nil {
		return f, 0, 0, err
	}
	f.Actor, f.Rule, f.What = c.query["actor"], protocol.Rule(c.query["rule"]), delivery.What(c.query["what"])
	if id := c.query["device"]; id != "" {
		if f.Devices, err = h.numbers(c.Context(), id); err != nil {
			return f, 0, 0, err
		}
	}
	if s, ok := c.query["since"]; ok {
		if err := f.Since.UnmarshalText([]byte(s)); err != nil {
			return f, 0, 0, wrongValue("since", "want RFC 3339, as in 2026-03-02T09:00:00Z")
		}
	}
	if s, ok := c.query["wait"]; ok {
		n, err := strconv.Atoi(s)
		if wait = time.Duration(n) * time.Second; err != nil || n < 0 || wait > maxWait {
			return f, 0, 0, wrongValue("wait", "want seconds from 0 to %d", int(maxWait/time.Second))
		}
	}
	return f, limit, wait, nil
}

// numbers are those under which the journal has a device, its removed records among them.
func (h *Handler) numbers(ctx context.Context, id string) ([]protocol.Device, error) {
	numbers, err := h.cfg.Server.Store().Removed(ctx, id)
	if err != nil {
		return nil, err
	}
	switch d, err := h.cfg.Server.Store().Device(ctx, id); {
	case err == nil:
		return append(numbers, d), nil
	case !isNotFound(err) || len(numbers) == 0:
		return nil, err
	}
	return numbers, nil
}

func (h *Handler) journal(c *call, after uint64, lines []store.Line, limit int) (any, error) {
	out := journal{Lines: make([]line, len(lines))}
	name := h.names(c.Context())
	for i, l := range lines {
		id, err := name(l.Device)
		if err != nil {
			return nil, err
		}
		out.Lines[i] = line{l.Seq, l.At, id, l.Actor, l.Rule, l.What, l.Detail}
		after = max(after, l.Seq)
	}
	out.Last = strconv.FormatUint(after, 10)
	if len(lines) == limit {
		out.Next = out.Last
	}
	return out, nil
}

type verified struct {
	Sound  bool          `json:"sound"`
	Lines  uint64        `json:"lines"` // of a sound journal
	Hash   string        `json:"hash"`  // its head: who notes both can tell later that these lines are still the same
	Line   uint64        `json:"line"`  // the first one that is not as it was written
	Reason string        `json:"reason"`
	Rule   protocol.Rule `json:"rule"`
}

// verifyJournal answers what it found; a broken journal is an answer too.
func (h *Handler) verifyJournal(c *call) (any, error) {
	head, err := h.cfg.Server.Store().VerifyJournal(c.Context())
	if broken, ok := errors.AsType[*store.Break](err); ok {
		return verified{Line: broken.Seq, Reason: broken.Reason, Rule: protocol.RuleJournal}, nil
	}
	if err != nil {
		return nil, err
	}
	return verified{Sound: true, Lines: head.Seq, Hash: hex.EncodeToString(head.Hash[:]), Rule: protocol.RuleJournal}, nil
}

// End has requests that wait answered at once: the server is about to stop.
func (h *Handler) End() { h.end.Do(func() { close(h.ending) }) }
